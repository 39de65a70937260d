//! Unix datagrams.
//!
//! Receiving is std's call, tried again by `Source`. Sending can wait for two things, which the
//! kernel reports as one: room in the sender's own buffer, and room in the receiver's queue.
//!
//! *By `send`*, to the peer: both are announced. The kernel finds the peer's queue full and notes,
//! under the lock that the peer's reader needs to say that there is room again, that this socket
//! wants to know (`unix_dgram_peer_wake_me`, since Linux 4.4); then it gives the error. The note is
//! made anew at each such error, and the reader's news comes as an event of the sender's socket. So
//! each failed attempt is followed by an event that comes after it, and none is lost. Two sockets
//! that are each other's peers have no such limit; there the sender's buffer is all that fills.
//!
//! *By `send_to`*, to anybody: no such note is made, be the sender connected to somebody else or to
//! nobody. Its own socket looks writable all the time. So the attempt is repeated after pauses.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use crate::net::Shutdown;
use crate::net::unix::SocketAddr;
use crate::os;
use crate::reactor::pause::Pauses;
use crate::reactor::{Interest, Source};
use crate::sched::door;
use crate::task::WaitKind;

/// A Unix datagram socket.
///
/// std's, for threads of any kind; see [`net`](crate::net) for what differs. No datagram is lost
/// on the way: who sends waits for the receiver. Dropping the last handle closes the socket, and
/// leaves its file.
///
/// # Examples
///
/// ```
/// use sylvan::net::unix::UnixDatagram;
/// use sylvan::thread;
///
/// # fn main() -> std::io::Result<()> {
/// let (left, right) = UnixDatagram::pair()?;
/// let sender = thread::spawn(move || -> std::io::Result<()> {
///     for number in 0..100 {
///         left.send(&[number])?;
///     }
///     Ok(())
/// });
/// let mut room = [0; 16];
/// for number in 0..100 {
///     assert_eq!(right.recv(&mut room)?, 1);
///     assert_eq!(room[0], number);
/// }
/// sender.join().unwrap()
/// # }
/// ```
pub struct UnixDatagram {
    pub(in crate::net) source: Source<net::UnixDatagram>,
}

impl UnixDatagram {
    pub(in crate::net) fn new(source: Source<net::UnixDatagram>) -> UnixDatagram {
        UnixDatagram { source }
    }

    fn made(socket: net::UnixDatagram) -> io::Result<UnixDatagram> {
        socket.set_nonblocking(true)?;
        Ok(UnixDatagram::new(Source::fresh(socket)))
    }

    /// Returns a socket on a new file.
    ///
    /// # Errors
    ///
    /// As std's: `AddrInUse` if there is such a file, `InvalidInput` if the path is too long for an
    /// address or holds a zero byte.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::made(net::UnixDatagram::bind(path)?)
    }

    /// Returns a socket on an address.
    ///
    /// # Errors
    ///
    /// As std's: `AddrInUse` if somebody has it.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::made(net::UnixDatagram::bind_addr(socket_addr)?)
    }

    /// Returns a socket that has no address: nobody can send to it, unless it is a peer.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::made(net::UnixDatagram::unbound()?)
    }

    /// Returns two sockets that are each other's peers.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (left, right) = net::UnixDatagram::pair()?;
        Ok((UnixDatagram::made(left)?, UnixDatagram::made(right)?))
    }

    /// Makes the socket on a file the peer: where [`send`](UnixDatagram::send) sends, and from whom
    /// alone datagrams are received. It never waits.
    ///
    /// # Errors
    ///
    /// As std's: `NotFound` if there is no such file, `ConnectionRefused` if nobody has it open.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.source.get().connect(path)
    }

    /// Makes the socket on an address the peer; see [`connect`](UnixDatagram::connect).
    ///
    /// # Errors
    ///
    /// As std's: `ConnectionRefused` if nobody has it.
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        self.source.get().connect_addr(socket_addr)
    }

    /// Returns another descriptor of the same socket.
    ///
    /// It shares timeouts and [`set_nonblocking`](Self::set_nonblocking), as in std.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn try_clone(&self) -> io::Result<UnixDatagram> {
        self.source.try_clone().map(UnixDatagram::new)
    }

    /// Returns the address of this socket.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().local_addr()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().peer_addr()
    }

    /// Receives a datagram, and tells its sender. What of it has no room in the buffer is lost.
    ///
    /// # Blocking
    ///
    /// Waits for a datagram, or for the timeout of
    /// [`set_read_timeout`](UnixDatagram::set_read_timeout). A cancellation ends the wait, and then
    /// no datagram was taken. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// As std's.
    #[track_caller]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let attempt = |socket: &net::UnixDatagram| {
            self.source.or_end(os::receive_from_unix(socket.as_fd(), buf), || {
                Ok((0, SocketAddr::from_pathname("")?))
            })
        };
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    /// Receives a datagram. What of it has no room in the buffer is lost.
    ///
    /// # Blocking
    ///
    /// As [`recv_from`](UnixDatagram::recv_from).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UnixDatagram::recv_from).
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let attempt = |socket: &net::UnixDatagram| {
            self.source.or_end(os::receive(socket.as_fd(), buf, false), || Ok(0))
        };
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    /// Sends a datagram to the socket on a file.
    ///
    /// # Blocking
    ///
    /// Waits until there is room for the datagram, in this socket and in the other one, or for the
    /// timeout of [`set_write_timeout`](UnixDatagram::set_write_timeout). Nothing announces room in
    /// the other one, so the attempt is repeated, after 100 µs first and then after pauses that
    /// grow to 10 ms; [`send`](UnixDatagram::send) needs none. A cancellation ends the wait, and
    /// then nothing was sent. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// As std's: `NotFound` if there is no such file, `ConnectionRefused` if nobody has it
    /// open.
    #[track_caller]
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// Sends a datagram to the socket on an address.
    ///
    /// # Blocking
    ///
    /// As [`send_to`](UnixDatagram::send_to).
    ///
    /// # Errors
    ///
    /// As std's: `ConnectionRefused` if nobody has it.
    #[track_caller]
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        let mut pauses = Pauses::within(self.source.timeout(Interest::Write));
        door::switch_point();
        loop {
            match os::send_to_unix(self.as_fd(), buf, socket_addr) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.source.is_nonblocking() || !pauses.pause(WaitKind::SocketWrite) {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// Sends a datagram to the peer.
    ///
    /// # Blocking
    ///
    /// Waits until there is room for the datagram, in this socket and in the peer, or for the
    /// timeout of [`set_write_timeout`](UnixDatagram::set_write_timeout). A cancellation ends the
    /// wait, and then nothing was sent. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// As std's: `NotConnected` if there is no peer, `ConnectionRefused` if it has gone.
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let attempt = |socket: &net::UnixDatagram| os::send(socket.as_fd(), buf);
        self.source.perform(Interest::Write, WaitKind::SocketWrite, attempt)
    }

    /// Bounds the waits of each call that receives; `None`: they have no bound.
    ///
    /// A call whose time is over gives `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the timeout is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.set_timeout(Interest::Read, timeout)
    }

    /// Bounds the waits of each call that sends; `None`: they have no bound.
    ///
    /// A call whose time is over gives `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the timeout is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.set_timeout(Interest::Write, timeout)
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

    /// Ends receiving, sending or both, in all handles of the socket.
    ///
    /// Threads that wait for what has ended go on: who receives gets 0 bytes, who sends an error.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.get().shutdown(how)?;
        // As for a stream.
        self.source.call_all(how != Shutdown::Write, how != Shutdown::Read);
        Ok(())
    }
}
