//! The servers, one per peer, all of the same shape: one thread accepts, and each connection has a
//! thread or task of its own that reads and writes.
//!
//! The bare one stands below them as the floor: a loop around epoll that knows its connections by
//! number. All of them set `TCP_NODELAY`, all read into a buffer of the same size, and none looks
//! at what it answers. The one in Go does the same; it lies in the folder `go` beside this
//! package's manifest.
#![forbid(unsafe_code)]

mod bare;
mod tasks;
mod threads;

use std::io::{Read, Write};
use std::net::SocketAddr;

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Peer {
    Sylvan,
    May,
    Std,
    Tokio,
    TokioCurrent,
    Bare,
    Go,
}

impl Peer {
    const ALL: [Peer; 7] =
        [Peer::Sylvan, Peer::May, Peer::Std, Peer::Tokio, Peer::TokioCurrent, Peer::Bare, Peer::Go];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Peer::Sylvan => "sylvan",
            Peer::May => "may",
            Peer::Std => "std",
            Peer::Tokio => "tokio",
            Peer::TokioCurrent => "tokio-current",
            Peer::Bare => "bare",
            Peer::Go => "go",
        }
    }
}

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manner {
    /// Sends back whatever comes, until the client ends it.
    Echo,
    /// The same, with the number of the kernel thread in the first word.
    Named,
    /// Sends back the first message and closes.
    Once,
}

impl Manner {
    const ALL: [Manner; 3] = [Manner::Echo, Manner::Named, Manner::Once];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Manner::Echo => "echo",
            Manner::Named => "named",
            Manner::Once => "once",
        }
    }
}

/// Serves until the process is ended.
pub(crate) fn command(words: &[&str]) -> Result<(), String> {
    let [peer, manner, workers] = words else {
        return Err("`serve` takes a peer, a manner and a number of workers".to_owned());
    };
    let peer = Peer::ALL.into_iter().find(|known| known.word() == *peer);
    let manner = Manner::ALL.into_iter().find(|known| known.word() == *manner);
    let (peer, manner) = peer.zip(manner).ok_or("there is no such server")?;
    let workers = workers.parse().map_err(|_| "that is no number of workers")?;
    std::thread::spawn(end_with_stdin);
    match peer {
        Peer::Sylvan => threads::sylvan(workers, manner),
        Peer::May => threads::may(workers, manner),
        Peer::Std => threads::std(workers, manner),
        Peer::Tokio => tasks::tokio(true, workers, manner),
        Peer::TokioCurrent => tasks::tokio(false, workers, manner),
        Peer::Bare => bare::serve(manner),
        Peer::Go => return Err("the server in Go is a program of its own".to_owned()),
    }
    Err("the server has ended".to_owned())
}

/// Ends the process when nobody holds the other end of its stdin any more.
fn end_with_stdin() {
    // An error is an end, too.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}

/// Tells the generator where to connect to.
fn announce(address: std::io::Result<SocketAddr>) {
    println!("listening {}", address.expect("a bound listener has an address").port());
    std::io::stdout().flush().expect("the generator reads this");
}

const PORT: &str = "127.0.0.1:0";
const BOUND: &str = "there is a port left";
const ACCEPTED: &str = "there are descriptors left";
const OPTION: &str = "TCP has this option";
