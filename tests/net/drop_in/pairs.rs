//! Sockets that are connected to each other, to have something to call methods on.
#![forbid(unsafe_code)]

use super::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use super::unix::{UnixDatagram, UnixStream};

/// The loopback, and a port that the system chooses.
pub(super) const ANY: &str = "127.0.0.1:0";

/// Streams that come in pairs.
pub(super) trait Pair: Sized {
    fn connected() -> (Self, Self);
}

impl Pair for TcpStream {
    fn connected() -> (TcpStream, TcpStream) {
        let (listener, address) = listen();
        // The system finishes the connection without `accept`.
        let client = TcpStream::connect(address).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        (client, server)
    }
}

impl Pair for UnixStream {
    fn connected() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }
}

impl Pair for UdpSocket {
    fn connected() -> (UdpSocket, UdpSocket) {
        let (left, right) = (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap());
        left.connect(right.local_addr().unwrap()).unwrap();
        right.connect(left.local_addr().unwrap()).unwrap();
        (left, right)
    }
}

impl Pair for UnixDatagram {
    fn connected() -> (UnixDatagram, UnixDatagram) {
        UnixDatagram::pair().unwrap()
    }
}

/// A listener and its address.
pub(super) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Runs a block everywhere with each kind of stream under the name given. A block and no generic
/// function, for the methods that the kinds share are of no common trait.
macro_rules! with_streams {
    ($stream:ident, $body:block) => {
        super::everywhere(|| {
            {
                type $stream = super::net::TcpStream;
                $body
            }
            {
                type $stream = super::unix::UnixStream;
                $body
            }
        })
    };
}

/// The same for the sockets that send datagrams.
macro_rules! with_datagrams {
    ($socket:ident, $body:block) => {
        super::everywhere(|| {
            {
                type $socket = super::net::UdpSocket;
                $body
            }
            {
                type $socket = super::unix::UnixDatagram;
                $body
            }
        })
    };
}

pub(super) use {with_datagrams, with_streams};
