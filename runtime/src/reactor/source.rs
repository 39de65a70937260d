//! A socket and the threads that use it: each call tries at once, and waits where it would block.
//!
//! The socket is non-blocking underneath, whatever the program asks for; `set_nonblocking` only
//! says whether calls wait. A green thread waits at the door until its worker has collected an
//! event of the socket; see `sched::readiness`. A kernel thread waits in `poll`, for no worker is
//! its own. Both try again after that, for an event says that something has changed, and somebody
//! else may have been faster.
//!
//! A timeout bounds the waits of one call together, as the kernel's own does for blocking sockets.
//!
//! What this file must never do: close a descriptor that a poller knows, or hold anything but the
//! socket over a wait.

use std::io;
use std::os::fd::AsFd;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::clock;
use crate::os::{self, Ready};
use crate::reactor::pause;
use crate::reactor::socket::Socket;
use crate::sched::door::{self, Descriptor};
use crate::sched::readiness::{self, Entered, Interest, Readiness, Seen, Waiter};
use crate::sched::start;
use crate::sched::worker::Core;
use crate::task::{Cause, Reason, Unlink, WaitKind, current};

/// See the file's comment.
pub(crate) struct Source<S> {
    /// In a box, for pollers know its address. Dropped before the socket: it leaves the pollers.
    state: Box<State>,
    socket: S,
}

struct State {
    readiness: Readiness,
    common: Arc<Common>,
}

/// What belongs to the socket, so that its clones share it.
#[derive(Default)]
struct Common {
    /// What the program has asked for: in nanoseconds, for reading and for writing; 0: none.
    timeouts: [AtomicU64; 2],
    /// Whether calls do not wait.
    nonblocking: AtomicBool,
    /// Where threads may wait, as soon as there are clones; empty before.
    clones: Mutex<Vec<OneOfSeveral>>,
}

/// The readiness of one of several descriptors of a socket. It leaves the list before it goes.
struct OneOfSeveral(NonNull<Readiness>);

// SAFETY: a readiness may be shared, and who looks at it holds the list's lock.
unsafe impl Send for OneOfSeveral {}

/// How a wait has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waited {
    /// An attempt may succeed.
    TryAgain,
    TimedOut,
}

impl<S: Socket> Source<S> {
    /// Takes a socket over, with its timeouts, and makes it non-blocking.
    pub(crate) fn adopt(socket: S) -> io::Result<Source<S>> {
        socket.set_nonblocking(true)?;
        let timeouts = socket.timeouts()?;
        let source = Source::fresh(socket);
        for (kept, given) in source.state.common.timeouts.iter().zip(timeouts) {
            // ORDERING: Relaxed; nobody else knows it yet.
            kept.store(to_ns(given), Ordering::Relaxed);
        }
        Ok(source)
    }

    /// Takes a socket over that is non-blocking and has no timeouts.
    pub(crate) fn fresh(socket: S) -> Source<S> {
        Source::with_common(socket, Arc::default())
    }

    /// Another descriptor of the same socket, with the same settings.
    pub(crate) fn try_clone(&self) -> io::Result<Source<S>> {
        // The descriptors share the mode that keeps calls from blocking, so that is set.
        let clone = Source::with_common(self.socket.try_clone()?, self.state.common.clone());
        self.state.enlist();
        clone.state.enlist();
        Ok(clone)
    }

    fn with_common(socket: S, common: Arc<Common>) -> Source<S> {
        let state = State { readiness: Readiness::new(socket.as_fd()), common };
        Source { state: Box::new(state), socket }
    }

    /// Gives the socket away as the program left it: in blocking mode, unless it has asked for the
    /// other, and with its timeouts.
    pub(crate) fn release(self) -> S {
        let nonblocking = self.is_nonblocking();
        let Source { state, socket } = self;
        drop(state);
        if !nonblocking {
            // It is refused for no open socket.
            let _ = socket.set_nonblocking(false);
        }
        socket
    }

    /// Bounds the waits of a direction. The kernel is told too, for those to whom the socket may
    /// be given one day, and refuses what it does not accept: no time at all.
    pub(crate) fn set_timeout(
        &self,
        interest: Interest,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.socket.set_timeout(interest, timeout)?;
        // ORDERING: Relaxed; it holds for calls that begin after this one.
        self.state.common.timeouts[interest as usize].store(to_ns(timeout), Ordering::Relaxed);
        Ok(())
    }
}

impl<S: AsFd> Source<S> {
    /// The socket itself, for calls that do not wait.
    pub(crate) fn get(&self) -> &S {
        &self.socket
    }

    /// Says whether calls are to fail instead of waiting.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        // ORDERING: Relaxed; as for timeouts.
        self.state.common.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        // ORDERING: Relaxed; as above.
        self.state.common.nonblocking.load(Ordering::Relaxed)
    }

    /// Whether a green thread waits.
    #[cfg(test)]
    pub(crate) fn is_awaited(&self, interest: Interest) -> bool {
        self.state.readiness.is_awaited(interest)
    }

    /// What bounds the waits of a direction.
    pub(crate) fn timeout(&self, interest: Interest) -> Option<Duration> {
        // ORDERING: Relaxed; as above.
        match self.state.common.timeouts[interest as usize].load(Ordering::Relaxed) {
            0 => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    /// Attempts, and waits and attempts again as long as the attempt would block, or until the
    /// timeout of the direction has passed: then it gives what the system gives, `WouldBlock`.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(crate) fn perform<R>(
        &self,
        interest: Interest,
        kind: WaitKind,
        attempt: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        let deadline = || self.timeout(interest).and_then(clock::deadline_in);
        self.perform_until(interest, kind, deadline, attempt)
    }

    /// The same with a deadline, which is asked for if there is anything to wait for.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(crate) fn perform_until<R>(
        &self,
        interest: Interest,
        kind: WaitKind,
        deadline: impl FnOnce() -> Option<Instant>,
        mut attempt: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        let readiness = &self.state.readiness;
        self.pass();
        let seen = readiness.look(interest);
        let waits_first = seen.is_dry() && !self.is_nonblocking() && !current::green().is_null();
        if !waits_first {
            match attempt(&self.socket) {
                Err(error) if self.waits_after(&error) => readiness.note_dry(interest, seen),
                result => return result,
            }
        }
        self.perform_waiting(interest, kind, deadline(), seen, attempt)
    }

    /// The same for reading from a stream of bytes into `room` bytes, one at least. One that gives
    /// less is empty then, and the next call waits at once, unless there is news.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(crate) fn receive(
        &self,
        kind: WaitKind,
        room: usize,
        mut attempt: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let readiness = &self.state.readiness;
        self.perform(Interest::Read, kind, |socket| {
            let seen = readiness.look(Interest::Read);
            let received = attempt(socket);
            if let Ok(count) = received
                && 0 < count
                && count < room
            {
                readiness.note_emptied(seen);
            }
            received
        })
    }

    /// Passes the switch point of a call. One that is not to wait does not switch either: its
    /// caller may hold a lock over it that others of this worker wait for.
    // SUSPENDS
    #[inline]
    pub(crate) fn pass(&self) {
        match self.is_nonblocking() {
            true => door::charge(),
            false => door::switch_point(),
        }
    }

    /// What an attempt to read gives that would wait: where reading was ended, the end, which the
    /// kernel tells of some sockets only to those who wait in it.
    pub(crate) fn or_end<R>(
        &self,
        attempted: io::Result<R>,
        end: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        match attempted {
            Err(error) if self.waits_after(&error) && os::has_read_end(self.socket.as_fd()) => {
                end()
            }
            attempted => attempted,
        }
    }

    /// Whether an attempt that failed with `error` is waited after.
    #[inline]
    fn waits_after(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::WouldBlock && !self.is_nonblocking()
    }

    // SUSPENDS
    #[inline(never)]
    #[track_caller]
    fn perform_waiting<R>(
        &self,
        interest: Interest,
        kind: WaitKind,
        deadline: Option<Instant>,
        mut seen: Seen,
        mut attempt: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        let readiness = &self.state.readiness;
        let reason = self.reason(kind);
        loop {
            if self.wait(interest, seen, reason, deadline)? == Waited::TimedOut {
                return Err(would_block());
            }
            seen = readiness.look(interest);
            match attempt(&self.socket) {
                Err(error) if self.waits_after(&error) => readiness.note_dry(interest, seen),
                result => {
                    // There may be enough for the next one.
                    readiness.hand_on(interest);
                    return result;
                }
            }
        }
    }

    #[track_caller]
    fn reason(&self, kind: WaitKind) -> Reason {
        let mut reason = Reason::new(kind, Location::caller());
        reason.object = ptr::from_ref(&*self.state).addr();
        reason
    }

    /// Waits once.
    // SUSPENDS
    fn wait(
        &self,
        interest: Interest,
        seen: Seen,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> io::Result<Waited> {
        if start::is_forked_child() {
            // The poller would be the parent's.
            return Err(start::forked_error());
        }
        let waited = match Core::current().filter(|_| !current::green().is_null()) {
            Some(core) => self.wait_green(core, interest, reason, deadline),
            None => self.wait_kernel(interest, seen, reason, deadline),
        };
        match waited {
            Err(error) if os::is_exhaustion(&error) => {
                // No descriptors are left for what a wait stands on. A thread that has a socket
                // already is not to fail for want of more.
                pause::pause_longest(reason, deadline);
                let is_over = deadline.is_some_and(|at| at <= clock::now());
                Ok(if is_over { Waited::TimedOut } else { Waited::TryAgain })
            }
            waited => waited,
        }
    }

    // SUSPENDS
    fn wait_green(
        &self,
        core: &Core,
        interest: Interest,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> io::Result<Waited> {
        let readiness = &self.state.readiness;
        let poller = core.poller()?;
        loop {
            // SAFETY: S1: the box does not move, and goes before the socket is closed or given
            // away.
            unsafe { readiness.follow(poller) }?;
            let pending = door::begin_in_call();
            let (thread, sequence) = (pending.header(), pending.sequence());
            let waiter = Waiter::new(readiness, interest, thread, sequence, Arc::as_ptr(poller));
            match readiness.enter(&waiter) {
                Entered::Queued => {
                    core.note_descriptor_wait(thread);
                    let leaving = Leaving::new(readiness, &waiter, core.seeded.is_none());
                    let waiter = ptr::from_ref(&waiter).cast();
                    let unlink = Unlink { waiter, call: readiness::leave_leaked };
                    let cause = pending.wait_in_queue(reason, deadline, Some(unlink));
                    return Ok(leaving.after(cause, deadline));
                }
                Entered::TryAgain => {
                    pending.abandon();
                    return Ok(Waited::TryAgain);
                }
                Entered::Moved => {
                    pending.abandon();
                }
            }
        }
    }

    // SUSPENDS
    fn wait_kernel(
        &self,
        interest: Interest,
        seen: Seen,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> io::Result<Waited> {
        let readiness = &self.state.readiness;
        let me = current::me();
        let doorbell = me.kernel_doorbell()?;
        let pending = door::begin(false);
        let (thread, sequence) = (pending.header(), pending.sequence());
        let waiter = Waiter::new(readiness, interest, thread, sequence, ptr::null());
        if readiness.enter_kernel(&waiter, seen) != Entered::Queued {
            pending.abandon();
            return Ok(Waited::TryAgain);
        }
        // It also ends its wait itself, so its waiter may be in somebody's hands still.
        let leaving = Leaving::new(readiness, &waiter, false);
        let (fd, to_write) = (self.socket.as_fd(), interest == Interest::Write);
        let descriptor = Descriptor { fd, to_write, doorbell };
        let cause = pending.wait_for_descriptor(descriptor, reason, deadline);
        Ok(leaving.after(cause, deadline))
    }

    /// Tells those who wait, at clones too, of an end for which there is no event.
    pub(crate) fn call_all(&self, read: bool, write: bool) {
        let ready = Ready { read, write, read_ends: true };
        let clones = self.state.common.clones();
        if clones.is_empty() {
            self.state.readiness.call_all(ready);
        }
        for clone in clones.iter() {
            // SAFETY: it leaves the list, which is locked, before it goes.
            unsafe { clone.0.as_ref() }.call_all(ready);
        }
    }
}

impl Common {
    fn clones(&self) -> MutexGuard<'_, Vec<OneOfSeveral>> {
        self.clones.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl State {
    /// Enters the list of clones, once. In a box by then, so it stays where it is.
    fn enlist(&self) {
        let me = NonNull::from(&self.readiness);
        let mut clones = self.common.clones();
        if clones.iter().all(|clone| clone.0 != me) {
            clones.push(OneOfSeveral(me));
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let me = NonNull::from(&self.readiness);
        self.common.clones().retain(|clone| clone.0 != me);
    }
}

/// Leaves the queue at the end of a wait, also of one that is unwound.
struct Leaving<'a> {
    readiness: &'a Readiness,
    waiter: &'a Waiter,
    /// Whether the thread tries next, and so answers for a wake that was meant for one.
    tries: bool,
    /// Whether only who takes the waiter out of the queue wakes its thread; and whether that was
    /// so.
    trusts_wakes: bool,
    was_woken: bool,
}

impl<'a> Leaving<'a> {
    fn new(readiness: &'a Readiness, waiter: &'a Waiter, trusts_wakes: bool) -> Leaving<'a> {
        Leaving { readiness, waiter, tries: false, trusts_wakes, was_woken: false }
    }

    fn after(mut self, cause: Cause, deadline: Option<Instant>) -> Waited {
        // A wait may end for nothing before its time.
        let is_over = || deadline.is_some_and(|at| at <= clock::now());
        self.tries = cause != Cause::TimedOut || !is_over();
        self.was_woken = self.trusts_wakes && cause == Cause::Woken;
        if self.tries { Waited::TryAgain } else { Waited::TimedOut }
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.readiness.leave(self.waiter, self.was_woken) && !self.tries {
            self.readiness.hand_on(self.waiter.interest());
        }
    }
}

/// What a blocking socket of the system says when its time is over.
fn would_block() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

/// No timeout is 0, and none is too short to be one.
fn to_ns(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1))
}
