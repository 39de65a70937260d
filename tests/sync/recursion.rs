//! A thread that takes a lock which it holds: debug builds say it, and whoever has a deadline waits
//! until that.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sylvan::sync::{Mutex, RwLock, TryLockError};
use sylvan::testing::Plan;
use sylvan::{thread, time};
use sylvan_workspace::{everywhere, text_of};

const MOMENT: Duration = Duration::from_millis(2);

#[test]
#[cfg_attr(not(debug_assertions), ignore = "release builds do not know who holds a lock")]
fn debug_builds_say_where_the_lock_was_taken() {
    let expect_refused = |what: &str, again: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(again)).expect_err("it would wait for ever");
        let text = text_of(&*payload);
        let named = [&format!("for a {what} that it holds itself, since "), "recursion.rs:"];
        assert!(named.iter().all(|part| text.contains(*part)), "{text}");
    };
    everywhere(|_| {
        let lock = Mutex::new(0);
        let mut guard = lock.lock().unwrap();
        expect_refused("mutex", &|| drop(lock.lock()));
        expect_refused("mutex", &|| drop(lock.try_lock_for(Duration::MAX)));
        // It is held as before, and free afterwards.
        *guard += 1;
        drop(guard);
        assert_eq!(*lock.try_lock().unwrap(), 1);

        let table = RwLock::new(0);
        let writer = table.write().unwrap();
        expect_refused("rwlock", &|| drop(table.write()));
        expect_refused("rwlock", &|| drop(table.read()));
        drop(writer);
        let reader = table.read().unwrap();
        expect_refused("rwlock", &|| drop(table.write()));
        drop((table.read().unwrap(), reader));
        assert!(table.try_write().is_ok());
    });
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "release builds do not know who holds a lock")]
fn debug_builds_tell_a_reader_that_reads_again_behind_a_writer() {
    everywhere(|_| {
        let table = RwLock::new(0);
        thread::scope(|scope| {
            let reader = table.read().unwrap();
            let writer = scope.spawn(|| *table.write().unwrap() += 1);
            // Readers are kept out as soon as it waits.
            while table.try_read().is_ok() {
                thread::yield_now();
            }
            let again = catch_unwind(AssertUnwindSafe(|| drop(table.read())));
            assert!(text_of(&*again.unwrap_err()).contains("rwlock that it holds itself"));
            drop(reader);
            writer.join().unwrap();
        });
        assert_eq!(table.into_inner().unwrap(), 1);
    });
}

#[test]
#[cfg_attr(debug_assertions, ignore = "debug builds panic")]
fn release_builds_wait_and_a_report_names_the_wait() {
    let dinner = || {
        let lock = Mutex::new(0);
        let guard = lock.lock().unwrap();
        drop((lock.lock(), guard));
    };
    let payload = catch_unwind(|| Plan::new().run(0, dinner)).unwrap_err();
    let text = text_of(&*payload);
    assert!(text.contains("waiting for a mutex at tests/sync/recursion.rs:"), "{text}");
}

#[test]
fn who_has_a_deadline_waits_until_that() {
    everywhere(|_| {
        let (lock, table) = (Mutex::new(0), RwLock::new(0));
        let (guard, writer) = (lock.lock().unwrap(), table.write().unwrap());
        let past = time::now() - MOMENT;
        for timeout in [Duration::ZERO, MOMENT] {
            assert!(matches!(lock.try_lock_for(timeout), Err(TryLockError::WouldBlock)));
            assert!(matches!(table.try_read_for(timeout), Err(TryLockError::WouldBlock)));
            assert!(matches!(table.try_write_for(timeout), Err(TryLockError::WouldBlock)));
        }
        assert!(matches!(lock.try_lock_until(past), Err(TryLockError::WouldBlock)));
        drop((guard, writer));
        assert!(lock.try_lock().is_ok() && table.try_write().is_ok());
    });
}
