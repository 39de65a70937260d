//! Loom models of the cell of a reason: the first one stays, and who sees it has been told what
//! came before it.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use super::{CancelReason, ReasonCell};
use crate::primitives::check;

struct Told {
    cell: ReasonCell,
    /// What the cancellers did before.
    done: UnsafeCell<u32>,
}

// SAFETY: loom checks the cell.
unsafe impl Sync for Told {}
// SAFETY: as above.
unsafe impl Send for Told {}

impl Told {
    fn new() -> Arc<Told> {
        Arc::new(Told { cell: ReasonCell::new(), done: UnsafeCell::new(0) })
    }

    fn is_done(&self) -> bool {
        // SAFETY: loom checks that nobody writes meanwhile.
        self.done.with(|done| unsafe { *done == 1 })
    }

    /// A thread that looks by `sees`, last if nobody is preempted.
    fn spawn_look(self: &Arc<Told>, sees: fn(&ReasonCell) -> bool) -> JoinHandle<bool> {
        let told = self.clone();
        thread::spawn(move || !sees(&told.cell) || told.is_done())
    }
}

#[test]
fn who_sees_a_reason_sees_what_was_done_before() {
    let looks: [fn(&ReasonCell) -> bool; 2] = [ReasonCell::is_set, |cell| cell.get().is_some()];
    for sees in looks {
        check(move || {
            let told = Told::new();
            let look = told.spawn_look(sees);
            // SAFETY: loom checks that nobody else has it.
            told.done.with_mut(|done| unsafe { *done = 1 });
            assert!(told.cell.set(CancelReason::of_model()));
            assert!(look.join().unwrap());
        });
    }
}

#[test]
fn first_of_two_reasons_stays() {
    check(|| {
        let told = Told::new();
        let set = |name: &'static str| {
            let told = told.clone();
            thread::spawn(move || told.cell.set(CancelReason::shutdown(name)))
        };
        let (one, other) = (set("one"), set("other"));
        let seen = told.cell.get();
        let first = match (one.join().unwrap(), other.join().unwrap()) {
            (true, false) => "one",
            (false, true) => "other",
            both => panic!("{both:?}"),
        };
        assert_eq!(told.cell.get().expect("it is set").message(), Some(first));
        assert!(seen.is_none_or(|seen| seen.message() == Some(first)), "it has changed");
    });
}
