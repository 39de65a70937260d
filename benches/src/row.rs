//! What a row of the table is: one piece of work, and how each peer does it.
//!
//! Parent and child build the same list, and a child finds its cell by the names of row and peer.
//! Nothing is measured here, and building the list starts no runtime.
#![forbid(unsafe_code)]

use std::time::Duration;

/// How large and how long the measurements are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) quick: bool,
}

impl Scale {
    /// The scale that the command line asks for.
    pub(crate) fn of(words: &[&str]) -> Scale {
        Scale { quick: words.contains(&"--quick") }
    }

    /// How long one measurement shall take, where the amount of work can be chosen.
    pub(crate) fn target(self) -> Duration {
        Duration::from_millis(if self.quick { 30 } else { 150 })
    }

    /// `full`, or the smaller `quick`.
    pub(crate) fn pick(self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }
}

/// A measurement in the child: nanoseconds per unit, or why there are none.
pub(crate) type Measure = Box<dyn Fn() -> Result<f64, String>>;

/// One peer's part of a row.
pub(crate) struct Cell {
    /// The peer; what differs from the row's size follows after a comma.
    pub(crate) peer: &'static str,
    pub(crate) does: Does,
}

/// What a peer does in a row.
pub(crate) enum Does {
    /// The row's work.
    Work(Measure),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// One piece of work.
pub(crate) struct Row {
    pub(crate) suite: &'static str,
    pub(crate) name: String,
    /// What one unit of the figure is.
    pub(crate) unit: &'static str,
    pub(crate) cells: Vec<Cell>,
}

impl Row {
    pub(crate) fn new(suite: &'static str, name: impl Into<String>, unit: &'static str) -> Row {
        Row { suite, name: name.into(), unit, cells: Vec::new() }
    }

    /// Adds a peer that does the work.
    pub(crate) fn peer(
        mut self,
        peer: &'static str,
        measure: impl Fn() -> Result<f64, String> + 'static,
    ) -> Row {
        self.cells.push(Cell { peer, does: Does::Work(Box::new(measure)) });
        self
    }

    /// Adds a peer that cannot, with the reason.
    pub(crate) fn without(mut self, peer: &'static str, reason: &'static str) -> Row {
        self.cells.push(Cell { peer, does: Does::Nothing(reason) });
        self
    }
}
