//! The rows of ends: what a deadline costs that does not pass, and what it costs to end a thread.
//!
//! A thread is ended by unwinding it, and no unwinding is cheaper than a panic's. So beside what
//! each peer takes stands what sylvan's threads take that unwind themselves, by the same payload of
//! one word that std offers for it.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use sylvan::__private::doors;
use sylvan::{thread, time};

use crate::measure::{each, fixed, timed};
use crate::peers::tasks::{Tasks, TokioCurrent};
use crate::peers::threads::{Sylvan, Threads};
use crate::row::{Outcome, Row, Scale};

/// Passes in no row.
const LATER: Duration = Duration::from_secs(3600);

const BY_HAND: &str = "sylvan, by a panic's means";

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let live = scale.pick(1_000_000, 100_000);
    let threads = scale.pick(100_000, 10_000);
    let title = |what: &str, of: u64| match of {
        1_000_000 => format!("ends: {what}, 1,000,000 live"),
        _ => format!("ends: {what}, 100,000 live"),
    };
    vec![
        Row::new("ends", "ends: a timeout around a call that does not wait")
            .workers(1)
            .unit("ns per call")
            .limit(60.0, &[])
            .peer("sylvan", move || timeouts(scale))
            .peer("tokio current thread", move || tokio_timeouts(scale)),
        Row::new("ends", title("arming and disarming a timer", live))
            .workers(1)
            .unit("ns per timer")
            .limit(100.0, &[])
            .peer("sylvan", move || timers(scale, live))
            .peer("tokio current thread", move || tokio_timers(scale, live)),
        Row::new("ends", scale.pick("ends: 100,000 threads", "ends: 10,000 threads"))
            .workers(1)
            .unit("ns per thread")
            .limit(1_000.0, &[])
            .limit(1.1, &[BY_HAND])
            .peer("sylvan", move || ended(threads, End::Cancelled))
            .peer(BY_HAND, move || ended(threads, End::Unwound))
            .peer("sylvan, that return", move || ended(threads, End::Returned))
            .peer("tokio current thread", move || tokio_aborted(threads))
            .limit_s(60),
    ]
}

fn timeouts(scale: Scale) -> Outcome {
    let runtime = Sylvan::start(1);
    each(scale, 16, |count| {
        runtime.run(move || {
            timed(|| {
                for number in 0..count {
                    let same = time::timeout(LATER, || black_box(number));
                    assert_eq!(same.ok(), Some(number), "nothing has waited");
                }
            })
        })
    })
}

fn tokio_timeouts(scale: Scale) -> Outcome {
    let runtime = TokioCurrent::start_with_timers(1);
    each(scale, 16, |count| {
        runtime.run(async move {
            let start = Instant::now();
            for number in 0..count {
                let same = tokio::time::timeout(LATER, async { black_box(number) }).await;
                assert_eq!(same.ok(), Some(number), "nothing has waited");
            }
            start.elapsed()
        })
    })
}

/// The wheel itself: who waits arms and disarms, and what else a wait costs stands in other rows.
fn timers(scale: Scale, live: u64) -> Outcome {
    let runtime = Sylvan::start(1);
    each(scale, 16, |count| runtime.run(move || doors::arm_and_disarm(live, count)))
}

/// A sleep that is polled once is armed, and one that is dropped is disarmed.
fn tokio_timers(scale: Scale, live: u64) -> Outcome {
    let runtime = TokioCurrent::start_with_timers(1);
    each(scale, 16, |count| {
        runtime.run(async move {
            let mut others: Vec<_> = (0..live)
                .map(|n| Box::pin(tokio::time::sleep(LATER + Duration::from_millis(n % 100_000))))
                .collect();
            for other in &mut others {
                assert!(futures_poll(other.as_mut()).await.is_pending(), "it is far off");
            }
            let start = Instant::now();
            for n in 0..count {
                let sleep = pin!(tokio::time::sleep(Duration::from_millis(1_000 + n % 60_000)));
                assert!(futures_poll(sleep).await.is_pending(), "it is far off");
            }
            start.elapsed()
        })
    })
}

/// Polls a future once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[derive(Clone, Copy)]
enum End {
    Cancelled,
    Unwound,
    Returned,
}

/// Counts itself out, as a guard would that a thread has on its stack.
struct Guard(Arc<AtomicU64>);

impl Drop for Guard {
    fn drop(&mut self) {
        // ORDERING: Relaxed; only the number counts.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Two frames, as a wait has that is cut off: the call that waits, and what unwinds it.
#[inline(never)]
fn wait_and_unwind() {
    thread::park();
    unwind();
}

#[inline(never)]
fn unwind() {
    resume_unwind(Box::new(black_box(0_usize)));
}

/// From the first cancellation to the end of the last join.
fn ended(threads: u64, end: End) -> Outcome {
    let runtime = Sylvan::start(1);
    fixed(threads, || {
        runtime.run(move || {
            let waiting = Arc::new(AtomicU64::new(0));
            let spawn = |_| {
                let waiting = waiting.clone();
                thread::spawn(move || {
                    // ORDERING: Relaxed; as in the drop.
                    waiting.fetch_add(1, Ordering::Relaxed);
                    let _guard = Guard(waiting);
                    if let End::Unwound = end { wait_and_unwind() } else { thread::park() }
                })
            };
            let handles: Vec<_> = (0..threads).map(spawn).collect();
            // ORDERING: Relaxed; as above.
            while waiting.load(Ordering::Relaxed) < threads {
                thread::yield_now();
            }
            timed(|| {
                for handle in &handles {
                    match end {
                        End::Cancelled => handle.cancel().expect("this program unwinds"),
                        End::Unwound | End::Returned => handle.thread().unpark(),
                    }
                }
                let lost = handles.into_iter().filter_map(|handle| handle.join().err()).count();
                assert_eq!(lost == 0, matches!(end, End::Returned), "all end in the same way");
                // ORDERING: Relaxed; as above.
                assert_eq!(waiting.load(Ordering::Relaxed), 0, "all guards have gone");
            })
        })
    })
}

/// Its tasks are dropped where they wait, without unwinding.
fn tokio_aborted(tasks: u64) -> Outcome {
    let runtime = TokioCurrent::start(1);
    fixed(tasks, || {
        runtime.run(async move {
            let waiting = Arc::new(AtomicU64::new(0));
            let spawn = |_| {
                let waiting = waiting.clone();
                tokio::spawn(async move {
                    // ORDERING: Relaxed; as in the drop.
                    waiting.fetch_add(1, Ordering::Relaxed);
                    let _guard = Guard(waiting);
                    std::future::pending::<()>().await;
                })
            };
            let handles: Vec<_> = (0..tasks).map(spawn).collect();
            // ORDERING: Relaxed; as above.
            while waiting.load(Ordering::Relaxed) < tasks {
                tokio::task::yield_now().await;
            }
            let start = Instant::now();
            for handle in &handles {
                handle.abort();
            }
            for handle in handles {
                assert!(handle.await.is_err(), "it was aborted");
            }
            // ORDERING: Relaxed; as above.
            assert_eq!(waiting.load(Ordering::Relaxed), 0, "all guards have gone");
            start.elapsed()
        })
    })
}
