//! Select over eight channels that all have a message, the receiver refilling the one it took from.
//!
//! By the macro, whose arms are known to the compiler, and by a set of operations that is made once
//! and asked again and again. All on one thread, so nobody ever waits: the figure is what it takes
//! to choose fairly, to receive and to send.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::ALIVE;
use crate::measure::each;
use crate::peers::tasks::{Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{Std, Sylvan, Threads};
use crate::row::{Outcome, Row, Scale};

const WAYS: usize = 8;
const UNIT: &str = "ns per message";
const AT_MOST: f64 = 1.2;

pub(super) fn by_macro(scale: Scale) -> Row {
    Row::new("channel", "channel: select! over 8 that are ready")
        .workers(1)
        .unit(UNIT)
        .limit(AT_MOST, &["crossbeam"])
        .peer("sylvan", move || on_threads::<Sylvan>(scale, sylvan_macro))
        .peer("sylvan, kernel threads", move || on_threads::<Std>(scale, sylvan_macro))
        .peer("crossbeam", move || on_threads::<Std>(scale, crossbeam_macro))
        .peer("tokio", move || on_tokio::<TokioMulti>(scale))
        .tokio_current(move || on_tokio::<TokioCurrent>(scale))
        .without("may", "not tried: its select! starts a coroutine for each arm")
        .without("flume", "does not apply: it has no macro")
}

pub(super) fn by_set(scale: Scale) -> Row {
    Row::new("channel", "channel: Select over 8 that are ready")
        .workers(1)
        .unit(UNIT)
        .limit(AT_MOST, &["crossbeam"])
        .peer("sylvan", move || on_threads::<Sylvan>(scale, sylvan_set))
        .peer("sylvan, kernel threads", move || on_threads::<Std>(scale, sylvan_set))
        .peer("crossbeam", move || on_threads::<Std>(scale, crossbeam_set))
        .peer("flume", move || on_threads::<Std>(scale, flume_set))
}

fn on_threads<P: Threads>(scale: Scale, play: fn(u64) -> Duration) -> Outcome {
    let runtime = P::start(1);
    each(scale, 16, |count| runtime.run(move || play(count)))
}

fn on_tokio<P: Tasks>(scale: Scale) -> Outcome {
    let runtime = P::start(1);
    each(scale, 16, |count| runtime.run(tokio_macro(count)))
}

/// Checks what is left in the channels: each message adds one to the number of its channel.
fn check(count: u64, rest: impl Iterator<Item = usize>) {
    assert_eq!(rest.sum::<usize>() as u64, count, "each message adds one");
}

/// The macro's eight arms give the way and what came by it.
macro_rules! eight_arms {
    ($receivers:ident, $($select:ident)::+) => {
        $($select)::+! {
            recv($receivers[0]) -> message => (0, message.expect(ALIVE)),
            recv($receivers[1]) -> message => (1, message.expect(ALIVE)),
            recv($receivers[2]) -> message => (2, message.expect(ALIVE)),
            recv($receivers[3]) -> message => (3, message.expect(ALIVE)),
            recv($receivers[4]) -> message => (4, message.expect(ALIVE)),
            recv($receivers[5]) -> message => (5, message.expect(ALIVE)),
            recv($receivers[6]) -> message => (6, message.expect(ALIVE)),
            recv($receivers[7]) -> message => (7, message.expect(ALIVE)),
        }
    };
}

/// Both ways, for libraries with crossbeam's interface.
macro_rules! crossbeam_shaped {
    ($by_macro:ident, $by_set:ident, $($channel:ident)::+) => {
        fn $by_macro(count: u64) -> Duration {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..WAYS).map(|_| $($channel)::+::unbounded()).unzip();
            senders.iter().for_each(|sender| sender.send(0).expect(ALIVE));
            let start = Instant::now();
            for _ in 0..count {
                let (way, number): (usize, usize) =
                    eight_arms!(receivers, $($channel)::+::select);
                senders[way].send(number + 1).expect(ALIVE);
            }
            let took = start.elapsed();
            check(count, receivers.iter().map(|receiver| receiver.recv().expect(ALIVE)));
            took
        }

        fn $by_set(count: u64) -> Duration {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..WAYS).map(|_| $($channel)::+::unbounded()).unzip();
            senders.iter().for_each(|sender| sender.send(0).expect(ALIVE));
            let mut set = $($channel)::+::Select::new();
            for receiver in &receivers {
                set.recv(receiver);
            }
            let start = Instant::now();
            for _ in 0..count {
                let operation = set.select();
                let way = operation.index();
                let number: usize = operation.recv(&receivers[way]).expect(ALIVE);
                senders[way].send(number + 1).expect(ALIVE);
            }
            let took = start.elapsed();
            check(count, receivers.iter().map(|receiver| receiver.recv().expect(ALIVE)));
            took
        }
    };
}

crossbeam_shaped!(sylvan_macro, sylvan_set, sylvan::channel);
crossbeam_shaped!(crossbeam_macro, crossbeam_set, crossbeam_channel);

/// flume's set is used up by each choice.
fn flume_set(count: u64) -> Duration {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..WAYS).map(|_| flume::unbounded()).unzip();
    senders.iter().for_each(|sender| sender.send(0).expect(ALIVE));
    let start = Instant::now();
    for _ in 0..count {
        let set = receivers.iter().enumerate().fold(flume::Selector::new(), |set, (way, from)| {
            set.recv(from, move |message| (way, message.expect(ALIVE)))
        });
        let (way, number): (usize, usize) = set.wait();
        senders[way].send(number + 1).expect(ALIVE);
    }
    let took = start.elapsed();
    check(count, receivers.iter().map(|receiver| receiver.recv().expect(ALIVE)));
    took
}

async fn tokio_macro(count: u64) -> Duration {
    let ends = std::array::from_fn(|_| tokio::sync::mpsc::unbounded_channel());
    let senders = ends.each_ref().map(|(sender, _)| sender.clone());
    let receivers = ends.map(|(_, receiver)| receiver);
    senders.iter().for_each(|sender| sender.send(0).expect(ALIVE));
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = receivers;
    let start = Instant::now();
    for _ in 0..count {
        let (way, number): (usize, Option<usize>) = tokio::select! {
            message = a.recv() => (0, message),
            message = b.recv() => (1, message),
            message = c.recv() => (2, message),
            message = d.recv() => (3, message),
            message = e.recv() => (4, message),
            message = f.recv() => (5, message),
            message = g.recv() => (6, message),
            message = h.recv() => (7, message),
        };
        senders[way].send(number.expect(ALIVE) + 1).expect(ALIVE);
    }
    let took = start.elapsed();
    let rest = [a, b, c, d, e, f, g, h].map(|mut receiver| receiver.try_recv().expect(ALIVE));
    check(count, rest.into_iter());
    took
}
