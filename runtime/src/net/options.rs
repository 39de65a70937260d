//! Options that have to be set before a socket is bound, and the queue of a listener: what std's
//! calls leave no room for. The words are those of the crate [`socket2`].
//!
//! A socket of that crate becomes one of ours by `From`, whatever was done to it before;
//! `bind_with` is the short way for the two cases that servers have. Options of a socket that is
//! there already need neither: `socket2::SockRef::from(&stream)` takes any of ours.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::unix::{UnixDatagram, UnixListener, UnixStream};
use crate::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket, first_that_works};

impl TcpListener {
    /// Returns a listener on the first of the addresses that it can be bound to, after `options`
    /// has set what it wants on the socket; `backlog` connections may wait to be accepted.
    ///
    /// With the feature `net-options`. As with [`bind`](TcpListener::bind), the address may be used
    /// again at once when the listener has gone.
    ///
    /// # Blocking
    ///
    /// As [`bind`](TcpListener::bind).
    ///
    /// # Units
    ///
    /// `backlog` counts connections. The system has a greatest length of its own
    /// (`net.core.somaxconn`, 4096 by default), and shortens what is longer without a word. Less
    /// than 0 asks for that one.
    ///
    /// # Errors
    ///
    /// That of the last address, or of `options`; `InvalidInput` if there is no address.
    ///
    /// # Examples
    ///
    /// Two listeners share a port, and the system shares the connections out:
    ///
    /// ```
    /// use sylvan::net::TcpListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let share = |socket: &socket2::Socket| socket.set_reuse_port(true);
    /// let first = TcpListener::bind_with("127.0.0.1:0", 1024, share)?;
    /// let address = first.local_addr()?;
    /// let second = TcpListener::bind_with(address, 1024, share)?;
    /// assert_eq!(second.local_addr()?, address);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn bind_with<A: ToSocketAddrs>(
        addr: A,
        backlog: i32,
        mut options: impl FnMut(&Socket) -> io::Result<()>,
    ) -> io::Result<TcpListener> {
        first_that_works(addr, |address| {
            let socket = bound(address, Type::STREAM, Protocol::TCP, &mut options)?;
            socket.listen(backlog)?;
            Ok(socket.into())
        })
    }
}

impl UdpSocket {
    /// Returns a socket on the first of the addresses that it can be bound to, after `options` has
    /// set what it wants on it.
    ///
    /// With the feature `net-options`.
    ///
    /// # Blocking
    ///
    /// As [`bind`](UdpSocket::bind).
    ///
    /// # Errors
    ///
    /// That of the last address, or of `options`; `InvalidInput` if there is no address.
    #[track_caller]
    pub fn bind_with<A: ToSocketAddrs>(
        addr: A,
        mut options: impl FnMut(&Socket) -> io::Result<()>,
    ) -> io::Result<UdpSocket> {
        first_that_works(addr, |address| {
            bound(address, Type::DGRAM, Protocol::UDP, &mut options).map(UdpSocket::from)
        })
    }
}

fn bound(
    address: &SocketAddr,
    kind: Type,
    protocol: Protocol,
    options: &mut impl FnMut(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(*address), kind, Some(protocol))?;
    if kind == Type::STREAM {
        // As std does.
        socket.set_reuse_address(true)?;
    }
    options(&socket)?;
    socket.bind(&(*address).into())?;
    Ok(socket)
}

macro_rules! from_socket2 {
    ($($socket:ident),*) => {$(
        /// With the feature `net-options`. What kind of socket it is, and whether it is bound or
        /// connected, is the caller's to know: calls that do not fit give the system's errors.
        impl From<Socket> for $socket {
            fn from(socket: Socket) -> $socket {
                OwnedFd::from(socket).into()
            }
        }
    )*};
}

from_socket2!(TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream);
