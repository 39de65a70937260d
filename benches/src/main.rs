//! Measures sylvan and its peers side by side, so that "fast" is a ratio that anyone can repeat.
//!
//! `cargo bench -p sylvan-bench -- [SUITE…] [--quick] [--rounds=N]` plays every row of the named
//! suites (all, if none is named) in rounds: in each round each peer has one turn, in a process of
//! its own. So runtimes do not meet, one that crashes or hangs spoils one cell, and load from
//! elsewhere falls on all peers alike. A table goes to stdout, the same figures as JSON to
//! `target/sylvan-bench.json`. `callgrind WHAT N` runs one loop of sylvan's alone, to be counted
//! by valgrind; see README.md.
//!
//! A row must never compare different work: what one peer does, every peer of the row does, and
//! where a peer cannot, the row says so instead of showing a figure.

mod counted;
mod measure;
mod report;
mod row;
mod runner;
mod suites;
mod tasks;
mod threads;

use std::process::ExitCode;

use row::Scale;

const USAGE: &str = "\
usage: cargo bench -p sylvan-bench -- [SUITE...] [--quick] [--rounds=N]
       cargo bench -p sylvan-bench -- callgrind WHAT N
  SUITE     yield, spawn or park; all of them if none is named
  --quick   short measurements and smaller sizes, three rounds
  --rounds  rounds to play, at least 1; 5 unless said
  WHAT      yield, yield-deep, spawn, spawn-all, park, join or scope; N: how many of them";

fn main() -> ExitCode {
    // Cargo passes `--bench` to every bench that has no harness.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["measure", row, peer, rest @ ..] => measure::one(row, peer, Scale::of(rest)),
        ["callgrind", what, count] => counted::run(what, count),
        options => runner::run(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("sylvan-bench: {message}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}
