//! Linux's file of the `os` layer, in nine parts, because each explains another piece of kernel.
//!
//! `memory` maps, guards and discards; `barrier` makes others pay for a fence; `futex` puts kernel
//! threads to sleep; `epoll` waits for descriptors, and `doorbell` ends such waits; `net` makes
//! sockets; `fault` is all that has to do with signals; `thread` is what belongs to one kernel
//! thread; `trace` reads the running stack. They share nothing.

pub(super) mod barrier;
pub(super) mod doorbell;
#[cfg(not(sylvan_portable_reactor))]
pub(super) mod epoll;
pub(super) mod fault;
pub(super) mod futex;
pub(super) mod memory;
pub(super) mod net;
pub(super) mod thread;
pub(super) mod trace;
