//! `TcpStream::connect` and what it is connected by: addresses of all forms, refusals, timeouts.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use super::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use super::pairs::{Pair, listen};
use super::{everywhere, now, settle, thread};
use crate::probe;

/// An address of the loopback at which nobody listens. Bound, so that nobody else gets the port.
fn refused() -> (std::net::TcpListener, SocketAddr) {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = bound.local_addr().unwrap();
    probe::shut_down(&bound, std::net::Shutdown::Both);
    (bound, address)
}

#[test]
fn connect_takes_addresses_in_all_forms() {
    everywhere(|| {
        let (listener, address) = listen();
        let port = address.port();
        let local = Ipv4Addr::LOCALHOST;
        let connect = |addresses: &dyn Fn() -> std::io::Result<TcpStream>| {
            let client = addresses().unwrap();
            assert_eq!(client.peer_addr().unwrap(), address);
            assert_eq!(client.local_addr().unwrap(), listener.accept().unwrap().1);
            assert!(probe::is_close_on_exec(&client));
        };
        connect(&|| TcpStream::connect(address));
        connect(&|| TcpStream::connect(&address));
        connect(&|| TcpStream::connect(SocketAddrV4::new(local, port)));
        connect(&|| TcpStream::connect((local, port)));
        connect(&|| TcpStream::connect((IpAddr::V4(local), port)));
        connect(&|| TcpStream::connect(("127.0.0.1", port)));
        connect(&|| TcpStream::connect(("127.0.0.1".to_owned(), port)));
        connect(&|| TcpStream::connect(format!("127.0.0.1:{port}")));
        connect(&|| TcpStream::connect(&*format!("127.0.0.1:{port}")));
        connect(&|| TcpStream::connect(&[address][..]));
    });
}

#[test]
fn connect_takes_names_and_version_6() {
    everywhere(|| {
        let (listener, address) = listen();
        let client = TcpStream::connect(("localhost", address.port())).unwrap();
        assert_eq!(client.local_addr().unwrap(), listener.accept().unwrap().1);
        let client = TcpStream::connect(format!("localhost:{}", address.port())).unwrap();
        assert_eq!(client.local_addr().unwrap(), listener.accept().unwrap().1);
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 0, 0);
        let mut client = TcpStream::connect(address).unwrap();
        assert_eq!(client.peer_addr().unwrap(), SocketAddr::V6(address));
        let (mut server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        client.write_all(b"six").unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
    });
}

#[test]
fn text_that_is_no_address_is_refused_with_stds_words() {
    everywhere(|| {
        for text in ["127.0.0.1", "127.0.0.1:port", "127.0.0.1:65536", "", ":"] {
            let wanted = std::net::ToSocketAddrs::to_socket_addrs(text).unwrap_err();
            for error in
                [TcpStream::connect(text).unwrap_err(), text.to_socket_addrs().unwrap_err()]
            {
                assert_eq!(error.kind(), wanted.kind(), "{text}");
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
        }
        assert_eq!(TcpStream::connect("a\0b:80").unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn to_socket_addrs_gives_what_std_gives() {
    everywhere(|| {
        let texts = ["127.0.0.1:80", "[::1]:65535", "localhost:1", "[fe80::1%3]:9"];
        for text in texts {
            let wanted = std::net::ToSocketAddrs::to_socket_addrs(text).map(Vec::from_iter);
            match (text.to_socket_addrs(), wanted) {
                (Ok(got), Ok(wanted)) => assert_eq!(Vec::from_iter(got), wanted, "{text}"),
                (Err(got), Err(wanted)) => assert_eq!(got.kind(), wanted.kind(), "{text}"),
                (got, wanted) => panic!("{got:?} instead of {wanted:?}"),
            }
        }
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert!(address.to_socket_addrs().unwrap().eq([address]));
        assert!((&[address; 3][..]).to_socket_addrs().unwrap().eq([address; 3]));
        assert!(("127.0.0.1", 80).to_socket_addrs().unwrap().eq([address]));
        assert!((String::from("127.0.0.1"), 80).to_socket_addrs().unwrap().eq([address]));
    });
}

#[test]
fn connect_tries_one_address_after_the_other_and_gives_the_last_error() {
    everywhere(|| {
        let (_listener, address) = listen();
        let (_bound, nobody) = refused();
        let client = TcpStream::connect(&[nobody, address, nobody][..]).unwrap();
        assert_eq!(client.peer_addr().unwrap(), address);
        let error = TcpStream::connect(&[nobody, nobody][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn connect_timeout_connects_and_is_refused_as_connect() {
    everywhere(|| {
        let (listener, address) = listen();
        for timeout in [Duration::from_secs(60), Duration::MAX] {
            let mut client = TcpStream::connect_timeout(&address, timeout).unwrap();
            assert_eq!(client.read_timeout().unwrap(), None);
            assert_eq!(client.write_timeout().unwrap(), None);
            let (mut server, _) = listener.accept().unwrap();
            // It is in blocking mode.
            thread::scope(|scope| {
                let reader = scope.spawn(move || client.read(&mut [0]).unwrap());
                settle();
                server.write_all(b"x").unwrap();
                assert_eq!(reader.join().unwrap(), 1);
            });
        }
        let (_bound, nobody) = refused();
        let error = TcpStream::connect_timeout(&nobody, Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect_timeout(&address, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn connect_timeout_ends_at_a_listener_with_no_room_and_not_before_its_time() {
    const TIMEOUT: Duration = Duration::from_millis(40);
    everywhere(|| {
        let (listener, address) = listen();
        probe::set_backlog(&listener, 0);
        let _waits_for_accept = TcpStream::connect(address).unwrap();
        let start = now();
        let error = TcpStream::connect_timeout(&address, TIMEOUT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(now() - start >= TIMEOUT);
    });
}

#[test]
fn many_connect_at_once() {
    const CLIENTS: u8 = 30;
    everywhere(|| {
        let (listener, address) = listen();
        let sum = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    scope.spawn(move || {
                        let mut client = TcpStream::connect(address).unwrap();
                        client.write_all(&[number]).unwrap();
                        let mut answer = [0];
                        client.read_exact(&mut answer).unwrap();
                        u32::from(answer[0])
                    })
                })
                .collect();
            for _ in 0..CLIENTS {
                let (mut server, _) = listener.accept().unwrap();
                scope.spawn(move || {
                    let mut byte = [0];
                    server.read_exact(&mut byte).unwrap();
                    server.write_all(&byte).unwrap();
                });
            }
            clients.into_iter().map(|client| client.join().unwrap()).sum::<u32>()
        });
        assert_eq!(sum, (0..u32::from(CLIENTS)).sum());
    });
}

#[test]
fn options_are_read_back() {
    everywhere(|| {
        let (left, right) = TcpStream::connected();
        for on in [true, false, true] {
            left.set_nodelay(on).unwrap();
            assert_eq!(left.nodelay().unwrap(), on);
        }
        assert!(!right.nodelay().unwrap());
        assert!(left.try_clone().unwrap().nodelay().unwrap(), "it is the socket's");
        left.set_ttl(77).unwrap();
        assert_eq!(left.ttl().unwrap(), 77);
        assert_eq!(left.set_ttl(0).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(left.peer_addr().unwrap(), right.local_addr().unwrap());
        assert_eq!(left.local_addr().unwrap(), right.peer_addr().unwrap());
    });
}
