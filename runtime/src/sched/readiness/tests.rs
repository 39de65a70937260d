//! Tests of readiness with the real kernel, where models cannot reach: more waiters than one visit
//! of the table wakes.
//!
//! The waiters are kernel threads, each of which stands in the queue as a green thread does.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{Entered, Interest, Readiness, Waiter};
use crate::os::Doorbell;
use crate::poller::{Events, Poller};
use crate::sched::{door, events};
use crate::task::{Cause, Duty, WaitKind};

/// More than one visit wakes, and not a multiple of that.
const MANY: usize = 11;

/// A socket, and the worker that watches it.
struct World {
    /// Before the socket, so that it leaves the poller first.
    readiness: Readiness,
    poller: Arc<Poller>,
    near: UnixStream,
    /// How many threads have got what they waited for.
    served: AtomicUsize,
}

impl World {
    fn new() -> (World, UnixStream) {
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        near.set_nonblocking(true).expect("an open socket");
        let poller = Poller::new(&Doorbell::new().unwrap()).unwrap();
        let world = World {
            readiness: Readiness::new(near.as_fd()),
            poller: Arc::new(poller),
            near,
            served: AtomicUsize::new(0),
        };
        (world, far)
    }

    /// Registers it, and takes the event that this gives.
    fn watch(&self) {
        // SAFETY: S1: no test moves its world after this, and the fields go in order.
        unsafe { self.readiness.follow(&self.poller) }.unwrap();
        self.collect();
    }

    /// Delivers what has come, without a wait.
    fn collect(&self) {
        let mut found = Events::new();
        self.poller.wait(&mut found, Some(Duration::ZERO));
        for (key, ready) in found.iter() {
            events::deliver(&self.poller, key, ready);
        }
    }

    /// Reads a byte, waiting in the queue; `None` at the end.
    fn read(&self) -> Option<u8> {
        let mut byte = [0];
        loop {
            let seen = self.readiness.look(Interest::Read);
            match (&self.near).read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness.note_dry(Interest::Read, seen);
                    self.wait(Interest::Read);
                }
                outcome => {
                    self.readiness.hand_on(Interest::Read);
                    // ORDERING: Relaxed; a count.
                    self.served.fetch_add(1, Ordering::Relaxed);
                    return (outcome.unwrap() == 1).then_some(byte[0]);
                }
            }
        }
    }

    /// Waits once, or not at all.
    fn wait(&self, interest: Interest) {
        let pending = door::begin_in_call();
        let waiter = self.waiter(interest, &pending);
        if self.readiness.enter(&waiter) != Entered::Queued {
            pending.abandon();
            return;
        }
        let reason = door::reason(WaitKind::SocketRead);
        assert_eq!(pending.wait_in_queue(reason, None, None), Cause::Woken);
        self.readiness.leave(&waiter, false);
    }

    fn waiter(&self, interest: Interest, pending: &door::Pending) -> Waiter {
        let (thread, sequence) = (pending.header(), pending.sequence());
        Waiter::new(&self.readiness, interest, thread, sequence, Arc::as_ptr(&self.poller))
    }

    /// Until so many wait for `interest`.
    fn until_waiting(&self, interest: Interest, count: usize) {
        while self.waiting(interest) < count {
            thread::yield_now();
        }
    }

    fn waiting(&self, interest: Interest) -> usize {
        self.readiness.queues.lock()[interest as usize].iter().count()
    }
}

#[test]
fn end_wakes_all_of_many_waiters_by_one_event() {
    let (world, far) = World::new();
    world.watch();
    thread::scope(|s| {
        for _ in 0..MANY {
            s.spawn(|| assert_eq!(world.read(), None));
        }
        world.until_waiting(Interest::Read, MANY);
        drop(far);
        // Once: nobody collects events after that.
        world.collect();
    });
    assert_eq!(world.served.into_inner(), MANY);
}

#[test]
fn bytes_of_one_event_wake_as_many_waiters_and_no_more() {
    let (world, mut far) = World::new();
    world.watch();
    thread::scope(|s| {
        for _ in 0..MANY {
            s.spawn(|| world.read());
        }
        world.until_waiting(Interest::Read, MANY);
        far.write_all(&[7; MANY - 1]).unwrap();
        world.collect();
        while world.served.load(Ordering::Relaxed) < MANY - 1 {
            thread::yield_now();
        }
        // The last one has been handed the wake, or is about to be, and finds nothing.
        world.until_waiting(Interest::Read, 1);
        assert_eq!(world.served.load(Ordering::Relaxed), MANY - 1);
        far.write_all(&[7]).unwrap();
        world.collect();
    });
    assert_eq!(world.served.into_inner(), MANY);
}

#[test]
fn writer_is_woken_beside_readers_whose_time_is_over() {
    let (world, mut far) = World::new();
    world.watch();
    for interest in [Interest::Read, Interest::Write] {
        let seen = world.readiness.look(interest);
        world.readiness.note_dry(interest, seen);
    }
    // This thread's time is over, and it has not left the queue yet.
    let pending = door::begin_in_call();
    let reader = world.waiter(Interest::Read, &pending);
    assert_eq!(world.readiness.enter(&reader), Entered::Queued);
    assert_eq!(pending.header().state.time_out(pending.sequence()), Duty::Noted);
    thread::scope(|s| {
        s.spawn(|| world.wait(Interest::Write));
        world.until_waiting(Interest::Write, 1);
        // One event for both directions, for there is room to write all the time.
        far.write_all(&[7]).unwrap();
        world.collect();
    });
    assert!(!world.readiness.leave(&reader, false), "chosen, though its wait had ended");
    pending.abandon();
}
