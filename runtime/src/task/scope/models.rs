//! Loom models of a scope's counter: the parent is woken once and only after all children have
//! left, sees what they did, and nobody touches its frame afterwards.
//!
//! The frame's end is an exclusive access to both words of the counter: loom reports any access
//! that does not happen before it, whether it comes earlier or later.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::ScopeData;
use crate::primitives::{Bell, check};
use crate::task::header::Header;
use crate::task::{Accepts, Cause, Commit, Duty, HeaderRef};

struct World {
    parent: HeaderRef,
    scope: ScopeData,
    /// What the children leave in the parent's frame.
    results: [UnsafeCell<u32>; 2],
    /// Rings when the parent is scheduled.
    scheduled: Bell,
}

// SAFETY: loom checks the cells.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new() -> Arc<World> {
        let parent = Header::for_model();
        let scope = ScopeData::new(&parent);
        Arc::new(World {
            parent,
            scope,
            results: [UnsafeCell::new(0), UnsafeCell::new(0)],
            scheduled: Bell::new(),
        })
    }

    /// The end of child `index`, as in `life::announce_end`.
    fn end(&self, index: usize) {
        // SAFETY: loom checks that nobody else has it.
        self.results[index].with_mut(|result| unsafe { *result = 1 });
        // SAFETY: S1: each child was entered and ends once.
        let last = unsafe { ScopeData::leave(&raw const self.scope) };
        if let Some((parent, sequence)) = last {
            match parent.state.wake(sequence) {
                Duty::Nothing => panic!("the wait ends by this wake alone"),
                Duty::Noted => (),
                Duty::Schedule => self.scheduled.ring(),
            }
        }
    }

    /// The end of the scope, as in `inplace::end_scope`.
    fn wait(&self) {
        if !self.scope.is_empty() {
            self.scope.merge();
            let nothing = Accepts::NOTHING;
            let state = &self.parent.state;
            let sequence = state.begin_wait(nothing);
            if self.scope.announce_wait(sequence) {
                if state.commit_wait() == Commit::Waiting {
                    self.scheduled.wait();
                }
                assert_eq!(state.cause(), Cause::Woken);
                assert!(self.scope.is_empty());
            } else {
                assert!(!state.abandon_wait());
            }
            self.scope.retract_wait();
        }
        self.end_frame();
    }

    fn end_frame(&self) {
        let scope = (&raw const self.scope).cast_mut();
        // SAFETY: loom's words lock by themselves; this is the check that nobody else has them.
        let word = unsafe { &mut (*scope).word };
        word.with_mut(|_| ());
        // SAFETY: as above.
        let sequence = unsafe { &mut (*scope).sequence };
        sequence.with_mut(|_| ());
    }

    fn sum(&self) -> u32 {
        // SAFETY: loom checks that nobody writes meanwhile.
        self.results.iter().map(|result| result.with(|result| unsafe { *result })).sum()
    }
}

#[test]
fn last_of_two_children_wakes_the_parent_and_leaves_its_frame_alone() {
    check(|| {
        let world = World::new();
        let child = |index| {
            world.scope.enter();
            let world = world.clone();
            thread::spawn(move || world.end(index))
        };
        let children = [child(0), child(1)];
        world.wait();
        assert_eq!(world.sum(), 2);
        for child in children {
            child.join().unwrap();
        }
    });
}

#[test]
fn children_counted_at_home_that_end_elsewhere_wake_the_parent() {
    check(|| {
        let world = World::new();
        // What `enter` does on the parent's worker. In a model nobody is on one.
        world.scope.at_home.set(2);
        let child = |index| {
            let world = world.clone();
            thread::spawn(move || world.end(index))
        };
        let children = [child(0), child(1)];
        world.wait();
        assert_eq!(world.sum(), 2);
        for child in children {
            child.join().unwrap();
        }
    });
}

#[test]
fn child_that_spawns_keeps_the_scope_open() {
    check(|| {
        let world = World::new();
        world.scope.enter();
        let child = thread::spawn({
            let world = world.clone();
            move || {
                world.scope.enter();
                let grandchild = thread::spawn({
                    let world = world.clone();
                    move || world.end(1)
                });
                world.end(0);
                grandchild
            }
        });
        world.wait();
        assert_eq!(world.sum(), 2);
        child.join().unwrap().join().unwrap();
    });
}
