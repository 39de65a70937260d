//! Clients that come, ask one thing, and go: a closed loop of whole connections.
//!
//! The server closes after its answer, as in HTTP/1.0, and the client, when it has seen that, ends
//! the connection by a reset, so that neither side keeps a port for a minute: at ten thousand
//! connections a second there would be none left after three. A latency is from the connection's
//! first packet to its end.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::MESSAGE;
use super::system::{Poller, reset_on_close};
use super::window::{Length, Played, Window};

/// One of those who are there at the same time.
struct Visitor {
    stream: TcpStream,
    answer: [u8; MESSAGE],
    got: usize,
    came: u64,
}

/// Plays with so many at once, fewer than a listener's backlog.
pub(crate) fn play<T>(
    address: SocketAddr,
    at_once: usize,
    length: Length,
    mark: impl FnMut() -> T,
) -> Played<T> {
    let mut window = Window::new(length, mark);
    let mut poller = Poller::new();
    let visit = |poller: &Poller, at: usize, now: u64| {
        let visitor = Visitor::come(address, now);
        poller.add(&visitor.stream, at as u64);
        visitor
    };
    let mut all: Vec<Option<Visitor>> = Vec::new();
    for at in 0..at_once {
        all.push(Some(visit(&poller, at, window.now())));
    }
    let mut there = at_once;
    let mut ready = Vec::new();
    while there > 0 {
        poller.wait(&mut ready);
        for at in ready.iter().map(|&key| key as usize) {
            let Some(visitor) = &mut all[at] else { continue };
            if !visitor.has_been_served() {
                continue;
            }
            let now = window.now();
            window.answered(now - visitor.came);
            // Closes the one before the next connects, so there are never more than `at_once`.
            all[at] = None;
            if window.is_over() {
                there -= 1;
            } else {
                all[at] = Some(visit(&poller, at, now));
            }
        }
        window.turn();
    }
    window.played()
}

impl Visitor {
    fn come(address: SocketAddr, now: u64) -> Visitor {
        let mut stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("a connection was not to be had: {error}"));
        stream.set_nodelay(true).expect("TCP has this option");
        stream.set_nonblocking(true).expect("sockets have this mode");
        reset_on_close(&stream);
        let sent = stream.write(&[b'.'; MESSAGE]).expect("the server lives");
        assert_eq!(sent, MESSAGE, "one message always fits");
        Visitor { stream, answer: [0; MESSAGE], got: 0, came: now }
    }

    /// Takes what has arrived, and says whether the server has answered and closed.
    fn has_been_served(&mut self) -> bool {
        loop {
            // A read into nothing would tell nothing, so there is room for one byte too much.
            let mut more = [0; 1];
            let room =
                if self.got < MESSAGE { &mut self.answer[self.got..] } else { &mut more[..] };
            match self.stream.read(room) {
                Ok(0) => {
                    assert_eq!(self.got, MESSAGE, "the server closed before it had answered");
                    assert_eq!(self.answer, [b'.'; MESSAGE], "the answer is not the request");
                    return true;
                }
                Ok(bytes) => self.got += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("the server's answer: {error}"),
            }
            assert!(self.got <= MESSAGE, "the answer is longer than the request");
        }
    }
}
