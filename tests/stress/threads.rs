//! Threads: spawn, park, unpark, sleep, scope, join, panic, cancel, shutdown.
//!
//! Conserved is this: each thread that was spawned has run to an end or was dropped unstarted, each
//! handle gave exactly the result that its thread has left, each value that was made was dropped,
//! and no stack or thread is left.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sylvan::thread::{self, Cancelled, JoinHandle, Thread};
use sylvan_workspace::{Random, Shape, text_of};

use crate::storms;

/// What a thread leaves that panics on purpose.
struct Expected;

/// What all threads of a run share.
struct World {
    counts: Counts,
    /// Threads that may be unparked: anybody, alive or gone.
    known: Mutex<Vec<Thread>>,
    /// Handles that nobody has joined yet.
    handles: Mutex<Vec<(u64, JoinHandle<Token>)>>,
    over: AtomicBool,
}

#[derive(Default)]
struct Counts {
    spawned: AtomicU64,
    /// Closures that were dropped, having run or not.
    closures_dropped: AtomicU64,
    returned: AtomicU64,
    unwound: AtomicU64,
    tokens_made: AtomicU64,
    tokens_dropped: AtomicU64,
}

/// Counts itself; made for each result and each local of a thread.
struct Token(Arc<World>);

impl Token {
    fn new(world: &Arc<World>) -> Token {
        world.counts.tokens_made.fetch_add(1, SeqCst);
        Token(world.clone())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.counts.tokens_dropped.fetch_add(1, SeqCst);
    }
}

/// Lies in each closure; its drop says that the closure is gone.
struct Captured(Arc<World>);

impl Drop for Captured {
    fn drop(&mut self) {
        self.0.counts.closures_dropped.fetch_add(1, SeqCst);
    }
}

sylvan::thread_local! {
    static LOCAL: std::cell::RefCell<Option<Token>> = const { std::cell::RefCell::new(None) };
}

/// Waits a little when it is dropped, in an unwinding too.
struct WaitsOnDrop(u64);

impl Drop for WaitsOnDrop {
    fn drop(&mut self) {
        match self.0 % 3 {
            0 => thread::yield_now(),
            1 => thread::sleep(Duration::from_micros(self.0)),
            _ => thread::park_timeout(Duration::from_micros(self.0)),
        }
    }
}

/// A thread's part in the world: its number, and its own choices.
///
/// Who waits for a thread has a lower number than that thread, so no cycle of waits can come up:
/// a child's number is above its parent's, and `join_any` takes handles above its own only.
struct Actor {
    world: Arc<World>,
    number: u64,
    random: Random,
}

impl Actor {
    /// An arm of a join: the same thread to those who wait.
    fn arm(&mut self) -> Actor {
        Actor { world: self.world.clone(), number: self.number, random: self.random.split() }
    }

    /// A thread that is about to be spawned, and what counts its closure.
    fn child(&mut self) -> (Actor, Captured) {
        let number = self.world.counts.spawned.fetch_add(1, SeqCst) + 1;
        let random = self.random.split();
        (Actor { world: self.world.clone(), number, random }, Captured(self.world.clone()))
    }

    /// Makes a handle known to all; whatever it displaces is dropped, that is, runs on alone.
    fn leave(&mut self, number: u64, handle: JoinHandle<Token>) {
        let place = self.random.below(ROOM) as usize;
        let displaced = {
            let mut handles = unpoisoned(&self.world.handles);
            handles.push((number, handle));
            (handles.len() > ROOM as usize).then(|| handles.swap_remove(place))
        };
        drop(displaced);
    }

    fn take_any(&mut self) -> Option<(u64, JoinHandle<Token>)> {
        let mut handles = unpoisoned(&self.world.handles);
        match handles.len() as u64 {
            0 => None,
            count => Some(handles.swap_remove(self.random.below(count) as usize)),
        }
    }

    fn join_any(&mut self) {
        let Some((number, handle)) = self.take_any() else { return };
        if number > self.number {
            check_result(handle.join());
        } else {
            self.leave(number, handle);
        }
    }

    fn cancel_any(&mut self) {
        if let Some((number, handle)) = self.take_any() {
            handle.cancel().expect("this program unwinds");
            self.leave(number, handle);
        }
    }

    fn unpark_any(&mut self) {
        let known = unpoisoned(&self.world.known);
        if let Some(thread) = known.get(self.random.below(known.len().max(1) as u64) as usize) {
            thread.unpark();
        }
    }

    fn spawn(&mut self) -> (u64, JoinHandle<Token>) {
        let (mut child, captured) = self.child();
        let number = child.number;
        let handle = thread::spawn(move || {
            let _captured = captured;
            child.live()
        });
        let mut known = unpoisoned(&self.world.known);
        known.push(handle.thread().clone());
        if known.len() > ROOM as usize {
            known.swap_remove(self.random.below(ROOM) as usize);
        }
        (number, handle)
    }

    fn spawn_and_see(&mut self) {
        let (number, handle) = self.spawn();
        match self.random.below(8) {
            0 => drop(handle),
            1 => check_result(handle.join()),
            2 => {
                handle.cancel().expect("this program unwinds");
                check_result(handle.join());
            }
            _ => self.leave(number, handle),
        }
    }

    /// What a thread does; counts how it ends, by a guard, for many ends are unwindings.
    fn live(&mut self) -> Token {
        struct Ends(Arc<World>, bool);
        impl Drop for Ends {
            fn drop(&mut self) {
                let counts = &self.0.counts;
                let count = if self.1 { &counts.returned } else { &counts.unwound };
                count.fetch_add(1, SeqCst);
            }
        }
        let mut ends = Ends(self.world.clone(), false);
        if self.random.below(4) == 0 {
            let token = Token::new(&self.world);
            LOCAL.with_borrow_mut(|local| *local = Some(token));
        }
        let waits = (self.random.below(4) == 0).then(|| WaitsOnDrop(self.random.below(50)));
        for _ in 0..1 + self.random.below(8) {
            self.step(3);
        }
        // Before the value is made: a cancellation may unwind from this wait, and rustc drops no
        // value that a function was about to return when a destructor unwound.
        drop(waits);
        ends.1 = true;
        Token::new(&self.world)
    }

    /// One random act. `depth` bounds how deep scopes and joins nest.
    fn step(&mut self, depth: u32) {
        match self.random.below(16) {
            0 | 1 if !self.world.over.load(SeqCst) => self.spawn_and_see(),
            2 => thread::yield_now(),
            3 => thread::sleep(Duration::from_micros(self.random.below(300))),
            4 => thread::park_timeout(Duration::from_micros(self.random.below(500))),
            5 | 6 => self.unpark_any(),
            7 => self.join_any(),
            8 => self.cancel_any(),
            9 if depth > 0 => self.scope(depth - 1),
            10 if depth > 0 => self.join(depth - 1),
            11 if self.random.below(4) == 0 => resume_unwind(Box::new(Expected)),
            12 => {
                let waits = self.random.below(50);
                let caught = std::panic::catch_unwind(|| {
                    let _waits = WaitsOnDrop(waits);
                    resume_unwind(Box::new(Expected));
                });
                assert!(caught.is_err());
            }
            13 => {
                for _ in 0..self.random.below(2000) {
                    std::hint::spin_loop();
                }
            }
            _ => {
                thread::current().unpark();
                thread::park();
            }
        }
    }

    fn join(&mut self, depth: u32) {
        let (mut a, mut b) = (self.arm(), self.arm());
        let (left, right) = sylvan::join(
            || {
                a.step(depth);
                Token::new(&a.world)
            },
            || {
                b.step(depth);
                Token::new(&b.world)
            },
        );
        drop((left, right));
    }

    fn scope(&mut self, depth: u32) {
        let count = self.random.below(4);
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|scope| {
                for _ in 0..count {
                    let (mut child, captured) = self.child();
                    let handle = scope.spawn(move || {
                        let _captured = captured;
                        child.step(depth);
                        child.step(depth);
                        Token::new(&child.world)
                    });
                    match self.random.below(4) {
                        0 => check_result(handle.join()),
                        1 => handle.cancel().expect("this program unwinds"),
                        // Left to the end of the scope.
                        _ => drop(handle),
                    }
                }
            });
        }));
        match result {
            Err(payload) if payload.is::<Cancelled>() => resume_unwind(payload),
            // A child's end that the scope tells in its own words.
            Err(payload) => {
                let text = text_of(&*payload);
                assert_eq!(text, "a scoped thread panicked");
            }
            Ok(()) => (),
        }
    }
}

/// How many handles and threads are remembered.
const ROOM: u64 = 64;

fn unpoisoned<V>(table: &Mutex<V>) -> MutexGuard<'_, V> {
    table.lock().expect("nobody panics while holding it, and neighbours do not poison it")
}

/// A payload that nobody has made is a failure of the joiner, whose own joiner then sees it: the
/// text goes up the whole tree.
fn check_result(result: thread::Result<Token>) {
    if let Err(payload) = result
        && !payload.is::<Expected>()
        && !payload.is::<Cancelled>()
    {
        eprintln!("an unexpected payload: {}", text_of(&*payload));
        UNEXPECTED.store(true, SeqCst);
    }
}

/// Whether a thread was unwound by what no thread of the storm throws.
static UNEXPECTED: AtomicBool = AtomicBool::new(false);

/// Runs the world on one runtime until `deadline`, and ends it in the middle of everything.
fn storm(shape: Shape, runtime: sylvan::Runtime, random: Random, deadline: Instant) {
    let world = Arc::new(World {
        counts: Counts::default(),
        known: Mutex::default(),
        handles: Mutex::default(),
        over: AtomicBool::new(false),
    });
    // Under 1:1 a spawn is a kernel thread: fewer at a time.
    let wave = if shape.is_green() { 60 } else { 6 };
    let mut main = Actor { world: world.clone(), number: 0, random };
    runtime.run(|| {
        while Instant::now() < deadline {
            for _ in 0..wave {
                let (number, handle) = main.spawn();
                main.leave(number, handle);
            }
            for _ in 0..wave {
                thread::yield_now();
                main.unpark_any();
                main.join_any();
            }
        }
        // A last wave, which the shutdown meets.
        for _ in 0..wave {
            let (number, handle) = main.spawn();
            main.leave(number, handle);
        }
    });
    // Half of the shutdowns meet threads that still spawn.
    world.over.store(main.random.below(2) == 0, SeqCst);
    drop(main);
    let ended = runtime.handle();
    drop(runtime);
    assert!(ended.try_spawn(|| ()).is_err(), "a runtime that has ended takes threads");
    let left = std::mem::take(&mut *unpoisoned(&world.handles));
    for (_, handle) in left {
        assert!(handle.is_finished(), "a thread has outlived its runtime");
        check_result(handle.join());
    }
    check_conservation(&world);
    assert!(!UNEXPECTED.load(SeqCst), "a thread was unwound by what no thread throws");
}

fn check_conservation(world: &Arc<World>) {
    let counts = &world.counts;
    let of = |count: &AtomicU64| count.load(SeqCst);
    let (spawned, dropped) = (of(&counts.spawned), of(&counts.closures_dropped));
    assert_eq!(spawned, dropped, "threads spawned, and closures dropped");
    let (made, gone) = (of(&counts.tokens_made), of(&counts.tokens_dropped));
    assert_eq!(made, gone, "values made, and values dropped");
    let ended = of(&counts.returned) + of(&counts.unwound);
    assert!(ended <= spawned, "more ends than threads");
    assert!(of(&counts.returned) > 0, "the storm was none");
    eprintln!(
        "  {spawned} threads; of the unscoped {} returned, {} were unwound; {made} values",
        of(&counts.returned),
        of(&counts.unwound)
    );
    let known = std::mem::take(&mut *unpoisoned(&world.known));
    for thread in known {
        thread.unpark();
    }
    assert_eq!(Arc::strong_count(world), 1, "something still holds the world");
}

#[test]
fn storm_of_everything_conserves_threads_and_values() {
    storms(storm);
}
