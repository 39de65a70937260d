//! Loom models of regions: INTERRUPT says at all times that a region is cancelled which no shield
//! covers, whoever cancels while the thread opens and leaves regions and shields.
//!
//! The owner is a header without a stack, and the model's first thread stands for it. What others
//! may read of its chain lies in cells that loom watches.

use std::sync::Arc;

use loom::thread::{self, JoinHandle};

use super::{Region, chain, innermost};
use crate::primitives::{check, check_within};
use crate::task::cancelled::CancelReason;
use crate::task::family::{self, FamilyLock};
use crate::task::header::Header;
use crate::task::scope::ScopeData;
use crate::task::state::{Accepts, Cause, Commit, Duty};
use crate::task::{HeaderRef, region};

const INTERRUPT: Accepts = Accepts { permit: false, cancel: false, interrupt: true };

/// A thread in a region, in which it has opened a scope.
struct Owner {
    header: HeaderRef,
    region: Box<Region>,
    scope: ScopeData,
}

// SAFETY: loom checks the cells.
unsafe impl Sync for Owner {}
// SAFETY: as above.
unsafe impl Send for Owner {}

impl Owner {
    fn new() -> Arc<Owner> {
        let header = Header::for_model();
        let region = enter(&header, ends());
        let scope = ScopeData::new(&header);
        Arc::new(Owner { header, region, scope })
    }

    /// A thread that cancels the owner's region; gives whether it was the first to do so, and how
    /// often it has scheduled the owner.
    fn spawn_canceller(self: &Arc<Owner>) -> JoinHandle<(bool, usize)> {
        let owner = self.clone();
        thread::spawn(move || cancel(&owner.scope))
    }

    fn is_marked(&self) -> bool {
        self.header.state.is_called_off()
    }

    /// Where the owner is, the mark says what it has to.
    fn check_mark(&self) {
        let _lock = FamilyLock::of(&self.header);
        let in_reach = chain(innermost(&self.header)).take_while(|region| !region.is_shield());
        let cancelled = in_reach.filter(|region| region.is_cancelled()).count();
        assert_eq!(self.is_marked(), cancelled > 0, "{cancelled} regions are cancelled");
    }

    /// Waits for what only a cancellation can end, and finds why it was ended.
    fn wait_until_cut_off(&self) {
        let state = &self.header.state;
        let _ = state.begin_wait(INTERRUPT);
        if state.commit_wait() == Commit::Waiting {
            self.header.bell.wait();
        }
        assert_eq!(state.cause(), Cause::Cancelled);
        let mut regions = chain(innermost(&self.header));
        assert!(regions.any(|region| region.why.get().is_some()), "a mark without a reason");
    }

    /// Waits for a moment, which no cancellation may cut short.
    fn wait_undisturbed(&self) {
        let state = &self.header.state;
        let sequence = state.begin_wait(INTERRUPT);
        assert_eq!(state.commit_wait(), Commit::Waiting, "cut off through a shield");
        assert_eq!(state.time_out(sequence), Duty::Schedule, "cut off through a shield");
        assert_eq!(state.cause(), Cause::TimedOut);
    }

    /// Leaves the first region, the last one that is left.
    fn end(&self) {
        self.region.leave(&self.header);
        assert!(!self.is_marked(), "a mark of no region");
        assert!(innermost(&self.header).is_null());
    }
}

#[track_caller]
fn ends() -> Region {
    Region::ends(None, None, std::panic::Location::caller())
}

#[track_caller]
fn shield() -> Region {
    Region::shield(std::panic::Location::caller())
}

/// Opens `region`; the model leaves it in turn.
fn enter(owner: &Header, region: Region) -> Box<Region> {
    let region = Box::new(region);
    // SAFETY: S1: it stays in its box until the model leaves it.
    unsafe { region.enter(owner) };
    region
}

/// Cancels the region in which `scope` was opened, and schedules.
fn cancel(scope: &ScopeData) -> (bool, usize) {
    let mut scheduled = 0;
    let first = family::cancel_region(scope, &CancelReason::of_model(), |thread| {
        scheduled += 1;
        thread.bell.ring();
    });
    (first, scheduled)
}

#[test]
fn region_that_is_cancelled_twice_cuts_its_owner_off_once() {
    check(|| {
        let owner = Owner::new();
        let cancellers = [owner.spawn_canceller(), owner.spawn_canceller()];
        if owner.is_marked() {
            assert!(owner.region.why.get().is_some(), "a mark without a reason");
        }
        owner.wait_until_cut_off();
        let [one, other] = cancellers.map(|canceller| canceller.join().unwrap());
        assert_ne!(one.0, other.0, "one of them was the first");
        assert!(one.1 + other.1 < 2, "scheduled once");
        owner.check_mark();
        owner.end();
    });
}

#[test]
fn shield_keeps_a_cancellation_away_and_loses_none() {
    check(|| {
        let owner = Owner::new();
        let canceller = owner.spawn_canceller();
        let shield = enter(&owner.header, shield());
        assert!(!owner.is_marked(), "what lies outside was marked");
        owner.wait_undisturbed();
        owner.check_mark();
        shield.leave(&owner.header);
        owner.check_mark();
        owner.wait_until_cut_off();
        canceller.join().unwrap();
        owner.check_mark();
        owner.end();
    });
}

#[test]
fn shield_within_a_shield_leaves_the_outer_one_up() {
    check(|| {
        let owner = Owner::new();
        let outer = enter(&owner.header, shield());
        let canceller = owner.spawn_canceller();
        let inner = enter(&owner.header, shield());
        owner.check_mark();
        inner.leave(&owner.header);
        assert!(!owner.is_marked());
        owner.wait_undisturbed();
        outer.leave(&owner.header);
        owner.check_mark();
        owner.wait_until_cut_off();
        canceller.join().unwrap();
        owner.end();
    });
}

#[test]
fn region_within_a_shield_that_is_cancelled_marks_its_owner_while_it_is_open() {
    check(|| {
        let owner = Owner::new();
        let canceller = owner.spawn_canceller();
        let shield = enter(&owner.header, shield());
        let inner = enter(&owner.header, ends());
        let scope = ScopeData::new(&owner.header);
        assert_eq!(cancel(&scope), (true, 0));
        assert!(owner.is_marked());
        owner.check_mark();
        inner.leave(&owner.header);
        assert!(!owner.is_marked(), "the region has been left, and the shield is up");
        owner.wait_undisturbed();
        shield.leave(&owner.header);
        owner.check_mark();
        owner.wait_until_cut_off();
        canceller.join().unwrap();
        owner.end();
    });
}

/// As above, with a shield in between that stands outside of the region's canceller's reach: what
/// is opened within the cancelled region and left again takes no mark along.
#[test]
fn shield_within_a_cancelled_region_gives_the_mark_back() {
    check(|| {
        let owner = Owner::new();
        let inner = enter(&owner.header, ends());
        let scope = ScopeData::new(&owner.header);
        assert_eq!(cancel(&scope), (true, 0));
        let canceller = owner.spawn_canceller();
        let shield = enter(&owner.header, shield());
        assert!(!owner.is_marked());
        owner.check_mark();
        shield.leave(&owner.header);
        assert!(owner.is_marked());
        inner.leave(&owner.header);
        owner.check_mark();
        owner.wait_until_cut_off();
        canceller.join().unwrap();
        owner.end();
    });
}

#[test]
fn region_that_is_left_cancelled_keeps_the_mark_of_the_one_around() {
    check(|| {
        let owner = Owner::new();
        let canceller = owner.spawn_canceller();
        let inner = enter(&owner.header, ends());
        let scope = Arc::new(ScopeData::new(&owner.header));
        let first = thread::spawn({
            let scope = scope.clone();
            move || cancel(&scope).0
        });
        owner.wait_until_cut_off();
        // The scope of a group ends before its region does.
        assert!(first.join().unwrap());
        owner.check_mark();
        inner.leave(&owner.header);
        owner.check_mark();
        owner.wait_until_cut_off();
        canceller.join().unwrap();
        owner.end();
    });
}

#[test]
fn regions_within_come_and_go_while_the_one_around_is_cancelled() {
    check_within(2, || {
        let owner = Owner::new();
        let canceller = owner.spawn_canceller();
        for _ in 0..2 {
            let inner = enter(&owner.header, ends());
            owner.check_mark();
            inner.leave(&owner.header);
        }
        let shield = enter(&owner.header, shield());
        let inner = enter(&owner.header, ends());
        owner.wait_undisturbed();
        inner.leave(&owner.header);
        owner.check_mark();
        shield.leave(&owner.header);
        let inner = enter(&owner.header, ends());
        owner.wait_until_cut_off();
        inner.leave(&owner.header);
        canceller.join().unwrap();
        assert!(owner.is_marked(), "the region around is cancelled still");
        owner.end();
    });
}

/// A deadline needs no mark, and a region that has one is left without a look at the lock.
#[test]
fn deadline_within_is_in_force_while_its_region_is_open_and_no_longer() {
    check(|| {
        let owner = Owner::new();
        let canceller = owner.spawn_canceller();
        let deadline = Some(crate::clock::now());
        let inner = Region::ends(deadline, None, std::panic::Location::caller());
        let inner = enter(&owner.header, inner);
        assert!(std::ptr::eq(region::nearest(&owner.header), &*inner));
        assert!(owner.header.bounded.get());
        let shield = enter(&owner.header, shield());
        assert!(!owner.header.bounded.get());
        shield.leave(&owner.header);
        assert!(owner.header.bounded.get());
        inner.leave(&owner.header);
        assert!(!owner.header.bounded.get());
        canceller.join().unwrap();
        owner.check_mark();
        owner.end();
    });
}
