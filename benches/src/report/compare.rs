//! How the base's figures changed from one run to another.
//!
//! The two runs share no rounds, so the ratio of each row is bounded from the two intervals: at
//! best the lowest after to the highest before, at worst the other way round. For a change of the
//! library, or of the profile that it was built with; a comparison within one run is sharper.
#![forbid(unsafe_code)]

use super::table::interval;
use super::{number, read};
use crate::results::{Run, Table};
use crate::stats::Estimate;

/// Prints the comparison; fails if a figure grew beyond the limit that `rest` may give.
pub(crate) fn command(before: &str, after: &str, rest: &[&str]) -> Result<(), String> {
    let at_most = match rest {
        [] => f64::INFINITY,
        [word] => word
            .strip_prefix("--at-most=")
            .and_then(|ratio| ratio.parse().ok())
            .ok_or(format!("no option '{word}'"))?,
        _ => return Err("`compare` takes two files and at most one option".to_owned()),
    };
    let (before, after) = (read(before)?, read(after)?);
    let mut beyond = 0;
    println!("{:<64}{:>10}{:>10}  ratio", "row", "before", "after");
    for table in &after.rows {
        let Some(change) = change(&before, table, &after.base) else { continue };
        let (old, new, ratio) = change;
        let mark = if ratio.median > at_most { "  beyond" } else { "" };
        beyond += usize::from(ratio.median > at_most);
        let name = table.name();
        println!("{name:<64}{:>10}{:>10}  {}{mark}", number(old), number(new), interval(ratio));
    }
    if beyond > 0 {
        return Err(format!("{beyond} figures grew beyond {at_most} x"));
    }
    Ok(())
}

/// Figure before, figure after, and their ratio.
fn change(before: &Run, table: &Table, base: &str) -> Option<(f64, f64, Estimate)> {
    let same = |old: &&Table| old.row == table.row && old.metric == table.metric;
    let old = before.rows.iter().find(same)?.line(&before.base)?.figure?;
    let new = table.line(base)?.figure?;
    let ratio = Estimate {
        median: new.median / old.median,
        low: new.low / old.high,
        high: new.high / old.low,
    };
    ratio.median.is_finite().then_some((old.median, new.median, ratio))
}
