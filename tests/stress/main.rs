//! Everything at random, at once.
//!
//! The tests of single subjects know what they look for; these look for what nobody thought of.
//! Threads make random choices out of a seed, on every shape of runtime, until time is over; then
//! the runtime ends with whatever is going on, and what has to be conserved is counted.
//!
//! `SYLVAN_STRESS_SEED` brings a run's choices back (not its interleaving), `SYLVAN_STRESS_SECONDS`
//! says how long all shapes together take; the default is 3.

// Two of the tests of sockets: a raised limit of descriptors, and clients that do it wrong.
#[path = "../net/faults/allowance.rs"]
mod allowance;
mod channels;
#[path = "../net/faults/clients.rs"]
mod clients;
mod ends;
mod locks;
mod net;
mod threads;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sylvan::Runtime;
use sylvan_workspace::{Random, Shape, Watchdog, with_every_runtime};

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no whole number")))
}

/// What the choices come from: the variable, or the clock.
fn seed() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = variable("SYLVAN_STRESS_SEED").unwrap_or(clock.as_nanos() as u64);
    eprintln!("SYLVAN_STRESS_SEED={seed}");
    seed
}

/// How long a test goes on.
fn seconds() -> u64 {
    variable("SYLVAN_STRESS_SECONDS").unwrap_or(3)
}

/// Runs `storm` on a runtime of each shape, each until the deadline that it is given, again and
/// again until the time is over.
fn storms(storm: impl Fn(Shape, Runtime, Random, Instant)) {
    let (seed, seconds) = (seed(), seconds());
    let limit = Duration::from_secs(seconds + 60);
    let _watchdog = Watchdog::with_limit(format!("SYLVAN_STRESS_SEED={seed}"), limit);
    let mut random = Random::new(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let slice = Duration::from_millis(200).min(Duration::from_secs(seconds) / 5);
    let random = std::cell::RefCell::new(&mut random);
    while Instant::now() < end {
        with_every_runtime(|shape, runtime| {
            let own = random.borrow_mut().split();
            eprintln!("{shape}");
            storm(shape, runtime, own, Instant::now() + slice);
        });
    }
}
