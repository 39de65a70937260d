//! A server and what loads it, in two processes: what the rows of the suite `net` are made of.
//!
//! The child that measures a cell is the load generator. It starts the peer's server as a process
//! of its own (`server`), opens connections to it, asks and counts (`clients`, `visitors`), and
//! reads from outside what the server's process used. So a server has nothing to report, and one
//! that is written in another language is measured like the others. `serve` holds the servers.
//!
//! There is one generator for all: a kernel thread with an epoll of its own, which belongs to no
//! peer. What it cannot spoil is the processor time of the server's process.

pub(crate) mod clients;
mod histogram;
pub(crate) mod serve;
pub(crate) mod server;
mod system;
pub(crate) mod visitors;
pub(crate) mod window;

/// Bytes of a request and of its answer.
pub(crate) const MESSAGE: usize = 64;
/// Bytes that every server, in whatever language, offers to a read: more than a message, so that
/// a short read tells that there is no more.
const BUFFER: usize = 256;
