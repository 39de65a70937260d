//! Sockets as descriptors and as std's own: what is under way stays, and so does the mode.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use sylvan_workspace::on_foreign_thread;

use super::net::{TcpListener, TcpStream, UdpSocket};
use super::pairs::{Pair, listen};
use super::unix::{UnixDatagram, UnixListener, UnixStream};
use super::{everywhere, settle, thread};
use crate::place::Place;
use crate::probe;

/// Runs a block with each kind of stream, and std's of the same name.
macro_rules! with_both {
    ($stream:ident, $std:ident, $body:block) => {
        everywhere(|| {
            {
                type $stream = TcpStream;
                type $std = std::net::TcpStream;
                $body
            }
            {
                type $stream = UnixStream;
                type $std = std::os::unix::net::UnixStream;
                $body
            }
        })
    };
}

#[test]
fn descriptor_is_the_same_through_all_conversions_and_the_bytes_stay() {
    with_both!(Stream, Std, {
        let (mut left, right) = Stream::connected();
        left.write_all(b"under way").unwrap();
        let number = right.as_raw_fd();
        assert_eq!(right.as_fd().as_raw_fd(), number);
        let owned = OwnedFd::from(right);
        assert_eq!(owned.as_raw_fd(), number);
        assert!(!probe::is_nonblocking(&owned) && probe::is_close_on_exec(&owned));
        let mut right = Stream::from(owned);
        let mut got = [0; 5];
        right.read_exact(&mut got).unwrap();
        let mut theirs = Std::from(right);
        assert_eq!(theirs.as_raw_fd(), number);
        assert!(!probe::is_nonblocking(&theirs));
        theirs.read_exact(&mut got[..4]).unwrap();
        assert_eq!(&got[..4], b" way");
        let mut right = Stream::from(theirs);
        assert_eq!(right.as_raw_fd(), number);
        right.write_all(b"back").unwrap();
        left.read_exact(&mut got[..4]).unwrap();
        let number_out = right.into_raw_fd();
        assert_eq!(number_out, number);
        drop(probe::take(number_out));
        assert_eq!(left.read(&mut got).unwrap(), 0, "it was the only descriptor");
    });
}

#[test]
fn std_gets_a_socket_that_waits_after_it_was_waited_for() {
    with_both!(Stream, Std, {
        let (mut left, right) = Stream::connected();
        thread::scope(|scope| {
            let reader = scope.spawn(|| (&right).read(&mut [0; 4]).unwrap());
            settle();
            left.write_all(b"one").unwrap();
            assert_eq!(reader.join().unwrap(), 3);
        });
        let mut theirs = Std::from(right);
        on_foreign_thread(move || {
            std::thread::scope(|scope| {
                let reader = scope.spawn(move || {
                    let mut got = [0; 3];
                    let count = theirs.read(&mut got).unwrap();
                    (count, got)
                });
                left.write_all(b"two").unwrap();
                assert_eq!(reader.join().unwrap(), (3, *b"two"));
            });
        });
    });
}

#[test]
fn sockets_of_std_wait_when_they_are_taken_over() {
    with_both!(Stream, Std, {
        let (left, right) = Stream::connected();
        let (mut left, right) = (Std::from(left), Std::from(right));
        right.set_read_timeout(Some(Duration::from_secs(50))).unwrap();
        let mut right = Stream::from(right);
        assert_eq!(right.read_timeout().unwrap(), Some(Duration::from_secs(50)));
        thread::scope(|scope| {
            let reader = scope.spawn(move || right.read(&mut [0; 4]).unwrap());
            settle();
            left.write_all(b"x").unwrap();
            assert_eq!(reader.join().unwrap(), 1);
        });
    });
}

#[test]
fn timeouts_go_with_the_socket() {
    with_both!(Stream, Std, {
        let (left, _right) = Stream::connected();
        left.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let theirs = Std::from(left);
        assert_eq!(theirs.write_timeout().unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(theirs.read_timeout().unwrap(), None);
        let ours = Stream::from(OwnedFd::from(theirs));
        assert_eq!(ours.write_timeout().unwrap(), Some(Duration::from_secs(5)));
    });
}

#[test]
fn mode_that_was_asked_for_goes_with_the_socket() {
    with_both!(Stream, Std, {
        let (left, _right) = Stream::connected();
        left.set_nonblocking(true).unwrap();
        let mut theirs = Std::from(left);
        assert!(probe::is_nonblocking(&theirs));
        assert_eq!(theirs.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn listeners_go_to_std_and_back_with_their_queues() {
    everywhere(|| {
        let (listener, address) = listen();
        let mut client = TcpStream::connect(address).unwrap();
        let theirs = std::net::TcpListener::from(listener);
        assert!(!probe::is_nonblocking(&theirs));
        let listener = TcpListener::from(OwnedFd::from(theirs));
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();

        let place = Place::new();
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let theirs = std::os::unix::net::UnixListener::from(listener);
        assert!(!probe::is_nonblocking(&theirs));
        let listener = UnixListener::from(OwnedFd::from(theirs));
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn datagram_sockets_go_to_std_and_back_with_their_datagrams() {
    everywhere(|| {
        let (left, right) = UdpSocket::connected();
        left.send(b"udp").unwrap();
        let theirs = std::net::UdpSocket::from(right);
        assert!(!probe::is_nonblocking(&theirs));
        let right = UdpSocket::from(OwnedFd::from(theirs));
        assert_eq!(right.recv(&mut [0; 9]).unwrap(), 3);
        assert_eq!(right.peer_addr().unwrap(), left.local_addr().unwrap());

        let (left, right) = UnixDatagram::pair().unwrap();
        left.send(b"unix").unwrap();
        let theirs = std::os::unix::net::UnixDatagram::from(right);
        assert!(!probe::is_nonblocking(&theirs));
        let right = UnixDatagram::from(OwnedFd::from(theirs));
        assert_eq!(right.recv(&mut [0; 9]).unwrap(), 4);
    });
}
