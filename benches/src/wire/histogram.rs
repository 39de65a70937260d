//! Millions of latencies, of which a percentile is asked: kept as counts, not as values.
//!
//! A count stands for all values that agree in their seven highest bits, so what is given back is
//! wrong by less than a hundredth, and recording takes the same few instructions for every value.
#![forbid(unsafe_code)]

/// Bits below the highest one that are kept.
const KEPT: u32 = 6;
const PER_OCTAVE: usize = 1 << KEPT;
/// Values below 64 have counts of their own; each of the 58 highest bits from there on has 64.
const COUNTS: usize = PER_OCTAVE * (64 - KEPT as usize + 1);

/// How often which value came.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { counts: vec![0; COUNTS], sum: 0 }
    }

    #[inline]
    pub(crate) fn record(&mut self, value: u64) {
        self.counts[place(value)] += 1;
        self.sum += 1;
    }

    /// The value that the given part of all values do not exceed; not a number if there are none.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let wanted = ((self.sum as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(place);
            }
        }
        f64::NAN
    }
}

fn place(value: u64) -> usize {
    let Some(shift) = (63 - KEPT).checked_sub((value | 1).leading_zeros()) else {
        return value as usize;
    };
    // The highest bit is always set, so it says nothing and makes room for the next octave.
    (shift as usize) * PER_OCTAVE + (value >> shift) as usize
}

/// The value in the middle of those that share the place.
fn middle(place: usize) -> f64 {
    let shift = (place / PER_OCTAVE).saturating_sub(1);
    let lowest = ((place - shift * PER_OCTAVE) as u64) << shift;
    lowest as f64 + ((1_u64 << shift) - 1) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middle_of_a_values_place_is_off_by_less_than_a_hundredth() {
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            for near in [value - 1, value, value + 1] {
                let error = (middle(place(near)) - near as f64).abs();
                assert!(error <= near as f64 / 100.0, "{near}: {}", middle(place(near)));
            }
            value = value * 3 / 2 + 1;
        }
        assert!(place(u64::MAX) < COUNTS);
    }

    #[test]
    fn place_of_a_greater_value_is_never_lower() {
        let places: Vec<usize> = (0..100_000).map(place).collect();
        assert!(places.is_sorted());
        assert_eq!(places[..128], (0..128).collect::<Vec<_>>(), "small values are exact");
    }

    #[test]
    fn quantile_of_known_values_is_the_one_at_that_part() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|value| histogram.record(value));
        assert_eq!(histogram.quantile(0.5), 50.0);
        assert_eq!(histogram.quantile(0.99), 99.0);
        assert_eq!(histogram.quantile(1.0), 100.0);
        histogram.record(1_000_000);
        assert!((histogram.quantile(1.0) / 1e6 - 1.0).abs() < 0.01);
    }

    #[test]
    fn quantile_of_nothing_is_no_number() {
        assert!(Histogram::new().quantile(0.5).is_nan());
    }
}
