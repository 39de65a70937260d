//! What a row of the tables is: one piece of work, how each peer does it, and what it must reach.
//!
//! Parent and child build the same list, and a child finds its cell by the names of row and peer.
//! One piece of work may give several figures (a median and a 99th percentile, say): each of them
//! is a [`Metric`] and has a table of its own. For all of them less is better. Nothing is measured
//! here, and building the list starts no runtime.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};

/// How large and how long the measurements are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) quick: bool,
}

impl Scale {
    /// How long one measurement shall take, where the amount of work can be chosen.
    pub(crate) fn target(self) -> Duration {
        Duration::from_millis(if self.quick { 30 } else { 150 })
    }

    /// `full`, or the smaller `quick`.
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// What a measurement gives: one figure per metric of its row, or why there are none. A figure
/// that does not apply to the peer is not a number.
pub(crate) type Outcome = Result<Vec<f64>, String>;

/// Work that every peer can do, written once for peers whose threads block and once for those
/// whose tasks are futures.
pub(crate) trait Game: Copy + Send + 'static {
    fn threads<P: Threads>(self) -> Outcome;
    fn tasks<P: Tasks>(self) -> Outcome;
}

/// One peer's part of a row.
pub(crate) struct Cell {
    /// The peer; what differs from the row's work follows after a comma.
    pub(crate) peer: &'static str,
    pub(crate) does: Does,
}

/// What a peer does in a row.
pub(crate) enum Does {
    /// The row's work.
    Work(Box<dyn Fn() -> Outcome>),
    /// The row's work, in the program that alone has this peer linked in.
    Elsewhere,
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// The peer that must be linked into a program of its own; see `elsewhere.rs`.
pub(crate) const OPEN_COROUTINE: &str = "open-coroutine";

/// A figure that the work gives.
#[derive(Clone)]
pub(crate) struct Metric {
    /// What distinguishes it from the other figures of its row; empty if it is the only one.
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) limits: Vec<Limit>,
    pub(crate) floor: Option<Floor>,
}

/// What sylvan's figure must not exceed.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) at_most: f64,
    /// The peers of which the best counts; if there are none, the limit is in the metric's unit.
    pub(crate) of: &'static [&'static str],
}

/// What the metric cannot fall below, whoever does the work.
#[derive(Clone, Copy)]
pub(crate) enum Floor {
    /// So many times the figures of these rows of the suite `floors`.
    Sum(&'static [(&'static str, f64)]),
    /// A figure, and what it is.
    Value(f64, &'static str),
    /// What this peer of the same row needs.
    Peer(&'static str),
}

/// One piece of work.
pub(crate) struct Row {
    pub(crate) suite: &'static str,
    /// Without the number of workers: rows that share it are one curve.
    pub(crate) title: String,
    /// How many workers each peer has; none where the row is not about a runtime.
    pub(crate) workers: Option<usize>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) cells: Vec<Cell>,
    /// After how long a child is ended.
    pub(crate) limit_s: u32,
}

impl Row {
    pub(crate) fn new(suite: &'static str, title: impl Into<String>) -> Row {
        Row {
            suite,
            title: title.into(),
            workers: None,
            metrics: Vec::new(),
            cells: Vec::new(),
            limit_s: 20,
        }
    }

    /// The name that no other row has.
    pub(crate) fn name(&self) -> String {
        let title = &self.title;
        match self.workers {
            None => title.clone(),
            Some(1) => format!("{title}, 1 worker"),
            Some(workers) => format!("{title}, {workers} workers"),
        }
    }

    pub(crate) fn workers(mut self, workers: usize) -> Row {
        self.workers = Some(workers);
        self
    }

    pub(crate) fn limit_s(mut self, limit_s: u32) -> Row {
        self.limit_s = limit_s;
        self
    }

    /// Adds the only figure.
    pub(crate) fn unit(self, unit: &'static str) -> Row {
        self.metric("", unit)
    }

    /// Adds one of several figures.
    pub(crate) fn metric(mut self, name: &'static str, unit: &'static str) -> Row {
        self.metrics.push(Metric { name, unit, limits: Vec::new(), floor: None });
        self
    }

    /// Says what the metric that was added last must reach.
    pub(crate) fn limit(mut self, at_most: f64, of: &'static [&'static str]) -> Row {
        let metric = self.metrics.last_mut().expect("a limit follows its metric");
        metric.limits.push(Limit { at_most, of });
        self
    }

    /// As [`Row::limit`], if this is the row that the limit was set for.
    pub(crate) fn limit_if(self, is: bool, at_most: f64, of: &'static [&'static str]) -> Row {
        if is { self.limit(at_most, of) } else { self }
    }

    /// Says what the metric that was added last cannot fall below.
    pub(crate) fn floor(mut self, floor: Floor) -> Row {
        self.metrics.last_mut().expect("a floor follows its metric").floor = Some(floor);
        self
    }

    /// Adds a peer, or replaces what it was to do.
    pub(crate) fn peer(self, peer: &'static str, measure: impl Fn() -> Outcome + 'static) -> Row {
        self.cell(peer, Does::Work(Box::new(measure)))
    }

    /// Has a peer stay out, with the reason.
    pub(crate) fn without(self, peer: &'static str, reason: &'static str) -> Row {
        self.cell(peer, Does::Nothing(reason))
    }

    /// Adds the peer that is measured by another program, or replaces what it was to do.
    pub(crate) fn open_coroutine(self) -> Row {
        self.cell(OPEN_COROUTINE, Does::Elsewhere)
    }

    /// Adds tokio on the kernel thread of its caller, if the row has one worker. Follows `workers`.
    pub(crate) fn tokio_current(self, measure: impl Fn() -> Outcome + 'static) -> Row {
        match self.workers {
            Some(1) => self.peer("tokio current thread", measure),
            _ => self.without("tokio current thread", "does not apply: it has one worker"),
        }
    }

    fn cell(mut self, peer: &'static str, does: Does) -> Row {
        match self.cells.iter_mut().find(|cell| cell.peer == peer) {
            Some(cell) => cell.does = does,
            None => self.cells.push(Cell { peer, does }),
        }
        self
    }

    /// Adds every peer that runs threads or tasks. Follows `workers`.
    pub(crate) fn everyone(self, game: impl Game) -> Row {
        self.peer("sylvan", move || game.threads::<Sylvan>())
            .peer("may", move || game.threads::<May>())
            .peer("tokio", move || game.tasks::<TokioMulti>())
            .tokio_current(move || game.tasks::<TokioCurrent>())
            .peer("smol", move || game.tasks::<Smol>())
            .without(OPEN_COROUTINE, "does not apply: its threads can only end or sleep")
            .peer("std", move || game.threads::<Std>())
    }
}
