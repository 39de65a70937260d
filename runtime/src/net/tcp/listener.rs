//! A TCP socket that waits for connections.
#![forbid(unsafe_code)]

use std::io;
use std::iter::FusedIterator;
use std::net;
use std::os::fd::AsFd;

use crate::net::accept::Exhaustion;
use crate::net::tcp::TcpStream;
use crate::net::{SocketAddr, ToSocketAddrs, first_that_works};
use crate::os;
use crate::reactor::Source;

/// Listens for TCP connections.
///
/// std's, for threads of any kind; see [`net`](crate::net) for what differs. Several threads may
/// accept from one listener at the same time. Dropping it closes it.
///
/// # Examples
///
/// One thread for each connection:
///
/// ```
/// use std::io::{Read, Write};
/// use sylvan::net::{TcpListener, TcpStream};
/// use sylvan::thread;
///
/// # fn main() -> std::io::Result<()> {
/// sylvan::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     thread::spawn(move || -> std::io::Result<()> {
///         for stream in listener.incoming() {
///             let mut stream = stream?;
///             thread::spawn(move || stream.write_all(b"welcome"));
///         }
///         Ok(())
///     });
///
///     for _ in 0..3 {
///         let mut words = String::new();
///         TcpStream::connect(address)?.read_to_string(&mut words)?;
///         assert_eq!(words, "welcome");
///     }
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpListener {
    pub(in crate::net) source: Source<net::TcpListener>,
    exhaustion: Exhaustion,
}

/// Accepts connections for ever; see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl TcpListener {
    pub(in crate::net) fn new(source: Source<net::TcpListener>) -> TcpListener {
        TcpListener { source, exhaustion: Exhaustion::new() }
    }

    /// Returns a listener on the first of the addresses that it can be bound to.
    ///
    /// Port 0 asks for a free one, which [`local_addr`](TcpListener::local_addr) tells. The address
    /// may be used again at once when the listener has gone.
    ///
    /// As many connections may wait to be accepted as the system allows (`net.core.somaxconn` on
    /// Linux); at a listener of std's it is 128, and a thousand clients that come at once find
    /// their connections reset or late by a second. `bind_with` (feature `net-options`) takes
    /// another number.
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
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        let listener = first_that_works(addr, |address| net::TcpListener::bind(address))?;
        // std lets 128 wait, which a burst of clients goes beyond before one thread has had a turn.
        os::set_queue_length(listener.as_fd(), -1)?;
        listener.set_nonblocking(true)?;
        Ok(TcpListener::new(Source::fresh(listener)))
    }

    /// Returns the address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// As std's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get().local_addr()
    }

    /// Returns another descriptor of the same listener; both accept from one queue.
    ///
    /// # Errors
    ///
    /// If the process may have no more descriptors.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        self.source.try_clone().map(TcpListener::new)
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
    /// That of a connection which was broken off before it was accepted, or the want of descriptors
    /// or memory. A server goes on after either. With
    /// [`set_nonblocking`](TcpListener::set_nonblocking), `WouldBlock` if there is none.
    #[inline]
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let attempt = |listener: &net::TcpListener| os::accept(listener.as_fd());
        let (fd, address) = self.exhaustion.accept(&self.source, attempt)?;
        Ok((TcpStream::new(Source::fresh(fd.into())), address))
    }

    /// Returns an iterator that accepts one connection after the other, and never ends.
    ///
    /// # Blocking
    ///
    /// Each step waits as [`accept`](TcpListener::accept).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Sets how many routers packets may pass (`IP_TTL`); accepted connections inherit it.
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

    /// Says whether an IPv6 listener takes no IPv4 connections (`IPV6_V6ONLY`).
    ///
    /// # Errors
    ///
    /// Always, for it has to be said before the address is bound; std has the method still.
    #[deprecated(note = "it can only be set before the address is bound")]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        #[allow(deprecated, reason = "it stands for std's")]
        self.source.get().set_only_v6(only_v6)
    }

    /// Returns whether an IPv6 listener takes no IPv4 connections.
    ///
    /// # Errors
    ///
    /// As std's.
    #[deprecated(note = "it can only be set before the address is bound")]
    pub fn only_v6(&self) -> io::Result<bool> {
        #[allow(deprecated, reason = "it stands for std's")]
        self.source.get().only_v6()
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

impl FusedIterator for Incoming<'_> {}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
