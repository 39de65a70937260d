//! Shows what a panic, an overflow and a fault do: who is told, in which words, and what goes on.
//!
//! Panics that nobody may see, payloads and destructors that misbehave are tried here, under every
//! shape of runtime. What kills the process, or changes the panic hook that all tests share, is
//! tried in child processes.

mod support;

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use support::{GREEN, MAPPINGS, child, panic_of, shape, shapes, text_of, until};
use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::OnDrop;

/// Whatever went wrong before, threads still run, wait and are joined.
#[track_caller]
fn goes_on(runtime: &Runtime) {
    let sum: usize = runtime.run(|| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                thread::spawn(move || {
                    thread::sleep(Duration::from_micros(100));
                    assert!(!thread::panicking());
                    number
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sum, 28, "{runtime:?}");
}

#[test]
fn a_panic_in_a_thread_that_nobody_joins_harms_nobody() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        let unwound = Arc::new(AtomicUsize::new(0));
        runtime.run(|| {
            for _ in 0..5 {
                let unwound = unwound.clone();
                drop(thread::spawn(move || {
                    let _counts = OnDrop(|| _ = unwound.fetch_add(1, Ordering::SeqCst));
                    panic!("unseen");
                }));
            }
            until("the panics", || unwound.load(Ordering::SeqCst) == 5);
        });
        goes_on(&runtime);
    }
}

#[test]
fn a_panic_reaches_the_joiner_with_its_payload() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        let payload = runtime.run(|| thread::spawn(|| panic_any(42_u64)).join().unwrap_err());
        assert_eq!(payload.downcast_ref::<u64>(), Some(&42));
        let outside = runtime.handle().spawn(|| panic!("told {}", "outside")).join();
        assert_eq!(text_of(&*outside.unwrap_err()), "told outside");
        let through_run = panic_of(|| runtime.run(|| panic!("through run")));
        assert_eq!(through_run, "through run");
        goes_on(&runtime);
    }
}

#[test]
fn a_panic_inside_a_scope_ends_it_after_all_of_its_threads() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            let ended = AtomicUsize::new(0);
            let waits = || {
                thread::sleep(Duration::from_millis(2));
                ended.fetch_add(1, Ordering::SeqCst);
            };
            let unseen = panic_of(|| {
                thread::scope(|scope| {
                    scope.spawn(waits);
                    scope.spawn(|| panic!("unseen"));
                    scope.spawn(waits);
                });
            });
            assert_eq!(unseen, "a scoped thread panicked");
            assert_eq!(ended.load(Ordering::SeqCst), 2);
            let own = panic_of(|| {
                thread::scope(|scope| {
                    scope.spawn(waits);
                    panic!("the scope's own");
                });
            });
            assert_eq!(own, "the scope's own");
            assert_eq!(ended.load(Ordering::SeqCst), 3);
            thread::scope(|scope| {
                let joined = scope.spawn(|| panic!("seen")).join();
                assert_eq!(text_of(&*joined.unwrap_err()), "seen");
            });
        });
        goes_on(&runtime);
    }
}

#[test]
fn a_panic_in_an_arm_of_join_goes_on_in_the_caller_after_both_have_ended() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            for waits in [false, true] {
                // A wait in the first arm lets another worker take the second.
                let wait = move || {
                    if waits {
                        thread::sleep(Duration::from_millis(2));
                    }
                };
                let fails = |text: &'static str| {
                    wait();
                    panic!("{text}")
                };
                assert_eq!(panic_of(|| sylvan::join(|| fails("first"), wait)), "first");
                assert_eq!(panic_of(|| sylvan::join(wait, || fails("second"))), "second");
                let both = || sylvan::join(|| fails("first"), || fails("second"));
                assert_eq!(panic_of(both), "first");
            }
        });
        goes_on(&runtime);
    }
}

/// A payload that panics when it is dropped, with another of its kind for `left` times.
struct Bomb {
    left: usize,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.left > 0 {
            panic_any(Bomb { left: self.left - 1 });
        }
        panic!("the payload's drop");
    }
}

#[test]
fn a_payload_whose_drop_panics_harms_nobody() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            let joined = thread::spawn(|| panic_any(Bomb { left: 0 })).join().unwrap_err();
            assert!(joined.is::<Bomb>());
            assert_eq!(panic_of(move || drop(joined)), "the payload's drop");
            for left in [0, 1, 20] {
                drop(thread::spawn(move || panic_any(Bomb { left })));
                let kept = thread::spawn(move || panic_any(Bomb { left }));
                until("its end", || kept.is_finished());
                drop(kept);
            }
            let scoped =
                || thread::scope(|scope| drop(scope.spawn(|| panic_any(Bomb { left: 1 }))));
            assert_eq!(panic_of(scoped), "a scoped thread panicked");
        });
        goes_on(&runtime);
    }
}

/// A result, not a panic's payload: dropped by nobody's wish.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("the result's drop");
    }
}

#[test]
fn a_result_or_closure_whose_drop_panics_harms_nobody() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            drop(thread::spawn(|| Grenade));
            let kept = thread::spawn(|| Grenade);
            until("its end", || kept.is_finished());
            drop(kept);
            let held = Grenade;
            let captured = thread::spawn(move || drop(held)).join().unwrap_err();
            assert_eq!(text_of(&*captured), "the result's drop");
            let held = Grenade;
            let cancelled = thread::spawn(move || _ = &held);
            cancelled.cancel().unwrap();
            drop(cancelled.join());
        });
        goes_on(&runtime);
    }
}

#[test]
fn a_destructor_may_wait_spawn_and_join_while_a_panic_unwinds() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        let done = AtomicUsize::new(0);
        let text = runtime.run(|| {
            // Neighbours must not look as if they panicked while others wait in an unwinding.
            let neighbour = thread::spawn(|| {
                for _ in 0..20 {
                    assert!(!thread::panicking() && !std::thread::panicking());
                    thread::sleep(Duration::from_micros(300));
                }
            });
            let text = panic_of(|| {
                let _cleans_up = OnDrop(|| {
                    assert!(thread::panicking());
                    thread::sleep(Duration::from_millis(2));
                    thread::yield_now();
                    let spawned = thread::spawn(|| thread::spawn(|| 3).join().unwrap());
                    assert_eq!(spawned.join().unwrap(), 3);
                    thread::scope(|scope| _ = scope.spawn(|| done.fetch_add(1, Ordering::SeqCst)));
                    let arms = sylvan::join(|| 1, || 2);
                    assert_eq!(arms, (1, 2));
                    assert!(thread::panicking());
                    done.fetch_add(1, Ordering::SeqCst);
                });
                panic!("the first");
            });
            neighbour.join().unwrap();
            assert!(!thread::panicking());
            text
        });
        assert_eq!(text, "the first");
        assert_eq!(done.load(Ordering::SeqCst), 2);
        goes_on(&runtime);
    }
}

#[test]
fn a_thread_that_catches_its_cancellation_may_go_on_and_is_unwound_again() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        let caught = Arc::new(AtomicUsize::new(0));
        let count = caught.clone();
        let ended = runtime.run(move || {
            let started = Arc::new(AtomicBool::new(false));
            let starts = started.clone();
            let stubborn = thread::spawn(move || {
                starts.store(true, Ordering::SeqCst);
                for _ in 0..3 {
                    let end = catch_unwind(thread::park).unwrap_err();
                    assert!(end.is::<thread::Cancelled>());
                    count.fetch_add(1, Ordering::SeqCst);
                }
                7
            });
            // Cancelled before that, it would never run.
            until("its start", || started.load(Ordering::SeqCst));
            stubborn.cancel().unwrap();
            stubborn.join().unwrap()
        });
        assert_eq!((ended, caught.load(Ordering::SeqCst)), (7, 3));
        goes_on(&runtime);
    }
}

/// Needs more stack than there is, and is not optimised into a loop.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    let frame = black_box([depth; 64]);
    recurse(frame[63] + 1) + frame[0]
}

fn overflow_on(runtime: &Runtime, place: &str) {
    let name = |text: &str| thread::Builder::new().name(text.to_owned());
    runtime.run(|| match place {
        "thread" => drop(name("deep").spawn(|| recurse(0)).unwrap().join()),
        "large" => drop(name("deep").stack_size(3 << 20).spawn(|| recurse(0)).unwrap().join()),
        "in_place" => thread::scope(|scope| drop(name("deep").spawn_scoped(scope, || recurse(0)))),
        "with_stack" => {
            let on_more = || thread::with_stack(5 << 20, || recurse(0)).unwrap();
            drop(name("deep").spawn(on_more).unwrap().join());
        }
        "join" => {
            let arms = || {
                fn nest(depth: u32) -> u64 {
                    if depth == 0 { recurse(0) } else { sylvan::join(|| nest(depth - 1), || 1).0 }
                }
                // Deep enough that the arms have gone on to another stack.
                nest(20_000)
            };
            drop(name("deep").spawn(arms).unwrap().join());
        }
        "kernel" => std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("plain".to_owned())
                .spawn_scoped(scope, || recurse(0))
                .unwrap();
        }),
        "null" => {
            // SAFETY: none; it is the fault under test.
            let seen = unsafe { black_box(std::ptr::null::<u8>()).read_volatile() };
            println!("read {seen}");
        }
        other => panic!("no such place: {other}"),
    });
}

#[test]
fn recursion_without_end_is_reported_with_the_thread_and_how_to_give_it_more() {
    const NAME: &str = "recursion_without_end_is_reported_with_the_thread_and_how_to_give_it_more";
    if let Some(case) = support::case() {
        let (mapping, place) = case.split_once(' ').unwrap();
        overflow_on(&shape(mapping.parse().unwrap()).workers(2).build().unwrap(), place);
        return;
    }
    for mapping in GREEN {
        for guards in ["install", "mprotect"] {
            for place in ["thread", "large", "in_place", "with_stack", "join"] {
                let child = child(NAME, &format!("{mapping} {place}"));
                let ended = child.env("SYLVAN_TEST_GUARDS", guards).run().aborted();
                ended.says(&[
                    "thread 'deep' (green thread ",
                    "spawned at tests/death.rs:",
                    "has overflowed its stack of ",
                    "thread::Builder::stack_size",
                    "SYLVAN_STACK_SIZE",
                    "fatal runtime error: stack overflow",
                ]);
            }
        }
    }
}

#[test]
fn the_report_of_an_overflow_names_the_size_of_the_stack_that_was_too_small() {
    const NAME: &str = "the_report_of_an_overflow_names_the_size_of_the_stack_that_was_too_small";
    if support::case().is_some() {
        let runtime = shape(Mapping::ManyToMany).workers(1).stack_size(100 << 10).build().unwrap();
        println!("usable: {} bytes", runtime.config().stack_size);
        overflow_on(&runtime, "thread");
        return;
    }
    let ended = child(NAME, "size").run().aborted();
    let usable = ended.stdout.split("usable: ").nth(1).and_then(|rest| rest.lines().next());
    let named = format!("has overflowed its stack of {};", usable.unwrap());
    ended.says(&[&named]);
}

#[test]
fn faults_that_are_not_ours_keep_their_own_deaths() {
    const NAME: &str = "faults_that_are_not_ours_keep_their_own_deaths";
    if let Some(case) = support::case() {
        let (mapping, place) = case.split_once(' ').unwrap();
        overflow_on(&shape(mapping.parse().unwrap()).workers(2).build().unwrap(), place);
        return;
    }
    for mapping in MAPPINGS {
        // std's report, for its thread and under its name.
        let ended = child(NAME, &format!("{mapping} kernel")).run().aborted();
        ended
            .says(&["thread 'plain'", "has overflowed its stack", "stack overflow"])
            .does_not_say("SYLVAN_STACK_SIZE");
        let ended = child(NAME, &format!("{mapping} null")).run().died_by(11);
        ended.does_not_say("overflowed");
    }
    // Under 1:1 a thread is a kernel thread, and std's guard and report are its own.
    child(NAME, "1:1 thread").run().aborted().says(&["thread 'deep'", "has overflowed its stack"]);
}

#[test]
fn a_panic_in_a_green_thread_is_announced_with_its_name_and_spawn_site() {
    const NAME: &str = "a_panic_in_a_green_thread_is_announced_with_its_name_and_spawn_site";
    if let Some(case) = support::case() {
        let wanted = case != "unwanted";
        if case == "before" {
            std::panic::set_hook(Box::new(|info| eprintln!("my hook: {info}")));
        }
        for mapping in GREEN {
            let runtime = shape(mapping).workers(1).panic_hook(wanted).build().unwrap();
            if case == "after" {
                std::panic::set_hook(Box::new(|info| eprintln!("my hook: {info}")));
            }
            let thread = thread::Builder::new().name("reader".to_owned());
            runtime.run(|| drop(thread.spawn(|| panic!("over")).unwrap().join()));
        }
        return;
    }
    let line = "green thread 'reader' (number ";
    let site = "spawned at tests/death.rs:";
    let ended = child(NAME, "default").run().passed().says(&[line, site, ") panicked", "over"]);
    assert_eq!(ended.stderr.matches(line).count(), 2, "once per panic: {ended}");
    // A hook that was there is called after the line; one that is set later has its place.
    child(NAME, "before").run().passed().says(&[line, site, "my hook: panicked at", "over"]);
    child(NAME, "after").run().passed().says(&["my hook: panicked at"]).does_not_say(line);
    child(NAME, "unwanted").run().passed().says(&["over"]).does_not_say(line);
}

#[test]
fn a_panic_hook_may_wait_and_use_threads() {
    const NAME: &str = "a_panic_hook_may_wait_and_use_threads";
    if let Some(mapping) = support::case() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let in_hook = seen.clone();
        std::panic::set_hook(Box::new(move |_| {
            thread::sleep(Duration::from_millis(2));
            thread::yield_now();
            let joined = thread::spawn(|| 5).join().unwrap();
            in_hook.lock().unwrap().push(joined);
        }));
        let runtime = shape(mapping.parse().unwrap()).workers(2).build().unwrap();
        runtime.run(|| {
            let threads: Vec<_> = (0..3).map(|_| thread::spawn(|| panic!("over"))).collect();
            assert!(threads.into_iter().all(|thread| thread.join().is_err()));
        });
        goes_on(&runtime);
        assert_eq!(*seen.lock().unwrap(), [5, 5, 5]);
        return;
    }
    for mapping in MAPPINGS {
        child(NAME, &mapping.to_string()).run().passed();
    }
}

#[test]
fn a_panic_hook_that_panics_aborts_as_in_std() {
    const NAME: &str = "a_panic_hook_that_panics_aborts_as_in_std";
    if support::case().is_some() {
        std::panic::set_hook(Box::new(|_| panic!("in the hook")));
        let runtime = shape(Mapping::ManyToMany).workers(1).build().unwrap();
        let _ = runtime.run(|| thread::spawn(|| panic!("over")).join());
        return;
    }
    child(NAME, "hook").run().aborted();
}

#[test]
fn a_panic_in_a_destructor_that_runs_in_an_unwinding_aborts_as_in_std() {
    const NAME: &str = "a_panic_in_a_destructor_that_runs_in_an_unwinding_aborts_as_in_std";
    if let Some(mapping) = support::case() {
        let runtime = shape(mapping.parse().unwrap()).workers(1).build().unwrap();
        let _ = runtime.run(|| {
            let twice = || {
                let _panics = OnDrop(|| {
                    thread::sleep(Duration::from_millis(1));
                    panic!("the second");
                });
                panic!("the first");
            };
            thread::spawn(twice).join()
        });
        return;
    }
    for mapping in MAPPINGS {
        let ended = child(NAME, &mapping.to_string()).run().aborted();
        ended.says(&["the first", "the second"]);
    }
}

#[test]
fn a_panic_after_many_caught_ones_still_unwinds() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            for round in 0..50 {
                let fails = AssertUnwindSafe(|| panic_any(round));
                assert_eq!(*catch_unwind(fails).unwrap_err().downcast::<i32>().unwrap(), round);
                thread::yield_now();
            }
        });
        goes_on(&runtime);
    }
}
