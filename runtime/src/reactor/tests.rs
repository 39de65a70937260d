//! Tests of sources on the default runtime, by green threads and by the kernel thread of the test.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
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
