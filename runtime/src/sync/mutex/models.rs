//! Loom models of the mutex: exclusion, no lost wake, and the valve.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::raw::RawMutex;
use crate::primitives::{check, check_within};
use crate::sched::door::models::{ends_cancelled, some_time, spawn_canceller};

struct World {
    mutex: RawMutex,
    sections: UnsafeCell<u32>,
}

// SAFETY: loom checks the cell.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { mutex: RawMutex::new(), sections: UnsafeCell::new(0) })
    }

    fn section(&self) {
        assert!(self.mutex.lock_until(None));
        self.inside();
    }

    /// What is done by one who has the mutex.
    fn inside(&self) {
        // SAFETY: loom checks that nobody else is inside.
        self.sections.with_mut(|sections| unsafe { *sections += 1 });
        // SAFETY: S1: as above.
        unsafe { self.mutex.unlock() };
    }

    fn sections(&self) -> u32 {
        // SAFETY: loom checks that nobody is inside.
        self.sections.with(|sections| unsafe { *sections })
    }
}

#[test]
fn sections_exclude_each_other_and_everybody_has_its_turn() {
    check_within(2, || {
        let world = World::new();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || world.section())
            })
            .collect();
        world.section();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(world.sections(), 3);
    });
}

#[test]
fn loser_has_the_mutex_handed_over() {
    // A waiter loses once in a model, and asks for the mutex then.
    check(|| {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                world.section();
                world.section();
                world.section();
            })
        };
        world.section();
        other.join().unwrap();
        assert_eq!(world.sections(), 4);
    });
}

#[test]
fn attempt_whose_time_is_over_leaves_the_mutex_to_others() {
    check_within(2, || {
        let world = World::new();
        let others = [some_time(), None].map(|deadline| {
            let world = world.clone();
            thread::spawn(move || {
                let got = world.mutex.lock_until(deadline);
                if got {
                    world.inside();
                }
                u32::from(got)
            })
        });
        world.section();
        let got: u32 = others.into_iter().map(|other| other.join().unwrap()).sum();
        assert!(got >= 1, "without a deadline it is got");
        assert_eq!(world.sections(), 1 + got);
    });
}

#[test]
fn cancelled_waiter_leaves_the_mutex_to_others() {
    check_within(2, || {
        let world = World::new();
        let canceller = spawn_canceller();
        let other = {
            let world = world.clone();
            thread::spawn(move || world.section())
        };
        let cancelled = ends_cancelled(|| world.section());
        canceller.join().unwrap();
        other.join().unwrap();
        assert_eq!(world.sections(), 2 - u32::from(cancelled));
    });
}
