//! All thread-locals of the runtime, and who the current thread is.
//!
//! Compilers may keep the address of a thread-local across a call, and a stack switch looks like
//! a call. Green threads never leave their kernel thread, so a kept address stays right, and yet
//! no accessor here returns one: values only, so that the rule needs no argument elsewhere. The
//! accessors use `try_with`, for destructors of other thread-locals may call sylvan when ours
//! are gone.
//!
//! Nothing else in the crate may declare a `std::thread_local!`.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::stack::Class;
use crate::task::blocks::{self, Block};
use crate::task::header::{Birth, Header, HeaderRef, Kind};
use crate::task::locals::Locals;
use crate::task::numbers::{self, BlockCache};
use crate::task::packet;
use crate::task::state::State;

std::thread_local! {
    /// The green thread that runs on this kernel thread; null on a worker's own stack and on
    /// other kernel threads.
    static GREEN: Cell<*const Header> = const { Cell::new(ptr::null()) };
    /// The worker that this kernel thread is; see `sched::worker`.
    static WORKER: Cell<*const ()> = const { Cell::new(ptr::null()) };
    /// That worker's cache of blocks and numbers.
    static BLOCKS: Cell<*const BlockCache> = const { Cell::new(ptr::null()) };
    /// A number for this kernel thread, which few others have; 0 until it is asked for.
    static TOKEN: Cell<u32> = const { Cell::new(0) };
    /// The header of the call that this kernel thread is in, when `KERNEL` is gone; null outside of
    /// calls. It owns nothing, so it is there to the end.
    static LATE: Cell<*const Header> = const { Cell::new(ptr::null()) };
    /// Counts the choices that calls on this kernel thread have made.
    static CHOICES: Cell<u64> = const { Cell::new(0) };
}

#[cfg(not(loom))]
std::thread_local! {
    /// The kernel thread's own header.
    static KERNEL: RefCell<Option<KernelThread>> = const { RefCell::new(None) };
}

// A model's threads share one kernel thread.
#[cfg(loom)]
loom::thread_local! {
    static KERNEL: RefCell<Option<KernelThread>> = RefCell::new(None);
}

/// How many bits a token has.
pub(crate) const TOKEN_BITS: u32 = 24;

/// A number of [`TOKEN_BITS`] bits that tells this kernel thread from others, most likely: they are
/// given in turn, and used again after so many kernel threads.
#[inline]
pub(crate) fn token() -> u32 {
    match TOKEN.try_with(Cell::get).unwrap_or(0) {
        0 => new_token(),
        token => token,
    }
}

#[cold]
fn new_token() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // ORDERING: Relaxed; only the number matters.
    let token = NEXT.fetch_add(1, Ordering::Relaxed) % ((1 << TOKEN_BITS) - 1) + 1;
    let _ = TOKEN.try_with(|cell| cell.set(token));
    token
}

/// A number that differs from that of the choice before, and from those of other kernel threads.
pub(crate) fn next_choice() -> u64 {
    let count = CHOICES.try_with(|cell| cell.replace(cell.get().wrapping_add(1))).unwrap_or(0);
    count | u64::from(token()) << (64 - TOKEN_BITS)
}

/// The current green thread; null elsewhere.
#[inline]
pub(crate) fn green() -> *const Header {
    GREEN.try_with(Cell::get).unwrap_or(ptr::null())
}

/// The green thread that runs, on its own behalf.
///
/// The reference is good while that thread runs; callers are part of it, and a thread's header
/// outlives everything that the thread itself can do.
#[inline(always)]
pub(crate) fn running<'a>() -> Option<&'a Header> {
    // SAFETY: the worker sets it to the header of the thread that it runs, which lives until it has
    // ended, and to null when it has.
    unsafe { green().as_ref() }
}

/// Says which green thread runs from now on; null: the worker itself.
#[inline]
pub(crate) fn set_green(header: *const Header) {
    let _ = GREEN.try_with(|cell| cell.set(header));
}

/// The worker that this kernel thread is at present; null elsewhere.
#[inline]
pub(crate) fn worker() -> *const () {
    WORKER.try_with(Cell::get).unwrap_or(ptr::null())
}

/// Makes this kernel thread a worker, or by two nulls an ordinary one again.
pub(crate) fn set_worker(worker: *const (), blocks: *const BlockCache) {
    let _ = WORKER.try_with(|cell| cell.set(worker));
    let _ = BLOCKS.try_with(|cell| cell.set(blocks));
}

#[inline]
fn cache() -> Option<&'static BlockCache> {
    let blocks = BLOCKS.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: set by the worker for as long as it is one, and used by its kernel thread only; no
    // caller keeps the reference across a switch.
    unsafe { blocks.as_ref() }
}

/// A block from the worker's cache, or from the pool.
#[inline]
pub(crate) fn take_block() -> Block {
    match cache() {
        Some(cache) => cache.take(),
        None => blocks::take_one(),
    }
}

/// Puts a block into the worker's cache, or into the pool.
///
/// # Safety
/// S1: the block was taken by [`take_block`], and the caller gives up all access to it.
#[inline]
pub(crate) unsafe fn give_block(block: Block) {
    match cache() {
        // SAFETY: S1 is ours of the same number.
        Some(cache) => unsafe { cache.give(block) },
        // SAFETY: as above.
        None => unsafe { blocks::give_one(block) },
    }
}

/// A number that no other thread has or will have.
pub(crate) fn next_id() -> NonZeroU64 {
    match cache() {
        Some(cache) => cache.next_id(),
        None => numbers::single_id(),
    }
}

/// The header of a kernel thread, and what is owed when the thread ends.
struct KernelThread {
    /// `None`: a thread of the 1:1 mapping has ended here, and nobody has asked since.
    header: Option<HeaderRef>,
    /// Whether the thread is foreign: its end is ours to notice.
    foreign: bool,
    /// What the thread belongs to, kept for it by its mapping; see `sched::one_to_one`.
    runtime: Option<std::sync::Arc<dyn std::any::Any + Send + Sync>>,
}

impl Drop for KernelThread {
    fn drop(&mut self) {
        if let (true, Some(header)) = (self.foreign, &self.header) {
            if let Some(extra) = header.extra() {
                extra.locals.run_destructors();
            }
            let _ = header.state.finish();
        }
    }
}

/// The header of the current thread: green, or of this kernel thread.
///
/// A foreign kernel thread gets its header at the first call. One whose thread-locals are gone
/// gets a new one for each call, which what is called within it shares: it can wait, for its own
/// threads too, but a permit does not outlive the call.
#[inline]
pub(crate) fn me() -> Me {
    let green = green();
    match NonNull::new(green.cast_mut()) {
        Some(header) => Me { header, counted: false, is_late: false },
        None => kernel_me(),
    }
}

#[cold]
fn kernel_me() -> Me {
    let header = match kept_header() {
        Some(header) => header,
        None => match NonNull::new(LATE.try_with(Cell::get).unwrap_or_default().cast_mut()) {
            // SAFETY: set by a call further out, which keeps it until it returns.
            Some(late) => HeaderRef::new(unsafe { late.as_ref() }),
            None => {
                let header = foreign_header();
                let _ = LATE.try_with(|cell| cell.set(&*header));
                return Me { header: header.into_raw(), counted: true, is_late: true };
            }
        },
    };
    Me { header: header.into_raw(), counted: true, is_late: false }
}

/// The current thread's header, for as long as the current thread runs.
///
/// A green thread's is not counted: the scheduler's own reference outlives everything that the
/// thread itself can do. That saves two atomic operations on each wait.
pub(crate) struct Me {
    header: NonNull<Header>,
    counted: bool,
    /// Whether `LATE` has to forget it.
    is_late: bool,
}

impl std::ops::Deref for Me {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: counted, or the running green thread's own.
        unsafe { self.header.as_ref() }
    }
}

impl Drop for Me {
    #[inline]
    fn drop(&mut self) {
        if self.is_late {
            let _ = LATE.try_with(|cell| cell.set(ptr::null()));
        }
        if self.counted {
            // SAFETY: S1: `self` owns the reference and goes.
            unsafe { Header::release(self.header) };
        }
    }
}

/// The header that stays with this kernel thread; `None`, when its thread-locals are gone.
#[cold]
fn kept_header() -> Option<HeaderRef> {
    let kept = KERNEL.try_with(|slot| {
        if let Some(KernelThread { header: Some(header), .. }) = &*slot.borrow() {
            return header.clone();
        }
        let header = foreign_header();
        let runtime = slot.take().and_then(|kernel| kernel.runtime.clone());
        let kernel = KernelThread { header: Some(header.clone()), foreign: true, runtime };
        *slot.borrow_mut() = Some(kernel);
        header
    });
    kept.ok()
}

/// The number of this kernel thread's own header, whatever green thread runs on it.
pub(crate) fn kernel_id() -> NonZeroU64 {
    kernel_me().id
}

#[track_caller]
fn foreign_header() -> HeaderRef {
    let header = Header::allocate(Birth {
        kind: Kind::Kernel,
        state: State::running(),
        class: Class::DEFAULT,
        vtable: &packet::NO_PACKET,
        site: Location::caller(),
        name: std::thread::current().name().map(Into::into),
        boxed: false,
        refs: 1,
        id: next_id(),
    });
    // SAFETY: S1: `refs` is 1 and it is ours.
    unsafe { HeaderRef::from_owned(header) }
}

/// Gives this kernel thread the header of a thread of the 1:1 mapping, and the runtime to which
/// it belongs.
pub(crate) fn adopt_kernel_thread(
    header: HeaderRef,
    runtime: std::sync::Arc<dyn std::any::Any + Send + Sync>,
) {
    let kernel = KernelThread { header: Some(header), foreign: false, runtime: Some(runtime) };
    let _ = KERNEL.try_with(|slot| *slot.borrow_mut() = Some(kernel));
}

/// Takes the header of a thread of the 1:1 mapping that has ended from its kernel thread. Whatever
/// waits here still would make the ended thread one that lives again, so it gets a header of its
/// own when it asks for one.
pub(crate) fn retire_kernel_thread() {
    let header = KERNEL.try_with(|slot| slot.borrow_mut().as_mut()?.header.take());
    drop(header);
}

/// The runtime of the 1:1 mapping to which this kernel thread belongs.
pub(crate) fn kernel_runtime() -> Option<std::sync::Arc<dyn std::any::Any + Send + Sync>> {
    KERNEL.try_with(|slot| slot.borrow().as_ref()?.runtime.clone()).ok()?
}

/// The current thread's own `sylvan::thread_local!` values. Valid while the thread runs; on a
/// kernel thread whose thread-locals are gone, `None`.
pub(crate) fn locals() -> Option<NonNull<Locals>> {
    let green = green();
    if !green.is_null() {
        // SAFETY: the running thread's header is alive.
        let header = unsafe { &*green };
        return Some(NonNull::from(&header.extra_or_new().locals));
    }
    // The slot, not this call, must keep the header alive.
    let header = kept_header()?;
    Some(NonNull::from(&header.extra_or_new().locals))
}
