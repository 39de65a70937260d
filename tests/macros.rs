//! Shows that the macros do what their pages say.
//!
//! What must not compile, and programs of their own for `#[sylvan::main]`, are in the macro
//! crate's `tests/ui`.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::num::ParseIntError;
use std::process::ExitCode;
use std::sync::Mutex;

use sylvan::{go, join};

fn forty() -> u32 {
    40
}

mod nested {
    pub(crate) fn generic<T: Default>() -> T {
        T::default()
    }
}

#[sylvan::test]
fn go_calls_closures_and_paths() {
    let held = move || 7;
    assert_eq!(go!(forty).join().unwrap(), 40);
    #[allow(unused_parens)] // Parentheses change nothing, and are the point.
    let parenthesised = go!((forty));
    assert_eq!(parenthesised.join().unwrap(), 40);
    assert_eq!(go!(nested::generic::<u8>).join().unwrap(), 0);
    assert_eq!(go!(held).join().unwrap(), 7);
    assert_eq!(go!(|| 2).join().unwrap(), 2);
    assert_eq!(go!(|| -> u8 { 3 },).join().unwrap(), 3);
}

#[sylvan::test]
fn go_evaluates_blocks_and_expressions_in_the_new_thread() {
    let caller = sylvan::thread::current().id();
    let text = String::from("moved");
    let other = go! { sylvan::thread::current().id() };
    assert_ne!(other.join().unwrap(), caller);
    assert_eq!(go!(text.len()).join().unwrap(), 5);
    let early = go!({
        let number: u8 = "300".parse()?;
        Ok::<u8, ParseIntError>(number)
    });
    assert!(early.join().unwrap().is_err());
    assert!(go!(forty() == 40).join().unwrap());
}

#[sylvan::test]
fn go_through_a_fragment_sees_the_closure_in_it() {
    macro_rules! through {
        ($body:expr) => {
            go!($body)
        };
    }
    assert_eq!(through!(|| 5).join().unwrap(), 5);
    assert_eq!(through!(forty() + 2).join().unwrap(), 42);
}

#[sylvan::test]
fn go_takes_options_in_any_order() {
    let name = || sylvan::thread::current().name().map(str::to_owned);
    let first = go!(name = "first", stack_size = "256K", name);
    let second = go!(stack_size = 2 * 128 * 1024, name = format!("second-{}", 2), name,);
    assert_eq!(first.join().unwrap().as_deref(), Some("first"));
    assert_eq!(second.join().unwrap().as_deref(), Some("second-2"));
}

#[sylvan::test]
fn go_evaluates_options_in_the_caller_as_they_stand() {
    let order = Mutex::new(Vec::new());
    let note = |what: &'static str| order.lock().unwrap().push(what);
    let stack_size_bytes = || {
        note("stack_size");
        256 * 1024
    };
    let name = || {
        note("name");
        "n"
    };
    go!(stack_size = stack_size_bytes(), name = name(), forty).join().unwrap();
    assert_eq!(*order.lock().unwrap(), ["stack_size", "name"]);
}

#[sylvan::test]
#[should_panic(expected = "failed to spawn thread")]
fn go_with_options_panics_as_spawn_does_when_no_thread_starts() {
    go!(stack_size = usize::MAX / 2 + 1, forty);
}

#[sylvan::test]
fn join_gives_a_flat_tuple_in_order() {
    assert_eq!(join!(1), (1,));
    assert_eq!(join!(1, "b"), (1, "b"));
    assert_eq!(join!(1, 2, 3,), (1, 2, 3));
    let many = join!(1, 2, 3, 4, 5, 6, 7, 8, 9);
    assert_eq!(many, (1, 2, 3, 4, 5, 6, 7, 8, 9));
    join!((), ());
}

#[sylvan::test]
fn join_arms_borrow_and_only_the_first_may_hold_what_is_not_send() {
    let mut left = vec![1];
    let mut right = vec![2];
    let shared = String::from("shared");
    let here = Cell::new(0);
    let lengths = join!(
        {
            here.set(1);
            left.push(shared.len());
            left.len()
        },
        {
            right.push(shared.len());
            right.len()
        },
        shared.as_str(),
    );
    assert_eq!(lengths, (2, 2, "shared"));
    assert_eq!((here.get(), left, right), (1, vec![1, 6], vec![2, 6]));
}

#[sylvan::test]
fn join_arms_keep_return_and_question_mark_to_themselves() {
    let (early, parsed): (u8, Result<u8, ParseIntError>) = join!(
        {
            if forty() == 40 {
                return 1;
            }
            2
        },
        {
            let number: u8 = "300".parse()?;
            Ok(number)
        },
    );
    assert_eq!(early, 1);
    assert!(parsed.is_err());
    let (alone,): (Option<u8>,) = join!({
        let none: Option<u8> = None;
        Some(none? + 1)
    });
    assert_eq!(alone, None);
}

#[sylvan::test]
fn join_results_cannot_meet_names_of_the_user() {
    let result_0 = 10;
    assert_eq!(join!(result_0 + 1, result_0 + 2), (11, 12));
}

#[sylvan::test(mapping = ["1:1", "n:1", "M:N"], workers = 2, stack_size = "256K")]
fn a_test_runs_under_each_mapping() {
    assert_eq!(join!(go!(forty).join().unwrap(), 2), (40, 2));
}

#[sylvan::test(mapping = "n:1")]
fn a_test_may_return_a_result() -> Result<(), Box<dyn std::error::Error>> {
    // The error is not `Send`; it is reported where it arises.
    let number: u8 = "42".parse()?;
    assert_eq!(number, 42);
    Ok(())
}

#[sylvan::test]
fn a_test_may_return_an_exit_code() -> ExitCode {
    ExitCode::SUCCESS
}

#[sylvan::test(mapping = ["n:1", "m:n"])]
#[should_panic(expected = "as wanted")]
fn a_test_that_should_panic_panics_under_each_mapping() {
    panic!("as wanted");
}

#[sylvan::test]
#[ignore = "shows that the attribute is kept: run, it fails"]
fn an_ignored_test_stays_ignored() {
    panic!("this test was not ignored");
}
