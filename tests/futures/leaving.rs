//! Runtimes that end while somebody awaits their threads.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, Cancelled, Leaked};
use sylvan::{Mapping, Runtime, block_on};
use sylvan_workspace::{OnDrop, Watchdog, in_child, with_every_runtime};

#[test]
fn end_of_a_runtime_is_told_to_those_who_await_its_threads() {
    with_every_runtime(|_, runtime| {
        let [first, second] = [(); 2].map(|()| runtime.handle().spawn(thread::park));
        let waits = std::thread::spawn(move || block_on(first));
        let waits_inside = std::thread::spawn(move || {
            let other = Runtime::builder().mapping(Mapping::ManyToMany).workers(1).build();
            other.unwrap().run(|| block_on(second))
        });
        drop(runtime);
        for waits in [waits, waits_inside] {
            assert!(waits.join().unwrap().unwrap_err().is::<Cancelled>());
        }
    });
}

static CLINGS: AtomicBool = AtomicBool::new(false);

#[test]
fn thread_that_is_left_behind_is_told_to_those_who_await_it() {
    let test = "leaving::thread_that_is_left_behind_is_told_to_those_who_await_it";
    let child = in_child(test, &[], || {
        let _watchdog = Watchdog::new("a thread that is left behind".to_owned());
        let timeout = Duration::from_millis(50);
        let builder = Runtime::builder().mapping(Mapping::ManyToMany).workers(1);
        let runtime = builder.shutdown_timeout(timeout).build().unwrap();
        let left = runtime.handle().spawn(|| {
            let _waits_for_ever = OnDrop(thread::park);
            CLINGS.store(true, SeqCst);
            thread::park();
        });
        let waits = std::thread::spawn(move || block_on(left));
        while !CLINGS.load(SeqCst) {
            std::thread::yield_now();
        }
        drop(runtime);
        assert!(waits.join().unwrap().unwrap_err().is::<Leaked>());
    });
    child.expect_success();
}
