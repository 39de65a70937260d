//! Shows that the wheel knows in time what it will touch next: along a long list, and among the
//! owners of what is due. A wrong hint costs time and nothing else, so no other test sees it.
#![forbid(unsafe_code)]

use super::*;
use crate::wheel::nodes::NONE;
use crate::wheel::{LOAD_COUNT, LOAD_NODES};

#[test]
fn each_node_of_a_long_list_names_the_one_that_is_to_be_loaded_when_it_is_met() {
    let rig = Rig::new(100);
    (0..100).for_each(|index| rig.arm(index, 5_000 * TICK_NS));
    // Nodes are taken in the order of their numbers at first.
    rig.wheel.nodes.with(|nodes| {
        for index in 0..100 {
            let expected = index + LOAD_NODES;
            let expected = if expected < 100 { expected } else { NONE };
            assert_eq!(nodes[index].ahead.get(), expected);
        }
    });
}

#[test]
fn list_that_loses_its_ends_and_its_middle_goes_on_naming_nodes_of_its_own() {
    let rig = Rig::new(200);
    (0..100).for_each(|index| rig.arm(index, 5_000 * TICK_NS));
    // Among them the node that learns who comes, the last one, and all between.
    (0..10).chain(85..100).for_each(|index| rig.disarm(index));
    (100..200).for_each(|index| rig.arm(index, 5_000 * TICK_NS));
    assert_eq!(rig.expire(5_000 * TICK_NS), (10..85).chain(100..200).collect::<Vec<_>>());
    (0..200).for_each(|index| rig.arm(index, 9_000 * TICK_NS));
    (0..200).for_each(|index| rig.disarm(index));
    (0..200).for_each(|index| rig.arm(index, 9_000 * TICK_NS));
    assert_eq!(rig.expire(9_000 * TICK_NS).len(), 200);
}

#[test]
fn owners_are_told_before_they_fire_as_many_as_a_processor_loads_at_once() {
    let rig = Rig::new(100);
    (0..100).for_each(|index| rig.arm(index, (10 + index as u64 / 3) * TICK_NS));
    let told = Cell::new(0);
    let load = |owners: &[*const ()]| {
        assert!((1..=LOAD_COUNT).contains(&owners.len()));
        told.set(told.get() + owners.len());
    };
    let mut fired = 0;
    rig.wheel.expire(20 * TICK_NS, load, |_, _| {
        fired += 1;
        assert!(told.get() >= fired);
    });
    assert_eq!((told.get(), fired), (33, 33));
}
