//! Random trees of groups, races, deadlines, shields, scopes and arms, which are ended from all
//! sides at any moment: everybody ends, once, and locks are free and whole afterwards.
//!
//! The other tests know what comes next, and so only what somebody has thought of. Here the seed of
//! a tree is printed when it fails; on the mappings the same tree takes another course each time.
#![forbid(unsafe_code)]
#![allow(clippy::unit_arg, reason = "a thread that only does something ends by `Ok(f())`")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::channel::{Receiver, Sender, bounded};
use sylvan::sync::Mutex;
use sylvan::thread::{self, Cancelled};
use sylvan::time;
use sylvan_workspace::{OnDrop, Random, everywhere, text_of, with_every_runtime};

use crate::staging::fail;

/// What the threads of a tree share.
struct World {
    live: AtomicUsize,
    entered: AtomicUsize,
    lock: Mutex<u64>,
    sender: Sender<u64>,
    receiver: Receiver<u64>,
}

impl World {
    fn new() -> World {
        let (sender, receiver) = bounded(2);
        let (live, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        World { live, entered, lock: Mutex::new(0), sender, receiver }
    }

    /// Looks at what the trees have left, and gives how often somebody has entered.
    #[track_caller]
    fn expect_empty(&self) -> usize {
        assert_eq!(self.live.load(SeqCst), 0, "somebody is still at it");
        assert!(!self.lock.is_poisoned(), "a cancellation has poisoned a lock");
        drop(self.lock.try_lock().expect("nobody holds it"));
        self.entered.load(SeqCst)
    }
}

/// Counts who is in the midst of something.
struct Live<'a>(&'a World);

impl<'a> Live<'a> {
    fn enter(world: &'a World) -> Live<'a> {
        world.live.fetch_add(1, SeqCst);
        world.entered.fetch_add(1, SeqCst);
        Live(world)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, SeqCst);
    }
}

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(300))
}

/// Waits in some way, not for long.
fn wait(world: &World, random: &mut Random) {
    match random.below(6) {
        0 => thread::yield_now(),
        1 => thread::sleep(moment(random)),
        2 => {
            let mut count = world.lock.lock().unwrap();
            thread::yield_now();
            *count += 1;
        }
        3 => _ = world.sender.send_timeout(1, moment(random)),
        4 => _ = world.receiver.recv_timeout(moment(random)),
        _ => thread::park_timeout(moment(random)),
    }
}

/// What destructors do: they wait, and have others work for them, and are never cut off.
fn clean_up(world: &World, random: &mut Random) {
    let _live = Live::enter(world);
    wait(world, random);
    let [mut one, mut two] = [random.split(), random.split()];
    match random.below(4) {
        0 => thread::scope(|scope| {
            let child = scope.spawn(|| wait(world, &mut one));
            wait(world, &mut two);
            child.join().expect("a destructor's child is not cut off");
        }),
        1 => _ = sylvan::join(|| wait(world, &mut one), || wait(world, &mut two)),
        2 => {
            let group = thread::group(|group| {
                let member = group.spawn(|| Ok::<_, ()>(wait(world, &mut one)));
                wait(world, &mut two);
                member.join();
                Ok(())
            });
            assert_eq!(group, Ok(()), "a destructor's group is not cut off");
        }
        _ => thread::shield(|| wait(world, &mut one)),
    }
}

/// Goes on after a panic of the test's own kind, and with any cancellation.
fn survive<T>(f: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Cancelled>() => resume_unwind(payload),
        Err(payload) if payload.downcast_ref() == Some(&EXPECTED) => None,
        Err(payload) => resume_unwind(payload),
    }
}

const EXPECTED: &str = "expected in a tree";

/// Does a few things, each of which may be more trees.
fn grow(world: &World, mut random: Random, depth: u32) -> Result<(), u32> {
    let _live = Live::enter(world);
    let mut cleaner = random.split();
    let _cleans = (random.below(4) == 0).then(|| OnDrop(move || clean_up(world, &mut cleaner)));
    for _ in 0..=random.below(3) {
        wait(world, &mut random);
        if depth == 0 {
            continue;
        }
        let below = |random: Random| grow(world, random, depth - 1);
        let [one, two, three] = [random.split(), random.split(), random.split()];
        match random.below(12) {
            0 | 1 => group(world, &mut random, depth)?,
            2 => _ = survive(|| race(world, &mut random, depth)),
            3 => {
                let limit = moment(&mut random);
                if let Ok(value) = time::timeout(limit, || below(one)) {
                    value?;
                }
            }
            4 => thread::shield(|| below(one))?,
            5 => thread::scope(|scope| {
                let children = [one, two].map(|it| scope.spawn(move || survive(|| below(it))));
                let _ = survive(|| below(three));
                if random.below(2) == 0 {
                    scope.cancel().unwrap();
                }
                if random.below(2) == 0 {
                    children.into_iter().for_each(|child| drop(child.join()));
                }
            }),
            6 => {
                let arms = sylvan::join(|| survive(|| below(one)), || survive(|| below(two)));
                arms.0.or(arms.1).unwrap_or(Ok(()))?;
            }
            // Caught, whatever it was; the next wait will tell.
            7 => _ = catch_unwind(AssertUnwindSafe(|| below(one))),
            8 => return Err(depth),
            9 => fail(EXPECTED),
            10 if thread::cancelled() => return Err(depth),
            _ => below(one)?,
        }
    }
    Ok(())
}

fn group(world: &World, random: &mut Random, depth: u32) -> Result<(), u32> {
    let result = thread::group(|group| {
        if random.below(3) == 0 {
            group.limit(1 + random.below(3) as usize);
        }
        let count = random.below(4);
        let spawn = |_| {
            let random = random.split();
            group.spawn(move || grow(world, random, depth - 1))
        };
        let members: Vec<_> = (0..count).map(spawn).collect();
        let own = grow(world, random.split(), depth - 1);
        if random.below(2) == 0 {
            members.into_iter().for_each(|member| member.join());
        }
        own
    });
    // Half of the errors end here.
    if random.below(2) == 0 { Ok(()) } else { result }
}

fn race(world: &World, random: &mut Random, depth: u32) -> u64 {
    thread::race(|race| {
        for number in 0..=random.below(3) {
            let random = random.split();
            race.spawn(move || {
                let _ = grow(world, random, depth - 1);
                number
            });
        }
        if random.below(2) == 0 {
            let _ = grow(world, random.split(), depth - 1);
        }
    })
}

fn plant(seed: u64) -> usize {
    let world = World::new();
    let mut random = Random::new(seed);
    thread::scope(|scope| {
        let world = &world;
        let trees = [(); 3].map(|()| {
            let random = random.split();
            scope.spawn(move || survive(|| grow(world, random, 4)))
        });
        for tree in &trees {
            if random.below(2) == 0 {
                thread::sleep(moment(&mut random));
                tree.cancel_with("the gardener").unwrap();
            }
        }
        for tree in trees {
            if let Err(payload) = tree.join() {
                // Panics of the test's own kind were survived.
                assert!(payload.is::<Cancelled>(), "a tree has panicked");
            }
        }
    });
    assert!(!thread::cancelled());
    thread::yield_now();
    world.expect_empty()
}

#[test]
fn trees_that_are_ended_from_all_sides_leave_nobody_and_nothing_behind() {
    everywhere(|_| {
        let mut entered = 0;
        for seed in 0..TREES {
            match catch_unwind(|| plant(seed)) {
                Ok(count) => entered += count,
                Err(payload) => panic!("the trees of seed {seed} fail: {}", text_of(&*payload)),
            }
        }
        assert!(entered > 100, "they are hardly trees: {entered}");
    });
}

#[test]
fn shutdown_in_the_midst_of_trees_leaves_nobody_and_nothing_behind() {
    with_every_runtime(|shape, first| {
        let mut first = Some(first);
        for seed in 0..TREES {
            let world = Arc::new(World::new());
            let mut random = Random::new(seed);
            let another = || shape.builder().shutdown_timeout(Duration::from_secs(20)).build();
            let runtime = first.take().unwrap_or_else(|| another().unwrap());
            runtime.run(|| {
                for _ in 0..6 {
                    let (world, random) = (world.clone(), random.split());
                    thread::spawn(move || survive(|| grow(&world, random, 4)));
                }
                // They are at any stage.
                thread::sleep(moment(&mut random) * 4);
            });
            drop(runtime);
            world.expect_empty();
        }
    });
}

/// For each shape of runtime.
const TREES: u64 = 10;
