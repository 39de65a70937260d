//! Running in place must not be seen: the same tests with it forced on, and forced off.
//!
//! The force holds for a whole process, so this binary is started again for each.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use sylvan::__private::doors::{events, force_in_place, watch_events};
use sylvan::thread;
use sylvan_workspace::{IN_PLACE_VARIABLE, Shape, in_child};

fn whole_binary_passes_with(force: &str) {
    if std::env::var_os(IN_PLACE_VARIABLE).is_some() {
        // The run that this test has started, which shall not start another one.
        return;
    }
    let mut command = Command::new(std::env::current_exe().expect("the test binary is a file"));
    // What the process as a whole does is not repeated, nor are these tests.
    command.args(["--skip", "in_place::", "--skip", "in_a_loop"]);
    command.env(IN_PLACE_VARIABLE, force).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    let output = command.output().expect("the test binary can be started");
    assert!(
        output.status.success(),
        "with running in place {force} the tests ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn all_tests_pass_with_running_in_place_forced_on() {
    whole_binary_passes_with("always");
}

#[test]
fn all_tests_pass_with_running_in_place_forced_off() {
    whole_binary_passes_with("never");
}

#[test]
fn force_decides_whether_children_run_in_place() {
    fn in_place() -> u64 {
        events().into_iter().find(|(name, _)| *name == "in place").expect("it is counted").1
    }
    fn children() {
        let runtime = Shape::ManyToOne.build();
        runtime.run(|| {
            thread::scope(|scope| {
                for _ in 0..10 {
                    scope.spawn(|| ());
                }
            });
        });
    }
    in_child("in_place::force_decides_whether_children_run_in_place", &[], || {
        watch_events();
        force_in_place(Some(false));
        children();
        assert_eq!(in_place(), 0);
        force_in_place(Some(true));
        children();
        let forced = in_place();
        assert!(forced >= 10, "only {forced} of 10 ran in place");
        force_in_place(None);
        children();
        assert!(in_place() > forced, "in place is the ordinary way here");
    })
    .expect_success();
}
