//! How a select chooses: it tries its operations in turn, and if none need not wait, enters all of
//! them and waits once.
//!
//! All its waiters stand for the same wait, so whoever ends it first decides which operation is
//! chosen, and the others fail and pass on to whoever waits behind. *Entering* looks under each
//! channel's lock whether the operation need wait still; if not, the wait is given up, all that was
//! entered leaves, and the round begins anew. *Leaving* takes every lock once more, for until then
//! somebody may be in the midst of finding that the wait is over; then at most one waiter has an
//! outcome.
//!
//! A select that must not wait makes a round all the same, if it has found nothing at a first look:
//! to look at one channel after the other is not to see them at the same moment, and a message
//! that goes from one to the other meanwhile would not be found in either.
//!
//! Of those that are ready a random one is chosen: the operations are tried in an order that is
//! drawn while they are tried, by the shuffle of Fisher and Yates, so that what is found at once
//! costs one draw.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::time::{Duration, Instant};

use crate::channel::receiver::Receiver;
use crate::channel::select::{Handle, SelectedOperation, Token};
use crate::channel::sender::Sender;
use crate::channel::timer;
use crate::channel::waiter::{Kind, Outcome, Waiter};
use crate::clock;
use crate::sched::{door, linger, random};
use crate::task::{Reason, Unlink, WaitKind};

/// An operation in a select.
#[derive(Clone, Copy)]
pub struct Arm<'a> {
    handle: &'a dyn Handle,
    channel: *const (),
    sends: bool,
    index: usize,
}

impl<'a> Arm<'a> {
    /// The operation to send on `sender`.
    #[inline]
    pub fn sending<T>(sender: &'a Sender<T>, index: usize) -> Arm<'a> {
        Arm { handle: sender, channel: sender.shared.address(), sends: true, index }
    }

    /// The operation to receive from `receiver`.
    #[inline]
    pub fn receiving<T>(receiver: &'a Receiver<T>, index: usize) -> Arm<'a> {
        Arm { handle: receiver, channel: receiver.address(), sends: false, index }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn is_of_sender<T>(&self, sender: &Sender<T>) -> bool {
        self.sends && ptr::eq(self.channel, sender.shared.address())
    }

    pub(super) fn is_of_receiver<T>(&self, receiver: &Receiver<T>) -> bool {
        !self.sends && ptr::eq(self.channel, receiver.address())
    }

    pub(super) fn release(&self, token: Token) {
        self.handle.release(token);
    }
}

/// How long a select waits.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// Not at all.
    Now,
    /// Until then; `None`: for ever.
    Deadline(Option<Instant>),
}

impl Until {
    /// Begins the call.
    // SUSPENDS
    fn begin(self) {
        match self {
            Until::Now => door::charge(),
            Until::Deadline(_) => door::switch_point(),
        }
    }

    /// The deadline, if there is one. `None`: no time is left.
    fn left(self) -> Option<Option<Instant>> {
        match self {
            Until::Now => None,
            Until::Deadline(Some(deadline)) if deadline <= clock::now() => None,
            Until::Deadline(deadline) => Some(deadline),
        }
    }

    /// Whether a look at each of `arms` is not enough: there is time to wait, or there are several
    /// and they were not looked at at the same moment.
    fn may_go_on(self, arms: &[Arm<'_>]) -> bool {
        arms.len() > 1 || self.left().is_some()
    }
}

/// Chooses one of `arms`; `room` gives so many waiters.
// SUSPENDS
pub(super) fn select<'a, 'w>(
    arms: &mut [Arm<'a>],
    room: impl FnOnce(usize) -> &'w [Waiter],
    reason: Reason,
    until: Until,
    is_biased: bool,
) -> Option<SelectedOperation<'a>> {
    until.begin();
    let chosen = attempt(arms, is_biased);
    if chosen.is_some() || !until.may_go_on(arms) {
        return chosen;
    }
    let waiters = room(arms.len());
    loop {
        let left = until.left();
        let round = round(arms, waiters, Kind::Selecting, reason, left);
        if let Round::For(place, outcome) = round {
            let token = outcome.token()?;
            return Some(SelectedOperation { arm: arms[place], token });
        }
        let chosen = attempt(arms, is_biased);
        if chosen.is_some() || round.is_last(left, until) {
            return chosen;
        }
        until.begin();
    }
}

/// Gives the index of one of `arms` that need not wait.
// SUSPENDS
pub(super) fn watch<'w>(
    arms: &mut [Arm<'_>],
    room: impl FnOnce(usize) -> &'w [Waiter],
    reason: Reason,
    until: Until,
    is_biased: bool,
) -> Option<usize> {
    until.begin();
    let is_ready = |arm: &Arm<'_>| arm.handle.is_ready().then_some(arm.index);
    let ready = first(arms, is_biased, is_ready);
    if ready.is_some() || !until.may_go_on(arms) {
        return ready;
    }
    let waiters = room(arms.len());
    loop {
        let left = until.left();
        if let Some(deadline) = left {
            let is_fetched =
                |arm: &Arm<'_>| arm.handle.fetch(deadline, reason.site).then_some(arm.index);
            if let Some(index) = first(arms, is_biased, is_fetched) {
                return Some(index);
            }
        }
        // What has become ready may be gone by now, so it is looked for in any case.
        let round = round(arms, waiters, Kind::Watching, reason, left);
        let ready = first(arms, is_biased, is_ready);
        if ready.is_some() || left.is_none() || round.is_last(left, until) {
            return ready;
        }
        until.begin();
    }
}

/// Chooses an operation that need not wait.
#[inline]
fn attempt<'a>(arms: &mut [Arm<'a>], is_biased: bool) -> Option<SelectedOperation<'a>> {
    first(arms, is_biased, |arm| {
        let token = arm.handle.attempt()?;
        Some(SelectedOperation { arm: *arm, token })
    })
}

/// What `look` gives of the first of `arms` of which it gives something.
#[inline]
fn first<'a, R>(
    arms: &mut [Arm<'a>],
    is_biased: bool,
    look: impl Fn(&Arm<'a>) -> Option<R>,
) -> Option<R> {
    for place in 0..arms.len() {
        let left = arms.len() - place;
        if !is_biased && left > 1 {
            arms.swap(place, place + random::choose_of(left as u64) as usize);
        }
        let found = look(&arms[place]);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// How a round has ended.
#[derive(Clone, Copy)]
enum Round {
    /// The arm in this place has an outcome.
    For(usize, Outcome),
    /// All arms had to wait at the same time, and that is over: their deadline has come, or there
    /// was none to wait for.
    InVain,
    /// An arm need not wait any more.
    Again,
}

impl Round {
    /// Whether it was the last one: all arms had to wait, and there is no time `left`.
    fn is_last(self, left: Option<Option<Instant>>, until: Until) -> bool {
        // In a model a deadline comes when it likes.
        matches!(self, Round::InVain) && (cfg!(loom) || left.is_none() || until.left().is_none())
    }
}

/// Enters all of `arms` and waits until one of them has an outcome; if no time is `left` it does
/// not wait, and all of them leave at once. Even so the round tells more than a look at each: when
/// the last one has entered, all had to wait *at that moment*, and what has come since was given to
/// a waiter.
// SUSPENDS
fn round(
    arms: &[Arm<'_>],
    waiters: &[Waiter],
    kind: Kind,
    reason: Reason,
    left: Option<Option<Instant>>,
) -> Round {
    let pending = door::begin_in_call();
    let entered = Entered { arms, waiters, count: Cell::new(0) };
    let mut deadline = left.unwrap_or_default();
    let mut must_wait = true;
    for (arm, waiter) in arms.iter().zip(waiters) {
        waiter.set_kind(kind);
        waiter.set_thread(pending.header(), pending.sequence());
        // SAFETY: S1: `entered` takes it out before the caller's frame, or list, goes on. S2: it
        // has left the last time.
        must_wait = unsafe { arm.handle.enter(waiter, pending.header()) };
        if !must_wait {
            break;
        }
        entered.count.set(entered.count.get() + 1);
        deadline = timer::earlier(deadline, arm.handle.deadline());
    }
    if must_wait && left.is_some() {
        let object = arms.first().map_or(ptr::null(), |arm| arm.channel).addr();
        let unlink = Unlink { waiter: ptr::from_ref(&entered).cast(), call: leave_leaked };
        let reason = Reason { object, ..reason };
        linger::linger(&pending);
        pending.wait_in_queue(reason, deadline, Some(unlink));
    } else {
        pending.abandon();
    }
    match entered.leave() {
        Some((place, outcome)) => Round::For(place, outcome),
        None if must_wait => Round::InVain,
        None => Round::Again,
    }
}

/// The arms whose waiters have entered. Its drop leaves, and gives up what was chosen.
struct Entered<'a> {
    arms: &'a [Arm<'a>],
    waiters: &'a [Waiter],
    count: Cell<usize>,
}

impl Entered<'_> {
    /// Leaves, and gives the outcome that one of them has, if one has.
    fn leave(&self) -> Option<(usize, Outcome)> {
        let mut found = None;
        for place in 0..self.count.replace(0) {
            if let Some(outcome) = self.arms[place].handle.leave(&self.waiters[place]) {
                found = Some((place, outcome));
            }
        }
        found
    }

    /// Leaves, and gives up what was chosen.
    fn leave_for_good(&self) {
        if let Some((place, outcome)) = self.leave()
            && let Some(token) = outcome.token()
        {
            self.arms[place].release(token);
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.leave_for_good();
    }
}

/// [`Unlink`] for a select.
///
/// # Safety
/// S1: `entered` is an [`Entered`] on the stack of a thread that is leaked in its wait.
unsafe fn leave_leaked(entered: *const ()) {
    // SAFETY: S1: it lives, and its thread never goes on.
    let entered = unsafe { &*entered.cast::<Entered<'_>>() };
    entered.leave_for_good();
}

/// [`Select::try_select`](super::Select::try_select) for `select!`.
#[inline]
#[track_caller]
pub fn try_select_fixed<'a, const COUNT: usize>(
    arms: [Arm<'a>; COUNT],
    is_biased: bool,
) -> Option<SelectedOperation<'a>> {
    fixed(arms, Location::caller(), Until::Now, is_biased)
}

/// [`Select::select`](super::Select::select) for `select!`.
// SUSPENDS
#[inline]
#[track_caller]
pub fn select_fixed<'a, const COUNT: usize>(
    arms: [Arm<'a>; COUNT],
    is_biased: bool,
) -> SelectedOperation<'a> {
    let until = Until::Deadline(None);
    fixed(arms, Location::caller(), until, is_biased).expect("it waits until one is chosen")
}

/// [`Select::select_timeout`](super::Select::select_timeout) for `select!`.
// SUSPENDS
#[inline]
#[track_caller]
pub fn select_fixed_timeout<'a, const COUNT: usize>(
    arms: [Arm<'a>; COUNT],
    timeout: Duration,
    is_biased: bool,
) -> Option<SelectedOperation<'a>> {
    let until = Until::Deadline(clock::deadline_in(timeout));
    fixed(arms, Location::caller(), until, is_biased)
}

// SUSPENDS
#[inline]
fn fixed<'a, const COUNT: usize>(
    mut arms: [Arm<'a>; COUNT],
    site: &'static Location<'static>,
    until: Until,
    is_biased: bool,
) -> Option<SelectedOperation<'a>> {
    let mut waiters: Option<[Waiter; COUNT]> = None;
    let room = &mut waiters;
    select(
        &mut arms,
        move |_| &room.insert(std::array::from_fn(|_| Waiter::new(Kind::Selecting)))[..],
        Reason::new(WaitKind::Select, site),
        until,
        is_biased,
    )
}
