//! `sylvan::sync`: what std promises of its locks and friends, and what is there beyond std.
//!
//! That the module is drop-in for `std::sync` is shown by compiling the same files against both:
//! `on_std` and `on_sylvan` each bring the folder `drop_in` into themselves, and all that differs
//! is which `sync` and `thread` stand above it. A body that asks more than std gives fails on the
//! one side, and a method that is missing or behaves differently fails on the other. A macro with
//! the bodies inside would do the same, out of rustfmt's reach.
//!
//! What no test here may do: sleep to wait for a state, or assert how long something took, except
//! that it was not too short.
#![forbid(unsafe_code)]

mod beyond;
mod fairness;
mod leaving;
mod lock_api;
mod locks;
mod mixed;
mod neighbours;
mod on_std;
mod on_sylvan;
mod once;
mod recursion;
mod traits;
