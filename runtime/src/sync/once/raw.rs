//! What `Once`, `OnceLock` and `LazyLock` have in common: one word that says whether something was
//! done, and lets one thread at a time try to do it.
//!
//! # The protocol
//!
//! - *Initialiser*: changes the word from `INCOMPLETE`, or from `POISONED` if it does not mind, to
//!   `RUNNING`, by compare-and-swap and with `WAITERS` kept. It runs the closure, and settles the
//!   word.
//! - *Waiter*: sets `WAITERS` by compare-and-swap if it is not set, and waits as long as the word
//!   stays what it was then. Every change of the word but that of `WAITERS` itself either wakes
//!   it, or is an initialiser's beginning, whose end will.
//! - *Settling*: without `WAITERS` the word changes by compare-and-swap; if a waiter has set the
//!   bit meanwhile, that fails. Else the initialiser locks the bucket, writes the word, without
//!   `WAITERS`, and wakes everybody who is in the queue by then. Who is about to enter it looks at
//!   the word under the same lock, and does not enter any more.
//!
//! After the change that settles the word the initialiser does not touch the object: whoever sees
//! it done may free it. That is why the word is changed under the bucket's lock, although waking
//! afterwards would be enough to lose nobody: if the object goes and another one comes to lie where
//! it was, those who wait for that one come later than the wake, and are not meant.
//!
//! # Unwinding
//!
//! How a closure ended is told by the payload that it was unwound by, and so the payload is caught
//! here and goes on when the word is settled. What std knows of the thread would not do: the call
//! may stand in a destructor of a thread that is unwound already, by something else.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr;

use crate::primitives::{AtomicU32, Ordering, const_fn};
use crate::sched::door;
use crate::sync::address::{self, Queue};
use crate::sync::holder::Holder;
use crate::task::Cancelled;
use crate::task::{Reason, WaitKind};

/// The word, and who runs the closure.
///
/// | bits | name | meaning |
/// |---|---|---|
/// | 0..2 | `COMPLETE` | it is done, for good; `WAITERS` is not set |
/// | | `INCOMPLETE` | nobody has begun, or what was begun is as if it had not been |
/// | | `RUNNING` | a thread runs its closure |
/// | | `POISONED` | a closure was unwound |
/// | 2 | `WAITERS` | somebody waits, or has waited |
///
/// | from | to | by |
/// |---|---|---|
/// | `INCOMPLETE`, `POISONED` | `RUNNING` | the initialiser, when it begins |
/// | `RUNNING` | `COMPLETE` | the same, when its closure has returned |
/// | `RUNNING` | `POISONED`, `INCOMPLETE` | the same, when its closure was unwound |
/// | any but `COMPLETE` | the same with `WAITERS` | a waiter |
#[repr(C)]
pub(in crate::sync) struct RawOnce {
    word: AtomicU32,
    holder: Holder,
}

const COMPLETE: u32 = 0;
const INCOMPLETE: u32 = 1;
const RUNNING: u32 = 2;
const POISONED: u32 = 3;
const STATE: u32 = 3;
const WAITERS: u32 = 1 << 2;

/// What stands in the word of one that nobody else can reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sync) enum State {
    /// It is done.
    Complete,
    /// The closure was not run, or does not count.
    Incomplete,
    /// The closure was unwound, or belongs to a thread that was leaked in it.
    Poisoned,
}

/// It is poisoned, and the caller minds.
#[derive(Debug)]
pub(in crate::sync) struct Poisoned;

/// What a call does about unwinding.
#[derive(Clone, Copy)]
pub(in crate::sync) struct Rules {
    /// Whether it runs its closure, or waits, although an earlier closure was unwound.
    pub(in crate::sync) ignores_poison: bool,
    /// Whether a panic of its own closure poisons.
    pub(in crate::sync) panic_poisons: bool,
    /// Whether a cancellation in its own closure does.
    pub(in crate::sync) cancellation_poisons: bool,
}

impl RawOnce {
    const_fn! {
        pub(in crate::sync) const fn new() -> RawOnce {
            RawOnce { word: AtomicU32::new(INCOMPLETE), holder: Holder::new() }
        }
    }

    /// One that is done already.
    pub(in crate::sync) fn completed() -> RawOnce {
        RawOnce { word: AtomicU32::new(COMPLETE), holder: Holder::new() }
    }

    /// Whether it is done, and what was done can be seen.
    #[inline]
    pub(in crate::sync) fn is_completed(&self) -> bool {
        // ORDERING: Acquire; pairs with the Release of `settle`.
        self.word.load(Ordering::Acquire) == COMPLETE
    }

    /// The state of one that the caller has for itself.
    pub(in crate::sync) fn state(&mut self) -> State {
        // ORDERING: Relaxed; whoever gave the caller its reference has published all changes.
        match self.word.load(Ordering::Relaxed) & STATE {
            COMPLETE => State::Complete,
            INCOMPLETE => State::Incomplete,
            _ => State::Poisoned,
        }
    }

    /// Changes the state of one that the caller has for itself.
    pub(in crate::sync) fn set_state(&mut self, state: State) {
        let word = match state {
            State::Complete => COMPLETE,
            State::Incomplete => INCOMPLETE,
            State::Poisoned => POISONED,
        };
        // ORDERING: Relaxed; whoever the caller gives it to is told by that.
        self.word.store(word, Ordering::Relaxed);
    }

    /// Waits until it is done, or runs `closure`, which is told whether it was poisoned.
    // SUSPENDS
    #[cold]
    pub(in crate::sync) fn call(
        &self,
        rules: Rules,
        site: &'static Location<'static>,
        closure: &mut dyn FnMut(bool),
    ) -> Result<(), Poisoned> {
        door::switch_point();
        loop {
            // ORDERING: Acquire; as in `is_completed`.
            let word = self.word.load(Ordering::Acquire);
            match word & STATE {
                COMPLETE => return Ok(()),
                POISONED if !rules.ignores_poison => return Err(Poisoned),
                RUNNING => self.wait_for_change(word, site),
                state => {
                    let running = word & WAITERS | RUNNING;
                    // ORDERING: Acquire; pairs with the Release of `settle`, for what an
                    // initialiser has left behind that was unwound. Relaxed; another look follows.
                    let begun = self.word.compare_exchange(
                        word,
                        running,
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    );
                    if begun.is_ok() {
                        self.holder.enter(site);
                        self.run(rules, state, closure);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits until it is done.
    // SUSPENDS
    #[cold]
    pub(in crate::sync) fn wait(
        &self,
        ignores_poison: bool,
        site: &'static Location<'static>,
    ) -> Result<(), Poisoned> {
        door::switch_point();
        loop {
            // ORDERING: Acquire; as in `is_completed`.
            let word = self.word.load(Ordering::Acquire);
            match word & STATE {
                COMPLETE => return Ok(()),
                POISONED if !ignores_poison => return Err(Poisoned),
                _ => self.wait_for_change(word, site),
            }
        }
    }

    /// Runs `closure` for a word that was changed from `before` to `RUNNING`.
    fn run(&self, rules: Rules, before: u32, closure: &mut dyn FnMut(bool)) {
        match catch_unwind(AssertUnwindSafe(|| closure(before == POISONED))) {
            Ok(()) => self.settle(COMPLETE),
            Err(payload) => {
                let after = match payload.is::<Cancelled>() {
                    true if rules.cancellation_poisons => POISONED,
                    true => before,
                    false if rules.panic_poisons => POISONED,
                    false => INCOMPLETE,
                };
                self.settle(after);
                resume_unwind(payload);
            }
        }
    }

    /// Ends the current thread's `RUNNING`. The object may be gone when this returns.
    fn settle(&self, state: u32) {
        self.holder.leave();
        let object = ptr::from_ref(self).cast();
        // ORDERING: Release; pairs with the Acquire of those who look; publishes what the closure
        // has done. Relaxed; the bucket's lock comes next.
        let alone =
            self.word.compare_exchange(RUNNING, state, Ordering::Release, Ordering::Relaxed);
        if alone.is_err() {
            let queue = Queue::at(object);
            // ORDERING: Release; as above.
            self.word.swap(state, Ordering::Release);
            queue.wake(usize::MAX, 0, |_| true);
        }
    }

    /// Waits as long as the word is `word`, but for `WAITERS`.
    // SUSPENDS
    fn wait_for_change(&self, word: u32, site: &'static Location<'static>) {
        self.holder.refuse_recursion("an initialisation that it runs", site);
        let waiting = word | WAITERS;
        // ORDERING: Relaxed; whoever settles the word and finds the bit locks the bucket, under
        // which this thread looks again.
        let announced =
            self.word.compare_exchange(word, waiting, Ordering::Relaxed, Ordering::Relaxed);
        if announced.is_ok() {
            let mut reason = Reason::new(WaitKind::Once, site);
            reason.owner = self.holder.thread();
            // However it ended, the word is looked at again.
            let _ = address::wait(&self.word, waiting, reason, None);
        }
    }
}
