//! The wheel of a virtual clock: exact to the nanosecond, over the whole range.
#![forbid(unsafe_code)]

use super::{NOTHING, Rig};
use crate::wheel::{LEVEL_COUNT, Wheel};

#[test]
fn exact_wheel_fires_on_the_nanosecond_at_every_level() {
    for level in 0..LEVEL_COUNT as u32 {
        let Some(boundary_ns) = 1_u64.checked_shl(6 * level) else { continue };
        for start_ns in [0, 1, boundary_ns - 1, boundary_ns] {
            let rig = Rig::with(Wheel::exact(), 3);
            rig.expire(start_ns);
            let deadlines_ns = [boundary_ns + 1, boundary_ns + 2, boundary_ns.saturating_mul(15)];
            for (index, deadline_ns) in deadlines_ns.into_iter().enumerate().rev() {
                rig.arm(index, deadline_ns);
            }
            assert_eq!(rig.expire(boundary_ns), NOTHING, "level {level}, start {start_ns}");
            assert_eq!(rig.wheel.next_deadline_ns(), Some(boundary_ns + 1), "level {level}");
            assert_eq!(rig.expire(boundary_ns + 1), [0], "level {level}, start {start_ns}");
            assert_eq!(rig.expire(boundary_ns + 2), [1], "level {level}, start {start_ns}");
        }
    }
}

#[test]
fn exact_wheel_reaches_both_ends_of_the_range() {
    let rig = Rig::with(Wheel::exact(), 3);
    rig.arm(0, u64::MAX);
    rig.arm(1, u64::MAX - 1);
    rig.arm(2, 1);
    assert_eq!(rig.expire(0), NOTHING);
    assert_eq!(rig.expire(1), [2]);
    assert_eq!(rig.wheel.next_deadline_ns(), Some(u64::MAX - 1));
    assert_eq!(rig.expire(u64::MAX - 1), [1]);
    assert_eq!(rig.expire(u64::MAX), [0]);
}
