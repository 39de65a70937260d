//! A Unix socket that waits for connections.
#![forbid(unsafe_code)]

use std::io;
use std::iter::FusedIterator;
use std::os::fd::AsFd;
use std::os::unix::net;
use std::path::Path;

use crate::net::accept::Exhaustion;
use crate::net::unix::{SocketAddr, UnixStream};
use crate::os;
use crate::reactor::Source;

/// Listens for Unix connections.
///
/// std's, for threads of any kind; see [`net`](crate::net) for what differs. Several threads may
/// accept from one listener at the same time. Dropping it closes it, and leaves its file.
///
/// # Examples
///
/// See [`unix`](crate::net::unix).
pub struct UnixListener {
    pub(in crate::net) source: Source<net::UnixListener>,
    exhaustion: Exhaustion,
}

/// Accepts connections for ever; see [`UnixListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl UnixListener {
    pub(in crate::net) fn new(source: Source<net::UnixListener>) -> UnixListener {
        UnixListener { source, exhaustion: Exhaustion::new() }
    }

    /// Returns a listener on a new file.
    ///
    /// # Errors
    ///
    /// As std's: `AddrInUse` if there is such a file, `InvalidInput` if the path is too long for an
    /// address or holds a zero byte.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::listen(net::UnixListener::bind(path)?)
    }

    /// Returns a listener on an address.
    ///
    /// # Errors
    ///
    /// As std's: `AddrInUse` if somebody has it.
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::listen(net::UnixListener::bind_addr(socket_addr)?)
    }

    fn listen(listener: net::UnixListener) -> io::Result<UnixListener> {
        listener.set_nonblocking(true)?;
        Ok(UnixListener::new(Source::fresh(listener)))
    }

    /// Accepts a connection, and tells the peer's address.
    ///
    /// # Blocking
    ///
    /// Waits for a connection; nothing ends the wait before, save what cuts the thread off. A
    /// connection that has come when the thread is cut off stays in the queue. A kernel thread
    /// blocks.
    ///
    /// After an error for want of descriptors or memory the next call of this listener waits for
    /// 10 ms before it tries again, so that a loop which notes the error and goes on does not burn
    /// a processor.
    ///
    /// # Errors
    ///
    /// The want of descriptors or memory; a server goes on after it. With
    /// [`set_nonblocking`](UnixListener::set_nonblocking), `WouldBlock` if there is none.
    #[inline]
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let attempt = |listener: &net::UnixListener| {
            let accepted = os::accept_unix(listener.as_fd());
            self.source.or_end(accepted, || Err(os::no_listener()))
        };
        let (fd, address) = self.exhaustion.accept(&self.source, attempt)?;
        Ok((UnixStream::new(Source::fresh(fd.into())), address))
    }

    /// Returns another descriptor of the same listener; both accept from one queue.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        self.source.try_clone().map(UnixListener::new)
    }

    /// Returns the address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().local_addr()
    }

    /// Returns an iterator that accepts one connection after the other, and never ends.
    ///
    /// # Blocking
    ///
    /// Each step waits as [`accept`](UnixListener::accept).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
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

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

impl FusedIterator for Incoming<'_> {}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}
