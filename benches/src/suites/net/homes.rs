//! Homes: connections that one thread has accepted, and that last; how are they spread over the
//! workers, and how is the work?
//!
//! Each answer bears the number of the kernel thread that wrote it. Where threads have a home, that
//! is it; where tasks move, it is where the connection was last. Busy times are what the kernel
//! says of the busiest kernel threads, as many as there are workers; all of them are the
//! server's alone. Nobody is kept to a processor here, for four workers must fit in two as well.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::length;
use crate::measure::allow_all_descriptors;
use crate::row::{Floor, Outcome, Row, Scale};
use crate::wire::clients::Clients;
use crate::wire::serve::{Manner, Peer};
use crate::wire::server::{Server, Wanted};

pub(super) fn row(scale: Scale, title: &'static str, connections: usize, workers: usize) -> Row {
    let homes = move |peer| move || measure(scale, connections, workers, peer);
    Row::new("net", title)
        .workers(workers)
        .metric("most of a worker", "× its share")
        .limit(1.25, &[])
        .floor(Floor::Value(1.0, "all have as many"))
        .metric("busiest worker", "× the least busy one")
        .limit(1.2, &[])
        .floor(Floor::Value(1.0, "all are as busy"))
        .peer("sylvan", homes(Peer::Sylvan))
        .peer("may", homes(Peer::May))
        .peer("tokio", homes(Peer::Tokio))
        .without("tokio current thread", "does not apply: it has one worker")
        .without("go", "does not apply: a goroutine cannot say where it runs")
        .without("std", "does not apply: it has no workers")
}

fn measure(scale: Scale, connections: usize, workers: usize, peer: Peer) -> Outcome {
    allow_all_descriptors();
    let server = Server::start(Wanted { peer, manner: Manner::Named, workers, apart: false })?;
    let mut clients = Clients::of(server.address);
    clients.connect(connections);
    let played = clients.play(length(scale), || server.cpu_time_by_thread());
    let busy = busy_times(&played.before, &played.after);
    Ok(vec![most_of_share(clients.words(), workers), uneven(busy, workers)])
}

/// How many more connections the worker with the most has than each would have in equal parts.
fn most_of_share(homes: impl Iterator<Item = u64>, workers: usize) -> f64 {
    let mut by_home = BTreeMap::<u64, usize>::new();
    homes.for_each(|home| *by_home.entry(home).or_default() += 1);
    let connections: usize = by_home.values().sum();
    let most = by_home.into_values().max().unwrap_or(0);
    (most * workers) as f64 / connections as f64
}

/// What each kernel thread has run between two readings. One that is in the first alone has ended.
fn busy_times(before: &BTreeMap<u64, Duration>, after: &BTreeMap<u64, Duration>) -> Vec<Duration> {
    let earlier = |thread| before.get(thread).copied().unwrap_or_default();
    after.iter().map(|(thread, ran)| ran.saturating_sub(earlier(thread))).collect()
}

/// The busiest of as many kernel threads as there are workers, as a multiple of the least busy one.
fn uneven(mut busy: Vec<Duration>, workers: usize) -> f64 {
    busy.resize(busy.len().max(workers), Duration::ZERO);
    busy.sort();
    let workers = &busy[busy.len() - workers..];
    // A worker that did nothing at all gives a large number that can still be shown.
    let least = workers[0].max(Duration::from_micros(1));
    workers[workers.len() - 1].as_nanos() as f64 / least.as_nanos() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_share_counts_workers_that_home_nothing() {
        assert_eq!(most_of_share([1, 1, 2, 2].into_iter(), 2), 1.0);
        assert_eq!(most_of_share([1, 1, 1, 2].into_iter(), 2), 1.5);
        assert_eq!(most_of_share([1, 1, 1, 1].into_iter(), 4), 4.0);
    }

    #[test]
    fn uneven_looks_at_the_busiest_as_many_as_workers() {
        let times = |ms: &[u64]| ms.iter().map(|&ms| Duration::from_millis(ms)).collect();
        assert_eq!(uneven(times(&[1, 10, 12, 0]), 2), 1.2);
        assert_eq!(uneven(times(&[10, 20]), 2), 2.0);
        assert_eq!(uneven(times(&[1]), 2), 1_000.0, "one worker never ran");
    }

    #[test]
    fn busy_times_are_differences_also_of_a_kernel_thread_that_is_new() {
        let reading = |all: &[(u64, u64)]| {
            all.iter().map(|&(thread, ms)| (thread, Duration::from_millis(ms))).collect()
        };
        let busy = busy_times(&reading(&[(1, 5), (2, 9)]), &reading(&[(1, 7), (3, 4)]));
        assert_eq!(busy, [Duration::from_millis(2), Duration::from_millis(4)]);
    }
}
