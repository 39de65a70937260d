//! Making sockets that never block: the calls that std has in a blocking form only.
//!
//! Sockets are made non-blocking and close-on-exec in the same call that makes them, so no second
//! one is needed, and no child process that is started meanwhile inherits one. What std does for a
//! non-blocking socket as well (binding, reading, options) is left to it.
//!
//! Addresses are written into, and read out of, a plain array of bytes, at the offsets that the
//! kernel's ABI fixes. So no conversion needs a cast of pointers: `unsafe` are the system calls.
//!
//! Nothing here waits. A call that cannot succeed at once gives the kernel's own error.

use std::io;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::path::Path;

/// Makes a socket for a TCP connection to `address`.
pub(crate) fn stream_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    match address {
        SocketAddr::V4(_) => socket(libc::AF_INET),
        SocketAddr::V6(_) => socket(libc::AF_INET6),
    }
}

/// Makes a socket for a Unix connection.
pub(crate) fn unix_stream_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_UNIX)
}

/// Begins to connect to `address`, or asks how far that has come. `EINPROGRESS` and `EALREADY` say
/// that it goes on; once it has ended, one more call gives its outcome.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    connect_raw(fd, &Raw::of_inet(address))
}

/// Connects to `address`. `EAGAIN` says that the listener's queue is full.
pub(crate) fn connect_unix(fd: BorrowedFd<'_>, address: &UnixAddr) -> io::Result<()> {
    connect_raw(fd, &Raw::of_unix(address))
}

/// Takes a connection from a TCP listener; `EAGAIN` says that there is none.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let (fd, address) = accept_raw(listener)?;
    Ok((fd, address.to_inet()?))
}

/// Takes a connection from a Unix listener; `EAGAIN` says that there is none.
pub(crate) fn accept_unix(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, UnixAddr)> {
    let (fd, address) = accept_raw(listener)?;
    match address.to_unix() {
        Some(address) => Ok((fd, address)),
        // A path that fills its field is none that std lets be made, but one that it reads.
        None => {
            let stream = UnixStream::from(fd);
            let address = stream.peer_addr()?;
            Ok((stream.into(), address))
        }
    }
}

/// Whether a call that connects has failed because the connection is still being made.
pub(crate) fn is_connecting(error: &io::Error) -> bool {
    // After a signal it goes on, too.
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR))
}

/// Whether a call has failed for want of descriptors or memory, which the next one will want, too.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    let shortages = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|number| shortages.contains(&number))
}

fn socket(domain: libc::c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: a plain call.
    let fd = unsafe { libc::socket(domain, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn connect_raw(fd: BorrowedFd<'_>, address: &Raw) -> io::Result<()> {
    let bytes = address.bytes.as_ptr().cast();
    // SAFETY: the kernel reads `length` bytes of the array, which is longer and outlives the call.
    let result = unsafe { libc::connect(fd.as_raw_fd(), bytes, address.length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn accept_raw(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Raw)> {
    let mut address = Raw::empty();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    loop {
        address.length = ROOM as libc::socklen_t;
        let (bytes, length) = (address.bytes.as_mut_ptr().cast(), &raw mut address.length);
        // SAFETY: the kernel writes at most as many bytes as `length` says, which is the array's
        // size, and into `length` how long the address is; both live in this frame.
        let fd = unsafe { libc::accept4(listener.as_raw_fd(), bytes, length, flags) };
        if fd >= 0 {
            // SAFETY: the descriptor is new and nobody else's.
            return Ok((unsafe { OwnedFd::from_raw_fd(fd) }, address));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// As many bytes as the longest of the addresses has: a family and a path of 108 bytes, rounded up
/// to the array's alignment.
const ROOM: usize = size_of::<libc::sockaddr_un>().next_multiple_of(8);

/// Where the name of a Unix address begins.
const NAME: usize = offset_of!(libc::sockaddr_un, sun_path);

/// An address as the kernel has it.
#[repr(C, align(8))]
struct Raw {
    bytes: [u8; ROOM],
    length: libc::socklen_t,
}

impl Raw {
    fn empty() -> Raw {
        Raw { bytes: [0; ROOM], length: 0 }
    }

    fn put<const N: usize>(&mut self, at: usize, field: [u8; N]) {
        self.bytes[at..at + N].copy_from_slice(&field);
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes[at..at + N].try_into().expect("the range has N bytes")
    }

    /// The family stands at the beginning of every address, as two bytes.
    fn set_family(&mut self, family: libc::c_int) {
        self.put(0, (family as libc::sa_family_t).to_ne_bytes());
    }

    fn of_inet(address: &SocketAddr) -> Raw {
        let mut raw = Raw::empty();
        match address {
            SocketAddr::V4(address) => {
                raw.set_family(libc::AF_INET);
                raw.put(offset_of!(libc::sockaddr_in, sin_port), address.port().to_be_bytes());
                raw.put(offset_of!(libc::sockaddr_in, sin_addr), address.ip().octets());
                raw.length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(address) => {
                raw.set_family(libc::AF_INET6);
                raw.put(offset_of!(libc::sockaddr_in6, sin6_port), address.port().to_be_bytes());
                // Flow label and scope are as they are, which is what std passes too.
                let flow = address.flowinfo().to_ne_bytes();
                raw.put(offset_of!(libc::sockaddr_in6, sin6_flowinfo), flow);
                raw.put(offset_of!(libc::sockaddr_in6, sin6_addr), address.ip().octets());
                let scope = address.scope_id().to_ne_bytes();
                raw.put(offset_of!(libc::sockaddr_in6, sin6_scope_id), scope);
                raw.length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        raw
    }

    fn to_inet(&self) -> io::Result<SocketAddr> {
        match libc::c_int::from(libc::sa_family_t::from_ne_bytes(self.field(0))) {
            libc::AF_INET => {
                let port = self.field(offset_of!(libc::sockaddr_in, sin_port));
                let ip: [u8; 4] = self.field(offset_of!(libc::sockaddr_in, sin_addr));
                let port = u16::from_be_bytes(port);
                Ok(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
            }
            libc::AF_INET6 => {
                let port = self.field(offset_of!(libc::sockaddr_in6, sin6_port));
                let flow = self.field(offset_of!(libc::sockaddr_in6, sin6_flowinfo));
                let ip: [u8; 16] = self.field(offset_of!(libc::sockaddr_in6, sin6_addr));
                let scope = self.field(offset_of!(libc::sockaddr_in6, sin6_scope_id));
                let (port, flow) = (u16::from_be_bytes(port), u32::from_ne_bytes(flow));
                let scope = u32::from_ne_bytes(scope);
                Ok(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "no address of the internet")),
        }
    }

    /// A path ends in a NUL that is counted; an abstract name begins with one and is as long as the
    /// address says; who has no name has an address of a family alone.
    fn of_unix(address: &UnixAddr) -> Raw {
        let mut raw = Raw::empty();
        raw.set_family(libc::AF_UNIX);
        let length = if let Some(path) = address.as_pathname() {
            let path = path.as_os_str().as_bytes();
            raw.bytes[NAME..NAME + path.len()].copy_from_slice(path);
            NAME + path.len() + 1
        } else if let Some(name) = address.as_abstract_name() {
            raw.bytes[NAME + 1..NAME + 1 + name.len()].copy_from_slice(name);
            NAME + 1 + name.len()
        } else {
            NAME
        };
        raw.length = length as libc::socklen_t;
        raw
    }

    /// `None`: it cannot be made from its parts.
    fn to_unix(&self) -> Option<UnixAddr> {
        // Where the kernel had more to write than there was room for, it says so by the length.
        let length = usize::min(self.length as usize, ROOM);
        match self.bytes.get(NAME..length) {
            None | Some([]) => UnixAddr::from_pathname("").ok(),
            Some([0, name @ ..]) => UnixAddr::from_abstract_name(name).ok(),
            Some(path) => {
                let end = path.iter().position(|&byte| byte == 0)?;
                let path = std::ffi::OsStr::from_bytes(&path[..end]);
                UnixAddr::from_pathname(Path::new(path)).ok()
            }
        }
    }
}

/// Leaves a listener's queue room for one connection, so that a test can fill it.
#[cfg(test)]
pub(crate) fn shorten_queue(listener: BorrowedFd<'_>) {
    // SAFETY: a plain call.
    let result = unsafe { libc::listen(listener.as_raw_fd(), 0) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    fn there_and_back(address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(Raw::of_inet(&address).to_inet().unwrap(), address);
    }

    #[test]
    fn an_internet_address_comes_back_as_it_was_put_in() {
        for address in ["127.0.0.1:80", "255.254.253.252:65535", "0.0.0.0:0", "[::]:0"] {
            there_and_back(address);
        }
        there_and_back("[1:2:3:4:5:6:7:8]:443");
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 0xfffe);
        let address = SocketAddr::from(SocketAddrV6::new(ip, 258, 0x01_02_03, 7));
        assert_eq!(Raw::of_inet(&address).to_inet().unwrap(), address);
        let SocketAddr::V6(address) = Raw::of_inet(&address).to_inet().unwrap() else { panic!() };
        assert_eq!((address.flowinfo(), address.scope_id()), (0x01_02_03, 7));
    }

    #[test]
    fn an_address_of_another_family_is_refused() {
        let error = Raw::of_unix(&UnixAddr::from_pathname("").unwrap()).to_inet().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_unix_address_of_each_kind_comes_back_as_it_was_put_in() {
        let back = |address: &UnixAddr| Raw::of_unix(address).to_unix().unwrap();
        assert!(back(&UnixAddr::from_pathname("").unwrap()).is_unnamed());
        for path in ["/a", "relative", &"x".repeat(107)] {
            let address = back(&UnixAddr::from_pathname(path).unwrap());
            assert_eq!(address.as_pathname(), Some(Path::new(path)));
        }
        for name in [&b""[..], b"name", b"\0a\0b\0", &[b'y'; 107]] {
            let address = back(&UnixAddr::from_abstract_name(name).unwrap());
            assert_eq!(address.as_abstract_name(), Some(name));
        }
    }

    #[test]
    fn a_path_that_fills_its_field_is_left_to_std() {
        let mut raw = Raw::empty();
        raw.set_family(libc::AF_UNIX);
        raw.bytes[NAME..NAME + 108].fill(b'z');
        raw.length = (NAME + 108) as libc::socklen_t;
        assert!(raw.to_unix().is_none());
    }

    /// Whether a descriptor is non-blocking, and closed when another program is executed.
    fn flags(fd: BorrowedFd<'_>) -> (bool, bool) {
        // SAFETY: the call reads the flags of an open descriptor.
        let status = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
        // SAFETY: as above.
        let own = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
        (status & libc::O_NONBLOCK != 0, own & libc::FD_CLOEXEC != 0)
    }

    fn wait_until_ready(fd: BorrowedFd<'_>, events: libc::c_short) {
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
        // SAFETY: one entry, which lives in this frame.
        let count = unsafe { libc::poll(&raw mut poll, 1, 10_000) };
        assert_eq!(count, 1, "not ready within ten seconds");
    }

    #[test]
    fn a_tcp_connection_is_made_and_accepted_by_sockets_that_do_not_block() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            listener.set_nonblocking(true).unwrap();
            let error = accept(listener.as_fd()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let address = listener.local_addr().unwrap();
            let client = stream_socket(&address).unwrap();
            assert_eq!(flags(client.as_fd()), (true, true));
            while let Err(error) = connect(client.as_fd(), &address) {
                assert!(is_connecting(&error), "{error}");
                wait_until_ready(client.as_fd(), libc::POLLOUT);
            }
            wait_until_ready(listener.as_fd(), libc::POLLIN);
            let (server, peer) = accept(listener.as_fd()).unwrap();
            assert_eq!(flags(server.as_fd()), (true, true));
            let client = std::net::TcpStream::from(client);
            assert_eq!(client.local_addr().unwrap(), peer);
            assert_eq!(client.peer_addr().unwrap(), address);
        }
    }

    #[test]
    fn a_refused_connection_gives_its_error_at_the_second_call_at_the_latest() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = stream_socket(&address).unwrap();
        let mut error = connect(client.as_fd(), &address).unwrap_err();
        if is_connecting(&error) {
            wait_until_ready(client.as_fd(), libc::POLLOUT);
            error = connect(client.as_fd(), &address).unwrap_err();
        }
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_unix_connection_is_made_accepted_and_carries_bytes() {
        let name = format!("sylvan-os-net-{}", std::process::id());
        let address = UnixAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let error = accept_unix(listener.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let client = unix_stream_socket().unwrap();
        connect_unix(client.as_fd(), &address).unwrap();
        let (server, peer) = accept_unix(listener.as_fd()).unwrap();
        assert!(peer.is_unnamed());
        assert_eq!(flags(client.as_fd()), (true, true));
        assert_eq!(flags(server.as_fd()), (true, true));
        UnixStream::from(client).write_all(b"words").unwrap();
        let mut text = String::new();
        UnixStream::from(server).read_to_string(&mut text).unwrap();
        assert_eq!(text, "words");
    }

    #[test]
    fn a_full_queue_of_a_unix_listener_is_told_at_once() {
        let name = format!("sylvan-os-net-full-{}", std::process::id());
        let address = UnixAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        shorten_queue(listener.as_fd());
        let mut clients = Vec::new();
        let error = loop {
            let client = unix_stream_socket().unwrap();
            match connect_unix(client.as_fd(), &address) {
                Ok(()) => clients.push(client),
                Err(error) => break error,
            }
            assert!(clients.len() < 10, "a queue for nobody takes ten");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
