//! Ends: deadlines that race what they wait for, groups that fail, races, cancellations; in each
//! other, in scopes and arms, on threads of several kinds.
//!
//! Conserved is this: a message that was sent is received or left, once; a call that was unwound
//! has neither sent nor received; a mutex counts those who had it, and is neither poisoned nor
//! held; the permits are all there; a group and a race end after all of theirs. Nobody is unwound
//! by what was not meant for it, nor before its time, and no timer is left.
#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sylvan::__private::doors::armed_timers;
use sylvan::channel::{Receiver, Sender, bounded, unbounded};
use sylvan::sync::{Condvar, Mutex, Semaphore};
use sylvan::thread::{self, CancelKind, Cancelled, Thread};
use sylvan::time::{self, Elapsed};
use sylvan_workspace::{Random, Shape};

use crate::storms;

const PERMITS: usize = 2;
/// How many threads are remembered, to be unparked.
const ROOM: usize = 16;
const WHY: &str = "the storm wants it";

/// What only an end from outside ends.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// What a thread leaves that panics on purpose.
struct Expected;

/// Waits when it is dropped, in an unwinding too, which nothing may disturb.
struct WaitsOnDrop<'a>(&'a World, u64);

impl Drop for WaitsOnDrop<'_> {
    fn drop(&mut self) {
        match self.1 % 3 {
            0 => thread::yield_now(),
            1 => thread::sleep(Duration::from_micros(self.1 % 50)),
            _ => {
                *self.0.mutex.lock().expect("no end of a thread poisons") += 1;
                self.0.locked.fetch_add(1, SeqCst);
            }
        }
    }
}

/// How many there are, and the sum of their numbers.
#[derive(Default)]
struct Tally {
    count: AtomicU64,
    sum: AtomicU64,
}

impl Tally {
    fn add(&self, number: u64) {
        self.count.fetch_add(1, SeqCst);
        self.sum.fetch_add(number, SeqCst);
    }

    fn get(&self) -> (u64, u64) {
        (self.count.load(SeqCst), self.sum.load(SeqCst))
    }
}

/// Counts one as long as it lives.
struct Inside<'a>(&'a AtomicUsize);

impl Inside<'_> {
    fn enter(count: &AtomicUsize) -> Inside<'_> {
        count.fetch_add(1, SeqCst);
        Inside(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

struct World {
    channels: Vec<(Sender<u64>, Receiver<u64>)>,
    sent: Tally,
    received: Tally,
    mutex: Mutex<u64>,
    locked: AtomicU64,
    semaphore: Semaphore,
    inside: AtomicUsize,
    queue: Mutex<VecDeque<u64>>,
    filled: Condvar,
    put: AtomicU64,
    taken: AtomicU64,
    /// Nobody sends here.
    silent: (Sender<u64>, Receiver<u64>),
    known: std::sync::Mutex<Vec<Thread>>,
    timeouts: AtomicU64,
    elapsed: AtomicU64,
    over: AtomicBool,
}

impl World {
    fn new() -> World {
        let capacities = [Some(0), Some(1), None];
        World {
            channels: capacities.map(|it| it.map_or_else(unbounded, bounded)).into(),
            sent: Tally::default(),
            received: Tally::default(),
            mutex: Mutex::new(0),
            locked: AtomicU64::new(0),
            semaphore: Semaphore::new(PERMITS),
            inside: AtomicUsize::new(0),
            queue: Mutex::default(),
            filled: Condvar::new(),
            put: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            silent: unbounded(),
            known: std::sync::Mutex::default(),
            timeouts: AtomicU64::new(0),
            elapsed: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    fn pick(&self, random: &mut Random) -> &(Sender<u64>, Receiver<u64>) {
        &self.channels[random.below(self.channels.len() as u64) as usize]
    }

    /// Runs `f` for a moment.
    fn limited<T>(&self, moment: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
        self.timeouts.fetch_add(1, SeqCst);
        let outcome = time::timeout(moment, f);
        if let Err(elapsed) = &outcome {
            self.elapsed.fetch_add(1, SeqCst);
            let reason = elapsed.reason();
            assert_eq!(reason.kind(), CancelKind::Deadline, "{reason}");
            let deadline = reason.deadline().expect("a deadline says when");
            assert!(deadline <= time::now(), "it has ended before its time");
        }
        outcome
    }

    /// One random act, which ends by itself. `depth` bounds how deep they nest.
    fn act(&self, random: &mut Random, depth: u32) {
        let moment = match random.below(8) {
            0 => Duration::ZERO,
            _ => Duration::from_micros(random.below(120)),
        };
        let inner = depth.wrapping_sub(1);
        match random.below(if depth > 0 { 20 } else { 13 }) {
            0 | 1 => drop(self.limited(moment, || self.receive(random))),
            2 => drop(self.limited(moment, || self.send(random))),
            3 => {
                // What somebody's time is about to be over for.
                thread::sleep(moment);
                let _ = self.limited(moment, || self.send(random));
            }
            4 | 5 => drop(self.limited(moment, || self.lock(random))),
            6 => drop(self.limited(moment, || self.pass(random, moment))),
            7 => drop(self.limited(moment, thread::park)),
            8 => self.unpark(random, moment),
            9 => self.put(random),
            10 => drop(self.limited(moment, || self.take())),
            11 => self.nest(random, moment),
            12 => self.wait_for_ever(random, moment),
            13 => drop(self.limited(moment, || self.scope(random, inner))),
            14 => drop(self.limited(moment, || self.join(random, inner))),
            // By itself too, for a deadline would end what the group should have.
            15 => self.group(random, inner),
            16 => drop(self.limited(moment * 2, || self.group(random, inner))),
            17 if random.below(2) == 0 => self.race(random, inner),
            17 => drop(self.limited(moment * 2, || self.race(random, inner))),
            18 => drop(self.limited(moment, || self.shield(random, inner))),
            _ => drop(self.limited(moment, || self.go_on(random, inner))),
        }
    }

    /// A send that is unwound has sent nothing.
    fn send(&self, random: &mut Random) {
        let number = random.number();
        self.pick(random).0.send(number).expect("the channel stays");
        self.sent.add(number);
    }

    fn receive(&self, random: &mut Random) {
        let number = self.pick(random).1.recv().expect("the channel stays");
        self.received.add(number);
    }

    fn lock(&self, random: &mut Random) {
        let mut count = self.mutex.lock().expect("no end of a thread poisons");
        *count += 1;
        self.locked.fetch_add(1, SeqCst);
        if random.below(3) == 0 {
            // May be unwound with the guard.
            thread::sleep(Duration::from_micros(random.below(50)));
        }
    }

    fn pass(&self, random: &mut Random, moment: Duration) {
        let _permit = match random.below(2) {
            0 => Some(self.semaphore.acquire()),
            _ => self.semaphore.try_acquire_for(moment),
        };
        if _permit.is_some() {
            let _inside = Inside::enter(&self.inside);
            assert!(self.inside.load(SeqCst) <= PERMITS, "a permit was doubled");
            thread::yield_now();
        }
    }

    fn unpark(&self, random: &mut Random, moment: Duration) {
        thread::sleep(moment);
        let known = self.known.lock().expect("nobody panics while holding it");
        let count = known.len() as u64;
        let chosen = (count > 0).then(|| known[random.below(count) as usize].clone());
        drop(known);
        if let Some(thread) = chosen {
            thread.unpark();
        }
    }

    fn put(&self, random: &mut Random) {
        let mut queue = self.queue.lock().expect("no end of a thread poisons");
        queue.push_back(random.number());
        self.put.fetch_add(1, SeqCst);
        drop(queue);
        self.filled.notify_one();
    }

    fn take(&self) {
        let queue = self.queue.lock().expect("no end of a thread poisons");
        let filled = self.filled.wait_while(queue, |queue| queue.is_empty());
        let mut queue = filled.expect("no end of a thread poisons");
        assert!(queue.pop_front().is_some());
        self.taken.fetch_add(1, SeqCst);
    }

    /// The nearest of two deadlines ends what it belongs to.
    fn nest(&self, random: &mut Random, moment: Duration) {
        let _ = self.limited(moment, || {
            let later = moment + Duration::from_micros(random.below(50));
            let inner = self.limited(later, || thread::sleep(later * 2));
            assert!(inner.is_ok(), "the deadline around it comes first: {inner:?}");
        });
        let _ = self.limited(moment * 4, || {
            let inner = self.limited(moment, || self.receive(random));
            if inner.is_err() {
                // Goes on, as long as its own time is not over.
                self.receive(random);
            }
        });
    }

    fn wait_for_ever(&self, random: &mut Random, moment: Duration) {
        let outcome = self.limited(moment, || {
            let _waits = WaitsOnDrop(self, random.number());
            match random.below(2) {
                0 => thread::sleep(FOR_EVER),
                _ => drop(self.silent.1.recv()),
            }
        });
        assert!(outcome.is_err(), "nobody has ended it");
    }

    fn scope(&self, random: &mut Random, depth: u32) {
        let is_cancelled = random.below(4) == 0;
        let deadline = time::current_deadline();
        let alive = AtomicUsize::new(0);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|scope| {
                for _ in 0..random.below(4) {
                    let (mut random, alive) = (random.split(), &alive);
                    scope.spawn(move || {
                        let _alive = Inside::enter(alive);
                        assert_eq!(time::current_deadline(), deadline, "it is inherited");
                        self.act(&mut random, depth);
                        if is_cancelled {
                            thread::sleep(FOR_EVER);
                            panic!("nobody has ended it");
                        }
                    });
                }
                if is_cancelled {
                    scope.cancel_with(WHY).expect("this program unwinds");
                } else if random.below(2) == 0 {
                    self.act(random, depth);
                }
            });
        }));
        assert_eq!(alive.load(SeqCst), 0, "the scope has ended before its children");
        if let Err(payload) = ended {
            resume_unwind(payload);
        }
    }

    fn join(&self, random: &mut Random, depth: u32) {
        let (mut one, mut other) = (random.split(), random.split());
        let deadline = time::current_deadline();
        let arm = |random: &mut Random| {
            assert_eq!(time::current_deadline(), deadline, "it is inherited");
            self.act(random, depth);
        };
        sylvan::join(|| arm(&mut one), || arm(&mut other));
    }

    /// The number of the thread that fails first, if one is to fail.
    fn group(&self, random: &mut Random, depth: u32) {
        let size = 1 + random.below(4);
        let failing = random.below(size * 2);
        let panics = random.below(6) == 0;
        let limit = (random.below(2) == 0).then(|| 1 + random.below(2) as usize);
        let alive = AtomicUsize::new(0);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            thread::group(|group| {
                if let Some(limit) = limit {
                    group.limit(limit);
                }
                let members: Vec<_> = (0..size)
                    .map(|number| {
                        let (mut random, alive) = (random.split(), &alive);
                        group.spawn(move || {
                            let _alive = Inside::enter(alive);
                            let _waits = WaitsOnDrop(self, random.number());
                            self.act(&mut random, depth);
                            match number == failing {
                                // With a limit it might keep the failing one from its turn.
                                false if failing < size && limit.is_none() => {
                                    thread::sleep(FOR_EVER);
                                    panic!("nobody has ended it");
                                }
                                true if panics => resume_unwind(Box::new(Expected)),
                                true => Err(number),
                                false => Ok(1),
                            }
                        })
                    })
                    .collect();
                Ok(members.into_iter().map(|member| member.join()).sum::<u64>())
            })
        }));
        assert_eq!(alive.load(SeqCst), 0, "the group has ended before its threads");
        match ended {
            Ok(Ok(sum)) => assert_eq!((sum, failing >= size), (size, true)),
            Ok(Err(number)) => assert_eq!((number, panics), (failing, false)),
            Err(payload) if payload.is::<Expected>() => assert!(panics && failing < size),
            Err(payload) => resume_unwind(payload),
        }
    }

    fn race(&self, random: &mut Random, depth: u32) {
        let (alive, arrived) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let ended = catch_unwind(AssertUnwindSafe(|| {
            thread::race(|race| {
                for number in 0..1 + random.below(3) {
                    let (mut random, alive, arrived) = (random.split(), &alive, &arrived);
                    race.spawn(move || {
                        let _alive = Inside::enter(alive);
                        self.act(&mut random, depth);
                        if number > 1 {
                            thread::sleep(FOR_EVER);
                            panic!("nobody has ended it");
                        }
                        arrived.fetch_add(1, SeqCst)
                    });
                }
            })
        }));
        assert_eq!(alive.load(SeqCst), 0, "the race has ended before its threads");
        match ended {
            Ok(won) => assert!(won < arrived.load(SeqCst), "the winner did not arrive"),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// What comes from outside waits until it is over.
    fn shield(&self, random: &mut Random, depth: u32) {
        let done = AtomicBool::new(false);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            thread::shield(|| {
                assert_eq!(time::current_deadline(), None);
                thread::sleep(Duration::from_micros(random.below(40)));
                self.act(random, depth);
                thread::shield(thread::yield_now);
                // The inner one was left, and this one is up.
                thread::yield_now();
                thread::sleep(Duration::from_micros(random.below(20)));
                done.store(true, SeqCst);
            });
        }));
        assert!(done.load(SeqCst), "something has come through a shield");
        assert!(ended.is_ok());
    }

    /// Code that catches its unwinding and goes on is unwound again.
    fn go_on(&self, random: &mut Random, depth: u32) {
        let first = catch_unwind(AssertUnwindSafe(|| self.act(random, depth)));
        if let Err(payload) = first {
            assert!(payload.is::<Cancelled>());
            drop(payload);
            let again = catch_unwind(|| thread::sleep(FOR_EVER));
            resume_unwind(again.expect_err("the reason is there still"));
        }
    }

    /// A life of acts.
    fn live(&self, mut random: Random, depth: u32) {
        {
            let mut known = self.known.lock().expect("nobody panics while holding it");
            if known.len() < ROOM {
                known.push(thread::current());
            } else {
                let place = random.below(ROOM as u64) as usize;
                known[place] = thread::current();
            }
        }
        for _ in 0..1 + random.below(30) {
            self.act(&mut random, depth);
        }
        assert!(time::current_deadline().is_none(), "a deadline was left behind");
    }

    fn check(&self) {
        let left = Tally::default();
        self.channels.iter().for_each(|it| it.1.try_iter().for_each(|number| left.add(number)));
        let (sent, received, left) = (self.sent.get(), self.received.get(), left.get());
        assert_eq!(sent.0, received.0 + left.0, "messages were lost or doubled");
        assert_eq!(sent.1, received.1.wrapping_add(left.1), "other messages have come");
        let locked = *self.mutex.try_lock().expect("it is free and not poisoned");
        assert_eq!(locked, self.locked.load(SeqCst));
        assert_eq!(self.semaphore.available_permits(), PERMITS, "permits were lost or doubled");
        assert_eq!(self.inside.load(SeqCst), 0);
        let queued = self.queue.try_lock().expect("it is free and not poisoned").len() as u64;
        assert_eq!(self.put.load(SeqCst), self.taken.load(SeqCst) + queued);
        let (timeouts, elapsed) = (self.timeouts.load(SeqCst), self.elapsed.load(SeqCst));
        eprintln!("  {timeouts} timeouts, {elapsed} elapsed; {} messages", sent.0);
        assert!(0 < elapsed && elapsed < timeouts, "the storm was none");
    }
}

/// Waves of threads of the current runtime, of which some are cancelled; how many have failed.
fn waves(world: &World, size: usize, random: &mut Random, deadline: Instant) -> usize {
    let mut unexpected = 0;
    while Instant::now() < deadline {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..size)
                .map(|_| {
                    let random = random.split();
                    scope.spawn(move || world.live(random, 2))
                })
                .collect();
            for thread in &threads {
                if random.below(3) == 0 {
                    thread::sleep(Duration::from_micros(random.below(100)));
                    thread.cancel_with(WHY).expect("this program unwinds");
                }
            }
            for thread in threads {
                unexpected += usize::from(thread.join().is_err_and(|payload| !is_meant(&*payload)));
            }
        });
    }
    unexpected
}

/// Whether a thread was ended by what was meant for it.
fn is_meant(payload: &(dyn Any + Send)) -> bool {
    let Some(cancelled) = payload.downcast_ref::<Cancelled>() else { return false };
    let reason = cancelled.reason();
    let meant = reason.kind() == CancelKind::Requested && reason.message() == Some(WHY);
    if !meant {
        eprintln!("not meant for it: {cancelled}");
    }
    meant
}

fn storm(shape: Shape, runtime: sylvan::Runtime, mut random: Random, deadline: Instant) {
    let world = World::new();
    let wave = if shape.is_green() { 150 } else { 10 };
    // A seeded run is not repeated by its seed if kernel threads take part.
    let outsiders = if matches!(shape, Shape::Seeded(_)) { 0 } else { 2 };
    std::thread::scope(|outside| {
        let world = &world;
        for _ in 0..outsiders {
            let mut random = random.split();
            outside.spawn(move || {
                while !world.over.load(SeqCst) {
                    // Their scopes and groups would want a runtime.
                    world.live(random.split(), 0);
                }
            });
        }
        let unexpected = runtime.run(|| {
            let unexpected = waves(world, wave, &mut random, deadline);
            thread::scope(|scope| {
                // Whatever worker they come to.
                for _ in 0..wave {
                    scope.spawn(|| assert_eq!(armed_timers(), 0, "a timer was left behind"));
                }
            });
            unexpected
        });
        world.over.store(true, SeqCst);
        assert_eq!(unexpected, 0, "threads failed; see their texts above");
    });
    world.check();
}

#[test]
fn storm_of_ends_loses_nothing_and_nobody() {
    storms(storm);
}
