//! `TcpListener`: addresses, `accept`, `incoming`, clones, options and what goes wrong.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::net::{SocketAddr, TcpListener, TcpStream};
use super::pairs::{ANY, listen};
use super::{everywhere, settle, thread};
use crate::probe;

#[test]
fn bind_tells_the_port_that_the_system_chose() {
    everywhere(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.port() != 0 && address.ip() == Ipv4Addr::LOCALHOST);
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.port() != 0 && address.ip() == Ipv6Addr::LOCALHOST);
        assert!(probe::is_close_on_exec(&listener));
    });
}

#[test]
fn bind_takes_the_first_address_that_can_be_had() {
    everywhere(|| {
        let (_taken, in_use) = listen();
        let any: SocketAddr = ANY.parse().unwrap();
        let listener = TcpListener::bind(&[in_use, any][..]).unwrap();
        assert_ne!(listener.local_addr().unwrap(), in_use);
    });
}

#[test]
fn bind_fails_as_the_system_says() {
    everywhere(|| {
        let (_taken, in_use) = listen();
        let error = TcpListener::bind(in_use).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
        // An address for documents, which no machine has.
        let error = TcpListener::bind("203.0.113.1:0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        // Of several errors the last.
        let elsewhere: SocketAddr = "203.0.113.1:0".parse().unwrap();
        let error = TcpListener::bind(&[elsewhere, in_use][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let none: &[SocketAddr] = &[];
        let error = TcpListener::bind(none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn port_can_be_had_again_when_the_listener_has_gone() {
    everywhere(|| {
        let (listener, address) = listen();
        let client = TcpStream::connect(address).unwrap();
        // The server closes first, so the port has a connection that lingers.
        drop(listener.accept().unwrap());
        drop(listener);
        drop(client);
        drop(TcpListener::bind(address).unwrap());
    });
}

#[test]
fn accept_waits_for_connections_and_gives_them_in_order() {
    everywhere(|| {
        let (listener, address) = listen();
        thread::scope(|scope| {
            let server = scope.spawn(|| [(); 8].map(|()| listener.accept().unwrap().1));
            settle();
            let clients = [(); 8].map(|()| TcpStream::connect(address).unwrap());
            let addresses = clients.each_ref().map(|client| client.local_addr().unwrap());
            assert_eq!(server.join().unwrap(), addresses);
        });
    });
}

#[test]
fn connections_wait_in_the_backlog_with_their_bytes() {
    everywhere(|| {
        let (listener, address) = listen();
        for round in 0..24 {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(&[round; 3]).unwrap();
        }
        for round in 0..24 {
            let (mut server, _) = listener.accept().unwrap();
            let mut got = Vec::new();
            server.read_to_end(&mut got).unwrap();
            assert_eq!(got, [round; 3]);
        }
    });
}

#[test]
fn incoming_gives_connections_without_end() {
    everywhere(|| {
        let (listener, address) = listen();
        assert_eq!(listener.incoming().size_hint(), (0, None));
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let mut sum = 0;
                for connection in listener.incoming().take(5) {
                    let mut byte = [0];
                    connection.unwrap().read_exact(&mut byte).unwrap();
                    sum += u32::from(byte[0]);
                }
                sum
            });
            for number in 1..=5 {
                TcpStream::connect(address).unwrap().write_all(&[number]).unwrap();
            }
            assert_eq!(server.join().unwrap(), 15);
        });
    });
}

#[test]
fn many_acceptors_of_one_listener_share_its_connections() {
    const CONNECTIONS: usize = 40;
    everywhere(|| {
        let (listener, address) = listen();
        let accepted = AtomicUsize::new(0);
        let serve = |listener: &TcpListener| {
            loop {
                let (mut server, _) = listener.accept().unwrap();
                let mut byte = [0];
                server.read_exact(&mut byte).unwrap();
                if byte[0] == 0 {
                    break;
                }
                accepted.fetch_add(1, SeqCst);
                server.write_all(&byte).unwrap();
            }
        };
        thread::scope(|scope| {
            let clone = listener.try_clone().unwrap();
            let acceptors: [_; 4] = std::array::from_fn(|number| {
                let (listener, serve) = (if number % 2 == 0 { &listener } else { &clone }, &serve);
                let listener = listener.try_clone().unwrap();
                scope.spawn(move || serve(&listener))
            });
            settle();
            for _ in 0..CONNECTIONS {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(&[1]).unwrap();
                client.read_exact(&mut [0]).unwrap();
            }
            for acceptor in acceptors {
                // One more for each, which ends the one that gets it.
                TcpStream::connect(address).unwrap().write_all(&[0]).unwrap();
                let _ = acceptor;
            }
        });
        assert_eq!(accepted.load(SeqCst), CONNECTIONS);
    });
}

#[test]
fn acceptors_by_reference_to_one_listener_all_get_one() {
    everywhere(|| {
        let (listener, address) = listen();
        thread::scope(|scope| {
            let acceptors = [(); 6].map(|()| scope.spawn(|| listener.accept().unwrap().1));
            settle();
            let clients = [(); 6].map(|()| TcpStream::connect(address).unwrap());
            let mut wanted = clients.each_ref().map(|client| client.local_addr().unwrap().port());
            let mut got = acceptors.map(|acceptor| acceptor.join().unwrap().port());
            wanted.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, wanted);
        });
    });
}

#[test]
fn clone_listens_on_when_the_original_has_gone() {
    everywhere(|| {
        let (listener, address) = listen();
        let clone = listener.try_clone().unwrap();
        assert_eq!(clone.local_addr().unwrap(), address);
        drop(listener);
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(clone.accept().unwrap().1, client.local_addr().unwrap());
        drop(clone);
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn shutdown_from_another_thread_ends_accept() {
    everywhere(|| {
        let (listener, address) = listen();
        thread::scope(|scope| {
            let acceptors = [(); 3].map(|()| scope.spawn(|| listener.accept().map(drop)));
            settle();
            probe::shut_down(&listener, Shutdown::Read);
            for acceptor in acceptors {
                let error = acceptor.join().unwrap().unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
        });
        assert!(listener.accept().is_err());
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn options_are_read_back() {
    everywhere(|| {
        let (listener, address) = listen();
        listener.set_ttl(42).unwrap();
        assert_eq!(listener.ttl().unwrap(), 42);
        assert!(listener.set_ttl(0).is_err(), "a packet must live for one hop");
        assert_eq!(listener.ttl().unwrap(), 42);
        assert!(listener.take_error().unwrap().is_none());
        // Connections have it from their listener.
        let _client = TcpStream::connect(address).unwrap();
        assert_eq!(listener.accept().unwrap().0.ttl().unwrap(), 42);
    });
}

#[test]
#[allow(deprecated, reason = "std has it still")]
fn only_v6_is_read_back_and_comes_too_late() {
    everywhere(|| {
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        assert!(listener.only_v6().unwrap(), "no IPv4 address lies behind this one");
        assert_eq!(listener.set_only_v6(true).unwrap_err().kind(), ErrorKind::InvalidInput);
        let (listener, _) = listen();
        assert!(listener.only_v6().is_err(), "version 4 has no such option");
    });
}

#[test]
fn connection_that_was_reset_before_accept_is_accepted_and_fails_then() {
    everywhere(|| {
        let (listener, address) = listen();
        let client = TcpStream::connect(address).unwrap();
        probe::reset_when_closed(&client);
        drop(client);
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}
