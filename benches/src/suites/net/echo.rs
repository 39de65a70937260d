//! Echo: connections that last, each sending 64 bytes again as soon as it has them back.
#![forbid(unsafe_code)]

use super::{BARE, BEST_OF, length, start};
use crate::row::{Floor, Outcome, Row, Scale};
use crate::wire::clients::Clients;
use crate::wire::serve::{Manner, Peer};

pub(super) fn row(scale: Scale, title: &'static str, connections: usize, workers: usize) -> Row {
    let echo = Echo { scale, connections, workers };
    let limited = workers == 1;
    let row = Row::new("net", title)
        .workers(workers)
        .metric("server's CPU time", "µs per request")
        .limit_if(limited, 0.95, BEST_OF)
        .floor(Floor::Peer(BARE))
        .metric("time", "µs per request")
        .floor(Floor::Peer(BARE))
        .metric("p99", "µs")
        .limit_if(limited, 1.0, &["may"])
        .floor(Floor::Peer(BARE))
        .peer("sylvan", move || echo.measure(Peer::Sylvan))
        .peer("may", move || echo.measure(Peer::May))
        .peer("tokio", move || echo.measure(Peer::Tokio))
        .tokio_current(move || echo.measure(Peer::TokioCurrent))
        .peer("go", move || echo.measure(Peer::Go))
        .peer("std", move || echo.measure(Peer::Std));
    match workers {
        1 => row.peer(BARE, move || echo.measure(Peer::Bare)),
        _ => row.without(BARE, "does not apply: it is one kernel thread"),
    }
}

#[derive(Clone, Copy)]
struct Echo {
    scale: Scale,
    connections: usize,
    workers: usize,
}

impl Echo {
    fn measure(self, peer: Peer) -> Outcome {
        let server = start(peer, Manner::Echo, self.workers)?;
        let mut clients = Clients::of(server.address);
        clients.connect(self.connections);
        let played = clients.play(length(self.scale), || server.cpu_time());
        Ok(vec![played.cpu_us_per_request(), played.us_per_request(), played.p99_us()])
    }
}
