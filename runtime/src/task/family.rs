//! Which threads belong to which: the scope that a thread opened, and its children in it.
//!
//! Two needs meet here. A scope may end only when its children have, and the last child must tell
//! the parent without touching the parent's frame afterwards: that is the counter. And a
//! cancellation must reach the children of the cancelled thread, wherever they wait: that is the
//! list of children, and because most children of a parallel program never wait, a child enters
//! it only when it first waits.
//!
//! *The counter.* One word holds the number of live children and a bit `WAITING`. The parent sets
//! the bit after it has stored the number of its wait; the child that takes the count to zero and
//! saw the bit reads that number, takes a counted reference to the parent's header, and only then
//! makes its last change to the word. After that change the frame may be gone.
//!
//! *The count at home.* Most children are spawned by their parent and end on its worker, most of
//! them in place, and an atomic addition for each of the two costs as much as half of the rest. So
//! until the parent waits, who spawns or ends on the parent's worker counts in a plain field
//! beside the word. All of them are one kernel thread, so no two touch the field at once. It may
//! fall below zero, as may the word, for a thread that was counted here may end elsewhere, or the
//! other way round. Only the sum means something, and only the parent wants it. Before the parent
//! waits it adds the field to the word, and from then on everybody uses the word.
//!
//! *The list.* It is guarded by the family lock of the parent's header, a spin lock that is never
//! held over user code, a wait, or another family lock. `cancel` first sets the parent's CANCEL
//! bit and then reads the list under the lock; a child first enters the list and then reads the
//! bit under the lock. So one of the two sees the other. A child enters together with all of its
//! ancestors that are not in a list yet, else a cancellation further up would not find the way
//! down. A child leaves the list before it leaves the counter, so everybody in a list is alive,
//! and so is its parent's frame.
//!
//! A scope stands in its parent's list of scopes from the moment that a child enters it, for until
//! then a cancellation has nothing to find in it. So a scope whose children never wait takes no
//! lock. The parent sees the mark that the first child has set, for that child has left the counter
//! before the scope closes.

#[cfg(all(loom, test))]
mod models;

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering as StdOrdering};

use crate::primitives::{AtomicU64, Ordering};
use crate::task::current;
use crate::task::header::{Header, HeaderRef};
use crate::task::state::{Duty, Sequence};

/// An open scope: lies in the frame of the call that waits for its children.
pub(crate) struct ScopeData {
    /// The thread that opened it and waits for its end.
    parent: *const Header,
    /// Twice the number of live children, plus [`WAITING`]; less what `at_home` counts, and so
    /// perhaps below zero.
    word: AtomicU64,
    /// The worker on which the parent lives; null if it lives on none. Only compared.
    home: *const (),
    /// HOME-ONLY of the parent. The children counted on its worker and not in `word`.
    at_home: Cell<i64>,
    /// HOME-ONLY of the parent. Whether `at_home` has been added to `word` and is used no more.
    merged: Cell<bool>,
    /// The number of the parent's wait; published by `WAITING`.
    sequence: AtomicU64,
    /// Whether a child panicked whose handle nobody joined.
    panicked: AtomicBool,
    /// Whether the scope stands in its parent's list; FAMILY-LOCK of the parent, and read without
    /// it when the last child has left.
    listed: AtomicBool,
    /// The next scope in that list; FAMILY-LOCK of the parent.
    outer: Cell<*const ScopeData>,
    /// The children that have waited; FAMILY-LOCK of the parent.
    children: Cell<*const Header>,
}

const WAITING: u64 = 1;
const ONE: u64 = 2;

// SAFETY: the cells are under the parent's family lock or belong to its worker, whose address is
// compared first; the rest is atomic or immutable.
unsafe impl Sync for ScopeData {}
// SAFETY: as above; nothing in it belongs to a kernel thread.
unsafe impl Send for ScopeData {}

impl ScopeData {
    /// A scope of `parent`, the current thread, without children. It must stay where it is from
    /// the first child on until [`ScopeData::close`].
    pub(crate) fn new(parent: &Header) -> ScopeData {
        ScopeData {
            parent,
            word: AtomicU64::new(0),
            home: current::worker(),
            at_home: Cell::new(0),
            merged: Cell::new(false),
            sequence: AtomicU64::new(0),
            panicked: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            outer: Cell::new(ptr::null()),
            children: Cell::new(ptr::null()),
        }
    }

    /// The thread that waits for the scope's end.
    pub(crate) fn parent(&self) -> &Header {
        // SAFETY: the parent's header is counted by the thread itself, which cannot end while
        // this frame of it exists.
        unsafe { &*self.parent }
    }

    /// Ends the scope; no children are left.
    #[inline]
    pub(crate) fn close(&self) {
        // ORDERING: Relaxed; set by a child, which has left the scope since, and `is_empty` has
        // seen that.
        if self.listed.load(StdOrdering::Relaxed) {
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

    /// Whether the caller may count in `at_home`.
    #[inline]
    fn counts_at_home(&self) -> bool {
        // The address first: nobody else may look at the cell.
        !self.home.is_null() && ptr::eq(current::worker(), self.home) && !self.merged.get()
    }

    /// Counts a child that is about to be published.
    #[inline]
    pub(crate) fn enter(&self) {
        if self.counts_at_home() {
            self.at_home.set(self.at_home.get() + 1);
            return;
        }
        // ORDERING: Relaxed; the parent itself or one of its live children spawns, so the count
        // cannot reach zero meanwhile.
        self.word.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Takes back an [`ScopeData::enter`] whose child could not be made.
    pub(crate) fn unenter(&self) {
        if self.counts_at_home() {
            self.at_home.set(self.at_home.get() - 1);
            return;
        }
        // ORDERING: Relaxed; as in `enter`.
        self.word.fetch_sub(ONE, Ordering::Relaxed);
    }

    /// Whether no child is left. Only the parent asks.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // ORDERING: Acquire; pairs with the Release in `leave`.
        let word = self.word.load(Ordering::Acquire);
        word.wrapping_add(ONE.wrapping_mul(self.at_home.get() as u64)) < ONE
    }

    /// Has everybody use the word from now on. The parent calls it before it waits.
    pub(crate) fn merge(&self) {
        if !self.merged.replace(true) {
            let at_home = self.at_home.take() as u64;
            // ORDERING: Relaxed; what the children counted there did, this kernel thread did.
            self.word.fetch_add(ONE.wrapping_mul(at_home), Ordering::Relaxed);
        }
    }

    /// Announces that the parent waits under `sequence`. False: no child is left, it must not.
    /// After [`ScopeData::merge`].
    #[must_use]
    pub(crate) fn announce_wait(&self, sequence: Sequence) -> bool {
        // ORDERING: Relaxed; published by the addition below.
        self.sequence.store(sequence.to_bits(), Ordering::Relaxed);
        // ORDERING: Release publishes the number; Acquire sees what the last child left.
        self.word.fetch_or(WAITING, Ordering::AcqRel) >= ONE
    }

    /// Takes the announcement back after the wait.
    pub(crate) fn retract_wait(&self) {
        // ORDERING: Acquire; pairs with `leave`: the children's results may be read.
        self.word.fetch_and(!WAITING, Ordering::Acquire);
    }

    /// Notes that a child panicked unseen. Called before `leave`, or by its handle's drop.
    pub(crate) fn note_panic(&self) {
        // ORDERING: Relaxed; `leave` publishes it, and the handle lives on the parent's side.
        self.panicked.store(true, StdOrdering::Relaxed);
    }

    /// Whether a child panicked unseen.
    pub(crate) fn has_panicked(&self) -> bool {
        // ORDERING: Relaxed; read after the last `leave` was seen.
        self.panicked.load(StdOrdering::Relaxed)
    }

    /// Ends a child's membership. Gives the parent and the wait to end, if that child was the
    /// last one and the parent waits.
    ///
    /// # Safety
    /// S1: the caller is a child that has entered and calls this once, as its last use of `this`.
    #[must_use]
    #[inline]
    pub(crate) unsafe fn leave(this: *const ScopeData) -> Option<(HeaderRef, Sequence)> {
        // SAFETY: until our change below is made, the count is above zero and the frame alive (S1).
        let scope = unsafe { &*this };
        if scope.counts_at_home() {
            // The parent does not wait, or they would be merged, and goes on on this same kernel
            // thread only.
            scope.at_home.set(scope.at_home.get() - 1);
            return None;
        }
        // SAFETY: S1 is ours of the same number.
        unsafe { ScopeData::leave_word(this) }
    }

    /// # Safety
    /// S1: as for [`ScopeData::leave`].
    unsafe fn leave_word(this: *const ScopeData) -> Option<(HeaderRef, Sequence)> {
        // SAFETY: as in `leave`.
        let word = unsafe { &(*this).word };
        // ORDERING: Acquire; sees the number behind `WAITING`.
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let parent = if seen == ONE | WAITING {
                // SAFETY: as above.
                let scope = unsafe { &*this };
                // ORDERING: Relaxed; published by `WAITING`, which we have seen.
                let sequence = Sequence::from_bits(scope.sequence.load(Ordering::Relaxed));
                Some((HeaderRef::new(scope.parent()), sequence))
            } else {
                None
            };
            // ORDERING: Release publishes all that the child did; pairs with `is_empty`,
            // `announce_wait` and `retract_wait`.
            match word.compare_exchange_weak(
                seen,
                seen.wrapping_sub(ONE),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return parent,
                Err(now) => seen = now,
            }
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
/// them. Gives the threads whose parent was cancelled before they entered.
///
/// The caller runs on `child`. An ancestor is alive, for its scope waits for the child, and its
/// `parent` never changes while it has children.
pub(crate) fn enter_lists(child: &Header) -> Vec<HeaderRef> {
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
        if thread.linked.load(StdOrdering::Relaxed) {
            return late;
        }
        link(scope, thread);
        if parent.state.is_cancelled() {
            late.push(HeaderRef::new(thread));
        }
        drop(lock);
        thread = parent;
    }
}

/// Takes a finishing thread out of its parent's list.
#[inline]
pub(crate) fn leave_list(child: &Header) {
    // ORDERING: Relaxed; set by this thread, or by a descendant whose end this thread has seen.
    if child.linked.load(StdOrdering::Relaxed) && !child.scope.get().is_null() {
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
    child.linked.store(false, StdOrdering::Relaxed);
}

/// Cancels `thread` and everybody below it. Gives those that must be scheduled to `schedule`.
pub(crate) fn cancel_tree(thread: &Header, mut schedule: impl FnMut(HeaderRef)) {
    // A worklist instead of recursion: scopes may nest as deep as memory goes.
    let mut work = vec![HeaderRef::new(thread)];
    while let Some(thread) = work.pop() {
        let duty = thread.state.cancel();
        {
            let _lock = FamilyLock::of(&thread);
            let mut scope = thread.scopes.get();
            // SAFETY: a listed scope is alive, and closing it takes the lock.
            while let Some(open) = unsafe { scope.as_ref() } {
                let mut child = open.children.get();
                // SAFETY: a listed child is alive, and leaving the list takes the lock.
                while let Some(listed) = unsafe { child.as_ref() } {
                    if !listed.state.is_cancelled() {
                        work.push(HeaderRef::new(listed));
                    }
                    child = listed.sibling.next.get();
                }
                scope = open.outer.get();
            }
        }
        if duty == Duty::Schedule {
            schedule(thread);
        }
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
    child.linked.store(true, StdOrdering::Relaxed);
    // ORDERING: Relaxed; under the lock.
    if !scope.listed.load(StdOrdering::Relaxed) {
        let parent = scope.parent();
        scope.outer.set(parent.scopes.get());
        parent.scopes.set(scope);
        // ORDERING: Relaxed; under the lock, and `leave` publishes it to `close`.
        scope.listed.store(true, StdOrdering::Relaxed);
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
struct FamilyLock<'a>(&'a AtomicBool);

impl FamilyLock<'_> {
    fn of(header: &Header) -> FamilyLock<'_> {
        let backoff = crossbeam_utils::Backoff::new();
        // ORDERING: Acquire; pairs with the Release in `drop`.
        while header
            .family_lock
            .compare_exchange_weak(false, true, StdOrdering::Acquire, StdOrdering::Relaxed)
            .is_err()
        {
            backoff.snooze();
        }
        FamilyLock(&header.family_lock)
    }
}

impl Drop for FamilyLock<'_> {
    fn drop(&mut self) {
        // ORDERING: Release; pairs with the Acquire in `of`.
        self.0.store(false, StdOrdering::Release);
    }
}
