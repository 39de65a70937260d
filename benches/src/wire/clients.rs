//! Connections that last, each asking again as soon as it has its answer.
//!
//! One kernel thread has them all. A request is a message of which the first word is the server's
//! to change, then come the numbers of client and request, and every answer is compared with its
//! request: a server that mixes up connections or loses a byte gives no figure. At the end they are
//! reset: a run has a million connections, and closed ones would be remembered for a minute each.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::MESSAGE;
use super::system::{Poller, reset_on_close};
use super::window::{Length, Played, Window};

/// All connections of one generator.
pub(crate) struct Clients {
    address: SocketAddr,
    poller: Poller,
    all: Vec<Client>,
    ready: Vec<u64>,
}

struct Client {
    stream: TcpStream,
    request: [u8; MESSAGE],
    answer: [u8; MESSAGE],
    /// Bytes of the answer that are there.
    got: usize,
    /// When the request was sent.
    sent: u64,
}

/// So many connect before they are asked for the first time: fewer than any listener's backlog, so
/// that none of them has to knock twice, a second later.
const AT_ONCE: usize = 64;

impl Clients {
    pub(crate) fn of(address: SocketAddr) -> Clients {
        Clients { address, poller: Poller::new(), all: Vec::new(), ready: Vec::new() }
    }

    /// Connects so many more. Each has had an answer when this returns, so the server knows it.
    pub(crate) fn connect(&mut self, count: usize) {
        let mut missing = count;
        while missing > 0 {
            let first = self.all.len();
            for at in first..first + missing.min(AT_ONCE) {
                let client = Client::connect(self.address, at);
                self.poller.add(&client.stream, at as u64);
                self.all.push(client);
            }
            missing -= self.all.len() - first;
            self.all[first..].iter_mut().for_each(|client| client.ask(0));
            let mut unanswered = self.all.len() - first;
            while unanswered > 0 {
                self.poller.wait(&mut self.ready);
                let ready = self.ready.iter();
                unanswered -= ready.filter(|&&at| self.all[at as usize].receive()).count();
            }
        }
    }

    /// Plays a closed loop on all connections; `mark` reads off the server at begin and end.
    pub(crate) fn play<T>(&mut self, length: Length, mark: impl FnMut() -> T) -> Played<T> {
        let mut window = Window::new(length, mark);
        for client in &mut self.all {
            client.ask(window.now());
        }
        let mut asking = self.all.len();
        while asking > 0 {
            self.poller.wait(&mut self.ready);
            for &at in &self.ready {
                let client = &mut self.all[at as usize];
                if !client.receive() {
                    continue;
                }
                // One reading is both: when the answer came and when the next request goes.
                let now = window.now();
                window.answered(now - client.sent);
                if window.is_over() {
                    asking -= 1;
                } else {
                    client.ask(now);
                }
            }
            window.turn();
        }
        window.played()
    }

    /// Of each connection the first word of its last answer, which servers may fill.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.all.iter().map(|client| client.word())
    }
}

impl Client {
    fn connect(address: SocketAddr, at: usize) -> Client {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("connection {at} was not to be had: {error}"));
        stream.set_nodelay(true).expect("TCP has this option");
        stream.set_nonblocking(true).expect("sockets have this mode");
        reset_on_close(&stream);
        let mut request = [b'.'; MESSAGE];
        request[..8].fill(0);
        request[8..16].copy_from_slice(&(at as u64).to_le_bytes());
        request[16..24].fill(0);
        Client { stream, request, answer: [0; MESSAGE], got: 0, sent: 0 }
    }

    /// Sends the next request.
    #[inline]
    fn ask(&mut self, now: u64) {
        let number = u64::from_le_bytes(self.request[16..24].try_into().expect("eight bytes"));
        self.request[16..24].copy_from_slice(&(number + 1).to_le_bytes());
        (self.got, self.sent) = (0, now);
        let sent = self.stream.write(&self.request).expect("the server lives");
        assert_eq!(sent, MESSAGE, "one message always fits");
    }

    /// Takes what has arrived, and says whether the answer is complete.
    #[inline]
    fn receive(&mut self) -> bool {
        match self.stream.read(&mut self.answer[self.got..]) {
            Ok(0) => panic!("the server closed a connection"),
            Ok(bytes) => self.got += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the server's answer: {error}"),
        }
        let complete = self.got == MESSAGE;
        assert!(!complete || self.answer[8..] == self.request[8..], "no answer to this request");
        complete
    }

    fn word(&self) -> u64 {
        u64::from_le_bytes(self.answer[..8].try_into().expect("eight bytes"))
    }
}
