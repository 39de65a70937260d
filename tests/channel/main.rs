//! `sylvan::channel`: what crossbeam-channel promises of its channels and selections.
//!
//! That the module is drop-in is shown by compiling the same files against both: `on_crossbeam` and
//! `on_sylvan` each bring the folder `drop_in` into themselves, and all that differs is which
//! `channel` and `thread` stand above it. A body that asks more than crossbeam gives fails on the
//! one side, and a method that is missing or behaves differently fails on the other. crossbeam's
//! own tests run besides, by `.ci/ported`; they are mostly about messages under load, and these
//! here about what each call says.
//!
//! What no test here may do: sleep to wait for a state, or assert how long something took, except
//! that it was not too short.
#![forbid(unsafe_code)]

mod on_crossbeam;
mod on_sylvan;
mod traits;

/// The text with which `f` panics.
#[track_caller]
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(_) => panic!("it has to panic"),
        Err(payload) => sylvan_workspace::text_of(&*payload).to_owned(),
    }
}
