//! Timers of a seeded run that are due at the same instant: in which order they fire, and who acts
//! in between.
//!
//! On a virtual clock everything that is due at one instant is due at once. If all of it fired
//! before any thread goes on, a timeout would always win against the wake of a thread whose own
//! sleep ends at that instant, and the race would never be tested. So the seed puts timers off
//! behind the others of their tick, and lets turns go by before it fires the rest. Production does
//! neither: there a clock moves on between any two things.
//!
//! It must never fire a timer before one that is due earlier, or none at all.

use std::ops::ControlFlow;
use std::ptr;

use crate::sched::seeded::Run;
use crate::sched::worker::Core;
use crate::task::Header;

/// How many turns go by at most before the timers are looked at again that are due already. The
/// first turn looks at them before anybody runs, so it is not counted.
const TURNS_BETWEEN_MAX: u64 = 4;

impl Run {
    /// Fires timers that are due at `now_ns`, at least one if there is one.
    pub(crate) fn expire_timers(
        &self,
        core: &Core,
        now_ns: u64,
        mut fire: impl FnMut(*const (), u64),
    ) {
        let random = &self.streams.timers;
        let mut fire = |owner: *const (), sequence: u64| {
            let drawn = random.below(3);
            // Where one is alone, this draws until it fires.
            if drawn == 0 && put_off(core, owner, sequence) {
                return ControlFlow::Continue(());
            }
            fire(owner, sequence);
            if drawn != 1 {
                return ControlFlow::Continue(());
            }
            core.timers_at.set(core.turns.get() + 2 + random.below(TURNS_BETWEEN_MAX));
            ControlFlow::Break(())
        };
        core.wheel().expire_while(now_ns, |_| (), &mut fire);
    }
}

/// Arms a timer that is about to fire for the end of the same tick. False: it has no place in its
/// thread's wait, and is fired.
fn put_off(core: &Core, owner: *const (), sequence: u64) -> bool {
    let header: *const Header = owner.cast();
    // SAFETY: as in `Core::expire_timers`: the thread disarms its timer before it goes on.
    let header = unsafe { &*header };
    // SAFETY: a wait whose timer is armed is not over, so its record is in force, and this is its
    // thread's home.
    let Some(record) = (unsafe { header.wait.get().as_ref() }) else { return false };
    if record.sequence.to_bits() != sequence {
        return false;
    }
    record.timer.set(Some(core.wheel().arm(0, ptr::from_ref(header).cast(), sequence)));
    true
}
