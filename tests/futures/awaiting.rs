//! Join handles as futures: results, wakers, and what may happen to both.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use sylvan::sync::Mutex;
use sylvan::thread::{self, Cancelled, JoinHandle};
use sylvan::{Mapping, Runtime, block_on};
use sylvan_workspace::{everywhere, in_every_runtime, outside, text_of, until};

use crate::support::{Calls, Signal, Woken};

/// A thread that ends when it is told, and gives 7.
fn held() -> (JoinHandle<i32>, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let thread = {
        let go = go.clone();
        thread::spawn(move || {
            until(|| go.load(SeqCst));
            7
        })
    };
    (thread, go)
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn awaited_thread_gives_its_value_its_panic_or_its_cancellation() {
    everywhere(|_| {
        assert_eq!(block_on(thread::spawn(|| 7)).unwrap(), 7);
        let panics = thread::spawn(|| std::panic::resume_unwind(Box::new("expected in a test")));
        let result: thread::Result<()> = block_on(panics);
        assert_eq!(text_of(&*result.unwrap_err()), "expected in a test");
        let parked = thread::spawn(thread::park);
        parked.cancel().unwrap();
        assert!(block_on(parked).unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn local_thread_is_awaited() {
    in_every_runtime(|shape| {
        if shape.is_green() {
            let value = thread::spawn_local(|| std::rc::Rc::new(7));
            assert_eq!(*block_on(value).unwrap(), 7);
        }
    });
}

#[test]
fn thread_runs_on_when_its_future_is_dropped() {
    everywhere(|_| {
        let (ended, go) = (Signal::new(), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (ended, go) = (ended.clone(), go.clone());
            thread::spawn(move || {
                until(|| go.load(SeqCst));
                ended.set();
            })
        };
        let woken = Woken::new();
        let mut future = thread.into_future();
        assert!(poll(&mut future, &woken.clone().into()).is_pending());
        drop(future);
        assert_eq!(Arc::strong_count(&woken), 1, "the future has left its waker behind");
        go.store(true, SeqCst);
        block_on(ended.wait());
        assert_eq!(woken.count(), 0);
    });
}

#[test]
fn waker_of_the_last_poll_is_called_and_no_other() {
    everywhere(|_| {
        let (thread, go) = held();
        let wakers = [Woken::new(), Woken::new()];
        let mut future = thread.into_future();
        for woken in [&wakers[0], &wakers[1], &wakers[1]] {
            assert!(poll(&mut future, &woken.clone().into()).is_pending());
        }
        assert_eq!(Arc::strong_count(&wakers[0]), 1, "replaced, and not dropped");
        go.store(true, SeqCst);
        until(|| wakers[1].count() > 0);
        assert!(matches!(poll(&mut future, Waker::noop()), Poll::Ready(Ok(7))));
        drop(future);
        until(|| Arc::strong_count(&wakers[1]) == 1);
        assert_eq!([wakers[0].count(), wakers[1].count()], [0, 1]);
    });
}

#[test]
fn future_that_has_given_its_result_is_not_polled_again() {
    everywhere(|_| {
        let mut future = thread::spawn(|| ()).into_future();
        block_on(&mut future).unwrap();
        let again = std::panic::AssertUnwindSafe(|| poll(&mut future, Waker::noop()).is_ready());
        let result = std::panic::catch_unwind(again);
        let text = text_of(&*result.unwrap_err()).to_owned();
        assert!(text.contains("polled until it has come"), "{text}");
    });
}

#[test]
fn waker_that_panics_is_no_matter_of_the_thread_that_ends() {
    everywhere(|_| {
        let calls = Arc::new(AtomicUsize::new(0));
        let waker = {
            let calls = calls.clone();
            Waker::from(Arc::new(Calls(move || {
                calls.fetch_add(1, SeqCst);
                std::panic::resume_unwind(Box::new("expected in a test"));
            })))
        };
        for round in 1..=3 {
            let (thread, go) = held();
            let mut future = thread.into_future();
            assert!(poll(&mut future, &waker).is_pending());
            go.store(true, SeqCst);
            until(|| calls.load(SeqCst) == round);
            assert!(matches!(block_on(future), Ok(7)));
        }
    });
}

#[test]
fn waker_may_wait_by_every_way_that_threads_have() {
    everywhere(|_| {
        let lock = Arc::new(Mutex::new(0));
        let waker = {
            let lock = lock.clone();
            Waker::from(Arc::new(Calls(move || {
                // Somebody of the same worker holds it, so this has to let others run.
                *lock.lock().unwrap() += 1;
                thread::yield_now();
                thread::sleep(std::time::Duration::from_micros(10));
                *lock.lock().unwrap() += thread::spawn(|| 10).join().unwrap();
            })))
        };
        let (thread, go) = held();
        let mut future = thread.into_future();
        assert!(poll(&mut future, &waker).is_pending());
        let guard = lock.lock().unwrap();
        go.store(true, SeqCst);
        let result = loop {
            // The result does not wait for the waker.
            match poll(&mut future, Waker::noop()) {
                Poll::Ready(result) => break result.unwrap(),
                Poll::Pending => thread::yield_now(),
            }
        };
        assert_eq!(result, 7);
        drop(guard);
    });
}

#[test]
fn waker_that_waits_delays_nothing_but_itself() {
    everywhere(|shape| {
        let (lock, called) = (Arc::new(Mutex::new(())), Signal::new());
        let waker = {
            let (lock, called) = (lock.clone(), called.clone());
            Waker::from(Arc::new(Calls(move || {
                drop(lock.lock().unwrap());
                called.set();
            })))
        };
        let guard = lock.lock().unwrap();
        let (thread, go) = held();
        let mut future = thread.into_future();
        assert!(poll(&mut future, &waker).is_pending());
        drop(waker);
        go.store(true, SeqCst);
        if shape.is_green() {
            until(|| lock_is_wanted(&lock));
            // It stands at the lock, and the worker goes on.
            assert_eq!(block_on(thread::spawn(|| 3)).unwrap(), 3);
        }
        drop(guard);
        block_on(called.wait());
        assert!(matches!(block_on(future), Ok(7)));
    });
}

/// Lets others run a while; who wants the lock gets to it meanwhile, or does not on a loaded
/// machine, and the test then shows less.
fn lock_is_wanted(lock: &Mutex<()>) -> bool {
    for _ in 0..100 {
        thread::yield_now();
    }
    lock.try_lock().is_err()
}

#[test]
fn thread_of_a_runtime_is_awaited_in_another_one_and_in_none() {
    in_every_runtime(|_| {
        let (thread, go) = held();
        let registered = outside();
        let waits = std::thread::spawn(move || {
            let runtime = Runtime::builder().mapping(Mapping::ManyToMany).workers(1).build();
            let value = runtime.unwrap().run(|| block_on(thread).unwrap());
            drop(registered);
            value
        });
        go.store(true, SeqCst);
        until(|| waits.is_finished());
        assert_eq!(waits.join().unwrap(), 7);
    });
}

#[test]
fn thread_of_an_n_to_1_runtime_comes_when_that_is_run() {
    let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build().unwrap();
    let woken = Woken::new();
    let mut future = runtime.handle().spawn(|| 7).into_future();
    assert!(poll(&mut future, &woken.clone().into()).is_pending());
    assert_eq!(woken.count(), 0);
    runtime.run(|| until(|| woken.count() == 1));
    assert!(matches!(poll(&mut future, Waker::noop()), Poll::Ready(Ok(7))));
}

#[test]
fn thread_that_waits_in_a_destructor_of_a_thread_local_has_ended_all_the_same() {
    struct Waits(Arc<AtomicUsize>);
    impl Drop for Waits {
        fn drop(&mut self) {
            thread::sleep(std::time::Duration::from_millis(1));
            self.0.fetch_add(1, SeqCst);
        }
    }
    std::thread_local! {
        static WAITS: std::cell::RefCell<Option<Waits>> = const { std::cell::RefCell::new(None) };
    }
    let runtime = Runtime::builder().mapping(Mapping::OneToOne).build().unwrap();
    let ended = Arc::new(AtomicUsize::new(0));
    let [joined, awaited] = [(); 2].map(|()| {
        let ended = ended.clone();
        runtime.handle().spawn(move || {
            WAITS.set(Some(Waits(ended)));
            7
        })
    });
    // Later than that wait.
    while ended.load(SeqCst) < 2 {
        std::thread::yield_now();
    }
    assert!(joined.is_finished() && awaited.is_finished());
    assert_eq!(joined.join().unwrap() + block_on(awaited).unwrap(), 14);
}
