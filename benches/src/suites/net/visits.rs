//! Visits: a client connects, sends 64 bytes, has them back, and sees the server close. There are
//! always 64 of them, so the server accepts, starts a thread and ends it all the time.
#![forbid(unsafe_code)]

use super::{BARE, length, start};
use crate::row::{Floor, Outcome, Row, Scale};
use crate::wire::serve::{Manner, Peer};
use crate::wire::visitors;

const AT_ONCE: usize = 64;

pub(super) fn row(scale: Scale, workers: usize) -> Row {
    let visit = move |peer| move || measure(scale, workers, peer);
    let row = Row::new("net", "net: accept, one request, close")
        .workers(workers)
        .metric("server's CPU time", "µs per connection")
        .floor(Floor::Peer(BARE))
        .metric("time", "µs per connection")
        .limit_if(workers == 1, 1.0, &["tokio", "tokio current thread"])
        .floor(Floor::Peer(BARE))
        .metric("p99", "µs")
        .floor(Floor::Peer(BARE))
        .peer("sylvan", visit(Peer::Sylvan))
        .peer("may", visit(Peer::May))
        .peer("tokio", visit(Peer::Tokio))
        .tokio_current(visit(Peer::TokioCurrent))
        .peer("go", visit(Peer::Go))
        .peer("std", visit(Peer::Std));
    match workers {
        1 => row.peer(BARE, visit(Peer::Bare)),
        _ => row.without(BARE, "does not apply: it is one kernel thread"),
    }
}

fn measure(scale: Scale, workers: usize, peer: Peer) -> Outcome {
    let server = start(peer, Manner::Once, workers)?;
    let played = visitors::play(server.address, AT_ONCE, length(scale), || server.cpu_time());
    Ok(vec![played.cpu_us_per_request(), played.us_per_request(), played.p99_us()])
}
