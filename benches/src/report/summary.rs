//! A run in short, as a Markdown table: its limits and what was reached, or, for the README, how
//! much more each peer takes.
//!
//! Written between two marks in a file, so that figures in a text are never typed by hand.
#![forbid(unsafe_code)]

use super::table::{interval, word};
use super::{number, read};
use crate::results::{Outcome, Run, Table, Verdict};

const BEGIN: &str = "<!-- sylvan-bench: begin -->";
const END: &str = "<!-- sylvan-bench: end -->";

/// Prints the summary of `file`, or puts it into the file that `rest` names.
pub(crate) fn command(file: &str, rest: &[&str]) -> Result<(), String> {
    let run = read(file)?;
    let (text, rest) = match rest {
        ["--peers", rest @ ..] => (peers(&run), rest),
        _ => (text(&run), rest),
    };
    match rest {
        [] => print!("{text}"),
        [word] => {
            let into = word.strip_prefix("--into=").ok_or(format!("no option '{word}'"))?;
            let old = std::fs::read_to_string(into).map_err(|error| format!("{into}: {error}"))?;
            let new = put(&old, &text).ok_or(format!("{into} has no line '{BEGIN}'"))?;
            std::fs::write(into, new).map_err(|error| format!("{into}: {error}"))?;
        }
        _ => return Err("`summary` takes FILE, --peers and --into=FILE, in this order".to_owned()),
    }
    Ok(())
}

/// `old` with `text` between the marks.
fn put(old: &str, text: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

/// A line for each limit.
pub(crate) fn text(run: &Run) -> String {
    let mut text = String::from("| workload | figure | ratio, or figure | at most | |\n");
    text += "|---|---|---|---|---|\n";
    let mut met = 0;
    let mut all = 0;
    for table in &run.rows {
        for verdict in &table.limits {
            text += &line(table, verdict, &run.base);
            met += usize::from(verdict.outcome == Outcome::Met);
            all += 1;
        }
    }
    text + &format!("\n{met} of {all} limits met. {}\n", source(run))
}

/// Whose columns the README has.
const COLUMNS: [&str; 5] = ["tokio", "may", "smol", "rayon", "std"];

/// A line for each row with a limit that some of these peers have played, too.
fn peers(run: &Run) -> String {
    let mut text = format!("| | {} | {} |\n", run.base, COLUMNS.join(" | "));
    text += &format!("|---{}|\n", "|---:".repeat(COLUMNS.len() + 1));
    for table in &run.rows {
        let own = table.line(&run.base).and_then(|line| line.figure);
        let Some(own) = own.filter(|own| own.median > 0.0 && !table.limits.is_empty()) else {
            continue;
        };
        let times = |peer| Some(1.0 / table.line(peer)?.ratio?.median);
        let cells = COLUMNS.map(times);
        if cells.iter().any(Option::is_some) {
            let cell = |times: Option<f64>| times.map_or("–".to_owned(), |x| number(x) + " ×");
            let cells = cells.map(cell).join(" | ");
            let (name, unit) = (table.name(), &table.unit);
            text += &format!("| {name} | {} {unit} | {cells} |\n", number(own.median));
        }
    }
    text + &format!("\n{}\n", source(run))
}

/// Which run it was.
fn source(run: &Run) -> String {
    let versions: Vec<String> =
        run.versions.iter().map(|(name, v)| format!("{name} {v}")).collect();
    let machine: Vec<&str> = run.machine.values().map(String::as_str).collect();
    format!(
        "`{}`, {}, {} rounds.{} {}; {}.",
        run.command.trim_end_matches([' ', '-']),
        run.date,
        run.rounds,
        if run.quick { " Quick sizes." } else { "" },
        machine.join(", "),
        versions.join(", "),
    )
}

fn line(table: &Table, verdict: &Verdict, base: &str) -> String {
    let own = table.line(base).and_then(|line| line.figure);
    let own = own.map_or("–".to_owned(), |own| format!("{} {}", number(own.median), table.unit));
    let limit = match &verdict.of {
        Some(peer) => format!("{} × {peer}", number(verdict.at_most)),
        None => format!("{} {}", number(verdict.at_most), table.unit),
    };
    let reached = verdict.reached.map_or("–".to_owned(), interval);
    let word = match verdict.outcome {
        Outcome::Met => word(verdict),
        _ => format!("**{}**", word(verdict)),
    };
    format!("| {} | {own} | {reached} | {limit} | {word} |\n", table.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_replaces_what_stands_between_the_marks() {
        let old = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(put(&old, "new\n").unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(put("no marks", "new"), None);
    }
}
