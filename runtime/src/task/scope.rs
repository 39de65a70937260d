//! Scopes: a thread opened one, and waits for the children in it.
//!
//! A scope may end only when its children have, and the last child must tell the parent without
//! touching the parent's frame afterwards: that is the counter. How a cancellation finds the
//! children is told in `family`.
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

#[cfg(all(loom, test))]
mod models;

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::AtomicU8;

use crate::primitives::{self, AtomicBool, AtomicU64, Ordering};
use crate::task::cancelled::ReasonCell;
use crate::task::current;
use crate::task::header::{Header, HeaderRef};
use crate::task::packet::Dropped;
use crate::task::region::{self, Region};
use crate::task::state::Sequence;

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
    /// What became of children whose handles nobody joined: [`PANICKED`], [`CUT_OFF`].
    unseen: AtomicU8,
    /// Whether the scope stands in its parent's list; FAMILY-LOCK of the parent, and read without
    /// it when the last child has left.
    pub(super) listed: AtomicBool,
    /// The next scope in that list; FAMILY-LOCK of the parent.
    pub(super) outer: primitives::Cell<*const ScopeData>,
    /// The children that have waited; FAMILY-LOCK of the parent.
    pub(super) children: primitives::Cell<*const Header>,
    /// The parent's innermost region; null for none.
    pub(super) region: *const Region,
    /// The region whose deadline the children inherit; null for none.
    nearest: *const Region,
    /// Whether cancellations of the parent, and deadlines around it, are kept away.
    pub(super) sheltered: bool,
    /// Whether the end of the runtime does not cancel the children.
    kept: bool,
    /// Why the children of this scope were cancelled.
    pub(super) why: ReasonCell,
}

const PANICKED: u8 = 1;
const CUT_OFF: u8 = 2;

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
        // Who cannot be unwound itself must see its children end as they would, and what it unwinds
        // for lies around it.
        match region::is_in_destructor(parent) {
            true => ScopeData::within(parent, ptr::null()),
            false => ScopeData::within(parent, region::innermost(parent)),
        }
    }

    /// The same in `region`, which `parent` has entered last.
    pub(crate) fn within(parent: &Header, region: *const Region) -> ScopeData {
        let sheltered = region::is_in_destructor(parent) || parent.limits.is_sheltered();
        ScopeData {
            region,
            nearest: region::inherited(parent),
            sheltered,
            kept: sheltered || parent.is_kept(),
            why: ReasonCell::new(),
            parent,
            word: AtomicU64::new(0),
            home: current::worker(),
            at_home: Cell::new(0),
            merged: Cell::new(false),
            sequence: AtomicU64::new(0),
            unseen: AtomicU8::new(0),
            listed: AtomicBool::new(false),
            outer: primitives::Cell::new(ptr::null()),
            children: primitives::Cell::new(ptr::null()),
        }
    }

    /// The thread that waits for the scope's end.
    pub(crate) fn parent(&self) -> &Header {
        // SAFETY: the parent's header is counted by the thread itself, which cannot end while
        // this frame of it exists.
        unsafe { &*self.parent }
    }

    /// The region whose deadline the children inherit; null for none.
    pub(crate) fn nearest(&self) -> *const Region {
        self.nearest
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

    /// Notes how a child was unwound that nobody joined. Called before `leave`, or by its handle's
    /// drop.
    pub(crate) fn note_unseen(&self, dropped: Dropped) {
        let bit = match dropped {
            Dropped::Value => return,
            Dropped::Panic => PANICKED,
            Dropped::Cancellation => CUT_OFF,
        };
        // ORDERING: Relaxed; `leave` publishes it, and the handle lives on the parent's side.
        self.unseen.fetch_or(bit, Ordering::Relaxed);
    }

    /// Whether a child panicked unseen.
    pub(crate) fn has_panicked(&self) -> bool {
        // ORDERING: Relaxed; read after the last `leave` was seen.
        self.unseen.load(Ordering::Relaxed) & PANICKED != 0
    }

    /// Whether a child was cancelled, or its deadline passed, unseen.
    pub(crate) fn was_cut_off(&self) -> bool {
        // ORDERING: Relaxed; as above.
        self.unseen.load(Ordering::Relaxed) & CUT_OFF != 0
    }

    /// Whether the children inherit anything.
    #[inline(always)]
    pub(crate) fn has_legacy(&self) -> bool {
        self.kept || !self.nearest.is_null()
    }

    /// Whether the end of the runtime does not cancel the children.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept
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
}
