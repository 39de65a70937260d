//! Loom models of the word: one closure runs, all see what it did, and nobody waits for ever, not
//! even if the closure is unwound or a waiter cancelled.
#![forbid(unsafe_code)]

use std::panic::{Location, resume_unwind};

use loom::sync::Arc;
use loom::thread;

use super::FORCED;
use super::raw::{RawOnce, Rules};
use crate::primitives::{AtomicUsize, Ordering, check_within};
use crate::sched::door::models::{ends_cancelled, spawn_canceller};
use crate::task::{CancelReason, Cancelled};

struct World {
    once: RawOnce,
    /// How many closures have run. It is loaded and stored without an order of its own, so whoever
    /// does not come after by `once` may see what was there before.
    effect: AtomicUsize,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { once: RawOnce::new(), effect: AtomicUsize::new(0) })
    }

    /// Calls a closure that adds one, by the rules of `call_once_force`.
    #[track_caller]
    fn call(&self) {
        self.call_by(FORCED, || ());
    }

    #[track_caller]
    fn call_by(&self, rules: Rules, end: impl Fn()) {
        let called = self.once.call(rules, Location::caller(), &mut |_| {
            self.effect.store(self.effect() + 1, Ordering::Relaxed);
            end();
        });
        called.expect("poison is ignored");
        assert!(self.once.is_completed());
    }

    fn effect(&self) -> usize {
        self.effect.load(Ordering::Relaxed)
    }
}

/// Unwinds as a cancellation does.
fn cancelled() {
    resume_unwind(Cancelled::unstarted(CancelReason::of_model()));
}

/// Unwinds as a panic does.
fn panicked() {
    resume_unwind(Box::new("expected"));
}

#[test]
fn one_closure_runs_and_all_callers_see_what_it_did() {
    check_within(2, || {
        let world = World::new();
        let others = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || {
                world.call();
                assert_eq!(world.effect(), 1);
            })
        });
        world.call();
        assert_eq!(world.effect(), 1);
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn closure_that_is_unwound_leaves_its_place_to_a_waiter() {
    for end in [cancelled, panicked] {
        check_within(2, move || {
            let world = World::new();
            let others = [(); 2].map(|()| {
                let world = world.clone();
                thread::spawn(move || world.call())
            });
            let unwound = ends_cancelled(|| world.call_by(FORCED, end));
            for other in others {
                other.join().unwrap();
            }
            let expected = 1 + usize::from(unwound);
            assert_eq!(world.effect(), expected, "what was done before is seen, too");
        });
    }
}

#[test]
fn panic_reaches_those_who_mind_it() {
    check_within(2, || {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || world.once.wait(false, Location::caller()).is_err())
        };
        assert!(ends_cancelled(|| world.call_by(FORCED, panicked)));
        assert!(other.join().unwrap());
    });
}

#[test]
fn wait_ends_when_a_later_closure_returns() {
    check_within(2, || {
        let world = World::new();
        let waiter = {
            let world = world.clone();
            thread::spawn(move || {
                world.once.wait(true, Location::caller()).unwrap();
                assert_eq!(world.effect(), 2);
            })
        };
        assert!(ends_cancelled(|| world.call_by(FORCED, cancelled)));
        world.call();
        waiter.join().unwrap();
    });
}

#[test]
fn cancelled_waiter_leaves_the_others_to_their_waits() {
    check_within(2, || {
        let world = World::new();
        let canceller = spawn_canceller();
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                world.call();
                assert_eq!(world.effect(), 1);
            })
        };
        let _ = ends_cancelled(|| world.call());
        canceller.join().unwrap();
        other.join().unwrap();
        assert_eq!(world.effect(), 1);
    });
}
