//! A program that cannot unwind: shows, case by case, what works without and what says so.
//!
//! The first argument names the case, the second the mapping. Each case prints what it has seen and
//! asserts the rest; `tests/panic_abort.rs` reads the outcome.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sylvan::{Mapping, Runtime, thread};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().expect("a case");
    let mapping: Mapping = arguments.next().expect("a mapping").parse().expect("a mapping");
    match case.as_str() {
        "works" => works(&build(mapping)),
        "cancel" => cancel(&build(mapping)),
        "leak" => leak(build(mapping)),
        "panic" => build(mapping).run(|| drop(thread::spawn(|| panic!("the end")).join())),
        "overflow" => println!("{}", recurse(0)),
        "green_overflow" => {
            build(mapping).run(|| {
                let deep = thread::Builder::new().name("deep".to_owned());
                drop(deep.spawn(|| recurse(0)).unwrap().join());
            });
        }
        "main" => return leaves_a_thread::main(),
        other => panic!("no such case: {other}"),
    }
    ExitCode::SUCCESS
}

fn build(mapping: Mapping) -> Runtime {
    let hour = Duration::from_secs(3600);
    let builder = Runtime::builder().mapping(mapping).workers(2).name("aborting");
    builder.shutdown_timeout(hour).build().unwrap()
}

/// Threads, waits, scopes, arms, results: nothing of it needs to unwind.
fn works(runtime: &Runtime) {
    let sum = runtime.run(|| {
        let threads: Vec<_> = (0..100_u64)
            .map(|number| {
                thread::spawn(move || {
                    thread::sleep(Duration::from_micros(number));
                    thread::yield_now();
                    number
                })
            })
            .collect();
        let parked = thread::spawn(thread::park);
        parked.thread().unpark();
        parked.join().unwrap();
        let mut halves = [0, 0];
        thread::scope(|scope| {
            for half in &mut halves {
                scope.spawn(|| *half = 50);
            }
        });
        let (left, right) = sylvan::join(|| halves[0], || halves[1]);
        let joined: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        joined + left + right
    });
    assert_eq!(sum, 4950 + 100);
    assert_eq!(thread::with_stack(4 << 20, || 7).unwrap(), 7);
    println!("works");
}

fn cancel(runtime: &Runtime) {
    runtime.run(|| {
        let parked = thread::spawn(thread::park);
        let error = parked.cancel().unwrap_err();
        println!("cancel: {error}");
        parked.thread().unpark();
        parked.join().expect("it was not cancelled");
        thread::scope(|scope| {
            let scoped = scope.spawn(thread::park);
            assert!(scoped.cancel().is_err());
            scoped.thread().unpark();
        });
    });
}

/// A shutdown cannot end what waits; it says so and does not wait for what cannot come.
fn leak(runtime: Runtime) {
    let left = runtime.run(|| {
        let left = thread::Builder::new().name("left".to_owned()).spawn(park_for_ever).unwrap();
        until_it_started();
        left
    });
    // It returns although the timeout is an hour.
    drop(runtime);
    if left.is_finished() {
        assert!(left.join().unwrap_err().is::<thread::Leaked>());
    }
    assert_eq!(sylvan::run(|| thread::spawn(|| 3).join().unwrap()), 3);
    println!("went on");
}

static STARTED: AtomicBool = AtomicBool::new(false);

fn park_for_ever() {
    STARTED.store(true, Ordering::SeqCst);
    loop {
        thread::park();
    }
}

/// A thread that has not started would be dropped by the shutdown, and nothing would be left.
fn until_it_started() {
    while !STARTED.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}

/// Needs more stack than there is, and is not optimised into a loop.
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(frame[63] + 1) + frame[0] }
}

mod leaves_a_thread {
    use super::{park_for_ever, thread, until_it_started};

    #[sylvan::main(mapping = "n:1")]
    pub fn main() {
        let left = thread::Builder::new().name("left".to_owned()).spawn(park_for_ever);
        drop(left.unwrap());
        until_it_started();
        println!("the body ended");
    }
}
