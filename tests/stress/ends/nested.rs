//! Acts of the storm of ends that hold others: scopes, arms, groups, races and shields.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, Cancelled};
use sylvan::time;
use sylvan_workspace::Random;

use super::{Expected, FOR_EVER, Inside, WHY, WaitsOnDrop, World};

impl World {
    pub(super) fn scope(&self, random: &mut Random, depth: u32) {
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

    pub(super) fn join(&self, random: &mut Random, depth: u32) {
        let (mut one, mut other) = (random.split(), random.split());
        let deadline = time::current_deadline();
        let arm = |random: &mut Random| {
            assert_eq!(time::current_deadline(), deadline, "it is inherited");
            self.act(random, depth);
        };
        sylvan::join(|| arm(&mut one), || arm(&mut other));
    }

    /// The number of the thread that fails first, if one is to fail.
    pub(super) fn group(&self, random: &mut Random, depth: u32) {
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

    pub(super) fn race(&self, random: &mut Random, depth: u32) {
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
    pub(super) fn shield(&self, random: &mut Random, depth: u32) {
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
    pub(super) fn go_on(&self, random: &mut Random, depth: u32) {
        let first = catch_unwind(AssertUnwindSafe(|| self.act(random, depth)));
        if let Err(payload) = first {
            assert!(payload.is::<Cancelled>());
            drop(payload);
            let again = catch_unwind(|| thread::sleep(FOR_EVER));
            resume_unwind(again.expect_err("the reason is there still"));
        }
    }
}
