//! A TCP connection.
//!
//! Reading and writing are std's calls on a non-blocking socket, tried again by `Source`. So is
//! connecting: asked again, the kernel tells the outcome, or that it is not there yet.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net;
use std::os::fd::AsFd;
use std::os::linux::net::TcpStreamExt;
use std::time::Duration;

use crate::clock;
use crate::net::{Shutdown, SocketAddr, ToSocketAddrs, bytes};
use crate::os;
use crate::reactor::{Interest, Source};
use crate::task::WaitKind;

/// A TCP connection.
///
/// std's, for threads of any kind; see [`net`](crate::net) for what differs. One thread may read
/// while another one writes, through a reference or a clone: `&TcpStream` reads and writes, too,
/// and waits as the stream itself does. Dropping the last handle closes the connection.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use sylvan::net::{TcpListener, TcpStream};
/// use sylvan::time::{self, Duration};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (mut server, _) = listener.accept()?;
///
/// client.write_all(b"one line\n")?;
/// let mut room = [0; 100];
/// assert_eq!(server.read(&mut room)?, 9);
///
/// // The peer says no more, and a deadline ends the wait.
/// let outcome = time::timeout(Duration::from_millis(10), || server.read(&mut room));
/// assert!(outcome.unwrap_err().to_string().contains("reading from a socket"));
/// # Ok(())
/// # }
/// ```
pub struct TcpStream {
    pub(in crate::net) source: Source<net::TcpStream>,
}

impl TcpStream {
    pub(in crate::net) fn new(source: Source<net::TcpStream>) -> TcpStream {
        TcpStream { source }
    }

    /// Connects to the first of the addresses that accepts the connection.
    ///
    /// # Blocking
    ///
    /// Waits for the addresses if they are given by a name, as
    /// [`to_socket_addrs`](ToSocketAddrs::to_socket_addrs) does, and for each peer's answer, which
    /// the system gives up after minutes. A cancellation ends the wait and gives the attempt up. A
    /// kernel thread blocks.
    ///
    /// # Errors
    ///
    /// That of the last address; `InvalidInput` if there is none.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        let mut last = None;
        for address in addr.to_socket_addrs()? {
            match connect_to(&address, None) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(crate::net::no_address))
    }

    /// Connects to an address, if it accepts the connection in time.
    ///
    /// # Blocking
    ///
    /// Waits for the peer's answer, but no longer than `timeout`. A cancellation ends the wait and
    /// gives the attempt up. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// The connection's; `TimedOut` if there was no answer in time; `InvalidInput` if `timeout` is
    /// zero.
    #[track_caller]
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a timeout of zero is none"));
        }
        connect_to(addr, Some(timeout))
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// As std's: `NotConnected` when the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().peer_addr()
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().local_addr()
    }

    /// Ends reading, writing or both, in all handles of the connection.
    ///
    /// Threads that wait for what has ended go on: a read gives 0, a write an error.
    ///
    /// # Errors
    ///
    /// As std's: `NotConnected` when the connection is over.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.get().shutdown(how)
    }

    /// Returns another descriptor of the same connection.
    ///
    /// It shares timeouts and [`set_nonblocking`](Self::set_nonblocking), as in std.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        self.source.try_clone().map(TcpStream::new)
    }

    /// Bounds the waits of each call that reads; `None`: they have no bound.
    ///
    /// A call whose time is over gives `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the timeout is zero.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.source.set_timeout(Interest::Read, dur)
    }

    /// Bounds the waits of each call that writes; `None`: they have no bound.
    ///
    /// A call whose time is over gives `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the timeout is zero.
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.source.set_timeout(Interest::Write, dur)
    }

    /// Returns what bounds the waits of calls that read.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.source.timeout(Interest::Read))
    }

    /// Returns what bounds the waits of calls that write.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.source.timeout(Interest::Write))
    }

    /// Reads without taking the bytes away: the next call that reads gets them again.
    ///
    /// # Blocking
    ///
    /// Waits until there are bytes, or no more will come. A cancellation ends the wait. A kernel
    /// thread blocks.
    ///
    /// # Errors
    ///
    /// As std's.
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let attempt = |stream: &net::TcpStream| os::receive(stream.as_fd(), buf, true);
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    /// Says whether small writes go out at once (`TCP_NODELAY`) instead of waiting for more.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.source.get().set_nodelay(nodelay)
    }

    /// Returns whether small writes go out at once.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.source.get().nodelay()
    }

    /// Says whether received data are acknowledged at once (`TCP_QUICKACK`), until the system
    /// decides otherwise.
    ///
    /// In std it is a method of `std::os::linux::net::TcpStreamExt`.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.source.get().set_quickack(quickack)
    }

    /// Returns whether received data are acknowledged at once.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn quickack(&self) -> io::Result<bool> {
        self.source.get().quickack()
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

    /// Takes the error that has come to the connection since the last call.
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

/// Connects to one address; a socket that loses is closed.
// SUSPENDS
#[track_caller]
fn connect_to(address: &SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let source: Source<net::TcpStream> = Source::fresh(os::stream_socket(address)?.into());
    let deadline = || timeout.and_then(clock::deadline_in);
    let connected = source.perform_until(Interest::Write, WaitKind::Connect, deadline, |stream| {
        os::connect(stream.as_fd(), address).map_err(|error| match os::is_connecting(&error) {
            true => ErrorKind::WouldBlock.into(),
            false => error,
        })
    });
    if let Err(error) = connected {
        return Err(match error.kind() {
            ErrorKind::WouldBlock => {
                io::Error::new(ErrorKind::TimedOut, "the peer has not answered in time")
            }
            _ => error,
        });
    }
    Ok(TcpStream::new(source))
}

impl Read for TcpStream {
    /// Reads what has come.
    ///
    /// # Blocking
    ///
    /// Waits until there are bytes, or no more will come, or for the timeout of
    /// [`set_read_timeout`](TcpStream::set_read_timeout). A cancellation ends the wait, and then
    /// nothing was taken. A kernel thread blocks.
    #[inline]
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    /// Reads what has come into several buffers, one after the other.
    ///
    /// # Blocking
    ///
    /// As `read`.
    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    /// Reads until the buffer is full.
    ///
    /// # Blocking
    ///
    /// As `read`, again and again. What has been read when the thread is cut off is lost.
    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}

impl Read for &TcpStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len();
        let attempt = |stream: &net::TcpStream| os::receive(stream.as_fd(), buf, false);
        if room == 0 {
            // As std, it waits for bytes all the same.
            return self.source.perform(Interest::Read, WaitKind::SocketRead, attempt);
        }
        self.source.receive(WaitKind::SocketRead, room, attempt)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room = bytes::room(bufs);
        if room == 0 {
            return bytes::without_wait(&self.source, |_| Ok(0));
        }
        let attempt = |stream: &net::TcpStream| os::receive_vectored(stream.as_fd(), bufs);
        self.source.receive(WaitKind::SocketRead, room, attempt)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        bytes::read_exact(self, buf)
    }
}

impl Write for TcpStream {
    /// Writes as much as there is room for.
    ///
    /// # Blocking
    ///
    /// Waits until there is room for a byte, or the connection has ended, or for the timeout of
    /// [`set_write_timeout`](TcpStream::set_write_timeout). A cancellation ends the wait, and then
    /// nothing was written. A kernel thread blocks.
    #[inline]
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    /// Writes out of several buffers, one after the other, as much as there is room for.
    ///
    /// # Blocking
    ///
    /// As `write`.
    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    /// Writes all of the buffer.
    ///
    /// # Blocking
    ///
    /// As `write`, again and again. How much has been written when the thread is cut off nobody
    /// tells.
    #[track_caller]
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &TcpStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return bytes::without_wait(&self.source, |mut stream| stream.write(buf));
        }
        let attempt = |stream: &net::TcpStream| os::send(stream.as_fd(), buf);
        self.source.perform(Interest::Write, WaitKind::SocketWrite, attempt)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bytes::is_empty(bufs) {
            return bytes::without_wait(&self.source, |mut stream| stream.write_vectored(bufs));
        }
        let attempt = |stream: &net::TcpStream| os::send_vectored(stream.as_fd(), bufs);
        self.source.perform(Interest::Write, WaitKind::SocketWrite, attempt)
    }

    #[track_caller]
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        bytes::write_all(self, buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
