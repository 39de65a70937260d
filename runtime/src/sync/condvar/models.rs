//! Loom models of the condition variable: no notification is lost, and one of a cancelled waiter
//! goes on.
#![forbid(unsafe_code)]

use loom::sync::Arc;
use loom::thread;

use super::Condvar;
use crate::primitives::check_within;
use crate::sched::cut::Shield;
use crate::sched::door;
use crate::sched::door::models::{SOME_TIME, ends_cancelled, myself};
use crate::sync::Mutex;
use crate::task::CancelReason;

struct World {
    /// How many may go.
    tickets: Mutex<u32>,
    changed: Condvar,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { tickets: Mutex::new(0), changed: Condvar::new() })
    }

    fn give_one(&self) {
        *self.tickets.lock().unwrap_or_else(|e| e.into_inner()) += 1;
        self.changed.notify_one();
    }

    fn take_one(&self) {
        let guard = self.tickets.lock().unwrap_or_else(|e| e.into_inner());
        let waited = self.changed.wait_while(guard, |tickets| *tickets == 0);
        *waited.unwrap_or_else(|e| e.into_inner()) -= 1;
    }
}

#[test]
fn notification_reaches_one_who_waits_or_is_about_to() {
    check_within(2, || {
        let world = World::new();
        let waiter = {
            let world = world.clone();
            thread::spawn(move || world.take_one())
        };
        world.give_one();
        waiter.join().unwrap();
    });
}

#[test]
fn every_notification_frees_somebody() {
    check_within(2, || {
        let world = World::new();
        let waiters = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.take_one())
        });
        world.give_one();
        world.give_one();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn notification_of_all_reaches_all() {
    check_within(2, || {
        let world = World::new();
        let waiters = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.take_one())
        });
        *world.tickets.lock().unwrap() += 2;
        world.changed.notify_all();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn wait_ends_with_its_time_or_by_the_notification() {
    check_within(2, || {
        let world = World::new();
        let timed = {
            let world = world.clone();
            thread::spawn(move || {
                let mut guard = world.tickets.lock().unwrap();
                if *guard == 0 {
                    guard = world.changed.wait_timeout(guard, SOME_TIME).unwrap().0;
                }
                drop(guard);
            })
        };
        world.give_one();
        timed.join().unwrap();
    });
}

#[test]
fn notification_of_a_cancelled_waiter_goes_to_the_next() {
    check_within(1, || {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || world.take_one())
        };
        let me = myself();
        let canceller = {
            let world = world.clone();
            thread::spawn(move || {
                let mut tickets = world.tickets.lock().unwrap_or_else(|e| e.into_inner());
                *tickets += 1;
                world.changed.notify_one();
                // Who was notified may wait for the mutex now.
                door::cancel(&me, &CancelReason::of_model());
                drop(tickets);
            })
        };
        // The other one waits for ever if the only ticket's notification goes with this one.
        let cancelled = ends_cancelled(|| world.take_one());
        canceller.join().unwrap();
        if !cancelled {
            let _shield = Shield::raise();
            world.give_one();
        }
        other.join().unwrap();
    });
}
