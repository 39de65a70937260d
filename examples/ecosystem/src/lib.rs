//! Protocols that others have written, over sylvan's sockets.
//!
//! A crate that takes any `Read + Write` needs nothing from us: it waits where its stream waits.
//! So `rustls` ([`tls`]), `tungstenite` ([`websocket`]) and `httparse` ([`http`]) are simply used.
//! `ureq` opens its connections itself and is given a transport ([`agent`]). `hyper` is written for
//! an executor that polls, and is given one ([`futures`]).
//!
//! Each module has both sides of its protocol, and [`converse`] lets many clients talk to a server
//! at the same time. The programs under `src/bin` and the tests do that; what the programs print is
//! the number of answers that were right, and a wrong one ends them.
#![forbid(unsafe_code)]

pub mod agent;
pub mod futures;
pub mod http;
pub mod tls;
pub mod websocket;

use std::error;
use std::net::{Ipv4Addr, SocketAddr};

use sylvan::net::{TcpListener, TcpStream};
use sylvan::sync::Barrier;
use sylvan::thread;

/// What may go wrong in any of the protocols.
pub type Error = Box<dyn error::Error + Send + Sync>;

/// A result with that error.
pub type Result<T> = std::result::Result<T, Error>;

/// Lets so many clients talk to a server, and returns the sum of what they give.
///
/// Each client has one connection. The server begins with none before all have come, so they are
/// open at the same time, whatever the number of workers.
///
/// # Blocking
///
/// Waits until all connections have come to their end.
///
/// # Errors
///
/// The first error of either side; all others are cut off then.
pub fn converse(
    count: usize,
    serve: impl Fn(TcpStream) -> Result<()> + Sync,
    ask: impl Fn(usize, SocketAddr) -> Result<usize> + Sync,
) -> Result<usize> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let all_have_come = Barrier::new(count);
    let (serve, ask, all_have_come) = (&serve, &ask, &all_have_come);
    thread::group(|group| {
        group.spawn(move || {
            for stream in listener.incoming().take(count) {
                let stream = stream?;
                group.spawn(move || {
                    all_have_come.wait();
                    serve(stream)
                });
            }
            Ok(())
        });
        let clients = (0..count).map(|number| group.spawn(move || ask(number, address)));
        let clients: Vec<_> = clients.collect();
        Ok(clients.into_iter().map(|client| client.join()).sum())
    })
}

/// An error if the answer is not the one that was expected.
///
/// # Errors
///
/// One that names both.
pub fn expect<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    answer: T,
    expected: U,
) -> Result<()> {
    if answer == expected {
        return Ok(());
    }
    Err(format!("{answer:?} came where {expected:?} was expected").into())
}
