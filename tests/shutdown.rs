//! Shows how runtimes end: threads are unwound on their own kernel thread, what does not end is
//! reported by name, and where going on would be a use after free the process aborts.
//!
//! What leaks keeps a kernel thread for ever, and what aborts takes the process along; both happen
//! in child processes. There the process-wide counts of kernel threads can be taken too.

mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use support::{GREEN, MAPPINGS, child, shape, shapes, wait_for};
use sylvan::{Handle, Mapping, Runtime, thread};

/// Goes on for ever, whatever it is told: each wait is unwound, and each unwinding caught.
fn swallow_cancellations() {
    loop {
        let _ = catch_unwind(|| thread::sleep(Duration::from_millis(1)));
    }
}

/// Waits for ever in a destructor that runs while the thread is unwound.
struct WaitsForEver;

impl Drop for WaitsForEver {
    fn drop(&mut self) {
        thread::park();
    }
}

/// Calls its closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
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
        let mut left = Vec::new();
        runtime.run(|| {
            for wait in 0..4 {
                let dropped = dropped.clone();
                left.push(thread::spawn(move || {
                    let _count = OnDrop(|| _ = dropped.fetch_add(1, Ordering::SeqCst));
                    match wait {
                        0 => thread::park(),
                        1 => thread::sleep(Duration::from_secs(3600)),
                        2 => thread::scope(|scope| _ = scope.spawn(thread::park)),
                        _ => _ = thread::spawn(thread::park).join(),
                    }
                    // What it waited for may have been unwound first.
                    thread::park();
                }));
            }
            // Only a thread that has started has a destructor to run.
            thread::sleep(Duration::from_millis(20));
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
                        let scoped = thread::scope(|scope| scope.spawn(|| 2).join().is_err());
                        let late = late.is_err_and(|p| p.is::<thread::Cancelled>());
                        steps.lock().unwrap().push((late, scoped));
                    });
                    started.fetch_add(1, Ordering::SeqCst);
                    thread::park();
                })
            });
            let left = left.collect();
            while started.load(Ordering::SeqCst) < 3 {
                thread::sleep(Duration::from_millis(1));
            }
            left
        });
        let config = runtime.config().clone();
        drop(runtime);
        assert_eq!(*steps.lock().unwrap(), [(true, true); 3], "{config:?}");
        assert!(left.into_iter().all(is_cancelled), "{config:?}");
    }
}

#[test]
fn a_thread_left_behind_is_reported_by_name_and_the_process_goes_on() {
    const NAME: &str = "a_thread_left_behind_is_reported_by_name_and_the_process_goes_on";
    match support::case().as_deref() {
        None => (),
        Some(mapping) => {
            let mapping: Mapping = mapping.parse().unwrap();
            let before = support::kernel_threads();
            let timeout = Duration::from_millis(100);
            let builder = shape(mapping).workers(2).name("crew").shutdown_timeout(timeout);
            let runtime = builder.build().unwrap();
            let clung = named(&runtime.handle(), "clinging", || {
                let _waits = WaitsForEver;
                thread::park();
            });
            let good = named(&runtime.handle(), "well-behaved", thread::park);
            runtime.run(|| thread::sleep(Duration::from_millis(20)));
            let begun = Instant::now();
            drop(runtime);
            let took = begun.elapsed();
            assert!(took >= timeout && took < timeout * 10, "{took:?}");
            assert!(is_cancelled(good));
            if mapping == Mapping::ManyToMany {
                assert!(is_leaked(clung));
            }
            // The leaked thread keeps one kernel thread, and that one only.
            wait_for("the other worker to end", || support::kernel_threads() == before + 1);
            assert_eq!(sylvan::run(|| thread::spawn(|| 3).join().unwrap()), 3);
            println!("went on");
            return;
        }
    }
    for mapping in ["m:n", "1:1"] {
        let ended = child(NAME, mapping).run().passed().prints(&["went on"]);
        ended
            .says(&[
                "sylvan: the runtime 'crew' was shut down, and after 100ms not all of its threads",
            ])
            .says(&["thread 'clinging' (number ", "tests/shutdown.rs:"])
            .does_not_say("well-behaved");
    }
}

#[test]
fn a_thread_that_swallows_cancellations_is_left_behind_and_reported() {
    const NAME: &str = "a_thread_that_swallows_cancellations_is_left_behind_and_reported";
    match support::case().as_deref() {
        None => (),
        Some(mapping) => {
            let timeout = Duration::from_millis(100);
            let builder = shape(mapping.parse().unwrap()).workers(1).shutdown_timeout(timeout);
            let runtime = builder.build().unwrap();
            named(&runtime.handle(), "stubborn", swallow_cancellations);
            runtime.run(|| thread::sleep(Duration::from_millis(20)));
            let begun = Instant::now();
            drop(runtime);
            let took = begun.elapsed();
            assert!(took >= timeout && took < timeout * 10, "{took:?}");
            assert_eq!(sylvan::run(|| 3), 3);
            println!("went on");
            return;
        }
    }
    for mapping in ["m:n", "1:1"] {
        let ended = child(NAME, mapping).run().passed().prints(&["went on"]);
        ended.says(&["was shut down", "thread 'stubborn'"]);
    }
    // The worker is the caller's own kernel thread.
    child(NAME, "n:1").run().aborted().says(&["thread 'stubborn'"]);
}

#[test]
fn neighbours_of_a_thread_that_swallows_cancellations_are_unwound() {
    const NAME: &str = "neighbours_of_a_thread_that_swallows_cancellations_are_unwound";
    if support::case().is_some() {
        let timeout = Duration::from_millis(300);
        let builder = shape(Mapping::ManyToMany).workers(1).shutdown_timeout(timeout);
        let runtime = builder.build().unwrap();
        named(&runtime.handle(), "stubborn", swallow_cancellations);
        let neighbours: Vec<Left> =
            (0..10).map(|_| named(&runtime.handle(), "neighbour", thread::park)).collect();
        runtime.run(|| thread::sleep(Duration::from_millis(20)));
        drop(runtime);
        assert!(neighbours.into_iter().all(is_cancelled));
        return;
    }
    child(NAME, "m:n").run().passed().says(&["thread 'stubborn'"]).does_not_say("neighbour");
}

#[test]
fn an_n_to_1_runtime_with_a_thread_left_behind_aborts_after_the_report() {
    const NAME: &str = "an_n_to_1_runtime_with_a_thread_left_behind_aborts_after_the_report";
    if support::case().is_some() {
        let timeout = Duration::from_millis(100);
        let runtime = shape(Mapping::ManyToOne).shutdown_timeout(timeout).build().unwrap();
        let handle = runtime.handle();
        named(&handle, "clinging", || {
            let _waits = WaitsForEver;
            thread::park();
        });
        runtime.run(|| thread::sleep(Duration::from_millis(5)));
        drop(runtime);
        println!("went on");
        return;
    }
    let ended = child(NAME, "n:1").run().aborted();
    assert!(!ended.stdout.contains("went on"), "{ended}");
    ended.says(&[
        "not all of its threads had ended",
        "thread 'clinging'",
        "sylvan: fatal: ",
        "n:1 runtime",
    ]);
}

mod program {
    use super::{ExitCode, WaitsForEver, thread};

    /// Leaves a thread behind that never ends.
    #[sylvan::main(mapping = "n:1")]
    pub fn main() -> ExitCode {
        let builder = thread::Builder::new().name("clinging".to_owned());
        let left = builder.spawn(|| {
            let _waits = WaitsForEver;
            thread::park();
        });
        drop(left.unwrap());
        thread::sleep(std::time::Duration::from_millis(5));
        if std::env::var_os("FAIL").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

#[test]
fn a_main_under_n_to_1_with_a_thread_left_behind_exits_with_its_own_code() {
    const NAME: &str = "a_main_under_n_to_1_with_a_thread_left_behind_exits_with_its_own_code";
    if support::case().is_some() {
        let _ = program::main();
        println!("returned");
        std::process::exit(9);
    }
    for (variable, code) in [("SUCCEED", 0), ("FAIL", 1)] {
        let ended = child(NAME, "main").env(variable, "1").run().exited_with(code);
        assert!(!ended.stdout.contains("returned"), "{ended}");
        ended
            .says(&["not all of its threads had ended", "thread 'clinging'"])
            .does_not_say("fatal");
    }
}

#[test]
fn a_scope_that_waits_for_a_thread_left_behind_is_left_behind_with_it() {
    const NAME: &str = "a_scope_that_waits_for_a_thread_left_behind_is_left_behind_with_it";
    if support::case().is_some() {
        let timeout = Duration::from_millis(100);
        let builder = shape(Mapping::ManyToMany).workers(2).shutdown_timeout(timeout);
        let runtime = builder.build().unwrap();
        let parent = named(&runtime.handle(), "parent", || {
            let borrowed = [1, 2, 3];
            thread::scope(|scope| {
                let builder = thread::Builder::new().name("borrower".to_owned());
                let child = builder.spawn_scoped(scope, || {
                    let _waits = WaitsForEver;
                    let _borrowed = &borrowed;
                    thread::park();
                });
                drop(child.unwrap());
            });
            println!("the scope ended without its thread");
        });
        runtime.run(|| thread::sleep(Duration::from_millis(20)));
        drop(runtime);
        assert!(is_leaked(parent));
        return;
    }
    let ended = child(NAME, "m:n").run().passed();
    assert!(!ended.stdout.contains("the scope ended"), "{ended}");
    ended.says(&["thread 'parent'", "thread 'borrower'"]);
}

#[test]
fn a_worker_stuck_in_user_code_is_reported_and_the_drop_returns() {
    const NAME: &str = "a_worker_stuck_in_user_code_is_reported_and_the_drop_returns";
    if support::case().is_some() {
        static SPINS: AtomicBool = AtomicBool::new(false);
        let timeout = Duration::from_millis(100);
        let builder = shape(Mapping::ManyToMany).workers(2).name("crew");
        let runtime = builder.shutdown_timeout(timeout).build().unwrap();
        named(&runtime.handle(), "spinning", || {
            SPINS.store(true, Ordering::SeqCst);
            while SPINS.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
        });
        wait_for("the loop", || SPINS.load(Ordering::SeqCst));
        let begun = Instant::now();
        drop(runtime);
        let took = begun.elapsed();
        assert!(took >= timeout && took < timeout * 10, "{took:?}");
        assert_eq!(sylvan::run(|| 1), 1);
        SPINS.store(false, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(sylvan::run(|| 2), 2, "what comes out late breaks nothing");
        return;
    }
    let ended = child(NAME, "m:n").run().passed();
    ended.says(&["runtime 'crew'", "worker crew-", "does not answer"]);
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

thread_local! {
    static OWNED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// On which kernel thread, and whether its std thread-locals were still there.
type Seen = Arc<Mutex<Option<(std::thread::ThreadId, bool)>>>;

/// Parks with a destructor that looks at the kernel thread's own variables.
fn park_over(seen: Seen) {
    OWNED.with_borrow_mut(|text| text.push_str("owned"));
    let _looks = OnDrop(move || {
        let alive = OWNED.try_with(|text| *text.borrow() == "owned").unwrap_or(false);
        *seen.lock().unwrap() = Some((std::thread::current().id(), alive));
    });
    thread::park();
}

#[test]
fn an_n_to_1_runtime_dropped_by_another_kernel_thread_is_ended_by_its_owner() {
    let seen: Seen = Arc::default();
    let in_owner = seen.clone();
    let (give, take) = mpsc::channel();
    let (ended, wait) = mpsc::channel::<()>();
    let owner = std::thread::spawn(move || {
        let runtime = shape(Mapping::ManyToOne).build().unwrap();
        let parked = runtime.run(|| {
            let parked = thread::spawn(move || park_over(in_owner));
            thread::sleep(Duration::from_millis(2));
            parked
        });
        give.send((runtime, parked)).unwrap();
        wait.recv().unwrap();
    });
    let (runtime, parked) = take.recv().unwrap();
    drop(runtime);
    assert_eq!(*seen.lock().unwrap(), None, "nothing is unwound here");
    assert!(!parked.is_finished());
    ended.send(()).unwrap();
    let owner_id = owner.thread().id();
    owner.join().unwrap();
    assert_eq!(*seen.lock().unwrap(), Some((owner_id, true)));
    assert!(is_cancelled(parked));
}

#[test]
fn threads_of_an_n_to_1_runtime_end_before_the_thread_locals_of_their_owner() {
    let seen: Seen = Arc::default();
    let in_owner = seen.clone();
    let owner = std::thread::spawn(move || {
        let runtime = shape(Mapping::ManyToOne).build().unwrap();
        let parked = runtime.run(|| {
            let parked = thread::spawn(move || park_over(in_owner));
            thread::sleep(Duration::from_millis(2));
            parked
        });
        (runtime, parked)
    });
    let owner_id = owner.thread().id();
    let (runtime, parked) = owner.join().unwrap();
    assert_eq!(*seen.lock().unwrap(), Some((owner_id, true)));
    assert!(is_cancelled(parked));
    assert!(runtime.handle().try_spawn(|| ()).is_err(), "it has ended with its owner");
    drop(runtime);
}

#[test]
fn an_owner_that_ends_with_a_thread_left_behind_aborts_the_process() {
    const NAME: &str = "an_owner_that_ends_with_a_thread_left_behind_aborts_the_process";
    if support::case().is_some() {
        let owner = std::thread::spawn(|| {
            let timeout = Duration::from_millis(100);
            let runtime = shape(Mapping::ManyToOne).shutdown_timeout(timeout).build().unwrap();
            named(&runtime.handle(), "clinging", || {
                let _waits = WaitsForEver;
                thread::park();
            });
            runtime.run(|| thread::sleep(Duration::from_millis(5)));
            runtime
        });
        let _runtime = owner.join().unwrap();
        println!("went on");
        return;
    }
    let ended = child(NAME, "n:1").run().aborted();
    assert!(!ended.stdout.contains("went on"), "{ended}");
    ended.says(&["thread 'clinging'", "sylvan: fatal: "]);
}

#[test]
fn an_n_to_1_runtime_that_nobody_ran_ends_where_it_is_dropped() {
    let runtime = shape(Mapping::ManyToOne).build().unwrap();
    let dropped = Arc::new(AtomicBool::new(false));
    let in_thread = dropped.clone();
    let held = OnDrop(move || in_thread.store(true, Ordering::SeqCst));
    let left = runtime.handle().spawn(move || drop(held));
    std::thread::spawn(move || drop(runtime)).join().unwrap();
    assert!(dropped.load(Ordering::SeqCst));
    assert!(is_cancelled(left));
}

#[test]
fn timeouts_at_both_ends_of_their_range_work() {
    for builder in shapes() {
        let runtime = builder.shutdown_timeout(Duration::MAX).build().unwrap();
        let left = runtime.run(|| {
            let left = thread::spawn(thread::park);
            thread::sleep(Duration::from_millis(2));
            left
        });
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
        round(builder.clone().build().unwrap());
        let before = (support::kernel_threads(), support::descriptors());
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
                let caught = AssertUnwindSafe(|| drop(runtime.handle().spawn(thread::park)));
                catch_unwind(caught).unwrap();
            }
            runtime.run(|| thread::sleep(Duration::from_millis(2)));
        }
        return;
    }
    let ended = child(NAME, "hook").run().passed();
    assert!(!ended.stdout.contains("the hook ran"), "{ended}");
}
