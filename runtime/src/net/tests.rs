//! Tests of the waits that no event of the socket ends: full queues, and want of descriptors. What
//! sockets do otherwise is tested in `tests/net`, on every shape of runtime.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::net::accept::Exhaustion;
use crate::net::unix::{UnixDatagram, UnixListener, UnixStream};
use crate::net::{TcpListener, TcpStream};
use crate::reactor::Source;
use crate::{clock, os, thread, time};

/// An address that nobody else has.
fn free_address() -> UnixAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // ORDERING: Relaxed; the numbers need only differ.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("sylvan-net-tests-{}-{number}", std::process::id());
    UnixAddr::from_abstract_name(name).unwrap()
}

/// Runs a body on a kernel thread, then on a green one.
fn on_both_kinds(body: fn()) {
    body();
    thread::spawn(body).join().unwrap();
}

/// Has a call that waits cut off until the cut has met it in its wait, whose kind and place it
/// tells then; a cut between two waits has nothing to tell.
fn cut_off_in_wait<T>(kind: &str, mut call: impl FnMut() -> T) {
    let mut told = String::new();
    for _ in 0..100 {
        let outcome = time::timeout(Duration::from_millis(5), &mut call).map(drop);
        told = outcome.expect_err("the call waits").to_string();
        if told.contains(&format!("{kind} at ")) && told.contains("net/tests.rs") {
            return;
        }
    }
    panic!("no cut has come while {kind}; the last one: {told}");
}

#[test]
fn unix_connect_to_a_full_queue_waits_for_room_and_can_be_cut_off() {
    on_both_kinds(|| {
        let address = free_address();
        let listener = UnixListener::bind_addr(&address).unwrap();
        os::set_queue_length(listener.as_fd(), 0).unwrap();
        let connect = || UnixStream::connect_addr(&address);
        let first = connect().unwrap();
        cut_off_in_wait("connecting", connect);
        thread::scope(|scope| {
            let second = scope.spawn(|| connect().unwrap());
            drop(listener.accept().unwrap());
            drop(listener.accept().unwrap());
            drop((first, second.join().unwrap()));
        });
        drop(listener);
        assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn tcp_connect_to_a_full_queue_ends_with_its_timeout_and_by_a_cut() {
    on_both_kinds(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        os::set_queue_length(listener.as_fd(), 0).unwrap();
        let address = listener.local_addr().unwrap();
        let timeout = Duration::from_millis(20);
        let mut clients = Vec::new();
        let (begun, error) = loop {
            let begun = clock::now();
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(client) => clients.push(client),
                Err(error) => break (begun, error),
            }
            assert!(clients.len() < 10, "a queue for one takes ten");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(clock::now() - begun >= timeout);
        cut_off_in_wait("connecting", || TcpStream::connect(address));
        // The timeout of connecting is none of the connection.
        assert_eq!(clients[0].write_timeout().unwrap(), None);
    });
}

/// A receiver that is full, and how much `sender` has sent to it.
fn full_receiver(sender: &UnixDatagram, address: &UnixAddr) -> (UnixDatagram, u32) {
    let receiver = UnixDatagram::bind_addr(address).unwrap();
    sender.set_nonblocking(true).unwrap();
    let mut sent = 0;
    loop {
        match sender.send_to_addr(&[7], address) {
            Ok(_) => sent += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                sender.set_nonblocking(false).unwrap();
                return (receiver, sent);
            }
        }
    }
}

#[test]
fn datagrams_to_a_full_receiver_wait_for_room_for_a_timeout_or_a_cut() {
    on_both_kinds(|| {
        let (sender, address) = (UnixDatagram::unbound().unwrap(), free_address());
        let (receiver, sent) = full_receiver(&sender, &address);
        let timeout = Duration::from_millis(3);
        sender.set_write_timeout(Some(timeout)).unwrap();
        let begun = clock::now();
        let error = sender.send_to_addr(&[8], &address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(clock::now() - begun >= timeout);
        sender.set_write_timeout(None).unwrap();
        cut_off_in_wait("writing to a socket", || sender.send_to_addr(&[8], &address));
        thread::scope(|scope| {
            scope.spawn(|| sender.send_to_addr(&[9], &address).unwrap());
            let mut byte = [0];
            for _ in 0..sent {
                receiver.recv(&mut byte).unwrap();
                assert_eq!(byte, [7]);
            }
            receiver.recv(&mut byte).unwrap();
            assert_eq!(byte, [9]);
        });
    });
}

/// The sender is not the receiver's peer, so the receiver's queue has a limit, and each failed
/// `send` must be followed by an event.
#[test]
fn datagrams_to_a_peer_that_reads_slowly_all_arrive() {
    on_both_kinds(|| {
        let (sender, address) = (UnixDatagram::unbound().unwrap(), free_address());
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        sender.connect_addr(&address).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..20_000_u32 {
                    sender.send(&number.to_ne_bytes()).unwrap();
                }
            });
            let mut number = [0; 4];
            for expected in 0..20_000_u32 {
                assert_eq!(receiver.recv(&mut number).unwrap(), 4);
                assert_eq!(u32::from_ne_bytes(number), expected);
                if expected % 97 == 0 {
                    thread::yield_now();
                }
            }
        });
    });
}

#[test]
fn accept_after_a_want_of_descriptors_pauses_first_and_only_once() {
    on_both_kinds(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (source, exhaustion) = (Source::adopt(listener).unwrap(), Exhaustion::new());
        let mut attempts = 0;
        let mut accept = |result: io::Result<()>| {
            let mut result = Some(result);
            exhaustion.accept(&source, |_| {
                attempts += 1;
                result.take().expect("one attempt is enough")
            })
        };
        let error = || io::Error::from_raw_os_error(libc::EMFILE);
        assert_eq!(accept(Err(error())).unwrap_err().raw_os_error(), Some(libc::EMFILE));
        let begun = clock::now();
        // The pause can be cut off, and is then still to be made.
        cut_off_in_wait("accepting a connection", || accept(Ok(())));
        accept(Ok(())).unwrap();
        assert!(clock::now() - begun >= Duration::from_millis(10));
        accept(Err(error())).unwrap_err();
        let begun = clock::now();
        accept(Ok(())).unwrap();
        assert!(clock::now() - begun >= Duration::from_millis(10));
        // An error of one connection is no reason.
        accept(Err(io::Error::from_raw_os_error(libc::ECONNABORTED))).unwrap_err();
        accept(Ok(())).unwrap();
        assert_eq!(attempts, 6);
    });
}

/// std's socket is blocking, and so is the one that both are descriptors of.
#[test]
fn reading_beside_a_clone_that_was_given_to_std_does_not_block_the_worker() {
    on_both_kinds(|| {
        let (kept, mut peer) = UnixStream::pair().unwrap();
        let given: std::os::unix::net::UnixStream = kept.try_clone().unwrap().into();
        let mut byte = [0];
        cut_off_in_wait("reading from a socket", || (&kept).read(&mut byte));
        peer.write_all(&[5]).unwrap();
        (&given).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [5]);
    });
}
