//! Which workers sleep, who searches, and who stands sentinel.
//!
//! The protocol and the reason why nothing is lost stand in `README.md` beside this file; read it
//! first. This file is the word in which the protocol keeps its counts, and the mask that says
//! which workers may be picked. It knows neither queues nor futexes.

#[cfg(all(loom, test))]
mod models;

use crate::primitives::{AtomicU64, Ordering, fence, light_barrier};

/// See the file's comment.
pub(crate) struct Idle {
    /// | bits | meaning |
    /// |---|---|
    /// | 0..16 | number of sleeping workers |
    /// | 16..32 | number of searching workers, those included that were picked and are about to |
    /// | 32 | a sentinel stands: one of the sleeping looks round by itself, soon |
    ///
    /// A worker is exactly one of: awake, awake and searching, sleeping. A sentinel is sleeping.
    word: AtomicU64,
    /// Bit `w % 64` of entry `w / 64`: worker `w` sleeps and nobody has picked it. Whoever clears
    /// the bit of a worker other than itself has given it one of the counted searches.
    unpicked: Box<[AtomicU64]>,
    workers: u64,
}

const SLEEPING: u64 = 1;
const SEARCHING: u64 = 1 << 16;
const SENTINEL: u64 = 1 << 32;
const FIELD: u64 = 0xffff;

/// How a worker sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sleep {
    /// With a timeout, after which it looks for work whose owner is stuck.
    Sentinel,
    /// Until somebody wakes it.
    Plain,
}

/// Whether a worker that fell asleep was picked to search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Picked: it counts as searching from now on.
    Searcher,
    /// Woken for a reason of its own.
    Own,
    /// The same, by a sentinel on whom others may rely: it hands its post over.
    OwnFromPost,
}

impl Idle {
    pub(crate) fn new(workers: usize) -> Idle {
        Idle {
            word: AtomicU64::new(0),
            unpicked: (0..workers.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            workers: workers as u64,
        }
    }

    /// Makes the caller, who is awake, a searcher, if nobody searches.
    pub(crate) fn start_search(&self) -> bool {
        // ORDERING: Relaxed throughout this method: a count that bounds CPU use, not liveness.
        let word = self.word.load(Ordering::Relaxed);
        (word / SEARCHING) & FIELD == 0
            && self
                .word
                .compare_exchange(word, word + SEARCHING, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Ends a search that found something. True: workers sleep and nobody searches any more, so
    /// the caller picks the next one.
    #[must_use]
    pub(crate) fn end_search_with_work(&self) -> bool {
        // ORDERING: AcqRel; the picked one shall see what this searcher saw.
        let old = self.word.fetch_sub(SEARCHING, Ordering::AcqRel);
        (old / SEARCHING) & FIELD == 1 && old & FIELD > 0
    }

    /// Announces that worker `index` is about to sleep, and says how. `searching`: it ends its
    /// search by this.
    ///
    /// The caller has announced its sleep in its mailbox before this, and looks once more, after
    /// this, at everything that reaches it in no other way (step 5).
    pub(crate) fn fall_asleep(&self, index: usize, searching: bool) -> Sleep {
        // ORDERING: Release; a picker that sees the bit sees all that this worker did.
        self.unpicked[index / 64].fetch_or(1 << (index % 64), Ordering::Release);
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let others_awake = (word & FIELD) + 1 < self.workers;
            let stands = word & SENTINEL != 0;
            let sleep = if others_awake && !stands { Sleep::Sentinel } else { Sleep::Plain };
            let mut next = word + SLEEPING;
            if searching {
                next -= SEARCHING;
            }
            if sleep == Sleep::Sentinel {
                next |= SENTINEL;
            }
            // ORDERING: AcqRel; a picker that sees this change sees the bit set above.
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    // ORDERING: SeqCst; pairs with the fences in `must_pick_for_outside`,
                    // `Mailbox::post` and `Shared::nudge_all`: either the other side sees this
                    // worker asleep, or this worker sees what the other side has left, when it
                    // looks at the injector, its messages and the phase (step 5).
                    fence(Ordering::SeqCst);
                    return sleep;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Ends worker `index`'s sleep. A sentinel's place falls vacant by this; nobody relies on it if
    /// all others sleep at that moment, for one that sleeps has left nothing in its deque.
    pub(crate) fn wake_up(&self, index: usize, sleep: Sleep) -> Role {
        let bit = 1 << (index % 64);
        // ORDERING: AcqRel; Acquire sees what the picker saw.
        let picked = self.unpicked[index / 64].fetch_and(!bit, Ordering::AcqRel) & bit == 0;
        let mut leave = SLEEPING;
        if sleep == Sleep::Sentinel {
            leave += SENTINEL;
        }
        // ORDERING: AcqRel; what the sleeper hands over is ordered by the barrier of step 6.
        let old = self.word.fetch_sub(leave, Ordering::AcqRel);
        match sleep {
            _ if picked => Role::Searcher,
            Sleep::Sentinel if old & FIELD < self.workers => Role::OwnFromPost,
            _ => Role::Own,
        }
    }

    /// Lets a sentinel that found nothing give up its post, if it alone would keep it: nobody is
    /// awake whose work it could take. True: it sleeps without a timeout from now on.
    pub(crate) fn leave_post(&self) -> bool {
        // ORDERING: Relaxed; the CAS below decides.
        let word = self.word.load(Ordering::Relaxed);
        if word & FIELD < self.workers || (word / SEARCHING) & FIELD != 0 {
            return false;
        }
        // ORDERING: AcqRel; a worker that wakes after this sees the post vacant, for its own
        // change of this same word comes later.
        self.word
            .compare_exchange(word, word & !SENTINEL, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether anybody sleeps. If not, a worker that has pushed work has neither to pick nor may.
    #[inline]
    pub(crate) fn anybody_sleeps(&self) -> bool {
        // Keeps the push before the look, for the compiler; the barrier of step 6 does it for the
        // processor.
        light_barrier();
        // ORDERING: Relaxed; as in `is_vacant`.
        self.word.load(Ordering::Relaxed) & FIELD != 0
    }

    /// Whether a worker that has pushed work, and then found that somebody sleeps, must pick a
    /// searcher.
    pub(crate) fn must_pick(&self) -> bool {
        self.is_vacant()
    }

    /// Whether nobody is committed to look: somebody sleeps, nobody searches, and no sentinel
    /// stands.
    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        // ORDERING: Relaxed; the caller's own last change of this word is seen in any case, and
        // what others change later is their duty. See `README.md`, step 2.
        let word = self.word.load(Ordering::Relaxed);
        word & FIELD != 0 && word & !FIELD == 0
    }

    /// Whether a pusher may pick a searcher: somebody sleeps and nobody searches.
    #[inline]
    pub(crate) fn may_pick(&self) -> bool {
        // ORDERING: Relaxed; a hint.
        let word = self.word.load(Ordering::Relaxed);
        word & FIELD != 0 && (word / SEARCHING) & FIELD == 0
    }

    /// Whether somebody who has pushed into the injector must pick a searcher. Pairs with
    /// `fall_asleep`.
    pub(crate) fn must_pick_for_outside(&self) -> bool {
        // ORDERING: SeqCst; the push before this fence, the look after; the sleeper the other way.
        fence(Ordering::SeqCst);
        self.may_pick()
    }

    /// Picks a sleeping worker to search, of several one with the least `load`. The caller nudges
    /// its mailbox.
    pub(crate) fn pick(&self, load: impl Fn(usize) -> u64) -> Option<usize> {
        while self.start_search_for_another() {
            if let Some(index) = self.take_unpicked(&load) {
                return Some(index);
            }
            // All that sleep were waking up already, and they look round before they sleep again.
            // But while this search was counted, others may have pushed and relied on it, and
            // somebody may have fallen asleep: then the search is given once more.
            // ORDERING: AcqRel; sees the bit of whoever fell asleep before this change.
            self.word.fetch_sub(SEARCHING, Ordering::AcqRel);
            if !self.is_vacant() || !self.has_unpicked() {
                return None;
            }
        }
        None
    }

    /// Counts a search for a worker that is still to be found. False: nobody sleeps, or somebody
    /// searches.
    fn start_search_for_another(&self) -> bool {
        // ORDERING: Relaxed; the CAS below decides.
        let mut word = self.word.load(Ordering::Relaxed);
        while word & FIELD != 0 && (word / SEARCHING) & FIELD == 0 {
            // ORDERING: AcqRel; one searcher at a time takes over what the last one saw.
            match self.word.compare_exchange_weak(
                word,
                word + SEARCHING,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Clears the bit of one sleeping worker, which thereby gets the counted search.
    fn take_unpicked(&self, load: &impl Fn(usize) -> u64) -> Option<usize> {
        loop {
            let index = self.unpicked().min_by_key(|&index| load(index))?;
            let bit = 1 << (index % 64);
            // ORDERING: AcqRel; Release hands over what the picker saw, see `wake_up`. If somebody
            // else was faster, the next look sees that.
            if self.unpicked[index / 64].fetch_and(!bit, Ordering::AcqRel) & bit != 0 {
                return Some(index);
            }
        }
    }

    /// Who sleeps and was not picked.
    fn unpicked(&self) -> impl Iterator<Item = usize> {
        self.unpicked.iter().enumerate().flat_map(|(chunk, mask)| {
            // ORDERING: Relaxed; whoever takes one decides by a change.
            let mask = mask.load(Ordering::Relaxed);
            (0..64).filter(move |bit| mask & 1 << bit != 0).map(move |bit| chunk * 64 + bit)
        })
    }

    fn has_unpicked(&self) -> bool {
        // ORDERING: Relaxed; the change of the word before this has synchronised.
        self.unpicked.iter().any(|mask| mask.load(Ordering::Relaxed) != 0)
    }

    /// Takes back the search that a failed or interrupted sleep was given, or that ended without
    /// a sleep.
    pub(crate) fn end_search(&self) {
        // ORDERING: AcqRel; as in `end_search_with_work`.
        self.word.fetch_sub(SEARCHING, Ordering::AcqRel);
    }
}
