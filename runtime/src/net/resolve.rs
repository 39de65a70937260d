//! Addresses out of what a program has: numbers, or names that somebody has to look up.
//!
//! The C library looks names up, and it blocks: it reads files, asks servers and waits for them,
//! and nothing of that can be polled. So a name goes to the pool for blocking calls, as text of its
//! own, and the thread that asks waits green. Whatever is written in numbers is read here and never
//! reaches the pool: an address list in a configuration costs no kernel thread.
//!
//! What is accepted and how it is refused is std's: numbers are read by std's parsers and names are
//! resolved by std's own trait. What this file must never do is to resolve a name on the thread
//! that asks, or to hand the pool anything that borrows from it.
#![forbid(unsafe_code)]

use std::io;
use std::iter::Cloned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{option, slice, vec};

use crate::blocking;
use crate::task::WaitKind;

/// What can be turned into socket addresses, for `connect`, `bind` and `send_to`.
///
/// As [`std::net::ToSocketAddrs`], for the same types and in the same forms, save that a name is
/// resolved without stopping the worker. It is a trait of its own because std's resolves on the
/// kernel thread that asks. A type that implements std's needs an `impl` of this one beside it.
///
/// # Examples
///
/// ```
/// use sylvan::net::ToSocketAddrs;
///
/// let mut numeric = "127.0.0.1:80".to_socket_addrs()?;
/// assert_eq!(numeric.next(), Some(([127, 0, 0, 1], 80).into()));
/// let mut resolved = ("localhost", 80).to_socket_addrs()?;
/// assert!(resolved.all(|address| address.port() == 80));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// The addresses, one after the other.
    type Iter: Iterator<Item = SocketAddr>;

    /// Returns the addresses.
    ///
    /// # Blocking
    ///
    /// Waits for a name until a kernel thread of the pool for blocking calls has resolved it; a
    /// cancellation ends the wait, and the kernel thread goes on alone. There is no limit but that
    /// of the system's resolver; set one with [`timeout`](crate::time::timeout). A kernel thread
    /// blocks. What is written in numbers is not waited for, and is no switch point.
    ///
    /// In a seeded run the virtual clock stands meanwhile, and how long it takes is the system's,
    /// so the seed alone no longer decides. [`testing`](crate::testing) wants numbers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a text is not of the form `host:port`. What the system's resolver says, as
    /// in std. If the pool has no kernel thread and the system refuses one, its error.
    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// For what is one address already.
macro_rules! one_address {
    ($($source:ty),*) => {$(
        impl ToSocketAddrs for $source {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(Some(SocketAddr::from(*self)).into_iter())
            }
        }
    )*};
}

one_address!(SocketAddr, SocketAddrV4, SocketAddrV6);
one_address!((IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        resolve(self.0, self.1)
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        resolve(&self.0, self.1)
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(vec![address].into_iter());
        }
        let (host, port) =
            self.rsplit_once(':').ok_or_else(|| invalid("invalid socket address"))?;
        resolve(host, port.parse().map_err(|_| invalid("invalid port value"))?)
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// The addresses of a host, which is one in numbers or a name.
// SUSPENDS
#[track_caller]
fn resolve(host: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)].into_iter());
    }
    let host = host.to_owned();
    let resolved = blocking::run(WaitKind::Resolve, move || {
        std::net::ToSocketAddrs::to_socket_addrs(&(&*host, port))
    });
    resolved?
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
