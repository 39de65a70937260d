//! Wrong use gets an error that names the value and what is accepted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sylvan::testing::{self, Plan, Strategy};
use sylvan::{Mapping, Runtime, thread, time};
use sylvan_workspace::{in_child, text_of};

fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it must panic"),
        Err(payload) => text_of(&*payload).to_owned(),
    }
}

#[test]
fn empty_range_of_seeds_is_refused() {
    let text = panic_of(|| testing::explore(0..0, || ()));
    assert!(text.contains("0..0 holds no seed") && text.contains("at least one"), "{text}");
    let text = panic_of(|| testing::explore(std::ops::Range { start: 9, end: 3 }, || ()));
    assert!(text.contains("9..3 holds no seed"), "{text}");
}

#[test]
fn replayed_seed_that_is_no_number_is_refused() {
    let test = "bad_input::replayed_seed_that_is_no_number_is_refused";
    for wrong in ["seven", "-1", "", "18446744073709551616", "0x10", "1.5"] {
        let child = in_child(test, &[("SYLVAN_SEED", wrong)], || {
            testing::explore(0..2, || unreachable!("nothing runs"));
        });
        assert!(!child.status.success());
        let named =
            format!("SYLVAN_SEED=\"{wrong}\" is not valid; accepted: a whole number from 0");
        assert!(child.stderr.contains(&named), "{}", child.stderr);
    }
}

#[test]
fn shuffle_seed_that_is_no_number_is_refused() {
    let test = "bad_input::shuffle_seed_that_is_no_number_is_refused";
    let child = in_child(test, &[("SYLVAN_SHUFFLE", "yes")], || {
        let error = Runtime::builder().build().expect_err("it must be refused");
        eprintln!("{error}");
    });
    child.expect_success();
    assert!(
        child
            .stderr
            .contains("SYLVAN_SHUFFLE=\"yes\" is not valid; accepted: a whole number from 0"),
        "{}",
        child.stderr
    );
}

#[test]
fn clock_never_goes_back() {
    testing::run_seeded(1, || {
        let before = time::now();
        testing::advance(Duration::from_secs(3));
        let text = panic_of(|| testing::advance_to(before));
        assert!(text.contains("lies 3s before the present"), "{text}");
        assert!(text.contains("accepted: time::now() and later"), "{text}");
        testing::advance_to(time::now());
        assert_eq!(time::now(), before + Duration::from_secs(3), "the refused call moved nothing");
    });
}

#[test]
fn clock_is_not_moved_beyond_its_range() {
    testing::run_seeded(1, || {
        let before = time::now();
        let text = panic_of(|| testing::advance(Duration::MAX));
        assert!(text.contains("584 years"), "{text}");
        testing::advance(Duration::from_nanos(u64::MAX - 1));
        assert!(panic_of(|| testing::advance(Duration::from_nanos(1))).contains("584 years"));
        assert_eq!(time::now() - before, Duration::from_nanos(u64::MAX - 1));
    });
}

#[test]
fn deadlines_beyond_the_range_of_instants_never_come() {
    testing::run_seeded(1, || {
        let waits = [
            thread::spawn(|| thread::sleep(Duration::MAX)),
            thread::spawn(|| thread::park_timeout(Duration::MAX)),
            // An instant that exists, 600 years from now, which the clock cannot show.
            thread::spawn(|| {
                let years = Duration::from_secs(600 * 365 * 86_400);
                thread::sleep_until(Instant::now() + years);
            }),
        ];
        thread::sleep(Duration::from_secs(86_400));
        for wait in waits {
            assert!(!wait.is_finished());
            wait.cancel().unwrap();
            assert!(wait.join().is_err());
        }
    });
}

#[test]
fn clock_that_is_real_cannot_be_moved() {
    Plan::new().virtual_time(false).run(1, || {
        let text = panic_of(|| testing::advance(Duration::from_secs(1)));
        assert!(text.contains("only a virtual one can be moved"), "{text}");
    });
}

#[test]
fn seeded_run_inside_a_thread_of_a_runtime_is_refused() {
    let refused = "a seeded run cannot begin inside a thread of a runtime";
    testing::run_seeded(1, || {
        assert!(panic_of(|| testing::run_seeded(2, || ())).starts_with(refused));
    });
    for mapping in [Mapping::OneToOne, Mapping::ManyToOne, Mapping::ManyToMany] {
        let runtime = Runtime::builder().mapping(mapping).build().unwrap();
        runtime.run(|| {
            assert!(panic_of(|| testing::explore(0..1, || ())).starts_with(refused), "{mapping}");
        });
    }
}

#[test]
fn calls_for_seeded_runs_say_so_elsewhere() {
    let calls: [(&str, fn()); 5] = [
        ("advance", || testing::advance(Duration::ZERO)),
        ("advance_to", || testing::advance_to(Instant::now())),
        ("wait_until_all_parked", testing::wait_until_all_parked),
        ("inject", || testing::inject(testing::Faults::none())),
        ("outside", || drop(testing::outside())),
    ];
    for (name, call) in calls {
        let expected = format!("testing::{name} is for threads of a seeded run; this is none");
        assert!(panic_of(call).starts_with(&expected), "{name}");
        sylvan::run(|| assert!(panic_of(call).starts_with(&expected), "{name}"));
    }
}

#[test]
fn seeded_builder_refuses_other_mappings_and_ignores_the_variable() {
    for mapping in [Mapping::OneToOne, Mapping::ManyToMany] {
        let error = Plan::new().builder(1).mapping(mapping).build().expect_err("it is n:1");
        assert!(error.to_string().contains(&format!("Builder::mapping({mapping}) is not valid")));
    }
    let test = "bad_input::seeded_builder_refuses_other_mappings_and_ignores_the_variable";
    in_child(test, &[("SYLVAN_MAPPING", "1:1")], || {
        let runtime = Plan::new().builder(1).mapping(Mapping::ManyToOne).build().unwrap();
        assert_eq!(runtime.config().mapping, Mapping::ManyToOne);
        assert_eq!(runtime.run(|| 7), 7);
    })
    .expect_success();
}

#[test]
fn strategies_that_are_none_are_refused() {
    for wrong in ["", "rand", "pct:", "pct:0", "pct:65", "pct:-1", "dfs"] {
        let error = wrong.parse::<Strategy>().expect_err("it is none").to_string();
        assert!(error.contains(&format!("{wrong:?} is no strategy; accepted: random")), "{error}");
    }
    assert_eq!("RANDOM".parse(), Ok(Strategy::Random));
    assert_eq!("Pct".parse(), Ok(Strategy::Pct { depth: 3 }));
    let text = panic_of(|| Plan::new().strategy(Strategy::Pct { depth: 0 }));
    assert!(text.contains("a depth of 0 is not valid; accepted: 1 to 64"), "{text}");
}

#[test]
fn kernel_thread_that_wakes_from_outside_is_allowed_and_said() {
    let test = "bad_input::kernel_thread_that_wakes_from_outside_is_allowed_and_said";
    let child = in_child(test, &[], || {
        testing::run_seeded(7, || {
            let (parked, handle) = (thread::current(), sylvan::Handle::current());
            let registered = testing::outside();
            let kernel = std::thread::spawn(move || {
                parked.unpark();
                handle.spawn(|| ()).join().unwrap();
                drop(registered);
            });
            thread::park();
            thread::sleep(Duration::from_secs(1));
            kernel.join().unwrap();
        });
    });
    child.expect_success();
    let said = "the seeded run (seed 7) is no longer deterministic: a kernel thread from outside";
    assert_eq!(child.stderr.matches(said).count(), 1, "once: {}", child.stderr);
}

#[test]
fn carrier_that_wakes_between_two_runs_is_not_from_outside() {
    let test = "bad_input::carrier_that_wakes_between_two_runs_is_not_from_outside";
    let child = in_child(test, &[], || {
        let runtime = Plan::new().builder(7).build().unwrap();
        let parked = runtime.run(|| {
            let parked = thread::spawn(thread::park);
            thread::yield_now();
            parked
        });
        parked.thread().unpark();
        runtime.run(|| parked.join().unwrap());
    });
    child.expect_success();
    assert!(!child.stderr.contains("no longer deterministic"), "{}", child.stderr);
}

#[test]
fn run_whose_only_worker_is_blocked_for_real_says_so() {
    let test = "bad_input::run_whose_only_worker_is_blocked_for_real_says_so";
    let child = in_child(test, &[], || {
        sylvan::__private::set_patience(Duration::from_millis(200));
        testing::run_seeded(7, || {
            let blocked = thread::spawn(|| std::thread::sleep(Duration::from_secs(1)));
            blocked.join().unwrap();
        });
    });
    child.expect_success();
    let said = "a seeded run (seed 7) has not ended in another 200ms, after";
    assert!(child.stderr.contains(said), "{}", child.stderr);
    assert!(
        child.stderr.contains("thread 1, spawned at tests/seeded/bad_input.rs:"),
        "{}",
        child.stderr
    );
}
