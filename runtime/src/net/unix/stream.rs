//! A Unix connection.
//!
//! A read that gives less than there was room for says nothing about what is left: a message with
//! descriptors or credentials ends a read in front of it. So unlike TCP each read attempts first.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use crate::net::unix::SocketAddr;
use crate::net::{Shutdown, bytes};
use crate::os;
use crate::reactor::pause::Pauses;
use crate::reactor::{Interest, Source};
use crate::sched::door;
use crate::task::WaitKind;

/// A Unix connection.
///
/// std's, for threads of any kind; see [`net`](crate::net) for what differs. One thread may read
/// while another one writes, through a reference or a clone: `&UnixStream` reads and writes, too,
/// and waits as the stream itself does. Dropping the last handle closes the connection.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use sylvan::net::unix::UnixStream;
/// use sylvan::thread;
///
/// # fn main() -> std::io::Result<()> {
/// let (mut left, mut right) = UnixStream::pair()?;
/// let asking = thread::spawn(move || -> std::io::Result<u8> {
///     left.write_all(&[20])?;
///     let mut answer = [0];
///     left.read_exact(&mut answer)?;
///     Ok(answer[0])
/// });
///
/// let mut number = [0];
/// right.read_exact(&mut number)?;
/// right.write_all(&[number[0] + 1])?;
/// assert_eq!(asking.join().unwrap()?, 21);
/// # Ok(())
/// # }
/// ```
pub struct UnixStream {
    pub(in crate::net) source: Source<net::UnixStream>,
}

impl UnixStream {
    pub(in crate::net) fn new(source: Source<net::UnixStream>) -> UnixStream {
        UnixStream { source }
    }

    /// Connects to the listener on a file.
    ///
    /// # Blocking
    ///
    /// Waits while the listener's queue is full. Nothing announces that it has room again, so the
    /// attempt is repeated, after 100 µs first and then after pauses that grow to 10 ms. A
    /// cancellation ends the wait and gives the attempt up. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// As std's: `NotFound` if there is no such file, `ConnectionRefused` if nobody listens,
    /// `InvalidInput` if the path is too long for an address or holds a zero byte.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        connect_to(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener on an address.
    ///
    /// # Blocking
    ///
    /// As [`connect`](UnixStream::connect).
    ///
    /// # Errors
    ///
    /// As std's: `ConnectionRefused` if nobody listens.
    #[track_caller]
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        connect_to(socket_addr)
    }

    /// Returns the two ends of a new connection.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (left, right) = net::UnixStream::pair()?;
        left.set_nonblocking(true)?;
        right.set_nonblocking(true)?;
        Ok((UnixStream::new(Source::fresh(left)), UnixStream::new(Source::fresh(right))))
    }

    /// Returns another descriptor of the same connection.
    ///
    /// It shares timeouts and [`set_nonblocking`](Self::set_nonblocking), as in std.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn try_clone(&self) -> io::Result<UnixStream> {
        self.source.try_clone().map(UnixStream::new)
    }

    /// Returns the address of this end.
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
    /// As std's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().peer_addr()
    }

    /// Bounds the waits of each call that reads; `None`: they have no bound.
    ///
    /// A call whose time is over gives `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the timeout is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.set_timeout(Interest::Read, timeout)
    }

    /// Bounds the waits of each call that writes; `None`: they have no bound.
    ///
    /// A call whose time is over gives `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the timeout is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.set_timeout(Interest::Write, timeout)
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

    /// Ends reading, writing or both, in all handles of the connection.
    ///
    /// Threads that wait for what has ended go on: a read gives 0, a write an error.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.get().shutdown(how)?;
        // Of an end of writing alone the kernel tells no poller of a full Unix stream.
        self.source.call_all(how != Shutdown::Write, how != Shutdown::Read);
        Ok(())
    }
}

/// Connects, and tries again as long as the listener's queue is full.
// SUSPENDS
#[track_caller]
fn connect_to(address: &SocketAddr) -> io::Result<UnixStream> {
    let fd = os::unix_stream_socket()?;
    let mut pauses = Pauses::within(None);
    door::switch_point();
    loop {
        match os::connect_unix(fd.as_fd(), address) {
            Ok(()) => return Ok(UnixStream::new(Source::fresh(fd.into()))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                pauses.pause(WaitKind::Connect);
            }
            Err(error) => return Err(error),
        }
    }
}

impl Read for UnixStream {
    /// Reads what has come.
    ///
    /// # Blocking
    ///
    /// Waits until there are bytes, or no more will come, or for the timeout of
    /// [`set_read_timeout`](UnixStream::set_read_timeout). A cancellation ends the wait, and then
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

impl Read for &UnixStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let attempt = |stream: &net::UnixStream| os::receive(stream.as_fd(), buf, false);
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bytes::room(bufs) == 0 {
            return bytes::without_wait(&self.source, |_| Ok(0));
        }
        let attempt = |stream: &net::UnixStream| os::receive_vectored(stream.as_fd(), bufs);
        self.source.perform(Interest::Read, WaitKind::SocketRead, attempt)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        bytes::read_exact(self, buf)
    }
}

impl Write for UnixStream {
    /// Writes as much as there is room for.
    ///
    /// # Blocking
    ///
    /// Waits until there is room for a byte, or the connection has ended, or for the timeout of
    /// [`set_write_timeout`](UnixStream::set_write_timeout). A cancellation ends the wait, and then
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

impl Write for &UnixStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return bytes::without_wait(&self.source, |mut stream| stream.write(buf));
        }
        let attempt = |stream: &net::UnixStream| os::send(stream.as_fd(), buf);
        self.source.perform(Interest::Write, WaitKind::SocketWrite, attempt)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bytes::is_empty(bufs) {
            return bytes::without_wait(&self.source, |mut stream| stream.write_vectored(bufs));
        }
        let attempt = |stream: &net::UnixStream| os::send_vectored(stream.as_fd(), bufs);
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
