//! `block_on`: a thread, green or kernel, waits for a future.
//!
//! A future is asked again and again whether it has come (it is *polled*), and is given a waker by
//! which it, or whoever works for it, says when to ask again. Here the caller itself asks, on its
//! own stack, and waits in between like at any other call: others of its worker run meanwhile.
//!
//! # The protocol
//!
//! A call has two wakers. The *borrowed* one is handed out first; it refers to the [`Call`] on the
//! caller's stack and costs nothing, so neither does a future that is ready at once. As a waker
//! outlives the call as long as its owner likes, a clone is another one: it counts a [`Signal`] on
//! the heap, which the first clone makes. Once there is a signal, later polls are given a waker of
//! that, so that a future finds the one that it keeps still good (`will_wake`).
//!
//! The signal's word is one of
//!
//! | word | meaning |
//! |---|---|
//! | `IDLE` | nobody has woken since the last poll began, and the caller does not wait |
//! | `WOKEN` | somebody has |
//! | `WAITING` | nobody has, and the caller waits at the word's address, or is about to |
//!
//! - *The caller*, when a poll has said "not yet", changes `IDLE` to `WAITING` and waits as long as
//!   the word is that. When it is `WOKEN`, at once or later, it makes it `IDLE` and polls.
//! - *A waker* changes the word to `WOKEN`, and if it was `WAITING`, wakes the address.
//!
//! Why no wake is lost: the word becomes `IDLE` before the poll begins, so whatever comes from then
//! on is found behind it. One that comes before `WAITING` makes that change fail; one that comes
//! after it finds `WAITING` and wakes, and either the caller is in the queue by then, or its look
//! at the word under the queue's lock, which the waker takes after its change, finds it changed
//! (see `sync::address`).
//!
//! A waker that was late may wake the address while the caller waits there anew; the word is still
//! `WAITING` then, and the caller waits on. After the call nobody waits at the address, and the
//! signal lives as long as it has wakers, so no other object comes to lie there: a wake is harmless
//! at any time, and on any thread.
//!
//! The borrowed waker has a flag in the call. It can only be used during a poll, in which the
//! caller does not wait for it, so it has nobody to wake.
//!
//! No wait is open while a future is polled: it may wait itself, and call `block_on` again, each
//! call with words of its own.

#[cfg(all(loom, test))]
mod models;

use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::primitives::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use crate::sched::door;
use crate::sync::address::{self, Ended};
use crate::task::{Reason, WaitKind};

/// Waits for `future` and returns its output.
///
/// The bridge to libraries that are written for `async`: the future is polled by the calling
/// thread, on its stack, and may be one that only this thread may touch. It need not be `'static`.
///
/// Futures that need a runtime of their own, such as tokio's timers and sockets, need it here, too;
/// it has kernel threads of its own and runs beside sylvan. The simplest is to leave the future to
/// it and wait for the task: `block_on(tokio.spawn(future))`. What shall be polled by the caller
/// has to find its runtime when it is made, or else at each poll (what is written as `async fn`),
/// which an entered context of tokio's is for:
///
/// ```text
/// let sleep = { let _entered = tokio.enter(); tokio::time::sleep(duration) };
/// sylvan::block_on(sleep);
///
/// let mut stream = Box::pin(TcpStream::connect(address));
/// sylvan::block_on(poll_fn(|context| {
///     let _entered = tokio.enter();
///     stream.as_mut().poll(context)
/// }));
/// ```
///
/// **Hold no enter guard over a wait.** Guards of that kind (tokio's `Handle::enter`, the entered
/// spans of tracing) write into a variable of the kernel thread and restore it in reverse order
/// when they go. The threads of a worker share its variables and take turns whenever one waits, so
/// a guard that is held meanwhile is seen by its neighbours, and two of them are undone in the
/// wrong order, by which tokio panics. Enter, make the future or poll it, leave, and wait then. A
/// future that waits by a call of sylvan's *within* a poll for which somebody has entered something
/// holds that guard over its wait; there, write `await`.
///
/// On a thread of tokio's it blocks that thread, like every blocking call; there, write `await`.
///
/// # Blocking
///
/// Waits until the future has come; the waker that it is given ends the wait of this call and no
/// other. A cancellation ends the wait by unwinding, which drops the future. A future that wakes
/// itself for ever shares its worker with others, and can be cancelled. A kernel thread blocks.
///
/// # Panics
///
/// If the future does, with its payload.
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use sylvan::thread;
///
/// let mut is_asked_again = false;
/// let answer = sylvan::block_on(poll_fn(|context| {
///     if is_asked_again {
///         return Poll::Ready(42);
///     }
///     is_asked_again = true;
///     let waker = context.waker().clone();
///     thread::spawn(move || waker.wake());
///     Poll::Pending
/// }));
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    // Made before the future, so that it goes after it.
    let call = Call::new();
    let borrowed = call.waker();
    let mut counted = None;
    let mut future = pin!(future.into_future());
    door::switch_point();
    loop {
        let mut context = Context::from_waker(counted.as_ref().unwrap_or(&borrowed));
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        call.wait(Location::caller());
        if counted.is_none() {
            counted = call.signal().map(into_waker);
        }
    }
}

/// What a call of `block_on` has on its stack.
struct Call {
    /// Whether the borrowed waker was used since the caller looked.
    is_woken: AtomicBool,
    /// A counted reference; null until somebody needs one.
    signal: AtomicPtr<Signal>,
}

impl Call {
    #[inline]
    fn new() -> Call {
        Call { is_woken: AtomicBool::new(false), signal: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The borrowed waker.
    #[inline]
    fn waker(&self) -> ManuallyDrop<Waker> {
        let call = ptr::from_ref(self).cast();
        // SAFETY: the functions of `BORROWED` are for this, from any thread, as long as the call
        // lives; the waker is only lent to polls, which its frame outlives.
        ManuallyDrop::new(unsafe { Waker::new(call, &BORROWED) })
    }

    /// Waits until somebody has woken since the last poll began.
    // SUSPENDS
    #[cold]
    fn wait(&self, site: &'static Location<'static>) {
        // ORDERING: Acquire; pairs with the Release of `wake_borrowed`.
        if self.is_woken.swap(false, Ordering::Acquire) {
            door::switch_point();
        } else {
            // Even if nobody has a waker, for a cancellation ends the wait as well.
            self.signal_or_new().wait(site);
        }
    }

    fn signal(&self) -> Option<Arc<Signal>> {
        // ORDERING: Acquire; pairs with the Release of whoever has made it.
        let signal = self.signal.load(Ordering::Acquire);
        if signal.is_null() {
            return None;
        }
        // SAFETY: it came from `Arc::into_raw`, and the call counts a reference until it goes.
        unsafe { Arc::increment_strong_count(signal) };
        // SAFETY: the reference that was counted just now.
        Some(unsafe { Arc::from_raw(signal) })
    }

    /// The signal, made by the first who asks. Not a `OnceLock`, which would let one who comes
    /// meanwhile block its worker.
    fn signal_or_new(&self) -> Arc<Signal> {
        if let Some(signal) = self.signal() {
            return signal;
        }
        let signal = Arc::new(Signal { word: AtomicU32::new(IDLE) });
        let counted = Arc::into_raw(signal.clone()).cast_mut();
        // ORDERING: Release publishes what it points to, Acquire what another one has made.
        let entered = self.signal.compare_exchange(
            ptr::null_mut(),
            counted,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if entered.is_ok() {
            return signal;
        }
        // SAFETY: made above, and the call has not got it.
        drop(unsafe { Arc::from_raw(counted) });
        self.signal().expect("another one has made it, and it stays")
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Acquire; as in `signal`.
        let signal = self.signal.load(Ordering::Acquire);
        if !signal.is_null() {
            // SAFETY: the call's own reference.
            drop(unsafe { Arc::from_raw(signal) });
        }
    }
}

/// The borrowed waker, whose data is a [`Call`].
static BORROWED: RawWakerVTable =
    RawWakerVTable::new(clone_borrowed, wake_borrowed, wake_borrowed, drop_borrowed);

/// # Safety
/// S1: `call` is a [`Call`] that lives.
unsafe fn clone_borrowed(call: *const ()) -> RawWaker {
    // SAFETY: S1 is ours.
    into_raw_waker(unsafe { &*call.cast::<Call>() }.signal_or_new())
}

/// # Safety
/// S1: `call` is a [`Call`] that lives.
unsafe fn wake_borrowed(call: *const ()) {
    // SAFETY: S1 is ours.
    let call = unsafe { &*call.cast::<Call>() };
    // ORDERING: Release; what was done before is seen by the poll that follows. A swap, for it may
    // be set already by another one, who has something to publish as well.
    call.is_woken.swap(true, Ordering::Release);
}

/// # Safety
/// None: it owns nothing.
unsafe fn drop_borrowed(_call: *const ()) {}

/// What the wakers of a call count.
struct Signal {
    /// See the table in the file's head. Only the caller changes it to `IDLE` and `WAITING`, only
    /// wakers to `WOKEN`.
    word: AtomicU32,
}

const IDLE: u32 = 0;
const WOKEN: u32 = 1;
const WAITING: u32 = 2;

impl Signal {
    /// Waits until the word is `WOKEN`, and makes it `IDLE`.
    // SUSPENDS
    fn wait(&self, site: &'static Location<'static>) {
        let mut has_waited = false;
        // ORDERING: Relaxed, both; `WOKEN` is read once more below.
        let begun = self.word.compare_exchange(IDLE, WAITING, Ordering::Relaxed, Ordering::Relaxed);
        // ORDERING: Relaxed; as above.
        while begun.is_ok() && self.word.load(Ordering::Relaxed) == WAITING {
            let reason = Reason::new(WaitKind::Future, site);
            has_waited |= address::wait(&self.word, WAITING, reason, None) != Ended::NotQueued;
        }
        // ORDERING: Acquire; pairs with the Release of all who have woken since the last time.
        self.word.swap(IDLE, Ordering::Acquire);
        if !has_waited {
            // The others have had no turn by this call, and may wait for one for ever.
            door::switch_point();
        }
    }

    /// What each counted waker does. The caller of `block_on` may be gone; the word is not, for who
    /// calls this counts a reference.
    fn wake(&self) {
        // ORDERING: Release; pairs with the Acquire of the caller, whose next poll sees what was
        // done before. Also where it is `WOKEN` already.
        if self.word.swap(WOKEN, Ordering::Release) == WAITING {
            address::wake(ptr::from_ref(&self.word).cast(), 1);
        }
    }
}

/// The counted wakers, whose data is a [`Signal`] out of an `Arc`. Not made by std's `Wake`, whose
/// table may be there several times, and `will_wake` compares its address.
static COUNTED: RawWakerVTable =
    RawWakerVTable::new(clone_counted, wake_counted, wake_counted_by_ref, drop_counted);

/// A waker that owns the reference.
fn into_raw_waker(signal: Arc<Signal>) -> RawWaker {
    RawWaker::new(Arc::into_raw(signal).cast(), &COUNTED)
}

fn into_waker(signal: Arc<Signal>) -> Waker {
    // SAFETY: the functions of `COUNTED` are for what `into_raw_waker` gives, from any thread.
    unsafe { Waker::from_raw(into_raw_waker(signal)) }
}

/// # Safety
/// S1: `signal` is the data of a counted waker.
unsafe fn clone_counted(signal: *const ()) -> RawWaker {
    // SAFETY: it came from `Arc::into_raw`, and its waker counts a reference (S1).
    unsafe { Arc::increment_strong_count(signal.cast::<Signal>()) };
    RawWaker::new(signal, &COUNTED)
}

/// # Safety
/// S1: `signal` is the data of a counted waker, whose reference the caller hands over.
unsafe fn wake_counted(signal: *const ()) {
    // SAFETY: S1: the waker's reference.
    let signal = unsafe { Arc::from_raw(signal.cast::<Signal>()) };
    signal.wake();
}

/// # Safety
/// S1: `signal` is the data of a counted waker.
unsafe fn wake_counted_by_ref(signal: *const ()) {
    // SAFETY: its waker counts a reference (S1).
    unsafe { &*signal.cast::<Signal>() }.wake();
}

/// # Safety
/// S1: `signal` is the data of a counted waker, whose reference the caller hands over.
unsafe fn drop_counted(signal: *const ()) {
    // SAFETY: S1: the waker's reference.
    drop(unsafe { Arc::from_raw(signal.cast::<Signal>()) });
}
