//! The choices that a scheduler is free to make, behind one trait.
//!
//! Production answers from cheap counters; a seeded run answers from its seed, and is otherwise
//! the same code. The worker and its loop are generic over this trait, so that production pays
//! nothing for the door.

/// Where a turn looks first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// Started threads that can run.
    Ready,
    /// The unstarted thread that was spawned last: its data is warm.
    Young,
    /// The unstarted thread that has waited longest.
    Old,
}

/// See the file's comment.
pub(crate) trait Choices: Default + 'static {
    /// Where turn number `turn` looks first.
    fn source(&self, turn: u64) -> Source;

    /// Which of `count` victims a search begins with.
    fn first_victim(&self, count: usize) -> usize;
}

/// What production chooses.
#[derive(Default)]
pub(crate) struct Production {
    random: std::cell::Cell<u64>,
}

impl Choices for Production {
    /// Of four turns two take the ready queue, one each end of the deque. Taking only the young
    /// end would leave the oldest thread for ever, under a chain of spawns.
    #[inline]
    fn source(&self, turn: u64) -> Source {
        match turn & 3 {
            1 => Source::Young,
            3 => Source::Old,
            _ => Source::Ready,
        }
    }

    /// A xorshift step (Marsaglia 2003); all workers starting with the same victim would collide.
    fn first_victim(&self, count: usize) -> usize {
        let mut x = self.random.get();
        if x == 0 {
            x = std::ptr::from_ref(self).addr() as u64 | 1;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        (x % count as u64) as usize
    }
}
