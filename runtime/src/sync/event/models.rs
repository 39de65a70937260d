//! Loom models of the event: who waits is let go, and sees what was done before.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::Event;
use crate::primitives::check_within;
use crate::sync::address::models::SOME_TIME;

struct World {
    event: Event,
    done: UnsafeCell<bool>,
}

// SAFETY: loom checks the cell.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { event: Event::new(), done: UnsafeCell::new(false) })
    }

    fn set(&self) {
        // SAFETY: loom checks that nobody looks.
        self.done.with_mut(|done| unsafe { *done = true });
        self.event.set();
    }

    fn is_done(&self) -> bool {
        // SAFETY: loom checks that nobody writes.
        self.done.with(|done| unsafe { *done })
    }
}

#[test]
fn set_lets_everybody_go_and_publishes() {
    check_within(2, || {
        let world = World::new();
        let waiters = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || {
                world.event.wait();
                assert!(world.is_done());
            })
        });
        world.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn timed_wait_says_what_won() {
    check_within(2, || {
        let world = World::new();
        let waiters = [true, false].map(|timed| {
            let world = world.clone();
            thread::spawn(move || {
                if timed {
                    assert!(!world.event.wait_timeout(SOME_TIME) || world.is_done());
                } else {
                    world.event.wait();
                }
            })
        });
        world.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}
