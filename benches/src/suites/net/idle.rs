//! Idle connections: what the server's process has to keep for each that says nothing.
//!
//! Every connection has asked once before, so its thread has run and waits in a read. Memory is
//! read with 64 of them and with ten thousand more, so what a server needs in any case is not
//! counted. What the kernel keeps for the sockets is in nobody's figure: it is no process's.
#![forbid(unsafe_code)]

use super::{BARE, start};
use crate::measure::descriptors_max;
use crate::process::available_bytes;
use crate::row::{Outcome, Row, Scale};
use crate::suites::{KERNEL_THREADS_MAX, MANY_KERNEL_THREADS, memory};
use crate::wire::clients::Clients;
use crate::wire::serve::{Manner, Peer};

const EARLIER: usize = 64;
/// Descriptors that either side needs besides: listener, epolls, pipes, libraries.
const OTHERS: usize = 100;

pub(super) fn row(scale: Scale) -> Row {
    let (wanted, title) = scale
        .pick((10_000, "net: 10,000 idle connections"), (1_000, "net: 1,000 idle connections"));
    let fit = descriptors_max().saturating_sub(EARLIER + OTHERS).min(wanted);
    let title = match fit {
        all if all == wanted => title.to_owned(),
        // The figure is per connection, so fewer do as well, if somebody says so.
        fewer => format!("net: {fewer} idle connections, for lack of descriptors"),
    };
    let row = Row::new("net", title)
        .workers(1)
        .metric("memory", "KiB each")
        .limit(6.0, &[])
        .floor(memory::STACK)
        .peer("sylvan", move || measure(Peer::Sylvan, fit))
        .peer("may", move || measure(Peer::May, fit))
        .peer("tokio", move || measure(Peer::Tokio, fit))
        .tokio_current(move || measure(Peer::TokioCurrent, fit))
        .peer("go", move || measure(Peer::Go, fit))
        .peer("std", move || measure(Peer::Std, fit))
        .peer(BARE, move || measure(Peer::Bare, fit))
        .limit_s(60);
    let few = KERNEL_THREADS_MAX as usize;
    if fit <= few {
        return row;
    }
    row.without("std", MANY_KERNEL_THREADS).peer("std, 2,000", move || measure(Peer::Std, few))
}

fn measure(peer: Peer, connections: usize) -> Outcome {
    // A connection needs some 12 KiB on both sides, the kernel's part included.
    let needed = (connections as u64 * 12) << 10;
    if available_bytes() < needed {
        return Err(format!("not tried: needs {} MiB of free memory", needed >> 20));
    }
    let server = start(peer, Manner::Echo, 1)?;
    let mut clients = Clients::of(server.address);
    clients.connect(EARLIER);
    let before = server.resident_bytes();
    clients.connect(connections);
    let bytes = server.resident_bytes().saturating_sub(before);
    Ok(vec![bytes as f64 / 1024.0 / connections as f64])
}
