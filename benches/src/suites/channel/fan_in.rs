//! Fan-in: ten thousand threads send to one, through a channel that is full most of the time.
//!
//! All wait until the last one has come, so that no thread's start is in the figure; time ends
//! when the receiver has the last message. So it is about thousands of senders in a queue.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::awaiting::{self, BoundedOfTokio, OfAsyncChannel};
use super::blocking::{self, BoundedOfStd, Endless, OfCrossbeam, OfMay, OfSylvan};
use super::{ALIVE, CAPACITY};
use crate::measure::fixed;
use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Floor, Outcome, Row, Scale};
use crate::suites::gathering::{Gathering, await_start, await_start_of_tasks};
use crate::suites::{KERNEL_THREADS_MAX, MANY_KERNEL_THREADS, floors};

pub(super) fn row(scale: Scale, workers: usize) -> Row {
    let game = FanIn { workers, senders: 10_000, share: scale.pick(100, 10) };
    let few = FanIn { senders: KERNEL_THREADS_MAX, ..game };
    let title = scale.pick("channel: fan-in, 10,000 × 100", "channel: fan-in, 10,000 × 10");
    Row::new("channel", title)
        .workers(workers)
        .unit("ns per message")
        .limit_if(workers == 2, 0.5, &["tokio"])
        .floor(Floor::Sum(&[(floors::SWITCH, 1.0)]))
        .peer("sylvan", move || game.threads::<Sylvan, OfSylvan>())
        .peer("sylvan, kernel threads, 2,000 senders", move || few.threads::<Std, OfSylvan>())
        .peer("tokio", move || game.tasks::<TokioMulti, BoundedOfTokio>())
        .tokio_current(move || game.tasks::<TokioCurrent, BoundedOfTokio>())
        .peer("smol", move || game.tasks::<Smol, OfAsyncChannel>())
        .peer("may, unbounded", move || game.threads::<May, Endless<OfMay>>())
        .without("crossbeam", MANY_KERNEL_THREADS)
        .peer("crossbeam, 2,000 senders", move || few.threads::<Std, OfCrossbeam>())
        .without("std", MANY_KERNEL_THREADS)
        .peer("std, 2,000 senders", move || few.threads::<Std, BoundedOfStd>())
        .limit_s(60)
}

#[derive(Clone, Copy)]
struct FanIn {
    workers: usize,
    senders: u64,
    /// Messages of each sender.
    share: u64,
}

impl FanIn {
    fn threads<P: Threads, C: blocking::Bounded>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.messages(), || runtime.run(move || self.to_a_thread::<P, C>()))
    }

    fn tasks<P: Tasks, C: awaiting::Bounded>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.messages(), || runtime.run(self.to_a_task::<P, C>()))
    }

    fn messages(self) -> u64 {
        self.senders * self.share
    }

    /// The numbers of the sender's messages.
    fn numbers(self, sender: u64) -> std::ops::Range<u64> {
        sender * self.share..(sender + 1) * self.share
    }

    fn to_a_thread<P: Threads, C: blocking::Bounded>(self) -> Duration {
        // The receiver is one of the gathering.
        let gathering = Gathering::new(self.senders + 1, P::semaphore());
        let (sender, receiver) = C::bounded(CAPACITY);
        let spawn = |at: u64| {
            let (gathering, sender) = (gathering.clone(), sender.clone());
            P::spawn(move || {
                await_start::<P>(&gathering);
                for number in self.numbers(at) {
                    C::send(&sender, number as usize);
                }
                gathering.race.note_done();
            })
        };
        let handles: Vec<_> = (0..self.senders).map(spawn).collect();
        await_start::<P>(&gathering);
        let received = (0..self.messages()).map(|_| C::recv(&receiver).expect(ALIVE));
        let sum = received.sum();
        gathering.race.note_done();
        gathering.race.count(self.messages());
        handles.into_iter().for_each(P::join);
        self.check(sum);
        gathering.race.time_of(self.messages())
    }

    async fn to_a_task<P: Tasks, C: awaiting::Bounded>(self) -> Duration {
        let gathering = Gathering::new(self.senders + 1, P::semaphore());
        let (sender, mut receiver) = C::bounded(CAPACITY);
        let spawn = |at: u64| {
            let (gathering, sender) = (gathering.clone(), sender.clone());
            P::spawn(async move {
                await_start_of_tasks::<P>(&gathering).await;
                for number in self.numbers(at) {
                    C::send(&sender, number as usize).await;
                }
                gathering.race.note_done();
            })
        };
        let handles: Vec<_> = (0..self.senders).map(spawn).collect();
        await_start_of_tasks::<P>(&gathering).await;
        let mut sum = 0;
        for _ in 0..self.messages() {
            sum += C::recv(&mut receiver).await.expect(ALIVE);
        }
        gathering.race.note_done();
        gathering.race.count(self.messages());
        for handle in handles {
            P::join(handle).await;
        }
        self.check(sum);
        gathering.race.time_of(self.messages())
    }

    fn check(self, sum: usize) {
        let messages = self.messages();
        assert_eq!(sum as u64, messages * (messages - 1) / 2, "each number comes once");
    }
}
