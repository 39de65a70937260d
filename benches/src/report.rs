//! What comes out: medians, spreads and ratios, as a table for people and JSON for programs.
//!
//! The median stands for the rounds, for one disturbed round must not move it; smallest and largest
//! stand beside it, so that a reader sees how quiet the machine was. Ratios are of medians, to
//! sylvan's: above 1 the peer is slower. The JSON is written by hand, for it is three levels deep.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::path::PathBuf;

use crate::row::{Row, Scale};

/// The rounds of one cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Figures {
    /// Of at least one round.
    pub(crate) fn of(rounds: &[f64]) -> Figures {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        };
        Figures { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

/// One peer's line of a row's table.
pub(crate) struct Line {
    pub(crate) peer: &'static str,
    /// The figures, or why there are none.
    pub(crate) figures: Result<Figures, String>,
}

/// Best first; those without figures last, as they came.
pub(crate) fn rank(mut lines: Vec<Line>) -> Vec<Line> {
    let key = |line: &Line| line.figures.as_ref().map_or(f64::INFINITY, |f| f.median);
    lines.sort_by(|a, b| key(a).total_cmp(&key(b)));
    lines
}

/// Sylvan's median, if it has one.
fn base(lines: &[Line]) -> Option<f64> {
    let own = lines.iter().find(|line| line.peer == "sylvan")?;
    own.figures.as_ref().ok().map(|figures| figures.median)
}

/// A row as text.
pub(crate) fn table(row: &Row, lines: &[Line]) -> String {
    let mut text = format!("\n{} ({})\n", row.name, row.unit);
    let base = base(lines);
    for line in lines {
        let peer = line.peer;
        match &line.figures {
            Ok(Figures { median, min, max }) => {
                let ratio = base.map_or_else(String::new, |base| format!("{:.2} x", median / base));
                let spread = format!("{} to {}", number(*min), number(*max));
                let median = number(*median);
                writeln!(text, "  {peer:<24}{median:>10}  {spread:<22}{ratio:>10}")
            }
            Err(reason) => writeln!(text, "  {peer:<24}{:>10}  {reason}", "-"),
        }
        .expect("a string takes all");
    }
    text
}

/// Three significant digits or whole nanoseconds.
fn number(ns: f64) -> String {
    match ns {
        ns if ns < 10.0 => format!("{ns:.2}"),
        ns if ns < 100.0 => format!("{ns:.1}"),
        ns => format!("{ns:.0}"),
    }
}

/// All rows as JSON.
pub(crate) fn json(tables: &[(Row, Vec<Line>)], rounds: usize, scale: Scale) -> String {
    let rows: Vec<String> = tables.iter().map(|(row, lines)| json_row(row, lines)).collect();
    let quick = scale.quick;
    format!("{{\"rounds\":{rounds},\"quick\":{quick},\"rows\":[\n{}\n]}}\n", rows.join(",\n"))
}

fn json_row(row: &Row, lines: &[Line]) -> String {
    let base = base(lines);
    let lines: Vec<String> = lines.iter().map(|line| json_line(line, base)).collect();
    format!(
        "{{\"suite\":{},\"row\":{},\"unit\":{},\"peers\":[\n  {}\n]}}",
        quoted(row.suite),
        quoted(&row.name),
        quoted(row.unit),
        lines.join(",\n  "),
    )
}

fn json_line(line: &Line, base: Option<f64>) -> String {
    let peer = quoted(line.peer);
    match &line.figures {
        Ok(Figures { median, min, max }) => {
            let ratio = base.map_or("null".to_owned(), |base| format!("{:.4}", median / base));
            format!(
                "{{\"peer\":{peer},\"median\":{median:.3},\"min\":{min:.3},\"max\":{max:.3},\
                 \"ratio\":{ratio}}}"
            )
        }
        Err(reason) => format!("{{\"peer\":{peer},\"failed\":{}}}", quoted(reason)),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                write!(quoted, "\\u{:04x}", u32::from(c)).expect("a string takes all");
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// `sylvan-bench.json` in Cargo's target folder, in which this program lies.
pub(crate) fn path() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut folders = program.ancestors();
    let target = folders.find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.ok_or("this program does not lie in a target folder of Cargo's")?;
    Ok(target.join("sylvan-bench.json"))
}
