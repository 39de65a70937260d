//! Shows that wrong settings and wrong calls give the documented error, in the call that met them,
//! and that what ran goes on.
//!
//! Variables are process-wide, so each wrong one is tried in a child process; everything else is
//! tried here, under every shape of runtime. Each check of an error reads its text too: it must
//! name what was wrong and say what is accepted.

mod support;

use std::io::ErrorKind;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{GREEN, MAPPINGS, child, panic_of, shape, shapes, wait_for};
use sylvan::{Mapping, Runtime, thread};

/// Wrong values: variable, value, what the message says is accepted.
const WRONG: [(&str, &str, &str); 24] = [
    ("SYLVAN_WORKERS", "", "a whole number from 1 to 1024"),
    ("SYLVAN_WORKERS", "many", "a whole number from 1 to 1024"),
    ("SYLVAN_WORKERS", "0", "a whole number from 1 to 1024"),
    ("SYLVAN_WORKERS", "-1", "a whole number from 1 to 1024"),
    ("SYLVAN_WORKERS", "2.5", "a whole number from 1 to 1024"),
    ("SYLVAN_WORKERS", "1000000000", "a whole number from 1 to 1024"),
    ("SYLVAN_WORKERS", "99999999999999999999999", "a whole number from 1 to 1024"),
    ("SYLVAN_BLOCKING_THREADS", "", "a whole number from 1 to 65536"),
    ("SYLVAN_BLOCKING_THREADS", "few", "a whole number from 1 to 65536"),
    ("SYLVAN_BLOCKING_THREADS", "0", "a whole number from 1 to 65536"),
    ("SYLVAN_BLOCKING_THREADS", "-7", "a whole number from 1 to 65536"),
    ("SYLVAN_BLOCKING_THREADS", "1000000000", "a whole number from 1 to 65536"),
    ("SYLVAN_MAPPING", "", "1:1, n:1 or m:n, in any case"),
    ("SYLVAN_MAPPING", "2:1", "1:1, n:1 or m:n, in any case"),
    ("SYLVAN_MAPPING", "m:m", "1:1, n:1 or m:n, in any case"),
    ("SYLVAN_MAPPING", "threads", "1:1, n:1 or m:n, in any case"),
    ("SYLVAN_STACK_SIZE", "", "usable bytes from 1 to 68719411200, with K or M"),
    ("SYLVAN_STACK_SIZE", "large", "usable bytes from 1 to 68719411200, with K or M"),
    ("SYLVAN_STACK_SIZE", "K", "usable bytes from 1 to 68719411200, with K or M"),
    ("SYLVAN_STACK_SIZE", "0", "usable bytes from 1 to 68719411200, with K or M"),
    ("SYLVAN_STACK_SIZE", "-4096", "usable bytes from 1 to 68719411200, with K or M"),
    ("SYLVAN_STACK_SIZE", "1G", "usable bytes from 1 to 68719411200, with K or M"),
    ("SYLVAN_STACK_SIZE", "9223372036854775808", "usable bytes from 1 to 68719411200, with K or M"),
    ("SYLVAN_STACK_SIZE", "18014398509481984K", "usable bytes from 1 to 68719411200, with K or M"),
];

#[test]
fn a_wrong_variable_is_an_error_that_names_it_its_value_and_what_is_accepted() {
    const NAME: &str = "a_wrong_variable_is_an_error_that_names_it_its_value_and_what_is_accepted";
    if let Some(variable) = support::case() {
        return wrong_variable_in_child(&variable);
    }
    // Many cases, and each child waits for little but its own start.
    std::thread::scope(|scope| {
        for part in WRONG.chunks(WRONG.len() / 2) {
            scope.spawn(move || {
                for (variable, value, accepted) in part {
                    let ended = child(NAME, variable).env(variable, value).run().passed();
                    let named = format!("{variable}={value:?}");
                    ended.says(&[&named, accepted]);
                }
            });
        }
    });
}

/// The same error from everything that starts a runtime, and nothing started.
fn wrong_variable_in_child(variable: &str) {
    let before = support::kernel_threads();
    // A call that overrules the variable does not excuse it.
    let overruled = Runtime::builder().mapping(Mapping::ManyToMany).workers(1).stack_size(1 << 16);
    let error = overruled.blocking_threads(1).build().expect_err("the variable is wrong");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    eprintln!("{error}");
    let text = error.to_string();
    assert!(text.contains(variable), "{text}");
    assert_eq!(Runtime::builder().build().unwrap_err().to_string(), text);

    assert_eq!(panic_of(|| sylvan::run(|| ())), format!("the runtime could not be built: {text}"));
    let default = thread::Builder::new().spawn(|| ()).unwrap_err();
    assert_eq!((default.kind(), default.to_string()), (ErrorKind::InvalidInput, text.clone()));
    assert_eq!(panic_of(|| thread::spawn(|| ())), format!("failed to spawn thread: {text}"));
    assert_eq!(support::kernel_threads(), before);

    // SAFETY: no other thread of this process reads variables meanwhile.
    unsafe { std::env::remove_var(variable) };
    assert_eq!(sylvan::run(|| thread::spawn(|| 5).join().unwrap()), 5, "mended, it works");
    assert_eq!(thread::spawn(|| 6).join().unwrap(), 6);
}

mod program {
    #[sylvan::main]
    pub fn main() {
        println!("the body ran");
    }
}

#[test]
fn a_main_whose_runtime_cannot_be_built_prints_the_error_and_fails() {
    const NAME: &str = "a_main_whose_runtime_cannot_be_built_prints_the_error_and_fails";
    if support::case().is_some() {
        let failed = program::main() == ExitCode::FAILURE;
        std::process::exit(if failed { 7 } else { 0 });
    }
    let ended = child(NAME, "main").env("SYLVAN_WORKERS", "zero").run().exited_with(7);
    assert!(!ended.stdout.contains("the body ran"), "{ended}");
    ended
        .says(&["sylvan: the runtime could not be built: SYLVAN_WORKERS=\"zero\" is not valid"])
        .does_not_say("panicked");
    let ended = child(NAME, "main").env("SYLVAN_WORKERS", " 2 ").run().exited_with(0);
    ended.prints(&["the body ran"]);
}

#[test]
fn builder_calls_out_of_range_fail_the_build_with_the_call_and_the_range() {
    let wrong = [
        (Runtime::builder().workers(0), "Builder::workers(0)", "1 to 1024"),
        (Runtime::builder().workers(1_000_000_000), "Builder::workers(1000000000)", "1 to 1024"),
        (Runtime::builder().blocking_threads(0), "Builder::blocking_threads(0)", "1 to 65536"),
        (Runtime::builder().blocking_threads(usize::MAX), "Builder::blocking_threads(", "65536"),
        (Runtime::builder().stack_size(0), "stack size of 0 bytes", "1 to 68719411200"),
        (Runtime::builder().stack_size(1 << 63), "9223372036854775808", "1 to 68719411200"),
        (Runtime::builder().name("a\0b"), "Builder::name \"a\\0b\"", "without"),
    ];
    for mapping in MAPPINGS {
        for (builder, what, accepted) in &wrong {
            let error = builder.clone().mapping(mapping).build().expect_err(what);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(text.contains(what) && text.contains(accepted), "{text}");
        }
    }
}

#[test]
fn odd_stack_sizes_of_a_runtime_are_rounded_up_and_run() {
    for mapping in MAPPINGS {
        for bytes in [1, 10_001, (1 << 20) + 1] {
            let runtime = shape(mapping).workers(2).stack_size(bytes).build().unwrap();
            assert!(runtime.config().stack_size >= bytes, "{mapping} {bytes}");
            // Formatting takes more than one byte of stack, so the size was rounded up.
            let text = runtime.run(|| thread::spawn(move || format!("{bytes}")).join().unwrap());
            assert_eq!(text, bytes.to_string());
        }
    }
}

/// Says when it was dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn flag() -> (Flag, Arc<AtomicBool>) {
    let dropped = Arc::new(AtomicBool::new(false));
    (Flag(dropped.clone()), dropped)
}

#[test]
fn an_impossible_stack_size_of_a_thread_is_an_error_and_its_closure_is_dropped() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            let neighbour = thread::spawn(thread::park);
            for bytes in [0, 1 << 63, usize::MAX] {
                let (held, dropped) = flag();
                let refused = thread::Builder::new().stack_size(bytes).spawn(move || drop(held));
                let error = refused.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                let text = error.to_string();
                assert!(text.contains(&bytes.to_string()) && text.contains("1 to "), "{text}");
                assert!(dropped.load(Ordering::SeqCst), "the closure was dropped");
                thread::scope(|scope| {
                    let builder = thread::Builder::new().stack_size(bytes);
                    let error = builder.spawn_scoped(scope, || ()).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::InvalidInput);
                });
                let error = thread::with_stack(bytes, || ()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
            neighbour.thread().unpark();
            neighbour.join().unwrap();
        });
    }
}

#[test]
fn an_odd_stack_size_of_a_thread_is_rounded_up() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            for bytes in [1, 4_095, 10_001, (3 << 20) + 7] {
                let builder = thread::Builder::new().stack_size(bytes);
                let thread = builder.spawn(move || (format!("{bytes}"), thread::remaining_stack()));
                let (text, remaining) = thread.unwrap().join().unwrap();
                assert_eq!(text, bytes.to_string());
                // Frames lie above; under 1:1 the stack is not ours to measure.
                assert!(remaining.is_none_or(|left| left + 8_192 >= bytes), "{remaining:?}");
                assert_eq!(thread::with_stack(bytes, || format!("{bytes}")).unwrap(), text);
            }
        });
    }
    let outside = thread::with_stack(1, || format!("{}", 1)).unwrap();
    assert_eq!(outside, "1", "on a kernel thread of no runtime");
}

#[test]
fn a_spawn_on_a_runtime_that_has_shut_down_is_an_error_and_drops_the_closure() {
    for builder in shapes() {
        let runtime = builder.name("gone").build().unwrap();
        let handle = runtime.handle();
        assert_eq!(handle.spawn(|| 1).join().unwrap(), 1, "{handle:?}");
        drop(runtime);
        let (held, dropped) = flag();
        let error = handle.try_spawn(move || drop(held)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        let text = "the runtime 'gone' has shut down; nothing can be spawned on it";
        assert_eq!(error.to_string(), text);
        assert!(dropped.load(Ordering::SeqCst), "{handle:?}");
        let panic = panic_of(|| handle.spawn(|| ()));
        assert_eq!(panic, format!("failed to spawn thread: {text}"));
        // Another runtime cares nothing.
        assert_eq!(sylvan::run(|| thread::spawn(|| 2).join().unwrap()), 2);
    }
}

#[test]
fn a_thread_of_another_runtime_that_spawns_on_one_that_has_shut_down_gets_the_same_error() {
    let gone = shape(Mapping::ManyToMany).workers(1).build().unwrap();
    let handle = gone.handle();
    drop(gone);
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        let kind = runtime.run(|| handle.try_spawn(|| ()).unwrap_err().kind());
        assert_eq!(kind, ErrorKind::NotConnected);
    }
}

#[test]
fn spawn_local_is_refused_under_one_to_one_and_on_kernel_threads_of_no_runtime() {
    let runtime = shape(Mapping::OneToOne).build().unwrap();
    runtime.run(|| {
        let held = Rc::new(());
        let moved = held.clone();
        let error = thread::Builder::new().spawn_local(move || drop(moved)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("under 1:1") && text.contains("Send"), "{text}");
        assert_eq!(Rc::strong_count(&held), 1, "the closure was dropped");
        let panic = panic_of(|| thread::spawn_local(|| ()));
        assert_eq!(panic, format!("failed to spawn thread: {text}"));
        assert_eq!(thread::spawn(|| 3).join().unwrap(), 3);
    });
    let error = thread::Builder::new().spawn_local(|| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("this kernel thread is no worker"), "{error}");
    for mapping in GREEN {
        let runtime = shape(mapping).workers(2).build().unwrap();
        let length = runtime.run(|| {
            let text = Rc::new("local");
            thread::spawn_local(move || text.len()).join().unwrap()
        });
        assert_eq!(length, 5, "{mapping}");
    }
}

#[test]
fn run_on_an_n_to_1_runtime_of_another_kernel_thread_panics_with_the_reason() {
    let runtime = shape(Mapping::ManyToOne).name("mine").build().unwrap();
    runtime.run(|| ());
    let text =
        std::thread::scope(|scope| scope.spawn(|| panic_of(|| runtime.run(|| ()))).join().unwrap());
    assert!(text.starts_with("the closure could not be run: the n:1 runtime 'mine'"), "{text}");
    assert!(text.contains("belongs to the first kernel thread that ran it"), "{text}");
    // Others may spawn and unpark all the same.
    let parked = std::thread::scope(|scope| {
        scope.spawn(|| runtime.handle().spawn(thread::park)).join().unwrap()
    });
    parked.thread().unpark();
    parked.join().unwrap();
    assert_eq!(runtime.run(|| 4), 4, "its owner can still run it");
}

#[test]
fn run_of_an_n_to_1_runtime_inside_a_thread_of_another_runtime_panics_with_the_reason() {
    for outer in GREEN {
        let inner = shape(Mapping::ManyToOne).name("inner").build().unwrap();
        let outer = shape(outer).workers(2).build().unwrap();
        let text = outer.run(|| panic_of(|| inner.run(|| ())));
        assert!(text.contains("the n:1 runtime 'inner' cannot be run inside a thread"), "{text}");
        assert!(text.contains("of another runtime"), "{text}");
        assert_eq!(outer.run(|| thread::spawn(|| 8).join().unwrap()), 8);
        assert_eq!(inner.run(|| 9), 9, "a kernel thread can run it");
    }
}

#[test]
fn run_of_an_m_to_n_runtime_inside_a_thread_of_another_runtime_works() {
    let inner = shape(Mapping::ManyToMany).workers(1).build().unwrap();
    for builder in shapes() {
        let outer = builder.build().unwrap();
        let local = 20;
        assert_eq!(outer.run(|| inner.run(|| local + 1)), 21);
    }
}

#[test]
fn a_blocking_std_call_behind_a_spawn_is_served_where_another_worker_is_free() {
    let runtime = shape(Mapping::ManyToMany).workers(2).build().unwrap();
    runtime.run(|| {
        for round in 0..20 {
            let (sender, receiver) = std::sync::mpsc::channel();
            let spawned = thread::spawn(move || sender.send(round).unwrap());
            // std's wait blocks this worker, on whose deque the sender lies.
            assert_eq!(receiver.recv().unwrap(), round);
            spawned.join().unwrap();
        }
    });
}

#[test]
fn a_name_with_a_zero_byte_panics_in_the_spawn() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        let text = runtime.run(|| {
            let builder = thread::Builder::new().name("a\0b".to_owned());
            panic_of(|| builder.spawn(|| ()))
        });
        assert!(text.contains("\"a\\0b\" contains a zero byte"), "{text}");
        wait_for("it goes on", || runtime.run(|| true));
    }
}

#[test]
fn a_thread_that_joins_itself_is_told_so() {
    for builder in shapes() {
        let runtime = builder.build().unwrap();
        let text = runtime.run(|| {
            let slot: Arc<std::sync::Mutex<Option<thread::JoinHandle<()>>>> = Arc::default();
            let filled = slot.clone();
            let (sender, receiver) = std::sync::mpsc::channel();
            let own = thread::spawn(move || {
                thread::park();
                let myself = filled.lock().unwrap().take().unwrap();
                sender.send(panic_of(move || myself.join())).unwrap();
            });
            let name = own.thread().clone();
            *slot.lock().unwrap() = Some(own);
            name.unpark();
            loop {
                match receiver.try_recv() {
                    Ok(text) => break text,
                    Err(_) => thread::yield_now(),
                }
            }
        });
        assert!(text.contains("a thread cannot join itself"), "{text}");
    }
}
