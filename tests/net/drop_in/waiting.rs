//! What bounds waits or forbids them: timeouts of both directions, and `set_nonblocking`.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use super::net::{TcpStream, UdpSocket};
use super::pairs::{Pair, listen, with_datagrams, with_streams};
use super::unix::{UnixDatagram, UnixListener, UnixStream};
use super::{everywhere, now, settle, thread, until};
use crate::place::Place;
use crate::{probe, sample};

const SHORT: Duration = Duration::from_millis(20);
/// For what was sent to come, however busy the machine is.
const LONG: Duration = Duration::from_secs(60);

/// The same for all sockets that have timeouts.
fn expect_settings<S>(
    socket: &S,
    set: fn(&S, Option<Duration>) -> std::io::Result<()>,
    get: fn(&S) -> std::io::Result<Option<Duration>>,
) {
    assert_eq!(get(socket).unwrap(), None);
    // Multiples of the system's ticks, however many it has in a second.
    for timeout in [Duration::from_secs(10), Duration::from_millis(500), Duration::from_secs(1)] {
        set(socket, Some(timeout)).unwrap();
        assert_eq!(get(socket).unwrap(), Some(timeout));
    }
    let error = set(socket, Some(Duration::ZERO)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(get(socket).unwrap(), Some(Duration::from_secs(1)), "a refusal changes nothing");
    // Too short to be kept exactly, and not none.
    set(socket, Some(Duration::from_nanos(1))).unwrap();
    assert!(get(socket).unwrap().is_some_and(|timeout| !timeout.is_zero()));
    set(socket, None).unwrap();
    assert_eq!(get(socket).unwrap(), None);
}

#[test]
fn timeouts_are_read_back_and_zero_is_refused() {
    macro_rules! expect {
        ($($socket:ident)+) => {
            $(
                let (left, _right) = $socket::connected();
                expect_settings(&left, $socket::set_read_timeout, $socket::read_timeout);
                expect_settings(&left, $socket::set_write_timeout, $socket::write_timeout);
                left.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
                assert_eq!(left.write_timeout().unwrap(), None, "they are two");
                let clone = left.try_clone().unwrap();
                assert_eq!(clone.read_timeout().unwrap(), Some(Duration::from_secs(3)));
            )+
        };
    }
    everywhere(|| {
        expect!(TcpStream UdpSocket UnixStream UnixDatagram);
    });
}

#[test]
fn read_of_a_stream_ends_with_its_timeout_and_the_stream_goes_on() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        left.set_read_timeout(Some(SHORT)).unwrap();
        let start = now();
        let error = left.read(&mut [0; 4]).unwrap_err();
        assert!(now() - start >= SHORT);
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        right.write_all(b"late").unwrap();
        let mut got = [0; 4];
        left.set_read_timeout(Some(LONG)).unwrap();
        left.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"late");
        left.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(left.read_exact(&mut got).unwrap_err().kind(), ErrorKind::WouldBlock);
        // Back to no bound at all.
        left.set_read_timeout(None).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(move || left.read(&mut [0; 4]).unwrap());
            settle();
            right.write_all(b"on").unwrap();
            assert_eq!(reader.join().unwrap(), 2);
        });
    });
}

#[test]
fn read_exact_that_times_out_has_taken_what_had_come() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        left.set_read_timeout(Some(SHORT)).unwrap();
        right.write_all(b"12").unwrap();
        let mut got = [0; 4];
        assert_eq!(left.read_exact(&mut got).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(&got[..2], b"12");
        right.write_all(b"3456").unwrap();
        left.set_read_timeout(Some(LONG)).unwrap();
        left.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"3456");
    });
}

#[test]
fn write_to_a_full_stream_ends_with_its_timeout() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        left.set_write_timeout(Some(SHORT)).unwrap();
        let bytes = sample::bytes(1, 1 << 16);
        let mut written = 0;
        let error = loop {
            let start = now();
            match left.write(&bytes[written % bytes.len()..]) {
                Ok(count) => written += count,
                Err(error) => {
                    assert!(now() - start >= SHORT);
                    break error;
                }
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        // All that was said to be written is there, and no more.
        drop(left);
        let mut got = Vec::new();
        right.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), written);
        assert!(got.chunks(bytes.len()).all(|chunk| *chunk == bytes[..chunk.len()]));
    });
}

#[test]
fn timeouts_bound_datagrams_too() {
    with_datagrams!(Socket, {
        let (left, right) = Socket::connected();
        left.set_read_timeout(Some(SHORT)).unwrap();
        let start = now();
        assert_eq!(left.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(left.recv_from(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(now() - start >= 2 * SHORT);
        right.send(b"late").unwrap();
        left.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(left.recv(&mut [0; 9]).unwrap(), 4);
    });
    everywhere(|| {
        let (left, _right) = UdpSocket::connected();
        left.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(left.peek(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(left.peek_from(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let (left, _right) = TcpStream::connected();
        left.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(left.peek(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn send_to_a_full_unix_receiver_ends_with_its_timeout() {
    everywhere(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        left.set_write_timeout(Some(SHORT)).unwrap();
        let mut sent = 0_usize;
        let error = loop {
            let start = now();
            match left.send(&sample::bytes(1, 1000 + sent)) {
                Ok(_) => sent += 1,
                Err(error) => {
                    assert!(now() - start >= SHORT);
                    break error;
                }
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        for number in 0..sent {
            assert_eq!(right.recv(&mut [0; 9000]).unwrap(), 1000 + number);
        }
        left.send(b"x").unwrap();
    });
}

#[test]
fn nonblocking_stream_never_waits() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        left.set_nonblocking(true).unwrap();
        let error = left.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        right.write_all(b"four").unwrap();
        until(|| probe::unread(&left) == 4);
        assert_eq!(left.read(&mut [0; 9]).unwrap(), 4);
        assert_eq!(left.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut written = 0;
        let full = loop {
            match left.write(&[7; 5000]) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        // The other end is its own socket, and waits as before.
        let mut got = vec![0; written];
        right.read_exact(&mut got).unwrap();
        assert!(got.iter().all(|&byte| byte == 7));
        left.set_nonblocking(false).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(move || left.read(&mut [0; 4]).unwrap());
            settle();
            right.write_all(b"on").unwrap();
            assert_eq!(reader.join().unwrap(), 2);
        });
    });
}

#[test]
fn clone_of_a_nonblocking_stream_is_nonblocking() {
    with_streams!(Stream, {
        let (left, _right) = Stream::connected();
        left.set_nonblocking(true).unwrap();
        let mut clone = left.try_clone().unwrap();
        assert_eq!(clone.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn clones_share_what_is_asked_for_later() {
    with_streams!(Stream, {
        let (left, _right) = Stream::connected();
        let mut clone = left.try_clone().unwrap();
        left.set_read_timeout(Some(SHORT)).unwrap();
        assert!(clone.read_timeout().unwrap().is_some());
        assert_eq!(clone.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        clone.set_read_timeout(None).unwrap();
        assert_eq!(left.read_timeout().unwrap(), None);
        clone.set_nonblocking(true).unwrap();
        assert_eq!((&left).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        left.set_nonblocking(false).unwrap();
        clone.set_read_timeout(Some(SHORT)).unwrap();
        let begun = now();
        assert_eq!((&left).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(now() - begun >= SHORT / 2, "it did not wait");
    });
}

#[test]
fn nonblocking_datagrams_never_wait() {
    with_datagrams!(Socket, {
        let (left, right) = Socket::connected();
        left.set_nonblocking(true).unwrap();
        assert_eq!(left.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(left.recv_from(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        right.send(b"four").unwrap();
        until(|| probe::unread(&left) == 4);
        assert_eq!(left.recv(&mut [0; 9]).unwrap(), 4);
        left.set_nonblocking(false).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(move || left.recv(&mut [0; 4]).unwrap());
            settle();
            right.send(b"on").unwrap();
            assert_eq!(reader.join().unwrap(), 2);
        });
    });
    everywhere(|| {
        let (left, _right) = UnixDatagram::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        let full = (0..100_000).find_map(|_| left.send(b"x").err()).expect("queues are short");
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn nonblocking_listeners_never_wait_and_their_streams_do() {
    everywhere(|| {
        let (listener, address) = listen();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let first = listener.incoming().next().unwrap();
        assert_eq!(first.unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut client = TcpStream::connect(address).unwrap();
        let mut server = loop {
            match listener.accept() {
                Ok((server, _)) => break server,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            thread::yield_now();
        };
        thread::scope(|scope| {
            let reader = scope.spawn(move || server.read(&mut [0; 4]).unwrap());
            settle();
            client.write_all(b"on").unwrap();
            assert_eq!(reader.join().unwrap(), 2);
        });
        let place = Place::new();
        let listener = UnixListener::bind(place.path("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut client = UnixStream::connect(place.path("socket")).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(move || server.read(&mut [0; 4]).unwrap());
            settle();
            client.write_all(b"on").unwrap();
            assert_eq!(reader.join().unwrap(), 2);
        });
    });
}
