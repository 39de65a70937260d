//! Ends: groups, races, shields, reasons, and the cancellation of scopes.
#![forbid(unsafe_code)]

mod groups;
mod limits;
mod races;
mod reasons;
mod shields;
mod staging;
