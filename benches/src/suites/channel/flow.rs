//! Many producers, and one consumer or many, at one channel: a fixed number of messages goes
//! through it as fast as it lets them.
//!
//! Time runs from before the first thread is spawned until the last consumer has seen the end.
//! Where the channel is unbounded, how far the producers run ahead is up to the scheduler; what it
//! costs to keep the messages meanwhile is part of the figure.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::CAPACITY;
use super::awaiting::{self, OfAsyncChannel, UnboundedOfTokio};
use super::blocking::UnboundedOfStd;
use super::blocking::{self, Endless, OfCrossbeam, OfFlume, OfMay, OfSylvan, SharedOfMay};
use crate::measure::fixed;
use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Outcome, Row, Scale};

const UNIT: &str = "ns per message";

/// The channel is bounded.
pub(super) fn many_to_many(scale: Scale, workers: usize) -> Row {
    const BOUNDED: [&str; 5] =
        ["tokio, async-channel", "tokio, flume", "smol", "crossbeam", "flume"];

    let flow = Flow { workers, producers: 4, messages: scale.pick(4_000_000, 400_000) };
    let title = scale.pick("4,000,000 from 4 to 4, 128 places", "400,000 from 4 to 4, 128 places");
    Row::new("channel", format!("channel: {title}"))
        .workers(workers)
        .unit(UNIT)
        .limit_if(workers == 2, 0.7, &BOUNDED)
        .peer("sylvan", move || to_four_threads::<Sylvan, OfSylvan>(flow))
        .peer("sylvan, kernel threads", move || to_four_threads::<Std, OfSylvan>(flow))
        .without("tokio", "does not apply: its queues have one receiver")
        .peer("tokio, async-channel", move || to_four_tasks::<TokioMulti, OfAsyncChannel>(flow))
        .peer("tokio, flume", move || to_four_tasks::<TokioMulti, awaiting::OfFlume>(flow))
        .peer("smol", move || to_four_tasks::<Smol, OfAsyncChannel>(flow))
        .peer("may, unbounded", move || to_four_threads::<May, Endless<SharedOfMay>>(flow))
        .peer("crossbeam", move || to_four_threads::<Std, OfCrossbeam>(flow))
        .peer("flume", move || to_four_threads::<Std, OfFlume>(flow))
        .without("std", "does not apply: its channels have one receiver")
        .limit_s(60)
}

/// The channel is unbounded.
pub(super) fn many_to_one(scale: Scale, workers: usize) -> Row {
    const EVERYONE: [&str; 8] = [
        "tokio",
        "tokio, async-channel",
        "tokio, flume",
        "smol",
        "may",
        "crossbeam",
        "flume",
        "std",
    ];

    let flow = Flow { workers, producers: 8, messages: scale.pick(4_000_000, 400_000) };
    let title = scale.pick("4,000,000 from 8 to 1, unbounded", "400,000 from 8 to 1, unbounded");
    Row::new("channel", format!("channel: {title}"))
        .workers(workers)
        .unit(UNIT)
        .limit_if(workers == 2, 0.8, &EVERYONE)
        .peer("sylvan", move || to_one_thread::<Sylvan, OfSylvan>(flow))
        .peer("sylvan, kernel threads", move || to_one_thread::<Std, OfSylvan>(flow))
        .peer("tokio", move || to_one_task::<TokioMulti, UnboundedOfTokio>(flow))
        .tokio_current(move || to_one_task::<TokioCurrent, UnboundedOfTokio>(flow))
        .peer("tokio, async-channel", move || to_one_task::<TokioMulti, OfAsyncChannel>(flow))
        .peer("tokio, flume", move || to_one_task::<TokioMulti, awaiting::OfFlume>(flow))
        .peer("smol", move || to_one_task::<Smol, OfAsyncChannel>(flow))
        .peer("may", move || to_one_thread::<May, OfMay>(flow))
        .peer("crossbeam", move || to_one_thread::<Std, OfCrossbeam>(flow))
        .peer("flume", move || to_one_thread::<Std, OfFlume>(flow))
        .peer("std", move || to_one_thread::<Std, UnboundedOfStd>(flow))
        .limit_s(60)
}

/// A sender, and as many receivers as there are consumers.
type Ends<S, R> = (S, Vec<R>);

fn to_four_threads<P: Threads, C: blocking::Bounded<Receiver: Clone>>(flow: Flow) -> Outcome {
    flow.threads::<P, C>(|| {
        let (sender, receiver) = C::bounded(CAPACITY);
        (sender, vec![receiver; 4])
    })
}

fn to_four_tasks<P: Tasks, C: awaiting::Bounded<Receiver: Clone>>(flow: Flow) -> Outcome {
    flow.tasks::<P, C>(|| {
        let (sender, receiver) = C::bounded(CAPACITY);
        (sender, vec![receiver; 4])
    })
}

fn to_one_thread<P: Threads, C: blocking::Unbounded>(flow: Flow) -> Outcome {
    flow.threads::<P, C>(|| {
        let (sender, receiver) = C::unbounded();
        (sender, vec![receiver])
    })
}

fn to_one_task<P: Tasks, C: awaiting::Unbounded>(flow: Flow) -> Outcome {
    flow.tasks::<P, C>(|| {
        let (sender, receiver) = C::unbounded();
        (sender, vec![receiver])
    })
}

#[derive(Clone, Copy)]
struct Flow {
    workers: usize,
    producers: usize,
    /// Of all producers together; a multiple of their number.
    messages: usize,
}

impl Flow {
    fn threads<P: Threads, C: blocking::Channel>(
        self,
        make: fn() -> Ends<C::Sender, C::Receiver>,
    ) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.messages as u64, || runtime.run(move || self.through_threads::<P, C>(make())))
    }

    fn tasks<P: Tasks, C: awaiting::Channel>(
        self,
        make: fn() -> Ends<C::Sender, C::Receiver>,
    ) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.messages as u64, || runtime.run(self.through_tasks::<P, C>(make())))
    }

    fn through_threads<P: Threads, C: blocking::Channel>(
        self,
        (sender, receivers): Ends<C::Sender, C::Receiver>,
    ) -> Duration {
        let start = Instant::now();
        let consume = |receiver: C::Receiver| {
            P::spawn(move || {
                let mut sum = 0;
                while let Some(number) = C::recv(&receiver) {
                    sum += number;
                }
                sum
            })
        };
        let consumers: Vec<_> = receivers.into_iter().map(consume).collect();
        let produce = |at: usize| {
            let sender = sender.clone();
            P::spawn(move || {
                for number in (at..self.messages).step_by(self.producers) {
                    C::send(&sender, number);
                }
            })
        };
        let producers: Vec<_> = (0..self.producers).map(produce).collect();
        drop(sender);
        producers.into_iter().for_each(P::join);
        let sum = consumers.into_iter().map(P::join).sum();
        let took = start.elapsed();
        self.check(sum);
        took
    }

    async fn through_tasks<P: Tasks, C: awaiting::Channel>(
        self,
        (sender, receivers): Ends<C::Sender, C::Receiver>,
    ) -> Duration {
        let start = Instant::now();
        let consume = |mut receiver: C::Receiver| {
            P::spawn(async move {
                let mut sum = 0;
                while let Some(number) = C::recv(&mut receiver).await {
                    sum += number;
                }
                sum
            })
        };
        let consumers: Vec<_> = receivers.into_iter().map(consume).collect();
        let produce = |at: usize| {
            let sender = sender.clone();
            P::spawn(async move {
                for number in (at..self.messages).step_by(self.producers) {
                    C::send(&sender, number).await;
                }
            })
        };
        let producers: Vec<_> = (0..self.producers).map(produce).collect();
        drop(sender);
        for producer in producers {
            P::join(producer).await;
        }
        let mut sum = 0;
        for consumer in consumers {
            sum += P::join(consumer).await;
        }
        let took = start.elapsed();
        self.check(sum);
        took
    }

    fn check(self, sum: usize) {
        assert_eq!(sum, self.messages * (self.messages - 1) / 2, "each number comes once");
    }
}
