//! Spawning, joining, names, numbers, builders, local threads: what `std::thread` promises too.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::io::ErrorKind;
use std::panic::{panic_any, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::thread::{self, Builder, JoinHandle, Thread, ThreadId};
use sylvan_workspace::{Shape, everywhere, in_every_runtime, text_of, until};

#[test]
fn join_of_returned_thread_gives_its_value() {
    everywhere(|_| {
        assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
        let large = thread::spawn(|| [7_u64; 512]).join().unwrap();
        assert_eq!(large.iter().sum::<u64>(), 512 * 7);
        assert!(thread::spawn(|| ()).join().is_ok());
    });
}

#[test]
fn join_sees_what_the_thread_wrote() {
    everywhere(|_| {
        let shared = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..50)
            .map(|n| {
                let shared = shared.clone();
                thread::spawn(move || {
                    if n % 2 == 0 {
                        thread::yield_now();
                    }
                    // ORDERING: Relaxed; the join is what must publish it.
                    shared.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shared.load(std::sync::atomic::Ordering::Relaxed), 49 * 50 / 2);
    });
}

#[test]
fn over_aligned_closure_and_result_keep_their_alignment() {
    #[repr(align(128))]
    struct Aligned(u8);
    everywhere(|_| {
        let captured = Aligned(3);
        let address = |aligned: &Aligned| std::ptr::from_ref(aligned).addr();
        let result = thread::spawn(move || {
            let captured = captured;
            assert_eq!(address(&captured) % 128, 0);
            Aligned(captured.0 + 1)
        });
        assert_eq!(result.join().unwrap_or(Aligned(0)).0, 4);
    });
}

#[test]
fn join_of_panicked_thread_gives_the_payload() {
    everywhere(|_| {
        let literal = thread::spawn(|| panic!("expected in a test")).join().unwrap_err();
        assert_eq!(text_of(&*literal), "expected in a test");
        let text = thread::spawn(|| panic!("expected {}", 1)).join().unwrap_err();
        assert_eq!(text_of(&*text), "expected 1");
        let any = thread::spawn(|| panic_any(5_u16)).join().unwrap_err();
        assert_eq!(any.downcast_ref::<u16>(), Some(&5));
        let resumed = thread::spawn(|| resume_unwind(Box::new(6_u16))).join().unwrap_err();
        assert_eq!(resumed.downcast_ref::<u16>(), Some(&6));
    });
}

#[test]
fn panic_after_a_wait_leaves_the_neighbours_alone() {
    everywhere(|_| {
        let bystander = thread::spawn(|| {
            for _ in 0..20 {
                thread::yield_now();
                assert!(!thread::panicking());
            }
            1
        });
        let panicking = thread::spawn(|| {
            thread::yield_now();
            panic!("expected in a test");
        });
        assert!(panicking.join().is_err());
        assert_eq!(bystander.join().unwrap(), 1);
        assert!(!thread::panicking());
    });
}

#[test]
fn unjoined_panic_ends_only_its_own_thread() {
    everywhere(|_| {
        let began = Arc::new(AtomicBool::new(false));
        let inner = began.clone();
        drop(thread::spawn(move || {
            inner.store(true, SeqCst);
            panic!("expected in a test");
        }));
        until(|| began.load(SeqCst));
        assert_eq!(thread::spawn(|| 2).join().unwrap(), 2);
    });
}

#[test]
fn dropped_handle_lets_the_thread_run_on_and_drops_its_result() {
    struct Result(Arc<AtomicUsize>);
    impl Drop for Result {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    everywhere(|_| {
        let drops = Arc::new(AtomicUsize::new(0));
        // Dropped before the end, and after it.
        let early = drops.clone();
        drop(thread::spawn(move || Result(early)));
        until(|| drops.load(SeqCst) == 1);
        let late = drops.clone();
        let handle = thread::spawn(move || Result(late));
        until(|| handle.is_finished());
        assert_eq!(drops.load(SeqCst), 1);
        drop(handle);
        assert_eq!(drops.load(SeqCst), 2);
    });
}

#[test]
fn captures_are_dropped_before_join_returns() {
    everywhere(|_| {
        let counted = Arc::new(());
        for panics in [false, true] {
            let inner = counted.clone();
            let result = thread::spawn(move || {
                let _held = inner;
                thread::yield_now();
                assert!(!panics, "expected in a test");
            });
            assert_eq!(result.join().is_err(), panics);
            assert_eq!(Arc::strong_count(&counted), 1);
        }
    });
}

#[test]
fn is_finished_turns_true_once_and_join_then_succeeds() {
    everywhere(|_| {
        let go = Arc::new(AtomicBool::new(false));
        let inner = go.clone();
        let handle = thread::spawn(move || until(|| inner.load(SeqCst)));
        for _ in 0..10 {
            assert!(!handle.is_finished());
            thread::yield_now();
        }
        go.store(true, SeqCst);
        until(|| handle.is_finished());
        assert!(handle.is_finished());
        handle.join().unwrap();
    });
}

#[test]
fn builder_names_thread_and_handle() {
    everywhere(|_| {
        let builder = Builder::new().name("named".to_owned());
        let handle = builder.spawn(|| thread::current().name().map(str::to_owned)).unwrap();
        assert_eq!(handle.thread().name(), Some("named"));
        assert_eq!(handle.join().unwrap().as_deref(), Some("named"));
        let unnamed = thread::spawn(|| thread::current().name().map(str::to_owned));
        assert_eq!(unnamed.thread().name(), None);
        assert_eq!(unnamed.join().unwrap(), None);
        let empty = Builder::new().name(String::new()).spawn(|| ()).unwrap();
        assert_eq!(empty.thread().name(), Some(""));
        empty.join().unwrap();
    });
}

#[test]
fn builder_gives_the_stack_that_was_asked_for() {
    /// Touches about as many bytes as asked for; the frames are not folded into a loop.
    fn dig(bytes: usize) -> u8 {
        let frame = std::hint::black_box([1_u8; 4096]);
        if bytes <= 4096 { frame[0] } else { frame[4095] & dig(bytes - 4096) }
    }
    everywhere(|shape| {
        let large = Builder::new().stack_size(32 << 20).spawn(move || {
            if shape.is_green() {
                assert!(thread::remaining_stack().unwrap() > 31 << 20);
            }
            thread::yield_now();
            dig(4 << 20)
        });
        assert_eq!(large.unwrap().join().unwrap(), 1);
        let small = Builder::new().stack_size(128 << 10).spawn(thread::yield_now);
        small.unwrap().join().unwrap();
    });
}

#[test]
fn thread_ids_are_unique_and_stay() {
    everywhere(|_| {
        let own = thread::current().id();
        let handles: Vec<JoinHandle<ThreadId>> = (0..100)
            .map(|_| {
                thread::spawn(|| {
                    let before = thread::current().id();
                    thread::yield_now();
                    assert_eq!(thread::current().id(), before);
                    before
                })
            })
            .collect();
        let mut seen = HashSet::from([own]);
        for handle in handles {
            let outer = handle.thread().id();
            assert_eq!(handle.join().unwrap(), outer);
            assert!(seen.insert(outer), "a number was used twice");
        }
        assert_eq!(thread::current().id(), own);
    });
}

#[test]
fn thread_handle_outlives_its_thread() {
    everywhere(|_| {
        let handle = Builder::new().name("gone".to_owned()).spawn(thread::current).unwrap();
        let other: Thread = handle.thread().clone();
        let own: Thread = handle.join().unwrap();
        assert_eq!((own.id(), own.name()), (other.id(), Some("gone")));
        other.unpark();
        own.unpark();
        assert!(format!("{own:?}").contains("gone"));
    });
}

#[test]
fn handles_are_send_and_sync_as_stds_are() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<JoinHandle<u8>>();
    is_send_and_sync::<Thread>();
    is_send_and_sync::<thread::ScopedJoinHandle<'static, u8>>();
    is_send_and_sync::<thread::Scope<'static, 'static>>();
    is_send_and_sync::<sylvan::Runtime>();
    is_send_and_sync::<sylvan::Handle>();
}

#[test]
fn handle_may_be_joined_by_another_thread() {
    everywhere(|_| {
        let worker = thread::spawn(|| {
            thread::park();
            5
        });
        let parked = worker.thread().clone();
        let joiner = thread::spawn(move || worker.join().unwrap() + 1);
        parked.unpark();
        assert_eq!(joiner.join().unwrap(), 6);
    });
}

#[test]
fn thread_that_joins_itself_panics_and_can_wait_again() {
    everywhere(|_| {
        let slot = Arc::new(std::sync::Mutex::new(None::<JoinHandle<bool>>));
        let inner = slot.clone();
        let own = thread::spawn(move || {
            until(|| inner.lock().unwrap().is_some());
            let own = inner.lock().unwrap().take().unwrap();
            let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| own.join()));
            assert_eq!(text_of(&*refused.unwrap_err()), "a thread cannot join itself");
            thread::current().unpark();
            thread::park();
            true
        });
        let thread = own.thread().clone();
        *slot.lock().unwrap() = Some(own);
        until(|| Arc::strong_count(&slot) == 1);
        drop(thread);
    });
}

#[test]
fn grandchild_outlives_its_spawner() {
    everywhere(|_| {
        let grandchild = thread::spawn(|| {
            thread::spawn(|| {
                thread::yield_now();
                9
            })
        });
        assert_eq!(grandchild.join().unwrap().join().unwrap(), 9);
    });
}

#[test]
fn yield_now_alone_returns() {
    everywhere(|_| {
        for _ in 0..1000 {
            thread::yield_now();
        }
    });
}

#[test]
fn available_parallelism_is_the_number_of_workers() {
    everywhere(|shape| {
        let count = thread::available_parallelism().unwrap().get();
        match shape {
            Shape::ManyToOne | Shape::Seeded(_) => assert_eq!(count, 1),
            Shape::ManyToMany(workers) => assert_eq!(count, workers),
            Shape::OneToOne => assert!(count >= 1),
            Shape::Outside => {
                assert_eq!(count, std::thread::available_parallelism().unwrap().get());
            }
        }
    });
}

#[test]
fn local_thread_shares_an_rc_and_stays_on_its_worker() {
    in_every_runtime(|shape| {
        if !shape.is_green() {
            return;
        }
        let shared = Rc::new(std::cell::Cell::new(0));
        let kernel_thread = std::thread::current().id();
        let threads: Vec<_> = (0..20)
            .map(|n| {
                let shared = shared.clone();
                thread::spawn_local(move || {
                    for _ in 0..5 {
                        let before = shared.get();
                        shared.set(before + 1);
                        assert_eq!(std::thread::current().id(), kernel_thread);
                        thread::yield_now();
                    }
                    Rc::new(n)
                })
            })
            .collect();
        for (n, thread) in threads.into_iter().enumerate() {
            assert_eq!(*thread.join().unwrap(), n);
        }
        assert_eq!(shared.get(), 100);
        assert_eq!(Rc::strong_count(&shared), 1);
    });
}

#[test]
fn local_thread_where_no_worker_is_is_refused_with_the_reason() {
    everywhere(|shape| {
        if shape.is_green() {
            return;
        }
        let error = Builder::new().spawn_local(|| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let reason = if shape == Shape::OneToOne { "1:1" } else { "no worker" };
        assert!(error.to_string().contains(reason), "{error}");
        let refused = std::panic::catch_unwind(|| thread::spawn_local(|| ()));
        assert!(text_of(&*refused.unwrap_err()).starts_with("failed to spawn thread"));
    });
}

#[test]
fn thread_that_waits_stays_on_its_kernel_thread() {
    in_every_runtime(|_| {
        let threads: Vec<_> = (0..64)
            .map(|_| {
                thread::spawn(|| {
                    let home = std::thread::current().id();
                    // What a compiler may hoist over a switch, and what must not move.
                    let held = Rc::new(0);
                    for _ in 0..20 {
                        thread::yield_now();
                        assert_eq!(std::thread::current().id(), home);
                    }
                    assert_eq!(Rc::strong_count(&held), 1);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn thousands_of_waiting_threads_all_come_back() {
    everywhere(|shape| {
        let count = if shape.is_green() { 5000 } else { 200 };
        let threads: Vec<_> = (0..count)
            .map(|n| {
                thread::spawn(move || {
                    thread::park();
                    n
                })
            })
            .collect();
        for thread in &threads {
            thread.thread().unpark();
        }
        for (n, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), n);
        }
    });
}
