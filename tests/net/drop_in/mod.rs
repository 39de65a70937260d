//! The bodies that are compiled against std and against sylvan.
//!
//! What stands above says which `net`, `unix` and `thread` they mean; nothing here may name the one
//! or the other, except for what both give in the same types: addresses, errors, descriptors.
#![forbid(unsafe_code)]

mod connect;
mod conversions;
mod pairs;
mod peeking;
mod signatures;
mod stream_ends;
mod streams;
mod tcp_listener;
mod texts;
mod udp;
mod unix_datagrams;
mod unix_streams;
mod waiting;

use super::{everywhere, net, now, settle, thread, unix, until};
