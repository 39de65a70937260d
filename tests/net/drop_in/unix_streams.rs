//! `UnixListener` and `UnixStream`: addresses of all kinds, `accept`, and what goes wrong.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::path::Path;

use super::unix::{SocketAddr, UnixListener, UnixStream};
use super::{everywhere, settle, thread};
use crate::place::Place;
use crate::probe;

#[test]
fn path_is_the_address_of_both_ends() {
    everywhere(|| {
        let place = Place::new();
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(probe::is_close_on_exec(&listener));
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let mut client = UnixStream::connect(&path).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        assert!(peer.is_unnamed() && client.local_addr().unwrap().is_unnamed());
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
        assert_eq!(server.local_addr().unwrap().as_pathname(), Some(&*path));
        assert!(server.peer_addr().unwrap().is_unnamed());
        client.write_all(b"ping").unwrap();
        let mut got = [0; 4];
        server.read_exact(&mut got).unwrap();
        server.write_all(&got).unwrap();
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ping");
        assert!(probe::is_close_on_exec(&server) && probe::is_close_on_exec(&client));
    });
}

#[test]
fn abstract_names_leave_nothing_in_the_file_system() {
    everywhere(|| {
        let place = Place::new();
        // A zero and no text: names are bytes.
        let name = [place.directory().as_os_str().as_encoded_bytes(), b"\0\xff"].concat();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_abstract_name(), Some(&*name));
        let error = UnixListener::bind_addr(&address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let mut client = UnixStream::connect_addr(&address).unwrap();
        assert_eq!(client.peer_addr().unwrap().as_abstract_name(), Some(&*name));
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        drop(listener);
        let error = UnixStream::connect_addr(&address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Free at once, for it was no file.
        UnixListener::bind_addr(&address).unwrap();
    });
}

#[test]
fn pathname_addresses_are_bound_and_connected_to() {
    everywhere(|| {
        let place = Place::new();
        let address = SocketAddr::from_pathname(place.path("socket")).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let client = UnixStream::connect_addr(&listener.local_addr().unwrap()).unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*place.path("socket")));
        assert!(listener.accept().unwrap().1.is_unnamed());
    });
}

#[test]
fn path_that_is_there_is_in_use_until_it_is_removed() {
    everywhere(|| {
        let place = Place::new();
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let error = UnixStream::connect(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        fs::remove_file(&path).unwrap();
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        UnixListener::bind(&path).unwrap();
    });
}

#[test]
fn paths_that_cannot_be_addresses_are_refused() {
    everywhere(|| {
        let place = Place::new();
        let long = place.path(&"x".repeat(200));
        for path in [&*long, Path::new("with\0zero")] {
            assert_eq!(UnixListener::bind(path).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(UnixStream::connect(path).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let nowhere = place.path("no directory/socket");
        assert_eq!(UnixListener::bind(&nowhere).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(place.path("file"), "").unwrap();
        let error = UnixStream::connect(place.path("file")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn pair_is_connected_and_unnamed() {
    everywhere(|| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        for end in [&left, &right] {
            assert!(end.local_addr().unwrap().is_unnamed());
            assert!(end.peer_addr().unwrap().is_unnamed());
            assert!(probe::is_close_on_exec(end));
        }
        left.write_all(b"there").unwrap();
        right.read_exact(&mut [0; 5]).unwrap();
        right.write_all(b"back").unwrap();
        left.read_exact(&mut [0; 4]).unwrap();
    });
}

#[test]
fn incoming_and_a_loop_over_the_listener_give_connections() {
    everywhere(|| {
        let place = Place::new();
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.incoming().size_hint(), (usize::MAX, None));
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let mut sum = 0;
                for connection in listener.incoming().take(3) {
                    let mut byte = [0];
                    connection.unwrap().read_exact(&mut byte).unwrap();
                    sum += byte[0];
                }
                for connection in &listener {
                    let mut byte = [0];
                    connection.unwrap().read_exact(&mut byte).unwrap();
                    sum += byte[0];
                    if byte[0] == 5 {
                        break;
                    }
                }
                sum
            });
            for number in 1..=5 {
                settle();
                UnixStream::connect(&path).unwrap().write_all(&[number]).unwrap();
            }
            assert_eq!(server.join().unwrap(), 15);
        });
    });
}

#[test]
fn acceptors_of_one_listener_and_its_clone_all_get_one() {
    everywhere(|| {
        let place = Place::new();
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let clone = listener.try_clone().unwrap();
        thread::scope(|scope| {
            let acceptors: [_; 6] = std::array::from_fn(|number| {
                let listener = if number % 2 == 0 { &listener } else { &clone };
                scope.spawn(move || {
                    let (mut server, _) = listener.accept().unwrap();
                    let mut byte = [0];
                    server.read_exact(&mut byte).unwrap();
                    byte[0]
                })
            });
            settle();
            for number in 0..6 {
                UnixStream::connect(&path).unwrap().write_all(&[number]).unwrap();
            }
            let mut got = acceptors.map(|acceptor| acceptor.join().unwrap());
            got.sort_unstable();
            assert_eq!(got, [0, 1, 2, 3, 4, 5]);
        });
        assert!(listener.take_error().unwrap().is_none());
    });
}

#[test]
fn connect_to_a_full_listener_waits_until_somebody_is_accepted() {
    everywhere(|| {
        let place = Place::new();
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        probe::set_backlog(&listener, 0);
        let first = UnixStream::connect(&path).unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| UnixStream::connect(&path).unwrap());
            let third = scope.spawn(|| UnixStream::connect(&path).unwrap());
            settle();
            assert!(!second.is_finished() && !third.is_finished());
            for _ in 0..3 {
                listener.accept().unwrap();
            }
            second.join().unwrap();
            third.join().unwrap();
        });
        drop(first);
    });
}

#[test]
fn connect_that_waits_is_told_that_the_listener_has_gone() {
    everywhere(|| {
        let place = Place::new();
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        probe::set_backlog(&listener, 0);
        let _first = UnixStream::connect(&path).unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| UnixStream::connect(&path).unwrap_err().kind());
            settle();
            drop(listener);
            assert_eq!(second.join().unwrap(), ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn shutdown_from_another_thread_ends_accept() {
    everywhere(|| {
        let place = Place::new();
        let listener = UnixListener::bind(place.path("socket")).unwrap();
        thread::scope(|scope| {
            let acceptors = [(); 3].map(|()| scope.spawn(|| listener.accept().map(drop)));
            settle();
            probe::shut_down(&listener, Shutdown::Both);
            for acceptor in acceptors {
                let error = acceptor.join().unwrap().unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            }
        });
    });
}
