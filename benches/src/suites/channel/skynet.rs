//! skynet as it was first published for Go: each node makes a channel of ten places and spawns ten
//! children, who send it their sums; a leaf sends its number. Nobody is joined.
#![forbid(unsafe_code)]

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::time::Instant;

use super::ALIVE;
use super::awaiting::{self, BoundedOfTokio, OfAsyncChannel};
use super::blocking::{self, Endless, OfCrossbeam, OfMay, OfSylvan};
use crate::measure::fixed;
use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Outcome, Row, Scale};
use crate::suites::MANY_KERNEL_THREADS;

const CHILDREN: usize = 10;

pub(super) fn row(scale: Scale, workers: usize) -> Row {
    let game = Skynet { workers, leaves: scale.pick(1_000_000, 100_000) };
    let (few, fewest) = (Skynet { leaves: 10_000, ..game }, Skynet { leaves: 1_000, ..game });
    let leaves = scale.pick("1,000,000", "100,000");
    Row::new("channel", format!("channel: skynet {leaves} by channels"))
        .workers(workers)
        .unit("ns per thread")
        .limit_if(workers == 2, 0.5, &["tokio", "smol"])
        .peer("sylvan", move || game.threads::<Sylvan, OfSylvan>())
        .peer("tokio", move || game.tasks::<TokioMulti, BoundedOfTokio>())
        .tokio_current(move || game.tasks::<TokioCurrent, BoundedOfTokio>())
        .peer("smol", move || game.tasks::<Smol, OfAsyncChannel>())
        .without("may, unbounded", "not tried: it hangs where its stacks run out")
        .peer("may, unbounded, 10,000 leaves", move || few.threads::<May, Endless<OfMay>>())
        .without("crossbeam", MANY_KERNEL_THREADS)
        .peer("crossbeam, 1,000 leaves", move || fewest.threads::<Std, OfCrossbeam>())
        .limit_s(60)
}

#[derive(Clone, Copy)]
struct Skynet {
    workers: usize,
    /// A power of ten.
    leaves: usize,
}

impl Skynet {
    fn threads<P: Threads, C: blocking::Bounded>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.nodes(), || {
            runtime.run(move || {
                let start = Instant::now();
                self.check(sum_of_threads::<P, C>(0, black_box(self.leaves)));
                start.elapsed()
            })
        })
    }

    fn tasks<P: Tasks, C: awaiting::Bounded>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.nodes(), || {
            runtime.run(async move {
                let start = Instant::now();
                self.check(sum_of_tasks::<P, C>(0, black_box(self.leaves)).await);
                start.elapsed()
            })
        })
    }

    /// All threads of the tree but the root: 10 + 100 + … + leaves.
    fn nodes(self) -> u64 {
        ((self.leaves - 1) * CHILDREN / (CHILDREN - 1)) as u64
    }

    fn check(self, sum: usize) {
        assert_eq!(sum, self.leaves * (self.leaves - 1) / 2, "every leaf counts once");
    }
}

fn sum_of_threads<P: Threads, C: blocking::Bounded>(first: usize, leaves: usize) -> usize {
    let (sender, receiver) = C::bounded(CHILDREN);
    let part = leaves / CHILDREN;
    for at in 0..CHILDREN {
        let (parent, first) = (sender.clone(), first + at * part);
        drop(P::spawn(move || {
            let sum = if part == 1 { first } else { sum_of_threads::<P, C>(first, part) };
            C::send(&parent, sum);
        }));
    }
    (0..CHILDREN).map(|_| C::recv(&receiver).expect(ALIVE)).sum()
}

/// Boxed, for a future that contains itself has no size.
fn sum_of_tasks<P: Tasks, C: awaiting::Bounded>(
    first: usize,
    leaves: usize,
) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move {
        let (sender, mut receiver) = C::bounded(CHILDREN);
        let part = leaves / CHILDREN;
        for at in 0..CHILDREN {
            let (parent, first) = (sender.clone(), first + at * part);
            P::detach(P::spawn(async move {
                let sum = if part == 1 { first } else { sum_of_tasks::<P, C>(first, part).await };
                C::send(&parent, sum).await;
            }));
        }
        let mut sum = 0;
        for _ in 0..CHILDREN {
            sum += C::recv(&mut receiver).await.expect(ALIVE);
        }
        sum
    })
}
