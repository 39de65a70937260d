//! Shows that the wheel is whole while it calls back: what is called may unwind, arm, disarm and
//! expire.
#![forbid(unsafe_code)]

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn panic_in_fire_leaves_the_rest_for_the_next_expire() {
    let rig = Rig::new(3);
    (0..3).for_each(|index| rig.arm(index, 5_000 * TICK_NS));
    let result = catch_unwind(AssertUnwindSafe(|| {
        rig.wheel.expire(6_000 * TICK_NS, unloaded, |_, _| std::panic::resume_unwind(Box::new(())));
    }));
    assert!(result.is_err());
    assert!(rig.has_fired(0));
    assert_eq!(rig.wheel.len(), 2);
    assert_eq!(rig.expire(6_000 * TICK_NS), [1, 2]);
}

#[test]
fn fire_may_arm_disarm_and_expire() {
    let rig = Rig::new(4);
    (0..3).for_each(|index| rig.arm(index, 10 * TICK_NS));
    let fired = RefCell::new(Vec::new());
    rig.wheel.expire(20 * TICK_NS, unloaded, |owner, _| {
        fired.borrow_mut().push(owner.addr());
        if owner.addr() == 0 {
            rig.disarm(1);
            rig.arm(0, 30 * TICK_NS);
            rig.arm(3, 15 * TICK_NS);
            let note = |owner: *const (), _| fired.borrow_mut().push(owner.addr());
            // Goes beyond the outer `now`, which must then not turn the wheel back.
            rig.wheel.expire(25 * TICK_NS, unloaded, note);
        }
    });
    assert_eq!(*fired.borrow(), [0, 2, 3]);
    assert_eq!(rig.expire(29 * TICK_NS), NOTHING);
    assert_eq!(rig.expire(30 * TICK_NS), [0]);
}

#[test]
fn fire_that_has_enough_leaves_the_rest_due_and_in_order() {
    let rig = Rig::new(6);
    for (index, tick) in [(0, 70), (1, 70), (2, 71), (3, 5_000), (4, 70), (5, 9_000)] {
        rig.arm(index, tick * TICK_NS);
    }
    let mut fired = Vec::new();
    for left in (1..6).rev() {
        rig.wheel.expire_while(6_000 * TICK_NS, unloaded, |owner, _| {
            fired.push(owner.addr());
            ControlFlow::Break(())
        });
        assert_eq!(rig.wheel.len(), left);
        assert_eq!(rig.wheel.next_deadline_ns().is_some_and(|at| at <= 6_000 * TICK_NS), left > 1);
    }
    assert_eq!(fired, [0, 1, 4, 2, 3]);
    // What is armed between two calls for a time that is over comes in its turn.
    assert_eq!(rig.expire(9_000 * TICK_NS), [5]);
}

#[test]
fn timer_that_fire_arms_for_time_zero_is_the_last_of_its_tick() {
    let rig = Rig::new(4);
    for (index, tick) in [(0, 70), (1, 70), (2, 70), (3, 71)] {
        rig.arm(index, tick * TICK_NS);
    }
    let (mut fired, mut is_put_off) = (Vec::new(), false);
    rig.wheel.expire_while(100 * TICK_NS, unloaded, |owner, _| {
        if owner.addr() == 0 && !is_put_off {
            is_put_off = true;
            rig.arm(0, 0);
            return ControlFlow::Continue(());
        }
        fired.push(owner.addr());
        ControlFlow::Continue(())
    });
    assert_eq!(fired, [1, 2, 0, 3]);
    assert_eq!(rig.wheel.len(), 0);
}
