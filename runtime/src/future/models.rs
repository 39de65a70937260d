//! Loom models of `block_on`: a wake before, during and after a poll is followed by another poll,
//! which sees what came with it.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::task::{Poll, Waker};

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::{Call, block_on, into_waker};
use crate::primitives::{Ordering, check, check_within};
use crate::sched::door::models::{ends_cancelled, spawn_canceller};

/// What others do, in the order in which they say it.
struct World {
    done: AtomicUsize,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { done: AtomicUsize::new(0) })
    }

    /// A thread that does one thing, and says so.
    fn worker(world: &Arc<World>, waker: Waker) -> thread::JoinHandle<()> {
        let world = world.clone();
        thread::spawn(move || {
            world.done.fetch_add(1, Ordering::Relaxed);
            waker.wake();
        })
    }

    fn is_done(&self, count: usize) -> bool {
        self.done.load(Ordering::Relaxed) == count
    }
}

/// Waits until so many others have done what they do; each gets a waker at the first poll.
fn wait_for(world: &Arc<World>, count: usize) -> Vec<thread::JoinHandle<()>> {
    let mut workers = Vec::new();
    block_on(poll_fn(|context| {
        while workers.len() < count {
            workers.push(World::worker(world, context.waker().clone()));
        }
        if world.is_done(count) { Poll::Ready(()) } else { Poll::Pending }
    }));
    workers
}

fn join(workers: Vec<thread::JoinHandle<()>>) {
    for worker in workers {
        worker.join().unwrap();
    }
}

#[test]
fn wake_that_meets_the_end_of_a_poll_is_followed_by_another_poll() {
    check(|| {
        let world = World::new();
        join(wait_for(&world, 1));
    });
}

#[test]
fn wakes_of_several_are_all_followed_by_a_poll() {
    check_within(2, || {
        let world = World::new();
        join(wait_for(&world, 2));
    });
}

#[test]
fn late_wake_ends_no_later_wait() {
    check_within(2, || {
        let world = World::new();
        let mut workers = wait_for(&world, 1);
        // The worker may still be waking. Another call, whose signal may lie at the same address.
        let more = World::new();
        workers.extend(wait_for(&more, 1));
        assert!(world.is_done(1) && more.is_done(1));
        join(workers);
    });
}

#[test]
fn waker_of_a_poll_is_good_for_later_ones() {
    check_within(2, || {
        let world = World::new();
        let (mut kept, mut workers): (Option<Waker>, _) = (None, Vec::new());
        block_on(poll_fn(|context| {
            // A new worker for each poll, woken by what the first poll has given.
            let waker = kept.get_or_insert_with(|| context.waker().clone());
            if workers.len() == 2 && world.is_done(2) {
                return Poll::Ready(());
            }
            if workers.len() < 2 && world.is_done(workers.len()) {
                workers.push(World::worker(&world, waker.clone()));
            }
            Poll::Pending
        }));
        join(workers);
    });
}

#[test]
fn cancellation_and_wake_may_meet() {
    check_within(2, || {
        let world = World::new();
        let canceller = spawn_canceller();
        let mut worker = None;
        let _ = ends_cancelled(|| {
            block_on(poll_fn(|context| {
                worker.get_or_insert_with(|| World::worker(&world, context.waker().clone()));
                if world.is_done(1) { Poll::Ready(()) } else { Poll::Pending }
            }));
        });
        canceller.join().unwrap();
        if let Some(worker) = worker {
            worker.join().unwrap();
        }
    });
}

#[test]
fn clones_made_at_the_same_time_count_one_signal() {
    check(|| {
        let call = Arc::new(Call::new());
        let other = {
            let call = call.clone();
            thread::spawn(move || into_waker(call.signal_or_new()))
        };
        let mine = into_waker(call.signal_or_new());
        let other = other.join().unwrap();
        assert!(mine.will_wake(&other));
        other.wake();
        call.signal_or_new().wait(std::panic::Location::caller());
    });
}
