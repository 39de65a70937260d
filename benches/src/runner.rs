//! The parent: plays rows in rounds, each measurement in a child process.
//!
//! Peers alternate within a round, so that a disturbance meets all of them, and the order turns
//! from round to round, so that none is always first. A cell that has failed once is not played
//! again. Nothing else of the suite runs while a child measures: the parent waits in a read.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::measure::LIMIT_S;
use crate::report::{self, Figures, Line};
use crate::row::{Does, Row, Scale};
use crate::suites;

/// What the command line asks for.
struct Options {
    suites: Vec<String>,
    scale: Scale,
    rounds: usize,
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let scale = Scale::of(words);
    let mut options =
        Options { suites: Vec::new(), scale, rounds: if scale.quick { 3 } else { 5 } };
    for &word in words {
        if word == "--quick" {
            continue;
        } else if let Some(rounds) = word.strip_prefix("--rounds=") {
            options.rounds = match rounds.parse() {
                Ok(rounds) if rounds > 0 => rounds,
                _ => return Err(format!("'{rounds}' is no number of rounds")),
            };
        } else if suites::NAMES.contains(&word) {
            options.suites.push(word.to_owned());
        } else {
            return Err(format!("there is no suite or option '{word}'"));
        }
    }
    Ok(options)
}

/// Plays what `words` ask for and prints the tables.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let options = parse(words)?;
    let wanted = |row: &Row| {
        options.suites.is_empty() || options.suites.iter().any(|suite| suite == row.suite)
    };
    let mut tables = Vec::new();
    for row in suites::all(options.scale).into_iter().filter(wanted) {
        let lines = play(&row, &options);
        print!("{}", report::table(&row, &lines));
        tables.push((row, lines));
    }
    let path = report::path()?;
    let json = report::json(&tables, options.rounds, options.scale);
    std::fs::write(&path, json).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("The figures lie in {}.", path.display());
    Ok(())
}

/// All rounds of one row, best peer first.
fn play(row: &Row, options: &Options) -> Vec<Line> {
    let mut figures: Vec<Result<Vec<f64>, String>> = row
        .cells
        .iter()
        .map(|cell| match cell.does {
            Does::Work(_) => Ok(Vec::new()),
            Does::Nothing(reason) => Err(reason.to_owned()),
        })
        .collect();
    for round in 0..options.rounds {
        for turn in 0..row.cells.len() {
            let at = (turn + round) % row.cells.len();
            let Ok(played) = &mut figures[at] else { continue };
            progress(&format!("{}, round {}: {}", row.name, round + 1, row.cells[at].peer));
            match measure(row, row.cells[at].peer, options.scale) {
                Ok(ns) => played.push(ns),
                Err(reason) => figures[at] = Err(reason),
            }
        }
    }
    progress("");
    let lines = row.cells.iter().zip(figures).map(|(cell, figures)| Line {
        peer: cell.peer,
        figures: figures.map(|rounds| Figures::of(&rounds)),
    });
    report::rank(lines.collect())
}

/// One measurement in a child process.
fn measure(row: &Row, peer: &str, scale: Scale) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["measure", &row.name, peer]).stdin(Stdio::null());
    if scale.quick {
        command.arg("--quick");
    }
    // A setting for programs must not move a peer away from what its row says.
    for variable in ["MAPPING", "WORKERS", "STACK_SIZE", "BLOCKING_THREADS"] {
        command.env_remove(format!("SYLVAN_{variable}"));
    }
    let output = command.output().map_err(|error| format!("no child process: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(ns) = text.strip_prefix("ns ").and_then(|ns| ns.trim().parse().ok()) {
        return Ok(ns);
    }
    if let Some(reason) = text.strip_prefix("no ") {
        return Err(reason.trim().to_owned());
    }
    Err(match output.status.signal() {
        Some(ALARM) => format!("fails: did not end within {LIMIT_S} s"),
        Some(signal) => format!("fails: killed by signal {signal}"),
        None => {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("fails: ended with {}; {}", output.status, first_complaint(&said))
        }
    })
}

/// The message of the first panic, or else the last line; what follows a first panic is its echo.
fn first_complaint(said: &str) -> String {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let panic = lines.clone().skip_while(|line| !line.contains("panicked at")).nth(1);
    let line = panic.or_else(|| lines.next_back()).unwrap_or("said nothing");
    line.chars().take(80).collect()
}

/// SIGALRM, by which the child ends itself.
const ALARM: i32 = 14;

/// Shows what is being measured, where somebody looks.
fn progress(what: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // A terminal that is gone does not matter: the figures go elsewhere.
        let _ = write!(stderr, "\r\x1b[K{what}");
        let _ = stderr.flush();
    }
}
