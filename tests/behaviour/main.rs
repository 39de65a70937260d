//! What a program may rely on, on every shape of runtime: threads, scopes, joins, waits, ends.
//!
//! One test binary, a file per subject, so that linking is paid once. `in_place` starts the whole
//! binary again, with running in place forced on and forced off: the same tests must pass, for a
//! program must not be able to tell.
//!
//! What no test here may do: sleep to wait for a state, or assert how long something took.
#![forbid(unsafe_code)]

mod cancel;
mod descend;
mod fairness;
mod in_place;
mod join;
mod late;
mod loans;
mod locals;
mod memory;
mod park;
mod runtime;
mod scope;
mod slack;
mod threads;
mod ticker;
mod timers;
mod unwinding;
