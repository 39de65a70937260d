//! Locks and the like: taken and waited for by threads that are cancelled, run out of time, panic
//! and share them with kernel threads.
//!
//! Conserved is this: the sum of what the mutexes guard, the equality of what the read-write lock
//! guards, the permits, the items that were put into and taken from a queue; and everybody comes to
//! an end, whoever was cancelled with a wake under way.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sylvan::sync::{Arc, Condvar, Event, Mutex, RwLock, RwLockWriteGuard, Semaphore};
use sylvan::thread;
use sylvan_workspace::{Random, Shape};

use crate::storms;

const ACCOUNTS: u64 = 4;
const PERMITS: usize = 5;

struct World {
    accounts: [Mutex<i64>; ACCOUNTS as usize],
    /// Two numbers that are the same whenever nobody writes.
    table: RwLock<(u64, u64)>,
    semaphore: Arc<Semaphore>,
    inside: AtomicUsize,
    queue: Mutex<VecDeque<u64>>,
    filled: Condvar,
    put: AtomicU64,
    taken: AtomicU64,
    event: Event,
    over: AtomicBool,
}

impl World {
    fn new() -> World {
        World {
            accounts: std::array::from_fn(|_| Mutex::new(0)),
            table: RwLock::new((0, 0)),
            semaphore: Arc::new(Semaphore::new(PERMITS)),
            inside: AtomicUsize::new(0),
            queue: Mutex::default(),
            filled: Condvar::new(),
            put: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            event: Event::new(),
            over: AtomicBool::new(false),
        }
    }

    /// One random act. Each keeps its promise wherever it is ended.
    fn act(&self, random: &mut Random) {
        let moment = Duration::from_micros(random.below(400));
        match random.below(9) {
            0 | 1 => self.transfer(random),
            2 | 3 => self.read(random, moment),
            4 => self.write(random, moment),
            5 => self.pass(random, moment),
            6 => self.put(random),
            7 => self.take(moment),
            _ => self.signal(random, moment),
        }
    }

    fn transfer(&self, random: &mut Random) {
        let (one, other) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
        let (first, second) = (one.min(other) as usize, one.max(other) as usize);
        if first == second {
            return;
        }
        let amount = random.below(100) as i64;
        // In one order, for else they would wait for each other.
        let mut from = self.accounts[first].lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut to) = (match random.below(3) {
            0 => self.accounts[second].try_lock_for(Duration::from_micros(random.below(200))),
            _ => self.accounts[second].lock().map_err(Into::into),
        }) else {
            return;
        };
        *from -= amount;
        *to += amount;
        if random.below(8) == 0 {
            // The wait may end by a cancellation: both guards go, and both accounts are right.
            thread::yield_now();
        }
    }

    fn read(&self, random: &mut Random, moment: Duration) {
        let guard = match random.below(3) {
            0 => self.table.try_read_for(moment).ok(),
            1 => self.table.try_read().ok(),
            _ => self.table.read().ok(),
        };
        let Some(guard) = guard else { return };
        let before = *guard;
        if random.below(4) == 0 {
            thread::yield_now();
        }
        assert_eq!((before.0, *guard), (before.1, before));
    }

    fn write(&self, random: &mut Random, moment: Duration) {
        let guard = match random.below(3) {
            0 => self.table.try_write_for(moment).ok(),
            1 => self.table.try_write().ok(),
            _ => self.table.write().ok(),
        };
        let Some(mut guard) = guard else { return };
        guard.0 += 1;
        guard.1 += 1;
        match random.below(4) {
            0 => thread::yield_now(),
            1 => {
                let written = *guard;
                let reader = RwLockWriteGuard::downgrade(guard);
                thread::yield_now();
                assert_eq!(*reader, written);
            }
            _ => (),
        }
    }

    fn pass(&self, random: &mut Random, moment: Duration) {
        let count = 1 + random.below(PERMITS as u64) as usize;
        let semaphore = self.semaphore.clone();
        let permit = match random.below(4) {
            0 => semaphore.try_acquire_many_owned(count),
            1 => {
                let Some(permit) = self.semaphore.try_acquire_for(moment) else { return };
                return drop(permit);
            }
            _ => Some(semaphore.acquire_many_owned(count)),
        };
        let Some(mut permit) = permit else { return };
        assert!(self.inside.fetch_add(count, SeqCst) + count <= PERMITS);
        let part = permit.split(count / 2);
        // No wait until it is out again, for a cancellation would leave the number behind.
        self.inside.fetch_sub(count, SeqCst);
        drop(part);
        if random.below(4) == 0 {
            thread::yield_now();
        }
    }

    fn put(&self, random: &mut Random) {
        let mut queue = self.queue.lock().expect("nobody panics while holding it");
        queue.push_back(random.number());
        self.put.fetch_add(1, SeqCst);
        drop(queue);
        self.filled.notify_one();
    }

    /// One that is notified and then cancelled has to pass that on.
    fn take(&self, moment: Duration) {
        let queue = self.queue.lock().expect("nobody panics while holding it");
        let waited = self.filled.wait_timeout_while(queue, moment, |queue| queue.is_empty());
        let (mut queue, _) = waited.expect("nobody panics while holding it");
        if queue.pop_front().is_some() {
            self.taken.fetch_add(1, SeqCst);
        }
    }

    fn signal(&self, random: &mut Random, moment: Duration) {
        match random.below(4) {
            0 => self.event.set(),
            1 => self.event.reset(),
            2 => self.filled.notify_all(),
            _ => drop(self.event.wait_timeout(moment)),
        }
    }

    /// A life of acts, of which a panic is one.
    fn live(&self, mut random: Random) {
        for _ in 0..1 + random.below(20) {
            if random.below(40) == 0 {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let account = random.below(ACCOUNTS) as usize;
                    let _guard = self.accounts[account].lock();
                    std::panic::resume_unwind(Box::new(()));
                }));
                assert!(caught.is_err());
            }
            self.act(&mut random);
        }
    }

    fn check(&self) {
        let balances = self
            .accounts
            .iter()
            .map(|account| *account.lock().unwrap_or_else(PoisonError::into_inner));
        assert_eq!(balances.sum::<i64>(), 0, "money was made or lost");
        assert!(!self.table.is_poisoned(), "nobody panics while writing");
        let table = *self.table.try_write().expect("it is free");
        assert_eq!(table.0, table.1);
        assert_eq!(self.semaphore.available_permits(), PERMITS);
        let left = self.queue.try_lock().expect("it is free").len() as u64;
        assert_eq!(self.put.load(SeqCst), self.taken.load(SeqCst) + left);
        eprintln!("  {} items, {} writes", self.put.load(SeqCst), table.0);
    }
}

fn storm(shape: Shape, runtime: sylvan::Runtime, mut random: Random, deadline: Instant) {
    let world = World::new();
    let wave = if shape.is_green() { 100 } else { 10 };
    let seeded = matches!(shape, Shape::Seeded(_));
    std::thread::scope(|outside| {
        // A seeded run is not repeated by its seed if kernel threads take part.
        if !seeded {
            for _ in 0..2 {
                let (world, mut random) = (&world, random.split());
                outside.spawn(move || {
                    while !world.over.load(SeqCst) {
                        world.live(random.split());
                    }
                });
            }
        }
        let unexpected = runtime.run(|| {
            let mut unexpected = 0;
            while Instant::now() < deadline {
                thread::scope(|scope| {
                    let threads: Vec<_> = (0..wave)
                        .map(|_| {
                            let (world, random) = (&world, random.split());
                            scope.spawn(move || world.live(random))
                        })
                        .collect();
                    for thread in &threads {
                        if random.below(3) == 0 {
                            thread.cancel().expect("this program unwinds");
                        }
                        if random.below(8) == 0 {
                            thread::yield_now();
                        }
                    }
                    for thread in threads {
                        let ended = thread.join();
                        let failed = |payload: Box<dyn std::any::Any + Send>| {
                            !payload.is::<thread::Cancelled>()
                        };
                        unexpected += usize::from(ended.is_err_and(failed));
                    }
                });
            }
            unexpected
        });
        world.over.store(true, SeqCst);
        assert_eq!(unexpected, 0, "threads failed; see their texts above");
    });
    world.check();
}

#[test]
fn storm_of_locks_loses_nothing_and_nobody() {
    storms(storm);
}
