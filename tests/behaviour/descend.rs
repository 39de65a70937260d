//! Deep recursion: through `join` and through scopes it ends with the memory, not with a stack.
#![forbid(unsafe_code)]

use sylvan::{join, thread};
use sylvan_workspace::{IN_PLACE_VARIABLE, Shape, in_every_runtime, on_foreign_thread};

/// Without running in place every level is a waiting thread with a stack of its own; under a seed
/// one level in four is.
fn depth(shape: Shape) -> u32 {
    let never = std::env::var(IN_PLACE_VARIABLE).is_ok_and(|value| value == "never");
    match (shape, never) {
        (Shape::OneToOne | Shape::Outside, _) => 60,
        (_, true) => 2_000,
        (Shape::Seeded(_), false) => 5_000,
        (_, false) => 100_000,
    }
}

fn through_first_arm(depth: u32) -> u32 {
    if depth == 0 { 0 } else { 1 + join(|| through_first_arm(depth - 1), || ()).0 }
}

fn through_second_arm(depth: u32) -> u32 {
    if depth == 0 { 0 } else { 1 + join(|| (), || through_second_arm(depth - 1)).1 }
}

fn through_scopes(depth: u32) -> u32 {
    let mut below = 0;
    if depth > 0 {
        thread::scope(|scope| {
            scope.spawn(|| below = 1 + through_scopes(depth - 1));
        });
    }
    below
}

fn through_joined_scopes(depth: u32) -> u32 {
    match depth {
        0 => 0,
        _ => thread::scope(|scope| {
            let below = scope.spawn(|| 1 + through_joined_scopes(depth - 1));
            below.join().unwrap()
        }),
    }
}

#[test]
fn recursion_through_the_first_arm_is_bounded_by_memory() {
    in_every_runtime(|shape| assert_eq!(through_first_arm(depth(shape)), depth(shape)));
}

#[test]
fn recursion_through_the_second_arm_is_bounded_by_memory() {
    in_every_runtime(|shape| assert_eq!(through_second_arm(depth(shape)), depth(shape)));
}

#[test]
fn recursion_through_scopes_is_bounded_by_memory() {
    in_every_runtime(|shape| assert_eq!(through_scopes(depth(shape)), depth(shape)));
}

#[test]
fn recursion_through_scoped_joins_is_bounded_by_memory() {
    // A joined thread waits: each level keeps a stack, whatever the policy.
    in_every_runtime(|shape| {
        let depth = depth(shape).min(1_000);
        assert_eq!(through_joined_scopes(depth), depth);
    });
}

#[test]
fn recursion_from_a_kernel_thread_comes_back() {
    on_foreign_thread(|| {
        assert_eq!(through_first_arm(100), 100);
        assert_eq!(through_second_arm(100), 100);
        assert_eq!(through_scopes(100), 100);
    });
}

#[test]
fn panic_from_the_depth_unwinds_all_levels() {
    fn down(depth: u32) {
        assert_ne!(depth, 0, "expected in a test");
        join(|| (), || down(depth - 1));
    }
    in_every_runtime(|shape| {
        let depth = depth(shape).min(5_000);
        let result = std::panic::catch_unwind(|| down(depth));
        assert!(result.is_err());
        // The stacks are usable again.
        assert_eq!(through_first_arm(depth), depth);
    });
}

#[test]
fn wait_in_the_depth_suspends_all_levels() {
    fn down(depth: u32) -> u32 {
        if depth == 0 {
            for _ in 0..3 {
                thread::yield_now();
            }
            return 0;
        }
        1 + join(|| (), || down(depth - 1)).1
    }
    in_every_runtime(|shape| {
        let depth = depth(shape).min(5_000);
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(move || down(depth))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), depth);
        }
    });
}
