//! The wake row: how long it takes until a thread whose worker sleeps runs again.
//!
//! A kernel thread outside the runtime notes the time and wakes it; the thread notes the time as
//! the first thing that it does. Between two wakes the caller is busy for so long that every peer
//! has given up spinning and sleeps in the kernel. The bare futex is the floor: a kernel thread
//! that waits for a word, and another that changes the word and wakes it, nothing else.
//!
//! The sleeper has the first processor to itself and the caller the second. Left alone, the kernel
//! puts the sleeper sometimes beside the caller and sometimes elsewhere, where it must wake an idle
//! processor first, and the figures of two peers differ by that, not by what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::measure::{processors, spin_for, stay_on};
use crate::peers::tasks::{Smol, Tasks, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Floor, Outcome, Row, Scale};
use crate::stats::quantile;

const FUTEX: &str = "bare futex";

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let row = Row::new("wake", "wake: a sleeping worker")
        .workers(1)
        .metric("p50", "µs")
        .limit(1.3, &[FUTEX])
        .floor(Floor::Peer(FUTEX))
        .metric("p99", "µs")
        .limit(1.3, &[FUTEX])
        .floor(Floor::Peer(FUTEX))
        .peer("sylvan", move || threads::<Sylvan>(scale))
        .peer(FUTEX, move || bare(scale))
        .peer("std", move || threads::<Std>(scale))
        .peer("may", move || threads::<May>(scale))
        .peer("tokio", move || tasks::<TokioMulti>(scale, 1))
        // One of smol's kernel threads is the caller, which stays outside here.
        .peer("smol", move || tasks::<Smol>(scale, 2))
        .without("tokio current thread", "does not apply: its worker is its caller")
        .without("open-coroutine", "does not apply: its threads can only end or sleep");
    vec![row]
}

/// What both sides share.
struct Bell {
    origin: Instant,
    /// When it was rung, in nanoseconds since the origin.
    rung: AtomicU64,
    /// How often it was heard.
    heard: AtomicU64,
    /// After how many nanoseconds, the last time.
    after: AtomicU64,
}

impl Bell {
    fn new() -> Arc<Bell> {
        let zero = || AtomicU64::new(0);
        Arc::new(Bell { origin: Instant::now(), rung: zero(), heard: zero(), after: zero() })
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// The woken thread's first act.
    fn hear(&self) {
        let now = self.now();
        // ORDERING: Relaxed; the wake itself orders it, and the Release below publishes both.
        let after = now - self.rung.load(Ordering::Relaxed).min(now);
        // ORDERING: Relaxed; published by the Release below.
        self.after.store(after, Ordering::Relaxed);
        // ORDERING: Release; pairs with the Acquire in `ring`.
        self.heard.fetch_add(1, Ordering::Release);
    }

    /// Rings by `wake` until there are enough samples: median and 99th percentile in µs.
    fn ring(&self, scale: Scale, wake: impl Fn()) -> Outcome {
        let samples = scale.pick(4_000, 400);
        let mut all = Vec::with_capacity(samples);
        for sample in 0..samples as u64 {
            spin_for(AWAKE_MAX);
            // ORDERING: Relaxed; the wake orders it.
            self.rung.store(self.now(), Ordering::Relaxed);
            wake();
            // ORDERING: Acquire; pairs with the Release in `hear`.
            while self.heard.load(Ordering::Acquire) == sample {
                std::hint::spin_loop();
            }
            // ORDERING: Relaxed; ordered by the Acquire above.
            all.push(self.after.load(Ordering::Relaxed) as f64 / 1e3);
        }
        Ok(vec![quantile(&mut all, 0.5), quantile(&mut all, 0.99)])
    }
}

/// For so long a worker may spin before it sleeps; none is known to spin for more than 50 µs.
const AWAKE_MAX: Duration = Duration::from_micros(300);

/// Starts the sleeper by `start` on one processor, and leaves the caller on another.
fn apart<T>(start: impl FnOnce() -> T) -> T {
    let all = processors();
    stay_on(&all[..1]);
    let started = start();
    stay_on(&all[all.len().min(2) - 1..all.len().min(2)]);
    started
}

fn threads<P: Threads>(scale: Scale) -> Outcome {
    let bell = Bell::new();
    let ears = bell.clone();
    let (_runtime, sleeper) = apart(|| {
        let runtime = P::start(1);
        let sleeper = runtime.run(move || {
            let handle = P::spawn(move || {
                loop {
                    P::park();
                    ears.hear();
                }
            });
            P::thread_of(&handle)
        });
        (runtime, sleeper)
    });
    bell.ring(scale, || P::unpark(&sleeper))
}

fn tasks<P: Tasks>(scale: Scale, workers: usize) -> Outcome {
    let bell = Bell::new();
    let ears = bell.clone();
    let gate = Arc::new(P::gate());
    let door = gate.clone();
    let _runtime = apart(|| {
        let runtime = P::start(workers);
        runtime.run(async move {
            P::detach(P::spawn(async move {
                loop {
                    P::pass(&door).await;
                    ears.hear();
                }
            }));
        });
        runtime
    });
    bell.ring(scale, || P::open(&gate))
}

fn bare(scale: Scale) -> Outcome {
    let bell = Bell::new();
    let ears = bell.clone();
    let word = Arc::new(AtomicU32::new(0));
    let waited = word.clone();
    let sleep = move || {
        loop {
            // ORDERING: Acquire; pairs with the Release below.
            while waited.swap(0, Ordering::Acquire) == 0 {
                futex(&waited, libc::FUTEX_WAIT, 0);
            }
            ears.hear();
        }
    };
    apart(|| std::thread::spawn(sleep));
    bell.ring(scale, || {
        // ORDERING: Release; pairs with the Acquire above.
        word.store(1, Ordering::Release);
        futex(&word, libc::FUTEX_WAKE, 1);
    })
}

fn futex(word: &AtomicU32, operation: libc::c_int, value: u32) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    let forever = std::ptr::null::<libc::timespec>();
    // SAFETY: the word outlives the call, and without a timeout nothing else is read.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, forever) };
}
