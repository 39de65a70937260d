//! Waits for locks and for all else of `sync`: what is cut off leaves them free and unpoisoned, and
//! passes on what was meant for it.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sylvan::channel;
use sylvan::sync::{
    Barrier, Condvar, Event, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup,
};
use sylvan::thread;
use sylvan::time::{self, Ticker};

use super::{Row, next_one_is_served, while_held};
use crate::{HOUR, SOON};

pub(super) const LOCKS: [Row; 10] = [
    ("mutex", |way| {
        let lock = Mutex::new(0);
        while_held(|| lock.lock().unwrap(), || way.cut(|| *lock.lock().unwrap() += 1));
        assert_eq!(*lock.lock().unwrap(), 0);
    }),
    ("mutex, for a time", |way| {
        let lock = Mutex::new(0);
        while_held(
            || lock.lock().unwrap(),
            || way.cut(|| lock.try_lock_for(HOUR).map(|mut guard| *guard += 1)),
        );
        assert_eq!(*lock.lock().unwrap(), 0);
    }),
    ("read lock", |way| {
        let lock = RwLock::new(0);
        while_held(|| lock.write().unwrap(), || way.cut(|| lock.read().unwrap()));
        assert_eq!(*lock.write().unwrap(), 0);
    }),
    ("write lock", |way| {
        let lock = RwLock::new(0);
        while_held(
            || lock.read().unwrap(),
            || {
                way.cut(|| *lock.write().unwrap() += 1);
                assert!(lock.try_read().is_ok(), "the writer that has gone keeps readers out");
            },
        );
        assert_eq!(*lock.write().unwrap(), 0);
    }),
    ("condvar", |way| {
        let (lock, condvar) = (Mutex::new(0), Condvar::new());
        let wait = || {
            let guard = lock.lock().unwrap();
            drop(condvar.wait_while(guard, |value| *value == 0).unwrap());
        };
        next_one_is_served(way, wait, || {
            *lock.lock().unwrap() = 1;
            condvar.notify_one();
        });
        assert!(lock.try_lock().is_ok());
    }),
    ("once", |way| {
        let (once, calls) = (Once::new(), AtomicUsize::new(0));
        let (held, is_held) = channel::bounded(1);
        let (release, released) = channel::bounded::<()>(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                once.call_once(|| {
                    held.send(()).unwrap();
                    let _ = released.recv();
                    calls.fetch_add(1, SeqCst);
                });
            });
            is_held.recv().unwrap();
            way.cut(|| {
                once.call_once(|| {
                    calls.fetch_add(10, SeqCst);
                })
            });
            way.cut(|| once.wait());
            drop(release);
            once.wait();
        });
        assert_eq!(calls.load(SeqCst), 1);
    }),
    ("closure of a once", |way| {
        let once = Once::new();
        way.cut(|| once.call_once(|| thread::sleep(HOUR)));
        assert!(!once.is_completed());
        let mut done = false;
        once.call_once(|| done = true);
        assert!(done);
    }),
    ("once lock", |way| {
        let lock = OnceLock::new();
        way.cut(|| lock.wait());
        way.cut(|| {
            lock.get_or_init(|| {
                thread::sleep(HOUR);
                1
            });
        });
        assert_eq!(lock.get(), None);
        assert_eq!(*lock.get_or_init(|| 2), 2);
        assert_eq!(*lock.wait(), 2);
    }),
    ("lazy lock", |way| {
        let (go, goes) = channel::bounded::<()>(0);
        let (begin, begun) = channel::bounded(1);
        let lazy = LazyLock::new(move || {
            begin.send(()).unwrap();
            goes.recv().unwrap_err();
            7
        });
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(*lazy, 7));
            begun.recv().unwrap();
            way.cut(|| assert_eq!(*lazy, 8));
            drop(go);
        });
        assert_eq!(*lazy, 7);
    }),
    ("closure of a lazy lock", |way| {
        let lazy = LazyLock::new(|| {
            thread::sleep(HOUR);
            7
        });
        way.cut(|| LazyLock::force(&lazy));
        assert_eq!(LazyLock::get(&lazy), None);
    }),
];

pub(super) const SYNC: [Row; 8] = [
    ("barrier", |way| {
        let barrier = Barrier::new(2);
        way.cut(|| barrier.wait());
        // It has not come: two others are needed.
        thread::scope(|scope| {
            let other = scope.spawn(|| barrier.wait().is_leader());
            let leads = barrier.wait().is_leader();
            assert_ne!(other.join().unwrap(), leads);
        });
    }),
    ("semaphore", |way| {
        let semaphore = Semaphore::new(0);
        next_one_is_served(way, || semaphore.acquire().forget(), || semaphore.add_permits(1));
        assert_eq!(semaphore.available_permits(), 0);
    }),
    ("semaphore, for many", |way| {
        let semaphore = Arc::new(Semaphore::new(2));
        way.cut(|| semaphore.acquire_many(3).forget());
        let owned = semaphore.clone();
        way.cut(|| owned.acquire_many_owned(3).forget());
        assert_eq!(semaphore.available_permits(), 2);
        drop(semaphore.acquire_many(2));
    }),
    ("semaphore, holding a permit", |way| {
        let semaphore = Semaphore::new(1);
        way.cut(|| {
            let _permit = semaphore.acquire();
            drop(semaphore.acquire());
        });
        assert_eq!(semaphore.available_permits(), 1);
    }),
    ("event", |way| {
        let event = Event::new();
        next_one_is_served(way, || event.wait(), || event.set());
    }),
    ("event, for a time", |way| {
        let event = Event::new();
        way.cut(|| assert!(event.wait_timeout(HOUR)));
        assert!(!event.is_set());
    }),
    ("wait group", |way| {
        let group = WaitGroup::new();
        let other = group.clone();
        way.cut(move || other.wait());
        // The one who has left counts no more.
        group.wait();
    }),
    ("ticker", |way| {
        let mut ticker = Ticker::new(HOUR);
        way.cut(|| ticker.tick());
        assert_eq!(ticker.period(), HOUR);
        let mut due = Ticker::starting_at(time::now() + SOON * 2, HOUR);
        let mut at = None;
        way.cut(|| {
            thread::sleep(SOON);
            at = Some(due.tick());
        });
        assert_eq!(at, None);
        // The tick is still there.
        due.tick();
    }),
];
