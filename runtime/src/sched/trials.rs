//! How often a worker does what may be in vain: a wake of another worker, a spin before a sleep,
//! a moment in which work is left to others.
//!
//! Nobody knows beforehand whether it will pay, but the last time tells: after one in vain so many
//! occasions pass by before the next, first one, then twice as many each time.
#![forbid(unsafe_code)]

use std::cell::Cell;

/// Decides which occasions are taken. HOME-ONLY.
#[derive(Default)]
pub(crate) struct Trials {
    /// How many occasions still pass by.
    left: Cell<u32>,
    /// How many there were after the last trial.
    distance: Cell<u32>,
}

impl Trials {
    /// Whether this occasion is to be taken; if not, it passes by.
    #[inline]
    pub(crate) fn takes_this_one(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left == 0
    }

    /// A trial was in vain: twice as many occasions pass by as after the last one, but no more than
    /// `most`.
    pub(crate) fn note_vain(&self, most: u32) {
        self.pass_by((self.distance.get() * 2 + 1).min(most));
    }

    /// A trial has paid: half as many pass by.
    pub(crate) fn note_paid(&self) {
        self.pass_by(self.distance.get() / 2);
    }

    /// Takes the next one in any case.
    pub(crate) fn start_over(&self) {
        self.pass_by(0);
    }

    fn pass_by(&self, occasions: u32) {
        self.distance.set(occasions);
        self.left.set(occasions);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn passed_by(trials: &Trials) -> usize {
        (0..).take_while(|_| !trials.takes_this_one()).count()
    }

    #[test]
    fn distance_doubles_after_vain_trials_and_halves_after_those_that_paid() {
        let trials = Trials::default();
        assert_eq!(passed_by(&trials), 0);
        let vain = [(); 4].map(|()| {
            trials.note_vain(10);
            passed_by(&trials)
        });
        assert_eq!(vain, [1, 3, 7, 10]);
        let paid = [(); 5].map(|()| {
            trials.note_paid();
            passed_by(&trials)
        });
        assert_eq!(paid, [5, 2, 1, 0, 0]);
        trials.note_vain(10);
        trials.start_over();
        assert_eq!(passed_by(&trials), 0);
    }
}
