//! The rows, suite by suite.
#![forbid(unsafe_code)]

mod park;
mod spawn;
mod yields;

use crate::row::{Row, Scale};

/// The names by which suites are chosen.
pub(crate) const NAMES: [&str; 3] = ["yield", "spawn", "park"];

/// Every row of every suite.
pub(crate) fn all(scale: Scale) -> Vec<Row> {
    let mut rows = yields::rows(scale);
    rows.extend(spawn::rows(scale));
    rows.extend(park::rows(scale));
    rows
}
