//! Loom models of families: a cancellation reaches everybody below, who is in the lists and who
//! enters them late, and looks at nothing that has ended.
//!
//! Threads are headers without a stack, and a model's threads stand for them. The lists lie in
//! cells that loom watches; the end of a frame is an exclusive access to the scope's.

use std::ptr;
use std::sync::Arc;

use loom::thread::{self, JoinHandle};

use super::{cancel_region, cancel_scope, cancel_tree, enter_lists, leave_list};
use crate::primitives::{check, check_within};
use crate::task::cancelled::CancelReason;
use crate::task::header::{Header, HeaderRef};
use crate::task::region::{Region, chain};
use crate::task::scope::ScopeData;
use crate::task::state::{Accepts, Cause, Commit};

const CANCEL: Accepts = Accepts::new(false, true, true);

/// A thread that has opened a scope, in a region of its own.
struct Parent {
    header: HeaderRef,
    region: Box<Region>,
    scope: ScopeData,
}

// SAFETY: loom checks the cells.
unsafe impl Sync for Parent {}
// SAFETY: as above.
unsafe impl Send for Parent {}

/// What a canceller calls off.
#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Thread,
    Scope,
    Region,
}

impl Parent {
    /// A thread with a region and a scope in it; a child of `scope`, if there is one.
    fn below(scope: Option<&ScopeData>) -> Arc<Parent> {
        let header = Header::for_model();
        header.scope.set(scope.map_or(ptr::null(), ptr::from_ref));
        let region = Box::new(Region::ends(None, None, std::panic::Location::caller()));
        // SAFETY: S1: it stays in its box until `end` leaves it.
        unsafe { region.enter(&header) };
        let scope = ScopeData::new(&header);
        Arc::new(Parent { header, region, scope })
    }

    fn new() -> Arc<Parent> {
        Parent::below(None)
    }

    /// A child that has not waited yet. It may be cut off where it waits.
    fn child(&self) -> HeaderRef {
        self.scope.enter();
        let child = Header::for_model();
        child.scope.set(&self.scope);
        child
    }

    fn cancel(&self, what: What) {
        let reason = CancelReason::of_model();
        match what {
            What::Thread => cancel_tree(&self.header, &reason, schedule),
            What::Scope => cancel_scope(&self.scope, &reason, schedule),
            What::Region => assert!(cancel_region(&self.scope, &reason, schedule)),
        }
    }

    fn spawn_canceller(self: &Arc<Parent>, what: What) -> JoinHandle<()> {
        let parent = self.clone();
        thread::spawn(move || parent.cancel(what))
    }

    /// The end of a child, as in `life`. True: the last one has left, and nobody waits.
    fn end_child(&self, child: &Header) {
        leave_list(child);
        // SAFETY: S1: each child was entered and ends once.
        let waiting = unsafe { ScopeData::leave(&raw const self.scope) };
        assert!(waiting.is_none(), "no parent waits in these models");
    }

    /// The end of the scope and of its frame; the children have ended.
    fn end(&self) {
        self.scope.close();
        // Nobody may look at these any more.
        self.scope.outer.set(ptr::null());
        self.scope.children.set(ptr::null());
        self.region.leave(&self.header);
    }
}

fn schedule(thread: &Header) {
    thread.bell.ring();
}

/// The first step of a thread's first wait, as in `cut::enter_family`.
fn enter(child: &Header) {
    for (late, reason) in enter_lists(child) {
        cancel_tree(&late, &reason, schedule);
    }
}

/// A wait that only a cancellation ends.
fn wait_until_cancelled(child: &Header) {
    let _ = child.state.begin_wait(CANCEL);
    if child.state.commit_wait() == Commit::Waiting {
        child.bell.wait();
    }
    assert_eq!(child.state.cause(), Cause::Cancelled);
    assert!(child.state.is_cancelled());
    assert!(child.why().is_some(), "cancelled without a reason");
}

/// A thread that enters and waits until it is cancelled.
fn spawn_waiting(child: &HeaderRef) -> JoinHandle<()> {
    let child = child.clone();
    thread::spawn(move || {
        enter(&child);
        wait_until_cancelled(&child);
    })
}

fn late_child(what: What) {
    check(move || {
        let parent = Parent::new();
        let child = parent.child();
        let canceller = parent.spawn_canceller(what);
        enter(&child);
        wait_until_cancelled(&child);
        canceller.join().unwrap();
        let marks = parent.header.state.is_called_off();
        assert_eq!(marks, what != What::Scope, "the parent goes on if its scope alone ends");
        assert_eq!(parent.header.state.is_cancelled(), what == What::Thread);
        parent.end_child(&child);
        parent.end();
    });
}

#[test]
fn child_that_enters_late_is_cancelled_with_its_scope() {
    late_child(What::Scope);
}

#[test]
fn child_that_enters_late_is_cancelled_with_its_parents_region() {
    late_child(What::Region);
}

#[test]
fn child_that_enters_late_is_cancelled_with_its_parent() {
    late_child(What::Thread);
}

#[test]
fn of_two_children_each_is_cancelled_early_or_late() {
    check_within(2, || {
        let parent = Parent::new();
        let children = [parent.child(), parent.child()];
        let waiting = children.each_ref().map(spawn_waiting);
        parent.cancel(What::Region);
        for (child, waiting) in children.iter().zip(waiting) {
            waiting.join().unwrap();
            parent.end_child(child);
        }
        parent.end();
    });
}

/// A grandchild enters its parent too, which has not waited yet.
#[test]
fn grandchild_is_found_through_a_child_that_has_never_waited() {
    for what in [What::Scope, What::Region] {
        check(move || {
            let parent = Parent::new();
            parent.scope.enter();
            let child = Parent::below(Some(&parent.scope));
            let grandchild = child.child();
            let canceller = parent.spawn_canceller(what);
            enter(&grandchild);
            wait_until_cancelled(&grandchild);
            canceller.join().unwrap();
            assert!(child.header.state.is_cancelled());
            child.end_child(&grandchild);
            child.end();
            parent.end_child(&child.header);
            parent.end();
        });
    }
}

/// The one that enters first has its parent to cancel, and the other one must not get lost
/// meanwhile.
#[test]
fn two_grandchildren_that_enter_at_once_are_both_cancelled() {
    check_within(2, || {
        let parent = Parent::new();
        parent.scope.enter();
        let child = Parent::below(Some(&parent.scope));
        let grandchildren = [child.child(), child.child()];
        let waiting = grandchildren.each_ref().map(spawn_waiting);
        parent.cancel(What::Scope);
        for (grandchild, waiting) in grandchildren.iter().zip(waiting) {
            waiting.join().unwrap();
            child.end_child(grandchild);
        }
        child.end();
        parent.end_child(&child.header);
        parent.end();
    });
}

/// Who cancels the parent by its handle knows nothing of its frames.
#[test]
fn scope_that_closes_while_its_parent_is_cancelled_is_left_alone() {
    check_within(2, || {
        let parent = Parent::new();
        let stays = parent.child();
        enter(&stays);
        let inner = Parent {
            header: parent.header.clone(),
            region: Box::new(Region::shield(std::panic::Location::caller())),
            scope: ScopeData::new(&parent.header),
        };
        let header = parent.header.clone();
        let canceller = thread::spawn(move || {
            cancel_tree(&header, &CancelReason::of_model(), schedule);
        });
        let leaves = inner.child();
        enter(&leaves);
        inner.end_child(&leaves);
        drop(leaves);
        inner.scope.close();
        inner.scope.outer.set(ptr::null());
        inner.scope.children.set(ptr::null());
        canceller.join().unwrap();
        assert!(stays.state.is_cancelled() && stays.why().is_some());
        parent.end_child(&stays);
        parent.end();
    });
}

#[test]
fn children_that_leave_while_their_scope_is_cancelled_leave_a_whole_list() {
    check_within(2, || {
        let parent = Parent::new();
        let children = [parent.child(), parent.child(), parent.child()];
        children.iter().for_each(|child| enter(child));
        let [first, middle, last] = children;
        let canceller = parent.spawn_canceller(What::Scope);
        let leaving = thread::spawn({
            let parent = parent.clone();
            move || parent.end_child(&middle)
        });
        parent.end_child(&last);
        leaving.join().unwrap();
        canceller.join().unwrap();
        assert!(first.state.is_cancelled());
        parent.end_child(&first);
        parent.end();
    });
}

/// What the parent opens within a shield is out of reach for what ends the region around it.
#[test]
fn child_within_a_shield_stays_when_the_region_around_is_cancelled() {
    check(|| {
        let parent = Parent::new();
        let canceller = parent.spawn_canceller(What::Region);
        let shield = Box::new(Region::shield(std::panic::Location::caller()));
        // SAFETY: S1: it stays in its box until it is left below.
        unsafe { shield.enter(&parent.header) };
        let inner = ScopeData::new(&parent.header);
        inner.enter();
        let child = Header::for_model();
        child.scope.set(&inner);
        enter(&child);
        canceller.join().unwrap();
        assert!(!child.state.is_cancelled(), "cancelled through a shield");
        leave_list(&child);
        // SAFETY: S1: it was entered and ends once.
        assert!(unsafe { ScopeData::leave(&raw const inner) }.is_none());
        inner.close();
        shield.leave(&parent.header);
        assert!(parent.header.state.is_called_off());
        assert_eq!(chain(&raw const *parent.region).count(), 1);
        parent.end();
    });
}

/// The same for a cancellation of the parent itself.
#[test]
fn child_within_a_shield_stays_when_its_parent_is_cancelled() {
    check(|| {
        let parent = Parent::new();
        let canceller = parent.spawn_canceller(What::Thread);
        parent.header.limits.set_sheltered(true);
        let inner = ScopeData::new(&parent.header);
        inner.enter();
        let child = Header::for_model();
        child.scope.set(&inner);
        enter(&child);
        canceller.join().unwrap();
        assert!(!child.state.is_cancelled(), "cancelled through a shield");
        leave_list(&child);
        // SAFETY: S1: it was entered and ends once.
        assert!(unsafe { ScopeData::leave(&raw const inner) }.is_none());
        inner.close();
        parent.end();
    });
}
