//! Playing as much work as fits a time.
//!
//! Shared with the program that has open-coroutine, so it depends on nothing.
#![forbid(unsafe_code)]

use std::time::Duration;

/// Nanoseconds per unit of `play`, which plays as many units as it is told and says how long they
/// took. Plays ever more from `least` on, which also warms it up, until the time is a good part of
/// the target; then once as many as fit the target.
pub(crate) fn per_unit(target: Duration, least: u64, mut play: impl FnMut(u64) -> Duration) -> f64 {
    let mut count = least.max(16);
    loop {
        let took = play(count);
        if took * 8 >= target {
            let fits = count as f64 * target.as_secs_f64() / took.as_secs_f64();
            count = (fits as u64).max(least);
            break;
        }
        count *= 4;
    }
    play(count).as_secs_f64() * 1e9 / count as f64
}
