//! Joining a member of a group that has failed: who is part of the group is unwound, who is not, or
//! cannot be, is told by a panic.
#![forbid(unsafe_code)]
#![allow(clippy::unit_arg, reason = "a thread that only does something ends by `Ok(f())`")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use sylvan::thread::{self, Cancelled, Group, GroupHandle};
use sylvan_workspace::{everywhere, outside, settle, text_of};

use crate::staging::while_unwinding;

/// Fails a group while `joins` joins the member that fails, and expects the error.
fn expect_join_to_unwind(
    joins: impl for<'scope> Fn(&'scope Group<'scope, '_, u32>, GroupHandle<'scope, ()>) + Sync,
) {
    everywhere(|_| {
        for late in [false, true] {
            let joined = AtomicBool::new(false);
            let result = thread::group(|group| {
                let failed = group.spawn(|| {
                    if late {
                        settle();
                    }
                    Err::<(), _>(7)
                });
                if !late {
                    // Every wait is cut off from here on.
                    while !failed.is_finished() {
                        let _ = catch_unwind(thread::yield_now);
                    }
                }
                joins(group, failed);
                joined.store(true, SeqCst);
                Ok(())
            });
            assert_eq!(result, Err(7));
            assert!(!joined.load(SeqCst), "the join of a failed member has returned");
        }
    });
}

#[test]
fn join_of_a_failed_member_unwinds_the_body() {
    expect_join_to_unwind(|_, failed| failed.join());
}

#[test]
fn join_of_a_failed_member_unwinds_another_member() {
    expect_join_to_unwind(|group, failed| {
        group.spawn(|| Ok(failed.join())).join();
    });
}

#[test]
fn join_of_a_failed_member_unwinds_a_scopes_child_in_the_body() {
    expect_join_to_unwind(|_, failed| {
        thread::scope(|scope| {
            let child = scope.spawn(|| failed.join());
            assert!(child.join().unwrap_err().is::<Cancelled>());
        });
    });
}

#[test]
fn join_of_a_failed_member_unwinds_the_arms_of_the_body() {
    expect_join_to_unwind(|_, failed| {
        sylvan::join(|| failed.join(), || ());
    });
}

const NO_RESULT: &str = "there is no result to join: the thread's group has failed";

/// The text with which `f` panics, without the hook's on stderr where it can be helped.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    text_of(&*payload).to_owned()
}

#[test]
fn join_of_a_failed_member_panics_where_nothing_can_be_unwound() {
    everywhere(|_| {
        let result = thread::group(|group| {
            let failed = [(); 2].map(|()| group.spawn(|| Err::<(), _>(7)));
            let [in_shield, in_destructor] = failed;
            let text = thread::shield(|| panic_of(|| in_shield.join()));
            assert_eq!(text, NO_RESULT);
            let mut handle = Some(in_destructor);
            while_unwinding(|| {
                assert_eq!(panic_of(|| handle.take().unwrap().join()), NO_RESULT);
            });
            Ok(())
        });
        assert_eq!(result, Err(7));
    });
}

#[test]
fn join_of_a_failed_member_panics_on_a_kernel_thread_that_is_no_part() {
    everywhere(|_| {
        let result = thread::group(|group| {
            let failed = group.spawn(|| Err::<(), _>(7));
            let registered = outside();
            std::thread::scope(|scope| {
                let joins = scope.spawn(move || {
                    let text = panic_of(|| failed.join());
                    drop(registered);
                    text
                });
                while !joins.is_finished() {
                    let _ = catch_unwind(thread::yield_now);
                }
                assert_eq!(joins.join().unwrap(), NO_RESULT);
            });
            Ok(())
        });
        assert_eq!(result, Err(7));
    });
}
