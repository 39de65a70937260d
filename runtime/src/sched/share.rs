//! Who homes how many: threads never move once they have started, so where they start decides how
//! evenly the workers are loaded until they end.
//!
//! Only started threads that wait and go on are a lasting load; so what is compared is how many of
//! these each worker homes. A worker that homes more than its share leaves unstarted threads where
//! others can take them, as long as it has other work; and one that homes less takes some, although
//! it has work of its own. Both look at each slice's end and every 61st turn.
//!
//! Leaving is bounded, for the others may be stuck in user code. Of four turns two are the deque's;
//! `15 + ready` of them may be left until the deque was empty once. That is `30 + 2 * ready` turns,
//! after which each fourth takes the oldest of `unstarted`: together `30 + 2 * ready + 4 *
//! unstarted`, within the bound of `4 * (ready + unstarted) + 61`.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;

use crate::sched::worker::{Core, Remote};

/// How far from the share a worker is no concern, beside a sixteenth of the share.
const SLACK: u64 = 4;
/// How many deque turns may be left to others in any case.
const LEFT_TURNS: usize = 15;

impl Core {
    /// Judges whether this worker homes more than its share; and if it homes less, takes unstarted
    /// threads from the one that homes most.
    pub(crate) fn judge_share(&self) {
        let remotes = &self.shared.remotes;
        if remotes.len() == 1 {
            return;
        }
        let mine = homed(self.remote());
        let all: u64 = remotes.iter().map(homed).sum();
        let share = all / remotes.len() as u64;
        let far = share / 16 + SLACK;
        self.over_share.set(mine > share + far);
        if mine + far < share {
            self.take_from_the_fullest();
        }
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

    /// Whether this turn may be left to others, and if so, leaves it.
    pub(crate) fn leaves_turn_to_others(&self) -> bool {
        let (left, ready) = (self.left_turns.get(), self.ready.len());
        if ready == 0 || left as usize >= LEFT_TURNS + ready {
            return false;
        }
        self.left_turns.set(left + 1);
        self.offered();
        true
    }
}

fn homed(remote: &Remote) -> u64 {
    // ORDERING: Relaxed; a heuristic.
    remote.counters.homed.load(Ordering::Relaxed)
}
