//! `UnixDatagram`: addresses of all kinds, whole datagrams, and a receiver who is slow.
#![forbid(unsafe_code)]

use std::fs;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;

use super::unix::{SocketAddr, UnixDatagram};
use super::{everywhere, settle, thread};
use crate::place::Place;
use crate::{probe, sample};

#[test]
fn datagrams_are_sent_to_paths_and_addresses() {
    everywhere(|| {
        let place = Place::new();
        let (here, there) = (place.path("here"), place.path("there"));
        let left = UnixDatagram::bind(&here).unwrap();
        let address = SocketAddr::from_pathname(&there).unwrap();
        let right = UnixDatagram::bind_addr(&address).unwrap();
        assert!(probe::is_close_on_exec(&left));
        assert_eq!(right.local_addr().unwrap().as_pathname(), Some(&*there));
        let mut room = [0; 9];
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let mut room = [0; 9];
                let (size, from) = right.recv_from(&mut room).unwrap();
                right.send_to(&room[..size], from.as_pathname().unwrap()).unwrap();
            });
            settle();
            assert_eq!(left.send_to(b"ping", &there).unwrap(), 4);
            let (size, from) = left.recv_from(&mut room).unwrap();
            assert_eq!((&room[..size], from.as_pathname()), (&b"ping"[..], Some(&*there)));
            receiver.join().unwrap();
        });
        assert_eq!(left.send_to_addr(b"more", &address).unwrap(), 4);
        assert_eq!(right.recv(&mut room).unwrap(), 4);
        let unbound = UnixDatagram::unbound().unwrap();
        assert!(unbound.local_addr().unwrap().is_unnamed());
        unbound.send_to(b"who?", &there).unwrap();
        let (size, from) = right.recv_from(&mut room).unwrap();
        assert!(size == 4 && from.is_unnamed());
    });
}

#[test]
fn connected_datagrams_have_one_peer() {
    everywhere(|| {
        let place = Place::new();
        let there = place.path("there");
        let right = UnixDatagram::bind(&there).unwrap();
        let left = UnixDatagram::unbound().unwrap();
        assert_eq!(left.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(left.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
        left.connect(&there).unwrap();
        assert_eq!(left.peer_addr().unwrap().as_pathname(), Some(&*there));
        left.send(b"by path").unwrap();
        let other = UnixDatagram::unbound().unwrap();
        other.connect_addr(&right.local_addr().unwrap()).unwrap();
        other.send(b"by address").unwrap();
        let mut room = [0; 20];
        assert_eq!(right.recv(&mut room).unwrap(), 7);
        assert_eq!(right.recv(&mut room).unwrap(), 10);
        drop(right);
        let error = left.send(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn abstract_names_are_addresses_of_datagrams() {
    everywhere(|| {
        let place = Place::new();
        let name = place.directory().as_os_str().as_encoded_bytes();
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let right = UnixDatagram::bind_addr(&address).unwrap();
        let left = UnixDatagram::unbound().unwrap();
        left.connect_addr(&address).unwrap();
        left.send(b"x").unwrap();
        left.send_to_addr(b"xy", &address).unwrap();
        let mut room = [0; 4];
        assert_eq!((right.recv(&mut room).unwrap(), right.recv(&mut room).unwrap()), (1, 2));
        assert_eq!(left.peer_addr().unwrap().as_abstract_name(), Some(name));
    });
}

#[test]
fn bind_and_send_fail_as_the_system_says() {
    everywhere(|| {
        let place = Place::new();
        let path = place.path("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let long = place.path(&"x".repeat(200));
        assert_eq!(UnixDatagram::bind(&long).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(socket.send_to(b"x", &long).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(socket.connect(&long).unwrap_err().kind(), ErrorKind::InvalidInput);
        let nowhere = place.path("nobody");
        assert_eq!(socket.send_to(b"x", &nowhere).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(socket.connect(&nowhere).unwrap_err().kind(), ErrorKind::NotFound);
        fs::remove_file(&path).unwrap();
        assert!(socket.take_error().unwrap().is_none());
    });
}

#[test]
fn datagrams_of_a_pair_come_whole_in_order_or_cut() {
    everywhere(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        assert!(left.local_addr().unwrap().is_unnamed());
        let bytes = sample::bytes(1, 60_000);
        left.send(&bytes).unwrap();
        left.send(b"").unwrap();
        left.send(b"0123456789").unwrap();
        left.send(b"last").unwrap();
        let mut room = vec![0; 70_000];
        assert_eq!(right.recv(&mut room).unwrap(), 60_000);
        assert_eq!(room[..60_000], bytes);
        assert_eq!(right.recv(&mut room).unwrap(), 0);
        assert_eq!(right.recv(&mut room[..4]).unwrap(), 4);
        let (size, from) = right.recv_from(&mut room).unwrap();
        assert_eq!((&room[..size], from.is_unnamed()), (&b"last"[..], true));
        let error = left.send(&vec![0; 1 << 20]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    });
}

#[test]
fn send_to_a_full_receiver_waits_until_it_has_read() {
    const COUNT: u16 = 200;
    everywhere(|| {
        let place = Place::new();
        let path = place.path("slow");
        let receiver = UnixDatagram::bind(&path).unwrap();
        for connected in [true, false] {
            let sender = UnixDatagram::unbound().unwrap();
            if connected {
                sender.connect(&path).unwrap();
            }
            thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    for number in 0..COUNT {
                        let bytes = number.to_be_bytes();
                        let sent = match connected {
                            true => sender.send(&bytes),
                            false => sender.send_to(&bytes, &path),
                        };
                        assert_eq!(sent.unwrap(), 2);
                    }
                });
                settle();
                assert!(!sender.is_finished(), "a queue of the system has no room for so many");
                for number in 0..COUNT {
                    let mut got = [0; 2];
                    assert_eq!(receiver.recv(&mut got).unwrap(), 2);
                    assert_eq!(u16::from_be_bytes(got), number);
                }
                sender.join().unwrap();
            });
        }
    });
}

#[test]
fn sender_that_waits_is_told_that_the_receiver_has_gone() {
    everywhere(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                loop {
                    if let Err(error) = left.send(b"x") {
                        break error.kind();
                    }
                }
            });
            settle();
            drop(right);
            let kind = sender.join().unwrap();
            let kinds = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
            assert!(kinds.contains(&kind), "{kind:?}");
        });
    });
}

#[test]
fn shutdown_ends_a_receive_that_waits() {
    everywhere(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| left.recv(&mut [0; 4]).unwrap());
            settle();
            left.shutdown(Shutdown::Read).unwrap();
            assert_eq!(receiver.join().unwrap(), 0);
        });
        assert_eq!(right.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let clone = right.try_clone().unwrap();
        clone.shutdown(Shutdown::Write).unwrap();
        assert_eq!(right.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}
