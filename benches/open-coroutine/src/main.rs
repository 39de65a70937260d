//! open-coroutine's part of the suite, in a program of its own.
//!
//! It cannot be linked into the suite; `../../src/elsewhere.rs` says why. Started like the suite's
//! own children: `measure ROW PEER [--quick] --limit=SECONDS`. It prints the figures of that row as
//! the last line, and plays the same work: what can be shared is
//! (`pace`, `random`, `toil`), the rest is written as in the suite.
//!
//! The driver of a row is the process's first kernel thread, for the crate's `join` blocks the
//! kernel thread that calls it: inside a coroutine it would stop the worker that has to run the
//! other. Settings are those of its documentation: as many event loops as workers, hooks on, for
//! they are what makes a sleep wait as a coroutine.

#[path = "../../src/pace.rs"]
mod pace;
#[allow(dead_code, reason = "this program draws fewer kinds of numbers than the suite")]
#[path = "../../src/random.rs"]
mod random;
#[path = "../../src/toil.rs"]
mod toil;

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use open_coroutine::{JoinHandle, task};
use random::Random;

/// What the suite asks for.
struct Ask {
    quick: bool,
    workers: usize,
}

impl Ask {
    fn target(&self) -> Duration {
        Duration::from_millis(if self.quick { 30 } else { 150 })
    }

    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let limit = option("--limit=").and_then(|limit| limit.parse().ok()).unwrap_or(20);
    // SAFETY: takes a number and touches no memory of ours.
    unsafe { libc::alarm(limit) };
    let row = words.get(1).map_or("", String::as_str);
    let (title, workers) = row.rsplit_once(", ").unwrap_or((row, "1 worker"));
    let workers = workers.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(1);
    let ask = Ask { quick: option("--quick").is_some(), workers };
    let mut answer = silence();
    let line = match measure(title, &ask) {
        Some(figures) => {
            let words: Vec<String> = figures.iter().map(f64::to_string).collect();
            format!("figures {}", words.join(" "))
        }
        None => "no this program does not know the row".to_owned(),
    };
    writeln!(answer, "{line}").expect("the suite reads");
    std::process::exit(0);
}

/// Sends stdout nowhere, and returns where it led. The crate writes a line there for each step of
/// each coroutine, and has no setting against it: its build script builds the hook library with the
/// default features, logging among them.
fn silence() -> File {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().expect("one descriptor more");
    let nowhere = File::create("/dev/null").expect("every system has it");
    // SAFETY: both descriptors are open, and nobody has written to the one that is replaced.
    unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDOUT_FILENO) };
    File::from(stdout)
}

fn measure(title: &str, ask: &Ask) -> Option<Vec<f64>> {
    let figures = match title {
        "spawn: spawn+join in sequence" => vec![in_sequence(ask)],
        "spawn: 1,000,000, then join all" => vec![at_once(ask, 1_000_000)],
        "spawn: 100,000, then join all" => vec![at_once(ask, 100_000)],
        "imbalance: running through" => vec![imbalance(ask)],
        "timers: 100,000 threads" => sleeps(ask, 100_000),
        "timers: 10,000 threads" => sleeps(ask, 10_000),
        "timers: 100 threads, idle" => sleeps(ask, 100),
        "start: a runtime and its first thread" => start_up(ask),
        _ => return None,
    };
    Some(figures)
}

fn start(workers: usize) {
    let mut config = open_coroutine::Config::single();
    config.set_event_loop_size(workers);
    open_coroutine::init(config);
}

fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    task!(|f| f(), f)
}

fn join<T>(handle: JoinHandle<T>) -> T {
    let value = handle.join().expect("no thread of a row fails");
    value.expect("a thread that ended has left its value")
}

fn in_sequence(ask: &Ask) -> f64 {
    start(ask.workers);
    pace::per_unit(ask.target(), 16, |count| {
        let start = Instant::now();
        for n in 0..count {
            black_box(join(spawn(move || n)));
        }
        start.elapsed()
    })
}

fn at_once(ask: &Ask, count: u64) -> f64 {
    start(ask.workers);
    let play = || {
        let start = Instant::now();
        let handles: Vec<_> = (0..count).map(|n| spawn(move || n)).collect();
        for handle in handles {
            black_box(join(handle));
        }
        start.elapsed()
    };
    play();
    play().as_secs_f64() * 1e9 / count as f64
}

fn imbalance(ask: &Ask) -> f64 {
    start(ask.workers);
    let mean = ask.pick(4_000_000, 500_000);
    toil::ratio(mean, ask.workers, || {
        let lengths = toil::lengths(mean);
        let start = Instant::now();
        let handles: Vec<_> =
            lengths.into_iter().map(|rounds| spawn(move || toil::compute(rounds))).collect();
        handles.into_iter().for_each(join);
        start.elapsed()
    })
}

/// CPU time a sleep in µs, median and 99th percentile of the lateness in µs.
fn sleeps(ask: &Ask, threads: u64) -> Vec<f64> {
    start(ask.workers);
    let longest_us = ask.pick(1_000_000, 100_000) - 1_000;
    let all = Arc::new(Mutex::new(Vec::new()));
    let before = cpu_time();
    let one = |n| {
        let all = all.clone();
        spawn(move || {
            let mut random = Random::new(n);
            let late: [f64; 5] = std::array::from_fn(|_| {
                let asked = Duration::from_micros(1_000 + random.below(longest_us));
                let start = Instant::now();
                std::thread::sleep(asked);
                (start.elapsed().as_secs_f64() - asked.as_secs_f64()) * 1e6
            });
            all.lock().expect("nobody panics inside").extend(late);
        })
    };
    let handles: Vec<_> = (0..threads).map(one).collect();
    handles.into_iter().for_each(join);
    let cpu = cpu_time() - before;
    let mut late = all.lock().expect("nobody panics inside");
    late.sort_by(f64::total_cmp);
    let cpu = cpu.as_secs_f64() * 1e6 / late.len() as f64;
    vec![cpu, late[late.len() / 2], late[late.len() * 99 / 100]]
}

fn cpu_time() -> Duration {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours and outlives the call.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn start_up(ask: &Ask) -> Vec<f64> {
    let begin = Instant::now();
    start(ask.workers);
    join(spawn(|| ()));
    vec![begin.elapsed().as_secs_f64() * 1e6, f64::NAN]
}
