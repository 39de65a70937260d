//! What all sockets have in common: descriptors go in and out, and std's sockets too.
//!
//! Each socket is a `Source` around std's socket of the same name. Giving one away is `release`,
//! which takes it out of every poller first and makes it blocking again; taking one over is
//! `adopt`. The one promise in here that only the caller can keep is that of `from_raw_fd`.
//!
//! A descriptor must never leave by another way.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::net::unix::{UnixDatagram, UnixListener, UnixStream};
use crate::net::{TcpListener, TcpStream, UdpSocket};
use crate::reactor::Source;

macro_rules! handles {
    ($($socket:ident from $std:path;)*) => {$(
        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.source.get().as_fd()
            }
        }

        impl AsRawFd for $socket {
            fn as_raw_fd(&self) -> RawFd {
                self.source.get().as_raw_fd()
            }
        }

        impl IntoRawFd for $socket {
            fn into_raw_fd(self) -> RawFd {
                self.source.release().into_raw_fd()
            }
        }

        impl FromRawFd for $socket {
            /// Takes a descriptor over.
            ///
            /// # Panics
            ///
            /// If it is no open socket.
            ///
            /// # Safety
            ///
            /// S1: the descriptor is open, and nobody else closes it.
            unsafe fn from_raw_fd(fd: RawFd) -> $socket {
                // SAFETY: S1.
                $socket::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        impl From<OwnedFd> for $socket {
            /// Takes a descriptor over.
            ///
            /// # Panics
            ///
            /// If it is no socket.
            fn from(fd: OwnedFd) -> $socket {
                $socket::from(<$std>::from(fd))
            }
        }

        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> OwnedFd {
                socket.source.release().into()
            }
        }

        impl From<$std> for $socket {
            /// Takes over a socket of std's, with its timeouts.
            ///
            /// # Panics
            ///
            /// If it is no socket, which happens only where somebody has made it out of another
            /// descriptor.
            fn from(socket: $std) -> $socket {
                match Source::adopt(socket) {
                    Ok(source) => $socket::new(source),
                    Err(error) => refuse(stringify!($socket), &error),
                }
            }
        }

        impl From<$socket> for $std {
            /// Gives the socket to std, in blocking mode unless `set_nonblocking` was asked for.
            fn from(socket: $socket) -> $std {
                socket.source.release()
            }
        }

        // What changes behind a shared reference is never left half changed: an unwinding comes out
        // of a wait, and none begins under the lock that a source's waiters stand under.
        impl UnwindSafe for $socket {}
        impl RefUnwindSafe for $socket {}

        impl fmt::Debug for $socket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.source.get().fmt(f)
            }
        }
    )*};
}

handles! {
    TcpListener from std::net::TcpListener;
    TcpStream from std::net::TcpStream;
    UdpSocket from std::net::UdpSocket;
    UnixListener from std::os::unix::net::UnixListener;
    UnixStream from std::os::unix::net::UnixStream;
    UnixDatagram from std::os::unix::net::UnixDatagram;
}

/// Neither std's conversions nor ours can fail, and what cannot be made non-blocking would block a
/// worker some day.
#[cold]
#[track_caller]
fn refuse(socket: &str, error: &io::Error) -> ! {
    panic!("a sylvan {socket} is made of an open socket, and this is none: {error}")
}
