//! Linux's file of the `os` layer, in six parts, because each explains another piece of kernel.
//!
//! `memory` maps, guards and discards; `barrier` makes others pay for a fence; `futex` puts kernel
//! threads to sleep; `fault` is all that has to do with signals; `thread` is what belongs to one
//! kernel thread; `trace` reads the running stack. They share nothing.

pub(super) mod barrier;
pub(super) mod fault;
pub(super) mod futex;
pub(super) mod memory;
pub(super) mod thread;
pub(super) mod trace;
