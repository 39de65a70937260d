//! The channel rows: what threads pay to send each other something.
//!
//! Each peer plays with channels that its users have, and with its own threads or tasks: tokio and
//! smol with their own ones, tokio also with async-channel and flume, which are made for any
//! runtime, and kernel threads with those of crossbeam, flume and std. The cells "sylvan, kernel
//! threads" use sylvan's channels from plain kernel threads and have no limits: they show what a
//! program pays that shares a channel between both kinds.
//!
//! A message is a number, and each row checks that none was lost and none came twice.
#![forbid(unsafe_code)]

mod awaiting;
mod blocking;
mod fan_in;
mod flow;
mod ping_pong;
mod ready_future;
mod ring;
mod select;
mod skynet;
mod uncontended;

use crate::row::{Row, Scale};

pub(super) fn rows(scale: Scale, workers: &[usize]) -> Vec<Row> {
    let mut rows = vec![
        uncontended::bounded(scale),
        uncontended::unbounded(scale),
        ready_future::row(scale),
        select::by_macro(scale),
        select::by_set(scale),
        ping_pong::row(scale, 1),
        ping_pong::row(scale, 2),
    ];
    for &workers in workers {
        rows.push(flow::many_to_many(scale, workers));
        rows.push(flow::many_to_one(scale, workers));
        rows.push(skynet::row(scale, workers));
        rows.push(ring::row(scale, workers));
        rows.push(fan_in::row(scale, workers));
    }
    rows
}

/// Places of the channels of rows in which senders run ahead of receivers.
const CAPACITY: usize = 128;
const ALIVE: &str = "the other end lives";
