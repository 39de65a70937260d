//! Loom models of cutting off at the real door: who waits in a region that is cancelled is unwound
//! to it or woken, and never both; children of its scopes and arms go with it.
//!
//! The threads of a model are kernel threads to the crate.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;

use loom::thread::{self, JoinHandle};

use super::{during, reason_here, reason_to_pass_on, within};
use crate::primitives::{check, check_within};
use crate::sched::door;
use crate::sched::inplace;
use crate::task::region::Region;
use crate::task::scope::ScopeData;
use crate::task::{CancelReason, Cancelled, Cause, Header, HeaderRef, WaitKind, current, family};

#[track_caller]
fn ends() -> Region {
    Region::ends(None, None, Location::caller())
}

/// A scope as the model's threads share it.
struct Shared(ScopeData);

// SAFETY: loom checks the cells.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// A scope of the current thread.
fn scope() -> Arc<Shared> {
    Arc::new(Shared(ScopeData::new(&current::me())))
}

/// A thread that cancels the region in which `scope` was opened.
fn spawn_canceller(scope: &Arc<Shared>) -> JoinHandle<()> {
    let scope = scope.clone();
    thread::spawn(move || assert!(door::cancel_region(&scope.0, &CancelReason::of_model())))
}

/// Runs `body` in a region that another thread cancels meanwhile. True: that has cut it off.
pub(crate) fn in_cancelled_region(body: impl FnOnce()) -> bool {
    let region = ends();
    let outcome = within(&region, || {
        let scope = scope();
        let canceller = spawn_canceller(&scope);
        let ended = catch_unwind(AssertUnwindSafe(body));
        canceller.join().unwrap();
        assert!(reason_here().is_some(), "the region was cancelled");
        ended.unwrap_or_else(|payload| resume_unwind(payload));
    });
    if let Err(cancelled) = &outcome {
        assert!(cancelled.is_for(&region));
    }
    outcome.is_err()
}

/// A thread that wakes the current one from its next wait, which has begun; gives whether it did.
fn spawn_waker(pending: &door::Pending) -> JoinHandle<bool> {
    let (thread, sequence) = (pending.thread(), pending.sequence());
    thread::spawn(move || door::wake(&thread, sequence))
}

/// Waits for a wake. Gives what the waker was told, once it was asked, and how the wait ended.
fn wait_for_a_wake() -> (Option<bool>, Result<Cause, Box<dyn Any + Send>>) {
    let mut waker = None;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let pending = door::begin(false);
        waker = Some(spawn_waker(&pending));
        pending.wait(door::reason(WaitKind::Semaphore), None)
    }));
    (waker.map(|waker| waker.join().unwrap()), ended)
}

/// The current thread is in no region that ends, and waits as anybody does.
fn expect_at_peace() {
    assert!(!current::me().state.is_called_off(), "a mark of no region");
    assert!(reason_here().is_none());
    let pending = door::begin(false);
    assert!(door::wake(pending.header(), pending.sequence()));
    let cause = pending.wait(door::reason(WaitKind::Semaphore), None);
    assert_eq!(cause, Cause::Woken);
}

#[test]
fn wait_in_a_region_is_cut_off_or_woken() {
    check(|| {
        let mut told = None;
        let cut_off = in_cancelled_region(|| {
            let (woken, ended) = wait_for_a_wake();
            told = woken;
            let cause = ended.unwrap_or_else(|payload| resume_unwind(payload));
            assert_eq!(cause, Cause::Woken);
        });
        // A wake that comes too late is told so, for the waker to pass it on.
        assert_eq!(told == Some(true), !cut_off, "a wake was lost");
        expect_at_peace();
    });
}

#[test]
fn wait_in_a_shield_is_woken_and_the_next_one_outside_is_cut_off() {
    check_within(2, || {
        let region = ends();
        let mut has_waited = false;
        let outcome = within(&region, || {
            let scope = scope();
            let canceller = spawn_canceller(&scope);
            let shield = Region::shield(Location::caller());
            let (woken, ended) = during(&current::me(), &shield, wait_for_a_wake);
            assert_eq!(woken, Some(true));
            assert!(matches!(ended, Ok(Cause::Woken)), "cut off through a shield");
            has_waited = true;
            let ended = catch_unwind(|| {
                let pending = door::begin(false);
                pending.wait(door::reason(WaitKind::Semaphore), None)
            });
            canceller.join().unwrap();
            match ended {
                Ok(cause) => panic!("it ended by {cause:?}, and only the region could end it"),
                Err(payload) => resume_unwind(payload),
            }
        });
        assert!(has_waited && outcome.is_err());
        expect_at_peace();
    });
}

/// A region within, which nobody has cancelled, does not hold up the end of the one around.
#[test]
fn wait_in_a_region_within_is_unwound_to_the_one_that_was_cancelled() {
    check_within(2, || {
        let (outer, inner) = (ends(), ends());
        let outcome = within(&outer, || {
            let scope = scope();
            let canceller = spawn_canceller(&scope);
            let ended = catch_unwind(AssertUnwindSafe(|| {
                within(&inner, || {
                    let pending = door::begin(false);
                    pending.wait(door::reason(WaitKind::Semaphore), None)
                })
            }));
            canceller.join().unwrap();
            match ended {
                Ok(_) => panic!("it ended within"),
                Err(payload) => resume_unwind(payload),
            }
        });
        assert!(outcome.is_err_and(|cancelled| cancelled.is_for(&outer)));
        expect_at_peace();
    });
}

/// A scope's child, as `spawn` and `life` make and end one.
fn spawn_child(scope: &Arc<Shared>, body: impl FnOnce() + Send + 'static) -> JoinHandle<bool> {
    scope.0.enter();
    let scope = scope.clone();
    thread::spawn(move || {
        let me = current::me();
        me.scope.set(&scope.0);
        let ended = catch_unwind(AssertUnwindSafe(body));
        family::leave_list(&me);
        me.scope.set(ptr::null());
        // SAFETY: S1: it was entered above, and ends once.
        if let Some((parent, sequence)) = unsafe { ScopeData::leave(&raw const scope.0) } {
            door::wake(&parent, sequence);
        }
        ended.is_err_and(|payload| payload.is::<Cancelled>())
    })
}

/// A wait that only a cancellation ends.
fn wait_for_ever() {
    let pending = door::begin(false);
    pending.wait(door::reason(WaitKind::Semaphore), None);
}

/// The wait for the children is shielded: it ends when they have, and not before.
#[test]
fn child_of_a_cancelled_region_is_cut_off_and_its_parent_sees_it_end() {
    check_within(2, || {
        let region = ends();
        during(&current::me(), &region, || {
            let scope = scope();
            let child = spawn_child(&scope, wait_for_ever);
            let canceller = spawn_canceller(&scope);
            inplace::end_scope(&scope.0, WaitKind::Scope, Location::caller());
            scope.0.close();
            assert!(child.join().unwrap(), "it ended, and was not cut off");
            canceller.join().unwrap();
            assert!(reason_here().is_some());
        });
        expect_at_peace();
    });
}

/// A stolen arm is cancelled by its owner or by who cancels the owner's region, see
/// `arm::await_thief`.
#[test]
fn arm_that_is_adopted_while_its_owners_region_is_cancelled_is_cancelled() {
    check(|| {
        let region = ends();
        during(&current::me(), &region, || {
            let outer = scope();
            let canceller = spawn_canceller(&outer);
            let thief: HeaderRef = Header::for_model();
            let me = current::me();
            let scope = ScopeData::new(&me);
            // SAFETY: S1: it stays in this frame until the close below; nothing unwinds from here.
            unsafe { scope.adopt(&thief) };
            if let Some(reason) = reason_to_pass_on(&me) {
                door::cancel(&thief, &reason);
            }
            canceller.join().unwrap();
            assert!(thief.state.is_cancelled(), "the arm was missed");
            assert!(thief.why().is_some());
            scope.release_arm(&thief);
            scope.close();
        });
        expect_at_peace();
    });
}
