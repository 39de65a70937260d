//! A program that cannot unwind: shows, case by case, what works without and what says so.
//!
//! The first argument names the case, the second the mapping. Each case prints what it has seen and
//! asserts the rest; `tests/panic_abort.rs` reads the outcome.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sylvan::{Mapping, Runtime, thread, time};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().expect("a case");
    let mapping: Mapping = arguments.next().expect("a mapping").parse().expect("a mapping");
    match case.as_str() {
        "works" => works(&build(mapping)),
        "cancel" => cancel(&build(mapping)),
        "deadlines" => deadlines(&build(mapping)),
        "groups" => groups(&build(mapping)),
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
        assert_eq!(parked.cancel_with("for a reason").unwrap_err().to_string(), error.to_string());
        parked.thread().unpark();
        parked.join().expect("it was not cancelled");
        thread::scope(|scope| {
            let scoped = scope.spawn(thread::park);
            assert!(scoped.cancel().is_err());
            assert!(scoped.cancel_with("for a reason").is_err());
            println!("scope: {}", scope.cancel().unwrap_err());
            assert!(scope.cancel_with("for a reason").is_err());
            assert!(!thread::cancelled());
            scoped.thread().unpark();
            // Also those that come later.
            assert!(!scope.spawn(thread::cancelled).join().unwrap());
        });
    });
}

/// Nothing can be cut off, so nothing is begun that might have to be.
fn deadlines(runtime: &Runtime) {
    let refused = || {
        for duration in [Duration::ZERO, Duration::from_secs(3600), Duration::MAX] {
            let error = time::timeout(duration, || panic!("it was called")).map(|(): ()| ());
            let error = error.unwrap_err();
            assert!(error.location().is_none());
            assert_eq!(error.reason().kind(), thread::CancelKind::Deadline);
            println!("timeout: {error}");
        }
        let end = time::now() + Duration::from_secs(3600);
        let error = time::deadline(end, || panic!("it was called")).map(|(): ()| ()).unwrap_err();
        assert_eq!(error.reason().deadline(), Some(end));
        println!("deadline: {error}");
        assert_eq!(time::current_deadline(), None);
        assert!(!thread::cancelled() && thread::cancel_reason().is_none());
        // What a closure has taken along is dropped, and not leaked.
        let (held, dropped) = (Arc::new(()), Arc::new(()));
        let inner = held.clone();
        let _ = time::timeout(Duration::from_secs(3600), move || drop(inner));
        assert_eq!((Arc::strong_count(&held), Arc::strong_count(&dropped)), (1, 1));
        thread::shield(thread::yield_now);
    };
    runtime.run(refused);
    // On a kernel thread of no runtime, too.
    refused();
}

/// Groups and races wait until all have ended by themselves.
fn groups(runtime: &Runtime) {
    runtime.run(|| {
        let sum: Result<u32, &str> = thread::group(|group| {
            group.limit(2);
            let threads = [1, 2, 3].map(|number| {
                group.spawn(move || {
                    thread::yield_now();
                    Ok(number)
                })
            });
            Ok(threads.into_iter().map(|thread| thread.join()).sum())
        });
        assert_eq!(sum, Ok(6));
        let ended = AtomicU32::new(0);
        let failed: Result<(), u32> = thread::group(|group| {
            for number in 0..3 {
                let ended = &ended;
                group.spawn(move || {
                    for _ in 0..3 {
                        thread::sleep(Duration::from_micros(10));
                    }
                    ended.fetch_add(1, Ordering::SeqCst);
                    if number == 1 { Err(number) } else { Ok(()) }
                });
            }
            Ok(())
        });
        assert_eq!((failed, ended.load(Ordering::SeqCst)), (Err(1), 3));
        let won = thread::race(|race| {
            for number in 1..=3_u32 {
                let ended = &ended;
                race.spawn(move || {
                    thread::sleep(Duration::from_micros(10));
                    ended.fetch_add(1, Ordering::SeqCst);
                    number
                });
            }
        });
        assert!((1..=3).contains(&won));
        assert_eq!(ended.load(Ordering::SeqCst), 6);
    });
    println!("groups work");
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
