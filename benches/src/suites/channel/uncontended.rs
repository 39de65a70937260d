//! What a message costs that nobody waits for: one thread sends it and receives it, over and over.
//!
//! Nothing but the channel is in the loop, so for peers that keep a count of what a task may do
//! before it must yield, as tokio does, that is part of the figure.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use super::awaiting::{self, BoundedOfTokio, OfAsyncChannel, UnboundedOfTokio};
use super::blocking::{self, BoundedOfStd, OfCrossbeam, OfFlume, OfMay, OfSylvan, UnboundedOfStd};
use super::{ALIVE, CAPACITY};
use crate::measure::each;
use crate::peers::tasks::{Smol, Tasks, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Floor, Outcome, Row, Scale};
use crate::suites::floors;

const UNIT: &str = "ns per send and receive";

/// Sending and receiving are an atomic operation each.
const FLOOR: Floor = Floor::Sum(&[(floors::ADDITION, 2.0)]);

pub(super) fn bounded(scale: Scale) -> Row {
    Row::new("channel", "channel: send and receive, 128 places")
        .workers(1)
        .unit(UNIT)
        .floor(FLOOR)
        .peer("sylvan", move || threads::<Sylvan, OfSylvan>(scale, places::<OfSylvan>))
        .peer("sylvan, kernel threads", move || threads::<Std, OfSylvan>(scale, places::<OfSylvan>))
        .peer("crossbeam", move || threads::<Std, OfCrossbeam>(scale, places::<OfCrossbeam>))
        .peer("flume", move || threads::<Std, OfFlume>(scale, places::<OfFlume>))
        .peer("std", move || threads::<Std, BoundedOfStd>(scale, places::<BoundedOfStd>))
        .peer("tokio", move || {
            tasks::<TokioMulti, BoundedOfTokio>(scale, places_for_tasks::<BoundedOfTokio>)
        })
        .peer("smol", move || {
            tasks::<Smol, OfAsyncChannel>(scale, places_for_tasks::<OfAsyncChannel>)
        })
}

pub(super) fn unbounded(scale: Scale) -> Row {
    use awaiting::Unbounded as _;
    use blocking::Unbounded as _;

    Row::new("channel", "channel: send and receive, unbounded")
        .workers(1)
        .unit(UNIT)
        .floor(FLOOR)
        .peer("sylvan", move || threads::<Sylvan, OfSylvan>(scale, OfSylvan::unbounded))
        .peer("sylvan, kernel threads", move || {
            threads::<Std, OfSylvan>(scale, OfSylvan::unbounded)
        })
        .peer("crossbeam", move || threads::<Std, OfCrossbeam>(scale, OfCrossbeam::unbounded))
        .peer("flume", move || threads::<Std, OfFlume>(scale, OfFlume::unbounded))
        .peer("std", move || threads::<Std, UnboundedOfStd>(scale, UnboundedOfStd::unbounded))
        .peer("may", move || threads::<May, OfMay>(scale, OfMay::unbounded))
        .peer("tokio", move || {
            tasks::<TokioMulti, UnboundedOfTokio>(scale, UnboundedOfTokio::unbounded)
        })
        .peer("smol", move || tasks::<Smol, OfAsyncChannel>(scale, OfAsyncChannel::unbounded))
}

fn places<C: blocking::Bounded>() -> (C::Sender, C::Receiver) {
    C::bounded(CAPACITY)
}

fn places_for_tasks<C: awaiting::Bounded>() -> (C::Sender, C::Receiver) {
    C::bounded(CAPACITY)
}

fn threads<P: Threads, C: blocking::Channel>(
    scale: Scale,
    make: fn() -> (C::Sender, C::Receiver),
) -> Outcome {
    let runtime = P::start(1);
    each(scale, 16, |count| {
        runtime.run(move || {
            let (sender, receiver) = make();
            let mut number = 0;
            let start = Instant::now();
            for _ in 0..count {
                C::send(black_box(&sender), number + 1);
                number = C::recv(black_box(&receiver)).expect(ALIVE);
            }
            let took = start.elapsed();
            assert_eq!(number as u64, count, "each message adds one");
            took
        })
    })
}

fn tasks<P: Tasks, C: awaiting::Channel>(
    scale: Scale,
    make: fn() -> (C::Sender, C::Receiver),
) -> Outcome {
    let runtime = P::start(1);
    each(scale, 16, |count| {
        runtime.run(async move {
            let (sender, mut receiver) = make();
            let mut number = 0;
            let start = Instant::now();
            for _ in 0..count {
                C::send(black_box(&sender), number + 1).await;
                number = C::recv(black_box(&mut receiver)).await.expect(ALIVE);
            }
            let took = start.elapsed();
            assert_eq!(number as u64, count, "each message adds one");
            took
        })
    })
}
