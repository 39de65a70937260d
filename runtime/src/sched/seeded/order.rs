//! In which order the ready threads of a seeded run go on.
//!
//! Beside the worker's ready queue, which knows only threads, stands a queue of the same length:
//! since when each has been ready, and under PCT its priority. New ones are met before each
//! choice, at the back of both; what one queue gives up, the other does.
#![forbid(unsafe_code)]

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;

use crate::sched::random::Random;
use crate::sched::worker::Core;

/// How a seeded run chooses who goes on.
///
/// # Source
///
/// PCT: S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, "A Randomized Scheduler with
/// Probabilistic Guarantees of Finding Bugs", ASPLOS 2010.
///
/// # Examples
///
/// ```
/// use sylvan::testing::Strategy;
///
/// assert_eq!("pct:5".parse(), Ok(Strategy::Pct { depth: 5 }));
/// assert_eq!(Strategy::Random.to_string(), "random");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// At each turn any of those that can run, each as likely as the other.
    ///
    /// Good at what needs many switches in a short time, and the default.
    #[default]
    Random,
    /// Each thread has a random priority, the highest of those that can run goes on, and at few
    /// random points the one that runs is put behind all others.
    ///
    /// Good at what needs few switches at the right places: one thread far ahead of another. A
    /// bug that `depth` events in a certain order bring about needs `depth - 1` such points. A
    /// thread that yields by itself is put behind the others too, for it may be waiting for them.
    Pct {
        /// How many events must meet for the bug; 1 to 64, and 3 where none is given.
        depth: u32,
    },
}

/// The depth of `"pct"`.
const DEPTH_DEFAULT: u32 = 3;
const DEPTH_MAX: u32 = 64;

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Random => f.write_str("random"),
            Strategy::Pct { depth } => write!(f, "pct:{depth}"),
        }
    }
}

/// A text is no strategy.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ParseStrategyError {
    text: String,
}

impl fmt::Display for ParseStrategyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no strategy; accepted: random, pct, and pct:1 to pct:{DEPTH_MAX}, in any case",
            self.text
        )
    }
}

impl std::error::Error for ParseStrategyError {}

impl FromStr for Strategy {
    type Err = ParseStrategyError;

    /// Reads `random`, `pct`, or `pct:` and a depth, in any case.
    ///
    /// # Errors
    ///
    /// For any other text; the message repeats it and says what is accepted.
    fn from_str(text: &str) -> Result<Strategy, ParseStrategyError> {
        let refused = || ParseStrategyError { text: text.to_owned() };
        match text.to_ascii_lowercase().as_str() {
            "random" => Ok(Strategy::Random),
            "pct" => Ok(Strategy::Pct { depth: DEPTH_DEFAULT }),
            other => {
                let depth = other.strip_prefix("pct:").and_then(|depth| depth.parse().ok());
                let depth = depth.filter(|depth| (1..=DEPTH_MAX).contains(depth));
                depth.map(|depth| Strategy::Pct { depth }).ok_or_else(refused)
            }
        }
    }
}

/// See the file's comment.
pub(crate) struct Order {
    strategy: Strategy,
    /// In the order in which they were met, so their numbers rise.
    entries: VecDeque<Entry>,
    met: u64,
    /// Under PCT, priorities with the numbers of their entries. What has left the entries is taken
    /// out when it comes to the top.
    by_priority: BinaryHeap<(u64, u64)>,
    priorities: Priorities,
}

struct Entry {
    /// How many were met before it.
    number: u64,
    /// The turn at which the thread was met in the ready queue.
    since: u64,
}

/// PCT's part.
struct Priorities {
    random: Random,
    /// Priorities of those that were put behind the others.
    lowered: HashMap<u64, u64>,
    /// The next such priority. They fall, so the one that was put back last is last.
    next_low: u64,
    /// Switch points reached so far, and those at which somebody is put back.
    step: u64,
    change_points: Vec<u64>,
}

/// How many priorities without an entry are kept in any case.
const STALE_MAX: usize = 1024;
/// Priorities that were drawn lie above all that were lowered.
const DRAWN: u64 = 1 << 63;

impl Order {
    pub(crate) fn new(strategy: Strategy, random: Random) -> Order {
        let change_points = match strategy {
            Strategy::Random => Vec::new(),
            Strategy::Pct { depth } => (1..depth).map(|_| change_point(&random)).collect(),
        };
        let priorities = Priorities {
            random,
            lowered: HashMap::new(),
            next_low: DRAWN - 1,
            step: 0,
            change_points,
        };
        Order {
            strategy,
            entries: VecDeque::new(),
            met: 0,
            by_priority: BinaryHeap::new(),
            priorities,
        }
    }

    pub(crate) fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Meets the threads that have come to the worker's ready queue since the last time.
    pub(crate) fn meet(&mut self, core: &Core) {
        while self.entries.len() < core.ready.len() {
            let thread = core.ready.number_at(self.entries.len());
            if let (Strategy::Pct { .. }, Some(thread)) = (self.strategy, thread) {
                self.by_priority.push((self.priorities.of(thread), self.met));
            }
            self.entries.push_back(Entry { number: self.met, since: core.turns.get() });
            self.met += 1;
        }
    }

    /// Since which turn the oldest has been ready.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.since)
    }

    /// Which thread goes on, of at least one.
    pub(crate) fn choose(&mut self, random: &Random) -> usize {
        match (self.strategy, self.entries.len()) {
            (_, 1) => 0,
            (Strategy::Random, count) => random.below(count as u64) as usize,
            (Strategy::Pct { .. }, _) => self.highest().map_or(0, |(_, index)| index),
        }
    }

    /// The highest priority of all entries, and where its entry stands.
    fn highest(&mut self) -> Option<(u64, usize)> {
        loop {
            let &(priority, number) = self.by_priority.peek()?;
            match self.entries.binary_search_by_key(&number, |entry| entry.number) {
                Ok(index) => return Some((priority, index)),
                Err(_) => self.by_priority.pop(),
            };
        }
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.entries.remove(index);
        if self.by_priority.len() > 2 * self.entries.len() + STALE_MAX {
            // Those that went first because they were overdue have left their priorities behind.
            let entries = &self.entries;
            self.by_priority.retain(|(_, number)| {
                entries.binary_search_by_key(number, |entry| entry.number).is_ok()
            });
        }
    }

    /// Puts a thread behind all others.
    pub(crate) fn put_last(&mut self, number: u64) {
        if self.strategy != Strategy::Random {
            self.priorities.put_last(number);
        }
    }

    /// Counts a switch point that thread `number` has reached; whether somebody goes before it now.
    pub(crate) fn yields_at_step(&mut self, number: u64) -> bool {
        let priorities = &mut self.priorities;
        priorities.step += 1;
        if priorities.change_points.contains(&priorities.step) {
            priorities.put_last(number);
        }
        let own = priorities.of(number);
        self.highest().is_some_and(|(highest, _)| highest > own)
    }
}

impl Priorities {
    fn of(&self, number: u64) -> u64 {
        match self.lowered.get(&number) {
            Some(&low) => low,
            // By the number, not by the order in which threads are met: a choice that differs
            // early on then leaves the priorities as they are.
            None => self.random.split(number).number() | DRAWN,
        }
    }

    fn put_last(&mut self, number: u64) {
        self.lowered.insert(number, self.next_low);
        self.next_low -= 1;
    }
}

/// After how many switch points somebody is put back.
///
/// The paper draws it from the length of the run, which nobody knows beforehand, and to learn it
/// from earlier seeds would make a seed's run depend on them. So the order of magnitude is drawn
/// first, from 8 to 8192: a short run and a long one are both hit, at the price of a factor of
/// eleven.
fn change_point(random: &Random) -> u64 {
    let magnitude = 3 + random.below(11);
    1 + random.below(1 << magnitude)
}
