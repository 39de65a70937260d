//! The floor: one kernel thread around an epoll, and nothing that could be left out.
//!
//! Each arrival costs a read and a write, and each batch of them one wait. A read that does not
//! fill the buffer has taken all that was there, so nobody reads a second time to be told so.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::{ACCEPTED, BOUND, Manner, OPTION, PORT, announce};
use crate::wire::BUFFER;
use crate::wire::system::Poller;

const LISTENER: u64 = u64::MAX;

pub(super) fn serve(manner: Manner) {
    let listener = TcpListener::bind(PORT).expect(BOUND);
    listener.set_nonblocking(true).expect("sockets have this mode");
    let mut poller = Poller::new();
    poller.add(&listener, LISTENER);
    announce(listener.local_addr());
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut ready = Vec::new();
    loop {
        poller.wait(&mut ready);
        for &key in &ready {
            if key == LISTENER {
                accept(&listener, &poller, &mut streams, &mut free);
            } else if attend(&mut streams[key as usize], manner) {
                free.push(key as usize);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poller: &Poller,
    streams: &mut Vec<Option<TcpStream>>,
    free: &mut Vec<usize>,
) {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{ACCEPTED}: {error}"),
        };
        stream.set_nonblocking(true).expect("sockets have this mode");
        stream.set_nodelay(true).expect(OPTION);
        let at = free.pop().unwrap_or(streams.len());
        poller.add(&stream, at as u64);
        if at == streams.len() {
            streams.push(Some(stream));
        } else {
            streams[at] = Some(stream);
        }
    }
}

/// Answers what has arrived, and says whether that was the end of the connection.
fn attend(place: &mut Option<TcpStream>, manner: Manner) -> bool {
    let Some(stream) = place else { return false };
    let mut buffer = [0; BUFFER];
    let over = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(bytes) => {
                let written = stream.write(&buffer[..bytes]);
                if !written.is_ok_and(|written| written == bytes) || manner == Manner::Once {
                    break true;
                }
                if bytes < buffer.len() {
                    break false;
                }
            }
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
    };
    if over {
        *place = None;
    }
    over
}
