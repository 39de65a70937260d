//! Loom models of a slot: `b` runs once, its outcome is seen, and neither the frame of `join` nor
//! the slot is touched by anybody who does not know them any more.
//!
//! The deque of a model holds one entry, and publishes as a deque does: what the one that puts it
//! in has done is seen by the one that takes it out, and nothing the other way round.

use std::ptr;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Claim, Finished, Slot};
use crate::primitives::{Bell, check};
use crate::task::{Accepts, Cause, Commit, Duty, Header, State};

struct World {
    slot: Slot,
    /// Whether the entry lies in the deque.
    entry: AtomicUsize,
    /// The frame of `join`: how often `b` was run.
    frame: UnsafeCell<u32>,
    owner: State,
    /// Rings when the owner is scheduled.
    scheduled: Bell,
}

// SAFETY: loom checks the cells.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

/// Any address that is not null; models do not follow it.
fn token() -> *const Header {
    ptr::without_provenance(16)
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            slot: Slot::new(),
            entry: AtomicUsize::new(0),
            frame: UnsafeCell::new(0),
            owner: State::running(),
            scheduled: Bell::new(),
        })
    }

    fn run(&self) {
        // SAFETY: loom checks that nobody else has it.
        self.frame.with_mut(|frame| unsafe { *frame += 1 });
    }

    fn offer(&self) {
        // SAFETY: loom checks that nobody else has it.
        self.frame.with_mut(|frame| unsafe { *frame = 0 });
        self.slot.job.set(token().cast());
        self.slot.owner.set(token());
        // ORDERING: Release, and Acquire below; as of `crossbeam_deque`.
        self.entry.store(1, Ordering::Release);
    }

    fn take_entry(&self) -> bool {
        self.entry.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// A thief, as in `Core::accept` and `arm::end_slot`. Gives what its claim found, if it got
    /// the entry.
    fn steal(&self) -> Option<Claim> {
        if !self.take_entry() {
            return None;
        }
        self.slot.thief.set(token());
        if self.slot.claim_by_thief() == Claim::Lost {
            return Some(Claim::Lost);
        }
        assert!(!self.slot.job.get().is_null());
        assert!(!self.slot.owner.get().is_null());
        self.run();
        if let Finished::Awaited(sequence) = self.slot.finish() {
            match self.owner.wake(sequence) {
                Duty::Nothing => panic!("the owner's wait ends by this wake alone"),
                Duty::Noted => (),
                Duty::Schedule => self.scheduled.ring(),
            }
        }
        Some(Claim::Won)
    }

    /// The end of `join`, as in `arm::on_this_stack`. Gives whether `b` ran here.
    fn end(&self, pops: bool) -> bool {
        if pops && self.take_entry() {
            assert!(self.slot.is_open());
            self.run();
            return true;
        }
        if self.slot.claim_by_owner() == Claim::Won {
            self.run();
            return true;
        }
        assert_eq!(self.slot.thief.get(), token());
        if !self.slot.is_done() {
            self.wait();
        }
        assert!(self.slot.is_done());
        self.forget();
        false
    }

    fn wait(&self) {
        let sequence = self.owner.begin_wait(Accepts::NOTHING);
        if self.slot.announce_wait(sequence) {
            if self.owner.commit_wait() == Commit::Waiting {
                self.scheduled.wait();
            }
            assert_eq!(self.owner.cause(), Cause::Woken);
        } else {
            assert!(!self.owner.abandon_wait());
        }
    }

    /// Nobody else knows the slot any more: loom reports whoever still touches it.
    fn forget(&self) {
        let slot = (&raw const self.slot).cast_mut();
        // SAFETY: loom's words lock by themselves; this is the check that nobody else has them.
        let word = unsafe { &mut (*slot).word };
        word.with_mut(|_| ());
        // SAFETY: as above.
        let sequence = unsafe { &mut (*slot).sequence };
        sequence.with_mut(|_| ());
        self.slot.job.set(ptr::null());
        self.slot.owner.set(ptr::null());
        self.slot.thief.set(ptr::null());
    }

    fn ran(&self) -> u32 {
        // SAFETY: loom checks that nobody writes meanwhile.
        self.frame.with(|frame| unsafe { *frame })
    }
}

#[test]
fn owner_against_thief_runs_the_arm_once_and_sees_its_outcome() {
    check(|| {
        let world = World::new();
        let thief = thread::spawn({
            let world = world.clone();
            move || world.steal()
        });
        world.offer();
        // The owner found something else on top of its deque, so it does not pop.
        let here = world.end(false);
        assert_eq!(world.ran(), 1);
        let claim = thief.join().unwrap();
        assert_eq!(claim == Some(Claim::Won), !here);
        if here {
            // The entry lies in the deque still, or the thief was told that it is worth nothing.
            assert!(world.slot.is_tombstone());
            assert!(claim == Some(Claim::Lost) || world.take_entry());
        }
    });
}

#[test]
fn owner_that_pops_races_two_thieves() {
    check(|| {
        let world = World::new();
        let thief = || {
            let world = world.clone();
            thread::spawn(move || world.steal())
        };
        let thieves = [thief(), thief()];
        world.offer();
        let here = world.end(true);
        assert_eq!(world.ran(), 1);
        let claims = thieves.map(|thief| thief.join().unwrap());
        let won = claims.iter().filter(|claim| **claim == Some(Claim::Won)).count();
        assert_eq!(won, usize::from(!here));
    });
}

#[test]
fn slot_is_reused_by_whoever_takes_its_tombstone() {
    check(|| {
        let world = World::new();
        let thief = thread::spawn({
            let world = world.clone();
            move || {
                if world.steal() == Some(Claim::Lost) {
                    // It goes to the thief's cache, and the thief offers an arm of its own.
                    world.slot.reopen();
                    world.slot.job.set(ptr::null());
                    world.slot.owner.set(ptr::null());
                    assert_eq!(world.slot.claim_by_owner(), Claim::Won);
                }
            }
        });
        world.offer();
        world.end(false);
        thief.join().unwrap();
    });
}
