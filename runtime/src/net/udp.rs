//! UDP: datagrams.
//!
//! Each call is std's on a non-blocking socket, tried again by `Source`.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, first_that_works};
use crate::os;
use crate::reactor::{Interest, Source};
use crate::task::WaitKind;

/// A UDP socket.
///
/// std's, for threads of any kind; see [`net`](crate::net) for what differs. Several threads may
/// send and receive at the same time; each datagram goes to one of them. Dropping the last handle
/// closes the socket.
///
/// # Examples
///
/// ```
/// use sylvan::net::UdpSocket;
/// use sylvan::thread;
///
/// # fn main() -> std::io::Result<()> {
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let address = server.local_addr()?;
/// let echo = thread::spawn(move || -> std::io::Result<()> {
///     let mut room = [0; 1500];
///     let (size, peer) = server.recv_from(&mut room)?;
///     server.send_to(&room[..size], peer)?;
///     Ok(())
/// });
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(address)?;
/// client.send(b"ping")?;
/// let mut room = [0; 1500];
/// let size = client.recv(&mut room)?;
/// assert_eq!(&room[..size], b"ping");
/// echo.join().unwrap()
/// # }
/// ```
pub struct UdpSocket {
    pub(in crate::net) source: Source<net::UdpSocket>,
}

impl UdpSocket {
    pub(in crate::net) fn new(source: Source<net::UdpSocket>) -> UdpSocket {
        UdpSocket { source }
    }

    /// Returns a socket on the first of the addresses that it can be bound to.
    ///
    /// # Blocking
    ///
    /// Waits for the addresses if they are given by a name, as
    /// [`to_socket_addrs`](ToSocketAddrs::to_socket_addrs) does, and for nothing else.
    ///
    /// # Errors
    ///
    /// That of the last address; `InvalidInput` if there is none.
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        let socket = first_that_works(addr, |address| net::UdpSocket::bind(address))?;
        socket.set_nonblocking(true)?;
        Ok(UdpSocket::new(Source::fresh(socket)))
    }

    /// Makes the first of the addresses that is accepted the one peer: where
    /// [`send`](UdpSocket::send) sends, and from whom alone datagrams are received.
    ///
    /// # Blocking
    ///
    /// Waits for the addresses if they are given by a name, as
    /// [`to_socket_addrs`](ToSocketAddrs::to_socket_addrs) does, and for nothing else.
    ///
    /// # Errors
    ///
    /// That of the last address; `InvalidInput` if there is none.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        first_that_works(addr, |address| self.source.get().connect(address))
    }

    /// Receives a datagram, and tells its sender. What of it has no room in the buffer is lost.
    ///
    /// # Blocking
    ///
    /// Waits for a datagram, or for the timeout of
    /// [`set_read_timeout`](UdpSocket::set_read_timeout). A cancellation ends the wait, and then
    /// no datagram was taken. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// As std's. A peer that refuses makes an error of the next call.
    #[track_caller]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let attempt = |socket: &net::UdpSocket| os::receive_from(socket.as_fd(), buf, false);
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    /// Receives a datagram without taking it: the next call that receives gets it again.
    ///
    /// # Blocking
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    #[track_caller]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let attempt = |socket: &net::UdpSocket| os::receive_from(socket.as_fd(), buf, true);
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    /// Receives a datagram, from the peer if there is one. What of it has no room in the buffer is
    /// lost.
    ///
    /// # Blocking
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let attempt = |socket: &net::UdpSocket| os::receive(socket.as_fd(), buf, false);
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    /// Receives a datagram without taking it, from the peer if there is one.
    ///
    /// # Blocking
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let attempt = |socket: &net::UdpSocket| os::receive(socket.as_fd(), buf, true);
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// # Blocking
    ///
    /// Waits for the address if it is given by a name, as
    /// [`to_socket_addrs`](ToSocketAddrs::to_socket_addrs) does, and until the socket has room for
    /// the datagram, or for the timeout of [`set_write_timeout`](UdpSocket::set_write_timeout). A
    /// cancellation ends the wait, and then nothing was sent. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// As std's. A peer that refuses makes an error of the next call. `InvalidInput` if there is no
    /// address.
    #[track_caller]
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(address) = addr.to_socket_addrs()?.next() else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "there is no address to send to"));
        };
        let attempt = |socket: &net::UdpSocket| os::send_to(socket.as_fd(), buf, &address);
        self.source.perform(Interest::Write, WaitKind::SocketWrite, attempt)
    }

    /// Sends a datagram to the peer.
    ///
    /// # Blocking
    ///
    /// Waits until the socket has room for the datagram, or for the timeout of
    /// [`set_write_timeout`](UdpSocket::set_write_timeout). A cancellation ends the wait, and then
    /// nothing was sent. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// As std's. A peer that refuses makes an error of the next call.
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let attempt = |socket: &net::UdpSocket| os::send(socket.as_fd(), buf);
        self.source.perform(Interest::Write, WaitKind::SocketWrite, attempt)
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().peer_addr()
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().local_addr()
    }

    /// Returns another descriptor of the same socket.
    ///
    /// It shares timeouts and [`set_nonblocking`](Self::set_nonblocking), as in std.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        self.source.try_clone().map(UdpSocket::new)
    }

    /// Bounds the waits of each call that receives; `None`: they have no bound.
    ///
    /// A call whose time is over gives `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the timeout is zero.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.source.set_timeout(Interest::Read, dur)
    }

    /// Bounds the waits of each call that sends; `None`: they have no bound.
    ///
    /// A call whose time is over gives `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the timeout is zero.
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.source.set_timeout(Interest::Write, dur)
    }

    /// Returns what bounds the waits of calls that receive.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.source.timeout(Interest::Read))
    }

    /// Returns what bounds the waits of calls that send.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.source.timeout(Interest::Write))
    }

    /// Says whether the socket may send to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.source.get().set_broadcast(broadcast)
    }

    /// Returns whether the socket may send to broadcast addresses.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.source.get().broadcast()
    }

    /// Says whether this machine gets its own multicasts, IPv4 (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        self.source.get().set_multicast_loop_v4(multicast_loop_v4)
    }

    /// Returns whether this machine gets its own multicasts, IPv4.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.source.get().multicast_loop_v4()
    }

    /// Sets how many routers multicasts may pass, IPv4 (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        self.source.get().set_multicast_ttl_v4(multicast_ttl_v4)
    }

    /// Returns how many routers multicasts may pass, IPv4.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.source.get().multicast_ttl_v4()
    }

    /// Says whether this machine gets its own multicasts, IPv6 (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        self.source.get().set_multicast_loop_v6(multicast_loop_v6)
    }

    /// Returns whether this machine gets its own multicasts, IPv6.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.source.get().multicast_loop_v6()
    }

    /// Sets how many routers packets may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.source.get().set_ttl(ttl)
    }

    /// Returns how many routers packets may pass.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.source.get().ttl()
    }

    /// Joins an IPv4 multicast group by the interface with the address `interface`, or, if that is
    /// unspecified, by one that the system chooses.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.source.get().join_multicast_v4(multiaddr, interface)
    }

    /// Joins an IPv6 multicast group by the interface with the index `interface`, or, if that is 0,
    /// by any.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.source.get().join_multicast_v6(multiaddr, interface)
    }

    /// Leaves an IPv4 multicast group.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.source.get().leave_multicast_v4(multiaddr, interface)
    }

    /// Leaves an IPv6 multicast group.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.source.get().leave_multicast_v6(multiaddr, interface)
    }

    /// Takes the error that has come to the socket since the last call.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.get().take_error()
    }

    /// Says whether calls are to fail with `WouldBlock` instead of waiting. Such calls do not
    /// switch to other threads either, and cut nobody off.
    ///
    /// As in std it holds for the socket, so for clones too; and for calls that begin afterwards.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.set_nonblocking(nonblocking);
        Ok(())
    }
}
