//! What sockets say of themselves in debug output.
#![forbid(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd};

use super::everywhere;
use super::net::{TcpStream, UdpSocket};
use super::pairs::{ANY, Pair, listen};
use super::unix::{UnixDatagram, UnixListener, UnixStream};
use crate::place::Place;

/// Fails unless a socket says of itself what std's says of it.
macro_rules! expect_text {
    ($socket:ident, $std:ty) => {
        let (number, plain, pretty) =
            ($socket.as_raw_fd(), format!("{:?}", $socket), format!("{:#?}", $socket));
        assert!(plain.contains(&number.to_string()), "{plain}");
        let theirs = <$std>::from(OwnedFd::from($socket));
        assert_eq!((plain, pretty), (format!("{theirs:?}"), format!("{theirs:#?}")));
    };
}

#[test]
fn sockets_say_what_stds_say() {
    everywhere(|| {
        let (listener, address) = listen();
        let wanted = format!("TcpListener {{ addr: {address}, fd: {} }}", listener.as_raw_fd());
        assert_eq!(format!("{listener:?}"), wanted);
        expect_text!(listener, std::net::TcpListener);
        let (left, _right) = TcpStream::connected();
        expect_text!(left, std::net::TcpStream);
        let socket = UdpSocket::bind(ANY).unwrap();
        expect_text!(socket, std::net::UdpSocket);
        let (left, _right) = UnixStream::connected();
        expect_text!(left, std::os::unix::net::UnixStream);
        let (left, _right) = UnixDatagram::connected();
        expect_text!(left, std::os::unix::net::UnixDatagram);
        let place = Place::new();
        let listener = UnixListener::bind(place.path("socket")).unwrap();
        expect_text!(listener, std::os::unix::net::UnixListener);
        let listener = UnixListener::bind(place.path("other")).unwrap();
        assert!(format!("{:?}", listener.incoming()).contains("Incoming"));
    });
}
