//! Seeded runs: the same seed gives the same run, time is virtual, and what cannot move says so.
#![forbid(unsafe_code)]

mod bad_input;
mod fairness;
mod faults;
mod net;
mod repeat;
mod replay;
mod stuck;
mod virtual_time;
