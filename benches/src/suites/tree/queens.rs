//! n-queens with 11: on how many ways 11 queens stand on a board of 11 by 11 without threatening
//! each other. A thread for each queen set in each row; every peer spawns at every depth, so that
//! threads of all lengths meet.
#![forbid(unsafe_code)]

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::time::Instant;

use super::{ForkJoin, Rayon, on_rayon, on_sylvan};
use crate::measure::fixed;
use crate::peers::tasks::Tasks;
use crate::peers::threads::{Sylvan, Threads};
use crate::row::{Game, Outcome, Row};
use crate::suites::MANY_KERNEL_THREADS;

const SIZE: u64 = 11;
const SOLUTIONS: u64 = 2_680;
/// Queens that are set in all, counted by the test below.
const NODES: u64 = 166_925;

pub(super) fn rows(workers: usize) -> Vec<Row> {
    let row = Row::new("tree", "tree: n-queens 11 by scope")
        .workers(workers)
        .unit("ns per thread")
        .limit_if(workers == 2, 3.0, &["rayon"])
        .limit_if(workers == 2, 0.5, &["tokio"])
        .everyone(Queens { workers })
        .without("std", MANY_KERNEL_THREADS)
        .peer("sylvan", move || on_sylvan(workers, NODES, by_sylvan_scope, SIZE))
        .peer("sylvan, join", move || on_sylvan(workers, NODES, by_join::<Sylvan>, SIZE))
        .peer("sylvan, handles", move || {
            Queens { workers }.threads::<crate::peers::threads::Sylvan>()
        })
        .peer("rayon", move || on_rayon(workers, NODES, by_join::<Rayon>, SIZE))
        .peer("rayon, scope", move || on_rayon(workers, NODES, by_rayon_scope, SIZE));
    vec![row]
}

#[derive(Clone, Copy)]
struct Queens {
    workers: usize,
}

impl Game for Queens {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(NODES, || {
            runtime.run(move || {
                let start = Instant::now();
                check(thread::<P>(Board::empty(black_box(SIZE))));
                start.elapsed()
            })
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(NODES, || {
            runtime.run(async move {
                let start = Instant::now();
                check(task::<P>(Board::empty(black_box(SIZE))).await);
                start.elapsed()
            })
        })
    }
}

fn check(solutions: u64) -> u64 {
    assert_eq!(solutions, SOLUTIONS, "for 11 queens");
    solutions
}

/// The rows that are set, as sets of the columns that they threaten in the next one.
#[derive(Clone, Copy)]
struct Board {
    size: u64,
    columns: u32,
    /// Diagonals, moved by one column with each row.
    left: u32,
    right: u32,
}

/// The boards with one queen more, and how many they are.
type Next = ([Board; SIZE as usize], usize);

impl Board {
    fn empty(size: u64) -> Board {
        Board { size, columns: 0, left: 0, right: 0 }
    }

    fn full(&self) -> bool {
        u64::from(self.columns.count_ones()) == self.size
    }

    fn next(&self) -> Next {
        let mut next = [*self; SIZE as usize];
        let mut count = 0;
        let mut free = !(self.columns | self.left | self.right) & ((1 << self.size) - 1);
        while free != 0 {
            let queen = free & free.wrapping_neg();
            free &= free - 1;
            next[count] = Board {
                size: self.size,
                columns: self.columns | queen,
                left: (self.left | queen) << 1,
                right: (self.right | queen) >> 1,
            };
            count += 1;
        }
        (next, count)
    }
}

fn thread<P: Threads>(board: Board) -> u64 {
    if board.full() {
        return 1;
    }
    let (next, count) = board.next();
    let spawn = |&board: &Board| P::spawn(move || thread::<P>(board));
    let children: Vec<_> = next[..count].iter().map(spawn).collect();
    children.into_iter().map(P::join).sum()
}

fn task<P: Tasks>(board: Board) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if board.full() {
            return 1;
        }
        let (next, count) = board.next();
        let spawn = |&board: &Board| P::spawn(task::<P>(board));
        let children: Vec<_> = next[..count].iter().map(spawn).collect();
        let mut sum = 0;
        for child in children {
            sum += P::join(child).await;
        }
        sum
    })
}

fn by_sylvan_scope(size: u64) -> u64 {
    fn node(board: Board) -> u64 {
        if board.full() {
            return 1;
        }
        let (next, count) = board.next();
        let mut sums = [0; SIZE as usize];
        sylvan::thread::scope(|scope| {
            for (&board, sum) in next[..count].iter().zip(&mut sums) {
                scope.spawn(move || *sum = node(board));
            }
        });
        sums.iter().sum()
    }
    check(node(Board::empty(size)))
}

fn by_rayon_scope(size: u64) -> u64 {
    fn node(board: Board) -> u64 {
        if board.full() {
            return 1;
        }
        let (next, count) = board.next();
        let mut sums = [0; SIZE as usize];
        rayon::scope(|scope| {
            for (&board, sum) in next[..count].iter().zip(&mut sums) {
                scope.spawn(move |_| *sum = node(board));
            }
        });
        sums.iter().sum()
    }
    check(node(Board::empty(size)))
}

/// The children are halved until one is left, by the fork-join call.
fn by_join<J: ForkJoin>(size: u64) -> u64 {
    fn node<J: ForkJoin>(board: Board) -> u64 {
        if board.full() {
            return 1;
        }
        let (next, count) = board.next();
        part::<J>(&next[..count])
    }
    fn part<J: ForkJoin>(boards: &[Board]) -> u64 {
        match boards {
            [] => 0,
            [board] => node::<J>(*board),
            boards => {
                let (a, b) = boards.split_at(boards.len() / 2);
                let (a, b) = J::join(|| part::<J>(a), || part::<J>(b));
                a + b
            }
        }
    }
    check(node::<J>(Board::empty(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queens_set_and_solutions_of_eleven_are_as_the_rows_say() {
        fn count(board: Board) -> (u64, u64) {
            if board.full() {
                return (0, 1);
            }
            let (next, count_of_next) = board.next();
            let mut sum = (count_of_next as u64, 0);
            for &board in &next[..count_of_next] {
                let (nodes, solutions) = count(board);
                sum = (sum.0 + nodes, sum.1 + solutions);
            }
            sum
        }
        assert_eq!(count(Board::empty(SIZE)), (NODES, SOLUTIONS));
    }
}
