//! Sockets in seeded runs: whoever waits is woken in every order, and the clock and the verdict
//! "nothing can move" wait for what the kernel still carries.
//!
//! Both ends of a connection are threads of one run. A body runs under 200 seeds, half of them of
//! each strategy; where one fails, the seed is printed. What no body may do: hold a lock of std's
//! over a call that waits, for the run has one kernel thread.
#![forbid(unsafe_code)]

mod time;
mod wakes;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use sylvan::net::unix::UnixStream;
use sylvan::net::{TcpListener, TcpStream};
use sylvan::testing::{Plan, Strategy};

const STRATEGIES: [Strategy; 2] = [Strategy::Random, Strategy::Pct { depth: 3 }];
/// Of each strategy.
const SEEDS: u64 = 100;

fn under_seeds(body: fn()) {
    for strategy in STRATEGIES {
        Plan::new().strategy(strategy).explore(0..SEEDS, body);
    }
}

/// The same for a body that says which of two things came first: both must happen.
fn in_either_order(body: fn() -> bool) {
    for strategy in STRATEGIES {
        let plan = Plan::new().strategy(strategy);
        let first = (0..SEEDS).filter(|&seed| plan.run(seed, body)).count() as u64;
        assert!((2..=SEEDS - 2).contains(&first), "{strategy}: {first} of {SEEDS}");
    }
}

fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nodelay(true).unwrap();
    let (far, _) = listener.accept().unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// An address that nobody else has.
fn free_address() -> UnixAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("sylvan-seeded-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
    UnixAddr::from_abstract_name(name).unwrap()
}
