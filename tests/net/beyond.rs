//! What `sylvan::net` has beyond std: waits that can be cut off, sockets shared by green threads,
//! workers, runtimes and kernel threads.
#![forbid(unsafe_code)]

mod cutting_off;
mod sharing;
