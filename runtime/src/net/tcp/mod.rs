//! TCP: connections, and who accepts them.
#![forbid(unsafe_code)]

mod listener;
mod stream;

pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;
