//! Unix sockets with the names of `std::os::unix::net`.
//!
//! As [`net`](crate::net), for sockets between the processes of one machine. Addresses are std's
//! own, so [`SocketAddrExt`](std::os::linux::net::SocketAddrExt), which makes abstract ones, works
//! on them.
//!
//! # Examples
//!
//! ```
//! use std::io::{Read, Write};
//! use std::os::linux::net::SocketAddrExt;
//! use sylvan::net::unix::{SocketAddr, UnixListener, UnixStream};
//! use sylvan::thread;
//!
//! # fn main() -> std::io::Result<()> {
//! let name = format!("sylvan-example-{}", std::process::id());
//! let address = SocketAddr::from_abstract_name(name)?;
//! let listener = UnixListener::bind_addr(&address)?;
//! let server = thread::spawn(move || -> std::io::Result<()> {
//!     let (mut stream, _) = listener.accept()?;
//!     stream.write_all(b"at your service")
//! });
//!
//! let mut words = String::new();
//! UnixStream::connect_addr(&address)?.read_to_string(&mut words)?;
//! assert_eq!(words, "at your service");
//! server.join().unwrap()
//! # }
//! ```
#![forbid(unsafe_code)]

mod datagram;
mod listener;
mod stream;

pub use std::os::unix::net::SocketAddr;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use stream::UnixStream;
