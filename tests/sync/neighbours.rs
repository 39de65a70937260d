//! Threads that share a worker: what one of them holds, and how it panics, is no matter of others.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use sylvan::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use sylvan::thread;
use sylvan_workspace::{OnDrop, everywhere, in_every_runtime, until};

/// Fails the current thread without the text on stderr.
fn fail() -> ! {
    std::panic::resume_unwind(Box::new("expected in a test"))
}

#[test]
fn destructor_that_waits_for_a_lock_while_it_panics_poisons_nobody_elses() {
    everywhere(|_| {
        let (wanted, other, table) = (Mutex::new(0), Mutex::new(0), RwLock::new(0));
        let waits = AtomicBool::new(false);
        thread::scope(|scope| {
            let guard = wanted.lock().unwrap();
            let panics = scope.spawn(|| {
                let _waits = OnDrop(|| {
                    waits.store(true, SeqCst);
                    // Taken while it panics already, and so not poisoned by that.
                    *wanted.lock().unwrap() += 1;
                });
                fail();
            });
            until(|| waits.load(SeqCst));
            thread::yield_now();
            // Its panic is under way, on this worker where there is one.
            *other.lock().unwrap() += 1;
            *table.write().unwrap() += 1;
            drop(guard);
            assert!(panics.join().is_err());
        });
        assert!(!wanted.is_poisoned() && !other.is_poisoned() && !table.is_poisoned());
        assert_eq!(wanted.into_inner().unwrap(), 1);
    });
}

#[test]
fn guards_that_a_panic_drops_after_a_wait_poison() {
    everywhere(|_| {
        let (lock, table, free) = (Mutex::new(0), RwLock::new(0), Mutex::new(false));
        let changed = Condvar::new();
        thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _guard = lock.lock().unwrap();
                let _writer = table.write().unwrap();
                // Dropped before the guards: waits while it panics.
                let _waits = OnDrop(|| {
                    let guard = free.lock().unwrap();
                    drop(changed.wait_while(guard, |free| !*free).unwrap());
                });
                fail();
            });
            until(|| lock.try_lock().is_err() && table.try_read().is_err());
            assert!(!lock.is_poisoned());
            *free.lock().unwrap() = true;
            changed.notify_all();
            assert!(panics.join().is_err());
        });
        assert!(lock.is_poisoned() && table.is_poisoned() && !free.is_poisoned());
    });
}

#[test]
fn cancellation_that_drops_guards_poisons_none_also_after_a_wait() {
    in_every_runtime(|_| {
        let (lock, table, free) = (Mutex::new(0), RwLock::new(0), Mutex::new(0));
        let held = AtomicBool::new(false);
        thread::scope(|scope| {
            let guard = free.lock().unwrap();
            let holder = scope.spawn(|| {
                let _guard = lock.lock().unwrap();
                let _writer = table.write().unwrap();
                let _waits = OnDrop(|| *free.lock().unwrap() += 1);
                held.store(true, SeqCst);
                thread::park();
            });
            until(|| held.load(SeqCst));
            holder.cancel().unwrap();
            thread::yield_now();
            drop(guard);
            assert!(holder.join().is_err());
        });
        assert!(!lock.is_poisoned() && !table.is_poisoned());
        assert_eq!(free.into_inner().unwrap(), 1);
    });
}

/// Runs `release` with a lock of std's held, while somebody waits for what it releases and then for
/// that lock. If the release let other threads of the worker run, they would block it for ever.
fn with_std_lock_held<G>(
    take: impl FnOnce() -> G,
    release: impl FnOnce(G),
    wait: impl Fn() + Sync,
) {
    let std_lock = std::sync::Mutex::new(());
    let begun = AtomicBool::new(false);
    thread::scope(|scope| {
        let guard = take();
        let waiter = scope.spawn(|| {
            begun.store(true, SeqCst);
            wait();
            drop(std_lock.lock().unwrap());
        });
        until(|| begun.load(SeqCst));
        thread::yield_now();
        let held = std_lock.lock().unwrap();
        release(guard);
        drop(held);
        waiter.join().unwrap();
    });
}

#[test]
fn lock_of_std_may_be_held_over_unlock_notify_and_downgrade() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        with_std_lock_held(|| lock.lock().unwrap(), drop, || drop(lock.lock().unwrap()));

        let table = RwLock::new(0);
        with_std_lock_held(|| table.write().unwrap(), drop, || drop(table.read().unwrap()));
        with_std_lock_held(|| table.read().unwrap(), drop, || drop(table.write().unwrap()));
        let mut reader = None;
        let downgrade = |writer| reader = Some(RwLockWriteGuard::downgrade(writer));
        with_std_lock_held(|| table.write().unwrap(), downgrade, || drop(table.read().unwrap()));
        drop(reader);

        for all in [false, true] {
            let (ready, changed) = (Mutex::new(false), Condvar::new());
            let notify = |mut guard: MutexGuard<'_, bool>| {
                *guard = true;
                drop(guard);
                if all { changed.notify_all() } else { changed.notify_one() }
            };
            let wait = || {
                let guard = ready.lock().unwrap();
                drop(changed.wait_while(guard, |ready| !*ready).unwrap());
            };
            with_std_lock_held(|| ready.lock().unwrap(), notify, wait);
        }
    });
}
