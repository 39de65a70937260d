//! The state word of a thread: who runs it, what may end its wait, and who must schedule it.
//!
//! Wakes come from anywhere: another worker, a timer, a kernel thread of no runtime, and they race
//! with the waiting thread itself, with each other, and with cancellation. One 64-bit word decides
//! all of these races. It changes only through the methods below, each of which returns what its
//! caller now owes; a lost duty is a compiler warning (`#[must_use]`), not a lost wake.
//!
//! A wait is a pair of steps. `begin_wait` opens it under a fresh sequence number, *before* the
//! waiting side tells anyone that it waits; `commit_wait` closes the window after the thread has
//! left its stack. A wake that lands between the two clears `IN_WAIT`, so the commit finds that
//! the wait is over and the thread is run again. A wake of an earlier wait carries an old number
//! and is dropped. A wait of which nobody is told (park, sleep) is opened by its commit alone.
//!
//! Each change is a locked instruction, so there is none to say that the thread runs again: it
//! reads why its wait ended, and the next wait clears the bits.
//!
//! This file must never touch anything but the word: queues and futexes belong to the callers.

#[cfg(all(loom, test))]
mod models;
mod terms;

use crate::primitives::{AtomicU64, Ordering};

pub(crate) use terms::{Accepts, AtEnd, Cause, Commit, Dropped, Duty, Sequence};

/// The state word.
///
/// | bits | name | meaning |
/// |---|---|---|
/// | 0..3 | life | `NEW`, `RUNNING`, `WAITING`, `READY` (can run, or runs), `FINISHED` |
/// | 3 | `PERMIT` | an `unpark` came; ends only waits that accept it |
/// | 4 | `WOKEN` | the current wait was ended by a wake with its number |
/// | 5 | `CANCEL` | somebody wants this thread to end; never cleared |
/// | 6 | `ACCEPTS_PERMIT` | the current wait ends on `PERMIT` |
/// | 7 | `ACCEPTS_CANCEL` | the current wait ends on `CANCEL` |
/// | 8 | `HANDLE` | a join handle exists that will take or drop the result |
/// | 9 | `JOINER` | a joiner is registered in the header and must be woken at the end |
/// | 10 | `IN_WAIT` | a wait is open: begun and not yet ended by anything |
/// | 11 | `TIMED_OUT` | the current wait was ended by its deadline |
/// | 12 | `UNPARKED` | the current wait was ended by a permit, which it has consumed |
/// | 13 | `INTERRUPT` | a region that the thread is in was cancelled; see `region` |
/// | 15 | `ACCEPTS_INTERRUPT` | the current wait ends on `INTERRUPT` |
/// | 16..64 | sequence | number of the current or last wait |
///
/// Legal combinations: `WAITING` implies `IN_WAIT`; of `IN_WAIT`, `WOKEN`, `TIMED_OUT` and
/// `UNPARKED` there is one at most; without `IN_WAIT` they, and `ACCEPTS_*`, tell of the last wait
/// and mean nothing to anybody but the thread itself. A thread that merely yields stays what it
/// is: the queue that holds it owns it. `NEW` is a thread before its first wait, whether it has
/// started or not: nobody needs to know, and to mark the start would be one more locked change.
///
/// 2^48 waits at one per nanosecond take three days, and a stale wake would have to survive all
/// of them to be mistaken, so the sequence may wrap.
pub(crate) struct State(AtomicU64);

const LIFE: u64 = 0b111;
const NEW: u64 = 0;
const RUNNING: u64 = 1;
const WAITING: u64 = 2;
const READY: u64 = 3;
const FINISHED: u64 = 4;

const PERMIT: u64 = 1 << 3;
const WOKEN: u64 = 1 << 4;
const CANCEL: u64 = 1 << 5;
const ACCEPTS_PERMIT: u64 = 1 << 6;
const ACCEPTS_CANCEL: u64 = 1 << 7;
const HANDLE: u64 = 1 << 8;
const JOINER: u64 = 1 << 9;
const IN_WAIT: u64 = 1 << 10;
const TIMED_OUT: u64 = 1 << 11;

const UNPARKED: u64 = 1 << 12;
const INTERRUPT: u64 = 1 << 13;
const ACCEPTS_INTERRUPT: u64 = 1 << 15;

const ACCEPTS: u64 = ACCEPTS_PERMIT | ACCEPTS_CANCEL | ACCEPTS_INTERRUPT;
const WAIT_BITS: u64 = WOKEN | ACCEPTS | IN_WAIT | TIMED_OUT | UNPARKED;
const SEQUENCE_SHIFT: u32 = 16;
const SEQUENCE_ONE: u64 = 1 << SEQUENCE_SHIFT;

impl State {
    /// A thread that has not started, with or without a join handle.
    pub(crate) fn unstarted(handle: bool) -> State {
        State(AtomicU64::new(NEW | if handle { HANDLE } else { 0 }))
    }

    /// A thread that runs already: a kernel thread that meets sylvan.
    pub(crate) fn running() -> State {
        State(AtomicU64::new(RUNNING))
    }

    /// Opens a wait and gives its number. Only the thread itself calls it.
    pub(crate) fn begin_wait(&self, accepts: Accepts) -> Sequence {
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            debug_assert_eq!(word & IN_WAIT, 0, "a wait inside a wait");
            let next = next_wait(word) | RUNNING | accepts.bits();
            // ORDERING: Relaxed; the number reaches wakers through a structure that publishes it.
            match self.0.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Sequence(next >> SEQUENCE_SHIFT),
                Err(now) => word = now,
            }
        }
    }

    /// The number of the thread's next wait. Only the thread itself calls it.
    pub(crate) fn next_sequence(&self) -> Sequence {
        // ORDERING: Relaxed; nobody else changes the number.
        Sequence(next_wait(self.0.load(Ordering::Relaxed)) >> SEQUENCE_SHIFT)
    }

    /// Takes a permit without waiting, if one is there.
    pub(crate) fn try_take_permit(&self) -> bool {
        // ORDERING: Relaxed; a first look. Acquire below pairs with the Release in `unpark`.
        if self.0.load(Ordering::Relaxed) & PERMIT == 0 {
            return false;
        }
        // ORDERING: Acquire; pairs with `unpark`, whose caller's writes the parker may now read.
        self.0.fetch_and(!PERMIT, Ordering::Acquire) & PERMIT != 0
    }

    /// Ends a wait that was begun but not entered. Only the thread itself calls it.
    ///
    /// Gives true when a wake had already ended it: the caller then passes that wake on, or has
    /// got what it waited for.
    pub(crate) fn abandon_wait(&self) -> bool {
        // ORDERING: Acquire; a wake that landed publishes what it was about.
        self.0.fetch_and(!WAIT_BITS, Ordering::Acquire) & WOKEN != 0
    }

    /// Whether nothing has ended the wait yet that was begun. Only the thread itself calls it.
    pub(crate) fn is_wait_open(&self) -> bool {
        // ORDERING: Relaxed; a hint, for the commit looks again.
        self.0.load(Ordering::Relaxed) & IN_WAIT != 0
    }

    /// Marks the thread waiting, after it has left its stack (commit after switch).
    pub(crate) fn commit_wait(&self) -> Commit {
        self.commit(|word| word)
    }

    /// Opens a wait of which nobody was told, and commits it.
    pub(crate) fn commit_unannounced(&self, accepts: Accepts) -> Commit {
        self.commit(|word| next_wait(word) | accepts.bits())
    }

    /// Commits the wait that is open in what `open` makes of the word.
    #[inline(always)]
    fn commit(&self, open: impl Fn(u64) -> u64) -> Commit {
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let wait = open(word) & !LIFE;
            let next = if wait & IN_WAIT == 0 {
                wait | READY
            } else if wait & PERMIT != 0 && wait & ACCEPTS_PERMIT != 0 {
                (wait & !(IN_WAIT | PERMIT)) | READY | UNPARKED
            } else if is_cut_off(wait) {
                (wait & !IN_WAIT) | READY
            } else {
                wait | WAITING
            };
            // ORDERING: Release publishes the saved stack and the fiber link to whoever schedules
            // the thread next; Acquire sees what an early wake published. Pairs with `wake`,
            // `unpark`, `cancel`, `time_out`.
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if next & LIFE == WAITING => return Commit::Waiting,
                Ok(_) => return Commit::Ready,
                Err(now) => word = now,
            }
        }
    }

    /// Ends the wait `sequence`. Gives [`Duty::Nothing`] when that wait has ended otherwise, so
    /// that the waker can pass its wake on.
    pub(crate) fn wake(&self, sequence: Sequence) -> Duty {
        self.end_wait(|word| {
            if word & IN_WAIT != 0 && word >> SEQUENCE_SHIFT == sequence.0 {
                Some(WOKEN)
            } else {
                None
            }
        })
    }

    /// Gives the permit, and ends the wait if it accepts one.
    pub(crate) fn unpark(&self) -> Duty {
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let ends = word & LIFE == WAITING && word & ACCEPTS_PERMIT != 0;
            let next = if ends { ready(word) | UNPARKED } else { word | PERMIT };
            // Written even when the permit is there already: the caller's writes must reach the
            // parker all the same.
            //
            // ORDERING: Release pairs with the Acquire of `try_take_permit`, `commit` and `cause`;
            // Acquire pairs with `commit_wait`, whose stack we are about to hand on.
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if ends => return Duty::Schedule,
                Ok(_) => return Duty::Noted,
                Err(now) => word = now,
            }
        }
    }

    /// Asks the thread to end, and ends its wait if that accepts cancellation.
    pub(crate) fn cancel(&self) -> Duty {
        self.cut_off(CANCEL)
    }

    /// Tells the thread that a region which it is in was cancelled, and ends its wait if that
    /// accepts it. The caller keeps the thread from leaving that region meanwhile.
    pub(crate) fn interrupt(&self) -> Duty {
        self.cut_off(INTERRUPT)
    }

    fn cut_off(&self, bit: u64) -> Duty {
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & LIFE == FINISHED {
                return Duty::Nothing;
            }
            let marked = word | bit;
            let ends = word & LIFE == WAITING && is_cut_off(marked);
            let next = if ends { ready(marked) } else { marked };
            // ORDERING: as in `unpark`.
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if ends => return Duty::Schedule,
                Ok(_) => return Duty::Noted,
                Err(now) => word = now,
            }
        }
    }

    /// Forgets that a region was cancelled. Only the thread itself calls it, under its family lock.
    pub(crate) fn clear_interrupt(&self) {
        // ORDERING: Relaxed; the lock orders it.
        self.0.fetch_and(!INTERRUPT, Ordering::Relaxed);
    }

    /// Ends the wait `sequence` because its deadline has passed. A wake that came first wins.
    pub(crate) fn time_out(&self, sequence: Sequence) -> Duty {
        self.end_wait(|word| {
            let same = word >> SEQUENCE_SHIFT == sequence.0;
            if word & IN_WAIT != 0 && same { Some(TIMED_OUT) } else { None }
        })
    }

    /// Why the wait ended from which the thread has just come back. Only the thread itself calls
    /// it.
    pub(crate) fn cause(&self) -> Cause {
        // ORDERING: Acquire pairs with the Release of whoever ended the wait.
        let word = self.0.load(Ordering::Acquire);
        debug_assert_eq!(word & IN_WAIT, 0, "a thread came back from a wait that is open");
        if word & WOKEN != 0 {
            Cause::Woken
        } else if word & UNPARKED != 0 {
            Cause::Permit
        } else if word & TIMED_OUT != 0 {
            Cause::TimedOut
        } else {
            Cause::Cancelled
        }
    }

    /// Registers a joiner whose identity the header holds by now. False: the thread has finished
    /// and will not wake anybody.
    pub(crate) fn register_joiner(&self) -> bool {
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & LIFE == FINISHED {
                // ORDERING: Acquire; pairs with `finish`: the result may now be read.
                self.0.load(Ordering::Acquire);
                return false;
            }
            // ORDERING: Release publishes the joiner's fields; pairs with the Acquire in `finish`.
            match self.0.compare_exchange_weak(
                word,
                word | JOINER,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the registration of a joiner back, for another one or for none. False: the thread has
    /// ended, and the joiner is the ending side's.
    pub(crate) fn take_back_joiner(&self) -> bool {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Acquire, |word| {
            (word & LIFE != FINISHED).then_some(word & !JOINER)
        });
        // ORDERING: Relaxed; the fields are the caller's own again, who has written them. Acquire
        // of a failure pairs with `finish`: the result may now be read.
        taken.is_ok()
    }

    /// Gives the join handle up. Only its owner calls it, so the bit is there.
    pub(crate) fn drop_handle(&self) -> Dropped {
        // ORDERING: AcqRel; Acquire pairs with `finish` (the result), Release with `finish` too:
        // what the handle's owner did happens before the finishing side drops the result.
        let old = self.0.fetch_sub(HANDLE, Ordering::AcqRel);
        debug_assert_ne!(old & HANDLE, 0, "a handle is dropped once");
        if old & LIFE == FINISHED { Dropped::Finished } else { Dropped::GivenToThread }
    }

    /// Of a finished thread: whether its handle has got the scheduler's reference too.
    pub(crate) fn is_left_to_handle(&self) -> bool {
        // ORDERING: Relaxed; the caller has seen FINISHED, and no joiner registers after that.
        self.0.load(Ordering::Relaxed) & JOINER == 0
    }

    /// Whether a join handle will take the result. Read by the finishing side: when it says
    /// false, no handle can come back, and the result is dropped at home.
    pub(crate) fn has_handle(&self) -> bool {
        // ORDERING: Acquire; pairs with `drop_handle`.
        self.0.load(Ordering::Acquire) & HANDLE != 0
    }

    /// Ends the thread, if the result may stay for a handle. `Err`: the handle has gone meanwhile,
    /// so the caller drops the result first and calls [`State::finish`].
    pub(crate) fn finish_for_handle(&self) -> Result<AtEnd, ()> {
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & HANDLE == 0 {
                return Err(());
            }
            let next = (word & !LIFE) | FINISHED;
            // ORDERING: Release publishes the result to the joiner; Acquire sees the joiner's
            // fields. Pairs with `register_joiner`, `is_finished`, `drop_handle`.
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if word & JOINER != 0 => return Ok(AtEnd::WakeJoiner),
                Ok(_) => return Ok(AtEnd::LeftToHandle),
                Err(now) => word = now,
            }
        }
    }

    /// Ends a thread without a handle, whose result nobody will take.
    pub(crate) fn finish(&self) -> AtEnd {
        // ORDERING: Acquire; pairs with `drop_handle`: the handle's reference is the caller's.
        let word = self.0.load(Ordering::Acquire);
        debug_assert_eq!(word & HANDLE, 0, "somebody may take the result");
        // Not in one step: a permit or a cancellation that comes between the two is lost, and the
        // thread has no more use for either. A joiner that registered has left its wait by
        // unwinding, or its handle would still be there.
        // ORDERING: Release; pairs with `is_finished`.
        self.0.store((word & !LIFE) | FINISHED, Ordering::Release);
        AtEnd::Alone
    }

    /// Whether the thread has ended and its result, if kept, may be read.
    pub(crate) fn is_finished(&self) -> bool {
        // ORDERING: Acquire; pairs with `finish`.
        self.0.load(Ordering::Acquire) & LIFE == FINISHED
    }

    /// Whether somebody wants this thread to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        // ORDERING: Acquire; the canceller's writes before the call may be read after it.
        self.0.load(Ordering::Acquire) & CANCEL != 0
    }

    /// Whether somebody wants this thread, or a region that it is in, to end.
    #[inline(always)]
    pub(crate) fn is_called_off(&self) -> bool {
        // ORDERING: Acquire; as above.
        self.0.load(Ordering::Acquire) & (CANCEL | INTERRUPT) != 0
    }

    /// One word for reports.
    pub(crate) fn life(&self) -> &'static str {
        // ORDERING: Relaxed; a report is a snapshot.
        match self.0.load(Ordering::Relaxed) & LIFE {
            // Those who are not started are not reported singly.
            NEW | RUNNING | READY => "running",
            WAITING => "waiting",
            _ => "finished",
        }
    }

    /// The 32 bits on which a kernel thread sleeps, and what they hold while it waits; `None`
    /// when its wait is over. The low half carries the life and all flags.
    #[cfg(not(loom))]
    pub(crate) fn futex(&self) -> (&std::sync::atomic::AtomicU32, Option<u32>) {
        // ORDERING: Acquire; pairs with whoever ended the wait.
        let word = self.0.load(Ordering::Acquire);
        let halves = self.0.as_ptr().cast::<std::sync::atomic::AtomicU32>();
        let index = if cfg!(target_endian = "little") { 0 } else { 1 };
        // SAFETY: `index` is 0 or 1, inside the eight bytes of the word.
        let low = unsafe { halves.add(index) };
        // SAFETY: both halves are aligned for `AtomicU32`, live as long as `self`, and are
        // accessed here only by the kernel, through the futex call; Rust code reads the word whole.
        let low = unsafe { &*low };
        (low, (word & LIFE == WAITING).then_some(word as u32))
    }

    /// Ends the open wait if `decide` says by which bit.
    fn end_wait(&self, decide: impl Fn(u64) -> Option<u64>) -> Duty {
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let Some(bit) = decide(word) else { return Duty::Nothing };
            let waiting = word & LIFE == WAITING;
            let next = if waiting { ready(word) | bit } else { (word & !IN_WAIT) | bit };
            // ORDERING: Release publishes what the wake is about; Acquire pairs with
            // `commit_wait`, whose stack the caller is about to hand on.
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if waiting => return Duty::Schedule,
                Ok(_) => return Duty::Noted,
                Err(now) => word = now,
            }
        }
    }
}

/// A word whose last wait is forgotten and the next one counted, without its bits and its life. The
/// carry out of bit 63 is the wrap.
fn next_wait(word: u64) -> u64 {
    (word & !LIFE & !WAIT_BITS).wrapping_add(SEQUENCE_ONE)
}

/// Whether a cancellation that has come ends the open wait. Each of the two bits that accept one
/// stands as far above what it accepts.
#[inline(always)]
fn is_cut_off(word: u64) -> bool {
    const DISTANCE: u32 = ACCEPTS_CANCEL.ilog2() - CANCEL.ilog2();
    const { assert!(INTERRUPT << DISTANCE == ACCEPTS_INTERRUPT) };
    word & (word >> DISTANCE) & (CANCEL | INTERRUPT) != 0
}

/// `WAITING` becomes `READY`, and the wait is closed.
fn ready(word: u64) -> u64 {
    (word & !LIFE & !IN_WAIT) | READY
}
