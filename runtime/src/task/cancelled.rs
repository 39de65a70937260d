//! Why a thread, or a part of its run, is ended from outside, and the payload that unwinds it.
//!
//! A cancellation without a reason is a riddle for whoever finds the thread gone. So each one says
//! who wanted it, from where, and why; the reason goes down the tree with it, unwinds with the
//! thread, and lies in what a joiner gets. It is made once and shared.

#[cfg(all(loom, test))]
mod models;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::primitives::{AtomicPtr, Ordering};
use crate::task::current;
use crate::task::header::Header;
use crate::task::numbers::shown_number;
use crate::task::reason::Reason;
use crate::task::region::{self, Region};

/// Why something was cancelled: who wanted it, from where, and for what.
///
/// It travels with the cancellation: scope children and arms of the cancelled thread have the same
/// one. [`Display`](fmt::Display) tells all of it in a sentence.
#[derive(Clone)]
pub struct CancelReason(Arc<Told>);

/// What a reason tells.
struct Told {
    kind: CancelKind,
    /// Number and name of the thread that cancelled, or that set the deadline.
    by: Option<(NonZeroU64, Option<Box<str>>)>,
    site: Option<&'static Location<'static>>,
    message: Option<Cow<'static, str>>,
    deadline: Option<Instant>,
    timeout: Option<Duration>,
}

/// What kind of event it was that cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CancelKind {
    /// Somebody called `cancel` or `cancel_with`.
    Requested,
    /// The deadline of a [`timeout`](crate::time::timeout) or a
    /// [`deadline`](crate::time::deadline) passed.
    Deadline,
    /// Another thread of the same [`group`](crate::thread::group) failed.
    Group,
    /// Another thread of the same [`race`](crate::thread::race) was first.
    Race,
    /// The runtime was shut down.
    Shutdown,
}

impl CancelReason {
    /// A reason of which the current thread is the cause.
    pub(crate) fn by_me(
        kind: CancelKind,
        site: &'static Location<'static>,
        message: Option<Cow<'static, str>>,
    ) -> CancelReason {
        let by = Some(identity(&current::me()));
        let (site, deadline, timeout) = (Some(site), None, None);
        CancelReason(Arc::new(Told { kind, by, site, message, deadline, timeout }))
    }

    /// A deadline that `owner` has set at `site`.
    pub(crate) fn deadline_of(
        owner: &Header,
        site: &'static Location<'static>,
        deadline: Option<Instant>,
        timeout: Option<Duration>,
    ) -> CancelReason {
        let (kind, by) = (CancelKind::Deadline, Some(identity(owner)));
        let (site, message) = (Some(site), None);
        CancelReason(Arc::new(Told { kind, by, site, message, deadline, timeout }))
    }

    /// The end of the runtime called `name`.
    pub(crate) fn shutdown(name: &str) -> CancelReason {
        CancelReason(Arc::new(Told {
            kind: CancelKind::Shutdown,
            by: None,
            site: None,
            message: Some(name.to_owned().into()),
            deadline: None,
            timeout: None,
        }))
    }

    /// One for models.
    #[cfg(all(loom, test))]
    pub(crate) fn of_model() -> CancelReason {
        CancelReason::shutdown("model")
    }

    /// Returns what kind of event it was.
    pub fn kind(&self) -> CancelKind {
        self.0.kind
    }

    /// Returns the number of the thread that cancelled or that set the deadline, as reports show
    /// it; `None` for a shutdown.
    pub fn thread_number(&self) -> Option<u64> {
        self.0.by.as_ref().map(|(id, _)| shown_number(*id))
    }

    /// Returns the name of the thread that cancelled or that set the deadline, if it has one.
    pub fn thread_name(&self) -> Option<&str> {
        self.0.by.as_ref()?.1.as_deref()
    }

    /// Returns the call that cancelled, set the deadline, or opened the group or the race; `None`
    /// for a shutdown.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.site
    }

    /// Returns what was said with [`cancel_with`](crate::thread::JoinHandle::cancel_with); for a
    /// shutdown, the name of the runtime.
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// Returns the deadline that has passed, if it was one.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }
}

fn identity(thread: &Header) -> (NonZeroU64, Option<Box<str>>) {
    (thread.id, thread.name().map(Into::into))
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = &*self.0;
        match told.kind {
            CancelKind::Requested => {
                write!(f, "cancelled by {told}")?;
                match &told.message {
                    Some(message) => write!(f, ": {message}"),
                    None => Ok(()),
                }
            }
            CancelKind::Deadline => match told.timeout {
                Some(timeout) => {
                    write!(f, "the deadline of {timeout:?}, set by {told}, has passed")
                }
                None => write!(f, "the deadline, set by {told}, has passed"),
            },
            CancelKind::Group => write!(f, "its group has failed, by {told}"),
            CancelKind::Race => write!(f, "its race was won, by {told}"),
            CancelKind::Shutdown => {
                let name = told.message.as_deref().unwrap_or_default();
                write!(f, "the runtime '{name}' was shut down")
            }
        }
    }
}

/// By whom and from where.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some((id, Some(name))) => write!(f, "thread '{name}' ({})", shown_number(*id))?,
            Some((id, None)) => write!(f, "thread {}", shown_number(*id))?,
            None => f.write_str("the runtime")?,
        }
        match self.site {
            Some(site) => write!(f, " at {site}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelReason({:?}: \"{self}\")", self.0.kind)
    }
}

/// A reason that is set once, by whoever comes first.
pub(crate) struct ReasonCell(AtomicPtr<Told>);

impl ReasonCell {
    pub(crate) fn new() -> ReasonCell {
        ReasonCell(AtomicPtr::new(ptr::null_mut()))
    }

    /// Sets the reason. False: there is one, which stays.
    pub(crate) fn set(&self, reason: CancelReason) -> bool {
        let told = Arc::into_raw(reason.0);
        // ORDERING: Release publishes what the reason tells; pairs with the Acquire in `get`. What
        // a failure finds is not looked at.
        let first = self.0.compare_exchange(
            ptr::null_mut(),
            told.cast_mut(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if first.is_err() {
            // SAFETY: from `into_raw` above, and nobody else has got it.
            drop(unsafe { Arc::from_raw(told) });
        }
        first.is_ok()
    }

    /// Whether a reason was set.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        // ORDERING: Acquire; who has seen it set goes on as if the canceller had told it.
        !self.0.load(Ordering::Acquire).is_null()
    }

    pub(crate) fn get(&self) -> Option<CancelReason> {
        // ORDERING: Acquire; pairs with the Release in `set`.
        let told = self.0.load(Ordering::Acquire);
        if told.is_null() {
            return None;
        }
        // SAFETY: from `into_raw`; the cell's own count lasts until its drop.
        unsafe { Arc::increment_strong_count(told) };
        // SAFETY: the count is the one just added.
        Some(CancelReason(unsafe { Arc::from_raw(told) }))
    }
}

impl Drop for ReasonCell {
    fn drop(&mut self) {
        if cfg!(loom) {
            // A model leaks its reasons: to look here is one more step, to be tried everywhere.
            return;
        }
        // ORDERING: Relaxed; whoever drops it has seen all that others did to it.
        let told = self.0.load(Ordering::Relaxed);
        if !told.is_null() {
            // SAFETY: from `into_raw` in `set`, and given up here only.
            drop(unsafe { Arc::from_raw(told) });
        }
    }
}

/// The payload that unwinds a cancelled thread, and what its joiner gets.
///
/// It is told from the payload of a panic by its type: `payload.is::<sylvan::thread::Cancelled>()`.
#[non_exhaustive]
pub struct Cancelled {
    reason: CancelReason,
    /// The call that was cut off, where it waited.
    cut: Option<Reason>,
    /// The region for whose end this unwinds; `None`: the thread's own end.
    target: Option<RegionId>,
    /// The thread that this payload unwinds; `None` if there was nothing to unwind.
    thread: Option<NonZeroU64>,
    /// Whether the region counts it, which is one of that thread then.
    counts_there: bool,
}

/// Names a region for ever: the thread whose it is, and how many it had entered before.
pub(crate) type RegionId = (NonZeroU64, u64);

impl Cancelled {
    /// For a thread that never began.
    pub(crate) fn unstarted(reason: CancelReason) -> Box<dyn Any + Send> {
        Box::new(Cancelled { reason, cut: None, target: None, thread: None, counts_there: false })
    }

    /// For `me`, the current thread, which is about to be unwound by it for the end of `region`.
    /// While the payload lives and the region is not left, that unwinding is no panic to sylvan's
    /// locks.
    pub(crate) fn here(
        me: &Header,
        reason: CancelReason,
        cut: Option<Reason>,
        region: Option<&Region>,
    ) -> Box<Cancelled> {
        let cuts = &me.extra_or_new().cuts;
        cuts.set(cuts.get().saturating_add(1));
        let counts_there = region.is_some_and(|region| region.count_cut(me));
        let target = region.map(Region::id);
        Box::new(Cancelled { reason, cut, target, thread: Some(me.id), counts_there })
    }

    /// Whether it unwinds, or has unwound, the current thread.
    pub(crate) fn is_mine(&self) -> bool {
        self.thread == Some(current::me().id)
    }

    /// Whether it unwinds for the end of `region`.
    pub(crate) fn is_for(&self, region: &Region) -> bool {
        self.target == Some(region.id())
    }

    /// The call that was cut off, where it waited.
    pub(crate) fn cut(&self) -> Option<Reason> {
        self.cut
    }

    /// Returns why it was cancelled.
    pub fn reason(&self) -> &CancelReason {
        &self.reason
    }

    /// Returns the call that was cut off; `None` if it had yet to wait for something, or the thread
    /// had not begun.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.cut.map(|cut| cut.site)
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        let Some(thread) = self.thread else { return };
        let me = current::me();
        if me.id != thread {
            // Elsewhere it is a joiner's, or was given away.
            return;
        }
        if self.counts_there {
            let mut regions = region::chain(region::innermost(&me));
            // With a region that was left, its payloads were counted off.
            let Some(region) = regions.find(|region| self.is_for(region)) else { return };
            region.discount_cut();
        }
        let cuts = &me.extra_or_new().cuts;
        cuts.set(cuts.get().saturating_sub(1));
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancelled").field(&self.reason).finish()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread was cancelled")?;
        fmt_cut(self.cut, f)?;
        write!(f, ": {}", self.reason)
    }
}

/// Says which call was cut off.
pub(crate) fn fmt_cut(cut: Option<Reason>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match cut {
        Some(cut) => write!(f, " while {} at {}", cut.kind.describe(), cut.site),
        None => Ok(()),
    }
}

impl std::error::Error for Cancelled {}
