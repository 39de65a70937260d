//! The words of the state's methods: what they are told, and what their callers then owe.
#![forbid(unsafe_code)]

use super::{ACCEPTS_CANCEL, ACCEPTS_INTERRUPT, ACCEPTS_PERMIT, IN_WAIT};

/// The number of a wait; a wake must name the wait that it wants to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sequence(pub(super) u64);

impl Sequence {
    /// Packs the number into 48 bits, for those who store it beside tags.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`Sequence::to_bits`].
    pub(crate) fn from_bits(bits: u64) -> Sequence {
        Sequence(bits)
    }
}

/// What may end a wait besides its own wake and its deadline: the bits of a state word whose wait
/// is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepts(u64);

impl Accepts {
    /// Nothing but the wake and the deadline.
    #[cfg(all(loom, test))]
    pub(crate) const NOTHING: Accepts = Accepts::new(false, false, false);

    /// `permit`: `Thread::unpark` ends it. `cancel`: a cancellation of the thread does.
    /// `interrupt`: one of a region of the thread does.
    #[inline(always)]
    pub(crate) const fn new(permit: bool, cancel: bool, interrupt: bool) -> Accepts {
        let mut bits = IN_WAIT;
        if permit {
            bits |= ACCEPTS_PERMIT;
        }
        if cancel {
            bits |= ACCEPTS_CANCEL;
        }
        if interrupt {
            bits |= ACCEPTS_INTERRUPT;
        }
        Accepts(bits)
    }

    /// Whether a permit ends it.
    pub(crate) fn by_permit(self) -> bool {
        self.0 & ACCEPTS_PERMIT != 0
    }

    /// Whether the end of a region ends it, and so whether anything may cut it off.
    #[inline(always)]
    pub(crate) fn by_interrupt(self) -> bool {
        self.0 & ACCEPTS_INTERRUPT != 0
    }

    #[inline(always)]
    pub(super) fn bits(self) -> u64 {
        self.0
    }
}

/// What the party that ended a wait owes.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Duty {
    /// Nothing: nobody waits under that number, or somebody else ended the wait.
    Nothing,
    /// Nothing to schedule: the wait is over before its thread left its stack.
    Noted,
    /// The thread was waiting and is now ready: the caller must schedule it, exactly once.
    Schedule,
}

/// What the worker does with a thread that has left its stack in order to wait.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Commit {
    /// It waits; whoever ends the wait owns the duty to schedule it.
    Waiting,
    /// Its wait is over already: the caller must schedule it.
    Ready,
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// A wake that named it.
    Woken,
    /// A permit, which the wait has consumed.
    Permit,
    /// Its deadline.
    TimedOut,
    /// Cancellation.
    Cancelled,
}

/// What the end of a thread obliges the finishing side to do.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AtEnd {
    /// Wake the joiner that the header names, then give up the scheduler's reference. The joiner
    /// keeps its own.
    WakeJoiner,
    /// Nothing: nobody has asked yet. The handle has got the scheduler's reference, and the header
    /// may be gone already.
    LeftToHandle,
    /// Give up both references, the scheduler's and that of the handle, which is gone.
    Alone,
}

/// What a join handle leaves that goes without a join.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dropped {
    /// The thread has finished and left its result, which the caller must drop.
    Finished,
    /// The thread goes on, and has got the handle's reference: the caller must not touch the header
    /// any more.
    GivenToThread,
}
