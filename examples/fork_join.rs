//! Divide and conquer: a quicksort whose two halves are the two arms of `sylvan::join`.
//!
//! `join` offers its second arm to the other workers and runs the first. If nobody took the second
//! one meanwhile, it is an ordinary call on the same stack, so a split costs some nanoseconds and
//! no thread is made for it. Both arms borrow the slice; they get disjoint halves, so this is safe
//! code.
//!
//! Each result is compared with that of std's sort; a difference ends the program with status 1.
//!
//! ```text
//! $ cargo run --release --example fork_join
//!   elements  input    std sort   join sort  result
//!       1000  random     0.01 ms     0.01 ms  same as std's
//!      10000  random     0.15 ms     0.15 ms  same as std's
//!     100000  random     1.69 ms     2.25 ms  same as std's
//!    1000000  random    20.14 ms    24.18 ms  same as std's
//!    1000000  sorted     0.54 ms    17.46 ms  same as std's
//!    1000000  equal      0.46 ms     2.22 ms  same as std's
//! ```
//!
//! The times are those of a machine with two processors that was busy with other work, so nobody
//! helped, and vary. std's sort is the better one: it notices at once that an input is sorted, for
//! example. The one here is for showing `join`.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

#[sylvan::main]
fn main() -> ExitCode {
    println!("  elements  input    std sort   join sort  result");
    let mut all_same = true;
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        all_same &= sort_and_compare("random", random_numbers(count));
    }
    all_same &= sort_and_compare("sorted", (0..1_000_000).collect());
    all_same &= sort_and_compare("equal", vec![7; 1_000_000]);
    if all_same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn sort_and_compare(input: &str, numbers: Vec<u64>) -> bool {
    let mut expected = numbers.clone();
    let std_sort = timed(|| expected.sort_unstable());
    let mut sorted = numbers;
    let join_sort = timed(|| quicksort(&mut sorted));
    let same = sorted == expected;
    println!(
        "{:>10}  {input:<6} {:>8.2} ms {:>8.2} ms  {}",
        sorted.len(),
        milliseconds(std_sort),
        milliseconds(join_sort),
        if same { "same as std's" } else { "WRONG" }
    );
    same
}

/// Sorts in place.
fn quicksort(numbers: &mut [u64]) {
    if numbers.len() <= SEQUENTIAL_COUNT {
        numbers.sort_unstable();
        return;
    }
    let pivot = pivot_of(numbers);
    let smaller_count = partition(numbers, |number| number < pivot);
    let (smaller, rest) = numbers.split_at_mut(smaller_count);
    if smaller.is_empty() {
        // The pivot is the smallest of all, perhaps since there are many that equal it: they are
        // in place once they are in front.
        let equal_count = partition(rest, |number| number <= pivot);
        quicksort(&mut rest[equal_count..]);
        return;
    }
    sylvan::join(|| quicksort(smaller), || quicksort(rest));
}

/// Puts those for which `goes_left` holds first, and returns how many they are.
///
/// A swap at each step, needed or not, instead of a branch: the processor could not predict it,
/// and that would cost more than the swap.
fn partition(numbers: &mut [u64], goes_left: impl Fn(u64) -> bool) -> usize {
    let mut left_count = 0;
    for index in 0..numbers.len() {
        let number = numbers[index];
        numbers.swap(left_count, index);
        left_count += usize::from(goes_left(number));
    }
    left_count
}

/// The median of three, so that a sorted input is split in the middle.
fn pivot_of(numbers: &[u64]) -> u64 {
    let mut three = [numbers[0], numbers[numbers.len() / 2], numbers[numbers.len() - 1]];
    three.sort_unstable();
    three[1]
}

/// The same numbers in each run: a xorshift generator with a constant seed.
fn random_numbers(count: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn timed(f: impl FnOnce()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Parts up to this size are sorted by std. Sorting them takes some 0.2 ms, against which a split
/// costs nothing even where it wakes another worker (10 µs), or starts a kernel thread (1:1).
const SEQUENTIAL_COUNT: usize = 8_192;
