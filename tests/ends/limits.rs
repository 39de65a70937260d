//! Groups with a limit: never more threads run than it says, nobody waits for himself, and whoever
//! waits for his turn can be cut off there.
#![forbid(unsafe_code)]
#![allow(clippy::unit_arg, reason = "a thread that only does something ends by `Ok(f())`")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, CancelKind, Group};
use sylvan::time;
use sylvan_workspace::{Counts, everywhere, in_every_runtime, outside, settle, text_of, until};

use crate::staging::{HOUR, Unreached, fail};

/// How many run, and how many have at most.
#[derive(Default)]
struct Running {
    now: AtomicUsize,
    most: AtomicUsize,
    ended: AtomicUsize,
}

impl Running {
    /// Counts itself in, lets others run, and counts itself out.
    fn pass(&self) {
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        thread::yield_now();
        self.now.fetch_sub(1, SeqCst);
        self.ended.fetch_add(1, SeqCst);
    }

    #[track_caller]
    fn expect(&self, ended: usize, limit: usize) {
        assert_eq!(self.ended.load(SeqCst), ended);
        let most = self.most.load(SeqCst);
        assert!((1..=limit).contains(&most), "{most} have run at once, {limit} may");
    }
}

#[test]
fn no_more_members_run_than_the_limit_says() {
    everywhere(|_| {
        for limit in [1, 2, 5] {
            let running = Running::default();
            let sum = thread::group(|group| {
                group.limit(limit);
                let spawn = |number| {
                    let running = &running;
                    group.spawn(move || {
                        running.pass();
                        Ok::<u64, ()>(number)
                    })
                };
                let handles: Vec<_> = (1..=40).map(spawn).collect();
                Ok(handles.into_iter().map(|handle| handle.join()).sum::<u64>())
            });
            assert_eq!(sum, Ok(820));
            running.expect(40, limit);
        }
    });
}

/// Spawns a chain of members, each by the one before, with another one beside each.
fn spawn_chain<'scope>(group: &'scope Group<'scope, '_, ()>, left: usize, all: &'scope Running) {
    group.spawn(move || {
        all.pass();
        if left > 0 {
            group.spawn(|| Ok(all.pass()));
            spawn_chain(group, left - 1, all);
        }
        Ok(())
    });
}

#[test]
fn members_that_spawn_members_count_too_and_do_not_wait_for_themselves() {
    everywhere(|_| {
        for limit in [1, 3] {
            let running = Running::default();
            let result = thread::group(|group| {
                group.limit(limit);
                for _ in 0..4 {
                    spawn_chain(group, 50, &running);
                }
                Ok(())
            });
            assert_eq!(result, Ok(()));
            running.expect(4 * (50 + 51), limit);
        }
    });
}

#[test]
fn members_that_kernel_threads_spawn_count_too() {
    in_every_runtime(|_| {
        let running = Running::default();
        // What they spawn are threads of the default runtime.
        let _registered = outside();
        let result = thread::group(|group| {
            group.limit(2);
            std::thread::scope(|kernel| {
                let spawners: Vec<_> = (0..3)
                    .map(|_| {
                        let running = &running;
                        kernel.spawn(move || {
                            for _ in 0..10 {
                                group.spawn(|| Ok::<_, ()>(running.pass()));
                            }
                        })
                    })
                    .collect();
                for _ in 0..10 {
                    group.spawn(|| Ok(running.pass()));
                }
                until(|| spawners.iter().all(|spawner| spawner.is_finished()));
            });
            Ok(())
        });
        assert_eq!(result, Ok(()));
        running.expect(40, 2);
    });
}

#[test]
fn ten_thousand_members_pass_through_a_limit_of_eight() {
    everywhere(|_| {
        let running = Running::default();
        let result = thread::group(|group| {
            group.limit(8);
            for _ in 0..10_000 {
                group.spawn(|| Ok::<_, ()>(running.pass()));
            }
            Ok(())
        });
        assert_eq!(result, Ok(()));
        running.expect(10_000, 8);
    });
}

#[test]
fn members_spawned_before_the_limit_was_set_do_not_count() {
    everywhere(|_| {
        let running = Running::default();
        let result = thread::group(|group| {
            for _ in 0..3 {
                group.spawn(|| Ok::<_, ()>(until(|| running.ended.load(SeqCst) == 5)));
            }
            group.limit(1);
            for _ in 0..5 {
                group.spawn(|| Ok(running.pass()));
            }
            Ok(())
        });
        assert_eq!(result, Ok(()));
        running.expect(5, 1);
    });
}

#[test]
fn limit_of_no_threads_panics_and_says_what_is_accepted() {
    everywhere(|_| {
        let run = || thread::group(|group| Ok::<(), ()>(group.limit(0)));
        let payload = catch_unwind(run).unwrap_err();
        let text = "a limit of 0 threads lets no thread run: 1 or more are accepted";
        assert_eq!(text_of(&*payload), text);
    });
}

#[test]
fn second_limit_of_a_group_panics_and_the_first_one_stays() {
    everywhere(|_| {
        let running = Running::default();
        let result = thread::group(|group| {
            group.limit(2);
            let payload = catch_unwind(AssertUnwindSafe(|| group.limit(50))).unwrap_err();
            let text = "the limit of a group can be set once: it was set before";
            assert_eq!(text_of(&*payload), text);
            for _ in 0..20 {
                group.spawn(|| Ok::<_, ()>(running.pass()));
            }
            Ok(())
        });
        assert_eq!(result, Ok(()));
        running.expect(20, 2);
    });
}

#[test]
fn largest_limit_is_none() {
    everywhere(|_| {
        let here = AtomicUsize::new(0);
        let result = thread::group(|group| {
            group.limit(usize::MAX);
            for _ in 0..20 {
                group.spawn(|| {
                    here.fetch_add(1, SeqCst);
                    Ok::<_, ()>(until(|| here.load(SeqCst) == 20))
                });
            }
            Ok(())
        });
        assert_eq!(result, Ok(()));
    });
}

#[test]
fn body_is_cut_off_where_it_waits_to_spawn() {
    everywhere(|_| {
        let (ran, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let unreached = Unreached::default();
        let result = thread::group(|group| {
            group.limit(1);
            group.spawn(|| {
                settle();
                Err::<(), _>(7)
            });
            let counts = Counts(&gone);
            group.spawn(|| {
                let _counts = counts;
                Ok(_ = ran.fetch_add(1, SeqCst))
            });
            unreached.reach();
            Ok(())
        });
        assert_eq!(result, Err(7));
        unreached.expect();
        assert_eq!((ran.load(SeqCst), gone.load(SeqCst)), (0, 1));
    });
}

#[test]
fn deadline_cuts_the_body_off_where_it_waits_to_spawn() {
    everywhere(|_| {
        let (ran, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let result = time::timeout(Duration::from_millis(5), || {
            thread::group::<_, (), ()>(|group| {
                group.limit(1);
                let first = Counts(&gone);
                group.spawn(move || {
                    let _first = first;
                    Ok(thread::sleep(HOUR))
                });
                group.spawn(|| Ok(_ = ran.fetch_add(1, SeqCst)));
                // The first one may be cut off at the same instant, and make room before.
                thread::yield_now();
                unreachable!("the deadline has passed");
            })
        });
        assert_eq!(result.unwrap_err().reason().kind(), CancelKind::Deadline);
        assert_eq!((ran.load(SeqCst), gone.load(SeqCst)), (0, 1));
    });
}

#[test]
fn members_that_wait_for_their_turn_are_cut_off_and_never_run() {
    everywhere(|_| {
        for panics in [false, true] {
            let (ran, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let run = || {
                thread::group(|group| {
                    group.limit(1);
                    group.spawn(|| {
                        for _ in 0..5 {
                            let counts = Counts(&gone);
                            group.spawn(|| {
                                let _counts = counts;
                                Ok(_ = ran.fetch_add(1, SeqCst))
                            });
                        }
                        settle();
                        if panics { fail("expected") } else { Err::<(), _>(7) }
                    });
                    Ok(())
                })
            };
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(result) => assert!(result == Err(7) && !panics),
                Err(payload) => assert!(text_of(&*payload) == "expected" && panics),
            }
            assert_eq!(gone.load(SeqCst), 5);
            // The end of the first one makes room, but it is told after the group has failed.
            assert_eq!(ran.load(SeqCst), 0);
        }
    });
}
