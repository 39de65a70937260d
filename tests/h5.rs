//! The one hole that sylvan cannot close, kept as programs: a crate that stores a raw pointer to a
//! stack frame in a std thread-local and restores it in last-in-first-out order (`scoped-tls` 1.x)
//! is sound among kernel threads, and reads dead frames among green threads of one worker. See
//! hazard H5 in `docs/soundness.md`.
//!
//! Every program below is safe code; this file forbids `unsafe`. The tests are ignored, since what
//! they show is not wanted, and run in child processes under N:1, where the interleaving is the
//! same each time: `cargo test --test h5 -- --ignored --nocapture`. The day when one of them fails
//! is the day when the hole is closed and the documentation must change.
//!
//! None of them may use what a dead frame held: comparing addresses is proof enough, and the test
//! must pass under AddressSanitizer too.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::process::{Command, Output};
use std::ptr;
use std::rc::Rc;

use sylvan::{Mapping, Runtime, thread};

scoped_tls::scoped_thread_local!(static CONTEXT: String);

sylvan::thread_local! {
    static OWN_CONTEXT: Cell<u32> = const { Cell::new(0) };
}

/// Runs `body` in a child process, as a thread of an N:1 runtime, and gives what it printed.
/// `None`: this is the child, and `body` has run.
fn in_child(test: &str, body: fn()) -> Option<Output> {
    const CHILD: &str = "SYLVAN_TEST_H5_CHILD";
    if std::env::var_os(CHILD).is_some_and(|name| name == test) {
        let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build();
        runtime.expect("an N:1 runtime needs nothing from the system").run(body);
        return None;
    }
    let program = std::env::current_exe().expect("a test has a path");
    let output = Command::new(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(CHILD, test)
        .output()
        .expect("the test's own program can be started");
    Some(output)
}

fn assert_shows(output: &Output, expected: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{}", text.trim());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(expected), "the child did not show {expected:?}: {text}");
}

/// First without any harm: all frames live, and yet a thread reads a stranger's value.
#[test]
#[ignore = "demonstrates hazard H5"]
fn a_scoped_pointer_of_one_thread_is_read_by_its_neighbour() {
    let name = "a_scoped_pointer_of_one_thread_is_read_by_its_neighbour";
    let body = || {
        let first = thread::spawn_local(|| {
            CONTEXT.set(&String::from("request of the first thread"), || {
                thread::yield_now();
                CONTEXT.with(|context| println!("the first thread reads: {context}"));
                thread::yield_now();
            });
        });
        let second = thread::spawn_local(|| {
            CONTEXT.set(&String::from("request of the second thread"), || {
                thread::yield_now();
                thread::yield_now();
            });
        });
        first.join().unwrap();
        second.join().unwrap();
    };
    if let Some(output) = in_child(name, body) {
        assert_shows(&output, "the first thread reads: request of the second thread");
    }
}

/// Then the use after free, shown without the use: the second thread ends last and restores a
/// pointer to the first thread's frame, which has gone. `with` would now lend a dead `String`.
#[test]
#[ignore = "demonstrates hazard H5"]
fn a_scoped_pointer_to_a_dead_frame_is_left_behind() {
    let name = "a_scoped_pointer_to_a_dead_frame_is_left_behind";
    let body = || {
        let address: Rc<Cell<*const String>> = Rc::new(Cell::new(ptr::null()));
        let noted = address.clone();
        let first = thread::spawn_local(move || {
            let frame = String::from("lives in the frame of the first thread");
            noted.set(&frame);
            CONTEXT.set(&frame, thread::yield_now);
        });
        let second = thread::spawn_local(|| {
            CONTEXT.set(&String::from("lives in the frame of the second thread"), || {
                thread::yield_now();
                thread::yield_now();
            });
        });
        first.join().unwrap();
        second.join().unwrap();
        // Both threads have ended, and so have both calls of `set`. Among kernel threads the
        // variable would be unset here. What it points to is not looked at: it is dead.
        let left = CONTEXT.inner.with(Cell::get);
        println!("points to the dead frame: {}", ptr::addr_eq(left, address.get()));
    };
    if let Some(output) = in_child(name, body) {
        assert_shows(&output, "points to the dead frame: true");
    }
}

/// And the cure: a variable per green thread.
#[test]
#[ignore = "stands beside the demonstrations of hazard H5"]
fn a_variable_of_sylvans_keeps_neighbours_apart() {
    let name = "a_variable_of_sylvans_keeps_neighbours_apart";
    let body = || {
        let threads = [1, 2].map(|number| {
            thread::spawn_local(move || {
                OWN_CONTEXT.set(number);
                thread::yield_now();
                OWN_CONTEXT.get() == number
            })
        });
        let kept = threads.map(|thread| thread.join().unwrap());
        println!("each thread kept its value: {}", kept == [true, true]);
    };
    if let Some(output) = in_child(name, body) {
        assert_shows(&output, "each thread kept its value: true");
    }
}
