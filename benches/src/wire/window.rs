//! The stretch of time that counts: after the server has warmed up, and before the last requests
//! run out.
//!
//! Requests and what the server used are taken at the same two moments, between two batches of
//! answers. Latencies are of all answers that come after the first of them, also of those for which
//! the end has to wait: so neither a request from the time before nor one that a server leaves
//! lying is left out of the percentiles.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::histogram::Histogram;

/// How long a load is played, and how long before it counts.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    pub(crate) warm_up: Duration,
    pub(crate) counted: Duration,
}

/// What came of it. `T` is what was read off the server.
pub(crate) struct Played<T> {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    pub(crate) latencies: Histogram,
    pub(crate) before: T,
    pub(crate) after: T,
}

impl<T> Played<T> {
    /// Microseconds from one answer to the next.
    pub(crate) fn us_per_request(&self) -> f64 {
        self.took.as_secs_f64() * 1e6 / self.requests as f64
    }

    /// Microseconds that 99 of 100 requests do not take longer than.
    pub(crate) fn p99_us(&self) -> f64 {
        self.latencies.quantile(0.99) / 1e3
    }
}

impl Played<Duration> {
    /// Microseconds of processor time per request.
    pub(crate) fn cpu_us_per_request(&self) -> f64 {
        (self.after - self.before).as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// The clock of the generator, and what has been counted. Times are nanoseconds since its start.
pub(super) struct Window<T, F> {
    origin: Instant,
    length: Length,
    mark: F,
    requests: u64,
    latencies: Histogram,
    begun: Option<(u64, T)>,
    ended: Option<(u64, T)>,
}

impl<T, F: FnMut() -> T> Window<T, F> {
    pub(super) fn new(length: Length, mark: F) -> Self {
        let (requests, latencies) = (0, Histogram::new());
        let origin = Instant::now();
        Window { origin, length, mark, requests, latencies, begun: None, ended: None }
    }

    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Notes an answer that took so long.
    #[inline]
    pub(super) fn answered(&mut self, latency: u64) {
        if self.begun.is_some() {
            self.latencies.record(latency);
            self.requests += u64::from(self.ended.is_none());
        }
    }

    /// Whether nothing more shall be asked.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Begins or ends if it is time to; called between two batches.
    pub(super) fn turn(&mut self) {
        let now = self.now();
        if self.begun.is_none() && now >= nanoseconds(self.length.warm_up) {
            self.begun = Some((now, (self.mark)()));
        }
        let Some((begun, _)) = &self.begun else { return };
        if self.ended.is_none() && now >= begun + nanoseconds(self.length.counted) {
            self.ended = Some((now, (self.mark)()));
        }
    }

    pub(super) fn played(self) -> Played<T> {
        let (begun, before) = self.begun.expect("it is over");
        let (ended, after) = self.ended.expect("it is over");
        let took = Duration::from_nanos(ended - begun);
        Played { requests: self.requests, took, latencies: self.latencies, before, after }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window that begins and ends by the second turn, without any waiting.
    fn window() -> Window<u64, impl FnMut() -> u64> {
        let mut marks = 0;
        let length = Length { warm_up: Duration::ZERO, counted: Duration::ZERO };
        Window::new(length, move || {
            marks += 1;
            marks
        })
    }

    #[test]
    fn answer_before_the_window_does_not_count() {
        let mut window = window();
        window.answered(1_000);
        window.turn();
        assert!(window.is_over());
        let played = window.played();
        assert_eq!((played.requests, played.before, played.after), (0, 1, 2));
        assert!(played.p99_us().is_nan());
    }

    #[test]
    fn answer_after_the_window_counts_as_a_latency_alone() {
        let mut window = window();
        window.turn();
        window.answered(2_000_000);
        let played = window.played();
        assert_eq!(played.requests, 0);
        assert!((played.p99_us() / 2_000.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn figures_are_per_request() {
        let latencies = Histogram::new();
        let (before, after) = (Duration::from_micros(500), Duration::from_micros(900));
        let took = Duration::from_micros(1_000);
        let played = Played { requests: 200, took, latencies, before, after };
        assert_eq!(played.us_per_request(), 5.0);
        assert_eq!(played.cpu_us_per_request(), 2.0);
    }
}
