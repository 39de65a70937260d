//! Who homes how many: threads never move once they have started, so where they start decides how
//! evenly the workers are loaded until they end.
//!
//! One that homes more, and spawns, hands the new thread to a worker that sleeps: that one would be
//! woken for it in any case, and would come too late, for a thread that has nothing to wait for
//! first is started in the next turn.
//!
//! Only started threads that wait and go on are a lasting load; so what is compared is how many of
//! these each worker homes. A worker that homes more than its share leaves unstarted threads where
//! others can take them, as long as it has other work; and one that homes less takes some, although
//! it has work of its own. Both look at each slice's end and every 61st turn.
//!
//! Leaving is bounded, for the others may be stuck in user code. Of four turns two are the deque's;
//! `15 + ready` of them may be left until the deque was empty once. That is `30 + 2 * ready` turns,
//! after which each fourth takes the oldest of `unstarted`: together `30 + 2 * ready + 4 *
//! unstarted`, within the bound of `4 * (ready + unstarted) + 61`. Where nothing is ready, and the
//! threads that start come to wait for descriptors, as a server's do, all turns are left, for 8 ms
//! until the deque was empty once. To leave the next one again and again for as long as somebody
//! else takes one would start a thousand threads a second and no more.

use std::cell::Cell;
use std::cmp::Ordering;
use std::ptr::NonNull;
use std::sync::atomic;

use crate::clock;
use crate::sched::trials::Trials;
use crate::sched::worker::{Core, Remote};
use crate::task::Header;

/// How far from the share a worker is no concern, beside a sixteenth of the share.
const SLACK: u64 = 2;
/// A worker looks whether it homes too many at each new one up to so many, then at one in so many.
const EACH_UP_TO: u64 = 64;
const ONE_IN: u64 = 8;
/// How many deque turns may be left to others in any case.
const LEFT_TURNS: usize = 15;

/// For how long a worker without other work leaves its deque to others: they need some 20 µs to
/// come, unless the system lets them wait for a processor.
const MOMENT_NS: u64 = 1_000_000;
/// How many moments it leaves a deque that has not been empty since.
const MOMENTS_MAX: u32 = 8;
/// After moments in vain, a worker takes so many threads at once at most before it leaves the next.
const VAIN_MAX: u32 = 255;

/// How a worker has fared that left its deque to others.
#[derive(Default)]
pub(crate) struct Leave {
    /// When the present moment ends; 0: there is none.
    until_ns: Cell<u64>,
    /// What others had taken when it began.
    stolen: Cell<u64>,
    /// Which moments are begun at all.
    trials: Trials,
    /// The moments since the deque was empty.
    moments: Cell<u32>,
    /// Whether the thread that was taken last has come to wait for a descriptor. Such threads stay;
    /// where they merely compute, leaving the others alone evens out nothing.
    stays: Cell<bool>,
}

impl Core {
    /// Judges whether this worker homes more than its share; and if it homes less, takes unstarted
    /// threads from the one that homes most.
    pub(crate) fn judge_share(&self) {
        if self.compare_with_share() == Ordering::Less {
            self.take_from_the_fullest();
        }
    }

    /// The first half of that, when a thread has found its home here.
    #[inline]
    pub(super) fn note_new_home(&self) {
        let homed = self.homed.get();
        if homed < EACH_UP_TO || homed.is_multiple_of(ONE_IN) {
            self.compare_with_share();
        }
    }

    fn compare_with_share(&self) -> Ordering {
        let remotes = &self.shared.remotes;
        if remotes.len() == 1 {
            return Ordering::Equal;
        }
        let mine = homed(self.remote());
        let all: u64 = remotes.iter().map(homed).sum();
        let share = all / remotes.len() as u64;
        let far = share / 16 + SLACK;
        self.over_share.set(mine > share + far);
        match () {
            () if mine > share + far => Ordering::Greater,
            () if mine + far < share => Ordering::Less,
            () => Ordering::Equal,
        }
    }

    /// Hands an unstarted thread to the sleeping worker that homes least, from a worker that homes
    /// more than its share. False: nobody sleeps who homes less.
    ///
    /// To whom it is handed does not matter to the fairness of those who sleep: the worker that
    /// wakes for it puts it into its deque, where all can see it.
    #[cold]
    pub(super) fn hand_to_a_sleeper(&self, thread: NonNull<Header>) -> bool {
        let mine = self.homed.get();
        let others = self.shared.remotes.iter().filter(|other| other.mailbox.is_sleeping());
        let Some(least) = others.min_by_key(|other| homed(other)) else { return false };
        if homed(least) >= mine {
            return false;
        }
        // SAFETY: S1: it was made just now, and waits for whoever runs it.
        let pushed = unsafe { least.mailbox.push_to_a_sleeper(thread) };
        if pushed {
            least.mailbox.wake_owner();
        }
        pushed
    }

    #[cold]
    fn take_from_the_fullest(&self) {
        let others = self.shared.remotes.iter().enumerate();
        let with_work =
            others.filter(|(index, other)| *index != self.index && !other.stealer.is_empty());
        let Some((fullest, _)) = with_work.max_by_key(|(_, other)| homed(other)) else { return };
        if let Some(job) = self.steal_from(fullest) {
            // On the way nobody could see it: it counts as new work.
            self.offer(job);
        }
    }

    /// Whether a worker that homes more than its share and has nothing else to do leaves its deque
    /// to others for a moment still: they are awake and late, or have just been woken.
    #[cold]
    pub(crate) fn leaves_the_rest_to_others(&self) -> bool {
        let leaves = !self.deque.is_empty() && self.leaves_a_moment();
        if !leaves {
            self.leave.stays.set(false);
        }
        leaves
    }

    fn leaves_a_moment(&self) -> bool {
        let leave = &self.leave;
        if !leave.trials.takes_this_one() {
            return false;
        }
        let now = clock::now_ns();
        // ORDERING: Relaxed; a heuristic.
        let stolen = self.remote().stolen.load(atomic::Ordering::Relaxed);
        if leave.until_ns.get() == 0 {
            let moments = leave.moments.get() + 1;
            if moments > MOMENTS_MAX {
                return false;
            }
            leave.moments.set(moments);
            leave.until_ns.set(now + MOMENT_NS);
            leave.stolen.set(stolen);
            self.shared.pick_searcher();
            return true;
        }
        if now < leave.until_ns.get() {
            return true;
        }
        leave.until_ns.set(0);
        if stolen == leave.stolen.get() {
            leave.trials.note_vain(VAIN_MAX);
        } else {
            leave.trials.start_over();
        }
        false
    }

    /// The deque is empty: whatever was left to others, nobody has to wait for it.
    #[inline]
    pub(super) fn end_leave(&self) {
        self.left_turns.set(0);
        self.leave.moments.set(0);
        self.leave.until_ns.set(0);
    }

    /// Notes that `thread` is about to wait for a descriptor.
    #[inline]
    pub(crate) fn note_descriptor_wait(&self, thread: &Header) {
        // ORDERING: Relaxed; the thread's own worker writes it.
        if thread.mailbox.load(atomic::Ordering::Relaxed).is_null() {
            self.leave.stays.set(true);
        }
    }

    /// Whether this turn may be left to others, and if so, leaves it.
    pub(crate) fn leaves_turn_to_others(&self) -> bool {
        let (left, ready) = (self.left_turns.get(), self.ready.len());
        if ready == 0 {
            // If so, `leaves_the_rest_to_others` has the say.
            return self.leave.stays.get();
        }
        if left as usize >= LEFT_TURNS + ready {
            return false;
        }
        self.left_turns.set(left + 1);
        self.offered();
        true
    }
}

fn homed(remote: &Remote) -> u64 {
    // ORDERING: Relaxed; a heuristic.
    remote.counters.homed.load(atomic::Ordering::Relaxed)
}
