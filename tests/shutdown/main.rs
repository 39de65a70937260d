//! Shows how runtimes end: threads are unwound on their own kernel thread, what does not end is
//! reported by name, and where going on would be a use after free the process aborts.
//!
//! What leaks keeps a kernel thread for ever, and what aborts takes the process along; both happen
//! in child processes. There the process-wide counts of kernel threads can be taken too.

mod left_behind;
mod n_to_1;
#[path = "../support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use support::{GREEN, MAPPINGS, child, shape, shapes, until, wait_for};
use sylvan::{Handle, Mapping, Runtime, thread};
use sylvan_workspace::OnDrop;

/// Waits for ever in a destructor that runs while the thread is unwound.
struct WaitsForEver;

impl Drop for WaitsForEver {
    fn drop(&mut self) {
        thread::park();
    }
}

fn named(runtime: &Handle, name: &'static str, f: impl FnOnce() + Send + 'static) -> Left {
    // The inner spawn names it, and inside `spawn` the runtime is the current one.
    let (sender, receiver) = mpsc::channel();
    let outer = runtime.spawn(move || {
        let builder = thread::Builder::new().name(name.to_owned());
        sender.send(builder.spawn(f).unwrap()).unwrap();
    });
    outer.join().unwrap();
    receiver.recv().unwrap()
}

/// A thread that parks and has started: one that has not is never unwound.
fn parked() -> Left {
    let started = Arc::new(AtomicBool::new(false));
    let starts = started.clone();
    let left = thread::spawn(move || {
        starts.store(true, Ordering::SeqCst);
        thread::park();
    });
    until("the thread to start", || started.load(Ordering::SeqCst));
    left
}

type Left = thread::JoinHandle<()>;

fn is_cancelled(left: Left) -> bool {
    left.join().is_err_and(|payload| payload.is::<thread::Cancelled>())
}

fn is_leaked(left: Left) -> bool {
    left.join().is_err_and(|payload| payload.is::<thread::Leaked>())
}

#[test]
fn waiting_threads_are_unwound_and_their_joiners_told() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let started = Arc::new(AtomicUsize::new(0));
        let mut left = Vec::new();
        runtime.run(|| {
            for wait in 0..4 {
                let (dropped, started) = (dropped.clone(), started.clone());
                left.push(thread::spawn(move || {
                    let _count = OnDrop(|| _ = dropped.fetch_add(1, Ordering::SeqCst));
                    let starts = started.clone();
                    let park = move || {
                        starts.fetch_add(1, Ordering::SeqCst);
                        thread::park();
                    };
                    match wait {
                        0 => park(),
                        1 => {
                            started.fetch_add(1, Ordering::SeqCst);
                            thread::sleep(Duration::from_secs(3600));
                        }
                        2 => thread::scope(|scope| _ = scope.spawn(park)),
                        _ => _ = thread::spawn(park).join(),
                    }
                    // What it waited for may have been unwound first.
                    thread::park();
                }));
            }
            // Only a thread that has started has a destructor to run.
            until("all to wait", || started.load(Ordering::SeqCst) == 4);
        });
        drop(runtime);
        assert_eq!(dropped.load(Ordering::SeqCst), 4);
        assert!(left.into_iter().all(is_cancelled));
    }
}

#[test]
fn threads_that_have_not_started_are_dropped_and_never_run() {
    for mapping in GREEN {
        let runtime = shape(mapping).workers(1).build().unwrap();
        let ran = Arc::new(AtomicBool::new(false));
        let dropped = Arc::new(AtomicBool::new(false));
        let left = runtime.run(|| {
            let (ran, dropped) = (ran.clone(), dropped.clone());
            let held = OnDrop(move || dropped.store(true, Ordering::SeqCst));
            // Cancelled before the single worker can have turned to it.
            let left = thread::spawn(move || {
                let _held = &held;
                ran.store(true, Ordering::SeqCst);
            });
            left.cancel().unwrap();
            left
        });
        drop(runtime);
        assert!(is_cancelled(left));
        assert!(dropped.load(Ordering::SeqCst) && !ran.load(Ordering::SeqCst), "{mapping}");
    }
}

#[test]
fn destructors_may_wait_spawn_and_join_while_the_shutdown_unwinds() {
    for builder in shapes() {
        let runtime = builder.shutdown_timeout(Duration::from_secs(20)).build().unwrap();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let left: Vec<Left> = runtime.run(|| {
            let started = Arc::new(AtomicUsize::new(0));
            let left = (0..3).map(|_| {
                let (steps, started) = (steps.clone(), started.clone());
                thread::spawn(move || {
                    let _cleans_up = OnDrop(move || {
                        thread::sleep(Duration::from_millis(2));
                        thread::yield_now();
                        // Born cancelled: it gets no turn, and its joiner is told so.
                        let late = thread::spawn(|| 1).join();
                        let late = late.is_err_and(|p| p.is::<thread::Cancelled>());
                        // But nothing can unwind who waits for these: they are kept.
                        let scoped = thread::scope(|scope| scope.spawn(|| 2).join().unwrap());
                        steps.lock().unwrap().push((late, scoped));
                    });
                    started.fetch_add(1, Ordering::SeqCst);
                    thread::park();
                })
            });
            let left = left.collect();
            until("all to start", || started.load(Ordering::SeqCst) == 3);
            left
        });
        let config = runtime.config().clone();
        drop(runtime);
        assert_eq!(*steps.lock().unwrap(), [(true, 2); 3], "{config:?}");
        assert!(left.into_iter().all(is_cancelled), "{config:?}");
    }
}

#[test]
fn a_runtime_dropped_inside_one_of_its_own_threads_ends_all_the_same() {
    const NAME: &str = "a_runtime_dropped_inside_one_of_its_own_threads_ends_all_the_same";
    if let Some(mapping) = support::case() {
        let mapping: Mapping = mapping.parse().unwrap();
        let before = (support::kernel_threads(), support::descriptors());
        for _ in 0..5 {
            let runtime = shape(mapping).workers(2).build().unwrap();
            let handle = runtime.handle();
            let parked = handle.spawn(thread::park);
            let dropped = handle.spawn(move || {
                drop(runtime);
                // The thread was cancelled with the others, and this is its next wait.
                thread::sleep(Duration::from_secs(3600));
            });
            assert!(is_cancelled(dropped));
            assert!(is_cancelled(parked));
        }
        wait_for("nothing is left", || {
            (support::kernel_threads(), support::descriptors()) == before
        });
        return;
    }
    for mapping in MAPPINGS {
        child(NAME, &mapping.to_string()).run().passed().does_not_say("sylvan:");
    }
}

#[test]
fn a_runtime_dropped_in_a_thread_of_another_runtime_ends() {
    for outer in shapes() {
        let outer = outer.build().unwrap();
        for inner in shapes() {
            let inner = inner.build().unwrap();
            let many = inner.config().mapping != Mapping::ManyToOne;
            let parked = inner.handle().spawn(thread::park);
            outer.run(|| drop(inner));
            if many || outer.config().mapping == Mapping::OneToOne {
                assert!(is_cancelled(parked));
            }
        }
        assert_eq!(outer.run(|| thread::spawn(|| 1).join().unwrap()), 1);
    }
}

#[test]
fn timeouts_at_both_ends_of_their_range_work() {
    for builder in shapes() {
        let runtime = builder.shutdown_timeout(Duration::MAX).build().unwrap();
        let left = runtime.run(parked);
        drop(runtime);
        assert!(is_cancelled(left));
    }
    for builder in shapes() {
        let runtime = builder.shutdown_timeout(Duration::ZERO).build().unwrap();
        assert_eq!(runtime.run(|| thread::spawn(|| 1).join().unwrap()), 1);
    }
}

#[test]
fn worker_hooks_that_panic_or_wait_harm_nobody() {
    const NAME: &str = "worker_hooks_that_panic_or_wait_harm_nobody";
    if let Some(mapping) = support::case() {
        let builder = shape(mapping.parse().unwrap()).workers(2);
        let waits = builder
            .clone()
            .on_worker_start(|| thread::sleep(Duration::from_millis(2)))
            .on_worker_stop(|| thread::sleep(Duration::from_millis(2)));
        assert_eq!(waits.build().unwrap().run(|| thread::spawn(|| 1).join().unwrap()), 1);
        let panics = builder.on_worker_start(|| panic!("start")).on_worker_stop(|| panic!("stop"));
        assert_eq!(panics.build().unwrap().run(|| thread::spawn(|| 2).join().unwrap()), 2);
        return;
    }
    for mapping in GREEN {
        child(NAME, &mapping.to_string()).run().passed();
    }
}

#[test]
fn the_end_of_the_process_ends_the_default_runtime_without_a_word() {
    const NAME: &str = "the_end_of_the_process_ends_the_default_runtime_without_a_word";
    if support::case().is_some() {
        let parked = thread::spawn(thread::park);
        let busy = thread::spawn(|| {
            loop {
                thread::yield_now();
            }
        });
        assert_eq!(thread::spawn(|| 4).join().unwrap(), 4);
        drop((parked, busy));
        return;
    }
    for mapping in ["1:1", "n:1", "m:n"] {
        let ended = child(NAME, "default").env("SYLVAN_MAPPING", mapping).run().passed();
        ended.does_not_say("sylvan");
    }
}

#[test]
fn runtimes_made_and_dropped_in_a_loop_leave_nothing() {
    const NAME: &str = "runtimes_made_and_dropped_in_a_loop_leave_nothing";
    if let Some(mapping) = support::case() {
        let builder = shape(mapping.parse().unwrap()).workers(3);
        let round = |runtime: Runtime| {
            runtime.run(|| {
                let _left = thread::spawn(thread::park);
                thread::scope(|scope| _ = scope.spawn(thread::yield_now));
            });
        };
        // Kernel threads are counted before the first runtime: one that has been joined stands in
        // the kernel's list for a moment longer, and would count as one that may stay.
        let kernel_threads = support::kernel_threads();
        round(builder.clone().build().unwrap());
        let before = (kernel_threads, support::descriptors());
        for _ in 0..50 {
            round(builder.clone().build().unwrap());
        }
        wait_for("nothing is left", || {
            (support::kernel_threads(), support::descriptors()) == before
        });
        assert_eq!(sylvan::__private::doors::live_stacks(), 0);
        return;
    }
    for mapping in MAPPINGS {
        child(NAME, &mapping.to_string()).run().passed();
    }
}

/// A panic hook sees nothing of a cancellation.
#[test]
fn a_shutdown_calls_no_panic_hook() {
    const NAME: &str = "a_shutdown_calls_no_panic_hook";
    if support::case().is_some() {
        std::panic::set_hook(Box::new(|_| println!("the hook ran")));
        for builder in shapes() {
            let runtime = builder.build().unwrap();
            for _ in 0..10 {
                let caught = AssertUnwindSafe(|| drop(runtime.run(parked)));
                catch_unwind(caught).unwrap();
            }
        }
        return;
    }
    let ended = child(NAME, "hook").run().passed();
    assert!(!ended.stdout.contains("the hook ran"), "{ended}");
}

#[test]
fn an_n_to_1_runtime_that_nobody_ran_is_ended_where_it_is_dropped() {
    let outer = shape(Mapping::ManyToMany).workers(2).build().unwrap();
    let queued = outer.run(|| {
        let runtime = shape(Mapping::ManyToOne).build().unwrap();
        runtime.handle().spawn(|| ())
    });
    assert!(queued.join().unwrap_err().is::<thread::Cancelled>());
}
