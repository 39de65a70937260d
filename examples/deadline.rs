//! Gives up in time: a slow channel and a slow computation, neither of which was written for it.
//!
//! `time::timeout` ends whatever its closure waits for, and says whose deadline it was, where that
//! was set, and which call was given up. A computation waits for nothing, so it asks
//! `thread::cancelled()` now and then, and returns what it has; that is a value and no error,
//! however late it is. What was borrowed can be used afterwards, and destructors have run. Of
//! nested deadlines the nearest counts, and the threads of a scope have that of the thread which
//! opened it.
//!
//! ```text
//! $ cargo run --release --example deadline
//! the line is closed
//! the thermometer said [20, 21, 22], and then nothing:
//!   the deadline of 200ms, set by thread 2
//!     at examples/deadline.rs:91:19, has passed while receiving from a channel
//!     at examples/deadline.rs:93:9
//! 91 has the divisor 7
//! 2305843009213693951 has none below 10000, and there was no time to look further
//! the outer one is still in force: true
//! two computations and a channel in one scope:
//!   the deadline of 100ms, set by thread 2
//!     at examples/deadline.rs:119:19, has passed while joining a thread
//!     at examples/deadline.rs:128:24
//! ```
//!
//! The same under every mapping.
#![forbid(unsafe_code)]

use sylvan::channel::{self, Receiver};
use sylvan::thread;
use sylvan::time::{self, Duration, Elapsed};

/// Something that has to be given back, however its use ends.
struct Line(Receiver<u32>);

impl Drop for Line {
    fn drop(&mut self) {
        println!("the line is closed");
    }
}

/// Says three things, and then nothing for an hour.
fn call_thermometer() -> Line {
    let (sender, readings) = channel::bounded(1);
    thread::spawn(move || {
        for reading in [20, 21, 22] {
            sender.send(reading).expect("somebody listens");
        }
        thread::sleep(HOUR);
        drop(sender);
    });
    Line(readings)
}

/// What came of looking for a divisor.
enum Search {
    Found(u64),
    /// It was told to stop, and had tried all below this one.
    StoppedAt(u64),
}

/// Tries one divisor after the other until it is told to stop.
fn divisor_of(number: u64) -> Search {
    for divisor in 2..number {
        // Not each time: asking costs more than dividing.
        if divisor % 1_000 == 0 && thread::cancelled() {
            return Search::StoppedAt(divisor);
        }
        if number.is_multiple_of(divisor) {
            return Search::Found(divisor);
        }
    }
    Search::Found(number)
}

/// A line for each place that is named.
fn print_folded(elapsed: &Elapsed) {
    println!("  {}", elapsed.to_string().replace(" at ", "\n    at "));
}

#[sylvan::main]
fn main() {
    wait_for_a_slow_channel();
    ask_a_slow_computation();
    bound_a_whole_scope();
}

/// The loop over the channel knows nothing of a deadline.
fn wait_for_a_slow_channel() {
    let mut seen = Vec::new();
    let outcome = time::timeout(Duration::from_millis(200), || {
        let line = call_thermometer();
        for reading in &line.0 {
            seen.push(reading);
        }
    });
    let elapsed = outcome.expect_err("the sender lives for an hour");
    println!("the thermometer said {seen:?}, and then nothing:");
    print_folded(&elapsed);
}

/// Nothing can be unwound here, so the computation asks.
fn ask_a_slow_computation() {
    for number in [91, PRIME] {
        let search = time::timeout(Duration::from_millis(100), || divisor_of(number));
        match search.expect("it waits for nothing, and so returns") {
            Search::Found(divisor) => println!("{number} has the divisor {divisor}"),
            Search::StoppedAt(least) => {
                assert!(least > LEAST, "a tenth of a second is enough for {least} divisions");
                println!("{number} has none below {LEAST}, and there was no time to look further");
            }
        }
    }
}

/// Two threads that compute and one that waits have the deadline of the thread that opens their
/// scope; the inner one, which comes later, changes nothing.
fn bound_a_whole_scope() {
    let outcome = time::timeout(Duration::from_millis(100), || {
        let outer = time::current_deadline();
        time::timeout(HOUR, || {
            println!("the outer one is still in force: {}", outer == time::current_deadline());
            thread::scope(|scope| {
                scope.spawn(|| divisor_of(PRIME));
                scope.spawn(|| divisor_of(PRIME));
                // Who wants what its threads give joins them, and ends with them.
                let answer = scope.spawn(|| channel::never::<u64>().recv());
                answer.join().expect("it does not panic")
            })
        })
    });
    let elapsed = outcome.expect_err("nothing is ever sent");
    println!("two computations and a channel in one scope:");
    print_folded(&elapsed);
}

const HOUR: Duration = Duration::from_secs(3600);
/// 2^61 - 1: to find that out takes years here.
const PRIME: u64 = 2_305_843_009_213_693_951;
/// So many divisions take less than a tenth of a second, on any machine.
const LEAST: u64 = 10_000;
