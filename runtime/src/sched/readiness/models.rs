//! Loom models of waiting for a descriptor: no edge is lost, whoever comes, goes, or moves it
//! meanwhile, and nobody sleeps while there is something for him.
//!
//! Only the kernel below is a model's. The threads are kernel threads to the crate, and each names
//! the worker that it belongs to; what they do is what `reactor::Source` does. A model's deadlines
//! come when they like, and its cancellations between any two steps.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::thread::{self, JoinHandle};

use super::{Entered, Interest, Readiness, Waiter, leave_leaked};
use crate::os::Doorbell;
use crate::poller::{Events, Poller, modelled};
use crate::primitives::check_within;
use crate::sched::cut::Shield;
use crate::sched::door::models::{ends_cancelled, some_time, spawn_canceller};
use crate::sched::{door, events};
use crate::task::{Cause, Unlink, WaitKind};

/// A socket, and the workers that watch it.
struct World {
    readiness: Readiness,
    pollers: Vec<Arc<Poller>>,
    /// Whether it may be registered anew while the model runs.
    registers: bool,
    /// How many workers collect events; those after them compute all the time.
    collecting: usize,
}

// SAFETY: everything in it is shared outside of models, too.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

impl World {
    fn new(workers: usize, collecting: usize, is_watched: bool) -> Arc<World> {
        // SAFETY: no system call of a model is given its number.
        let fd = unsafe { BorrowedFd::borrow_raw(modelled::FD) };
        let poller = |_| Arc::new(Poller::new(&Doorbell::new().unwrap()).unwrap());
        Arc::new(World {
            readiness: Readiness::new(fd),
            pollers: (0..workers).map(poller).collect(),
            registers: workers > 1 || !is_watched,
            collecting,
        })
    }

    /// The same where the first worker watches it already.
    fn watched(workers: usize) -> Arc<World> {
        let world = World::new(workers, workers, true);
        world.follow(0);
        world
    }

    /// The same with another worker, which computes all the time.
    fn watched_beside_a_busy_worker() -> Arc<World> {
        let world = World::new(2, 1, true);
        world.follow(0);
        world
    }

    /// A thread in which things happen, each of which all workers see after it.
    fn happens<const N: usize>(self: &Arc<World>, things: [fn(); N]) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || things.iter().for_each(|thing| world.happens_here(*thing)))
    }

    fn happens_here(&self, thing: fn()) {
        thing();
        (0..self.collecting).for_each(|worker| self.collect(worker));
    }

    fn collect(&self, worker: usize) {
        let mut found = Events::new();
        self.pollers[worker].wait(&mut found, Some(Duration::ZERO));
        for (key, ready) in found.iter() {
            events::deliver(&self.pollers[worker], key, ready);
        }
    }

    /// Has it watched by `worker`, which sees at once what has come before.
    fn follow(&self, worker: usize) {
        let poller = &self.pollers[worker];
        // SAFETY: S1: pinned by the `Arc`, and there is no real descriptor.
        unsafe { self.readiness.follow(poller) }.unwrap();
        if self.registers && worker < self.collecting {
            self.collect(worker);
        }
    }

    /// As `Source::perform`. `None`: the time is over.
    fn perform<R>(
        &self,
        worker: usize,
        interest: Interest,
        deadline: Option<Instant>,
        attempt: impl Fn() -> Option<R>,
    ) -> Option<R> {
        let seen = self.readiness.look(interest);
        if !seen.is_dry() {
            match attempt() {
                None => self.readiness.note_dry(interest, seen),
                done => return done,
            }
        }
        loop {
            if !self.wait(worker, interest, deadline) {
                return None;
            }
            let seen = self.readiness.look(interest);
            match attempt() {
                None => self.readiness.note_dry(interest, seen),
                done => {
                    self.readiness.hand_on(interest);
                    return done;
                }
            }
        }
    }

    /// As `Source::receive`: gives how many bytes it has got, which is none at the end.
    fn read(&self, worker: usize, room: u32, deadline: Option<Instant>) -> Option<u32> {
        self.perform(worker, Interest::Read, deadline, || {
            let seen = self.readiness.look(Interest::Read);
            let count = modelled::take(room)?;
            if 0 < count && count < room {
                self.readiness.note_emptied(seen);
            }
            Some(count)
        })
    }

    /// As `Source::wait_green`. False: the time is over.
    fn wait(&self, worker: usize, interest: Interest, deadline: Option<Instant>) -> bool {
        loop {
            self.follow(worker);
            let pending = door::begin_in_call();
            let waiter = self.waiter(worker, interest, &pending);
            match self.readiness.enter(&waiter) {
                Entered::Queued => {
                    let leaving = Leaving(&self.readiness, &waiter, false, false);
                    let unlink = Unlink { waiter: (&raw const waiter).cast(), call: leave_leaked };
                    let reason = door::reason(WaitKind::SocketRead);
                    let cause = pending.wait_in_queue(reason, deadline, Some(unlink));
                    return leaving.after(cause);
                }
                Entered::TryAgain => {
                    pending.abandon();
                    return true;
                }
                Entered::Moved => {
                    pending.abandon();
                }
            }
        }
    }

    fn waiter(&self, worker: usize, interest: Interest, pending: &door::Pending) -> Waiter {
        let (thread, sequence) = (pending.header(), pending.sequence());
        let poller = Arc::as_ptr(&self.pollers[worker]);
        Waiter::new(&self.readiness, interest, thread, sequence, poller)
    }

    /// A thread of `worker` that reads up to `room` bytes.
    fn reads(self: &Arc<World>, worker: usize, room: u32) -> JoinHandle<u32> {
        let world = self.clone();
        thread::spawn(move || world.read(worker, room, None).unwrap())
    }

    /// The same if one comes in time.
    fn reads_in_time(self: &Arc<World>, worker: usize) -> JoinHandle<Option<u32>> {
        let world = self.clone();
        thread::spawn(move || world.read(worker, 1, some_time()))
    }
}

/// As in `reactor::Source`.
struct Leaving<'a>(&'a Readiness, &'a Waiter, bool, bool);

impl Leaving<'_> {
    fn after(mut self, cause: Cause) -> bool {
        self.2 = cause != Cause::TimedOut;
        self.3 = cause == Cause::Woken;
        self.2
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.0.leave(self.1, self.3) && !self.2 {
            self.0.hand_on(self.1.interest);
        }
    }
}

fn byte() {
    modelled::push(1);
}

fn two_bytes() {
    modelled::push(2);
}

#[test]
fn byte_that_meets_an_attempt_ends_the_wait() {
    check_within(4, || {
        let world = World::new(1, 1, false);
        let happens = world.happens([byte]);
        assert_eq!(world.read(0, 1, None), Some(1));
        happens.join().unwrap();
    });
}

#[test]
fn byte_that_meets_an_attempt_without_a_lock_ends_the_wait() {
    check_within(4, || {
        let world = World::watched(1);
        let happens = world.happens([byte]);
        let attempt = || modelled::take_after_a_look(1);
        assert_eq!(world.perform(0, Interest::Read, None, attempt), Some(1));
        happens.join().unwrap();
    });
}

#[test]
fn byte_that_meets_a_short_read_is_read_next() {
    check_within(3, || {
        let world = World::watched(1);
        let happens = world.happens([byte, byte]);
        let mut sum = 0;
        while sum < 2 {
            sum += world.read(0, 4, None).unwrap();
        }
        happens.join().unwrap();
    });
}

#[test]
fn end_that_meets_a_short_read_is_read_next() {
    check_within(3, || {
        let world = World::watched(1);
        let happens = world.happens([byte, modelled::end]);
        assert_eq!(world.read(0, 4, None), Some(1));
        assert_eq!(world.read(0, 4, None), Some(0));
        happens.join().unwrap();
    });
}

#[test]
fn end_that_is_told_with_the_last_byte_is_read_next() {
    check_within(3, || {
        let world = World::watched(1);
        let happens = world.happens([|| {
            modelled::push(1);
            modelled::end();
        }]);
        assert_eq!(world.read(0, 4, None), Some(1));
        assert_eq!(world.read(0, 4, None), Some(0));
        happens.join().unwrap();
    });
}

#[test]
fn two_bytes_of_one_edge_go_to_two_readers() {
    check_within(2, || {
        let world = World::watched(1);
        let happens = world.happens([two_bytes]);
        let other = world.reads(0, 1);
        assert_eq!(world.read(0, 1, None), Some(1));
        assert_eq!(other.join().unwrap(), 1);
        happens.join().unwrap();
    });
}

#[test]
fn byte_that_meets_a_deadline_goes_to_the_next_reader() {
    check_within(2, || {
        let world = World::watched(1);
        let happens = world.happens([byte]);
        let patient = world.reads(0, 1);
        if world.read(0, 1, some_time()).is_some() {
            world.happens_here(byte);
        }
        assert_eq!(patient.join().unwrap(), 1);
        happens.join().unwrap();
    });
}

#[test]
fn byte_that_meets_a_cancellation_goes_to_the_next_reader() {
    check_within(1, || {
        let world = World::watched(1);
        let happens = world.happens([byte]);
        let patient = world.reads(0, 1);
        let canceller = spawn_canceller();
        let mut read = None;
        ends_cancelled(|| read = world.read(0, 1, None));
        canceller.join().unwrap();
        let _shield = Shield::raise();
        if read.is_some() {
            world.happens_here(byte);
        }
        assert_eq!(patient.join().unwrap(), 1);
        happens.join().unwrap();
    });
}

#[test]
fn byte_that_meets_a_leaked_reader_goes_to_the_next_one() {
    check_within(2, || {
        let world = World::watched(1);
        let seen = world.readiness.look(Interest::Read);
        world.readiness.note_dry(Interest::Read, seen);
        let pending = door::begin_in_call();
        let waiter = world.waiter(0, Interest::Read, &pending);
        assert_eq!(world.readiness.enter(&waiter), Entered::Queued);
        let happens = world.happens([byte]);
        let patient = world.reads(0, 1);
        // As `shutdown::abandon` does for a thread that never goes on.
        // SAFETY: S1: it lives in this frame.
        unsafe { leave_leaked((&raw const waiter).cast()) };
        pending.abandon();
        assert_eq!(patient.join().unwrap(), 1);
        happens.join().unwrap();
    });
}

#[test]
fn end_is_read_by_everybody() {
    check_within(2, || {
        let world = World::watched(1);
        let happens = world.happens([modelled::end]);
        let other = world.reads(0, 1);
        assert_eq!(world.read(0, 1, None), Some(0));
        assert_eq!(other.join().unwrap(), 0);
        happens.join().unwrap();
    });
}

/// A thread of the second worker that is about to wait.
fn takes_it(world: &Arc<World>) -> JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || world.follow(1))
}

#[test]
fn socket_that_a_busy_worker_takes_meanwhile_is_read_here() {
    check_within(2, || {
        let world = World::watched_beside_a_busy_worker();
        let happens = world.happens([byte]);
        let takes = takes_it(&world);
        assert_eq!(world.read(0, 1, None), Some(1));
        takes.join().unwrap();
        happens.join().unwrap();
    });
}

#[test]
fn socket_that_is_watched_here_for_nobody_any_more_is_watched_again() {
    check_within(2, || {
        let world = World::watched_beside_a_busy_worker();
        let happens = world.happens([byte, byte]);
        let takes = takes_it(&world);
        let mut count = world.read(0, 1, some_time()).unwrap_or(0);
        while count < 2 {
            count += world.read(0, 1, None).unwrap();
        }
        takes.join().unwrap();
        happens.join().unwrap();
    });
}

#[test]
fn two_bytes_go_to_readers_of_two_workers() {
    check_within(1, || {
        let world = World::watched(2);
        let happens = world.happens([two_bytes]);
        let other = world.reads(1, 1);
        assert_eq!(world.read(0, 1, None), Some(1));
        assert_eq!(other.join().unwrap(), 1);
        happens.join().unwrap();
    });
}

#[test]
fn writer_is_woken_beside_a_reader_whose_time_is_over() {
    check_within(2, || {
        let world = World::watched(1);
        let happens = world.happens([|| {
            modelled::push(1);
            modelled::make_room();
        }]);
        let timed = world.reads_in_time(0);
        assert_eq!(world.perform(0, Interest::Write, None, modelled::write), Some(()));
        timed.join().unwrap();
        happens.join().unwrap();
    });
}
