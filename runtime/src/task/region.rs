//! Regions: parts of a thread's run that end, or are kept from ending, without the thread itself.
//!
//! A region lies in the frame of the call that opened it: of a `timeout`, which gives it a
//! deadline; of a group, whose failure cancels it; of a `shield`, which keeps away what comes from
//! outside of it. The regions of a thread nest and form a chain from the innermost outwards. To end
//! a region is to unwind its thread from the next wait to that frame.
//!
//! *Deadlines* need nobody to watch them. Each region knows which deadline comes first of its own,
//! of those around it, and of the one that the thread has inherited; while the thread waits, the
//! door has a timer for that. Scope children and stolen arms inherit a pointer to the region, which
//! lies in a frame that outlives them.
//!
//! *A cancellation* comes from other threads. It sets the region's reason, marks the state word of
//! the thread by INTERRUPT, which ends its wait, and goes down the scopes that were opened within
//! the region. That is done under the thread's family lock (see `family::cancel_region`), and so
//! are the opening and the end of a shield, for INTERRUPT has to say: a region is cancelled, and no
//! shield covers it. Only the thread itself clears the mark, when it leaves a cancelled region.
//!
//! Nothing here unwinds or waits; that is the door's.

#[cfg(all(loom, test))]
mod models;

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::time::{Duration, Instant};

use crate::primitives;
use crate::task::cancelled::{CancelReason, ReasonCell, RegionId};
use crate::task::family::FamilyLock;
use crate::task::header::Header;

/// See the file's comment.
///
/// The invariant ENTERED: from `enter` to `leave` it stays in the frame of the call that opened it,
/// and what may point to it ends before: regions and scopes within, and their children.
pub(crate) struct Region {
    /// The thread whose region it is; null before it is entered.
    owner: Cell<*const Header>,
    /// The next one outwards on the same thread; null for the outermost.
    outer: primitives::Cell<*const Region>,
    /// The region whose deadline comes first, of this one and of all around it; null: there is no
    /// deadline.
    nearest: Cell<*const Region>,
    deadline: Option<Instant>,
    /// The duration from which the deadline was reckoned.
    timeout: Option<Duration>,
    site: &'static Location<'static>,
    kind: Kind,
    /// Why it was cancelled; set under the FAMILY-LOCK of the owner.
    pub(super) why: ReasonCell,
    /// What it is known by for ever. Of one that stands for another: of that.
    id: Cell<Option<RegionId>>,
    /// HOME-ONLY of the owner. How many payloads there are that may unwind it for this end.
    cuts: Cell<u32>,
    /// Whether it was entered in a destructor while its thread unwound: what lies around it may
    /// have ended already, and does not reach into it.
    is_apart: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// May end.
    Ends,
    /// Keeps away what comes from outside of it.
    Shield,
    /// Stands for a region of another thread.
    Heir(*const Region),
}

impl Region {
    fn new(kind: Kind, site: &'static Location<'static>) -> Region {
        Region {
            owner: Cell::new(ptr::null()),
            outer: primitives::Cell::new(ptr::null()),
            nearest: Cell::new(ptr::null()),
            deadline: None,
            timeout: None,
            site,
            kind,
            why: ReasonCell::new(),
            id: Cell::new(None),
            cuts: Cell::new(0),
            is_apart: Cell::new(false),
        }
    }

    /// One that ends at `deadline`, or by a cancellation alone.
    #[inline]
    pub(crate) fn ends(
        deadline: Option<Instant>,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Region {
        Region { deadline, timeout, ..Region::new(Kind::Ends, site) }
    }

    /// One that keeps away what comes from outside of it.
    pub(crate) fn shield(site: &'static Location<'static>) -> Region {
        Region::new(Kind::Shield, site)
    }

    /// One that stands for `region`, which lies in the frame of a thread that waits for the one
    /// that enters this.
    ///
    /// # Safety
    /// S1: `region` is null, or is left later than what is made here.
    pub(crate) unsafe fn heir_of(region: *const Region) -> Region {
        // SAFETY: it lies in its frame still (S1).
        let Some(near) = (unsafe { region.as_ref() }) else {
            return Region::new(Kind::Ends, Location::caller());
        };
        // One that stands for another ends before that.
        let real = if let Kind::Heir(real) = near.kind { real } else { region };
        Region { deadline: near.deadline, ..Region::new(Kind::Heir(real), near.site) }
    }

    /// What it is known by. After [`Region::enter`].
    pub(crate) fn id(&self) -> RegionId {
        self.id.get().expect("it was entered")
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn is_shield(&self) -> bool {
        self.kind == Kind::Shield
    }

    /// Whether it was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.why.is_set()
    }

    /// Counts a payload that is about to unwind `me`, the current thread, for its end. False: it is
    /// the region of another one, and ends after this thread.
    pub(super) fn count_cut(&self, me: &Header) -> bool {
        let is_own = ptr::eq(self.owner.get(), me);
        if is_own {
            self.cuts.set(self.cuts.get().saturating_add(1));
        }
        is_own
    }

    /// Takes off one that was dropped.
    pub(super) fn discount_cut(&self) {
        self.cuts.set(self.cuts.get().saturating_sub(1));
    }

    /// Why it ends: by its cancellation, else by its deadline.
    pub(crate) fn reason(&self) -> CancelReason {
        if let Some(reason) = self.why.get() {
            return reason;
        }
        let real = match self.kind {
            // SAFETY: S1 of `heir_of`.
            Kind::Heir(real) => unsafe { &*real },
            _ => self,
        };
        // SAFETY: a region that was entered lies in a frame of its owner.
        let owner = unsafe { real.owner.get().as_ref() }.expect("it was entered");
        CancelReason::deadline_of(owner, real.site, real.deadline, real.timeout)
    }

    /// Opens the region as the innermost one of `me`, the current thread.
    ///
    /// # Safety
    /// S1: ENTERED: it stays where it is until [`Region::leave`], which the caller calls with the
    /// same thread on every way out, in turn with the others.
    #[inline]
    pub(crate) unsafe fn enter(&self, me: &Header) {
        let extra = me.extra_or_new();
        let count = extra.region_count.get() + 1;
        extra.region_count.set(count);
        self.owner.set(me);
        self.id.set(Some(match self.kind {
            // SAFETY: S1 of `heir_of`.
            Kind::Heir(real) => unsafe { &*real }.id(),
            _ => (me.id, count),
        }));
        self.outer.set(extra.region.get());
        self.is_apart.set(is_in_destructor(me));
        if self.kind == Kind::Shield {
            return self.enter_shield(me);
        }
        let around = inherited(me);
        // SAFETY: ENTERED, of one around.
        let around_ends = unsafe { around.as_ref() }.and_then(|region| region.deadline);
        let is_first = match (self.deadline, around_ends) {
            (Some(own), Some(around)) => own < around,
            (own, _) => own.is_some(),
        };
        self.nearest.set(if is_first { self } else { around });
        extra.region.set(self);
        me.limits.set_bounded(!self.nearest.get().is_null());
    }

    #[cold]
    fn enter_shield(&self, me: &Header) {
        let extra = me.extra_or_new();
        let _lock = FamilyLock::of(me);
        extra.region.set(self);
        extra.shield.set(self);
        me.limits.set_sheltered(true);
        me.limits.set_bounded(false);
        // What is marked lies outside.
        me.state.clear_interrupt();
    }

    /// Closes the region, the innermost one of `me`, the current thread.
    #[inline]
    pub(crate) fn leave(&self, me: &Header) {
        let extra = me.extra_or_new();
        debug_assert!(ptr::eq(extra.region.get(), self), "regions are left in turn");
        if self.kind == Kind::Shield || self.is_cancelled() {
            self.leave_marked(me);
        } else {
            extra.region.set(self.outer.get());
        }
        me.limits.set_bounded(!nearest(me).is_null());
        if self.cuts.get() != 0 {
            // Nobody has a reason to resume what has unwound for its end.
            extra.cuts.set(extra.cuts.get().saturating_sub(self.cuts.get()));
        }
    }

    /// The same where INTERRUPT may change.
    #[cold]
    fn leave_marked(&self, me: &Header) {
        let extra = me.extra_or_new();
        let _lock = FamilyLock::of(me);
        extra.region.set(self.outer.get());
        let mut is_marked = false;
        let mut shield = ptr::null();
        for region in chain(self.outer.get()) {
            if region.kind == Kind::Shield {
                shield = ptr::from_ref(region);
                break;
            }
            is_marked |= region.is_cancelled();
        }
        extra.shield.set(shield);
        me.limits.set_sheltered(!shield.is_null());
        me.state.clear_interrupt();
        if is_marked {
            // The thread runs, so there is nobody to schedule.
            let _ = me.state.interrupt();
        }
    }
}

/// The regions from `innermost` outwards, all of one thread.
pub(crate) fn chain<'a>(innermost: *const Region) -> impl Iterator<Item = &'a Region> {
    // SAFETY: ENTERED: who has a pointer to a region ends before it is left.
    let mut next = unsafe { innermost.as_ref() };
    std::iter::from_fn(move || {
        let region = next?;
        // SAFETY: as above, of the region around it.
        next = unsafe { region.outer.get().as_ref() };
        Some(region)
    })
}

/// Of those the ones whose end reaches `innermost`: up to a shield, or to one that was entered in a
/// destructor.
pub(super) fn chain_in_reach<'a>(innermost: *const Region) -> impl Iterator<Item = &'a Region> {
    let mut is_last = false;
    chain(innermost).take_while(move |region| {
        let is_in_reach = !is_last && !region.is_shield();
        is_last |= region.is_apart.get();
        is_in_reach
    })
}

/// The region whose deadline those inherit who work for `me`, the current thread, or a region that
/// it enters; null: none. In a destructor, of those that were entered there.
#[inline]
pub(crate) fn inherited(me: &Header) -> *const Region {
    if !me.limits.is_bounded() || (is_in_destructor(me) && !is_innermost_apart(me)) {
        return ptr::null();
    }
    nearest(me)
}

#[cold]
fn is_innermost_apart(me: &Header) -> bool {
    chain(innermost(me)).next().is_some_and(|region| region.is_apart.get())
}

/// Whether `me`, the current thread, unwinds or waits where nothing may unwind it.
#[inline(always)]
pub(crate) fn is_in_destructor(me: &Header) -> bool {
    me.limits.is_shielded() || std::thread::panicking()
}

/// The innermost region of `me`, the current thread; null for none.
#[inline]
pub(crate) fn innermost(me: &Header) -> *const Region {
    me.extra().map_or(ptr::null(), |extra| extra.region.get())
}

/// The region whose deadline comes first for `me`, the current thread; null: none has one.
#[inline]
pub(crate) fn nearest(me: &Header) -> *const Region {
    // SAFETY: ENTERED.
    match unsafe { innermost(me).as_ref() } {
        Some(region) => region.nearest.get(),
        None => {
            // SAFETY: a scope outlives its children.
            let scope = unsafe { me.scope.get().as_ref() };
            scope.map_or(ptr::null(), |scope| scope.nearest())
        }
    }
}

/// Whether `region` of `owner` is out of reach, behind a shield. FAMILY-LOCK of `owner`, which is
/// in the region.
pub(super) fn is_covered(region: &Region, owner: &Header) -> bool {
    let shield = owner.extra().map_or(ptr::null(), |extra| extra.shield.get());
    // What lies within the shield may change meanwhile, what lies around it does not.
    chain(shield).any(|outer| ptr::eq(outer, region))
}
