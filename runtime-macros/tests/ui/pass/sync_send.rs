//! What of `sylvan::sync` may go to other threads, and be seen from there.

use std::cell::Cell;
use std::rc::Rc;

use sylvan::sync::{Barrier, Condvar, Event, Once, OnceState, Semaphore, WaitGroup};
use sylvan::sync::{LazyLock, Mutex, MutexGuard, OnceLock};
use sylvan::sync::{OwnedSemaphorePermit, SemaphorePermit};
use sylvan::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

fn sent<T: Send>() {}
fn shared<T: Sync>() {}
fn both<T: Send + Sync>() {}

fn main() {
    // A lock lets one in at a time: what can be sent can be shared then.
    both::<Mutex<Cell<i32>>>();
    both::<RwLock<i32>>();
    both::<OnceLock<i32>>();
    both::<LazyLock<i32>>();
    sent::<RwLock<Cell<i32>>>();
    sent::<OnceLock<Cell<i32>>>();
    sent::<LazyLock<Cell<i32>>>();

    shared::<MutexGuard<'static, i32>>();
    shared::<RwLockReadGuard<'static, i32>>();
    shared::<RwLockWriteGuard<'static, i32>>();

    both::<Barrier>();
    both::<Condvar>();
    both::<Event>();
    both::<Once>();
    both::<Semaphore>();
    both::<SemaphorePermit<'static>>();
    both::<OwnedSemaphorePermit>();
    both::<WaitGroup>();
    sent::<OnceState>();

    // On one thread anything goes.
    let mutex = Mutex::new(Rc::new(1));
    assert_eq!(**mutex.lock().unwrap(), 1);
}
