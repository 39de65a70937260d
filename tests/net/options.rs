//! The feature `net-options`: options before binding, and sockets of the crate `socket2` as ours.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};

use socket2::{Domain, SockRef, Socket, Type};
use sylvan::net::unix::UnixStream;
use sylvan::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use sylvan::thread;
use sylvan_workspace::everywhere;

#[test]
fn listeners_that_ask_for_it_share_a_port_and_all_connections_are_accepted() {
    everywhere(|_| {
        let shared = |address: SocketAddr| {
            TcpListener::bind_with(address, 128, |socket| socket.set_reuse_port(true)).unwrap()
        };
        let first = shared(([127, 0, 0, 1], 0).into());
        let address = first.local_addr().unwrap();
        let listeners = [first, shared(address)];
        let alone = TcpListener::bind_with(address, 128, |_| Ok(())).unwrap_err();
        assert_eq!(alone.kind(), io::ErrorKind::AddrInUse);
        thread::scope(|scope| {
            for listener in &listeners {
                scope.spawn(|| {
                    for stream in listener.incoming() {
                        let Ok(mut stream) = stream else { return };
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        stream.write_all(&byte).unwrap();
                    }
                });
            }
            for number in 0..20 {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(&[number]).unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [number]);
            }
            for listener in &listeners {
                // Their threads end by this; a program would cancel them.
                SockRef::from(listener).shutdown(std::net::Shutdown::Both).unwrap();
            }
        });
    });
}

#[test]
fn option_that_fails_fails_the_binding() {
    let no = || Err(io::Error::other("not today"));
    let error = TcpListener::bind_with("127.0.0.1:0", 1, |_| no()).unwrap_err();
    assert_eq!(error.to_string(), "not today");
    let error = UdpSocket::bind_with("127.0.0.1:0", |_| no()).unwrap_err();
    assert_eq!(error.to_string(), "not today");
    let nowhere: &[SocketAddr] = &[];
    let error = UdpSocket::bind_with(nowhere, |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn options_are_set_before_the_binding_and_stay() {
    let udp = UdpSocket::bind_with("127.0.0.1:0", |socket| {
        assert!(socket.local_addr()?.as_socket().is_none_or(|address| address.port() == 0));
        socket.set_recv_buffer_size(32 << 10)
    });
    let size = SockRef::from(&udp.unwrap()).recv_buffer_size().unwrap();
    // Linux keeps twice what it is asked for.
    assert!((32 << 10..=64 << 10).contains(&size), "{size}");
}

#[test]
fn pair_of_socket2_waits_green() {
    everywhere(|_| {
        let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let (mut near, mut far) = (UnixStream::from(near), UnixStream::from(far));
        let echo = thread::spawn(move || {
            let mut byte = [0];
            far.read_exact(&mut byte).unwrap();
            far.write_all(&byte).unwrap();
        });
        near.write_all(b"x").unwrap();
        near.read_exact(&mut [0]).unwrap();
        echo.join().unwrap();
    });
}
