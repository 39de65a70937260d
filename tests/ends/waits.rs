//! Every kind of wait is cut off by every kind of deadline, and what it waited for is whole: locks
//! are free and unpoisoned, permits passed on, messages with one side.
//!
//! A row of the table waits for something in the way that it is given, and then uses it.
#![forbid(unsafe_code)]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::channel::{self, Receiver, Select, Sender, broadcast, oneshot, watch};
use sylvan::sync::{
    Barrier, Condvar, Event, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup, mpsc,
};
use sylvan::thread::{self, CancelKind, Cancelled};
use sylvan::time::{self, Duration, Ticker};
use sylvan_workspace::{OnDrop, Shape, everywhere, settle, text_of, with_every_runtime};

use crate::{HOUR, SOON, expect_elapsed, pass_time};

/// How a wait comes to be cut off.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By the timeout right around it.
    Timeout,
    /// By a deadline around it, with one behind it that is further off.
    Deadline,
    /// By a deadline around another one.
    Outer,
    /// By a deadline that has passed.
    Past,
    /// By a deadline within a shield, which itself lies in a deadline that has passed.
    InShield,
    /// As a child of a scope within the deadline.
    Child,
    /// As the first arm of a `join` within the deadline.
    Arm,
    /// As the second arm, which may run anywhere.
    SecondArm,
}

const WAYS: [Way; 8] = [
    Way::Timeout,
    Way::Deadline,
    Way::Outer,
    Way::Past,
    Way::InShield,
    Way::Child,
    Way::Arm,
    Way::SecondArm,
];

impl Way {
    /// Runs `wait`, which is to be cut off.
    #[track_caller]
    fn cut<T>(self, wait: impl FnOnce() -> T + Send) {
        let (returned, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
        let f = || {
            calls.fetch_add(1, SeqCst);
            let _ = wait();
            returned.store(true, SeqCst);
        };
        let elapsed = expect_elapsed(match self {
            Way::Timeout => time::timeout(SOON, f),
            Way::Deadline => time::timeout(HOUR, || time::deadline(time::now() + SOON, f)).unwrap(),
            Way::Outer => time::timeout(SOON, || drop(time::timeout(HOUR, f))),
            Way::Past => time::deadline(time::now(), f),
            Way::InShield => time::timeout(Duration::ZERO, || {
                let inner = thread::shield(|| time::timeout(SOON, f));
                assert!(thread::cancelled());
                inner
            })
            .unwrap(),
            Way::Child => time::timeout(SOON, || {
                thread::scope(|scope| {
                    let child = scope.spawn(f);
                    // Unwound, for the end of the child is its own end.
                    child.join().unwrap();
                });
            }),
            Way::Arm => time::timeout(SOON, || sylvan::join(f, || ()).0),
            Way::SecondArm => time::timeout(SOON, || sylvan::join(|| (), f).1),
        });
        assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
        assert!(!returned.load(SeqCst), "the wait has returned {self:?}");
        let may_be_unstarted = matches!(self, Way::Child | Way::SecondArm);
        assert!(may_be_unstarted || calls.load(SeqCst) == 1, "{self:?}");
        assert!(!thread::cancelled() && !thread::panicking(), "{self:?}");
        assert_eq!(time::current_deadline(), None);
    }
}

/// Something to wait for, in the way that is given, and to be used afterwards.
type Row = (&'static str, fn(Way));

/// Does `during` while another thread has what `take` gives.
fn while_held<G>(take: impl FnOnce() -> G + Send, during: impl FnOnce()) {
    let (held, is_held) = channel::bounded(1);
    let (release, released) = channel::bounded::<()>(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            let guard = take();
            held.send(()).unwrap();
            assert!(released.recv().is_err());
            drop(guard);
        });
        is_held.recv().unwrap();
        during();
        drop(release);
    });
}

/// A second thread comes to the same wait after the first, which is cut off, and gets `give`.
fn next_one_is_served(way: Way, wait: impl Fn() + Sync, give: impl FnOnce()) {
    let cut = AtomicBool::new(false);
    thread::scope(|scope| {
        let behind = scope.spawn(|| {
            while !cut.load(SeqCst) {
                thread::yield_now();
                pass_time();
            }
            wait();
        });
        way.cut(&wait);
        cut.store(true, SeqCst);
        settle();
        give();
        behind.join().unwrap();
    });
}

const THREADS: [Row; 10] = [
    ("park", |way| {
        way.cut(|| {
            loop {
                thread::park();
            }
        });
        thread::current().unpark();
        thread::park();
    }),
    ("park with a timeout", |way| {
        way.cut(|| {
            loop {
                thread::park_timeout(HOUR);
            }
        });
    }),
    ("sleep", |way| way.cut(|| thread::sleep(HOUR))),
    ("sleep for ever", |way| way.cut(|| thread::sleep(Duration::MAX))),
    ("sleep until", |way| way.cut(|| thread::sleep_until(time::now() + HOUR))),
    ("short sleeps", |way| {
        way.cut(|| {
            loop {
                thread::sleep(Duration::from_micros(10));
            }
        });
    }),
    ("yield", |way| {
        way.cut(|| {
            loop {
                thread::yield_now();
                pass_time();
            }
        });
    }),
    ("join", |way| {
        let (end, ends) = channel::bounded::<()>(0);
        let joined = thread::spawn(move || ends.recv());
        way.cut(move || joined.join().unwrap());
        // It runs on.
        settle();
        assert!(end.send(()).is_ok());
    }),
    ("join of a scope's thread", |way| {
        let (end, ends) = channel::bounded::<()>(0);
        thread::scope(|scope| {
            let joined = scope.spawn(move || ends.recv());
            way.cut(move || joined.join().unwrap());
            settle();
            assert!(end.send(()).is_ok());
        });
    }),
    ("end of a scope", |way| {
        way.cut(|| {
            thread::scope(|scope| {
                scope.spawn(|| thread::sleep(HOUR));
                scope.spawn(|| thread::scope(|inner| drop(inner.spawn(|| thread::sleep(HOUR)))));
            });
            thread::yield_now();
        });
    }),
];

const LOCKS: [Row; 10] = [
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

const SYNC: [Row; 8] = [
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

const CHANNELS: [Row; 14] = [
    ("receive", |way| {
        let (sender, receiver) = channel::unbounded::<u32>();
        next_one_is_served(way, || assert_eq!(receiver.recv(), Ok(1)), || sender.send(1).unwrap());
        assert!(receiver.is_empty());
    }),
    ("receive in a loop", |way| {
        let (sender, receiver) = channel::bounded(2);
        sender.send(1).unwrap();
        let mut sum = 0;
        way.cut(|| receiver.iter().for_each(|number: u32| sum += number));
        sender.send(2).unwrap();
        // The one before may have been left, if the deadline came first.
        assert_eq!(receiver.try_iter().sum::<u32>() + sum, 3);
    }),
    ("receive, for a time", |way| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        way.cut(|| receiver.recv_timeout(HOUR));
        assert!(sender.try_send(1).is_err(), "a receiver that has gone is met");
    }),
    ("send to a full channel", |way| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        way.cut(|| sender.send(2).unwrap());
        assert_eq!(receiver.recv(), Ok(1));
        assert!(receiver.is_empty());
        sender.send(3).unwrap();
        assert_eq!(receiver.recv(), Ok(3));
    }),
    ("meeting, as a sender", |way| {
        let (sender, receiver) = channel::bounded(0);
        way.cut(|| sender.send(1).unwrap());
        assert!(receiver.try_recv().is_err(), "a sender that has gone is met");
        meet(&sender, &receiver);
    }),
    ("meeting, as a receiver", |way| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        way.cut(|| receiver.recv().unwrap());
        meet(&sender, &receiver);
    }),
    ("select", |way| {
        let ((sender, receiver), (full, drain)) = (channel::bounded::<u32>(0), channel::bounded(1));
        full.send(7).unwrap();
        way.cut(|| {
            channel::select! {
                recv(receiver) -> message => assert!(message.is_err()),
                send(full, 8) -> sent => sent.unwrap(),
            }
        });
        assert_eq!(drain.try_iter().collect::<Vec<_>>(), [7]);
        assert!(sender.try_send(1).is_err());
        meet(&sender, &receiver);
    }),
    ("list of operations", |way| {
        let ((sender, receiver), (other, its)) = (channel::bounded::<u32>(0), channel::bounded(0));
        way.cut(|| {
            let mut select = Select::new();
            select.recv(&receiver);
            select.send(&other);
            let _ = select.select().index();
        });
        assert!(sender.try_send(1).is_err());
        meet(&sender, &receiver);
        meet(&other, &its);
    }),
    ("readiness", |way| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        way.cut(|| {
            let mut select = Select::new();
            select.recv(&receiver);
            select.ready();
        });
        meet(&sender, &receiver);
    }),
    ("timer's channel", |way| {
        let (after, tick) = (channel::after(HOUR), channel::tick(HOUR));
        way.cut(|| after.recv().unwrap());
        way.cut(|| tick.recv().unwrap());
        let never: Receiver<()> = channel::never();
        way.cut(|| never.recv());
    }),
    ("std's channel", |way| {
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        way.cut(|| receiver.lock().unwrap().recv());
        sender.send(1).unwrap();
        let receiver = receiver.into_inner().expect("a deadline poisons nothing");
        assert_eq!(receiver.recv(), Ok(1));
        let (sender, receiver) = mpsc::sync_channel(1);
        sender.send(1).unwrap();
        way.cut(|| sender.send(2).unwrap());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    }),
    ("oneshot", |way| {
        let (sender, receiver) = oneshot::channel::<u32>();
        way.cut(move || receiver.recv());
        assert!(sender.send(1).is_err(), "the receiver has gone with its call");
    }),
    ("broadcast", |way| {
        let (sender, mut receiver) = broadcast::channel(4);
        way.cut(|| receiver.recv());
        sender.send(1).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
    }),
    ("watch", |way| {
        let (sender, mut receiver) = watch::channel(0);
        way.cut(|| receiver.recv());
        way.cut(|| receiver.wait_for(|value| *value == 1));
        sender.send(1).unwrap();
        assert_eq!(*receiver.recv().unwrap(), 1);
    }),
];

/// A message goes from one side to the other, and from nobody who was there before.
fn meet(sender: &Sender<u32>, receiver: &Receiver<u32>) {
    thread::scope(|scope| {
        scope.spawn(|| sender.send(42).unwrap());
        assert_eq!(receiver.recv(), Ok(42));
    });
}

const FUTURES: [Row; 5] = [
    ("future", |way| way.cut(|| sylvan::block_on(pending::<()>()))),
    ("future that wakes itself for ever", |way| {
        way.cut(|| {
            sylvan::block_on(std::future::poll_fn(|context| {
                pass_time();
                context.waker().wake_by_ref();
                std::task::Poll::<()>::Pending
            }));
        });
    }),
    ("future of a receiver", |way| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        way.cut(|| sylvan::block_on(receiver.recv_async()));
        meet(&sender, &receiver);
    }),
    ("future of a sender", |way| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        way.cut(|| sylvan::block_on(sender.send_async(2)));
        assert_eq!(receiver.recv(), Ok(1));
        assert!(receiver.is_empty());
    }),
    ("future of a thread", |way| {
        let (end, ends) = channel::bounded::<()>(0);
        let joined = thread::spawn(move || ends.recv());
        way.cut(move || sylvan::block_on(joined));
        settle();
        assert!(end.send(()).is_ok());
    }),
];

fn in_all_ways(rows: &[Row]) {
    everywhere(|_| {
        for (name, row) in rows {
            for way in WAYS {
                let result = std::panic::catch_unwind(|| row(way));
                if let Err(payload) = result {
                    panic!("{name}, {way:?}: {}", text_of(&*payload));
                }
            }
        }
    });
}

#[test]
fn waits_of_threads_are_cut_off() {
    in_all_ways(&THREADS);
}

#[test]
fn waits_for_locks_are_cut_off_and_leave_them_free_and_unpoisoned() {
    in_all_ways(&LOCKS);
}

#[test]
fn waits_for_permits_and_others_are_cut_off_and_what_they_were_for_goes_on() {
    in_all_ways(&SYNC);
}

#[test]
fn waits_at_channels_are_cut_off_and_no_message_is_lost() {
    in_all_ways(&CHANNELS);
}

#[test]
fn waits_for_futures_are_cut_off_and_drop_them() {
    in_all_ways(&FUTURES);
}

#[test]
fn join_of_a_local_thread_is_cut_off() {
    everywhere(|shape| {
        if !shape.is_green() {
            return;
        }
        let (end, ends) = channel::bounded::<()>(0);
        let joined = thread::spawn_local(move || ends.recv());
        expect_elapsed(time::timeout(SOON, || joined.join().unwrap()));
        settle();
        assert!(end.send(()).is_ok());
    });
}

#[test]
fn run_of_the_own_runtime_is_cut_off() {
    with_every_runtime(|_, runtime| {
        runtime.run(|| {
            let elapsed = time::timeout(SOON, || runtime.run(|| thread::sleep(HOUR)));
            expect_elapsed(elapsed);
            thread::yield_now();
        });
    });
}

#[test]
fn run_from_outside_of_the_runtime_is_cut_off() {
    with_every_runtime(|shape, runtime| {
        if matches!(shape, Shape::Seeded(_)) {
            // The caller and the run have different clocks.
            return;
        }
        let dropped = AtomicBool::new(false);
        let elapsed = expect_elapsed(time::timeout(SOON, || {
            runtime.run(|| {
                let _drop = OnDrop(|| dropped.store(true, SeqCst));
                assert!(time::current_deadline().is_some());
                thread::sleep(HOUR);
            });
        }));
        assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
        assert_eq!(runtime.run(|| 3), 3);
    });
}

#[test]
fn join_from_outside_of_the_runtime_is_cut_off() {
    with_every_runtime(|_, runtime| {
        let (end, ends) = channel::bounded::<()>(0);
        let joined = runtime.handle().spawn(move || ends.recv());
        let seen = time::timeout(SOON, || joined.join());
        drop(end);
        expect_elapsed(seen);
    });
}

#[test]
fn reason_is_the_same_for_every_child_that_is_cut_off() {
    everywhere(|_| {
        let line = AtomicUsize::new(0);
        let texts = Mutex::new(Vec::new());
        let elapsed = expect_elapsed(time::timeout(SOON, || {
            line.store(line!() as usize - 1, SeqCst);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let payload = std::panic::catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
                        let cancelled = payload.downcast::<Cancelled>().expect("no panic");
                        thread::shield(|| {
                            texts.lock().unwrap().push(cancelled.reason().to_string());
                        });
                    });
                }
            });
            thread::yield_now();
        }));
        let texts = texts.into_inner().unwrap();
        for text in &texts {
            assert_eq!(*text, elapsed.reason().to_string());
            assert!(text.contains(&format!("{}:{}:", file!(), line.load(SeqCst))), "{text}");
        }
    });
}
