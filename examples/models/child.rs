//! One measurement, in a process that does nothing else.
//!
//! What is found goes to standard output, a line each, at once: `@ KEY NUMBER…`. A child that is
//! killed, or that the system refuses something in the middle, has told by then what there was.
//! `@ reason TEXT` says what was refused. Every other line, on either stream, is a message of the
//! runtime or of std; the parent shows the first one if the child fails.
//!
//! Nothing here may print while a clock runs, nor start a thread that the table would count.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use sylvan::thread::{self, JoinHandle};
use sylvan::{Mapping, Runtime};

use crate::arguments::Order;
use crate::count;

pub fn run(order: &Order) -> ExitCode {
    let outcome = match order {
        Order::Plain { dir } => {
            plain(dir);
            Ok(())
        }
        Order::SpawnAndJoin { mapping } => runtime(*mapping).and_then(|r| r.run(spawn_and_join)),
        Order::Yield { mapping } => runtime(*mapping).and_then(|r| r.run(yield_now)),
        Order::Words { mapping, dir, passes } => {
            runtime(*mapping).map(|r| r.run(|| words(dir, *passes)))
        }
        Order::Waiting { mapping, threads } => {
            let batch = if *mapping == Mapping::OneToOne { KERNEL_BATCH } else { GREEN_BATCH };
            runtime(*mapping).map(|r| r.run(|| waiting(*threads, batch)))
        }
    };
    if let Err(error) = outcome {
        println!("@ reason {error}");
    }
    ExitCode::SUCCESS
}

/// Builds a runtime, under M:N with fewer workers where the system refuses some.
fn runtime(mapping: Mapping) -> io::Result<Runtime> {
    let refusal = match Runtime::builder().mapping(mapping).build() {
        Err(error) if mapping == Mapping::ManyToMany => error,
        outcome => return outcome,
    };
    let mut workers = std::thread::available_parallelism().map_or(1, |count| count.get());
    while workers > 1 {
        workers /= 2;
        if let Ok(runtime) = Runtime::builder().mapping(mapping).workers(workers).build() {
            println!("@ reason only {workers} workers ({refusal})");
            return Ok(runtime);
        }
    }
    Err(refusal)
}

/// What text there is.
fn plain(dir: &Path) {
    let (files, unreadable) = count::files_below(dir);
    let count = count::single_threaded(&files);
    println!("@ text {} {} {}", count.files, count.bytes, count.words_total());
    let messages: Vec<_> = unreadable.iter().chain(&count.unreadable).collect();
    if let Some(first) = messages.first() {
        println!("@ reason {}", unread(messages.len(), first));
    }
}

fn unread(file_count: usize, first: &str) -> String {
    let more =
        if file_count == 1 { String::new() } else { format!(", and {} more", file_count - 1) };
    format!("could not read {first}{more}")
}

/// Starts a thread, waits for its end, and so on: the median of some rounds of 30 ms.
fn spawn_and_join() -> io::Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < ROUND_TIME {
            for _ in 0..64 {
                join(spawn(|| ())?)?;
            }
            count += 64;
        }
        rounds.push(start.elapsed().as_nanos() as f64 / f64::from(count));
    }
    println!("@ spawn {}", median(rounds));
    Ok(())
}

/// Many threads yield to each other until they are told to stop: the time that a kernel thread
/// needed for all yields made on it, over their number.
fn yield_now() -> io::Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let thread_count = 16 * sylvan::Handle::current().config().workers;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..thread_count {
            let theirs = stop.clone();
            match spawn(move || yield_until(&theirs)) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    // The others must not yield for ever.
                    // ORDERING: Relaxed, here and below; the flag publishes nothing.
                    stop_all(&stop, threads)?;
                    return Err(error);
                }
            }
        }
        thread::sleep(ROUND_TIME);
        let spans = stop_all(&stop, threads)?;
        rounds.push(cost_per_yield(&spans, processors));
    }
    println!("@ yield {}", median(rounds));
    Ok(())
}

/// When a thread made its yields, how many, and on which kernel thread.
struct Span {
    kernel_thread: ThreadId,
    start: Instant,
    end: Instant,
    yields: u64,
}

fn yield_until(stop: &AtomicBool) -> Span {
    let (kernel_thread, start, mut yields) = (std::thread::current().id(), Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        thread::yield_now();
        yields += 1;
    }
    Span { kernel_thread, start, end: Instant::now(), yields }
}

fn stop_all(stop: &AtomicBool, threads: Vec<JoinHandle<Span>>) -> io::Result<Vec<Span>> {
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().map(join).collect()
}

/// Nanoseconds. Where there are more kernel threads than processors, as under 1:1, they had their
/// time in turns: each counts for its share.
fn cost_per_yield(spans: &[Span], processors: usize) -> f64 {
    let mut kernel_threads = HashMap::<ThreadId, (Instant, Instant)>::new();
    for span in spans {
        let whole = kernel_threads.entry(span.kernel_thread).or_insert((span.start, span.end));
        *whole = (whole.0.min(span.start), whole.1.max(span.end));
    }
    let total: Duration = kernel_threads.values().map(|(start, end)| *end - *start).sum();
    let share = processors.min(kernel_threads.len()) as f64 / kernel_threads.len() as f64;
    let yields: u64 = spans.iter().map(|span| span.yields).sum();
    total.as_nanos() as f64 * share / yields.max(1) as f64
}

/// Counts the words of all files below `dir`, `passes` times.
fn words(dir: &Path, passes: u64) {
    let (files, _) = count::files_below(dir);
    let (mut time, mut last) = (Duration::ZERO, count::Count::default());
    for pass in 0..passes {
        let start = Instant::now();
        last = count::one_thread_per_file(&files).0;
        time += start.elapsed();
        if pass % passes.div_ceil(20) == 0 {
            println!("@ progress {pass} {passes}");
        }
    }
    println!("@ words {} {}", time.as_nanos(), last.words_total());
    if let Some(first) = last.unreadable.first() {
        println!("@ reason {}", unread(last.unreadable.len(), first));
    }
}

/// Lets threads park, more and more of them, and says what the process then is.
///
/// It looks after each `batch` threads: should the process die of want, the last look counts.
fn waiting(threads: u64, batch: u64) {
    // Should memory run out all the same, the kernel shall end this process and no other.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let crowd = Arc::new(Crowd::default());
    let mut handles = Vec::with_capacity(usize::try_from(threads).unwrap_or(0));
    let before = resident_bytes();
    let mut refusal = None;
    while refusal.is_none() && (handles.len() as u64) < threads {
        for _ in 0..batch.min(threads - handles.len() as u64) {
            let ticket = Ticket { crowd: crowd.clone(), was_used: false };
            match spawn(move || ticket.wait()) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    refusal = Some(error);
                    break;
                }
            }
        }
        // ORDERING: Relaxed, for all of the crowd; it is only counted.
        while crowd.arrived.load(Ordering::Relaxed) + crowd.refused.load(Ordering::Relaxed)
            < handles.len() as u64
        {
            thread::yield_now();
        }
        let arrived = crowd.arrived.load(Ordering::Relaxed);
        let resident = resident_bytes().zip(before).map(|(now, then)| now.saturating_sub(then));
        println!("@ waiting {arrived} {} {}", resident.unwrap_or(0), kernel_threads());
        if crowd.refused.load(Ordering::Relaxed) > 0 {
            break;
        }
        refusal = refusal.or_else(|| want_of_memory().map(io::Error::other));
    }
    crowd.may_go.store(true, Ordering::Relaxed);
    for handle in &handles {
        handle.thread().unpark();
    }
    for handle in handles {
        if let Err(error) = join(handle) {
            refusal.get_or_insert(error);
        }
    }
    if let Some(error) = refusal {
        println!("@ reason {error}");
    }
}

#[derive(Default)]
struct Crowd {
    arrived: AtomicU64,
    /// Threads that were dropped before they ran, for want of a stack.
    refused: AtomicU64,
    may_go: AtomicBool,
}

struct Ticket {
    crowd: Arc<Crowd>,
    was_used: bool,
}

impl Ticket {
    fn wait(mut self) {
        self.was_used = true;
        self.crowd.arrived.fetch_add(1, Ordering::Relaxed);
        while !self.crowd.may_go.load(Ordering::Relaxed) {
            thread::park();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.was_used {
            self.crowd.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Spawns, or says what the system says of it.
fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().spawn(f).map_err(|error| {
        io::Error::new(error.kind(), format!("no further thread could be started: {error}"))
    })
}

/// Joins. A green thread that could have no stack gives the error that says why.
fn join<T>(handle: JoinHandle<T>) -> io::Result<T> {
    handle.join().map_err(|payload| match payload.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(payload) => std::panic::resume_unwind(payload),
    })
}

/// Why to stop before the machine has no memory for anybody. `None` if there is enough, or if
/// /proc does not say.
fn want_of_memory() -> Option<String> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let (total, available) = (kilobytes(&info, "MemTotal:")?, kilobytes(&info, "MemAvailable:")?);
    (available < total / MEMORY_LEFT_SHARE).then(|| {
        format!("stopped where {} of {} MiB of memory were left", available >> 10, total >> 10)
    })
}

/// What the process holds in memory: its pages, and the tables by which the processor finds them.
/// `None` where /proc cannot be read.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some((kilobytes(&status, "VmRSS:")? + kilobytes(&status, "VmPTE:")?) * 1024)
}

/// The number in a line such as `VmRSS:  1234 kB`.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How many kernel threads the process has; 0 where /proc cannot be read.
fn kernel_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_unstable_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

const ROUNDS: usize = 7;
const ROUND_TIME: Duration = Duration::from_millis(30);

/// Threads between two looks at the process. Green threads that are refused a stack each say so on
/// standard error, and a process in want of memory for kernel threads may end by the next one.
const GREEN_BATCH: u64 = 250;
const KERNEL_BATCH: u64 = 20;

/// One part of this many of the machine's memory is left alone.
const MEMORY_LEFT_SHARE: u64 = 16;
