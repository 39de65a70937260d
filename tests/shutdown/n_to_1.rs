//! The end of an N:1 runtime: only its owner may unwind its threads, and it must not end before
//! them. What must never be seen here is a destructor on a foreign kernel thread.

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use sylvan::{Mapping, thread};

use crate::support::{self, child, shape, until};
use crate::{Left, OnDrop, WaitsForEver, is_cancelled, named};

/// Set by `cling`, of which there is one in a child process.
static CLINGS: AtomicBool = AtomicBool::new(false);

/// Cannot be unwound once it has started.
fn cling() {
    let _waits = WaitsForEver;
    CLINGS.store(true, Ordering::SeqCst);
    thread::park();
}

fn until_it_clings() {
    until("the thread to cling", || CLINGS.load(Ordering::SeqCst));
}

#[test]
fn an_n_to_1_runtime_with_a_thread_left_behind_aborts_after_the_report() {
    const NAME: &str =
        "n_to_1::an_n_to_1_runtime_with_a_thread_left_behind_aborts_after_the_report";
    if support::case().is_some() {
        let timeout = Duration::from_millis(100);
        let runtime = shape(Mapping::ManyToOne).shutdown_timeout(timeout).build().unwrap();
        let handle = runtime.handle();
        named(&handle, "clinging", cling);
        runtime.run(until_it_clings);
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
    use super::{ExitCode, cling, thread, until_it_clings};

    /// Leaves a thread behind that never ends.
    #[sylvan::main(mapping = "n:1")]
    pub fn main() -> ExitCode {
        let builder = thread::Builder::new().name("clinging".to_owned());
        drop(builder.spawn(cling).unwrap());
        until_it_clings();
        match (std::env::var_os("FAIL"), std::env::var_os("THREE")) {
            (Some(_), _) => ExitCode::FAILURE,
            (_, Some(_)) => ExitCode::from(3),
            _ => ExitCode::SUCCESS,
        }
    }
}

#[test]
fn a_main_under_n_to_1_with_a_thread_left_behind_exits_with_its_own_code() {
    const NAME: &str =
        "n_to_1::a_main_under_n_to_1_with_a_thread_left_behind_exits_with_its_own_code";
    if support::case().is_some() {
        let _ = program::main();
        println!("returned");
        std::process::exit(9);
    }
    for (variable, code) in [("SUCCEED", 0), ("FAIL", 1), ("THREE", 3)] {
        let ended = child(NAME, "main").env(variable, "1").run().exited_with(code);
        assert!(!ended.stdout.contains("returned"), "{ended}");
        ended
            .says(&["not all of its threads had ended", "thread 'clinging'"])
            .does_not_say("fatal");
    }
}

thread_local! {
    static OWNED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// On which kernel thread, and whether its std thread-locals were still there.
type Seen = Arc<Mutex<Option<(std::thread::ThreadId, bool)>>>;

/// A thread that parks over a destructor that looks at the kernel thread's own variables.
fn parked_over(seen: Seen) -> Left {
    let started = Arc::new(AtomicBool::new(false));
    let starts = started.clone();
    let parked = thread::spawn(move || {
        OWNED.with_borrow_mut(|text| text.push_str("owned"));
        let _looks = OnDrop(move || {
            let alive = OWNED.try_with(|text| *text.borrow() == "owned").unwrap_or(false);
            *seen.lock().unwrap() = Some((std::thread::current().id(), alive));
        });
        starts.store(true, Ordering::SeqCst);
        thread::park();
    });
    until("the destructor to be there", || started.load(Ordering::SeqCst));
    parked
}

#[test]
fn an_n_to_1_runtime_dropped_by_another_kernel_thread_is_ended_by_its_owner() {
    let seen: Seen = Arc::default();
    let in_owner = seen.clone();
    let (give, take) = mpsc::channel();
    let (ended, wait) = mpsc::channel::<()>();
    let owner = std::thread::spawn(move || {
        let runtime = shape(Mapping::ManyToOne).build().unwrap();
        let parked = runtime.run(|| parked_over(in_owner));
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
        let parked = runtime.run(|| parked_over(in_owner));
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
    const NAME: &str = "n_to_1::an_owner_that_ends_with_a_thread_left_behind_aborts_the_process";
    if support::case().is_some() {
        let owner = std::thread::spawn(|| {
            let timeout = Duration::from_millis(100);
            let runtime = shape(Mapping::ManyToOne).shutdown_timeout(timeout).build().unwrap();
            named(&runtime.handle(), "clinging", cling);
            runtime.run(until_it_clings);
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
