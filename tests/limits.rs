//! Shows what happens when the system has no more: address space, locked memory, mappings, kernel
//! threads.
//!
//! The call that met the limit gives the error, which names it; threads that have started go on;
//! and when something was given back, it works again. Every case is a child process under a limit
//! of its own. Where a machine's limits leave nothing to see, the test says so and passes.

mod support;

use std::ffi::c_int;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{GREEN, Limit, MAPPINGS, child, shape, skip, until, wait_for};
use sylvan::{Mapping, Runtime, thread};

/// Spawns threads that wait, until one is refused; releases them, and sees it work again.
///
/// Gives how many could wait at once, and the refusal's text.
fn fill(runtime: &Runtime, most: usize) -> (usize, String) {
    let (waiting, refusal) = runtime.run(|| {
        let started = Arc::new(AtomicUsize::new(0));
        let mut threads: Vec<thread::JoinHandle<i32>> = Vec::new();
        let mut refused = None;
        while refused.is_none() && threads.len() < most {
            let counted = started.clone();
            let spawned = thread::Builder::new().spawn(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                thread::park();
                7
            });
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(error) => refused = Some(error.to_string()),
            }
            // One at a time: a thread has started when it is counted, or has ended refused.
            while started.load(Ordering::SeqCst) < threads.len() && refused.is_none() {
                if threads.last().is_some_and(thread::JoinHandle::is_finished) {
                    refused = Some(String::new());
                }
                thread::yield_now();
            }
        }
        let mut waiting = 0;
        for thread in threads {
            thread.thread().unpark();
            match thread.join() {
                Ok(seven) => waiting += usize::from(seven == 7),
                Err(payload) => {
                    let error = payload.downcast::<io::Error>().expect("no stack, no other cause");
                    refused = Some(error.to_string());
                }
            }
        }
        (waiting, refused)
    });
    (waiting, refusal.expect("the limit was met"))
}

/// After all was given back, a quarter of what could wait can wait again.
fn fills_again(runtime: &Runtime, count: usize) {
    let waiting = runtime.run(|| {
        let threads = park_at_once(count);
        threads.iter().for_each(|thread| thread.thread().unpark());
        threads.into_iter().filter_map(|thread| thread.join().ok()).count()
    });
    assert_eq!(waiting, count);
}

/// Spawns threads that park, and gives them when each has either started or been refused.
fn park_at_once(count: usize) -> Vec<thread::JoinHandle<()>> {
    let started = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let counted = started.clone();
            thread::spawn(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                thread::park();
            })
        })
        .collect();
    until("all to wait or be refused", || {
        // What is parked has not finished: what has, was refused.
        let refused = threads.iter().filter(|thread| thread.is_finished()).count();
        started.load(Ordering::SeqCst) + refused == count
    });
    threads
}

#[test]
fn exhausted_address_space_refuses_threads_and_leaves_the_others_alone() {
    const NAME: &str = "exhausted_address_space_refuses_threads_and_leaves_the_others_alone";
    if let Some(mapping) = support::case() {
        let mapping: Mapping = mapping.parse().unwrap();
        let runtime = shape(mapping).workers(2).build().unwrap();
        let (waiting, refusal) = fill(&runtime, 1 << 16);
        println!("{waiting} threads could wait; then: {refusal}");
        assert!(waiting > 50, "{waiting}");
        if mapping != Mapping::OneToOne {
            assert!(refusal.contains("ulimit -v"), "{refusal}");
            assert!(refusal.contains("bytes for stacks was refused"), "{refusal}");
        }
        fills_again(&runtime, waiting / 4);
        return;
    }
    for mapping in MAPPINGS {
        let ended = child(NAME, &mapping.to_string())
            .limit(Limit::AddressSpaceBytes, 1_500 << 20)
            .run()
            .passed();
        if mapping != Mapping::OneToOne {
            // Each refused thread is reported, as long as they are few.
            ended.says(&["could not start", "spawned at tests/limits.rs"]);
        }
    }
}

#[test]
fn a_stack_larger_than_the_address_space_is_refused_where_it_is_needed() {
    const NAME: &str = "a_stack_larger_than_the_address_space_is_refused_where_it_is_needed";
    if let Some(mapping) = support::case() {
        let runtime = shape(mapping.parse().unwrap()).workers(2).build().unwrap();
        runtime.run(|| {
            let error = thread::with_stack(8 << 30, || ()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert!(error.to_string().contains("ulimit -v"), "{error}");
            match thread::Builder::new().stack_size(8 << 30).spawn(|| ()) {
                // 1:1: the kernel thread is refused at once.
                Err(error) => println!("refused: {error}"),
                Ok(thread) => {
                    let payload = thread.join().unwrap_err();
                    let error = payload.downcast_ref::<io::Error>().unwrap();
                    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
                }
            }
            assert_eq!(thread::spawn(|| 4).join().unwrap(), 4);
        });
        let error = thread::with_stack(8 << 30, || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        return;
    }
    for mapping in MAPPINGS {
        child(NAME, &mapping.to_string())
            .limit(Limit::AddressSpaceBytes, 2_000 << 20)
            .run()
            .passed();
    }
}

#[test]
fn workers_that_the_system_refuses_fail_the_build_and_leave_nothing() {
    const NAME: &str = "workers_that_the_system_refuses_fail_the_build_and_leave_nothing";
    if let Some(case) = support::case() {
        let before = (support::kernel_threads(), support::descriptors());
        let error = shape(Mapping::ManyToMany).workers(1024).build().unwrap_err();
        let text = error.to_string();
        assert!(text.contains("of 1024 could not be started"), "{case}: {text}");
        wait_for("the workers to go", || {
            (support::kernel_threads(), support::descriptors()) == before
        });
        for mapping in GREEN {
            let runtime = shape(mapping).workers(1).build().unwrap();
            assert_eq!(runtime.run(|| thread::spawn(|| 6).join().unwrap()), 6);
        }
        return;
    }
    // A kernel thread takes 2 MiB of address space for its stack.
    child(NAME, "address space").limit(Limit::AddressSpaceBytes, 800 << 20).run().passed();
    let most = support::threads_of_unprivileged_user() + 20;
    child(NAME, "processes").unprivileged().limit(Limit::Processes, most).run().passed();
}

#[test]
fn one_to_one_threads_that_the_system_refuses_fail_the_spawn() {
    const NAME: &str = "one_to_one_threads_that_the_system_refuses_fail_the_spawn";
    if support::case().is_some() {
        let runtime = shape(Mapping::OneToOne).build().unwrap();
        let (waiting, refusal) = fill(&runtime, 1 << 16);
        println!("{waiting} threads could wait; then: {refusal}");
        assert!((5..60).contains(&waiting), "{waiting}");
        fills_again(&runtime, waiting / 2);
        return;
    }
    let most = support::threads_of_unprivileged_user() + 40;
    child(NAME, "processes").unprivileged().limit(Limit::Processes, most).run().passed();
}

unsafe extern "C" {
    safe fn mlockall(flags: c_int) -> c_int;
    safe fn munlockall() -> c_int;
}

const MCL_FUTURE: c_int = 2;
const MCL_ONFAULT: c_int = 4;
const THREADS: usize = 300;

#[test]
fn locked_memory_is_guarded_all_the_same_or_refused() {
    const NAME: &str = "locked_memory_is_guarded_all_the_same_or_refused";
    if let Some(case) = support::case() {
        let runtime = shape(Mapping::ManyToMany).workers(2).build().unwrap();
        // MCL_ONFAULT spares us touching whole chunks. More threads than fit into the chunk that
        // the runtime may have mapped before.
        if mlockall(MCL_FUTURE | MCL_ONFAULT) != 0 {
            skip("mlockall(MCL_FUTURE) is not permitted here");
            return;
        }
        let outcome = runtime.run(|| {
            let threads = park_at_once(THREADS);
            if case == "overflow" && !threads.iter().any(thread::JoinHandle::is_finished) {
                // Its stack lies in locked memory, where the other kind of guard must hold.
                drop(thread::spawn(|| recurse(0)).join());
            }
            threads.iter().for_each(|thread| thread.thread().unpark());
            threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        let refused = outcome.iter().filter(|joined| joined.is_err()).count();
        println!("{refused} were refused");
        assert!(case != "limited" || (1..THREADS).contains(&refused), "{refused}");
        for payload in outcome.into_iter().filter_map(Result::err) {
            let error = payload.downcast_ref::<io::Error>().expect("no stack, no other cause");
            assert!(error.to_string().contains("ulimit -l"), "{error}");
        }
        munlockall();
        assert_eq!(runtime.run(|| thread::spawn(|| 5).join().unwrap()), 5, "unlocked, it works");
        return;
    }
    child(NAME, "run").run().passed().was_skipped();
    let ended = child(NAME, "overflow").run();
    if !ended.was_skipped() && !ended.status.success() {
        ended.aborted().says(&["has overflowed its stack of "]);
    }
    // Without the privilege 8 MiB may be locked, less than one chunk of stacks.
    let limited = child(NAME, "limited").unprivileged().limit(Limit::LockedBytes, 8 << 20);
    limited.run().passed().was_skipped();
}

/// Needs more stack than there is, and is not optimised into a loop.
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(frame[63] + 1) + frame[0] }
}

#[test]
fn guards_that_take_mappings_end_before_the_limit_with_an_error_that_names_it() {
    const NAME: &str = "guards_that_take_mappings_end_before_the_limit_with_an_error_that_names_it";
    if let Some(mapping) = support::case() {
        let runtime = shape(mapping.parse().unwrap()).workers(1).build().unwrap();
        let (waiting, refusal) = fill(&runtime, 1 << 17);
        println!("{waiting} threads could wait; then: {refusal}");
        assert!(refusal.contains("cannot guard another stack"), "{refusal}");
        assert!(refusal.contains("vm.max_map_count="), "{refusal}");
        assert!(waiting > 1_000, "{waiting}");
        fills_again(&runtime, 500);
        // What the runtime left to the process is there: a kernel thread takes some mappings.
        assert_eq!(std::thread::spawn(|| vec![1_u8; 1 << 24].len()).join().unwrap(), 1 << 24);
        return;
    }
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count");
    let limit = limit.ok().and_then(|text| text.trim().parse::<usize>().ok());
    match limit {
        Some(limit) if (16_000..=70_000).contains(&limit) => {
            let ended = child(NAME, "m:n").env("SYLVAN_TEST_GUARDS", "mprotect").run().passed();
            ended.says(&["could not start: cannot guard another stack"]);
        }
        other => eprintln!("SKIPPED: vm.max_map_count is {other:?}, not about 65,530"),
    }
}
