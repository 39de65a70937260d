//! Threads that do not end: they are reported by name and left behind, and the process goes on
//! where their kernel thread can be spared. All of it in child processes, which the leak ends with.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sylvan::sync::{Mutex, RwLock, Semaphore};
use sylvan::{Mapping, thread};
use sylvan_workspace::with_time_enough;

use crate::support::{self, Ended, child, shape, until, wait_for};
use crate::{Left, WaitsForEver, is_cancelled, is_leaked, named};

/// How many threads have started in a child process, which runs one test: what has not started is
/// dropped by a shutdown and can neither be unwound nor left behind.
static STARTED: AtomicUsize = AtomicUsize::new(0);

fn until_started(count: usize) {
    until("the threads to start", || STARTED.load(Ordering::SeqCst) == count);
}

fn park() {
    STARTED.fetch_add(1, Ordering::SeqCst);
    thread::park();
}

/// Cannot be unwound once it has started.
fn cling() {
    let _waits = WaitsForEver;
    park();
}

/// Goes on for ever, whatever it is told: each wait is unwound, and each unwinding caught.
fn swallow_cancellations() {
    STARTED.fetch_add(1, Ordering::SeqCst);
    loop {
        let _ = catch_unwind(|| thread::sleep(Duration::from_millis(1)));
    }
}

const ALL_UNWOUND: &str = "all were unwound that can be";
const TIME: &str = "SYLVAN_TEST_TIME";

/// A child's time for its shutdown; see [`in_time`].
fn time() -> Duration {
    let milliseconds = std::env::var(TIME).expect("`in_time` sets it");
    Duration::from_millis(milliseconds.parse().expect("a number"))
}

/// How a child ended whose shutdown had time enough: its workers answered when they were asked what
/// is left, and those called `unwound` have ended and are not reported.
fn in_time(test: &str, mapping: &str, unwound: Option<&str>) -> Ended {
    with_time_enough(|time| {
        let milliseconds = time.as_millis().to_string();
        let ended = child(test, mapping).env(TIME, &milliseconds).run().passed();
        let after = format!("' was shut down, and after {time:?} not all of its threads");
        let ended = ended.says(&[&after]);
        let are_unwound = unwound
            .is_none_or(|name| ended.stdout.contains(ALL_UNWOUND) && !ended.stderr.contains(name));
        (are_unwound && !ended.stderr.contains("does not answer")).then_some(ended)
    })
}

#[test]
fn a_thread_left_behind_is_reported_by_name_and_the_process_goes_on() {
    const NAME: &str =
        "left_behind::a_thread_left_behind_is_reported_by_name_and_the_process_goes_on";
    match support::case().as_deref() {
        None => (),
        Some(mapping) => {
            let mapping: Mapping = mapping.parse().unwrap();
            let before = support::kernel_threads();
            let timeout = time();
            let builder = shape(mapping).workers(2).name("crew").shutdown_timeout(timeout);
            let runtime = builder.build().unwrap();
            let clung = named(&runtime.handle(), "clinging", cling);
            let good = named(&runtime.handle(), "well-behaved", park);
            runtime.run(|| until_started(2));
            let begun = Instant::now();
            drop(runtime);
            let took = begun.elapsed();
            assert!(took >= timeout, "{took:?}");
            if is_cancelled(good) {
                println!("{ALL_UNWOUND}");
            }
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
        let ended = in_time(NAME, mapping, Some("well-behaved")).prints(&["went on"]);
        ended.says(&[
            "sylvan: the runtime 'crew' was shut down, and after ",
            "thread 'clinging' (number ",
            "tests/shutdown/",
        ]);
    }
}

#[test]
fn a_thread_that_swallows_cancellations_is_left_behind_and_reported() {
    const NAME: &str =
        "left_behind::a_thread_that_swallows_cancellations_is_left_behind_and_reported";
    match support::case().as_deref() {
        None => (),
        Some(mapping) => {
            let timeout = time();
            let builder = shape(mapping.parse().unwrap()).workers(1).shutdown_timeout(timeout);
            let runtime = builder.build().unwrap();
            named(&runtime.handle(), "stubborn", swallow_cancellations);
            runtime.run(|| until_started(1));
            let begun = Instant::now();
            drop(runtime);
            let took = begun.elapsed();
            assert!(took >= timeout, "{took:?}");
            assert_eq!(sylvan::run(|| 3), 3);
            println!("went on");
            return;
        }
    }
    for mapping in ["m:n", "1:1"] {
        let ended = in_time(NAME, mapping, None).prints(&["went on"]);
        ended.says(&["was shut down", "thread 'stubborn'"]);
    }
    // The worker is the caller's own kernel thread.
    child(NAME, "n:1").env(TIME, "100").run().aborted().says(&["thread 'stubborn'"]);
}

#[test]
fn neighbours_of_a_thread_that_swallows_cancellations_are_unwound() {
    const NAME: &str =
        "left_behind::neighbours_of_a_thread_that_swallows_cancellations_are_unwound";
    if support::case().is_some() {
        let builder = shape(Mapping::ManyToMany).workers(1).shutdown_timeout(time());
        let runtime = builder.build().unwrap();
        named(&runtime.handle(), "stubborn", swallow_cancellations);
        let neighbours: Vec<Left> =
            (0..10).map(|_| named(&runtime.handle(), "neighbour", park)).collect();
        runtime.run(|| until_started(11));
        drop(runtime);
        if neighbours.into_iter().all(is_cancelled) {
            println!("{ALL_UNWOUND}");
        }
        return;
    }
    in_time(NAME, "m:n", Some("neighbour")).says(&["thread 'stubborn'"]);
}

#[test]
fn a_scope_that_waits_for_a_thread_left_behind_is_left_behind_with_it() {
    const NAME: &str =
        "left_behind::a_scope_that_waits_for_a_thread_left_behind_is_left_behind_with_it";
    if support::case().is_some() {
        let builder = shape(Mapping::ManyToMany).workers(2).shutdown_timeout(time());
        let runtime = builder.build().unwrap();
        let parent = named(&runtime.handle(), "parent", || {
            let borrowed = [1, 2, 3];
            thread::scope(|scope| {
                let builder = thread::Builder::new().name("borrower".to_owned());
                let child = builder.spawn_scoped(scope, || {
                    let _borrowed = &borrowed;
                    cling();
                });
                drop(child.unwrap());
            });
            println!("the scope ended without its thread");
        });
        runtime.run(|| until_started(1));
        drop(runtime);
        assert!(is_leaked(parent));
        return;
    }
    let ended = in_time(NAME, "m:n", None);
    assert!(!ended.stdout.contains("the scope ended"), "{ended}");
    ended.says(&["thread 'parent'", "thread 'borrower'"]);
}

#[test]
fn a_worker_stuck_in_user_code_is_reported_and_the_drop_returns() {
    const NAME: &str = "left_behind::a_worker_stuck_in_user_code_is_reported_and_the_drop_returns";
    if support::case().is_some() {
        static SPINS: AtomicBool = AtomicBool::new(false);
        let before = support::kernel_threads();
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
        assert!(took >= timeout, "{took:?}");
        assert_eq!(sylvan::run(|| 1), 1);
        SPINS.store(false, Ordering::SeqCst);
        wait_for("the worker to end", || support::kernel_threads() == before);
        assert_eq!(sylvan::run(|| 2), 2, "what comes out late breaks nothing");
        return;
    }
    let ended = child(NAME, "m:n").run().passed();
    ended.says(&["runtime 'crew'", "worker crew-", "does not answer"]);
}

#[test]
fn a_thread_left_behind_while_it_waits_for_a_lock_stands_in_nobodys_way() {
    const NAME: &str =
        "left_behind::a_thread_left_behind_while_it_waits_for_a_lock_stands_in_nobodys_way";
    static LOCK: Mutex<u32> = Mutex::new(0);
    static TABLE: RwLock<u32> = RwLock::new(0);
    static PERMITS: Semaphore = Semaphore::new(1);
    /// Cannot be unwound while it waits.
    struct Waits(fn());
    impl Drop for Waits {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    if support::case().is_none() {
        child(NAME, "m:n").run().passed().prints(&["went on"]);
        return;
    }
    let builder = shape(Mapping::ManyToMany).workers(2);
    let runtime = builder.shutdown_timeout(Duration::from_millis(100)).build().unwrap();
    let (guard, reader, permit) = (LOCK.lock().unwrap(), TABLE.read().unwrap(), PERMITS.acquire());
    let left = [
        || drop(LOCK.lock().unwrap()),
        || drop(TABLE.write().unwrap()),
        || drop(PERMITS.acquire()),
    ]
    .map(|wait: fn()| {
        named(&runtime.handle(), "waiting", move || {
            let _waits = Waits(wait);
            park();
        })
    });
    runtime.run(|| until_started(3));
    drop(runtime);
    assert!(left.into_iter().all(is_leaked));
    // Behind those who will never come for it.
    let behind = [
        || drop(LOCK.lock().unwrap()),
        || drop(TABLE.read().unwrap()),
        || drop(TABLE.write().unwrap()),
        || drop(PERMITS.acquire()),
    ]
    .map(|wait: fn()| std::thread::spawn(wait));
    drop((guard, reader, permit));
    for thread in behind {
        thread.join().unwrap();
    }
    println!("went on");
}
