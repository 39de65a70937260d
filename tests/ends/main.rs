//! Ends: groups, races, shields, reasons, and the cancellation of threads and scopes.
#![forbid(unsafe_code)]

mod groups;
mod limits;
mod nested;
mod own_bugs;
mod races;
mod reasons;
mod requests;
mod scopes;
mod shields;
mod staging;
