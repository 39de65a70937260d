//! Calls that may wait and need not: a deadline that has passed cuts them off all the same, and
//! before they have done anything.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sylvan::channel::{self, Select, broadcast, watch};
use sylvan::sync::{
    Barrier, Condvar, Event, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup, mpsc,
};
use sylvan::thread;
use sylvan::time::{self, Duration, Ticker};
use sylvan_workspace::{everywhere, text_of, until};

use super::Way;
use crate::{expect_elapsed, outlast_deadline};

/// Something that would not wait, cut off by a deadline that has passed, and done afterwards.
type Call = (&'static str, fn(&dyn Fn(&mut (dyn FnMut() + Send))));

const CALLS: [Call; 22] = [
    ("park with a permit", |cut| {
        thread::current().unpark();
        cut(&mut thread::park);
        // The permit is still there.
        thread::park();
    }),
    ("sleep for no time", |cut| cut(&mut || thread::sleep(Duration::ZERO))),
    ("sleep until the past", |cut| {
        let past = time::now();
        cut(&mut || thread::sleep_until(past));
    }),
    ("join of one that has ended", |cut| {
        let ended = thread::spawn(|| 5);
        until(|| ended.is_finished());
        let mut handle = Some(ended);
        cut(&mut || assert_eq!(handle.take().unwrap().join().unwrap(), 5));
    }),
    ("free mutex", |cut| {
        let lock = Mutex::new(0);
        cut(&mut || *lock.lock().unwrap() += 1);
        assert_eq!(*lock.try_lock().unwrap(), 0);
    }),
    ("free read-write lock", |cut| {
        let lock = RwLock::new(0);
        cut(&mut || *lock.write().unwrap() += 1);
        cut(&mut || assert_eq!(*lock.read().unwrap(), 7));
        assert_eq!(*lock.try_write().unwrap(), 0);
    }),
    ("condvar", |cut| {
        let (lock, condvar) = (Mutex::new(0), Condvar::new());
        cut(&mut || {
            let guard = lock.try_lock().unwrap();
            drop(condvar.wait_timeout(guard, Duration::ZERO).unwrap());
        });
        assert!(lock.try_lock().is_ok());
    }),
    ("once that is to be done", |cut| {
        let (once, calls) = (Once::new(), AtomicUsize::new(0));
        cut(&mut || once.call_once(|| _ = calls.fetch_add(1, SeqCst)));
        assert_eq!(calls.load(SeqCst), 0);
        once.call_once(|| ());
    }),
    ("empty once lock", |cut| {
        let lock = OnceLock::new();
        cut(&mut || assert_eq!(*lock.get_or_init(|| 1), 1));
        assert_eq!(*lock.get_or_init(|| 2), 2);
    }),
    ("unmade lazy lock", |cut| {
        let lazy = LazyLock::new(|| 1);
        cut(&mut || assert_eq!(*LazyLock::force(&lazy), 7));
        // Its closure was not called, so it is not used up.
        assert_eq!(*LazyLock::force(&lazy), 1);
    }),
    ("barrier for one", |cut| {
        let barrier = Barrier::new(1);
        cut(&mut || assert!(barrier.wait().is_leader()));
        assert!(barrier.wait().is_leader());
    }),
    ("semaphore with permits", |cut| {
        let semaphore = Arc::new(Semaphore::new(2));
        cut(&mut || semaphore.acquire().forget());
        cut(&mut || semaphore.acquire_many(2).forget());
        cut(&mut || semaphore.clone().acquire_owned().forget());
        assert_eq!(semaphore.available_permits(), 2);
    }),
    ("event that is set", |cut| {
        let event = Event::new();
        event.set();
        cut(&mut || event.wait());
        assert!(event.is_set());
    }),
    ("group of one", |cut| {
        let mut group = Some(WaitGroup::new());
        cut(&mut || group.take().unwrap().wait());
    }),
    ("message that is there", |cut| {
        let (sender, receiver) = channel::unbounded();
        sender.send(1).unwrap();
        cut(&mut || assert_eq!(receiver.recv(), Ok(7)));
        cut(&mut || assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(7)));
        cut(&mut || assert_eq!(receiver.iter().next(), Some(7)));
        assert_eq!(receiver.len(), 1);
        assert_eq!(receiver.recv(), Ok(1));
    }),
    ("room for a message", |cut| {
        let (sender, receiver) = channel::bounded(1);
        cut(&mut || sender.send(1).unwrap());
        assert!(receiver.is_empty());
        sender.send(2).unwrap();
        assert_eq!(receiver.recv(), Ok(2));
    }),
    ("channel without senders", |cut| {
        let (sender, receiver) = channel::bounded::<()>(1);
        drop(sender);
        cut(&mut || assert!(receiver.recv().is_err()));
    }),
    ("operation that is ready", |cut| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        cut(&mut || {
            let mut select = Select::new();
            select.recv(&receiver);
            assert_eq!(select.ready(), 7);
        });
        cut(&mut || {
            channel::select! { recv(receiver) -> message => assert_eq!(message, Ok(7)) }
        });
        assert_eq!(receiver.recv(), Ok(1));
    }),
    ("message of std's channel", |cut| {
        let (sender, receiver) = mpsc::sync_channel(1);
        cut(&mut || sender.send(1).unwrap());
        sender.send(2).unwrap();
        let receiver = Mutex::new(receiver);
        cut(&mut || assert_eq!(receiver.try_lock().unwrap().recv(), Ok(7)));
        assert_eq!(receiver.into_inner().unwrap().recv(), Ok(2));
    }),
    ("news for all", |cut| {
        let (sender, mut receiver) = broadcast::channel(1);
        sender.send(1).unwrap();
        cut(&mut || assert_eq!(receiver.recv(), Ok(7)));
        assert_eq!(receiver.recv(), Ok(1));
        let (sender, mut receiver) = watch::channel(0);
        sender.send(1).unwrap();
        cut(&mut || assert_eq!(*receiver.recv().unwrap(), 7));
        assert_eq!(*receiver.recv().unwrap(), 1);
    }),
    ("tick that is due", |cut| {
        let first = time::now();
        let mut ticker = Ticker::starting_at(first, crate::HOUR);
        cut(&mut || assert!(ticker.tick() > first));
        assert_eq!(ticker.tick(), first);
    }),
    ("yield", |cut| cut(&mut thread::yield_now)),
];

#[test]
fn calls_that_need_not_wait_are_cut_off_before_they_have_done_anything() {
    everywhere(|_| {
        for (name, call) in CALLS {
            let result = std::panic::catch_unwind(|| {
                call(&|f| Way::Past.cut(f));
                // The deadline passes while the thread runs.
                call(&|f| {
                    let mut returned = false;
                    expect_elapsed(time::timeout(Duration::from_micros(10), || {
                        outlast_deadline();
                        f();
                        returned = true;
                    }));
                    assert!(!returned, "it has returned");
                });
            });
            if let Err(payload) = result {
                panic!("{name}: {}", text_of(&*payload));
            }
        }
    });
}

#[test]
fn calls_that_never_wait_are_not_cut_off() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        let (sender, receiver) = channel::bounded(1);
        let semaphore = Semaphore::new(1);
        let (unbounded, messages) = channel::unbounded();
        let outcome = time::timeout(Duration::ZERO, || {
            assert!(thread::cancelled());
            assert_eq!(time::current_deadline().map(|end| end <= time::now()), Some(true));
            *lock.try_lock().unwrap() += 1;
            sender.try_send(1).unwrap();
            assert_eq!(receiver.try_recv(), Ok(1));
            unbounded.send(2).unwrap();
            assert!(semaphore.try_acquire().is_some());
            thread::current().unpark();
            let spawned = thread::spawn(|| 3);
            thread::cancel_reason().expect("the deadline has passed");
            spawned
        });
        assert_eq!(outcome.unwrap().join().unwrap(), 3);
        assert_eq!(*lock.lock().unwrap(), 1);
        assert_eq!(messages.try_recv(), Ok(2));
        thread::park();
    });
}
