//! The chart: every row on a line of its own, every peer a dot on it, and curves over workers.
//!
//! The axis is the peer's figure divided by sylvan's, so sylvan stands at 1 in each row and what is
//! slower stands to the right. Logarithmic, for twice as fast and half as fast must look alike. A
//! whisker is the interval of the ratio; a tick in a peer's colour is the limit that is relative to
//! it: the whole whisker must lie to the right of it.
#![forbid(unsafe_code)]

use super::svg::{Anchor, LogAxis, Svg};
use super::{curves, number, read};
use crate::results::{Line, Run, Table};

/// Prints the chart of `file`.
pub(crate) fn command(file: &str) -> Result<(), String> {
    print!("{}", svg(&read(file)?));
    Ok(())
}

const WIDTH: f64 = 1100.0;
const LABELS: f64 = 430.0;
const LINE: f64 = 20.0;
const TOP: f64 = 96.0;

/// The colours of the peers, in the order of the legend; distinct also for most colour-blind eyes.
const COLOURS: [(&str, &str); 9] = [
    ("sylvan", "#000000"),
    ("tokio", "#d55e00"),
    ("tokio current thread", "#e69f00"),
    ("smol", "#009e73"),
    ("may", "#0072b2"),
    ("open-coroutine", "#56b4e9"),
    ("rayon", "#cc79a7"),
    ("std", "#999999"),
    ("others", "#b0a000"),
];

/// By the name before the comma.
pub(super) fn colour(peer: &str) -> &'static str {
    let name = peer.split(',').next().unwrap_or(peer);
    let known = COLOURS.iter().find(|(known, _)| *known == name);
    known.unwrap_or(&COLOURS[COLOURS.len() - 1]).1
}

/// The whole picture.
pub(crate) fn svg(run: &Run) -> String {
    let mut svg = Svg::new();
    let compared = |table: &&Table| table.peers.iter().any(|line| inverse(line, run).is_some());
    let tables: Vec<&Table> = run.rows.iter().filter(compared).collect();
    let bottom = TOP + tables.len() as f64 * LINE;
    let axis = LogAxis { low: 0.1, high: 1000.0, start: LABELS, end: WIDTH - 20.0 };
    head(&mut svg, run);
    for decade in axis.decades() {
        let x = axis.at(decade);
        let ground = if decade == 1.0 { "#000000" } else { "#dddddd" };
        svg.line((x, TOP - 4.0), (x, bottom), ground, 1.0);
        svg.text((x, TOP - 8.0), 11, Anchor::Middle, &format!("{} ×", number(decade)));
    }
    for (at, table) in tables.iter().enumerate() {
        row(&mut svg, &axis, TOP + (at as f64 + 0.5) * LINE, table, run);
    }
    let height = curves::draw(&mut svg, run, bottom + 30.0, WIDTH);
    svg.finish(WIDTH, height)
}

fn head(svg: &mut Svg, run: &Run) {
    let machine: Vec<&str> = run.machine.values().map(String::as_str).collect();
    let quick = if run.quick { ", quick" } else { "" };
    let title = format!("Each peer's figure divided by {}'s: right is slower", run.base);
    svg.text((10.0, 22.0), 16, Anchor::Start, &title);
    let line = format!("{}, {} rounds{quick}; {}", run.date, run.rounds, machine.join(", "));
    svg.text((10.0, 40.0), 11, Anchor::Start, &line);
    let mut x = 16.0;
    for (peer, colour) in COLOURS {
        svg.dot((x, 58.0), 4.0, colour, peer);
        svg.text((x + 8.0, 62.0), 11, Anchor::Start, peer);
        // A letter of that size is some 7 wide.
        x += 36.0 + peer.len() as f64 * 7.0;
    }
}

/// The peer's figure as a multiple of the base's: median, low, high.
fn inverse(line: &Line, run: &Run) -> Option<(f64, f64, f64)> {
    let ratio = line.ratio.filter(|ratio| line.peer != run.base && ratio.low > 0.0)?;
    Some((1.0 / ratio.median, 1.0 / ratio.high, 1.0 / ratio.low))
}

fn row(svg: &mut Svg, axis: &LogAxis, y: f64, table: &Table, run: &Run) {
    svg.line((10.0, y + LINE / 2.0), (WIDTH - 20.0, y + LINE / 2.0), "#f2f2f2", 1.0);
    let own = table.line(&run.base).and_then(|line| line.figure);
    let own = own.map_or(String::new(), |f| format!(" ({} {})", number(f.median), table.unit));
    let label = format!("{}{own}", table.name());
    svg.text((LABELS - 8.0, y + 4.0), 10, Anchor::End, &label);
    svg.dot((axis.at(1.0), y), 3.5, colour("sylvan"), &label);
    for verdict in &table.limits {
        let Some(peer) = &verdict.of else { continue };
        let x = axis.at(1.0 / verdict.at_most);
        svg.line((x, y - 8.0), (x, y + 8.0), colour(peer), 2.0);
    }
    for line in &table.peers {
        let Some((median, low, high)) = inverse(line, run) else { continue };
        let colour = colour(&line.peer);
        svg.line((axis.at(low), y), (axis.at(high), y), colour, 1.5);
        let title = format!("{}: {} ×", line.peer, number(median));
        svg.dot((axis.at(median), y), 3.5, colour, &title);
    }
}
