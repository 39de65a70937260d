//! What a run gives, as it lies in the JSON: rounds, medians, ratios, verdicts.
//!
//! A ratio is taken within each round, between two measurements that were made seconds apart, and
//! then summed up over the rounds; the ratio of the medians would compare a quiet minute of one
//! with a loud one of the other. All are of sylvan's figure to the peer's: below 1 sylvan is
//! faster. A limit is met when the whole interval of that ratio lies below it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::row::{Floor, Metric, Row};
use crate::stats::Estimate;

/// One run of the suite.
#[derive(Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) command: String,
    pub(crate) date: String,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    /// The cell that ratios and limits are about.
    pub(crate) base: String,
    pub(crate) machine: BTreeMap<String, String>,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) rows: Vec<Table>,
}

/// One figure of one row, of every peer, best first.
#[derive(Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) suite: String,
    pub(crate) row: String,
    pub(crate) title: String,
    pub(crate) workers: Option<usize>,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) peers: Vec<Line>,
    pub(crate) limits: Vec<Verdict>,
    pub(crate) floor: Option<Ground>,
}

/// One peer's rounds.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) peer: String,
    /// What was measured in each round, the disturbed ones included.
    pub(crate) rounds: Vec<Option<f64>>,
    /// The rounds that were disturbed by load from elsewhere.
    pub(crate) disturbed: Vec<usize>,
    /// Whether so many were disturbed that the figures below are of all rounds nevertheless.
    pub(crate) loud: bool,
    pub(crate) figure: Option<Estimate>,
    pub(crate) smallest: Option<f64>,
    pub(crate) largest: Option<f64>,
    /// Of the base's figure to this one.
    pub(crate) ratio: Option<Estimate>,
    /// Why there are no figures.
    pub(crate) failed: Option<String>,
}

/// What became of a limit.
#[derive(Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) at_most: f64,
    /// The peer that the limit is relative to; none if it is absolute.
    pub(crate) of: Option<String>,
    /// The ratio, or the figure itself if the limit is absolute.
    pub(crate) reached: Option<Estimate>,
    pub(crate) outcome: Outcome,
    /// Whether disturbed rounds had to be counted on either side.
    pub(crate) loud: bool,
}

/// Whether a limit is met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The whole interval lies below.
    Met,
    /// The median lies below, but the interval does not.
    Open,
    NotMet,
    /// One of the figures is missing.
    NotMeasured,
}

/// What nobody can fall below, where it was measured.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ground {
    pub(crate) figure: Option<f64>,
    pub(crate) what: String,
}

/// One measurement.
#[derive(Clone)]
pub(crate) struct Round {
    pub(crate) figures: Vec<f64>,
    pub(crate) disturbed: bool,
}

/// All rounds of one cell, or why there are none.
pub(crate) struct Played {
    pub(crate) peer: String,
    pub(crate) rounds: Result<Vec<Round>, String>,
}

/// So many undisturbed rounds are enough to leave the others out.
const ROUNDS_LEAST: usize = 3;

impl Played {
    /// Whether disturbed rounds have to do, too.
    fn loud(&self) -> bool {
        let Ok(rounds) = &self.rounds else { return false };
        let quiet = rounds.iter().filter(|round| !round.disturbed).count();
        quiet < ROUNDS_LEAST.min(rounds.len())
    }

    /// The figure number `metric` of that round, if the round counts.
    fn figure(&self, round: usize, metric: usize) -> Option<f64> {
        let round = self.rounds.as_ref().ok()?.get(round)?;
        let counts = !round.disturbed || self.loud();
        round.figures.get(metric).copied().filter(|figure| counts && figure.is_finite())
    }

    fn line(&self, metric: usize, base: Option<&Played>) -> Line {
        let count = self.rounds.as_ref().map_or(0, Vec::len);
        let counting: Vec<f64> = (0..count).filter_map(|at| self.figure(at, metric)).collect();
        let rounds = self.rounds.as_deref().unwrap_or_default();
        let disturbed = (0..count).filter(|&at| rounds[at].disturbed).collect();
        let finite = |round: &Round| round.figures.get(metric).copied().filter(|f| f.is_finite());
        let ratios = (0..count)
            .filter_map(|at| Some(ratio(base?.figure(at, metric)?, self.figure(at, metric)?)));
        let failed = match &self.rounds {
            Err(reason) => Some(reason.clone()),
            Ok(_) if counting.is_empty() => Some("does not apply".to_owned()),
            Ok(_) => None,
        };
        Line {
            peer: self.peer.clone(),
            rounds: rounds.iter().map(finite).collect(),
            disturbed,
            loud: self.loud(),
            figure: Estimate::of(counting.iter().copied()),
            smallest: counting.iter().copied().reduce(f64::min),
            largest: counting.iter().copied().reduce(f64::max),
            ratio: Estimate::of(ratios),
            failed,
        }
    }
}

/// Nothing is as much as nothing: neither woke up, say.
fn ratio(own: f64, other: f64) -> f64 {
    if own == other { 1.0 } else { own / other }
}

impl Table {
    /// The peer's line.
    pub(crate) fn line(&self, peer: &str) -> Option<&Line> {
        self.peers.iter().find(|line| line.peer == peer)
    }

    /// Row and figure in one name.
    pub(crate) fn name(&self) -> String {
        match self.metric.as_str() {
            "" => self.row.clone(),
            metric => format!("{}: {metric}", self.row),
        }
    }
}

/// The tables of one row. `earlier` are the tables that floors are looked up in.
pub(crate) fn tables(row: &Row, played: &[Played], base: &str, earlier: &[Table]) -> Vec<Table> {
    let own = played.iter().find(|cell| cell.peer == base);
    let table = |(at, metric): (usize, &Metric)| {
        let mut lines: Vec<Line> = played.iter().map(|cell| cell.line(at, own)).collect();
        let key = |line: &Line| line.figure.map_or(f64::INFINITY, |figure| figure.median);
        lines.sort_by(|a, b| key(a).total_cmp(&key(b)));
        Table {
            suite: row.suite.to_owned(),
            row: row.name(),
            title: row.title.clone(),
            workers: row.workers,
            metric: metric.name.to_owned(),
            unit: metric.unit.to_owned(),
            limits: metric.limits.iter().map(|l| judge(l.at_most, l.of, &lines, base)).collect(),
            floor: metric.floor.map(|floor| ground(floor, &lines, earlier)),
            peers: lines,
        }
    };
    row.metrics.iter().enumerate().map(table).collect()
}

fn judge(at_most: f64, of: &[&str], lines: &[Line], base: &str) -> Verdict {
    let own = lines.iter().find(|line| line.peer == base);
    // Lines are sorted: the first one among the peers is the best of them.
    let best = lines.iter().find(|line| of.contains(&line.peer.as_str()) && line.figure.is_some());
    let reached = match of {
        [] => own.and_then(|line| line.figure),
        _ => best.and_then(|line| line.ratio),
    };
    let outcome = match reached {
        None => Outcome::NotMeasured,
        Some(reached) if reached.high <= at_most => Outcome::Met,
        Some(reached) if reached.median <= at_most => Outcome::Open,
        Some(_) => Outcome::NotMet,
    };
    let loud = own.into_iter().chain(best).any(|line| line.loud);
    let named = best.map_or_else(|| of.join(", "), |line| line.peer.clone());
    Verdict { at_most, of: (!of.is_empty()).then_some(named), reached, outcome, loud }
}

fn ground(floor: Floor, lines: &[Line], earlier: &[Table]) -> Ground {
    let median = |line: &Line| line.figure.map(|figure| figure.median);
    match floor {
        Floor::Value(figure, what) => Ground { figure: Some(figure), what: what.to_owned() },
        Floor::Peer(peer) => {
            let line = lines.iter().find(|line| line.peer == peer);
            Ground { figure: line.and_then(median), what: peer.to_owned() }
        }
        Floor::Sum(parts) => {
            let part = |(title, times): &(&str, f64)| {
                let table = earlier.iter().find(|t| t.suite == "floors" && t.title == *title)?;
                table.peers.first().and_then(median).map(|figure| figure * times)
            };
            let name = |(title, times): &(&str, f64)| match *times {
                1.0 => (*title).to_owned(),
                times => format!("{times} × {title}"),
            };
            let figure = parts.iter().map(part).sum();
            Ground { figure, what: parts.iter().map(name).collect::<Vec<_>>().join(" + ") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(peer: &str, figures: &[(f64, bool)]) -> Played {
        let round = |&(figure, disturbed): &(f64, bool)| Round { figures: vec![figure], disturbed };
        Played { peer: peer.to_owned(), rounds: Ok(figures.iter().map(round).collect()) }
    }

    fn judged(own: &[(f64, bool)], other: &[(f64, bool)], at_most: f64) -> Outcome {
        let cells = [played("sylvan", own), played("other", other)];
        let row = Row::new("suite", "row").unit("ns").limit(at_most, &["other"]);
        tables(&row, &cells, "sylvan", &[])[0].limits[0].outcome
    }

    #[test]
    fn limit_is_met_only_if_the_whole_interval_lies_below() {
        let other = [(10.0, false); 5];
        let own = [(1.0, false), (1.0, false), (1.0, false), (1.0, false), (5.0, false)];
        assert_eq!(judged(&own, &other, 0.5), Outcome::Met);
        assert_eq!(judged(&own, &other, 0.4), Outcome::Open);
        assert_eq!(judged(&own, &other, 0.05), Outcome::NotMet);
    }

    #[test]
    fn disturbed_rounds_are_left_out_while_enough_others_remain() {
        let other = [(10.0, false); 5];
        let own = [(1.0, false), (1.0, false), (1.0, false), (9.0, true), (9.0, true)];
        assert_eq!(judged(&own, &other, 0.5), Outcome::Met);
        let own = [(1.0, false), (1.0, false), (9.0, true), (9.0, true), (9.0, true)];
        assert_eq!(judged(&own, &other, 0.5), Outcome::NotMet);
    }

    #[test]
    fn limit_without_a_figure_to_compare_with_is_not_measured() {
        let none = [Played { peer: "other".to_owned(), rounds: Err("fails".to_owned()) }];
        let row = Row::new("suite", "row").unit("ns").limit(1.0, &["other"]);
        let verdict = &tables(&row, &none, "sylvan", &[])[0].limits[0];
        assert_eq!(verdict.outcome, Outcome::NotMeasured);
    }
}
