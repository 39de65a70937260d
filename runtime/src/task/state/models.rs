//! Loom models of the state word: every order of its changes, and every value that a weakly
//! ordered machine may show.
//!
//! A model's thread stands for a green thread and the worker under it: it begins a wait, commits
//! it, and goes on only when the party with the duty to schedule it says so, for ever if nobody
//! does. What the parties tell each other lies in tracked cells, so a missing Release or Acquire
//! shows as a race.
//!
//! Run them by `RUSTFLAGS="--cfg loom" cargo test -p sylvan --lib --release models`.

mod interrupts;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Accepts, AtEnd, Cause, Commit, Dropped, Duty, Sequence, State};
use crate::primitives::{Bell, check, check_within};

const NOTHING: Accepts = Accepts::NOTHING;
const PERMIT: Accepts = Accepts { permit: true, cancel: false, interrupt: false };
const CANCEL: Accepts = Accepts { permit: false, cancel: true, interrupt: true };

/// A waiting thread as its wakers see it.
struct Waiter {
    state: State,
    /// Rings when the thread is scheduled.
    scheduled: Bell,
    /// What the thread left on its stack; belongs to whoever schedules it.
    stack: UnsafeCell<u32>,
    /// What the waker wants to tell.
    message: UnsafeCell<u32>,
}

impl Waiter {
    fn new() -> Arc<Waiter> {
        Arc::new(Waiter {
            state: State::running(),
            scheduled: Bell::new(),
            stack: UnsafeCell::new(0),
            message: UnsafeCell::new(0),
        })
    }

    /// Does what `duty` says. True: the thread was scheduled.
    fn carry_out(&self, duty: Duty) -> bool {
        if duty != Duty::Schedule {
            return false;
        }
        // Resuming a thread reads and writes its saved stack.
        // SAFETY: loom checks that nobody else has it.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
        self.scheduled.ring();
        true
    }

    /// Commits the wait and, if it holds, stays away until scheduled. True: it did.
    fn commit(&self) -> bool {
        self.stay_away(State::commit_wait)
    }

    fn stay_away(&self, commit: impl Fn(&State) -> Commit) -> bool {
        // SAFETY: loom checks that nobody else has it.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
        let waits = commit(&self.state) == Commit::Waiting;
        if waits {
            self.scheduled.wait();
        }
        waits
    }

    fn tell(&self) {
        // SAFETY: loom checks that nobody else has it.
        self.message.with_mut(|message| unsafe { *message = 7 });
    }

    fn is_told(&self) -> bool {
        // SAFETY: loom checks that nobody writes meanwhile.
        self.message.with(|message| unsafe { *message == 7 })
    }
}

#[test]
fn unpark_reaches_a_parker_before_during_or_after_its_commit() {
    check(|| {
        let waiter = Waiter::new();
        let unparker = thread::spawn({
            let waiter = waiter.clone();
            move || {
                waiter.tell();
                waiter.carry_out(waiter.state.unpark())
            }
        });
        let mut waited = false;
        if !waiter.state.try_take_permit() {
            let _ = waiter.state.begin_wait(PERMIT);
            waited = waiter.commit();
            assert_eq!(waiter.state.cause(), Cause::Permit);
        }
        assert!(waiter.is_told());
        assert_eq!(unparker.join().unwrap(), waited, "scheduled if and only if it waits");
        assert!(!waiter.state.try_take_permit(), "one permit ends one park");
    });
}

#[test]
fn two_unparks_schedule_one_parker_once() {
    check(|| {
        let waiter = Waiter::new();
        let _ = waiter.state.begin_wait(PERMIT);
        let unpark = {
            let waiter = waiter.clone();
            move || waiter.carry_out(waiter.state.unpark())
        };
        let (one, other) = (thread::spawn(unpark.clone()), thread::spawn(unpark));
        let waited = waiter.commit();
        assert_eq!(waiter.state.cause(), Cause::Permit);
        let scheduled = usize::from(one.join().unwrap()) + usize::from(other.join().unwrap());
        assert_eq!(scheduled, usize::from(waited));
    });
}

#[test]
fn wake_timer_cancel_and_commit_schedule_once_and_tell_the_truth() {
    check_within(2, || {
        let waiter = Waiter::new();
        let sequence = waiter.state.begin_wait(CANCEL);
        let ender = |end: fn(&State, Sequence) -> Duty| {
            let waiter = waiter.clone();
            thread::spawn(move || {
                let duty = end(&waiter.state, sequence);
                (duty, waiter.carry_out(duty))
            })
        };
        let wake = ender(State::wake);
        let timer = ender(State::time_out);
        let cancel = ender(|state, _| state.cancel());
        let waited = waiter.commit();
        let cause = waiter.state.cause();
        let (wake, wake_scheduled) = wake.join().unwrap();
        let (timer, timer_scheduled) = timer.join().unwrap();
        let (_, cancel_scheduled) = cancel.join().unwrap();
        let scheduled = [wake_scheduled, timer_scheduled, cancel_scheduled];
        assert_eq!(scheduled.iter().filter(|s| **s).count(), usize::from(waited));
        // A waker that was told Nothing passes its wake on, so the cause must agree with what
        // the enders were told.
        match cause {
            Cause::Woken => assert!(wake != Duty::Nothing && timer == Duty::Nothing),
            Cause::TimedOut => assert!(timer != Duty::Nothing && wake == Duty::Nothing),
            Cause::Cancelled => assert!(wake == Duty::Nothing && timer == Duty::Nothing),
            Cause::Permit => panic!("nobody gave a permit"),
        }
        assert!(waiter.state.is_cancelled(), "a cancellation is never forgotten");
    });
}

/// As `park`, with a timer and a canceller: nobody is told the number before the commit, but the
/// timer, which is at home and fires after it.
#[test]
fn unannounced_wait_is_ended_once_and_keeps_what_it_did_not_take() {
    check_within(2, || {
        let waiter = Waiter::new();
        let accepts = Accepts { permit: true, cancel: true, interrupt: true };
        let ender = |end: fn(&State) -> Duty| {
            let waiter = waiter.clone();
            thread::spawn(move || waiter.carry_out(end(&waiter.state)))
        };
        let unpark = ender(State::unpark);
        let cancel = ender(State::cancel);
        let sequence = waiter.state.next_sequence();
        let waited = waiter.stay_away(|state| {
            let commit = state.commit_unannounced(accepts);
            // Its home fires the timer once the thread has left, and runs it then.
            match state.time_out(sequence) {
                Duty::Schedule => Commit::Ready,
                _ => commit,
            }
        });
        let cause = waiter.state.cause();
        let scheduled = [unpark.join().unwrap(), cancel.join().unwrap()];
        assert_eq!(scheduled.iter().filter(|s| **s).count(), usize::from(waited));
        assert_ne!(cause, Cause::Woken);
        assert_eq!(
            waiter.state.try_take_permit(),
            cause != Cause::Permit,
            "a permit ends one wait"
        );
        assert!(waiter.state.is_cancelled());
    });
}

/// Permits and stale bits: what a wait leaves behind means nothing to the next one.
#[test]
fn bits_of_an_ended_wait_do_not_end_the_next() {
    check(|| {
        let waiter = Waiter::new();
        let unparker = thread::spawn({
            let waiter = waiter.clone();
            move || {
                waiter.tell();
                waiter.carry_out(waiter.state.unpark())
            }
        });
        waiter.stay_away(|state| state.commit_unannounced(PERMIT));
        assert_eq!(waiter.state.cause(), Cause::Permit);
        assert!(waiter.is_told());
        unparker.join().unwrap();
        let sequence = waiter.state.next_sequence();
        assert_eq!(waiter.state.commit_unannounced(PERMIT), Commit::Waiting);
        assert_eq!(waiter.state.time_out(sequence), Duty::Schedule);
        assert_eq!(waiter.state.cause(), Cause::TimedOut);
        let sequence = waiter.state.begin_wait(PERMIT);
        assert_eq!(waiter.state.commit_wait(), Commit::Waiting);
        assert_eq!(waiter.state.wake(sequence), Duty::Schedule);
        assert_eq!(waiter.state.cause(), Cause::Woken);
    });
}

#[test]
fn wake_publishes_what_it_is_about() {
    check(|| {
        let waiter = Waiter::new();
        let sequence = waiter.state.begin_wait(NOTHING);
        let waker = thread::spawn({
            let waiter = waiter.clone();
            move || {
                waiter.tell();
                waiter.carry_out(waiter.state.wake(sequence));
            }
        });
        waiter.commit();
        assert_eq!(waiter.state.cause(), Cause::Woken);
        assert!(waiter.is_told());
        waker.join().unwrap();
    });
}

#[test]
fn wake_of_an_earlier_wait_ends_no_later_one() {
    check(|| {
        let waiter = Waiter::new();
        let first = waiter.state.begin_wait(NOTHING);
        let waker = thread::spawn({
            let waiter = waiter.clone();
            move || waiter.state.wake(first)
        });
        let was_woken = waiter.state.abandon_wait();
        let second = waiter.state.begin_wait(NOTHING);
        assert_ne!(first, second);
        assert_eq!(waiter.state.commit_wait(), Commit::Waiting, "nobody has ended the second");
        let duty = waker.join().unwrap();
        assert_eq!(duty, if was_woken { Duty::Noted } else { Duty::Nothing });
        assert_eq!(waiter.state.wake(second), Duty::Schedule);
        assert_eq!(waiter.state.cause(), Cause::Woken);
    });
}

#[test]
fn permit_is_kept_through_a_wait_that_does_not_accept_it() {
    check(|| {
        let waiter = Waiter::new();
        let sequence = waiter.state.begin_wait(NOTHING);
        let unparker = thread::spawn({
            let waiter = waiter.clone();
            move || waiter.state.unpark()
        });
        let waker = thread::spawn({
            let waiter = waiter.clone();
            move || waiter.carry_out(waiter.state.wake(sequence))
        });
        let waited = waiter.commit();
        assert_eq!(waiter.state.cause(), Cause::Woken);
        assert_eq!(waker.join().unwrap(), waited);
        assert_eq!(unparker.join().unwrap(), Duty::Noted);
        assert!(waiter.state.try_take_permit());
    });
}

/// A thread that ends, and its one handle.
struct Joined {
    state: State,
    result: UnsafeCell<Option<u32>>,
    /// How often the result was taken or dropped.
    gone: AtomicUsize,
    /// The header's field: under which number the joiner waits.
    joiner: UnsafeCell<Option<Sequence>>,
    waiter: Arc<Waiter>,
    /// The header's references: the scheduler's and the handle's, as in `Header::release`.
    references: AtomicUsize,
    freed: AtomicUsize,
}

impl Joined {
    fn new() -> Arc<Joined> {
        let joined = Joined {
            state: State::unstarted(true),
            result: UnsafeCell::new(None),
            gone: AtomicUsize::new(0),
            joiner: UnsafeCell::new(None),
            waiter: Waiter::new(),
            references: AtomicUsize::new(2),
            freed: AtomicUsize::new(0),
        };
        Arc::new(joined)
    }

    /// The end of the thread, as in `life`. Gives what the joiner's wake said.
    fn end(&self) -> Option<Duty> {
        // SAFETY: loom checks that nobody else has it.
        self.result.with_mut(|result| unsafe { *result = Some(1) });
        let at_end = self.state.finish_for_handle().unwrap_or_else(|()| {
            self.take_result();
            self.state.finish()
        });
        match at_end {
            AtEnd::LeftToHandle => None,
            AtEnd::Alone => {
                self.release(2);
                None
            }
            AtEnd::WakeJoiner => {
                // SAFETY: loom checks that nobody writes meanwhile.
                let sequence = self.joiner.with(|joiner| unsafe { *joiner });
                let duty = self.waiter.state.wake(sequence.expect("published by JOINER"));
                self.waiter.carry_out(duty);
                self.release(1);
                Some(duty)
            }
        }
    }

    /// Gives up so many references; with the last the header goes, which nobody may touch then.
    fn release(&self, count: usize) {
        if self.references.load(Ordering::Acquire) != count {
            if self.references.fetch_sub(count, Ordering::Release) != count {
                return;
            }
            loom::sync::atomic::fence(Ordering::Acquire);
        }
        self.joiner.with_mut(|_| ());
        self.result.with_mut(|_| ());
        self.freed.fetch_add(1, Ordering::Relaxed);
    }

    /// What is left to do of a handle, whose thread has ended.
    fn release_handle(&self) {
        self.release(if self.state.is_left_to_handle() { 2 } else { 1 });
    }

    fn take_result(&self) {
        // SAFETY: loom checks that nobody else has it.
        let result = self.result.with_mut(|result| unsafe { (*result).take() });
        assert!(result.is_some(), "the result is there and goes once");
        self.gone.fetch_add(1, Ordering::Relaxed);
    }

    /// Registers the handle's owner. False: the thread has ended.
    fn register(&self, accepts: Accepts) -> bool {
        let sequence = self.waiter.state.begin_wait(accepts);
        // SAFETY: loom checks that nobody else has it.
        self.joiner.with_mut(|joiner| unsafe { *joiner = Some(sequence) });
        self.state.register_joiner()
    }

    /// The drop of a handle whose result was not taken.
    fn drop_handle(&self) {
        if self.state.drop_handle() == Dropped::Finished {
            self.take_result();
            self.release_handle();
        }
    }
}

#[test]
fn join_takes_the_result_once_and_is_woken_once() {
    check(|| {
        let joined = Joined::new();
        let ending = thread::spawn({
            let joined = joined.clone();
            move || joined.end()
        });
        let mut registered = false;
        if !joined.state.is_finished() {
            registered = joined.register(NOTHING);
            if registered {
                joined.waiter.commit();
                assert_eq!(joined.waiter.state.cause(), Cause::Woken);
            } else {
                assert!(!joined.waiter.state.abandon_wait());
            }
        }
        joined.take_result();
        joined.release_handle();
        assert_eq!(ending.join().unwrap().is_some(), registered);
        assert_eq!(joined.gone.load(Ordering::Relaxed), 1);
        assert_eq!(joined.freed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn handle_dropped_while_its_thread_ends_drops_the_result_once() {
    check(|| {
        let joined = Joined::new();
        let ending = thread::spawn({
            let joined = joined.clone();
            move || joined.end()
        });
        joined.drop_handle();
        assert_eq!(ending.join().unwrap(), None);
        assert_eq!(joined.gone.load(Ordering::Relaxed), 1);
        assert_eq!(joined.freed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn registration_is_taken_back_or_the_result_is_there() {
    check(|| {
        let joined = Joined::new();
        let ending = thread::spawn({
            let joined = joined.clone();
            move || joined.end()
        });
        let mut registered = joined.register(NOTHING);
        if registered && joined.state.take_back_joiner() {
            // The place is the handle's again: loom checks that nobody else looks there.
            joined.joiner.with_mut(|_| ());
            registered = false;
            joined.drop_handle();
        } else {
            joined.take_result();
            joined.release_handle();
        }
        joined.waiter.state.abandon_wait();
        assert_eq!(ending.join().unwrap().is_some(), registered);
        assert_eq!(joined.gone.load(Ordering::Relaxed), 1);
        assert_eq!(joined.freed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn joiner_that_is_cancelled_leaves_a_late_wake_behind() {
    check(|| {
        let joined = Joined::new();
        let ending = thread::spawn({
            let joined = joined.clone();
            move || joined.end()
        });
        let canceller = thread::spawn({
            let waiter = joined.waiter.clone();
            move || waiter.carry_out(waiter.state.cancel())
        });
        if joined.register(CANCEL) {
            joined.waiter.commit();
            let _ = joined.waiter.state.cause();
        } else {
            joined.waiter.state.abandon_wait();
        }
        // Unwound out of the join: the handle goes, and the next wait is another one.
        joined.drop_handle();
        let _ = joined.waiter.state.begin_wait(NOTHING);
        assert_eq!(joined.waiter.state.commit_wait(), Commit::Waiting);
        canceller.join().unwrap();
        ending.join().unwrap();
        assert_eq!(joined.gone.load(Ordering::Relaxed), 1);
        assert_eq!(joined.freed.load(Ordering::Relaxed), 1);
    });
}
