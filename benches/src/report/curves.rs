//! Small charts of how a figure changes with the number of workers, one for each row that was
//! played with several. Both axes are logarithmic; a straight line down at 45 degrees is perfect.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::chart::colour;
use super::number;
use super::svg::{Anchor, LogAxis, Svg};
use crate::results::{Run, Table};

const COLUMNS: usize = 4;
const HEIGHT: f64 = 190.0;

/// What one small chart shows: for each peer its figure by number of workers.
struct Curves<'a> {
    name: String,
    unit: &'a str,
    peers: BTreeMap<&'a str, Vec<(usize, f64)>>,
}

/// Draws all of them below `top`, and returns where the picture ends.
pub(super) fn draw(svg: &mut Svg, run: &Run, top: f64, width: f64) -> f64 {
    let all = collect(run);
    if all.is_empty() {
        return top;
    }
    svg.text((10.0, top), 16, Anchor::Start, "The same by number of workers");
    let step = (width - 20.0) / COLUMNS as f64;
    for (at, curves) in all.iter().enumerate() {
        let x = 10.0 + (at % COLUMNS) as f64 * step;
        let y = top + 20.0 + (at / COLUMNS) as f64 * HEIGHT;
        one(svg, curves, (x, y), step - 14.0);
    }
    top + 30.0 + all.len().div_ceil(COLUMNS) as f64 * HEIGHT
}

/// The rows that were played with more than one number of workers.
fn collect(run: &Run) -> Vec<Curves<'_>> {
    let mut all: Vec<Curves> = Vec::new();
    for table in &run.rows {
        let Some(workers) = table.workers else { continue };
        let name = if table.metric.is_empty() {
            table.title.clone()
        } else {
            format!("{}: {}", table.title, table.metric)
        };
        let at = match all.iter().position(|curves| curves.name == name) {
            Some(at) => at,
            None => {
                all.push(Curves { name, unit: &table.unit, peers: BTreeMap::new() });
                all.len() - 1
            }
        };
        add(&mut all[at], table, workers);
    }
    all.retain(|curves| curves.peers.values().any(|points| points.len() > 1));
    all
}

fn add<'a>(curves: &mut Curves<'a>, table: &'a Table, workers: usize) {
    for line in &table.peers {
        let Some(figure) = line.figure.filter(|figure| figure.median > 0.0) else { continue };
        curves.peers.entry(&line.peer).or_default().push((workers, figure.median));
    }
}

fn one(svg: &mut Svg, curves: &Curves, corner: (f64, f64), width: f64) {
    let points = || curves.peers.values().flatten();
    let most = points().map(|&(workers, _)| workers).max().unwrap_or(1);
    let low = points().map(|&(_, figure)| figure).fold(f64::INFINITY, f64::min);
    let high = points().map(|&(_, figure)| figure).fold(0.0, f64::max);
    let (left, top) = corner;
    let (right, bottom) = (left + width, top + HEIGHT - 40.0);
    svg.text((left, top + 2.0), 10, Anchor::Start, &curves.name);
    let across =
        LogAxis { low: 0.9, high: most as f64 * 1.1, start: left + 34.0, end: right - 4.0 };
    let up = LogAxis { low: low / 1.2, high: high * 1.2, start: bottom, end: top + 12.0 };
    svg.line((left + 34.0, bottom), (right, bottom), "#000000", 1.0);
    svg.line((left + 34.0, bottom), (left + 34.0, top + 10.0), "#000000", 1.0);
    for figure in [low, high] {
        svg.text((left + 32.0, up.at(figure) + 3.0), 9, Anchor::End, &number(figure));
    }
    svg.text((left + 36.0, top + 14.0), 9, Anchor::Start, curves.unit);
    for workers in [1, 2, 4, 8, 16].into_iter().filter(|&workers| workers <= most) {
        let x = across.at(f64::from(u32::try_from(workers).expect("at most 16")));
        svg.text((x, bottom + 12.0), 9, Anchor::Middle, &workers.to_string());
    }
    for (peer, points) in &curves.peers {
        let colour = colour(peer);
        let place = |&(workers, figure): &(usize, f64)| (across.at(workers as f64), up.at(figure));
        let places: Vec<(f64, f64)> = points.iter().map(place).collect();
        svg.path(&places, colour);
        for (place, (workers, figure)) in places.iter().zip(points) {
            let title = format!("{peer}, {workers} workers: {}", number(*figure));
            svg.dot(*place, 2.5, colour, &title);
        }
    }
}
