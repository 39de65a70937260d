//! The command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use crate::row::Scale;
use crate::{counted, load, measure, report, runner, suites, wire};

const USAGE: &str = "\
usage: cargo bench -p sylvan-bench -- [SUITE...] [--quick] [--rounds=N] [--workers=N,N...]
                                      [--plain] [--open-coroutine] [--out=FOLDER]
       cargo bench -p sylvan-bench -- list
       cargo bench -p sylvan-bench -- summary FILE [--peers] [--into=FILE]
       cargo bench -p sylvan-bench -- chart FILE
       cargo bench -p sylvan-bench -- compare BEFORE AFTER [--at-most=RATIO]
       cargo bench -p sylvan-bench -- callgrind WHAT N
  SUITE      one of those that `list` prints; all of them if none is named
  --quick    short measurements and smaller sizes, three rounds
  --rounds   rounds to play, at least 1; 5 unless said
  --workers  numbers of workers for the rows that scale; without it 2 if --quick, else those of
             1, 2, 4, 8, 16 that the machine has processors for
  --plain    sylvan alone, built with and without LTO, side by side
  --open-coroutine
             builds the program that has this peer, which takes some minutes once
  --out      where figures.json and chart.svg go; sylvan-bench in Cargo's target folder
  summary    prints the limits and what was reached as Markdown, or with --peers how much more the
             peers take, or writes it into FILE
  chart      prints the SVG chart of the figures in FILE
  compare    prints how sylvan's figures changed, and fails if one grew beyond RATIO
  callgrind  one loop of sylvan's alone, for valgrind: yield, yield-deep, spawn, spawn-all, park,
             join, scope, send, rendezvous or block-on; N: how many of them";

/// What a run shall do.
pub(crate) struct Options {
    pub(crate) suites: Vec<String>,
    pub(crate) scale: Scale,
    pub(crate) rounds: usize,
    pub(crate) workers: Vec<usize>,
    pub(crate) plain: bool,
    pub(crate) open_coroutine: bool,
    pub(crate) out: Option<PathBuf>,
    /// The words themselves.
    pub(crate) words: String,
}

pub(crate) fn main() -> ExitCode {
    // Cargo passes `--bench` to every bench that has no harness.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match carry_out(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("sylvan-bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(words: &[&str]) -> Result<(), String> {
    match words {
        ["measure", row, peer, rest @ ..] => {
            let options = parse(rest)?;
            measure::one(row, peer, options.scale, &options.workers)
        }
        ["serve", rest @ ..] => wire::serve::command(rest),
        ["callgrind", what, count] => counted::run(what, count),
        ["list"] => {
            println!("{}", suites::NAMES.join("\n"));
            Ok(())
        }
        ["summary", file, rest @ ..] => report::summary::command(file, rest),
        ["chart", file] => report::chart::command(file),
        ["compare", before, after, rest @ ..] => report::compare::command(before, after, rest),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        options => runner::run(&parse(options)?),
    }
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let quick = words.contains(&"--quick");
    let mut options = Options {
        suites: Vec::new(),
        scale: Scale { quick },
        rounds: if quick { 3 } else { 5 },
        workers: usual_workers(quick),
        plain: false,
        open_coroutine: false,
        out: None,
        words: words.join(" "),
    };
    for &word in words {
        if let Some(rounds) = word.strip_prefix("--rounds=") {
            options.rounds = number(rounds)?;
        } else if let Some(workers) = word.strip_prefix("--workers=") {
            options.workers = workers.split(',').map(number).collect::<Result<_, _>>()?;
        } else if let Some(folder) = word.strip_prefix("--out=") {
            options.out = Some(PathBuf::from(folder));
        } else if word == "--plain" {
            options.plain = true;
        } else if word == "--open-coroutine" {
            options.open_coroutine = true;
        } else if suites::NAMES.contains(&word) {
            options.suites.push(word.to_owned());
        } else if word != "--quick" {
            return Err(format!("there is no suite or option '{word}'\n{USAGE}"));
        }
    }
    Ok(options)
}

fn number(word: &str) -> Result<usize, String> {
    let number = word.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("'{word}' is no number above zero"))
}

/// Two are always among them, for that is what most limits are about.
fn usual_workers(quick: bool) -> Vec<usize> {
    let processors = load::processors();
    let fits = |count: &usize| *count == 2 || (!quick && *count <= processors);
    [1, 2, 4, 8, 16].into_iter().filter(fits).collect()
}
