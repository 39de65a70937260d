//! Medians, quantiles and intervals.
//!
//! The median stands for the rounds, for one disturbed round must not move it. The interval is the
//! one of order statistics: of n rounds, the k-th smallest and the k-th largest value enclose the
//! true median with probability 1 - 2 P(B < k), where B counts heads in n throws of a coin. It
//! assumes nothing of how the values are spread, needs no random numbers, and with five rounds it
//! is simply the range: 1 - 2 / 2^5 = 94 %. A bootstrap would draw its interval from the same five
//! values and promise more than they can hold.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// A median with what encloses it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// Of values that are numbers; none if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Estimate> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        if sorted.is_empty() {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let skip = skipped_each_side(sorted.len());
        Some(Estimate {
            median: median(&sorted),
            low: sorted[skip],
            high: sorted[sorted.len() - 1 - skip],
        })
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// How many values may be left out at each end before the coverage falls below nine in ten.
fn skipped_each_side(count: usize) -> usize {
    let most = (count - 1) / 2;
    (0..=most).rev().find(|&skip| coverage(count, skip) >= 0.9).unwrap_or(0)
}

/// With what probability the interval encloses the true median.
pub(crate) fn interval_coverage(count: usize) -> f64 {
    if count == 0 { 0.0 } else { coverage(count, skipped_each_side(count)) }
}

fn coverage(count: usize, skip: usize) -> f64 {
    let mut tail = 0.0;
    let mut ways = 1.0;
    for heads in 0..=skip {
        tail += ways;
        ways *= (count - heads) as f64 / (heads + 1) as f64;
    }
    1.0 - 2.0 * tail / 2f64.powi(count as i32)
}

/// The value below which the given part of them lies; sorts them.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_of_five_is_their_range() {
        let estimate = Estimate::of([3.0, 1.0, 2.0, 5.0, 4.0]).unwrap();
        assert_eq!(estimate, Estimate { median: 3.0, low: 1.0, high: 5.0 });
        assert_eq!(interval_coverage(5), 1.0 - 2.0 / 32.0);
    }

    #[test]
    fn interval_of_nine_leaves_one_out_at_each_end() {
        let estimate = Estimate::of((1..=9).map(f64::from)).unwrap();
        assert_eq!(estimate, Estimate { median: 5.0, low: 2.0, high: 8.0 });
        assert_eq!(interval_coverage(9), 1.0 - 2.0 * 10.0 / 512.0);
    }

    #[test]
    fn estimate_of_nothing_is_none_and_of_one_is_itself() {
        assert_eq!(Estimate::of([]), None);
        assert_eq!(Estimate::of([f64::NAN]), None);
        assert_eq!(Estimate::of([2.0]), Some(Estimate { median: 2.0, low: 2.0, high: 2.0 }));
    }

    #[test]
    fn quantile_takes_the_value_at_that_part() {
        let mut values: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.5), 50.0);
        assert_eq!(quantile(&mut values, 0.99), 99.0);
        assert_eq!(quantile(&mut values, 1.0), 99.0);
    }
}
