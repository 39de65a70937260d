//! TEMPORARY: std's resolution, until the pool's lands.
#![forbid(unsafe_code)]

use std::io;

use crate::net::SocketAddr;

/// Addresses that something stands for.
pub trait ToSocketAddrs {
    /// The addresses.
    type Iter: Iterator<Item = SocketAddr>;

    /// Returns the addresses.
    ///
    /// # Errors
    ///
    /// As std's.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

impl<T: std::net::ToSocketAddrs + ?Sized> ToSocketAddrs for T {
    type Iter = T::Iter;

    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<T::Iter> {
        std::net::ToSocketAddrs::to_socket_addrs(self)
    }
}
