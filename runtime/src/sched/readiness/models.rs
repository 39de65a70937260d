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
use crate::primitives::{AtomicBool, Ordering, check_within};
use crate::sched::cut::Shield;
use crate::sched::{door, events};
use crate::sync::address::models::{ends_cancelled, some_time, spawn_canceller};
use crate::task::{Cause, Unlink, WaitKind};

/// A socket, and the workers that watch it.
struct World {
    readiness: Readiness,
    pollers: Vec<Arc<Poller>>,
    /// Whether the workers go home.
    stopped: AtomicBool,
}

// SAFETY: everything in it is shared outside of models, too.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

/// The threads of the workers.
struct Workers(Arc<World>, Vec<JoinHandle<()>>);

impl World {
    fn new(workers: usize) -> Arc<World> {
        // SAFETY: no system call of a model is given its number.
        let fd = unsafe { BorrowedFd::borrow_raw(modelled::FD) };
        let poller = |_| Arc::new(Poller::new(&Doorbell::new().unwrap()).unwrap());
        Arc::new(World {
            readiness: Readiness::new(fd),
            pollers: (0..workers).map(poller).collect(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Starts the workers, who deliver what comes. The first does `first` before.
    fn start(self: &Arc<World>, first: impl Fn() + Send + 'static) -> Workers {
        let mut first = Some(first);
        let threads = (0..self.pollers.len()).map(|worker| {
            let (world, first) = (self.clone(), first.take());
            thread::spawn(move || {
                first.inspect(|first| first());
                world.run(worker);
            })
        });
        Workers(self.clone(), threads.collect())
    }

    fn run(&self, worker: usize) {
        loop {
            self.pollers[worker].modelled().wait_for_edge();
            self.collect(worker);
            // ORDERING: Acquire; pairs with `Workers::end`.
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn collect(&self, worker: usize) {
        let mut found = Events::new();
        self.pollers[worker].wait(&mut found, Some(Duration::ZERO));
        for (key, ready) in found.iter() {
            events::deliver(&self.pollers[worker], key, ready);
        }
    }

    fn follow(&self, worker: usize) {
        // SAFETY: S1: pinned by the `Arc`, and there is no real descriptor.
        unsafe { self.readiness.follow(&self.pollers[worker]) }.unwrap();
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
                    let leaving = Leaving(&self.readiness, &waiter, false);
                    let unlink =
                        Unlink { waiter: (&raw const waiter).cast(), call: leave_leaked };
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
struct Leaving<'a>(&'a Readiness, &'a Waiter, bool);

impl Leaving<'_> {
    fn after(mut self, cause: Cause) -> bool {
        self.2 = cause != Cause::TimedOut;
        self.2
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.0.leave(self.1) && !self.2 {
            self.0.hand_on(self.1.interest);
        }
    }
}

impl Workers {
    fn end(self) {
        // ORDERING: Release; pairs with `World::run`.
        self.0.stopped.store(true, Ordering::Release);
        for poller in &self.0.pollers {
            poller.modelled().ring();
        }
        for thread in self.1 {
            thread.join().unwrap();
        }
    }
}

#[test]
fn byte_that_meets_an_attempt_ends_the_wait() {
    check_within(3, || {
        let world = World::new(1);
        let workers = world.start(|| modelled::push(1));
        assert_eq!(world.read(0, 1, None), Some(1));
        workers.end();
    });
}

#[test]
fn byte_that_meets_an_attempt_without_a_lock_ends_the_wait() {
    check_within(3, || {
        let world = World::new(1);
        world.follow(0);
        world.collect(0);
        let workers = world.start(|| modelled::push(1));
        let attempt = || modelled::take_after_a_look(1);
        assert_eq!(world.perform(0, Interest::Read, None, attempt), Some(1));
        workers.end();
    });
}

#[test]
fn byte_that_meets_a_short_read_is_read_next() {
    check_within(3, || {
        let world = World::new(1);
        world.follow(0);
        let workers = world.start(|| {
            modelled::push(1);
            modelled::push(1);
        });
        let mut sum = 0;
        while sum < 2 {
            sum += world.read(0, 4, None).unwrap();
        }
        workers.end();
    });
}

#[test]
fn end_that_meets_a_short_read_is_read_next() {
    check_within(3, || {
        let world = World::new(1);
        world.follow(0);
        let workers = world.start(|| {
            modelled::push(1);
            modelled::end();
        });
        assert_eq!(world.read(0, 4, None), Some(1));
        assert_eq!(world.read(0, 4, None), Some(0));
        workers.end();
    });
}

#[test]
fn two_bytes_of_one_edge_go_to_two_readers() {
    check_within(2, || {
        let world = World::new(1);
        let workers = world.start(|| modelled::push(2));
        let other = world.reads(0, 1);
        assert_eq!(world.read(0, 1, None), Some(1));
        assert_eq!(other.join().unwrap(), 1);
        workers.end();
    });
}

#[test]
fn byte_that_meets_a_deadline_goes_to_the_next_reader() {
    check_within(2, || {
        let world = World::new(1);
        let workers = world.start(|| modelled::push(1));
        let timed = world.reads_in_time(0);
        let patient = world.reads(0, 1);
        if timed.join().unwrap().is_some() {
            modelled::push(1);
        }
        assert_eq!(patient.join().unwrap(), 1);
        workers.end();
    });
}

#[test]
fn byte_that_meets_a_cancellation_goes_to_the_next_reader() {
    check_within(2, || {
        let world = World::new(1);
        let workers = world.start(|| modelled::push(1));
        let patient = world.reads(0, 1);
        let canceller = spawn_canceller();
        let mut read = None;
        ends_cancelled(|| read = world.read(0, 1, None));
        canceller.join().unwrap();
        let _shield = Shield::raise();
        if read.is_some() {
            modelled::push(1);
        }
        assert_eq!(patient.join().unwrap(), 1);
        workers.end();
    });
}

#[test]
fn byte_that_meets_a_leaked_reader_goes_to_the_next_one() {
    check_within(2, || {
        let world = World::new(1);
        world.follow(0);
        let seen = world.readiness.look(Interest::Read);
        world.readiness.note_dry(Interest::Read, seen);
        let pending = door::begin_in_call();
        let waiter = world.waiter(0, Interest::Read, &pending);
        assert_eq!(world.readiness.enter(&waiter), Entered::Queued);
        let workers = world.start(|| modelled::push(1));
        let patient = world.reads(0, 1);
        // As `shutdown::abandon` does for a thread that never goes on.
        // SAFETY: S1: it lives in this frame.
        unsafe { leave_leaked((&raw const waiter).cast()) };
        pending.abandon();
        assert_eq!(patient.join().unwrap(), 1);
        workers.end();
    });
}

#[test]
fn end_is_read_by_everybody() {
    check_within(2, || {
        let world = World::new(1);
        let workers = world.start(modelled::end);
        let others = [world.reads(0, 1), world.reads(0, 1)];
        assert_eq!(world.read(0, 1, None), Some(0));
        for other in others {
            assert_eq!(other.join().unwrap(), 0);
        }
        workers.end();
    });
}

#[test]
fn socket_that_two_workers_read_moves_and_loses_nothing() {
    check_within(1, || {
        let world = World::new(2);
        let workers = world.start(|| modelled::push(2));
        let other = world.reads(1, 1);
        assert_eq!(world.read(0, 1, None), Some(1));
        assert_eq!(other.join().unwrap(), 1);
        workers.end();
    });
}

#[test]
fn socket_that_comes_back_to_a_worker_is_watched_there_again() {
    check_within(1, || {
        let world = World::new(2);
        let workers = world.start(|| ());
        let other = world.reads(1, 1);
        // Waits there, or does not, and may leave it watched for nobody.
        let early = world.read(0, 1, some_time());
        assert_eq!(early, None, "nothing has come yet");
        modelled::push(2);
        assert_eq!(world.read(0, 1, None), Some(1));
        assert_eq!(other.join().unwrap(), 1);
        workers.end();
    });
}

#[test]
fn writer_is_woken_beside_a_reader_whose_time_is_over() {
    check_within(2, || {
        let world = World::new(1);
        let workers = world.start(|| {
            modelled::push(1);
            modelled::make_room();
        });
        let timed = world.reads_in_time(0);
        assert_eq!(world.perform(0, Interest::Write, None, modelled::write), Some(()));
        timed.join().unwrap();
        workers.end();
    });
}
