//! Runtimes: several in a process, run and left and made again; whose threads are whose.
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sylvan::__private::doors::{live_stacks, live_threads};
use sylvan::thread::{self, Cancelled};
use sylvan::{Handle, Mapping, Runtime};
use sylvan_workspace::{
    Shape, in_child, in_every_runtime, on_foreign_thread, outside, process, text_of, until,
    with_every_runtime,
};

const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn run_lends_and_gives_the_value() {
    with_every_runtime(|_, runtime| {
        let mut numbers = vec![1, 2, 3];
        let sum = runtime.run(|| {
            numbers.push(4);
            numbers.iter().sum::<i32>()
        });
        assert_eq!((sum, numbers.len()), (10, 4));
    });
}

#[test]
fn run_passes_a_panic_on_and_can_be_called_again() {
    with_every_runtime(|_, runtime| {
        let result = catch_unwind(AssertUnwindSafe(|| {
            runtime.run(|| {
                thread::yield_now();
                panic!("expected in a test");
            })
        }));
        assert_eq!(text_of(&*result.unwrap_err()), "expected in a test");
        assert_eq!(runtime.run(|| 2), 2);
    });
}

#[test]
fn run_from_a_thread_of_the_same_runtime_is_a_scoped_spawn() {
    with_every_runtime(|_, runtime| {
        let text = String::from("lent");
        let seen = runtime.run(|| {
            let outer = thread::current().id();
            runtime.run(|| {
                thread::yield_now();
                assert_ne!(thread::current().id(), outer);
                text.len()
            })
        });
        assert_eq!(seen, 4);
    });
}

#[test]
fn thread_left_by_one_run_goes_on_in_the_next() {
    with_every_runtime(|_, runtime| {
        let handle = runtime.run(|| {
            thread::spawn(|| {
                thread::park();
                8
            })
        });
        let value = runtime.run(move || {
            handle.thread().unpark();
            handle.join().unwrap()
        });
        assert_eq!(value, 8);
    });
}

#[test]
fn thread_spawned_from_outside_is_joined_from_outside() {
    with_every_runtime(|_, runtime| {
        let handle = runtime.handle();
        let threads: Vec<_> = (0..50)
            .map(|n| {
                handle.spawn(move || {
                    thread::yield_now();
                    n
                })
            })
            .collect();
        for (n, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), n);
        }
    });
}

#[test]
fn thread_spawned_by_another_kernel_thread_runs_during_run() {
    with_every_runtime(|_, runtime| {
        let handle = runtime.handle();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..20 {
                    assert_eq!(handle.spawn(move || n).join().unwrap(), n);
                }
                done.store(true, SeqCst);
            });
            runtime.run(|| until(|| done.load(SeqCst)));
        });
    });
}

#[test]
fn handle_current_is_the_runtime_of_the_thread() {
    in_every_runtime(|shape| {
        let handle = Handle::current();
        assert_eq!(handle.config().mapping, shape_mapping(shape));
        let name = handle.config().name.clone();
        let seen = handle.spawn(move || Handle::current().config().name == name);
        assert!(seen.join().unwrap());
    });
}

fn shape_mapping(shape: Shape) -> Mapping {
    match shape {
        Shape::OneToOne => Mapping::OneToOne,
        Shape::ManyToOne | Shape::Seeded(_) => Mapping::ManyToOne,
        _ => Mapping::ManyToMany,
    }
}

#[test]
fn threads_of_two_runtimes_spawn_join_and_wake_across() {
    in_every_runtime(|_| {
        for other in [Shape::OneToOne, Shape::ManyToMany(2)] {
            let other = other.build();
            let far = other.handle();
            let (me, registered) = (thread::current(), outside());
            let woken = far.spawn(move || {
                me.unpark();
                drop(registered);
                thread::park();
                5
            });
            thread::park();
            woken.thread().unpark();
            assert_eq!(woken.join().unwrap(), 5);
            let near = Handle::current();
            let back = far.spawn(move || near.spawn(|| 6).join().unwrap());
            assert_eq!(back.join().unwrap(), 6);
            assert_eq!(other.run(|| thread::spawn(|| 7).join().unwrap()), 7);
            let cancelled = far.spawn(|| thread::sleep(FOR_EVER));
            cancelled.cancel().unwrap();
            assert!(cancelled.join().unwrap_err().is::<Cancelled>());
            drop(other);
        }
    });
}

#[test]
fn run_on_another_runtime_passes_a_cancellation_on() {
    in_every_runtime(|_| {
        for other in [Shape::OneToOne, Shape::ManyToMany(2)] {
            let started = Arc::new(AtomicBool::new(false));
            let inner = started.clone();
            let handle = thread::spawn(move || {
                let other = other.build();
                other.run(|| {
                    inner.store(true, SeqCst);
                    thread::sleep(FOR_EVER);
                });
            });
            until(|| started.load(SeqCst));
            handle.cancel().unwrap();
            assert!(handle.join().unwrap_err().is::<Cancelled>());
        }
    });
}

#[test]
fn n_to_1_runtime_is_run_by_its_first_kernel_thread_only() {
    let runtime = Shape::ManyToOne.build();
    runtime.run(|| ());
    let refused = on_foreign_thread(|| catch_unwind(AssertUnwindSafe(|| runtime.run(|| ()))));
    let text = text_of(&*refused.unwrap_err()).to_owned();
    assert!(text.contains("belongs to the first kernel thread"), "{text}");
    assert_eq!(runtime.run(|| 1), 1);
}

#[test]
fn n_to_1_runtime_is_not_run_inside_a_thread_of_another() {
    in_every_runtime(|shape| {
        if !shape.is_green() {
            return;
        }
        let inner = Shape::ManyToOne.build();
        let refused = catch_unwind(AssertUnwindSafe(|| inner.run(|| ())));
        let text = text_of(&*refused.unwrap_err()).to_owned();
        assert!(text.contains("inside a thread of another runtime"), "{text}");
    });
}

#[test]
fn n_to_1_threads_run_only_while_their_owner_runs_them() {
    let runtime = Shape::ManyToOne.build();
    let ran = Arc::new(AtomicBool::new(false));
    let inner = ran.clone();
    let handle = runtime.handle();
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let spawned = handle.spawn(move || inner.store(true, SeqCst));
        sender.send(()).unwrap();
        spawned.join().unwrap();
    });
    receiver.recv().unwrap();
    assert!(!ran.load(SeqCst), "nobody runs the runtime yet");
    runtime.run(|| until(|| ran.load(SeqCst)));
    waiter.join().unwrap();
}

#[test]
fn n_to_1_join_by_the_owner_outside_run_counts_as_run() {
    let runtime = Shape::ManyToOne.build();
    let handle = runtime.handle();
    let first = handle.spawn(|| {
        thread::sleep(Duration::from_millis(1));
        thread::spawn(|| 3).join().unwrap()
    });
    assert_eq!(first.join().unwrap(), 3);
    // It owns the runtime from then on.
    let refused = on_foreign_thread(|| catch_unwind(AssertUnwindSafe(|| runtime.run(|| ()))));
    assert!(refused.is_err());
}

#[test]
fn drop_cancels_and_waits_for_all_threads() {
    with_every_runtime(|_, runtime| {
        let counted = Arc::new(());
        let started = Arc::new(AtomicUsize::new(0));
        let handles = runtime.run(|| {
            let handles: Vec<_> = (0..30)
                .map(|n| {
                    let (held, started) = (counted.clone(), started.clone());
                    thread::spawn(move || {
                        started.fetch_add(1, SeqCst);
                        let _held = held;
                        match n % 3 {
                            0 => thread::park(),
                            1 => thread::sleep(FOR_EVER),
                            _ => until(|| false),
                        }
                    })
                })
                .collect();
            until(|| started.load(SeqCst) == 30);
            handles
        });
        let unstarted = counted.clone();
        let late = runtime.handle().spawn(move || {
            let _held = unstarted;
            thread::park();
        });
        drop(runtime);
        assert_eq!(Arc::strong_count(&counted), 1, "captures of ended threads are left");
        for handle in handles.into_iter().chain([late]) {
            assert!(handle.is_finished());
            assert!(handle.join().unwrap_err().is::<Cancelled>());
        }
    });
}

#[test]
fn spawn_after_shutdown_is_refused_and_the_closure_dropped() {
    with_every_runtime(|_, runtime| {
        let handle = runtime.handle();
        let counted = Arc::new(());
        runtime.run(|| ());
        drop(runtime);
        let held = counted.clone();
        let error = handle.try_spawn(move || drop(held)).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert!(error.to_string().contains("has shut down"), "{error}");
        assert_eq!(Arc::strong_count(&counted), 1);
        let refused = catch_unwind(AssertUnwindSafe(|| handle.spawn(|| ())));
        assert!(text_of(&*refused.err().unwrap()).contains("has shut down"));
    });
}

#[test]
fn unpark_after_the_end_of_the_runtime_is_dropped() {
    with_every_runtime(|_, runtime| {
        let parked = runtime.run(|| thread::spawn(thread::park).thread().clone());
        drop(runtime);
        parked.unpark();
        assert_eq!(parked.name(), None);
    });
}

#[test]
fn drop_in_an_own_thread_starts_the_shutdown() {
    with_every_runtime(|_, runtime| {
        let handle = runtime.handle();
        let (parked_is_there, counted) = (Arc::new(AtomicBool::new(false)), Arc::new(()));
        let (inner, held) = (parked_is_there.clone(), counted.clone());
        let parked = handle.spawn(move || {
            let _held = held;
            inner.store(true, SeqCst);
            thread::park();
        });
        let dropper = handle.spawn(move || {
            until(|| parked_is_there.load(SeqCst));
            drop(runtime);
        });
        // Its own end comes by the shutdown that it has started, or before it.
        let _ = dropper.join();
        assert!(parked.join().unwrap_err().is::<Cancelled>());
        assert_eq!(Arc::strong_count(&counted), 1);
        while live_threads(&handle) != 0 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn hooks_are_called_once_per_worker() {
    for shape in [Shape::ManyToOne, Shape::ManyToMany(2), Shape::ManyToMany(8)] {
        let (starts, stops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (started, stopped) = (starts.clone(), stops.clone());
        let runtime = shape
            .builder()
            .on_worker_start(move || _ = started.fetch_add(1, SeqCst))
            .on_worker_stop(move || _ = stopped.fetch_add(1, SeqCst))
            .build()
            .unwrap();
        runtime.run(|| thread::spawn(|| ()).join().unwrap());
        let workers = runtime.config().workers;
        // A worker that was never needed may still be on its way to its first turn.
        until(|| starts.load(SeqCst) == workers);
        drop(runtime);
        assert_eq!((starts.load(SeqCst), stops.load(SeqCst)), (workers, workers), "{shape}");
    }
}

#[test]
fn default_runtime_serves_kernel_threads_of_no_runtime() {
    on_foreign_thread(|| {
        let handle = Handle::current();
        assert_eq!(handle.spawn(|| 4).join().unwrap(), 4);
        let second = on_foreign_thread(|| thread::spawn(|| Handle::current().config().clone()));
        assert_eq!(second.join().unwrap(), *handle.config());
    });
}

#[test]
fn n_to_1_has_one_kernel_thread() {
    in_child("runtime::n_to_1_has_one_kernel_thread", &[], || {
        let before = process::kernel_threads();
        let runtime = Shape::ManyToOne.build();
        let inside = runtime.run(|| {
            let threads: Vec<_> = (0..500).map(|_| thread::spawn(thread::park)).collect();
            thread::scope(|scope| {
                scope.spawn(|| thread::sleep(Duration::from_millis(1)));
            });
            sylvan::join(thread::yield_now, thread::yield_now);
            let inside = process::kernel_threads();
            for thread in threads {
                thread.thread().unpark();
                thread.join().unwrap();
            }
            inside
        });
        assert_eq!(inside, before, "{:?}", process::kernel_thread_names());
        drop(runtime);
        assert_eq!(process::kernel_threads(), before);
    })
    .expect_success();
}

#[test]
fn m_to_n_has_its_workers_and_they_bear_its_name() {
    in_child("runtime::m_to_n_has_its_workers_and_they_bear_its_name", &[], || {
        let before = process::kernel_threads();
        let builder = Runtime::builder().mapping(Mapping::ManyToMany).workers(3).name("crew");
        let runtime = builder.build().unwrap();
        runtime.run(|| thread::spawn(|| ()).join().unwrap());
        assert_eq!(process::kernel_threads(), before + 3);
        let mut names = process::kernel_thread_names();
        names.retain(|name| name.starts_with("crew"));
        names.sort();
        assert_eq!(names, ["crew-0", "crew-1", "crew-2"]);
        drop(runtime);
        // One that was joined stands in the kernel's list for a moment longer.
        until(|| process::kernel_threads() == before);
    })
    .expect_success();
}

/// What a runtime's threads do in the test below: some of everything.
fn some_of_everything() {
    let threads: Vec<_> = (0..50).map(|_| thread::spawn(thread::park)).collect();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(thread::yield_now);
        }
    });
    sylvan::join(|| thread::sleep(Duration::from_micros(50)), || ());
    assert!(thread::spawn(|| std::panic::resume_unwind(Box::new(1))).join().is_err());
    for thread in threads.into_iter().skip(10) {
        thread.thread().unpark();
        thread.join().unwrap();
    }
}

#[test]
fn runtimes_made_and_dropped_in_a_loop_leave_nothing_behind() {
    in_child("runtime::runtimes_made_and_dropped_in_a_loop_leave_nothing_behind", &[], || {
        let rounds = |count| {
            for _ in 0..count {
                for shape in Shape::runtimes() {
                    let runtime = shape.build();
                    runtime.run(some_of_everything);
                    // Ten threads that nobody wakes are left to the shutdown.
                }
            }
        };
        let counts = || (process::kernel_threads(), process::descriptors(), live_stacks());
        let first = counts();
        // The first rounds fill caches: of the allocator, of the arena, of the kernel's stacks.
        rounds(5);
        assert_eq!(counts(), first, "{:?}", process::kernel_thread_names());
        let (resident, mappings) = (process::resident_bytes(), process::mappings());
        rounds(30);
        assert_eq!(counts(), first, "{:?}", process::kernel_thread_names());
        let grown = process::resident_bytes().saturating_sub(resident);
        // 150 runtimes with 60 threads each: one leaked page per runtime would be 600 KiB, one
        // per thread 36 MiB. The allocator's arenas move by some hundred KiB.
        assert!(grown < 8 << 20, "{grown} bytes more after 150 runtimes");
        let more = process::mappings().saturating_sub(mappings);
        assert!(more < 100, "{more} mappings more after 150 runtimes");
    })
    .expect_success();
}
