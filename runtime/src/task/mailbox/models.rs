//! Loom models of the mailbox: no wake is lost between a push and a sleep, each sleep is ended by
//! exactly one futex wake, and a push that comes too late is told so.
//!
//! Each header stands for a tracked cell that its pusher writes and the owner reads, so a missing
//! Release or Acquire on the head shows as a race.

use std::ptr::NonNull;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Mailbox, Message, Pushed};
use crate::primitives::{check, fence};
use crate::task::header::Header;
use crate::task::{Accepts, Cause, Commit, Duty, HeaderRef, State};

struct World {
    mailbox: Arc<Mailbox>,
    threads: Vec<HeaderRef>,
    /// What the pusher of each thread did before its push.
    written: Vec<UnsafeCell<bool>>,
    /// Futex wakes that somebody was told to give.
    wakes: AtomicUsize,
}

// SAFETY: loom checks the cells.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new(threads: usize) -> Arc<World> {
        Arc::new(World {
            mailbox: Arc::new(Mailbox::new()),
            threads: (0..threads).map(|_| Header::for_model()).collect(),
            written: (0..threads).map(|_| UnsafeCell::new(false)).collect(),
            wakes: AtomicUsize::new(0),
        })
    }

    /// Pushes thread `index`. False: the mailbox is closed.
    fn push(&self, index: usize) -> bool {
        // SAFETY: loom checks that nobody else has it.
        self.written[index].with_mut(|written| unsafe { *written = true });
        let thread = NonNull::from(&*self.threads[index]);
        // SAFETY: S1: each index is pushed once, and `World` keeps the headers. S2: and the
        // mailbox.
        match unsafe { Mailbox::push(NonNull::from(&*self.mailbox), thread) } {
            Pushed::Awake => true,
            Pushed::Sleeping(_) => {
                self.wake();
                true
            }
            Pushed::Closed => false,
        }
    }

    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.mailbox.wake_owner();
    }

    /// Counts a chain, and checks that each pusher's write is seen.
    fn count(&self, mut chain: *mut Header) -> usize {
        let mut count = 0;
        while let Some(thread) = NonNull::new(chain) {
            // SAFETY: `World` keeps the headers.
            let thread = unsafe { thread.as_ref() };
            let is_it = |known: &HeaderRef| std::ptr::eq(&raw const **known, thread);
            let index = self.threads.iter().position(is_it).unwrap();
            // SAFETY: loom checks that nobody writes meanwhile.
            assert!(self.written[index].with(|written| unsafe { *written }));
            chain = thread.next.load(std::sync::atomic::Ordering::Relaxed);
            count += 1;
        }
        count
    }

    fn drain(&self) -> usize {
        self.count(self.mailbox.drain())
    }

    /// Sleeps once, as `pause` does. True: an announcement of ours was answered.
    fn sleep(&self, by_doorbell: bool) -> bool {
        if !self.mailbox.announce_sleep(by_doorbell) {
            return false;
        }
        while self.mailbox.is_sleeping() {
            self.mailbox.sleep(None);
        }
        true
    }
}

#[test]
fn push_wakes_an_owner_that_sleeps_and_each_sleep_is_ended_once() {
    check(|| {
        let world = World::new(2);
        let pusher = |index| {
            let world = world.clone();
            thread::spawn(move || assert!(world.push(index)))
        };
        let pushers = [pusher(0), pusher(1)];
        let mut drained = 0;
        let (mut answered, mut by_doorbell) = (0, false);
        while drained < 2 {
            // By turns, as one does that watches descriptors only now and then.
            answered += usize::from(world.sleep(by_doorbell));
            by_doorbell = !by_doorbell;
            drained += world.drain();
        }
        for pusher in pushers {
            pusher.join().unwrap();
        }
        assert_eq!(drained, 2);
        assert_eq!(world.wakes.load(Ordering::Relaxed), answered);
    });
}

#[test]
fn nudge_and_push_end_one_sleep_by_one_wake() {
    check(|| {
        let world = World::new(1);
        let nudger = thread::spawn({
            let world = world.clone();
            move || {
                if world.mailbox.nudge() {
                    world.wake();
                }
            }
        });
        let pusher = thread::spawn({
            let world = world.clone();
            move || assert!(world.push(0))
        });
        let mut answered = 0;
        while world.drain() == 0 {
            answered += usize::from(world.sleep(true));
        }
        nudger.join().unwrap();
        pusher.join().unwrap();
        assert_eq!(world.wakes.load(Ordering::Relaxed), answered);
    });
}

#[test]
fn announcement_that_is_retracted_loses_no_push() {
    check(|| {
        let world = World::new(1);
        let pusher = thread::spawn({
            let world = world.clone();
            move || assert!(world.push(0))
        });
        // The owner's timer is due just then: it takes its announcement back.
        if world.mailbox.announce_sleep(false) {
            world.mailbox.retract_sleep();
        }
        let mut drained = world.drain();
        pusher.join().unwrap();
        drained += world.drain();
        assert_eq!(drained, 1);
    });
}

#[test]
fn order_reaches_an_owner_that_is_about_to_sleep() {
    check(|| {
        let world = World::new(0);
        let poster = thread::spawn({
            let world = world.clone();
            move || {
                world.mailbox.post(Message::CancelAll);
                if world.mailbox.nudge() {
                    world.wake();
                }
            }
        });
        while !world.mailbox.has_messages() {
            if world.mailbox.announce_sleep(false) {
                // Step 5 of the idle protocol.
                fence(Ordering::SeqCst);
                if !world.mailbox.has_messages() {
                    while world.mailbox.is_sleeping() {
                        world.mailbox.sleep(None);
                    }
                }
                world.mailbox.retract_sleep();
            }
            world.drain();
        }
        assert_eq!(world.mailbox.take_messages().len(), 1);
        poster.join().unwrap();
    });
}

#[test]
fn push_against_close_is_given_or_refused() {
    check(|| {
        let world = World::new(2);
        let pusher = thread::spawn({
            let world = world.clone();
            move || [world.push(0), world.push(1)]
        });
        let drained = world.drain();
        let given = drained + world.count(world.mailbox.close());
        let taken = pusher.join().unwrap();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), given);
        assert!(!taken[1] || taken[0], "closed once is closed for good");
    });
}

#[test]
fn waker_of_a_kernel_thread_learns_on_what_it_sleeps() {
    check(|| {
        let shared = Arc::new((State::running(), Mailbox::new()));
        // As the door of a kernel thread: a wait for a descriptor, and then one for a wake alone.
        for by_doorbell in [true, false] {
            let (state, mailbox) = &*shared;
            let sequence = state.begin_wait(Accepts::new(false, false, false));
            let waker = thread::spawn({
                let shared = shared.clone();
                move || {
                    if shared.0.wake(sequence) == Duty::Schedule {
                        shared.1.wake_owner();
                    }
                }
            });
            mailbox.sleep_by(by_doorbell);
            if state.commit_wait() == Commit::Waiting {
                while state.life() == "waiting" {
                    mailbox.bells[usize::from(by_doorbell)].wait();
                }
            }
            assert_eq!(state.cause(), Cause::Woken);
            waker.join().unwrap();
        }
    });
}
