//! Shows that the wheel is whole while it calls back: what is called may unwind, arm, disarm and
//! expire.
#![forbid(unsafe_code)]

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
