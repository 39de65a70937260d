//! Loom models of the semaphore: no permit is lost or made, and nobody waits beside enough of them.
#![forbid(unsafe_code)]

use std::panic::Location;
use std::time::Instant;

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::raw::RawSemaphore;
use crate::primitives::{Ordering, check_within};
use crate::sched::door::models::{ends_cancelled, some_time, spawn_canceller};

struct World {
    semaphore: RawSemaphore,
    inside: AtomicUsize,
}

impl World {
    fn new(permits: usize) -> Arc<World> {
        Arc::new(World { semaphore: RawSemaphore::new(permits), inside: AtomicUsize::new(0) })
    }

    /// Takes `count` of the two permits that there ever are, and gives them back. True: got them.
    fn pass(&self, count: usize, deadline: Option<Instant>) -> bool {
        let got = self.semaphore.take_until(count, deadline, Location::caller());
        if got {
            assert!(self.inside.fetch_add(count, Ordering::Relaxed) + count <= 2);
            self.inside.fetch_sub(count, Ordering::Relaxed);
            self.semaphore.give(count);
        }
        got
    }

    /// Lets `others` pass beside `own`, each with what it takes; all permits are there afterwards.
    fn all_pass(others: [(usize, Option<Instant>); 2], own: usize) {
        let world = World::new(2);
        let others = others.map(|(count, deadline)| {
            let world = world.clone();
            thread::spawn(move || assert!(world.pass(count, deadline) || deadline.is_some()))
        });
        assert!(world.pass(own, None));
        for other in others {
            other.join().unwrap();
        }
        assert!(world.semaphore.is_untouched(2));
    }
}

#[test]
fn small_and_big_requests_are_all_served() {
    check_within(2, || World::all_pass([(2, None), (1, None)], 1));
    check_within(2, || World::all_pass([(2, None), (2, None)], 2));
}

#[test]
fn request_whose_time_is_over_stands_in_nobodys_way() {
    check_within(2, || World::all_pass([(2, some_time()), (1, None)], 1));
}

#[test]
fn small_one_behind_a_big_one_that_gives_up_is_served() {
    check_within(2, || {
        let world = World::new(2);
        assert!(world.semaphore.try_take(1));
        let [big, small] = [(2, some_time()), (1, None)].map(|(count, deadline)| {
            let world = world.clone();
            thread::spawn(move || world.pass(count, deadline))
        });
        // With the one permit that is left, once the big one is out of the way.
        assert!(small.join().unwrap());
        world.semaphore.give(1);
        big.join().unwrap();
        assert!(world.semaphore.is_untouched(2));
    });
}

#[test]
fn permits_that_meet_a_cancellation_are_not_lost() {
    check_within(2, || {
        let world = World::new(0);
        let canceller = spawn_canceller();
        let giver = {
            let world = world.clone();
            thread::spawn(move || world.semaphore.give(2))
        };
        ends_cancelled(|| assert!(world.pass(2, None)));
        canceller.join().unwrap();
        giver.join().unwrap();
        assert!(world.semaphore.is_untouched(2));
    });
}
