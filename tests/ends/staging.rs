//! What the tests of groups, races and shields have in common: waits of each kind that nothing but
//! a cut ends, failures without text on stderr, and a body in a place where it must be shielded.
#![forbid(unsafe_code)]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::channel::{Receiver, Sender, bounded};
use sylvan::sync::{Barrier, Condvar, Event, Mutex, RwLock, Semaphore};
use sylvan::thread;

/// Longer than any test.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Things to wait for in vain.
pub(crate) struct Stage {
    held: Mutex<()>,
    free: Mutex<()>,
    read: RwLock<()>,
    none: Semaphore,
    never: Event,
    alone: Barrier,
    unnotified: Condvar,
    full: Sender<()>,
    empty: Receiver<()>,
    others: (Receiver<()>, Sender<()>),
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let (full, taker) = bounded(1);
        let (giver, empty) = bounded(1);
        full.send(()).unwrap();
        Stage {
            held: Mutex::new(()),
            free: Mutex::new(()),
            read: RwLock::new(()),
            none: Semaphore::new(0),
            never: Event::new(),
            alone: Barrier::new(1000),
            unnotified: Condvar::new(),
            full,
            empty,
            others: (taker, giver),
        }
    }

    /// Runs `f` while another thread holds the locks, and looks at the end whether all is as
    /// before: nothing was poisoned, taken or lost by those that were cut off.
    pub(crate) fn hold<T>(&self, f: impl FnOnce() -> T) -> T {
        let (taken, over) = (Event::new(), Event::new());
        let value = thread::scope(|scope| {
            scope.spawn(|| {
                let _guards = (self.held.lock().unwrap(), self.read.read().unwrap());
                taken.set();
                over.wait();
            });
            let _ends = sylvan_workspace::OnDrop(|| over.set());
            taken.wait();
            f()
        });
        assert!(!self.held.is_poisoned() && !self.free.is_poisoned() && !self.read.is_poisoned());
        drop((self.held.try_lock().unwrap(), self.free.try_lock().unwrap()));
        drop(self.read.try_write().unwrap());
        assert_eq!((self.none.available_permits(), self.never.is_set()), (0, false));
        assert_eq!((self.others.0.len(), self.empty.len()), (1, 0));
        value
    }
}

/// A wait that nothing but a cut ends.
pub(crate) type Wait = fn(&Stage);

pub(crate) const WAITS: [(&str, Wait); 15] = [
    ("park", |_| {
        loop {
            thread::park();
        }
    }),
    ("sleep", |_| thread::sleep(HOUR)),
    ("yield", |_| {
        loop {
            thread::yield_now();
        }
    }),
    ("lock", |stage| drop(stage.held.lock().unwrap())),
    ("write", |stage| drop(stage.read.write().unwrap())),
    ("semaphore", |stage| drop(stage.none.acquire())),
    ("event", |stage| stage.never.wait()),
    ("barrier", |stage| _ = stage.alone.wait()),
    ("condvar", |stage| {
        let mut guard = stage.free.lock().unwrap();
        loop {
            guard = stage.unnotified.wait(guard).unwrap();
        }
    }),
    ("send", |stage| stage.full.send(()).unwrap()),
    ("recv", |stage| stage.empty.recv().unwrap()),
    ("select", |stage| {
        sylvan::channel::select! {
            recv(stage.empty) -> message => message.unwrap(),
            send(stage.full, ()) -> sent => sent.unwrap(),
        }
    }),
    ("block_on", |_| sylvan::block_on(std::future::pending::<()>())),
    ("scope", |stage| {
        thread::scope(|scope| _ = scope.spawn(|| stage.never.wait()));
        // The child was cut off, and the scope saw it end.
        thread::yield_now();
    }),
    ("arms", |stage| {
        sylvan::join(|| stage.never.wait(), || stage.never.wait());
    }),
];

/// Lets the others get to their waits of this name. Those that yield never park.
pub(crate) fn settle_in(wait: &str) {
    if wait == "yield" {
        (0..50).for_each(|_| thread::yield_now());
    } else {
        sylvan_workspace::settle();
    }
}

/// A place that a thread must not come to. A panic there would say nothing, where a group or a race
/// drops what comes after its end.
#[derive(Default)]
pub(crate) struct Unreached(AtomicUsize);

impl Unreached {
    pub(crate) fn reach(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    #[track_caller]
    pub(crate) fn expect(&self) {
        assert_eq!(self.0.load(SeqCst), 0, "a wait has returned that was to be cut off");
    }
}

/// Unwinds the current thread like a panic, without the text on stderr.
pub(crate) fn fail(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// Runs `f` in a destructor that runs while its thread unwinds by a panic.
pub(crate) fn while_unwinding(f: impl FnMut()) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _runs = sylvan_workspace::OnDrop(f);
        fail("expected in a test");
    }));
    assert!(outcome.is_err());
}
