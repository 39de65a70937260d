//! Measures sylvan and its peers side by side, so that "fast" is a ratio that anyone can repeat.
//!
//! `cargo bench -p sylvan-bench -- [SUITE…] [--quick]` plays every row of the named suites (all, if
//! none is named) in rounds: in each round each peer has one turn, in a process of its own. So
//! runtimes do not meet, one that crashes or hangs spoils one cell, and load from elsewhere falls
//! on all peers alike. Tables go to stdout, the same figures as JSON and as an SVG chart to a
//! folder. See README.md beside this package's manifest for rows, peers and their settings.
//!
//! A row must never compare different work: what one peer does, every peer of the row does, and
//! where a peer cannot, the row says so instead of showing a figure.

mod child;
mod command;
mod counted;
mod elsewhere;
mod load;
mod machine;
mod measure;
mod pace;
mod peers;
mod process;
mod race;
mod random;
mod report;
mod results;
mod row;
mod runner;
mod stats;
mod suites;
mod toil;
mod wire;

use std::process::ExitCode;

/// Carries out the command line.
pub fn main() -> ExitCode {
    command::main()
}
