//! skynet: a tree of threads, ten children to each, whose leaves return their number and whose
//! inner threads return the sum of their children's. It is known from Go, where Alexander Temerev
//! published it as a comparison of languages.
#![forbid(unsafe_code)]

use std::future::Future;
use std::hint::black_box;
use std::ops::Range;
use std::pin::Pin;
use std::time::Instant;

use super::{ForkJoin, Rayon, on_rayon, on_sylvan};
use crate::measure::fixed;
use crate::peers::tasks::Tasks;
use crate::peers::threads::{Std, Sylvan, Threads};
use crate::row::{Game, Outcome, Row, Scale};
use crate::suites::MANY_KERNEL_THREADS;

const CHILDREN: u64 = 10;

pub(super) fn rows(scale: Scale, workers: usize) -> Vec<Row> {
    let leaves = scale.pick(1_000_000, 100_000);
    let title = |how: &str| {
        let leaves = scale.pick("1,000,000", "100,000");
        format!("tree: skynet {leaves} by {how}")
    };
    let game = Skynet { workers, leaves };
    let by_scope = by_handles(title("scope"), game)
        .limit_if(workers == 2, 3.0, &["rayon"])
        .limit_if(workers == 2, 0.1, &["tokio"])
        .peer("sylvan", move || on_sylvan(workers, nodes(leaves), by_sylvan_scope, leaves))
        .peer("sylvan, join", move || on_sylvan(workers, nodes(leaves), by_join::<Sylvan>, leaves))
        .peer("rayon", move || on_rayon(workers, nodes(leaves), by_join::<Rayon>, leaves))
        .peer("rayon, scope", move || on_rayon(workers, nodes(leaves), by_rayon_scope, leaves));
    vec![
        by_scope,
        by_handles(title("handles"), game).peer("sylvan", move || game.threads::<Sylvan>()),
    ]
}

fn by_handles(title: String, game: Skynet) -> Row {
    let few = Skynet { leaves: 1_000, ..game };
    Row::new("tree", title)
        .workers(game.workers)
        .unit("ns per thread")
        .everyone(game)
        .without("std", MANY_KERNEL_THREADS)
        .peer("std, 1,000 leaves", move || few.threads::<Std>())
        .limit_s(60)
}

#[derive(Clone, Copy)]
struct Skynet {
    workers: usize,
    leaves: u64,
}

impl Game for Skynet {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(nodes(self.leaves), || {
            runtime.run(move || {
                let start = Instant::now();
                check(self.leaves, thread::<P>(0, black_box(self.leaves)));
                start.elapsed()
            })
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(nodes(self.leaves), || {
            runtime.run(async move {
                let start = Instant::now();
                check(self.leaves, task::<P>(0, black_box(self.leaves)).await);
                start.elapsed()
            })
        })
    }
}

/// All threads of the tree but the root: 10 + 100 + … + leaves.
fn nodes(leaves: u64) -> u64 {
    (leaves - 1) * CHILDREN / (CHILDREN - 1)
}

fn check(leaves: u64, sum: u64) -> u64 {
    assert_eq!(sum, leaves * (leaves - 1) / 2, "every leaf counts once");
    sum
}

fn thread<P: Threads>(first: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return first;
    }
    let part = leaves / CHILDREN;
    let spawn = |at| P::spawn(move || thread::<P>(first + at * part, part));
    let children: [P::Handle<u64>; CHILDREN as usize] = std::array::from_fn(|at| spawn(at as u64));
    children.into_iter().map(P::join).sum()
}

fn task<P: Tasks>(first: u64, leaves: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            return first;
        }
        let part = leaves / CHILDREN;
        let spawn = |at| P::spawn(task::<P>(first + at * part, part));
        let children: [P::Handle<u64>; CHILDREN as usize] =
            std::array::from_fn(|at| spawn(at as u64));
        let mut sum = 0;
        for child in children {
            sum += P::join(child).await;
        }
        sum
    })
}

fn by_sylvan_scope(leaves: u64) -> u64 {
    fn node(first: u64, leaves: u64) -> u64 {
        if leaves == 1 {
            return first;
        }
        let part = leaves / CHILDREN;
        let mut sums = [0; CHILDREN as usize];
        sylvan::thread::scope(|scope| {
            for (at, sum) in sums.iter_mut().enumerate() {
                scope.spawn(move || *sum = node(first + at as u64 * part, part));
            }
        });
        sums.iter().sum()
    }
    check(leaves, node(0, leaves))
}

fn by_rayon_scope(leaves: u64) -> u64 {
    fn node(first: u64, leaves: u64) -> u64 {
        if leaves == 1 {
            return first;
        }
        let part = leaves / CHILDREN;
        let mut sums = [0; CHILDREN as usize];
        rayon::scope(|scope| {
            for (at, sum) in sums.iter_mut().enumerate() {
                scope.spawn(move |_| *sum = node(first + at as u64 * part, part));
            }
        });
        sums.iter().sum()
    }
    check(leaves, node(0, leaves))
}

/// The ten children are halved until one is left, by the fork-join call.
fn by_join<J: ForkJoin>(leaves: u64) -> u64 {
    fn node<J: ForkJoin>(first: u64, leaves: u64) -> u64 {
        if leaves == 1 { first } else { part::<J>(first, leaves / CHILDREN, 0..CHILDREN) }
    }
    fn part<J: ForkJoin>(first: u64, leaves: u64, children: Range<u64>) -> u64 {
        let count = children.end - children.start;
        if count == 1 {
            return node::<J>(first + children.start * leaves, leaves);
        }
        let middle = children.start + count / 2;
        let (a, b) = J::join(
            || part::<J>(first, leaves, children.start..middle),
            || part::<J>(first, leaves, middle..children.end),
        );
        a + b
    }
    check(leaves, node::<J>(0, leaves))
}
