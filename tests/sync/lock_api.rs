//! The feature `lock_api`: the raw locks under the types of that crate.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use lock_api::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use sylvan::sync::lock_api::{RawMutex, RawRwLock};
use sylvan::{thread, time};
use sylvan_workspace::{everywhere, until};

const MOMENT: Duration = Duration::from_millis(2);

#[test]
fn mutex_excludes_and_ends_attempts_with_their_time() {
    everywhere(|_| {
        let lock = Mutex::<RawMutex, _>::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mut guard = lock.lock();
                        let before = *guard;
                        thread::yield_now();
                        *guard = before + 1;
                    }
                });
            }
        });
        let guard = lock.lock();
        assert!(lock.is_locked() && lock.try_lock().is_none());
        assert!(lock.try_lock_for(MOMENT).is_none());
        assert!(lock.try_lock_until(time::now() + MOMENT).is_none());
        assert_eq!(*guard, 80);
        drop(guard);
        assert!(!lock.is_locked() && lock.try_lock_for(Duration::ZERO).is_some());
    });
}

#[test]
fn rwlock_excludes_shares_downgrades_and_ends_attempts_with_their_time() {
    everywhere(|_| {
        let (lock, inside) = (RwLock::<RawRwLock, _>::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let mut writer = lock.write();
            assert!(lock.is_locked_exclusive() && lock.try_read().is_none());
            assert!(lock.try_read_for(MOMENT).is_none() && lock.try_write_for(MOMENT).is_none());
            for _ in 0..3 {
                scope.spawn(|| {
                    let value = lock.read();
                    inside.fetch_add(1, SeqCst);
                    until(|| inside.load(SeqCst) == 3);
                    assert_eq!(*value, 1);
                });
            }
            *writer = 1;
            let reader = RwLockWriteGuard::downgrade(writer);
            until(|| inside.load(SeqCst) == 3);
            assert!(lock.is_locked() && !lock.is_locked_exclusive());
            assert!(lock.try_write_until(time::now() + MOMENT).is_none());
            drop(reader);
        });
        assert!(!lock.is_locked() && lock.try_write().is_some());
    });
}

#[test]
fn guards_of_a_part_hold_the_whole() {
    everywhere(|_| {
        let lock = Mutex::<RawMutex, _>::new((1, 2));
        let part = MutexGuard::map(lock.lock(), |pair| &mut pair.1);
        assert!(lock.is_locked());
        assert_eq!(*part, 2);
        drop(part);
        assert!(!lock.is_locked());
    });
}
