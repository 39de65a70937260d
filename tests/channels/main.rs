//! `sylvan::channel` beyond what crossbeam-channel promises: who leaves in the midst of an
//! operation, who shares a channel, who has which turns, and what wrong use does.
//!
//! That the interface is crossbeam's is shown elsewhere, with programs that compile against both.
//! Here are the promises of our own: a message is with exactly one side whoever is cancelled, runs
//! out of time, unwinds or is leaked; nobody barges; and each way to send meets each way to
//! receive, from threads of any kind.
//!
//! What no test here may do: sleep to wait for a state, or assert how long something took, except
//! on a virtual clock.
#![forbid(unsafe_code)]

mod bad_input;
mod broadcast;
mod budget;
mod cancelled;
mod dropped;
mod fairness;
mod futures;
mod given_up;
mod leaked;
mod mixed;
mod neighbours;
mod oneshot;
mod order;
mod others_bugs;
mod seeded;
mod support;
mod watch;
mod ways;
