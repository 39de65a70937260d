//! Under N:1 the main kernel thread is the worker, and `main()` in the body is a recursive call.
#![deny(warnings)]

use std::sync::atomic::{AtomicU32, Ordering};

static CALLS: AtomicU32 = AtomicU32::new(0);

#[sylvan::main(mapping = "n:1", stack_size = 524288)]
#[inline(never)]
fn main() {
    assert_eq!(std::thread::current().name(), Some("main"));
    // ORDERING: Relaxed; one kernel thread counts.
    if CALLS.fetch_add(1, Ordering::Relaxed) == 0 {
        let () = main();
    }
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
}
