//! Wrong use of `Select` panics and says what was wrong.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::channel::{Select, bounded, never, unbounded};
use sylvan_workspace::in_child;

use super::{everywhere, panic_of};

#[test]
fn waiting_for_nothing_for_ever_is_refused() {
    everywhere(|| {
        let calls: [fn(&mut Select<'_>); 4] = [
            |choice| drop(choice.select()),
            |choice| _ = choice.ready(),
            |choice| drop(choice.select_timeout(Duration::MAX)),
            |choice| _ = choice.ready_timeout(Duration::MAX),
        ];
        for call in calls {
            let text = panic_of(|| call(&mut Select::new()));
            assert!(text.contains("operations"), "{text}");
        }
        let none = never::<i32>();
        let mut choice = Select::new();
        let index = choice.recv(&none);
        choice.remove(index);
        panic_of(|| choice.select());
    });
}

#[test]
fn removing_what_is_not_there_is_refused() {
    everywhere(|| {
        let none = never::<i32>();
        let mut choice = Select::new();
        panic_of(|| choice.remove(0));
        let index = choice.recv(&none);
        let text = panic_of(|| choice.remove(index + 1));
        assert!(text.contains("index"), "{text}");
        choice.remove(index);
        let text = panic_of(|| choice.remove(index));
        assert!(text.contains("no operation"), "{text}");
    });
}

#[test]
fn operation_that_is_not_completed_panics_when_it_is_dropped() {
    everywhere(|| {
        let (s, r) = bounded(1);
        s.send(1).unwrap();
        let mut choice = Select::new();
        choice.recv(&r);
        let text = panic_of(|| drop(choice.select()));
        assert!(text.contains("without completing"), "{text}");
    });
}

#[test]
fn completing_with_another_sender_is_refused() {
    let ((s1, _r1), (s2, _r2)) = (bounded::<i32>(1), bounded(1));
    expect_end_of_process(test("completing_with_another_sender_is_refused"), "sender", || {
        let mut choice = Select::new();
        choice.send(&s1);
        let _ = choice.select().send(&s2, 1);
    });
}

#[test]
fn completing_with_another_receiver_is_refused() {
    let ((s1, r1), (s2, r2)) = (unbounded(), unbounded());
    s1.send(1).unwrap();
    s2.send(2).unwrap();
    expect_end_of_process(test("completing_with_another_receiver_is_refused"), "receiver", || {
        let mut choice = Select::new();
        choice.recv(&r1);
        let _ = choice.select().recv(&r2);
    });
}

/// Fails unless `body`, in a process of its own, panics about an end that was not selected. The
/// process may then abort: the operation is dropped without having been completed, which is a
/// second panic.
fn expect_end_of_process(test: String, end: &str, body: impl FnOnce()) {
    let child = in_child(&test, &[], body);
    let text = format!("passed a {end} that wasn't selected");
    assert!(!child.status.success() && child.stderr.contains(&text), "{child:?}");
}

/// The path of a test of this file, as the harness prints it.
fn test(name: &str) -> String {
    let (_, module) = module_path!().split_once("::").expect("it is in a crate");
    format!("{module}::{name}")
}
