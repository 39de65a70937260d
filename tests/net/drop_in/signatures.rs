//! The signatures of `std::net` and `std::os::unix::net`, written out: a method that is generic
//! where std's is not, takes `self` differently or returns a type of its own does not fit the
//! pointers here.
//!
//! What is re-exported has to be std's very own type, so that values pass between libraries.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut, Read, Result, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use super::net::{
    self, AddrParseError, Incoming, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4,
    SocketAddrV6, TcpListener, TcpStream, ToSocketAddrs, UdpSocket,
};
use super::unix::{self, UnixDatagram, UnixListener, UnixStream};

type Sets<S, V> = fn(&S, V) -> Result<()>;
type Gets<S, V> = fn(&S) -> Result<V>;
type Limit = Option<Duration>;

/// What all sockets have, in the same form.
macro_rules! expect_the_common {
    ($($socket:ident)+) => {
        $(
            let _: Gets<$socket, $socket> = $socket::try_clone;
            let _: Gets<$socket, Option<io::Error>> = $socket::take_error;
            let _: Sets<$socket, bool> = $socket::set_nonblocking;
            let _: for<'a> fn(&'a $socket) -> BorrowedFd<'a> = <$socket as AsFd>::as_fd;
            let _: fn(&$socket) -> RawFd = <$socket as AsRawFd>::as_raw_fd;
            let _: fn($socket) -> RawFd = <$socket as IntoRawFd>::into_raw_fd;
            let _: unsafe fn(RawFd) -> $socket = <$socket as FromRawFd>::from_raw_fd;
            let _: fn(OwnedFd) -> $socket = <$socket as From<OwnedFd>>::from;
            let _: fn($socket) -> OwnedFd = <OwnedFd as From<$socket>>::from;
        )+
    };
}

/// What all but listeners have.
macro_rules! expect_timeouts {
    ($($socket:ident)+) => {
        $(
            let _: Sets<$socket, Limit> = $socket::set_read_timeout;
            let _: Sets<$socket, Limit> = $socket::set_write_timeout;
            let _: Gets<$socket, Limit> = $socket::read_timeout;
            let _: Gets<$socket, Limit> = $socket::write_timeout;
        )+
    };
}

/// Reading and writing, by value and by reference.
macro_rules! expect_a_stream {
    ($($reader:ty)+) => {
        $(
            let _: fn(&mut $reader, &mut [u8]) -> Result<usize> = <$reader as Read>::read;
            let _: fn(&mut $reader, &mut [IoSliceMut<'_>]) -> Result<usize> =
                <$reader as Read>::read_vectored;
            let _: fn(&mut $reader, &[u8]) -> Result<usize> = <$reader as Write>::write;
            let _: fn(&mut $reader, &[IoSlice<'_>]) -> Result<usize> =
                <$reader as Write>::write_vectored;
            let _: fn(&mut $reader) -> Result<()> = <$reader as Write>::flush;
        )+
    };
}

#[test]
fn all_sockets_have_stds_common_signatures() {
    expect_the_common!(TcpListener TcpStream UdpSocket UnixListener UnixStream UnixDatagram);
    expect_timeouts!(TcpStream UdpSocket UnixStream UnixDatagram);
    expect_a_stream!(TcpStream &'static TcpStream UnixStream &'static UnixStream);
}

#[test]
#[allow(deprecated, reason = "std has them still")]
fn tcp_listener_has_stds_signatures() {
    let _: fn(SocketAddr) -> Result<TcpListener> = TcpListener::bind::<SocketAddr>;
    let _: fn(&'static str) -> Result<TcpListener> = TcpListener::bind::<&str>;
    let _: Gets<TcpListener, SocketAddr> = TcpListener::local_addr;
    let _: Gets<TcpListener, (TcpStream, SocketAddr)> = TcpListener::accept;
    let _: for<'a> fn(&'a TcpListener) -> Incoming<'a> = TcpListener::incoming;
    let _: fn(&mut Incoming<'_>) -> Option<Result<TcpStream>> = |all| all.next();
    let _: Sets<TcpListener, u32> = TcpListener::set_ttl;
    let _: Gets<TcpListener, u32> = TcpListener::ttl;
    let _: Sets<TcpListener, bool> = TcpListener::set_only_v6;
    let _: Gets<TcpListener, bool> = TcpListener::only_v6;
}

#[test]
fn tcp_stream_has_stds_signatures() {
    let _: fn(&'static [SocketAddr]) -> Result<TcpStream> = TcpStream::connect::<&[SocketAddr]>;
    let _: fn(&SocketAddr, Duration) -> Result<TcpStream> = TcpStream::connect_timeout;
    let _: Gets<TcpStream, SocketAddr> = TcpStream::peer_addr;
    let _: Gets<TcpStream, SocketAddr> = TcpStream::local_addr;
    let _: Sets<TcpStream, Shutdown> = TcpStream::shutdown;
    let _: fn(&TcpStream, &mut [u8]) -> Result<usize> = TcpStream::peek;
    let _: Sets<TcpStream, bool> = TcpStream::set_nodelay;
    let _: Gets<TcpStream, bool> = TcpStream::nodelay;
    let _: Sets<TcpStream, u32> = TcpStream::set_ttl;
    let _: Gets<TcpStream, u32> = TcpStream::ttl;
}

#[test]
fn udp_socket_has_stds_signatures() {
    type Socket = UdpSocket;
    let _: fn(SocketAddr) -> Result<Socket> = Socket::bind::<SocketAddr>;
    let _: fn(&Socket, SocketAddr) -> Result<()> = Socket::connect::<SocketAddr>;
    let _: fn(&Socket, &[u8], SocketAddr) -> Result<usize> = Socket::send_to::<SocketAddr>;
    let _: fn(&Socket, &[u8]) -> Result<usize> = Socket::send;
    let _: fn(&Socket, &mut [u8]) -> Result<usize> = Socket::recv;
    let _: fn(&Socket, &mut [u8]) -> Result<usize> = Socket::peek;
    let _: fn(&Socket, &mut [u8]) -> Result<(usize, SocketAddr)> = Socket::recv_from;
    let _: fn(&Socket, &mut [u8]) -> Result<(usize, SocketAddr)> = Socket::peek_from;
    let _: Gets<Socket, SocketAddr> = Socket::peer_addr;
    let _: Gets<Socket, SocketAddr> = Socket::local_addr;
    let _: Sets<Socket, bool> = Socket::set_broadcast;
    let _: Gets<Socket, bool> = Socket::broadcast;
    let _: Sets<Socket, bool> = Socket::set_multicast_loop_v4;
    let _: Gets<Socket, bool> = Socket::multicast_loop_v4;
    let _: Sets<Socket, u32> = Socket::set_multicast_ttl_v4;
    let _: Gets<Socket, u32> = Socket::multicast_ttl_v4;
    let _: Sets<Socket, bool> = Socket::set_multicast_loop_v6;
    let _: Gets<Socket, bool> = Socket::multicast_loop_v6;
    let _: Sets<Socket, u32> = Socket::set_ttl;
    let _: Gets<Socket, u32> = Socket::ttl;
    let _: fn(&Socket, &Ipv4Addr, &Ipv4Addr) -> Result<()> = Socket::join_multicast_v4;
    let _: fn(&Socket, &Ipv4Addr, &Ipv4Addr) -> Result<()> = Socket::leave_multicast_v4;
    let _: fn(&Socket, &Ipv6Addr, u32) -> Result<()> = Socket::join_multicast_v6;
    let _: fn(&Socket, &Ipv6Addr, u32) -> Result<()> = Socket::leave_multicast_v6;
}

#[test]
fn unix_listener_has_stds_signatures() {
    let _: fn(&'static Path) -> Result<UnixListener> = UnixListener::bind::<&Path>;
    let _: fn(&'static str) -> Result<UnixListener> = UnixListener::bind::<&str>;
    let _: fn(&unix::SocketAddr) -> Result<UnixListener> = UnixListener::bind_addr;
    let _: Gets<UnixListener, unix::SocketAddr> = UnixListener::local_addr;
    let _: Gets<UnixListener, (UnixStream, unix::SocketAddr)> = UnixListener::accept;
    let _: for<'a> fn(&'a UnixListener) -> unix::Incoming<'a> = UnixListener::incoming;
    let _: for<'a> fn(&'a UnixListener) -> unix::Incoming<'a> = |listener| listener.into_iter();
    let _: fn(&mut unix::Incoming<'_>) -> Option<Result<UnixStream>> = |all| all.next();
}

#[test]
fn unix_stream_has_stds_signatures() {
    let _: fn(&'static Path) -> Result<UnixStream> = UnixStream::connect::<&Path>;
    let _: fn(&unix::SocketAddr) -> Result<UnixStream> = UnixStream::connect_addr;
    let _: fn() -> Result<(UnixStream, UnixStream)> = UnixStream::pair;
    let _: Gets<UnixStream, unix::SocketAddr> = UnixStream::local_addr;
    let _: Gets<UnixStream, unix::SocketAddr> = UnixStream::peer_addr;
    let _: Sets<UnixStream, Shutdown> = UnixStream::shutdown;
}

#[test]
fn unix_datagram_has_stds_signatures() {
    type Socket = UnixDatagram;
    let _: fn(&'static Path) -> Result<Socket> = Socket::bind::<&Path>;
    let _: fn(&unix::SocketAddr) -> Result<Socket> = Socket::bind_addr;
    let _: fn() -> Result<Socket> = Socket::unbound;
    let _: fn() -> Result<(Socket, Socket)> = Socket::pair;
    let _: fn(&Socket, &'static Path) -> Result<()> = Socket::connect::<&Path>;
    let _: fn(&Socket, &unix::SocketAddr) -> Result<()> = Socket::connect_addr;
    let _: Gets<Socket, unix::SocketAddr> = Socket::local_addr;
    let _: Gets<Socket, unix::SocketAddr> = Socket::peer_addr;
    let _: fn(&Socket, &mut [u8]) -> Result<(usize, unix::SocketAddr)> = Socket::recv_from;
    let _: fn(&Socket, &mut [u8]) -> Result<usize> = Socket::recv;
    let _: fn(&Socket, &[u8], &'static Path) -> Result<usize> = Socket::send_to::<&Path>;
    let _: fn(&Socket, &[u8], &unix::SocketAddr) -> Result<usize> = Socket::send_to_addr;
    let _: fn(&Socket, &[u8]) -> Result<usize> = Socket::send;
    let _: Sets<Socket, Shutdown> = Socket::shutdown;
}

/// Implemented by a type of a user's, by what stands in std's documentation.
struct Here(u16);

impl ToSocketAddrs for Here {
    type Iter = std::option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> Result<Self::Iter> {
        (Ipv4Addr::LOCALHOST, self.0).to_socket_addrs()
    }
}

#[test]
fn to_socket_addrs_is_for_the_types_that_std_names() {
    fn names<T: ToSocketAddrs + ?Sized>() {}
    names::<(&str, u16)>();
    names::<(IpAddr, u16)>();
    names::<(String, u16)>();
    names::<(Ipv4Addr, u16)>();
    names::<(Ipv6Addr, u16)>();
    names::<SocketAddr>();
    names::<str>();
    names::<String>();
    names::<SocketAddrV4>();
    names::<SocketAddrV6>();
    names::<&[SocketAddr]>();
    names::<&&str>();
    names::<Here>();
    let _: fn(&Here) -> Result<std::option::IntoIter<SocketAddr>> = Here::to_socket_addrs;
    let _: fn(&str) -> Result<std::vec::IntoIter<SocketAddr>> = str::to_socket_addrs;
    let _: fn(&SocketAddrV4) -> Result<std::option::IntoIter<SocketAddr>> =
        SocketAddrV4::to_socket_addrs;
    let listener = TcpListener::bind(Here(0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(TcpStream::connect(Here(port)).unwrap().peer_addr().unwrap().port(), port);
}

#[test]
fn re_exported_types_are_stds_own() {
    let ip: std::net::IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let v4: std::net::SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let v6: std::net::SocketAddrV6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, 0);
    let _: [std::net::SocketAddr; 2] = [SocketAddr::V4(v4), net::SocketAddr::V6(v6)];
    let _: std::net::AddrParseError =
        "nowhere".parse::<SocketAddr>().map_err(|error: AddrParseError| error).unwrap_err();
    let _: std::net::Shutdown = Shutdown::Both;
    let path = unix::SocketAddr::from_pathname("somewhere").unwrap();
    let _: std::os::unix::net::SocketAddr = path;
    assert!(ip.is_loopback());
}
