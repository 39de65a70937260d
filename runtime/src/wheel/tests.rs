//! Shows that the wheel fires each entry once, never early, and at the first chance: exact cases
//! at the edges of ticks and levels, then random runs against an ordered map. The random runs print
//! their seed, and take it back from `SYLVAN_TEST_SEED`.
#![forbid(unsafe_code)]

mod ahead;
mod exact;
mod fire;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ptr;

use super::{LEVEL_COUNT, TICK_NS, Timer, Wheel};

/// What fires when nothing is due. Named, for of a bare `[]` the compiler does not know the type.
const NOTHING: [usize; 0] = [];

/// A wheel, and timers by index, which is their owner and their tag.
struct Rig {
    wheel: Wheel,
    timers: Box<[Cell<Option<Timer>>]>,
}

impl Rig {
    fn new(count: usize) -> Rig {
        Rig::with(Wheel::new(), count)
    }

    fn with(wheel: Wheel, count: usize) -> Rig {
        Rig { wheel, timers: (0..count).map(|_| Cell::new(None)).collect() }
    }

    /// Arms the timer, anew if it is armed.
    fn arm(&self, index: usize, deadline_ns: u64) {
        self.disarm(index);
        let owner = ptr::without_provenance(index);
        self.timers[index].set(Some(self.wheel.arm(deadline_ns, owner, index as u64)));
    }

    fn disarm(&self, index: usize) {
        // A name that means nothing any more may be used all the same.
        if let Some(timer) = self.timers[index].get() {
            let fired = self.has_fired(index);
            self.wheel.disarm(timer);
            if !fired {
                self.timers[index].set(None);
            }
        }
    }

    fn is_armed(&self, index: usize) -> bool {
        self.timers[index].get().is_some_and(|timer| self.wheel.is_armed(timer))
    }

    fn has_fired(&self, index: usize) -> bool {
        self.timers[index].get().is_some_and(|timer| !self.wheel.is_armed(timer))
    }

    /// The indices of what fires at `now_ns`, in that order.
    fn expire(&self, now_ns: u64) -> Vec<usize> {
        let (told, mut fired) = (RefCell::new(VecDeque::new()), Vec::new());
        let load = |owners: &[*const ()]| told.borrow_mut().extend(owners.iter().copied());
        self.wheel.expire(now_ns, load, |owner, tag| {
            assert_eq!(told.borrow_mut().pop_front(), Some(owner));
            assert_eq!(owner.addr() as u64, tag);
            fired.push(owner.addr());
        });
        assert!(told.borrow().is_empty(), "nobody is loaded who is not due");
        fired
    }
}

fn unloaded(_: &[*const ()]) {}

fn rounded_up_ns(deadline_ns: u64) -> u64 {
    deadline_ns.div_ceil(TICK_NS).saturating_mul(TICK_NS)
}

#[test]
fn empty_wheel_has_no_deadline_and_fires_nothing() {
    let rig = Rig::new(0);
    assert_eq!(rig.wheel.next_deadline_ns(), None);
    assert_eq!(rig.expire(0), NOTHING);
    assert_eq!(rig.expire(u64::MAX), NOTHING);
    assert_eq!(rig.wheel.len(), 0);
}

#[test]
fn deadline_zero_fires_at_time_zero() {
    let rig = Rig::new(1);
    rig.arm(0, 0);
    assert!(rig.is_armed(0) && !rig.has_fired(0));
    assert_eq!(rig.wheel.next_deadline_ns(), Some(0));
    assert_eq!(rig.expire(0), [0]);
    assert!(!rig.is_armed(0) && rig.has_fired(0));
    assert_eq!(rig.wheel.next_deadline_ns(), None);
}

#[test]
fn deadline_in_the_past_fires_at_the_next_expire() {
    let rig = Rig::new(2);
    let now_ns = 1_000_000 * TICK_NS;
    assert_eq!(rig.expire(now_ns), NOTHING);
    rig.arm(0, 5);
    rig.arm(1, now_ns);
    assert_eq!(rig.wheel.next_deadline_ns(), Some(now_ns));
    assert_eq!(rig.expire(now_ns), [0, 1]);
}

#[test]
fn deadline_is_rounded_up_to_a_tick_and_never_down() {
    let rig = Rig::new(1);
    rig.arm(0, TICK_NS + 1);
    assert_eq!(rig.wheel.next_deadline_ns(), Some(2 * TICK_NS));
    assert_eq!(rig.expire(TICK_NS + 1), NOTHING);
    assert_eq!(rig.expire(2 * TICK_NS - 1), NOTHING);
    assert_eq!(rig.expire(2 * TICK_NS), [0]);
}

#[test]
fn entries_of_one_tick_fire_in_the_order_of_arming() {
    let rig = Rig::new(4);
    for (index, deadline_ns) in [(2, 900), (0, 16_000), (3, 1), (1, TICK_NS)] {
        rig.arm(index, deadline_ns);
    }
    assert_eq!(rig.wheel.len(), 4);
    assert_eq!(rig.expire(TICK_NS), [2, 0, 3, 1]);
    assert_eq!(rig.wheel.len(), 0);
}

#[test]
fn each_level_boundary_fires_on_its_tick() {
    for level in 0..LEVEL_COUNT as u32 {
        let Some(boundary_ns) = TICK_NS.checked_mul(1 << (6 * level)) else { continue };
        for start_ns in [0, 1, TICK_NS, boundary_ns - 1, boundary_ns, boundary_ns * 3 / 2] {
            let rig = Rig::new(3);
            rig.expire(start_ns);
            let deadlines_ns = [boundary_ns * 2 - TICK_NS, boundary_ns * 2, boundary_ns * 2 + 1];
            for (index, deadline_ns) in deadlines_ns.into_iter().enumerate().rev() {
                rig.arm(index, deadline_ns);
            }
            for (index, deadline_ns) in deadlines_ns.into_iter().enumerate() {
                let due_ns = rounded_up_ns(deadline_ns).max(start_ns);
                if due_ns > start_ns {
                    assert_eq!(rig.expire(due_ns - 1), NOTHING, "level {level}, start {start_ns}");
                }
                assert_eq!(rig.expire(due_ns), [index], "level {level}, start {start_ns}");
            }
        }
    }
}

#[test]
fn far_ends_of_the_range_are_kept_apart() {
    let rig = Rig::new(3);
    let last_full_tick_ns = u64::MAX - (TICK_NS - 1);
    rig.arm(0, u64::MAX);
    assert_eq!(rig.wheel.next_deadline_ns(), Some(u64::MAX));
    rig.arm(1, last_full_tick_ns);
    rig.arm(2, 1 << 63);
    assert_eq!(rig.wheel.next_deadline_ns(), Some(1 << 63));
    assert_eq!(rig.expire((1 << 63) - 1), NOTHING);
    assert_eq!(rig.expire(1 << 63), [2]);
    assert_eq!(rig.expire(last_full_tick_ns - 1), NOTHING);
    assert_eq!(rig.expire(last_full_tick_ns), [1]);
    assert_eq!(rig.expire(u64::MAX), NOTHING, "its rounded deadline is beyond the range");
    rig.disarm(0);
    assert_eq!(rig.wheel.len(), 0);
}

#[test]
fn disarm_before_the_deadline_prevents_firing_and_disarm_after_it_is_a_no_op() {
    let rig = Rig::new(2);
    rig.arm(0, 10);
    rig.arm(1, 10);
    rig.disarm(0);
    assert!(!rig.is_armed(0) && !rig.has_fired(0));
    assert_eq!(rig.expire(TICK_NS), [1]);
    rig.disarm(1);
    assert!(rig.has_fired(1));
    rig.disarm(0);
    assert_eq!(rig.wheel.len(), 0);
}

#[test]
fn disarm_at_any_place_in_a_list_leaves_the_neighbours() {
    // 40 ticks lie on level 0, 4,000 on level 1: the slot is left, or cascades, without the entry.
    for deadline_ns in [40 * TICK_NS, 4_000 * TICK_NS] {
        for gone in 0..4 {
            let rig = Rig::new(4);
            (0..4).for_each(|index| rig.arm(index, deadline_ns));
            rig.disarm(gone);
            let mut left: Vec<usize> = (0..4).filter(|&index| index != gone).collect();
            assert_eq!(rig.expire(deadline_ns - 1), NOTHING);
            assert_eq!(rig.wheel.len(), 3);
            // The tail was kept: what is armed now is appended.
            rig.arm(gone, deadline_ns);
            left.push(gone);
            assert_eq!(rig.expire(deadline_ns), left);
        }
    }
}

#[test]
fn arming_an_armed_entry_moves_it() {
    let rig = Rig::new(1);
    rig.arm(0, 10 * TICK_NS);
    rig.arm(0, 1_000 * TICK_NS);
    assert_eq!(rig.wheel.len(), 1);
    assert_eq!(rig.expire(999 * TICK_NS), NOTHING);
    rig.arm(0, 0);
    assert_eq!(rig.expire(999 * TICK_NS), [0]);
}

#[test]
fn a_fired_entry_can_be_armed_again() {
    let rig = Rig::new(1);
    for round in 1..200 {
        rig.arm(0, round * 37 * TICK_NS);
        assert!(!rig.has_fired(0));
        assert_eq!(rig.expire(round * 37 * TICK_NS), [0]);
    }
}

#[test]
fn cascade_passes_every_level_and_keeps_the_order_of_ticks() {
    let rig = Rig::new(64);
    // Digits (n, n, …): each entry is filed high and comes down through every level below.
    let ticks = (0..64u64).map(|n| (0..8).fold(0, |tick, level| tick | n << (6 * level)));
    let deadlines_ns: Vec<u64> = ticks.map(|tick| tick.saturating_mul(TICK_NS)).collect();
    for (index, &deadline_ns) in deadlines_ns.iter().enumerate().rev() {
        rig.arm(index, deadline_ns);
    }
    let mut fired = Vec::new();
    while let Some(next_ns) = rig.wheel.next_deadline_ns() {
        let now = rig.expire(next_ns);
        assert!(now.iter().all(|&index| deadlines_ns[index] == next_ns));
        fired.extend(now);
    }
    assert_eq!(fired, (0..64).collect::<Vec<_>>());
}

#[test]
fn one_expire_over_a_long_gap_fires_everything_in_order() {
    let rig = Rig::new(100);
    let deadline_ns = |index: usize| (index as u64).pow(7) * 1_009;
    (0..100).rev().for_each(|index| rig.arm(index, deadline_ns(index)));
    let fired = rig.expire(1 << 60);
    assert_eq!(fired.len(), 100);
    assert!(fired.is_sorted_by_key(|&index| deadline_ns(index).div_ceil(TICK_NS)));
}

#[test]
fn next_deadline_of_a_slot_of_eight_is_exact_and_of_nine_is_its_start() {
    let rig = Rig::new(9);
    // Slot 1 of level 2 holds the ticks 4,096 to 8,191.
    (0..8).for_each(|index| rig.arm(index, (8_000 - index as u64) * TICK_NS));
    assert_eq!(rig.wheel.next_deadline_ns(), Some(7_993 * TICK_NS));
    rig.arm(8, 8_100 * TICK_NS);
    assert_eq!(rig.wheel.next_deadline_ns(), Some(4_096 * TICK_NS));
    assert_eq!(rig.expire(7_993 * TICK_NS), [7]);
}

#[test]
fn next_deadline_of_a_crowded_slot_costs_at_most_one_look_a_level() {
    let rig = Rig::new(64);
    // All share the upper digits, so their slots are crowded down to level 0.
    let first_tick: u64 = (0..8).fold(0, |tick, level| tick | 33 << (6 * level));
    (0..64).for_each(|index| rig.arm(index, first_tick * TICK_NS));
    let mut looks_in_vain = 0;
    while rig.wheel.len() > 0 {
        let next_ns = rig.wheel.next_deadline_ns().expect("entries are armed");
        assert!(next_ns <= first_tick * TICK_NS);
        looks_in_vain += usize::from(rig.expire(next_ns).is_empty());
    }
    assert!(looks_in_vain < LEVEL_COUNT, "{looks_in_vain} looks in vain");
}

#[test]
fn time_that_goes_back_fires_nothing_and_loses_nothing() {
    let rig = Rig::new(2);
    rig.expire(1_000 * TICK_NS);
    rig.arm(0, 500 * TICK_NS);
    rig.arm(1, 1_001 * TICK_NS);
    assert_eq!(rig.expire(600 * TICK_NS), NOTHING);
    assert_eq!(rig.expire(1_000 * TICK_NS), [0]);
    assert_eq!(rig.expire(1_001 * TICK_NS), [1]);
}

#[test]
fn name_of_a_timer_that_has_ended_never_means_another() {
    let wheel = Wheel::new();
    let mut names = Vec::new();
    for round in 0..3 {
        let timers: Vec<Timer> = (0..600).map(|n| wheel.arm(n, ptr::null(), n)).collect();
        for &old in &names {
            assert!(!wheel.is_armed(old), "round {round}");
            wheel.disarm(old);
        }
        assert_eq!(wheel.len(), 600, "round {round}: an old name has ended a new timer");
        wheel.expire(u64::MAX, unloaded, |_, _| ());
        names.extend(timers);
        // The same nodes again, or after this fresh ones.
        if round == 1 {
            wheel.shrink();
        }
    }
}

#[test]
fn shrinking_keeps_what_is_armed() {
    let rig = Rig::new(300);
    (0..300).for_each(|index| rig.arm(index, 50 * TICK_NS));
    (1..300).for_each(|index| rig.disarm(index));
    rig.wheel.shrink();
    assert_eq!(rig.expire(50 * TICK_NS), [0]);
    rig.wheel.shrink();
    rig.arm(7, 60 * TICK_NS);
    assert_eq!(rig.expire(60 * TICK_NS), [7]);
}

#[test]
fn random_runs_agree_with_an_ordered_map() {
    let seed = match std::env::var("SYLVAN_TEST_SEED") {
        Ok(seed) => seed.parse().expect("SYLVAN_TEST_SEED is a number"),
        Err(_) => u64::from(std::process::id()) << 32 | 0x5DEE_CE66,
    };
    println!("SYLVAN_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    // A few entries leave gaps of hours between slots; many share slots and crowd lists.
    for (entry_count, operation_count) in [(3, 20_000), (64, 40_000), (3_000, 100_000)] {
        let mut model = Model::new(entry_count);
        for _ in 0..operation_count {
            model.step(&mut random);
        }
        model.finish();
    }
}

/// What the wheel must do, by an ordered map from (tick, order of arming) to the entry. Within one
/// tick the wheel promises no order once a slot has cascaded, so only ticks are compared.
struct Model {
    rig: Rig,
    by_tick: BTreeMap<(u64, u64), usize>,
    /// The map's key of each armed entry.
    keys: Vec<Option<(u64, u64)>>,
    armings: u64,
    now_ns: u64,
}

impl Model {
    fn new(entry_count: usize) -> Model {
        Model {
            rig: Rig::new(entry_count),
            by_tick: BTreeMap::new(),
            keys: vec![None; entry_count],
            armings: 0,
            now_ns: 0,
        }
    }

    fn step(&mut self, random: &mut Random) {
        let index = random.below(self.keys.len() as u64) as usize;
        match random.below(16) {
            0..8 => self.arm(index, random),
            8..12 => self.disarm(index),
            12 => self.follow_next_deadline(),
            _ => {
                let step_ns = random.of_any_magnitude(44);
                self.expire(self.now_ns.saturating_add(step_ns));
            }
        }
        assert_eq!(self.rig.wheel.len(), self.by_tick.len());
        assert_eq!(self.rig.is_armed(index), self.keys[index].is_some());
    }

    fn arm(&mut self, index: usize, random: &mut Random) {
        let deadline_ns = match random.below(16) {
            0 => self.now_ns.saturating_sub(random.of_any_magnitude(64)),
            1 => u64::MAX - random.of_any_magnitude(64),
            _ => self.now_ns.saturating_add(random.of_any_magnitude(46)),
        };
        self.rig.arm(index, deadline_ns);
        self.forget(index);
        // A deadline that is over counts as due at the tick of arming.
        let tick = deadline_ns.div_ceil(TICK_NS).max(self.now_ns / TICK_NS);
        self.keys[index] = Some((tick, self.armings));
        self.by_tick.insert((tick, self.armings), index);
        self.armings += 1;
    }

    fn disarm(&mut self, index: usize) {
        self.rig.disarm(index);
        self.forget(index);
    }

    fn forget(&mut self, index: usize) {
        if let Some(key) = self.keys[index].take() {
            self.by_tick.remove(&key).expect("an armed entry is in the map");
        }
    }

    fn expire(&mut self, now_ns: u64) -> usize {
        self.now_ns = now_ns;
        let fired = self.rig.expire(now_ns);
        let mut ticks = Vec::new();
        for &index in &fired {
            assert!(self.rig.has_fired(index));
            let (tick, _) = self.keys[index].expect("only what is armed fires, and once");
            assert!(tick * TICK_NS <= now_ns, "entry {index} fired early");
            ticks.push(tick);
            self.forget(index);
        }
        assert!(ticks.is_sorted(), "fired out of order: {ticks:?}");
        if let Some((&(tick, _), _)) = self.by_tick.first_key_value() {
            assert!(tick > now_ns / TICK_NS, "an entry of tick {tick} is late at {now_ns}");
        }
        fired.len()
    }

    /// Sleeps as a worker does, until something fires: the wheel must name a time that is not late,
    /// and must not waste more looks than it has levels.
    fn follow_next_deadline(&mut self) {
        for looks in 0.. {
            let Some((&(tick, _), _)) = self.by_tick.first_key_value() else {
                assert_eq!(self.rig.wheel.next_deadline_ns(), None);
                return;
            };
            let next_ns = self.rig.wheel.next_deadline_ns().expect("entries are armed");
            assert!(next_ns <= tick.saturating_mul(TICK_NS), "the next deadline is late");
            // Most runs stay in the lower half of the range, or there would be no future left.
            if next_ns > 1 << 60 || self.expire(next_ns.max(self.now_ns)) > 0 {
                return;
            }
            assert!(looks < LEVEL_COUNT, "too many looks in vain");
        }
    }

    /// Every entry whose tick exists fires by the end of the range.
    fn finish(&mut self) {
        self.expire(u64::MAX);
        assert!(self.by_tick.keys().all(|&(tick, _)| tick > u64::MAX / TICK_NS));
        assert_eq!(self.rig.wheel.len(), self.by_tick.len());
    }
}

/// Marsaglia's xorshift64, enough for tests and without a dependency.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    /// A number of up to `bits` bits, each magnitude as likely as the others.
    fn of_any_magnitude(&mut self, bits: u64) -> u64 {
        let kept = self.below(bits) + 1;
        self.next() >> (64 - kept)
    }
}
