//! What happened in a seeded run, switch by switch: for comparing two runs, and for people.
#![forbid(unsafe_code)]

use std::fmt;
use std::panic::Location;

use crate::task::WaitKind;

/// The course of a seeded run: each turn, and how it ended.
///
/// Two runs of the same program under the same seed have equal traces. `Display` writes a line for
/// each step, with the thread's number and where it was spawned.
#[derive(Clone, Debug)]
pub struct Trace {
    keeps: bool,
    steps: Vec<Step>,
    count: u64,
    fingerprint: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) turn: u64,
    /// Whose step it is: its number, and where it was spawned; `None`: the run's own.
    pub(crate) thread: Option<(u64, &'static Location<'static>)>,
    pub(crate) what: What,
}

/// What a step is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Starts,
    StartsInPlace,
    Resumes,
    /// It goes on with what is left of the slice of the thread that it has joined.
    ResumesAsHeir,
    Yields,
    Waits(WaitKind),
    WakesForNothing,
    /// The virtual clock shows so many nanoseconds now.
    TimeMoves(u64),
    /// Nothing can move any more.
    CannotMove,
}

impl Trace {
    pub(crate) fn new(keeps: bool) -> Trace {
        Trace { keeps, steps: Vec::new(), count: 0, fingerprint: FINGERPRINT_START }
    }

    pub(crate) fn push(&mut self, step: Step) {
        let (kind, detail) = match step.what {
            What::Starts => (1, 0),
            What::StartsInPlace => (2, 0),
            What::Resumes => (3, 0),
            What::ResumesAsHeir => (4, 0),
            What::Yields => (5, 0),
            What::Waits(kind) => (6, kind as u64),
            What::WakesForNothing => (7, 0),
            What::TimeMoves(elapsed_ns) => (8, elapsed_ns),
            What::CannotMove => (9, 0),
        };
        let thread = step.thread.map_or(u64::MAX, |(number, _)| number);
        for word in [step.turn, thread, kind, detail] {
            self.fingerprint = (self.fingerprint ^ word).wrapping_mul(FINGERPRINT_PRIME);
            self.fingerprint ^= self.fingerprint >> 29;
        }
        self.count += 1;
        if self.keeps {
            self.steps.push(step);
        }
    }

    /// Returns how many steps the run took.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Returns whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns a number for the whole course; two runs that differ in a step differ in it too,
    /// save once in 2^64 times.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The last `count` steps, a line each.
    pub(crate) fn tail(&self, count: usize) -> String {
        let first = self.steps.len().saturating_sub(count);
        self.steps[first..].iter().map(|step| format!("{step}\n")).collect()
    }
}

impl PartialEq for Trace {
    fn eq(&self, other: &Trace) -> bool {
        self.count == other.count && self.fingerprint == other.fingerprint
    }
}

impl Eq for Trace {}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tail(usize::MAX))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {}: ", self.turn)?;
        if let Some((number, site)) = self.thread {
            write!(f, "thread {number} ({site}) ")?;
        }
        match self.what {
            What::Starts => f.write_str("starts"),
            What::StartsInPlace => {
                f.write_str("starts on the stack of the thread that waits for it")
            }
            What::Resumes => f.write_str("goes on"),
            What::ResumesAsHeir => f.write_str("goes on right after the thread that it has joined"),
            What::Yields => f.write_str("yields"),
            What::Waits(kind) => write!(f, "waits: {}", kind.describe()),
            What::WakesForNothing => f.write_str("is woken for nothing"),
            What::CannotMove => f.write_str("nothing can move any more; all threads are cancelled"),
            What::TimeMoves(elapsed_ns) => {
                let elapsed = std::time::Duration::from_nanos(elapsed_ns);
                write!(f, "the clock moves to {elapsed:?} after the beginning")
            }
        }
    }
}

/// The constants of FNV-1a, which is all that a comparison needs.
const FINGERPRINT_START: u64 = 0xcbf2_9ce4_8422_2325;
const FINGERPRINT_PRIME: u64 = 0x0100_0000_01b3;
