//! Loops of sylvan's alone, on one worker, for callgrind to count instructions in.
//!
//! Run under valgrind with two different counts, the difference of the totals divided by the
//! difference of the counts is the cost of one, free of start-up and of noise. The loops hold
//! nothing else, and nothing here reads a clock.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::task::Poll;

use crate::peers::threads::sylvan_runtime;

/// Runs the loop `what` so often.
pub(crate) fn run(what: &str, count: &str) -> Result<(), String> {
    let count: u64 = count.parse().map_err(|_| format!("'{count}' is not a number"))?;
    let play: fn(u64) = match what {
        "yield" => yields,
        "yield-deep" => deep_yields,
        "spawn" => spawns,
        "spawn-all" => spawns_at_once,
        "park" => round_trips,
        "join" => joins,
        "scope" => scoped,
        "send" => sends,
        "rendezvous" => rendezvous,
        "block-on" => calls_of_block_on,
        _ => return Err(format!("'{what}' is nothing that can be counted")),
    };
    sylvan_runtime(1).run(|| play(count));
    Ok(())
}

/// Two threads, `count` yields in all.
fn yields(count: u64) {
    in_two(count / 2, sylvan::thread::yield_now);
}

/// The same from five calls deep.
fn deep_yields(count: u64) {
    in_two(count / 2, || deep(5));
}

#[inline(never)]
fn deep(depth: u32) {
    if depth <= 1 {
        sylvan::thread::yield_now()
    } else {
        deep(depth - 1)
    }
    black_box(depth);
}

fn in_two(each: u64, f: impl Fn() + Copy + Send + 'static) {
    let repeat = move || {
        for _ in 0..each {
            f();
        }
    };
    let other = sylvan::thread::spawn(repeat);
    repeat();
    other.join().expect("it does not panic");
}

fn spawns(count: u64) {
    for n in 0..count {
        black_box(sylvan::thread::spawn(move || n).join().expect("it does not panic"));
    }
}

fn spawns_at_once(count: u64) {
    let handles: Vec<_> = (0..count).map(|n| sylvan::thread::spawn(move || n)).collect();
    for handle in handles {
        black_box(handle.join().expect("it does not panic"));
    }
}

fn round_trips(count: u64) {
    let me = sylvan::thread::current();
    let other = sylvan::thread::spawn(move || {
        for _ in 0..count {
            sylvan::thread::park();
            me.unpark();
        }
    });
    for _ in 0..count {
        other.thread().unpark();
        sylvan::thread::park();
    }
    other.join().expect("it does not panic");
}

fn joins(count: u64) {
    for n in 0..count {
        black_box(sylvan::join(|| black_box(n), || black_box(n + 1)));
    }
}

/// Scopes of one thread each.
fn scoped(count: u64) {
    for n in 0..count {
        sylvan::thread::scope(|scope| {
            scope.spawn(|| black_box(n));
        });
    }
}

/// Each is sent to a channel of many places and received again by the same thread.
fn sends(count: u64) {
    let (sender, receiver) = sylvan::channel::bounded(128);
    for n in 0..count {
        sender.send(n).expect("the receiver lives");
        black_box(receiver.recv().expect("the sender lives"));
    }
}

/// Two threads, two rendezvous each time: one there and one back.
fn rendezvous(count: u64) {
    let (there, at_there) = sylvan::channel::bounded(0);
    let (back, at_back) = sylvan::channel::bounded(0);
    let other = sylvan::thread::spawn(move || {
        for n in at_there {
            back.send(n).expect("the receiver lives");
        }
    });
    for n in 0..count {
        there.send(n).expect("the receiver lives");
        black_box(at_back.recv().expect("the sender lives"));
    }
    drop(there);
    other.join().expect("it does not panic");
}

/// Of a future that is always ready, and is polled by a call.
fn calls_of_block_on(count: u64) {
    let mut one = std::future::poll_fn(|_| Poll::Ready(1));
    for _ in 0..count {
        let one: &mut (dyn Future<Output = u64> + Unpin) = &mut one;
        black_box(sylvan::block_on(black_box(one)));
    }
}
