//! What threads say to each other, on every shape of runtime: locks and condition variables.
#![forbid(unsafe_code)]

mod mutex;
