//! Calls in destructors of std's thread-locals, on a kernel thread that has lost sylvan's own.
//!
//! Such a thread has a header only while it is in a call. What a call opens there, such as a scope,
//! must be tied to the very header by which the calls within it wait.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::sync::mpsc;
use std::time::Duration;

use sylvan::{Mapping, Runtime, join, thread, time};

/// A moment in which the other one is likely to have begun its wait; nothing depends on it.
const SHORT: Duration = Duration::from_millis(2);

/// Does its work when its kernel thread's thread-locals go.
struct AtEnd(fn() -> u32, mpsc::Sender<u32>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.1.send(self.0()).unwrap();
    }
}

std::thread_local! {
    static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

/// Has `work` done by a kernel thread that is about to be gone, and gives what it came to.
#[track_caller]
fn at_the_end(work: fn() -> u32) -> Vec<u32> {
    let mut results = Vec::new();
    for ours in [false, true] {
        let (sender, receiver) = mpsc::channel();
        let body = move || {
            // Made before sylvan's own are, and so destroyed after them.
            AT_END.with(|place| *place.borrow_mut() = Some(AtEnd(work, sender)));
            thread::sleep(Duration::ZERO);
        };
        if ours {
            let runtime = Runtime::builder().mapping(Mapping::OneToOne).build().unwrap();
            runtime.run(|| thread::spawn(body).join().unwrap());
        } else {
            std::thread::spawn(body).join().unwrap();
        }
        results.push(receiver.recv().expect("the destructor has run"));
    }
    results
}

#[test]
fn scope_waits_for_threads_that_nobody_joins() {
    let ended = at_the_end(|| {
        let mut number = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SHORT);
                number = 5;
            });
        });
        number
    });
    assert_eq!(ended, [5, 5]);
}

#[test]
fn timeout_ends_a_wait_and_a_shield_keeps_one() {
    let ended = at_the_end(|| {
        let cut = time::timeout(Duration::ZERO, || thread::sleep(Duration::from_secs(3600)));
        let kept = time::timeout(Duration::ZERO, || thread::shield(|| thread::sleep(SHORT)));
        u32::from(cut.is_err()) + 2 * u32::from(kept.is_ok())
    });
    assert_eq!(ended, [3, 3]);
}

#[test]
fn group_fails_with_its_first_error_and_cuts_its_closure_off() {
    let ended = at_the_end(|| {
        let failed: Result<(), u32> = thread::group(|group| {
            group.spawn(|| {
                thread::sleep(SHORT);
                Err::<(), u32>(9)
            });
            thread::sleep(Duration::from_secs(3600));
            Ok(())
        });
        failed.unwrap_err()
    });
    assert_eq!(ended, [9, 9]);
}

#[test]
fn group_with_a_limit_and_a_join_give_their_results() {
    let ended = at_the_end(|| {
        let (left, right) = join(|| 1, || 2);
        let sum: Result<u32, ()> = thread::group(|group| {
            group.limit(1);
            let threads = [left, right, 3].map(|number| group.spawn(move || Ok(number)));
            Ok(threads.into_iter().map(|thread| thread.join()).sum())
        });
        sum.unwrap()
    });
    assert_eq!(ended, [6, 6]);
}
