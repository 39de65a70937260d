//! How streams end: shutdown of each half, half-closed connections, resets, peers that are gone.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use super::net::{TcpListener, TcpStream};
use super::pairs::{ANY, Pair, with_streams};
use super::unix::UnixStream;
use super::{everywhere, settle, thread, until};
use crate::{probe, sample};

#[test]
fn shutdown_of_writing_is_the_end_to_the_peer_who_can_still_answer() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        thread::scope(|scope| {
            let server = scope.spawn(move || {
                let mut got = Vec::new();
                right.read_to_end(&mut got).unwrap();
                got.reverse();
                right.write_all(&got).unwrap();
            });
            left.write_all(b"question").unwrap();
            settle();
            left.shutdown(Shutdown::Write).unwrap();
            let error = left.write(b"more").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            let mut answer = Vec::new();
            left.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"noitseuq");
            server.join().unwrap();
        });
    });
}

#[test]
fn half_closed_stream_carries_megabytes_the_other_way() {
    const LENGTH: usize = 1 << 20;
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        left.shutdown(Shutdown::Write).unwrap();
        assert_eq!(right.read(&mut [0; 8]).unwrap(), 0);
        thread::scope(|scope| {
            scope.spawn(move || right.write_all(&sample::bytes(1, LENGTH)).unwrap());
            let mut got = Vec::new();
            left.read_to_end(&mut got).unwrap();
            assert_eq!(got.len(), LENGTH);
            sample::expect(1, 0, &got);
        });
    });
}

#[test]
fn shutdown_of_reading_ends_a_read_that_waits() {
    with_streams!(Stream, {
        let (left, right) = Stream::connected();
        thread::scope(|scope| {
            let readers = [(); 3].map(|()| scope.spawn(|| (&left).read(&mut [0; 4]).unwrap()));
            settle();
            left.shutdown(Shutdown::Read).unwrap();
            assert_eq!(readers.map(|reader| reader.join().unwrap()), [0; 3]);
        });
        assert_eq!((&left).read(&mut [0; 4]).unwrap(), 0);
        // The other direction is untouched.
        (&left).write_all(b"on").unwrap();
        let mut got = [0; 2];
        (&right).read_exact(&mut got).unwrap();
        assert_eq!(&got, b"on");
    });
}

#[test]
fn shutdown_of_both_ends_readers_and_writers_that_wait() {
    with_streams!(Stream, {
        let (left, _right) = Stream::connected();
        probe::shrink_buffers(&left);
        thread::scope(|scope| {
            let reader = scope.spawn(|| (&left).read(&mut [0; 4]).unwrap());
            let writer = scope.spawn(|| (&left).write_all(&sample::bytes(1, 1 << 20)).unwrap_err());
            settle();
            left.shutdown(Shutdown::Both).unwrap();
            assert_eq!(reader.join().unwrap(), 0);
            assert_eq!(writer.join().unwrap().kind(), ErrorKind::BrokenPipe);
        });
    });
}

#[test]
fn shutdown_of_a_clone_is_one_of_the_stream() {
    with_streams!(Stream, {
        let (left, mut right) = Stream::connected();
        let clone = left.try_clone().unwrap();
        clone.shutdown(Shutdown::Write).unwrap();
        assert_eq!(right.read(&mut [0]).unwrap(), 0);
        assert_eq!((&left).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn shutdown_ends_a_read_on_a_clone() {
    with_streams!(Stream, {
        let (left, _right) = Stream::connected();
        let mut clone = left.try_clone().unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(move || clone.read(&mut [0; 4]).unwrap());
            settle();
            left.shutdown(Shutdown::Both).unwrap();
            assert_eq!(reader.join().unwrap(), 0);
        });
    });
}

#[test]
fn shutdown_of_writing_ends_a_write_on_a_clone() {
    with_streams!(Stream, {
        let (left, _right) = Stream::connected();
        probe::shrink_buffers(&left);
        let mut clone = left.try_clone().unwrap();
        thread::scope(|scope| {
            let write = move || clone.write_all(&sample::bytes(1, 1 << 20)).unwrap_err();
            let writer = scope.spawn(write);
            settle();
            left.shutdown(Shutdown::Write).unwrap();
            assert_eq!(writer.join().unwrap().kind(), ErrorKind::BrokenPipe);
        });
        // A clone that has gone is in nobody's way.
        left.shutdown(Shutdown::Both).unwrap();
    });
}

#[test]
fn shutdown_twice_is_refused_by_tcp_once_the_peer_knows() {
    everywhere(|| {
        let (left, mut right) = TcpStream::connected();
        left.shutdown(Shutdown::Write).unwrap();
        assert_eq!(right.read(&mut [0]).unwrap(), 0);
        right.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&left).read(&mut [0]).unwrap(), 0);
        // Both halves are closed, so there is no connection any more.
        until(|| left.shutdown(Shutdown::Both).is_err());
        let error = left.shutdown(Shutdown::Both).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        let (left, _right) = UnixStream::connected();
        left.shutdown(Shutdown::Both).unwrap();
        left.shutdown(Shutdown::Both).unwrap();
    });
}

#[test]
fn stream_is_open_as_long_as_a_clone_lives() {
    with_streams!(Stream, {
        let (left, mut right) = Stream::connected();
        let mut clone = left.try_clone().unwrap();
        drop(left);
        clone.write_all(b"still").unwrap();
        let mut got = [0; 5];
        right.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"still");
        thread::scope(|scope| {
            let reader = scope.spawn(move || right.read(&mut [0]).unwrap());
            settle();
            drop(clone);
            assert_eq!(reader.join().unwrap(), 0);
        });
    });
}

#[test]
fn write_to_a_peer_that_has_gone_fails_and_kills_nobody() {
    with_streams!(Stream, {
        let (mut left, right) = Stream::connected();
        drop(right);
        // A TCP peer answers the first write with a reset, so a later one fails.
        let error = loop {
            if let Err(error) = left.write(b"hello?") {
                break error;
            }
            thread::yield_now();
        };
        let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        assert!(error.raw_os_error().is_some());
    });
}

#[test]
fn writer_that_waits_is_told_that_the_peer_has_gone() {
    with_streams!(Stream, {
        let (mut left, right) = Stream::connected();
        probe::shrink_buffers(&left);
        thread::scope(|scope| {
            let writer =
                scope.spawn(move || left.write_all(&sample::bytes(1, 1 << 20)).unwrap_err());
            // Some has come, and more than fits is under way.
            (&right).read_exact(&mut [0; 100]).unwrap();
            settle();
            drop(right);
            let kind = writer.join().unwrap().kind();
            let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
            assert!(kinds.contains(&kind), "{kind:?}");
        });
    });
}

#[test]
fn reset_of_a_tcp_peer_ends_reads_that_wait_and_comes_once() {
    everywhere(|| {
        let (mut left, right) = TcpStream::connected();
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let error = left.read(&mut [0; 4]).unwrap_err();
                // The error is taken, and what is left is the end.
                (error, left.read(&mut [0; 4]).unwrap(), left.peer_addr().unwrap_err())
            });
            settle();
            probe::reset_when_closed(&right);
            drop(right);
            let (error, end, no_peer) = reader.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
            assert_eq!((end, no_peer.kind()), (0, ErrorKind::NotConnected));
        });
    });
}

#[test]
fn reset_of_a_tcp_peer_throws_unread_bytes_away() {
    everywhere(|| {
        let (mut left, mut right) = TcpStream::connected();
        right.write_all(b"bytes that come").unwrap();
        until(|| probe::unread(&left) == 15);
        probe::reset_when_closed(&right);
        drop(right);
        // The bytes are in left's queue, and the reset comes after them.
        let mut got = Vec::new();
        let error = left.read_to_end(&mut got).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn take_error_gives_the_reset_and_leaves_none() {
    everywhere(|| {
        let (mut left, right) = TcpStream::connected();
        assert!(left.take_error().unwrap().is_none());
        probe::reset_when_closed(&right);
        drop(right);
        until(|| match left.take_error().unwrap() {
            Some(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                true
            }
            None => false,
        });
        assert!(left.take_error().unwrap().is_none());
        assert_eq!(left.read(&mut [0]).unwrap(), 0);
        let (left, _right) = UnixStream::connected();
        assert!(left.take_error().unwrap().is_none());
    });
}

#[test]
fn unix_peer_that_leaves_bytes_unread_resets() {
    everywhere(|| {
        let (mut left, right) = UnixStream::connected();
        left.write_all(b"never read").unwrap();
        drop(right);
        assert_eq!(left.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(left.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn connection_is_closed_by_the_drop_of_a_listener_that_never_accepted() {
    everywhere(|| {
        let listener = TcpListener::bind(ANY).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(move || client.read(&mut [0; 4]).unwrap_err().kind());
            settle();
            drop(listener);
            assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionReset);
        });
    });
}
