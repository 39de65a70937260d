//! Looking at what has come without taking it.
#![forbid(unsafe_code)]

use std::io::{Read, Write};

use super::net::{TcpStream, UdpSocket};
use super::pairs::Pair;
use super::{everywhere, settle, thread};

#[test]
fn peek_waits_and_leaves_the_bytes() {
    everywhere(|| {
        let (mut left, mut right) = TcpStream::connected();
        thread::scope(|scope| {
            let peeker = scope.spawn(|| {
                let mut seen = [0; 3];
                assert_eq!(right.peek(&mut seen).unwrap(), 3);
                seen
            });
            settle();
            left.write_all(b"abcdef").unwrap();
            assert_eq!(&peeker.join().unwrap(), b"abc");
        });
        let mut seen = [0; 9];
        assert_eq!(right.peek(&mut seen).unwrap(), 6);
        assert_eq!(right.peek(&mut seen).unwrap(), 6);
        right.read_exact(&mut seen[..6]).unwrap();
        assert_eq!(&seen[..6], b"abcdef");
        drop(left);
        assert_eq!(right.peek(&mut seen).unwrap(), 0);
        assert_eq!(right.read(&mut seen).unwrap(), 0);
    });
}

#[test]
fn peek_and_then_read_of_less_than_there_is() {
    everywhere(|| {
        let (mut left, mut right) = TcpStream::connected();
        left.write_all(b"0123456789").unwrap();
        let mut seen = [0; 100];
        assert_eq!(right.peek(&mut seen).unwrap(), 10);
        for digit in b"0123456789" {
            let mut got = [0];
            assert_eq!(right.read(&mut got).unwrap(), 1);
            assert_eq!(got[0], *digit);
        }
        left.write_all(b"more").unwrap();
        assert_eq!(right.peek(&mut seen[..2]).unwrap(), 2);
        assert_eq!(right.read(&mut seen).unwrap(), 4);
    });
}

#[test]
fn peek_of_a_datagram_leaves_it_whole() {
    everywhere(|| {
        let (left, right) = UdpSocket::connected();
        let from = left.local_addr().unwrap();
        thread::scope(|scope| {
            let peeker = scope.spawn(|| {
                let mut seen = [0; 2];
                (right.peek_from(&mut seen).unwrap(), seen)
            });
            settle();
            left.send(b"first").unwrap();
            left.send(b"second").unwrap();
            assert_eq!(peeker.join().unwrap(), ((2, from), *b"fi"));
        });
        let mut got = [0; 9];
        assert_eq!(right.peek(&mut got).unwrap(), 5);
        assert_eq!(right.recv_from(&mut got).unwrap(), (5, from));
        assert_eq!(&got[..5], b"first");
        assert_eq!(right.recv(&mut got).unwrap(), 6);
    });
}
