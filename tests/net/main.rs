//! `sylvan::net`: what std promises of its sockets, and what is there beyond std.
//!
//! That the module is drop-in for `std::net` and `std::os::unix::net` is shown by compiling the
//! same files against both: `on_std`, `on_sylvan` and `on_both` each bring the folder `drop_in`
//! into themselves, and all that differs is which `net`, `unix` and `thread` stand above it. A body
//! that asks more than std gives fails on the one side, and a method that is missing or behaves
//! differently fails on the other.
//!
//! What no test here may do: leave the loopback, choose a port itself, hold more than 512
//! descriptors, sleep to wait for a state, or assert how long something took, except that it was
//! not too short.

#![allow(
    clippy::needless_borrows_for_generic_args,
    clippy::type_complexity,
    clippy::useless_conversion,
    clippy::write_literal,
    clippy::print_literal,
    reason = "the bodies try each form that std accepts, against std too"
)]

mod beyond;
mod blocking;
mod faults;
mod kernel_threads;
mod on_both;
mod on_std;
mod on_sylvan;
mod options;
mod place;
mod probe;
mod resolve;
mod sample;
mod traits;
