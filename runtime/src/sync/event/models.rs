//! Loom models of the event: whoever waits is woken, and by a change that it has waited for.
#![forbid(unsafe_code)]

use loom::sync::Arc;
use loom::thread;

use super::Event;
use crate::primitives::{AtomicU32, Ordering, check_within};
use crate::sched::door;
use crate::sched::door::models::{SOME_TIME, ends_cancelled, myself};
use crate::task::CancelReason;

struct World {
    event: Event,
    news: AtomicU32,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { event: Event::new(), news: AtomicU32::new(0) })
    }
}

/// Another thread.
fn spawn<T: 'static>(
    world: &Arc<World>,
    f: impl FnOnce(&World) -> T + 'static,
) -> thread::JoinHandle<T> {
    let world = world.clone();
    thread::spawn(move || f(&world))
}

#[test]
fn set_reaches_those_who_wait_or_are_about_to() {
    check_within(2, || {
        let world = World::new();
        let waits = |world: &World| {
            world.event.wait();
            assert_eq!(world.news.load(Ordering::Relaxed), 1, "what was done before is seen");
        };
        let others = [(); 2].map(|()| spawn(&world, waits));
        world.news.store(1, Ordering::Relaxed);
        world.event.set();
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn news_that_come_with_a_set_are_seen_behind_the_reset_or_told_again() {
    check_within(3, || {
        let world = World::new();
        world.event.set();
        let tells = spawn(&world, |world| {
            world.news.store(1, Ordering::Relaxed);
            world.event.set();
        });
        world.event.reset();
        if world.news.load(Ordering::Relaxed) == 0 {
            // Not told, or it has to be set again.
            world.event.wait();
            assert_eq!(world.news.load(Ordering::Relaxed), 1);
        }
        tells.join().unwrap();
    });
}

#[test]
fn reset_is_not_overtaken_by_the_wake_of_what_it_has_reset() {
    check_within(3, || {
        let world = World::new();
        let waits = spawn(&world, |world| world.event.wait());
        let sets = spawn(&world, |world| world.event.set());
        if world.event.is_set() {
            world.event.reset();
            let was_set = world.event.wait_timeout(SOME_TIME);
            assert!(!was_set, "nobody has set it since");
            world.event.set();
        }
        sets.join().unwrap();
        waits.join().unwrap();
    });
}

#[test]
fn time_over_and_set_may_meet() {
    check_within(3, || {
        let world = World::new();
        let timed = spawn(&world, |world| {
            let was_set = world.event.wait_timeout(SOME_TIME);
            assert!(!was_set || world.event.is_set());
        });
        world.event.set();
        timed.join().unwrap();
        assert!(world.event.is_set());
    });
}

#[test]
fn cancelled_waiter_takes_nobody_elses_wake_along() {
    check_within(2, || {
        let world = World::new();
        let other = spawn(&world, |world| world.event.wait());
        let me = myself();
        let canceller = spawn(&world, move |world| {
            door::cancel(&me, &CancelReason::of_model());
            world.event.set();
        });
        let _ = ends_cancelled(|| world.event.wait());
        canceller.join().unwrap();
        other.join().unwrap();
    });
}
