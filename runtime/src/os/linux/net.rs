//! Sockets that never block: the calls that std has in a blocking form only.
//!
//! Sockets are made non-blocking and close-on-exec in the same call that makes them, so no second
//! one is needed, and no child process that is started meanwhile inherits one. Reading and writing
//! ask besides, call by call, not to block (`MSG_DONTWAIT`): the mode belongs to the socket, and so
//! to everybody who has a descriptor of it: a clone that was given to std, or another process. Who
//! makes it blocking must not stop a worker. Accepting and connecting have no such request.
//! What never waits (binding, options, addresses) is left to std.
//!
//! The calls are all that is `unsafe` here; what they are told of addresses is in `address`.
//!
//! The two calls that every request needs are made without the C library's wrappers: those are
//! cancellation points of its threads, and pay for that by two locked changes each.
//!
//! Nothing here waits. A call that cannot succeed at once gives the kernel's own error.

mod address;

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::ptr;

use address::Raw;

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
    Ok((fd, address.to_unix()?))
}

/// Reads into a buffer, or only shows what the next call would read.
#[inline]
pub(crate) fn receive(fd: BorrowedFd<'_>, buf: &mut [u8], peek: bool) -> io::Result<usize> {
    let (bytes, length) = (buf.as_mut_ptr(), buf.len());
    let flags = receive_flags(peek);
    let (nowhere, none) = (ptr::null_mut::<libc::c_void>(), ptr::null_mut::<libc::c_void>());
    // SAFETY: the kernel writes at most `length` bytes to where the buffer is, and no address.
    let count = unsafe {
        libc::syscall(libc::SYS_recvfrom, fd.as_raw_fd(), bytes, length, flags, nowhere, none)
    };
    outcome(count as isize)
}

/// Reads into at most [`BUFFERS_MAX`] buffers, one after the other.
pub(crate) fn receive_vectored(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let mut message = message(bufs.as_mut_ptr().cast(), bufs.len());
    // SAFETY: the message names so many buffers, which are borrowed for writing, and nothing else.
    let count = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, receive_flags(false)) };
    outcome(count)
}

/// Receives a datagram and who has sent it, or only shows the next one.
pub(crate) fn receive_from(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    peek: bool,
) -> io::Result<(usize, SocketAddr)> {
    let (count, address) = receive_from_raw(fd, buf, peek)?;
    Ok((count, address.to_inet()?))
}

/// The same for a Unix datagram, without the choice.
pub(crate) fn receive_from_unix(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
) -> io::Result<(usize, UnixAddr)> {
    let (count, address) = receive_from_raw(fd, buf, false)?;
    Ok((count, address.to_unix()?))
}

/// Writes out of a buffer. No signal comes where nobody reads any more.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let (bytes, length) = (buf.as_ptr(), buf.len());
    let nowhere = ptr::null::<libc::c_void>();
    // SAFETY: the kernel reads `length` bytes, which the buffer has, and no address.
    let count = unsafe {
        libc::syscall(libc::SYS_sendto, fd.as_raw_fd(), bytes, length, SEND_FLAGS, nowhere, 0)
    };
    outcome(count as isize)
}

/// Writes out of at most [`BUFFERS_MAX`] buffers, one after the other.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let message = message(bufs.as_ptr().cast_mut().cast(), bufs.len());
    // SAFETY: the message names so many buffers, which the kernel only reads, and nothing else.
    let count = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, SEND_FLAGS) };
    outcome(count)
}

/// Sends a datagram to an address.
pub(crate) fn send_to(fd: BorrowedFd<'_>, buf: &[u8], address: &SocketAddr) -> io::Result<usize> {
    send_to_raw(fd, buf, &Raw::of_inet(address))
}

/// Sends a Unix datagram to an address. `EAGAIN` says that it has no room, or this socket none.
pub(crate) fn send_to_unix(
    fd: BorrowedFd<'_>,
    buf: &[u8],
    address: &UnixAddr,
) -> io::Result<usize> {
    send_to_raw(fd, buf, &Raw::of_unix(address))
}

/// Whether reading from `fd` was ended, by this side or the other. For sockets of which a call that
/// does not wait says only that there is nothing, while one that waits gives the end.
pub(crate) fn has_read_end(fd: BorrowedFd<'_>) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: the entry lives in this frame; the call does not wait.
    let count = unsafe { libc::poll(&raw mut entry, 1, 0) };
    count == 1 && entry.revents & (libc::POLLRDHUP | libc::POLLHUP) != 0
}

/// What `accept` gives for a listener that was shut down.
pub(crate) fn no_listener() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
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

/// How many buffers the kernel takes in one call.
pub(crate) const BUFFERS_MAX: usize = libc::UIO_MAXIOV as usize;

const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

fn receive_flags(peek: bool) -> libc::c_int {
    libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 }
}

/// What a call that counts bytes has brought.
fn outcome(count: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// A message that lies in `count` buffers, of which the kernel is not shown more than it takes.
/// std's slices are laid out as the kernel's `iovec`, and say so.
fn message(buffers: *mut libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: zeros are null pointers and lengths of nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = buffers;
    message.msg_iovlen = count.min(BUFFERS_MAX) as _;
    message
}

fn receive_from_raw(fd: BorrowedFd<'_>, buf: &mut [u8], peek: bool) -> io::Result<(usize, Raw)> {
    let mut address = Raw::with_room();
    let (bytes, length) = (buf.as_mut_ptr().cast(), buf.len());
    let (name, name_length) = (address.bytes.as_mut_ptr().cast(), &raw mut address.length);
    let flags = receive_flags(peek);
    // SAFETY: the kernel writes at most `length` bytes to where the buffer is, and of the address
    // at most what `name_length` says, which is the array's size.
    let count = unsafe { libc::recvfrom(fd.as_raw_fd(), bytes, length, flags, name, name_length) };
    Ok((outcome(count)?, address))
}

fn send_to_raw(fd: BorrowedFd<'_>, buf: &[u8], address: &Raw) -> io::Result<usize> {
    let (bytes, length) = (buf.as_ptr().cast(), buf.len());
    let (name, name_length) = (address.bytes.as_ptr().cast(), address.length);
    // SAFETY: the kernel reads `length` bytes, which the buffer has, and `name_length` bytes of the
    // array, which is longer.
    let count =
        unsafe { libc::sendto(fd.as_raw_fd(), bytes, length, SEND_FLAGS, name, name_length) };
    outcome(count)
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
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    loop {
        let mut address = Raw::with_room();
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

/// Lets so many connections wait at a listener until they are accepted, and one more. Negative: as
/// many as the system allows.
pub(crate) fn set_queue_length(listener: BorrowedFd<'_>, connections: i32) -> io::Result<()> {
    // SAFETY: a plain call.
    match unsafe { libc::listen(listener.as_raw_fd(), connections) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

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
        set_queue_length(listener.as_fd(), 0).unwrap();
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

    #[test]
    fn no_call_waits_although_somebody_has_made_the_socket_blocking() {
        let (left, right) = UnixStream::pair().unwrap();
        let (one, other) = (left.as_fd(), right.as_fd());
        let mut room = [0; 4];
        let would_block = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        would_block(receive(one, &mut room, false).unwrap_err());
        would_block(receive_vectored(one, &mut [IoSliceMut::new(&mut room)]).unwrap_err());
        assert_eq!(send_vectored(one, &[IoSlice::new(b"ab"), IoSlice::new(b"c")]).unwrap(), 3);
        assert_eq!(receive(other, &mut room, true).unwrap(), 3);
        let (first, rest) = room.split_at_mut(1);
        let mut bufs = [IoSliceMut::new(first), IoSliceMut::new(rest)];
        assert_eq!(receive_vectored(other, &mut bufs).unwrap(), 3);
        assert_eq!(&room[..3], b"abc");
        let full = loop {
            if let Err(error) = send(one, &[0; 4096]) {
                break error;
            }
        };
        would_block(full);
        // Not by a drop: tests beside this one fork, and a child has a copy until it calls exec.
        right.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(send(left.as_fd(), b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn more_buffers_than_the_kernel_takes_are_not_shown_to_it() {
        let (left, right) = UnixStream::pair().unwrap();
        let bufs = [IoSlice::new(b"x"); BUFFERS_MAX + 1];
        assert_eq!(send_vectored(left.as_fd(), &bufs).unwrap(), BUFFERS_MAX);
        let mut room = [0; BUFFERS_MAX + 1];
        let mut bufs: Vec<_> = room.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(receive_vectored(right.as_fd(), &mut bufs).unwrap(), BUFFERS_MAX);
    }

    #[test]
    fn datagrams_come_with_their_senders_address() {
        let mut room = [0; 8];
        let left = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let right = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = left.local_addr().unwrap();
        assert!(receive_from(left.as_fd(), &mut room, false).is_err());
        assert_eq!(send_to(right.as_fd(), b"word", &address).unwrap(), 4);
        wait_until_ready(left.as_fd(), libc::POLLIN);
        for peek in [true, false] {
            let (size, sender) = receive_from(left.as_fd(), &mut room, peek).unwrap();
            assert_eq!((&room[..size], sender), (&b"word"[..], right.local_addr().unwrap()));
        }

        let name = format!("sylvan-os-net-datagram-{}", std::process::id());
        let address = UnixAddr::from_abstract_name(&name).unwrap();
        let (named, unnamed) =
            (UnixDatagram::bind_addr(&address).unwrap(), UnixDatagram::unbound());
        let unnamed = unnamed.unwrap();
        assert!(receive_from_unix(named.as_fd(), &mut room).is_err());
        assert_eq!(send_to_unix(unnamed.as_fd(), b"one", &address).unwrap(), 3);
        assert_eq!(send_to_unix(named.as_fd(), b"two", &address).unwrap(), 3);
        let (size, sender) = receive_from_unix(named.as_fd(), &mut room).unwrap();
        assert!((&room[..size], sender.is_unnamed()) == (b"one", true));
        let (size, sender) = receive_from_unix(named.as_fd(), &mut room).unwrap();
        assert_eq!(
            (&room[..size], sender.as_abstract_name()),
            (&b"two"[..], Some(name.as_bytes()))
        );
    }
}
