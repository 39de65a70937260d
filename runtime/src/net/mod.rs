//! Sockets with the names of `std::net`.
//!
//! A program that was written for kernel threads changes its imports: `std::net` becomes
//! `sylvan::net`, and `std::os::unix::net` becomes [`sylvan::net::unix`](unix). Types, methods,
//! errors and what a zero-length buffer does are those of std on Linux; where something must
//! differ, the item's documentation says so.
//!
//! A call that would block lets other threads of its worker run; when the socket has become ready,
//! the thread goes on. On a kernel thread that no runtime knows it blocks that thread. All calls
//! that may wait are ended by cancellations and deadlines, such as those of
//! [`time::timeout`](crate::time::timeout), at the wait and nowhere else: what has been read or
//! written by then has been.
//!
//! # Descriptors
//!
//! Sockets are non-blocking underneath, whatever the program has asked for by `set_nonblocking`.
//! Who uses the descriptor itself (by `as_raw_fd`, in a system call) meets that, and `WouldBlock`.
//! `into_raw_fd`, and the conversions into std's sockets and into an `OwnedFd`, give the descriptor
//! back in the mode that the program believes it to be in. The other way round any socket of std's
//! can be taken over, with its timeouts, and its calls wait then, whatever mode it was in.
//!
//! The mode belongs to the socket, not to the descriptor, so a clone that is given to std makes the
//! socket blocking for those that are left here. Reading and writing do not mind; but a listener
//! whose clones are used on both sides may block its worker in `accept`.
//!
//! A clone by `try_clone` is a descriptor of its own of the same socket, as in std, and shares its
//! timeouts and `set_nonblocking`. Duplicates that were made by other means share what the kernel
//! keeps, and these two it does not.
//!
//! # Examples
//!
//! ```
//! use std::io::{Read, Write};
//! use sylvan::net::{Shutdown, TcpListener, TcpStream};
//! use sylvan::thread;
//!
//! # fn main() -> std::io::Result<()> {
//! sylvan::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     let server = thread::spawn(move || -> std::io::Result<u64> {
//!         let (mut stream, _) = listener.accept()?;
//!         std::io::copy(&mut stream.try_clone()?, &mut stream)
//!     });
//!
//!     let mut client = TcpStream::connect(address)?;
//!     client.write_all(b"hello")?;
//!     client.shutdown(Shutdown::Write)?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer)?;
//!     assert_eq!(answer, "hello");
//!     assert_eq!(server.join().unwrap()?, 5);
//!     Ok(())
//! })
//! # }
//! ```

mod accept;
mod bytes;
mod handles;
#[cfg(feature = "net-options")]
mod options;
mod resolve;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
pub mod unix;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};

pub use resolve::ToSocketAddrs;
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;

use std::io;

/// Calls `f` with one address after the other until it succeeds, and gives the last error.
///
/// Where there is no address that is an error, too, which says so.
// SUSPENDS
#[track_caller]
fn first_that_works<A: ToSocketAddrs, T>(
    addresses: A,
    mut f: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match f(&address) {
            Ok(made) => return Ok(made),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_address))
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try")
}
