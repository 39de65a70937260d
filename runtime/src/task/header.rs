//! The header of a thread: identity, state, links, and the closure or result, in one block.
//!
//! A spawn must cost one small allocation at most, and a million unstarted threads less than
//! 256 bytes each. So everything that belongs to a thread but not to its stack lies in one block
//! of [`BLOCK_BYTES`], from the cache of its worker (see `blocks`): links for every list that a
//! thread can stand in, so that no list allocates, and 56 bytes for the closure before and the
//! result after the thread has run. Kernel threads have a header too, so that locks, joins and
//! wakes need not ask which kind of thread they face.
//!
//! The file never schedules, never touches user code except to drop what was left to it, and
//! never frees a block that somebody still counts.
//!
//! Who may touch what, named once and cited elsewhere:
//!
//! - **HOME-ONLY**: only the home worker, that is the kernel thread of the first turn. For a
//!   kernel thread: only itself.
//! - **FAMILY-LOCK**: only while the *parent's* family lock is held (`sibling`), or the own one
//!   (`scopes`).
//! - **WAITING-OWNS-FIBER**: while the state is `WAITING` or `READY`, the fiber is suspended and
//!   belongs to the header; nobody runs on it.

use std::cell::Cell;
use std::io;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::fiber::Fiber;
use crate::os::Doorbell;
use crate::primitives::{self, AtomicBool};
use crate::stack::Class;
use crate::task::blocks::Block;
use crate::task::cancelled::ReasonCell;
use crate::task::current;
use crate::task::joiner::Joiner;
use crate::task::limits::Limits;
use crate::task::locals::Locals;
use crate::task::mailbox::Mailbox;
use crate::task::numbers::{BlockCache, shown_number};
use crate::task::packet::VTable;
use crate::task::reason::WaitRecord;
use crate::task::region::Region;
use crate::task::scope::ScopeData;
use crate::task::state::State;

/// Size of the one allocation that a thread is.
pub(crate) const BLOCK_BYTES: usize = 208;
/// What is left in the block for a closure or a result.
pub(crate) const PAYLOAD_BYTES: usize = 56;

/// What carries the thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A fiber on a worker.
    Green,
    /// A kernel thread: of the 1:1 mapping, or one that sylvan did not make.
    Kernel,
}

/// See the file's comment. What a yield or a wait touches stands first, in [`HOT_BYTES`].
#[repr(C, align(16))]
pub(crate) struct Header {
    pub(crate) state: State,
    refs: AtomicU32,
    pub(crate) kind: Kind,
    /// Whether the payload holds a pointer to a box instead of the value.
    pub(crate) boxed: bool,
    /// Guards `scopes` and the siblings of the children; see `family`.
    pub(crate) family_lock: AtomicBool,
    /// Whether this thread stands in its parent's list; FAMILY-LOCK of the parent. Read without
    /// the lock by the thread itself: once true it stays true until the thread takes it back.
    pub(crate) linked: AtomicBool,
    /// HOME-ONLY. Whether the thread stands in its worker's registry.
    pub(crate) registered: Cell<bool>,
    /// Which stack the thread wants.
    pub(crate) class: Class,
    /// HOME-ONLY. Whether the thread runs in place: on the fiber of its scope's parent.
    pub(crate) in_place: Cell<bool>,
    /// What bounds the thread, and what keeps it from being cut off.
    pub(crate) limits: Limits,
    /// HOME-ONLY. The fiber that carries the thread; null before the first wait.
    pub(crate) fiber: Cell<*const Fiber>,
    /// The scope that waits for this thread; null for most. Set before the thread is published.
    /// It outlives the thread's end, not its header.
    pub(crate) scope: Cell<*const ScopeData>,
    /// The home worker's mailbox, a counted reference; null before the first wait. Written at
    /// home before the first `commit_wait` (Release), read by those who own the duty to schedule.
    /// A kernel thread has one of its own, for the doorbell, once it has waited for a descriptor.
    pub(crate) mailbox: AtomicPtr<Mailbox>,
    /// HOME-ONLY. What the thread waits for; lies on its stack; null while it does not wait.
    pub(crate) wait: Cell<*const WaitRecord>,
    pub(crate) vtable: &'static VTable,
    pub(crate) id: NonZeroU64,
    /// Link in an inbox; owned by whoever owns the duty to schedule.
    pub(crate) next: AtomicPtr<Header>,
    /// HOME-ONLY. The worker's registry of threads that have waited.
    pub(crate) registry: Links,
    /// FAMILY-LOCK of the parent.
    pub(crate) sibling: Links,
    /// FAMILY-LOCK of this header. The innermost open scope.
    pub(crate) scopes: primitives::Cell<*const ScopeData>,
    /// Who waits for the end, published by the state word's `JOINER`.
    pub(crate) joiner: Joiner,
    /// Where the thread was spawned.
    pub(crate) site: &'static Location<'static>,
    /// Set once, by the thread itself or by who cancels it.
    pub(crate) extra: AtomicPtr<Extra>,
    /// What a model's thread waits on.
    #[cfg(loom)]
    pub(crate) bell: crate::primitives::Bell,
    payload: Cell<[std::mem::MaybeUninit<u64>; PAYLOAD_BYTES / 8]>,
}

/// State, fiber, scope, mailbox, wait.
pub(crate) const HOT_BYTES: usize = 56;

// Loom's atomics are larger than real ones; no model measures a header.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Header>() == BLOCK_BYTES);
#[cfg(not(loom))]
const _: () = assert!(std::mem::offset_of!(Header, vtable) == HOT_BYTES);

/// What few threads have.
pub(crate) struct Extra {
    /// The name that the program gave.
    pub(crate) name: Option<Box<str>>,
    /// The values of `sylvan::thread_local!`.
    pub(crate) locals: Locals,
    /// HOME-ONLY. The innermost region; null for none.
    pub(crate) region: Cell<*const Region>,
    /// HOME-ONLY, and written under the FAMILY-LOCK of this header, under which others read it. The
    /// innermost shield region; null for none.
    pub(crate) shield: primitives::Cell<*const Region>,
    /// HOME-ONLY. How many payloads there are by which the thread was cut off, and which may unwind
    /// it still.
    pub(crate) cuts: Cell<u32>,
    /// HOME-ONLY. How many regions the thread has entered.
    pub(crate) region_count: Cell<u64>,
    /// Set before the thread is published. Whether the end of its runtime does not cancel it, for
    /// somebody waits for it who cannot be unwound.
    pub(crate) kept: Cell<bool>,
    /// Why the thread was cancelled; set before its CANCEL bit is.
    pub(crate) why: ReasonCell,
}

impl Extra {
    fn new(name: Option<Box<str>>) -> Box<Extra> {
        Box::new(Extra {
            name,
            locals: Locals::new(),
            region: Cell::new(ptr::null()),
            shield: primitives::Cell::new(ptr::null()),
            cuts: Cell::new(0),
            region_count: Cell::new(0),
            kept: Cell::new(false),
            why: ReasonCell::new(),
        })
    }
}

/// Two links of an intrusive list.
pub(crate) struct Links {
    pub(crate) prev: primitives::Cell<*const Header>,
    pub(crate) next: primitives::Cell<*const Header>,
}

impl Links {
    fn new() -> Links {
        let none = || primitives::Cell::new(ptr::null());
        Links { prev: none(), next: none() }
    }
}

// SAFETY: each field says who may touch it: atomics by all, the `Cell`s by the rules HOME-ONLY
// and FAMILY-LOCK, immutable ones by all after publication.
unsafe impl Send for Header {}
// SAFETY: as above.
unsafe impl Sync for Header {}

/// What a new header needs to know.
pub(crate) struct Birth {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) class: Class,
    pub(crate) vtable: &'static VTable,
    pub(crate) site: &'static Location<'static>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) boxed: bool,
    pub(crate) refs: u32,
    /// From [`current::next_id`], save where a seeded run counts its threads itself.
    pub(crate) id: NonZeroU64,
}

impl Header {
    /// Makes a header with `birth.refs` references, all of which the caller holds. The payload is
    /// not initialised.
    pub(crate) fn allocate(birth: Birth) -> NonNull<Header> {
        Header::write(current::take_block(), birth)
    }

    /// The same by the worker whose cache that is.
    #[inline]
    pub(crate) fn allocate_from(cache: &BlockCache, birth: Birth) -> NonNull<Header> {
        Header::write(cache.take(), birth)
    }

    #[inline]
    fn write(block: Block, birth: Birth) -> NonNull<Header> {
        // In a model it is there from the beginning, for loom does not see who makes it.
        let extra = match birth.name {
            None if !cfg!(loom) => ptr::null_mut(),
            name => Box::into_raw(Extra::new(name)),
        };
        let header = Header {
            state: birth.state,
            refs: AtomicU32::new(birth.refs),
            kind: birth.kind,
            boxed: birth.boxed,
            family_lock: AtomicBool::new(false),
            linked: AtomicBool::new(false),
            registered: Cell::new(false),
            class: birth.class,
            in_place: Cell::new(false),
            limits: Limits::none(),
            vtable: birth.vtable,
            id: birth.id,
            mailbox: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
            fiber: Cell::new(ptr::null()),
            wait: Cell::new(ptr::null()),
            registry: Links::new(),
            scope: Cell::new(ptr::null()),
            sibling: Links::new(),
            scopes: primitives::Cell::new(ptr::null()),
            joiner: Joiner::new(),
            site: birth.site,
            extra: AtomicPtr::new(extra),
            #[cfg(loom)]
            bell: crate::primitives::Bell::new(),
            payload: Cell::new([std::mem::MaybeUninit::uninit(); PAYLOAD_BYTES / 8]),
        };
        // SAFETY: the block has the size and alignment of a header and nobody else knows it.
        unsafe { block.as_ptr().write(header) };
        block
    }

    /// A header for models, which need its links and its state but run nothing.
    #[cfg(all(loom, test))]
    pub(crate) fn for_model() -> HeaderRef {
        let header = Header::allocate(Birth {
            kind: Kind::Green,
            state: State::unstarted(false),
            class: Class::for_usable(64 << 10).expect("an ordinary size"),
            vtable: crate::task::packet::vtable::<fn(), ()>(),
            site: Location::caller(),
            name: None,
            boxed: false,
            refs: 1,
            id: current::next_id(),
        });
        // SAFETY: S1: the one reference.
        unsafe { HeaderRef::from_owned(header) }
    }

    /// The number that people are shown.
    pub(crate) fn number(&self) -> u64 {
        shown_number(self.id)
    }

    /// Where the closure or the result lies, or the pointer to their box.
    pub(crate) fn payload(&self) -> *mut u8 {
        self.payload.as_ptr().cast()
    }

    /// The name that the program gave, if any.
    pub(crate) fn name(&self) -> Option<&str> {
        self.extra()?.name.as_deref()
    }

    /// The extra part, made on first use. Only the thread itself may use its `locals`.
    #[inline]
    pub(crate) fn extra_or_new(&self) -> &Extra {
        match self.extra() {
            Some(extra) => extra,
            None => self.new_extra(),
        }
    }

    #[cold]
    fn new_extra(&self) -> &Extra {
        let made = Box::into_raw(Extra::new(None));
        // ORDERING: Release publishes it, Acquire sees what the other one has made; both pair with
        // `extra`.
        let set = self.extra.compare_exchange(
            ptr::null_mut(),
            made,
            Ordering::Release,
            Ordering::Acquire,
        );
        let extra = match set {
            Ok(_) => made,
            Err(first) => {
                // SAFETY: from `into_raw` above, and nobody else has got it.
                drop(unsafe { Box::from_raw(made) });
                first
            }
        };
        // SAFETY: not null, set once, lives as long as the header.
        unsafe { &*extra }
    }

    /// The extra part, if there is one. Only the thread itself may use its `locals`.
    #[inline]
    pub(crate) fn extra(&self) -> Option<&Extra> {
        // ORDERING: Acquire; pairs with the Release in `new_extra`.
        let extra = self.extra.load(Ordering::Acquire);
        // SAFETY: an extra, once set, lives as long as the header.
        unsafe { extra.as_ref() }
    }

    /// Whether an unwinding of this thread, the current one, may be by a cut: then it is no panic.
    pub(crate) fn may_be_unwound_by_a_cut(&self) -> bool {
        self.extra().is_some_and(|extra| extra.cuts.get() != 0)
    }

    /// Whether the end of the runtime does not cancel the thread.
    pub(crate) fn is_kept(&self) -> bool {
        self.extra().is_some_and(|extra| extra.kept.get())
    }

    /// The doorbell of the current kernel thread, whose header this is, made on first use.
    pub(crate) fn kernel_doorbell(&self) -> io::Result<&Doorbell> {
        debug_assert_eq!(self.kind, Kind::Kernel);
        // ORDERING: Relaxed; this kernel thread alone writes it.
        if self.mailbox.load(Ordering::Relaxed).is_null() {
            let mailbox = Arc::into_raw(Arc::new(Mailbox::new())).cast_mut();
            // ORDERING: Release; pairs with `doorbell_in_use`.
            self.mailbox.store(mailbox, Ordering::Release);
        }
        self.own_mailbox().expect("set above").doorbell()
    }

    /// Says whether the next waits of the current kernel thread end by its doorbell.
    pub(crate) fn use_doorbell(&self, uses: bool) {
        self.own_mailbox().expect("it has made its doorbell").sleep_by(uses);
    }

    /// The doorbell by which the wait of a kernel thread is ended; `None`: its futex. For whoever
    /// has the duty to schedule it.
    pub(crate) fn doorbell_in_use(&self) -> Option<&Doorbell> {
        let mailbox = self.own_mailbox().filter(|mailbox| mailbox.sleeps_by_doorbell())?;
        // It is made before it is used, and by the owner only.
        mailbox.doorbell().ok()
    }

    fn own_mailbox(&self) -> Option<&Mailbox> {
        // ORDERING: Acquire; pairs with `kernel_doorbell`.
        let mailbox = self.mailbox.load(Ordering::Acquire);
        // SAFETY: the header counts a reference to it.
        unsafe { mailbox.as_ref() }
    }

    /// Counts one more reference.
    pub(crate) fn retain(&self) {
        // ORDERING: Relaxed; a new reference is made from an existing one.
        let old = self.refs.fetch_add(1, Ordering::Relaxed);
        if old > u32::MAX / 2 {
            crate::os::abort_with("a thread is referenced more than 2^31 times");
        }
    }

    /// Gives one reference up, and the block with the last.
    ///
    /// # Safety
    /// S1: the caller owns one reference to `this` and does not use it after.
    pub(crate) unsafe fn release(this: NonNull<Header>) {
        // SAFETY: S1: ours.
        unsafe { Header::release_some(this, 1) };
    }

    /// Gives two references up.
    ///
    /// # Safety
    /// S1: the caller owns two references to `this` and does not use it after.
    pub(crate) unsafe fn release_both(this: NonNull<Header>) {
        // SAFETY: S1: ours.
        unsafe { Header::release_some(this, 2) };
    }

    /// Gives `count` references up, and the block with the last.
    ///
    /// # Safety
    /// S1: the caller owns so many references to `this` and does not use it after.
    #[inline(always)]
    unsafe fn release_some(this: NonNull<Header>, count: u32) {
        // SAFETY: the caller owns a reference (S1).
        let header = unsafe { this.as_ref() };
        // The only owner need not count down: nobody else could count up.
        //
        // ORDERING: Acquire; pairs with the Release of all other owners.
        if header.refs.load(Ordering::Acquire) == count {
            // SAFETY: those were the last references.
            return unsafe { free(this) };
        }
        // ORDERING: Release; what this owner did happens before the block is freed.
        if header.refs.fetch_sub(count, Ordering::Release) != count {
            return;
        }
        // ORDERING: Acquire; pairs with the Release of all other owners.
        std::sync::atomic::fence(Ordering::Acquire);
        // SAFETY: those were the last references.
        unsafe { free(this) };
    }
}

/// Frees what the header owns, then its block.
///
/// # Safety
/// S1: no reference to `this` is left.
unsafe fn free(this: NonNull<Header>) {
    // SAFETY: the block is still ours (S1).
    let header = unsafe { this.as_ref() };
    if header.boxed {
        // SAFETY: the box was made with this vtable and its content was moved out or dropped.
        unsafe { (header.vtable.free_box)(header) };
    }
    // ORDERING: Relaxed for both; `release` has fenced.
    let mailbox = header.mailbox.load(Ordering::Relaxed);
    if !mailbox.is_null() {
        // SAFETY: the header counted this reference when it stored the pointer.
        drop(unsafe { Arc::from_raw(mailbox) });
    }
    let extra = header.extra.load(Ordering::Relaxed);
    if !extra.is_null() {
        // SAFETY: made by `Box::into_raw`, owned by the header; its locals were dropped at the
        // thread's end, so no user code runs here.
        drop(unsafe { Box::from_raw(extra) });
    }
    // SAFETY: S1: nobody else has the header any more (S1).
    drop(unsafe { header.joiner.take_thread() });
    // SAFETY: S1: `allocate` has taken it, and no reference is left (S1).
    unsafe { current::give_block(this) };
}

/// A counted reference to a header.
pub(crate) struct HeaderRef(NonNull<Header>);

// SAFETY: the header is `Sync`, and its last reference may be given up anywhere: what a free
// drops is a name, a mailbox reference and memory, never user code.
unsafe impl Send for HeaderRef {}
// SAFETY: as above.
unsafe impl Sync for HeaderRef {}

impl HeaderRef {
    /// Takes over a reference that the caller owns.
    ///
    /// # Safety
    /// S1: the caller owns one reference to `header` and hands it over.
    pub(crate) unsafe fn from_owned(header: NonNull<Header>) -> HeaderRef {
        HeaderRef(header)
    }

    /// Counts a reference to a header that is alive.
    pub(crate) fn new(header: &Header) -> HeaderRef {
        header.retain();
        HeaderRef(NonNull::from(header))
    }

    /// Hands the reference to the caller, uncounted.
    pub(crate) fn into_raw(self) -> NonNull<Header> {
        let raw = self.0;
        std::mem::forget(self);
        raw
    }
}

impl std::ops::Deref for HeaderRef {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: the reference counted by `self` keeps the header alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for HeaderRef {
    fn clone(&self) -> HeaderRef {
        HeaderRef::new(self)
    }
}

impl Drop for HeaderRef {
    fn drop(&mut self) {
        // SAFETY: S1: `self` owns the reference and goes.
        unsafe { Header::release(self.0) };
    }
}
