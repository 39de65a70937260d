//! Which threads belong to which, for cancellations, which must reach everybody below.
//!
//! A cancellation must reach the children of the cancelled thread, wherever they wait. So there is
//! a list of children; and because most children of a parallel program never wait, a child enters
//! it only when it first waits.
//!
//! *The list.* It is guarded by the family lock of the parent's header, a spin lock that is never
//! held over user code, a wait, or another family lock. `cancel` first sets the parent's CANCEL
//! bit and then reads the list under the lock; a child first enters the list and then reads the
//! bit under the lock. So one of the two sees the other. A child enters together with all of its
//! ancestors that are not in a list yet, else a cancellation further up would not find the way
//! down. A child leaves the list before it leaves the counter, so everybody in a list is alive,
//! and so is its parent's frame.
//!
//! *Regions.* A cancellation may also be of one scope's children, or of a region of the parent (see
//! `region`): then it reaches the scopes that were opened within, and a child that enters late asks
//! after those too. What a thread opens within a shield, or in a destructor while it unwinds, is
//! *sheltered*: a cancellation from above stops there.
//!
//! A scope stands in its parent's list of scopes from the moment that a child enters it, for until
//! then a cancellation has nothing to find in it. So a scope whose children never wait takes no
//! lock. The parent sees the mark that the first child has set, for that child has left the counter
//! before the scope closes.

#[cfg(all(loom, test))]
mod models;

use std::ptr;

use crate::primitives::{AtomicBool, Ordering, spin, unlock};
use crate::task::cancelled::CancelReason;
use crate::task::header::{Header, HeaderRef};
use crate::task::region::{self, Region};
use crate::task::scope::ScopeData;
use crate::task::state::Duty;

impl ScopeData {
    /// Ends the scope; no children are left.
    #[inline]
    pub(crate) fn close(&self) {
        // ORDERING: Relaxed; set by a child, which has left the scope since, and `is_empty` has
        // seen that.
        if self.listed.load(Ordering::Relaxed) {
            self.unlist();
        }
    }

    #[cold]
    fn unlist(&self) {
        let parent = self.parent();
        let _lock = FamilyLock::of(parent);
        debug_assert!(self.children.get().is_null(), "a child outlives its scope");
        // Nearly always the first: the innermost scope closes first, and it stands further down
        // only if a child of an outer one has waited after all of its own.
        let mut link = &parent.scopes;
        while !ptr::eq(link.get(), self) {
            // SAFETY: a listed scope is open, and closing it takes the lock.
            link = &unsafe { link.get().as_ref() }.expect("a listed scope is found").outer;
        }
        link.set(self.outer.get());
    }

    /// Why the children are cancelled, if they are all.
    #[inline]
    pub(crate) fn called_off(&self) -> Option<CancelReason> {
        if self.may_be_called_off() { self.why_called_off() } else { None }
    }

    /// Whether the children may be cancelled all.
    #[inline(always)]
    pub(crate) fn may_be_called_off(&self) -> bool {
        self.why.is_set() || !self.region.is_null() || self.parent().state.is_cancelled()
    }

    #[cold]
    fn why_called_off(&self) -> Option<CancelReason> {
        if let Some(reason) = self.why.get() {
            return Some(reason);
        }
        for region in region::chain_in_reach(self.region) {
            if region.is_cancelled() {
                return Some(region.reason());
            }
        }
        let parent = self.parent();
        if self.sheltered || !parent.state.is_cancelled() {
            return None;
        }
        parent.why()
    }

    /// Whether it was opened within `region` of its parent, and not within a shield in it.
    fn is_within(&self, region: &Region) -> bool {
        region::chain_in_reach(self.region).any(|outer| ptr::eq(outer, region))
    }

    /// Adds the listed children that are not cancelled yet. FAMILY-LOCK of the parent.
    fn add_children_to(&self, work: &mut Vec<HeaderRef>) {
        let mut child = self.children.get();
        // SAFETY: a listed child is alive, and leaving the list takes the lock.
        while let Some(listed) = unsafe { child.as_ref() } {
            if !listed.state.is_cancelled() {
                work.push(HeaderRef::new(listed));
            }
            child = listed.sibling.next.get();
        }
    }

    /// Enters an arm of a `join` that runs elsewhere into the list of children. The arm's thread
    /// cannot enter by itself, for it may wait before its parent has a scope for it.
    ///
    /// # Safety
    /// S1: `self` stays where it is until [`ScopeData::close`].
    pub(crate) unsafe fn adopt(&self, arm: &Header) {
        let parent = self.parent();
        let lock = FamilyLock::of(parent);
        link(self, arm);
        drop(lock);
    }

    /// Takes an adopted arm out of the list again.
    pub(crate) fn release_arm(&self, arm: &Header) {
        let parent = self.parent();
        let _lock = FamilyLock::of(parent);
        unlink(self, arm);
    }
}

/// Enters `child` and all its ancestors into their parents' lists, so that a cancellation finds
/// them. Gives the threads that were cancelled with others of their scope before they entered, and
/// why.
///
/// The caller runs on `child`. An ancestor is alive, for its scope waits for the child, and its
/// `parent` never changes while it has children.
pub(crate) fn enter_lists(child: &Header) -> Vec<(HeaderRef, CancelReason)> {
    let mut late = Vec::new();
    let mut thread = child;
    loop {
        let scope = thread.scope.get();
        if scope.is_null() {
            return late;
        }
        // SAFETY: `thread` has entered the scope and has not left it.
        let scope = unsafe { &*scope };
        let parent = scope.parent();
        let lock = FamilyLock::of(parent);
        // ORDERING: Relaxed; under the lock.
        if thread.linked.load(Ordering::Relaxed) {
            return late;
        }
        link(scope, thread);
        if let Some(reason) = scope.called_off() {
            late.push((HeaderRef::new(thread), reason));
        }
        drop(lock);
        thread = parent;
    }
}

/// Takes a finishing thread out of its parent's list.
#[inline]
pub(crate) fn leave_list(child: &Header) {
    // ORDERING: Relaxed; set by this thread, or by a descendant whose end this thread has seen.
    if child.linked.load(Ordering::Relaxed) && !child.scope.get().is_null() {
        leave_list_of_scope(child);
    }
}

#[cold]
fn leave_list_of_scope(child: &Header) {
    // SAFETY: the child has entered the scope and has not left it.
    let scope = unsafe { &*child.scope.get() };
    let _lock = FamilyLock::of(scope.parent());
    unlink(scope, child);
    // Should it wait once more after all, it enters again.
    // ORDERING: Relaxed; under the lock.
    child.linked.store(false, Ordering::Relaxed);
}

/// Cancels `thread` and everybody below it. Gives those that must be scheduled to `schedule`.
pub(crate) fn cancel_tree(
    thread: &Header,
    reason: &CancelReason,
    mut schedule: impl FnMut(&Header),
) {
    // Most have nobody below them, and then this allocates nothing.
    let mut below = Vec::new();
    cancel_one(thread, reason, &mut below, &mut schedule);
    cancel_all(below, reason, &mut schedule);
}

/// Cancels the children of `scope`, those that are spawned later too, and everybody below them.
pub(crate) fn cancel_scope(
    scope: &ScopeData,
    reason: &CancelReason,
    mut schedule: impl FnMut(&Header),
) {
    let mut work = Vec::new();
    {
        let _lock = FamilyLock::of(scope.parent());
        scope.why.set(reason.clone());
        scope.add_children_to(&mut work);
    }
    cancel_all(work, reason, &mut schedule);
}

/// Cancels the region in which `scope` was opened: its owner's part in it, and everybody who was
/// opened within. False: it was cancelled before. The scope stays open meanwhile.
pub(crate) fn cancel_region(
    scope: &ScopeData,
    reason: &CancelReason,
    mut schedule: impl FnMut(&Header),
) -> bool {
    let owner = scope.parent();
    let region = region::chain(scope.region).next().expect("the scope was opened in a region");
    let mut work = Vec::new();
    let duty = {
        let _lock = FamilyLock::of(owner);
        if !region.why.set(reason.clone()) {
            return false;
        }
        for scope in owner.open_scopes().filter(|scope| scope.is_within(region)) {
            scope.add_children_to(&mut work);
        }
        match region::is_covered(region, owner) {
            true => Duty::Noted,
            false => owner.state.interrupt(),
        }
    };
    if duty == Duty::Schedule {
        schedule(owner);
    }
    cancel_all(work, reason, &mut schedule);
    true
}

/// A worklist instead of recursion: scopes may nest as deep as memory goes.
fn cancel_all(mut work: Vec<HeaderRef>, reason: &CancelReason, schedule: &mut impl FnMut(&Header)) {
    while let Some(thread) = work.pop() {
        cancel_one(&thread, reason, &mut work, schedule);
    }
}

/// Cancels `thread`, and adds those who are right below it to `below`.
fn cancel_one(
    thread: &Header,
    reason: &CancelReason,
    below: &mut Vec<HeaderRef>,
    schedule: &mut impl FnMut(&Header),
) {
    thread.extra_or_new().why.set(reason.clone());
    let duty = thread.state.cancel();
    {
        let _lock = FamilyLock::of(thread);
        for scope in thread.open_scopes().filter(|scope| !scope.sheltered) {
            scope.add_children_to(below);
        }
    }
    if duty == Duty::Schedule {
        schedule(thread);
    }
}

impl Header {
    /// The listed scopes, the innermost first. FAMILY-LOCK of the header.
    fn open_scopes(&self) -> impl Iterator<Item = &ScopeData> {
        // SAFETY: a listed scope is alive, and closing it takes the lock.
        let mut next = unsafe { self.scopes.get().as_ref() };
        std::iter::from_fn(move || {
            let scope = next?;
            // SAFETY: as above.
            next = unsafe { scope.outer.get().as_ref() };
            Some(scope)
        })
    }

    /// Why the thread was cancelled.
    pub(crate) fn why(&self) -> Option<CancelReason> {
        self.extra()?.why.get()
    }
}

/// FAMILY-LOCK of the scope's parent is held.
fn link(scope: &ScopeData, child: &Header) {
    let first = scope.children.get();
    child.sibling.prev.set(ptr::null());
    child.sibling.next.set(first);
    // SAFETY: a listed child is alive.
    if let Some(first) = unsafe { first.as_ref() } {
        first.sibling.prev.set(child);
    }
    scope.children.set(child);
    // ORDERING: Relaxed; under the lock.
    child.linked.store(true, Ordering::Relaxed);
    // ORDERING: Relaxed; under the lock.
    if !scope.listed.load(Ordering::Relaxed) {
        let parent = scope.parent();
        scope.outer.set(parent.scopes.get());
        parent.scopes.set(scope);
        // ORDERING: Relaxed; under the lock, and `leave` publishes it to `close`.
        scope.listed.store(true, Ordering::Relaxed);
    }
}

/// FAMILY-LOCK of the scope's parent is held.
fn unlink(scope: &ScopeData, child: &Header) {
    let (prev, next) = (child.sibling.prev.get(), child.sibling.next.get());
    // SAFETY: a listed child is alive.
    match unsafe { prev.as_ref() } {
        Some(prev) => prev.sibling.next.set(next),
        None => scope.children.set(next),
    }
    // SAFETY: as above.
    if let Some(next) = unsafe { next.as_ref() } {
        next.sibling.prev.set(prev);
    }
}

/// The family lock of a header, held.
///
/// A spin lock, because its sections are a few stores long, its holder never waits, and a header
/// has no room for more than a byte.
pub(super) struct FamilyLock<'a>(&'a AtomicBool);

impl FamilyLock<'_> {
    pub(super) fn of(header: &Header) -> FamilyLock<'_> {
        let backoff = crossbeam_utils::Backoff::new();
        // ORDERING: Acquire; pairs with the Release in `drop`.
        while header
            .family_lock
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            spin(&backoff);
        }
        FamilyLock(&header.family_lock)
    }
}

impl Drop for FamilyLock<'_> {
    fn drop(&mut self) {
        // ORDERING: Release; pairs with the Acquire in `of`.
        unlock(self.0, Ordering::Release);
    }
}
