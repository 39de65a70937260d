//! Tests of sources on the default runtime, by green threads and by the kernel thread of the test.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::{Interest, Source};
use crate::task::WaitKind;
use crate::thread;

type Stream = Source<UnixStream>;

fn pair() -> (Arc<Stream>, Arc<Stream>) {
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    let source = |stream| Arc::new(Source::adopt(stream).expect("an open socket"));
    (source(near), source(far))
}

fn read(stream: &Stream) -> std::io::Result<u8> {
    let mut byte = [0];
    stream.perform(Interest::Read, WaitKind::SocketRead, |mut s| s.read_exact(&mut byte))?;
    Ok(byte[0])
}

fn write(stream: &Stream, byte: u8) {
    let kind = WaitKind::SocketWrite;
    stream.perform(Interest::Write, kind, |mut s| s.write_all(&[byte])).expect("a peer");
}

#[test]
fn byte_goes_to_and_fro_between_threads_of_all_kinds() {
    let (near, far) = pair();
    let echo = thread::spawn(move || {
        while let Ok(byte) = read(&far) {
            write(&far, byte + 1);
        }
    });
    let green = {
        let near = near.clone();
        thread::spawn(move || {
            for round in 0..100 {
                write(&near, round);
                assert_eq!(read(&near).unwrap(), round + 1);
            }
        })
    };
    green.join().unwrap();
    for round in 100..200 {
        write(&near, round);
        assert_eq!(read(&near).unwrap(), round + 1);
    }
    drop(near);
    echo.join().unwrap();
}

#[test]
fn wait_that_is_cancelled_leaves_the_socket_usable() {
    let (near, far) = pair();
    let waits = {
        let near = near.clone();
        thread::spawn(move || read(&near).map(drop))
    };
    while !near.is_awaited(Interest::Read) {
        thread::yield_now();
    }
    waits.cancel().unwrap();
    assert!(waits.join().is_err());
    write(&far, 7);
    assert_eq!(read(&near).unwrap(), 7);
}

#[test]
fn timeout_ends_a_wait_as_the_kernel_does() {
    let (near, _far) = pair();
    near.set_timeout(Interest::Read, Some(Duration::from_millis(2))).unwrap();
    for on_green in [false, true] {
        let near = near.clone();
        let attempt = move || read(&near).unwrap_err().kind();
        let kind = if on_green { thread::spawn(attempt).join().unwrap() } else { attempt() };
        assert_eq!(kind, std::io::ErrorKind::WouldBlock);
    }
}

fn tcp_pair() -> (Arc<Source<TcpStream>>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let far = TcpStream::connect(listener.local_addr().expect("a port")).expect("a listener");
    let (near, _) = listener.accept().expect("a client");
    (Arc::new(Source::adopt(near).expect("an open socket")), far)
}

/// Reads by at most `room` bytes, until the end.
fn receive_all(stream: &Source<TcpStream>, room: usize) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), vec![0; room]);
    loop {
        let read = stream.receive(WaitKind::SocketRead, room, |mut s| s.read(&mut piece));
        match read.expect("a peer that ends well") {
            0 => return all,
            count => all.extend_from_slice(&piece[..count]),
        }
    }
}

/// Here the back ends differ: with epoll a short read says that the stream is empty, unless it was
/// told of an end; without, it says nothing.
#[test]
fn short_reads_are_followed_by_more_and_by_the_end() {
    for round in 0..200_u32 {
        let (near, mut far) = tcp_pair();
        let reader = thread::spawn(move || receive_all(&near, 64));
        for byte in 0..10 {
            far.write_all(&[byte, byte]).expect("a peer");
            if (round >> (byte % 8)) % 2 == 0 {
                std::thread::yield_now();
            }
        }
        drop(far);
        let sent: Vec<u8> = (0..10).flat_map(|byte| [byte, byte]).collect();
        assert_eq!(reader.join().unwrap(), sent, "round {round}");
    }
}

/// Where ends are not told as such, one waiter hands them on to the next.
#[test]
fn end_reaches_all_readers_and_each_byte_one() {
    for _ in 0..50 {
        let (near, mut far) = tcp_pair();
        let readers: Vec<_> = (1..=6)
            .map(|room| {
                let near = near.clone();
                thread::spawn(move || receive_all(&near, room).len())
            })
            .collect();
        far.write_all(&[7; 20]).expect("a peer");
        drop(far);
        let read: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert_eq!(read, 20);
    }
}

#[test]
fn peer_that_goes_with_data_unread_ends_readers_and_writers() {
    const LARGE: usize = 8 << 20;
    for _ in 0..10 {
        let (near, mut far) = tcp_pair();
        let write = || {
            let near = near.clone();
            thread::spawn(move || {
                let attempt = |mut s: &TcpStream| s.write(&vec![0; LARGE]);
                while near.perform(Interest::Write, WaitKind::SocketWrite, attempt).is_ok() {}
            })
        };
        let read = || {
            let near = near.clone();
            thread::spawn(move || {
                let attempt = |mut s: &TcpStream| s.read(&mut [0]);
                let read = || near.perform(Interest::Read, WaitKind::SocketRead, attempt);
                while read().is_ok_and(|count| count > 0) {}
            })
        };
        let threads = [write(), write(), read(), read()];
        far.read_exact(&mut [0; 1000]).expect("a peer");
        drop(far);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
