//! What a source asks of a socket of std: its blocking mode, and the timeouts that it came with.
#![forbid(unsafe_code)]

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use crate::reactor::Interest;

pub(crate) trait Socket: AsFd + Sized {
    fn try_clone(&self) -> io::Result<Self>;

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;

    /// What bounds the waits for reading and for writing, as the kernel keeps it.
    fn timeouts(&self) -> io::Result<[Option<Duration>; 2]>;

    fn set_timeout(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<()>;
}

macro_rules! sockets {
    ($($socket:ty),*) => {$(
        impl Socket for $socket {
            fn try_clone(&self) -> io::Result<$socket> {
                <$socket>::try_clone(self)
            }

            fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                <$socket>::set_nonblocking(self, nonblocking)
            }

            fn timeouts(&self) -> io::Result<[Option<Duration>; 2]> {
                Ok([self.read_timeout()?, self.write_timeout()?])
            }

            fn set_timeout(
                &self,
                interest: Interest,
                timeout: Option<Duration>,
            ) -> io::Result<()> {
                match interest {
                    Interest::Read => self.set_read_timeout(timeout),
                    Interest::Write => self.set_write_timeout(timeout),
                }
            }
        }
    )*};
}

sockets!(TcpStream, UdpSocket, UnixStream, UnixDatagram);

/// Listeners have no timeouts in std.
macro_rules! listeners {
    ($($listener:ty),*) => {$(
        impl Socket for $listener {
            fn try_clone(&self) -> io::Result<$listener> {
                <$listener>::try_clone(self)
            }

            fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                <$listener>::set_nonblocking(self, nonblocking)
            }

            fn timeouts(&self) -> io::Result<[Option<Duration>; 2]> {
                Ok([None, None])
            }

            fn set_timeout(&self, _: Interest, _: Option<Duration>) -> io::Result<()> {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    )*};
}

listeners!(TcpListener, UnixListener);
