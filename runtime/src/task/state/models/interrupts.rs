//! Loom models of INTERRUPT: the end of a region ends a wait that accepts it, once, and is neither
//! lost nor kept too long, whatever else happens to the word.
#![forbid(unsafe_code)]

use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use super::{NOTHING, Waiter};
use crate::primitives::{check, check_within};
use crate::task::state::{Accepts, Cause, Commit, Duty, Sequence, State};

const INTERRUPT: Accepts = Accepts { permit: false, cancel: false, interrupt: true };
const CANCEL: Accepts = Accepts { permit: false, cancel: true, interrupt: false };
const ALL: Accepts = Accepts { permit: true, cancel: true, interrupt: true };

/// A thread that ends the wait `sequence` of `waiter`; gives what it was told, and whether it has
/// scheduled.
fn ender(
    waiter: &Arc<Waiter>,
    sequence: Sequence,
    end: fn(&State, Sequence) -> Duty,
) -> JoinHandle<(Duty, bool)> {
    let waiter = waiter.clone();
    thread::spawn(move || {
        let duty = end(&waiter.state, sequence);
        (duty, waiter.carry_out(duty))
    })
}

/// One that interrupts, and has something to tell.
fn interrupter(waiter: &Arc<Waiter>) -> JoinHandle<(Duty, bool)> {
    let waiter = waiter.clone();
    thread::spawn(move || {
        waiter.tell();
        let duty = waiter.state.interrupt();
        (duty, waiter.carry_out(duty))
    })
}

fn is_interrupted(state: &State) -> bool {
    state.is_called_off() && !state.is_cancelled()
}

#[test]
fn interrupt_ends_a_wait_before_during_or_after_its_commit() {
    check(|| {
        let waiter = Waiter::new();
        let interrupter = interrupter(&waiter);
        let _ = waiter.state.begin_wait(INTERRUPT);
        let waited = waiter.commit();
        assert_eq!(waiter.state.cause(), Cause::Cancelled);
        assert!(is_interrupted(&waiter.state), "who comes back finds why");
        assert!(waiter.is_told());
        let (duty, scheduled) = interrupter.join().unwrap();
        assert_ne!(duty, Duty::Nothing, "an interrupt is never refused");
        assert_eq!(scheduled, waited, "scheduled if and only if it waits");
    });
}

/// The look with which a call begins, see `cut::verdict`: who sees the mark has been told why.
#[test]
fn who_sees_the_mark_sees_what_was_done_before() {
    check(|| {
        let waiter = Waiter::new();
        // Loom first lets this thread run on, and in a model so short never tries the look last if
        // that is this thread's.
        let looks = thread::spawn({
            let waiter = waiter.clone();
            move || !waiter.state.is_called_off() || waiter.is_told()
        });
        waiter.tell();
        assert_eq!(waiter.state.interrupt(), Duty::Noted);
        assert!(looks.join().unwrap());
    });
}

#[test]
fn interrupt_wake_timer_and_commit_schedule_once_and_tell_the_truth() {
    check_within(2, || {
        let waiter = Waiter::new();
        let sequence = waiter.state.begin_wait(INTERRUPT);
        let wake = ender(&waiter, sequence, State::wake);
        let timer = ender(&waiter, sequence, State::time_out);
        let interrupt = ender(&waiter, sequence, |state, _| state.interrupt());
        let waited = waiter.commit();
        let cause = waiter.state.cause();
        let (wake, wake_scheduled) = wake.join().unwrap();
        let (timer, timer_scheduled) = timer.join().unwrap();
        let (_, interrupt_scheduled) = interrupt.join().unwrap();
        let scheduled = [wake_scheduled, timer_scheduled, interrupt_scheduled];
        assert_eq!(scheduled.iter().filter(|s| **s).count(), usize::from(waited));
        // A waker that was told Nothing passes its wake on, and only that one may.
        match cause {
            Cause::Woken => assert!(wake != Duty::Nothing && timer == Duty::Nothing),
            Cause::TimedOut => assert!(timer != Duty::Nothing && wake == Duty::Nothing),
            Cause::Cancelled => assert!(wake == Duty::Nothing && timer == Duty::Nothing),
            Cause::Permit => panic!("nobody gave a permit"),
        }
        assert!(is_interrupted(&waiter.state), "it is marked until it leaves the region");
        // Who was woken and asks again is told now.
        let late = waiter.state.begin_wait(INTERRUPT);
        assert_eq!(waiter.state.commit_wait(), Commit::Ready);
        assert_eq!(waiter.state.cause(), Cause::Cancelled);
        assert_eq!(waiter.state.wake(late), Duty::Nothing);
    });
}

#[test]
fn interrupt_and_cancel_end_one_wait_and_both_stay() {
    check_within(2, || {
        let waiter = Waiter::new();
        let sequence = waiter.state.begin_wait(ALL);
        let enders = [
            ender(&waiter, sequence, |state, _| state.interrupt()),
            ender(&waiter, sequence, |state, _| state.cancel()),
            ender(&waiter, sequence, State::wake),
        ];
        let waited = waiter.commit();
        let cause = waiter.state.cause();
        let [interrupt, cancel, wake] = enders.map(|ender| ender.join().unwrap());
        let scheduled = [interrupt.1, cancel.1, wake.1];
        assert_eq!(scheduled.iter().filter(|s| **s).count(), usize::from(waited));
        assert_eq!(cause == Cause::Woken, wake.0 != Duty::Nothing);
        assert!(cause == Cause::Woken || cause == Cause::Cancelled);
        assert!(waiter.state.is_cancelled());
        // The region is left: the cancellation of the thread stays, and still ends waits.
        waiter.state.clear_interrupt();
        assert!(waiter.state.is_cancelled());
        let sequence = waiter.state.begin_wait(INTERRUPT);
        assert_eq!(waiter.state.commit_wait(), Commit::Waiting);
        assert_eq!(waiter.state.wake(sequence), Duty::Schedule);
        assert_eq!(waiter.state.commit_unannounced(CANCEL), Commit::Ready);
    });
}

/// Under a shield of the runtime's, or while the thread unwinds, nothing but the wake may end it.
#[test]
fn wait_that_does_not_accept_it_goes_on_and_the_next_one_ends() {
    check(|| {
        let waiter = Waiter::new();
        let sequence = waiter.state.begin_wait(CANCEL);
        let interrupt = ender(&waiter, sequence, |state, _| state.interrupt());
        let wake = ender(&waiter, sequence, State::wake);
        let waited = waiter.commit();
        assert_eq!(waiter.state.cause(), Cause::Woken);
        assert_eq!(interrupt.join().unwrap(), (Duty::Noted, false));
        assert_eq!(wake.join().unwrap().1, waited);
        let _ = waiter.state.begin_wait(INTERRUPT);
        assert_eq!(waiter.state.commit_wait(), Commit::Ready, "it was not forgotten");
        assert_eq!(waiter.state.cause(), Cause::Cancelled);
    });
}

/// In a shield region a cancellation of the thread has to wait, and one of a region within has not.
#[test]
fn sheltered_wait_is_ended_by_its_region_and_not_by_its_thread() {
    check(|| {
        let waiter = Waiter::new();
        let sequence = waiter.state.begin_wait(INTERRUPT);
        let cancel = ender(&waiter, sequence, |state, _| state.cancel());
        let interrupt = ender(&waiter, sequence, |state, _| state.interrupt());
        let waited = waiter.commit();
        assert_eq!(waiter.state.cause(), Cause::Cancelled);
        assert_eq!(cancel.join().unwrap(), (Duty::Noted, false));
        assert_eq!(interrupt.join().unwrap().1, waited);
    });
}

#[test]
fn permit_that_meets_an_interrupt_is_taken_or_kept() {
    check(|| {
        let waiter = Waiter::new();
        let sequence = waiter.state.next_sequence();
        let unpark = ender(&waiter, sequence, |state, _| state.unpark());
        let interrupt = ender(&waiter, sequence, |state, _| state.interrupt());
        let waited = waiter.stay_away(|state| state.commit_unannounced(ALL));
        let cause = waiter.state.cause();
        let scheduled = [unpark.join().unwrap().1, interrupt.join().unwrap().1];
        assert_eq!(scheduled.iter().filter(|s| **s).count(), usize::from(waited));
        assert!(cause == Cause::Permit || cause == Cause::Cancelled);
        assert_eq!(waiter.state.try_take_permit(), cause == Cause::Cancelled);
        assert!(is_interrupted(&waiter.state));
    });
}

/// A wait for something else, as for a lock: the permit is for the next park.
#[test]
fn permit_outlives_a_wait_that_is_cut_off() {
    check(|| {
        let waiter = Waiter::new();
        let sequence = waiter.state.begin_wait(INTERRUPT);
        let unpark = ender(&waiter, sequence, |state, _| state.unpark());
        let interrupt = ender(&waiter, sequence, |state, _| state.interrupt());
        let waited = waiter.commit();
        assert_eq!(waiter.state.cause(), Cause::Cancelled);
        assert_eq!(unpark.join().unwrap(), (Duty::Noted, false));
        assert_eq!(interrupt.join().unwrap().1, waited);
        assert!(waiter.state.try_take_permit(), "the permit is lost");
    });
}

/// The thread leaves the region, while others do what has nothing to do with it.
#[test]
fn mark_that_is_cleared_takes_nothing_else_along() {
    check(|| {
        let waiter = Waiter::new();
        assert_eq!(waiter.state.interrupt(), Duty::Noted);
        let sequence = waiter.state.next_sequence();
        let unpark = ender(&waiter, sequence, |state, _| state.unpark());
        let cancel = ender(&waiter, sequence, |state, _| state.cancel());
        waiter.state.clear_interrupt();
        assert_eq!(unpark.join().unwrap(), (Duty::Noted, false));
        assert_eq!(cancel.join().unwrap(), (Duty::Noted, false));
        assert!(waiter.state.is_cancelled());
        assert_eq!(waiter.state.commit_unannounced(INTERRUPT), Commit::Waiting, "it is cleared");
        assert_eq!(waiter.state.unpark(), Duty::Noted);
        assert_eq!(waiter.state.time_out(sequence), Duty::Schedule);
        assert_eq!(waiter.state.cause(), Cause::TimedOut);
        assert!(waiter.state.try_take_permit());
    });
}

/// Nobody interrupts a thread for a region that it has left: both are done under its family lock.
#[test]
fn mark_of_a_region_that_was_left_ends_no_later_wait() {
    check(|| {
        let waiter = Waiter::new();
        let open = Arc::new(loom::sync::Mutex::new(true));
        let interrupter = {
            let (waiter, open) = (waiter.clone(), open.clone());
            thread::spawn(move || {
                let open = open.lock().unwrap();
                let duty = if *open { waiter.state.interrupt() } else { Duty::Nothing };
                drop(open);
                waiter.carry_out(duty)
            })
        };
        {
            let mut open = open.lock().unwrap();
            *open = false;
            waiter.state.clear_interrupt();
        }
        let sequence = waiter.state.begin_wait(INTERRUPT);
        assert_eq!(waiter.state.commit_wait(), Commit::Waiting);
        assert!(!interrupter.join().unwrap());
        assert_eq!(waiter.state.wake(sequence), Duty::Schedule);
        assert_eq!(waiter.state.cause(), Cause::Woken);
        assert!(!waiter.state.is_called_off());
    });
}

/// What a wait did not accept and the next one does not either stays out of their reports.
#[test]
fn mark_means_nothing_to_a_wait_that_accepts_nothing() {
    check(|| {
        let waiter = Waiter::new();
        assert_eq!(waiter.state.interrupt(), Duty::Noted);
        let sequence = waiter.state.begin_wait(NOTHING);
        let timer = ender(&waiter, sequence, State::time_out);
        let waited = waiter.commit();
        assert_eq!(waiter.state.cause(), Cause::TimedOut);
        assert_eq!(timer.join().unwrap().1, waited);
    });
}
