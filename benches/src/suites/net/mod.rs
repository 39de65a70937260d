//! The net rows: what a server pays for a request, for a connection, and for one that says nothing.
//!
//! The child that measures a cell is the load generator, and starts the peer's server as another
//! process; see `wire`. What counts is the processor time of that process per request, since
//! neither the generator nor its scheduling can change it, and time per request and percentiles
//! stand beside it. In rows of one worker each of the two processes has a processor of its own.
#![forbid(unsafe_code)]

mod echo;
mod homes;
mod idle;
mod visits;

use std::time::Duration;

use crate::row::{Row, Scale};
use crate::wire::serve::{Manner, Peer};
use crate::wire::server::{Server, Wanted};
use crate::wire::window::Length;
use crate::{load, measure};

pub(super) fn rows(scale: Scale, workers: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    // Rows of more workers say nothing where the generator has no processor left.
    let others = workers.iter().copied().filter(|&n| n > 1 && n < load::processors());
    for workers in std::iter::once(1).chain(others) {
        rows.push(echo::row(scale, "net: echo, 64 connections", 64, workers));
        rows.push(echo::row(scale, "net: echo, 1,000 connections", 1_000, workers));
        rows.push(visits::row(scale, workers));
    }
    for workers in [2, 4] {
        rows.push(homes::row(scale, "net: homes of 64 connections", 64, workers));
        rows.push(homes::row(scale, "net: homes of 1,000 connections", 1_000, workers));
    }
    rows.push(idle::row(scale));
    rows
}

/// How long the loads are.
fn length(scale: Scale) -> Length {
    Length {
        warm_up: Duration::from_millis(scale.pick(300, 100)),
        counted: Duration::from_millis(scale.pick(1_500, 200)),
    }
}

/// Starts a server that has its processors to itself, and lets both sides have all descriptors.
fn start(peer: Peer, manner: Manner, workers: usize) -> Result<Server, String> {
    measure::allow_all_descriptors();
    Server::start(Wanted { peer, manner, workers, apart: true })
}

/// The peers that limits are relative to.
const BEST_OF: &[&str] = &["tokio", "tokio current thread", "may", "go"];
/// The floor, which is no peer: it has no threads.
const BARE: &str = "bare epoll";
