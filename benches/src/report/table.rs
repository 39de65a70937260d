//! One figure of one row as text, best peer first.
#![forbid(unsafe_code)]

use std::fmt::Write;

use super::number;
use crate::results::{Line, Outcome, Run, Table, Verdict};
use crate::stats::{Estimate, interval_coverage};

/// What stands above all tables.
pub(crate) fn header(run: &Run) -> String {
    let machine: Vec<&str> = run.machine.values().map(String::as_str).collect();
    let versions: Vec<String> =
        run.versions.iter().map(|(name, v)| format!("{name} {v}")).collect();
    let coverage = interval_coverage(run.rounds) * 100.0;
    format!(
        "{}, {}\n{}\n{} rounds{}; ratios are of {} to the peer, taken within each round; \
         intervals [low, high] are of order statistics and hold the true median in {coverage:.0} \
         of 100 cases if all rounds count.\n",
        run.date,
        machine.join(", "),
        versions.join(", "),
        run.rounds,
        if run.quick { ", quick: smaller sizes, not for conclusions" } else { "" },
        run.base,
    )
}

/// A table with limits and floor below it.
pub(crate) fn text(table: &Table, base: &str) -> String {
    let mut text = format!("\n{} ({})\n", table.name(), table.unit);
    for line in &table.peers {
        text += &peer(line, base);
    }
    for verdict in &table.limits {
        text += &limit(verdict, &table.unit);
    }
    if let Some(floor) = &table.floor {
        let own = table.line(base).and_then(|line| line.figure);
        let times = own.zip(floor.figure).map(|(own, floor)| own.median / floor);
        let times = times.map_or(String::new(), |times| format!(", {} x of it", number(times)));
        let figure = floor.figure.map_or("not measured".to_owned(), number);
        text += &format!("  floor: {figure} ({}){times}\n", floor.what);
    }
    text
}

fn peer(line: &Line, base: &str) -> String {
    let name = &line.peer;
    let Some(figure) = line.figure else {
        let reason = line.failed.as_deref().unwrap_or("");
        return format!("  {name:<26}{:>10}  {reason}\n", "-");
    };
    let range = |line: &Line| Some((line.smallest?, line.largest?));
    let spread = range(line).map_or(String::new(), |(smallest, largest)| {
        format!("{} to {}", number(smallest), number(largest))
    });
    let ratio = match line.ratio {
        Some(ratio) if line.peer != base => interval(ratio),
        _ => String::new(),
    };
    let mut text = format!("  {name:<26}{:>10}  {spread:<22}  {ratio}", number(figure.median));
    text.truncate(text.trim_end().len());
    match (line.disturbed.len(), line.loud) {
        (0, _) => {}
        (count, true) => write!(text, "  ({count} disturbed, but counted)").expect("takes all"),
        (count, false) => write!(text, "  ({count} disturbed, dropped)").expect("takes all"),
    }
    text + "\n"
}

/// A ratio with its interval.
pub(super) fn interval(ratio: Estimate) -> String {
    format!("{} [{}, {}]", number(ratio.median), number(ratio.low), number(ratio.high))
}

fn limit(verdict: &Verdict, unit: &str) -> String {
    let what = match &verdict.of {
        Some(peer) => format!("{} x {peer}", number(verdict.at_most)),
        None => format!("{} {unit}", number(verdict.at_most)),
    };
    let reached = verdict.reached.map_or(String::new(), |reached| interval(reached) + " ");
    format!("  at most {what}: {reached}{}\n", word(verdict))
}

/// The outcome in a word or two.
pub(super) fn word(verdict: &Verdict) -> String {
    let word = match verdict.outcome {
        Outcome::Met => "met",
        Outcome::Open => "open: the interval reaches beyond",
        Outcome::NotMet => "NOT met",
        Outcome::NotMeasured => "not measured",
    };
    let loud = if verdict.loud { " (disturbed)" } else { "" };
    format!("{word}{loud}")
}
