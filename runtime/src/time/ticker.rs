//! Ticks: something that shall be done once a period, without drift.
//!
//! A loop that sleeps for a period after each round comes later each time, by what the round took
//! and by what the wake was late, and soon by whole periods. So a ticker keeps the instant at which
//! the next tick is due, and counts the one after it from there; what a thread was late is never
//! added up. What shall become of ticks that a thread was too late for is the program's to say.
//!
//! A ticker is an instant and no timer: nothing is armed between two ticks and nothing runs, so it
//! may be moved to any thread, forgotten, and dropped. It must never wait by itself: the wait is
//! that of `thread::sleep_until`, with all that ends one.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::clock;
use crate::thread;

/// What a [`Ticker`] does about ticks that its thread was too late for.
///
/// With a period of 10, for a thread that takes the first tick in time and comes for the next one
/// at 35:
///
/// | | at 10 | at 35 | at once | then |
/// |---|---|---|---|---|
/// | `Skip` | 10 | 30 | – | 40 at 40 |
/// | `Burst` | 10 | 20 | 30 | 40 at 40 |
/// | `Delay` | 10 | 20 | – | 45 at 45 |
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum MissedTicks {
    /// Gives the latest tick that is due and drops those before it. The phase is kept.
    ///
    /// The default, for who comes late is busy, and owes nobody the rounds that were left out: a
    /// look at a queue, a report, a heartbeat is worth doing once, and as many of them as were
    /// missed, at the very moment at which the program has fallen behind, do harm.
    #[default]
    Skip,
    /// Gives all of them, one after another without a wait, until the thread has caught up.
    ///
    /// For what goes by the number of ticks: steps of a simulation, samples, a quota that is
    /// filled up by each of them. A thread whose rounds take longer than the period for good never
    /// catches up.
    Burst,
    /// Gives one, and counts the next period from when that was taken. The phase moves.
    ///
    /// For what needs rest between two rounds. Late is who asks for a tick after it was due, by
    /// however little, and who asked in time but got to run so late that the next one was due as
    /// well. Lateness of a wake below that moves no phase, or each tick would.
    Delay,
}

/// A source of ticks: one each period, for a thread that waits for them.
///
/// To wait for ticks and messages at the same time take [`channel::tick`](crate::channel::tick).
///
/// # Examples
///
/// ```
/// use sylvan::thread;
/// use sylvan::time::{self, Duration, MissedTicks, Ticker};
///
/// // Time is virtual here, so this takes none.
/// sylvan::testing::run_seeded(1, || {
///     let minute = Duration::from_secs(60);
///     let begun = time::now();
///     let mut ticker = Ticker::new(minute);
///     assert_eq!(ticker.tick(), begun + minute);
///
///     // A round that takes three and a half minutes: two ticks are dropped.
///     thread::sleep(minute * 7 / 2);
///     assert_eq!(ticker.tick(), begun + 4 * minute);
///     assert_eq!(ticker.tick(), begun + 5 * minute);
///     assert_eq!(time::now(), begun + 5 * minute);
///
///     // Who needs each of them says so.
///     let mut ticker = Ticker::new(minute).missed(MissedTicks::Burst);
///     thread::sleep(minute * 7 / 2);
///     for number in 1..=4 {
///         assert_eq!(ticker.tick(), begun + (5 + number) * minute);
///     }
/// });
/// ```
#[derive(Debug)]
pub struct Ticker {
    /// When the next tick is due; `None`: at no instant that there is.
    next: Option<Instant>,
    period: Duration,
    missed: MissedTicks,
}

impl Ticker {
    /// Makes a ticker whose first tick is due one period from now.
    ///
    /// # Units
    ///
    /// Any period but zero. Ticks are exact to the nanosecond, waits for them to what
    /// [`thread::sleep`] is exact to; with a shorter period several are due at once. A period that
    /// leads beyond what an [`Instant`] can hold has no tick.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    pub fn new(period: Duration) -> Ticker {
        expect_period("new", period);
        Ticker { next: clock::deadline_in(period), period, missed: MissedTicks::default() }
    }

    /// Makes a ticker whose first tick is due at `first`, which may lie in the past.
    ///
    /// So the phase can be chosen, and tickers can share one. In the past `first` is a tick for
    /// which the thread is late.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::time::{self, Duration, Ticker};
    ///
    /// let begun = time::now();
    /// let mut ticker = Ticker::starting_at(begun, Duration::from_secs(3600));
    /// // Due at once.
    /// assert_eq!(ticker.tick(), begun);
    /// ```
    #[track_caller]
    pub fn starting_at(first: Instant, period: Duration) -> Ticker {
        expect_period("starting_at", period);
        Ticker { next: Some(first), period, missed: MissedTicks::default() }
    }

    /// Says what becomes of ticks that the thread is too late for. If it is not said:
    /// [`MissedTicks::Skip`].
    #[must_use = "the ticker is handed on"]
    pub fn missed(self, missed: MissedTicks) -> Ticker {
        Ticker { missed, ..self }
    }

    /// Waits for the next tick, and returns the instant at which it was due.
    ///
    /// # Blocking
    ///
    /// As [`thread::sleep_until`]. A tick that is due is given without a wait, after other threads
    /// may have run. A cancellation or a deadline ends the wait by unwinding; the tick stays, for
    /// whoever goes on with the ticker. Beyond the last instant that there is it waits for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::time::{self, Duration, Ticker};
    ///
    /// sylvan::testing::run_seeded(1, || {
    ///     let begun = time::now();
    ///     let mut ticker = Ticker::new(Duration::from_millis(20));
    ///     for number in 1..=3 {
    ///         assert_eq!(ticker.tick(), begun + number * Duration::from_millis(20));
    ///     }
    ///     assert_eq!(time::now(), begun + Duration::from_millis(60));
    /// });
    /// ```
    // SUSPENDS
    #[track_caller]
    pub fn tick(&mut self) -> Instant {
        let Some(due) = self.next else {
            loop {
                thread::sleep(Duration::MAX);
            }
        };
        let asked = clock::now();
        thread::sleep_until(due);
        let taken = clock::now();
        let late = taken.saturating_duration_since(due);
        let (given, from) = match self.missed {
            MissedTicks::Skip if late >= self.period => {
                let latest = taken - remainder(late, self.period);
                (latest, latest)
            }
            MissedTicks::Delay if asked > due || late >= self.period => (due, taken),
            _ => (due, due),
        };
        // After the wait, so that one which unwinds leaves the ticker as it was.
        self.next = from.checked_add(self.period);
        given
    }

    /// Returns the period.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Begins anew: the next tick is due one period from now, whatever was due before.
    pub fn reset(&mut self) {
        self.next = clock::deadline_in(self.period);
    }
}

#[track_caller]
fn expect_period(function: &str, period: Duration) {
    assert!(
        !period.is_zero(),
        "Ticker::{function}: a period of {period:?} is not valid; accepted: 1ns to Duration::MAX"
    );
}

/// What is left of `whole` when `part` is taken away as often as it can be.
fn remainder(whole: Duration, part: Duration) -> Duration {
    const NS_PER_SECOND: u128 = 1_000_000_000;
    let left_ns = whole.as_nanos() % part.as_nanos();
    let seconds = (left_ns / NS_PER_SECOND) as u64;
    Duration::new(seconds, (left_ns % NS_PER_SECOND) as u32)
}
