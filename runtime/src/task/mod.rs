//! What a thread is, apart from its stack and from who runs it: identity, state, links, packet.
//!
//! Everything in this folder is passive. It is told what happened and says what is owed; nothing
//! here waits, schedules or switches. See `state` for the life of a thread.

pub(crate) mod blocks;
pub(crate) mod cancelled;
pub(crate) mod current;
pub(crate) mod family;
pub(crate) mod header;
pub(crate) mod joiner;
pub(crate) mod limits;
pub(crate) mod locals;
pub(crate) mod mailbox;
pub(crate) mod numbers;
pub(crate) mod packet;
pub(crate) mod reason;
pub(crate) mod region;
pub(crate) mod scope;
pub(crate) mod state;

pub(crate) use cancelled::{CancelReason, Cancelled};
pub(crate) use header::{Header, HeaderRef, Kind};
pub(crate) use reason::{ForNothing, Reason, Unlink, WaitKind, WaitRecord};
pub(crate) use state::{Accepts, Cause, Commit, Duty, Sequence, State};
