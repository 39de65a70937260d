//! What the world does to sockets: peers that stall, vanish or talk nonsense, descriptors that run
//! out or come again at once, workers that compute, runtimes that end.
//!
//! A test that draws its choices prints the seed, and `SYLVAN_NET_SEED` brings the choices back;
//! what threads make of them is up to the machine, except under seeds.
//!
//! What no test here may do: call a hang slow. What does not come is the watchdog's.

mod allowance;
mod clients;
mod closing;
mod forks;
mod kernel;
mod limits;
mod others_bugs;
mod reuse;
mod shares;
mod silent;
mod storm;

use std::io::{Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use sylvan::net::unix::UnixStream;
use sylvan::net::{TcpListener, TcpStream};
use sylvan::{Mapping, Runtime};
use sylvan_workspace::Random;

const SEED: &str = "SYLVAN_NET_SEED";

/// The choices of a test, out of the variable or of the clock.
fn choices() -> Random {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED}={text:?} is no whole number")),
        Err(_) => {
            let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            u64::try_from(clock.as_nanos() % (1 << 62)).expect("below 2 to the 62")
        }
    };
    println!("{SEED}={seed}");
    Random::new(seed)
}

/// A connection: ours, and a peer that is std's, for kernel threads that stand outside.
fn with_std_peer() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let peer = std::net::TcpStream::connect(address).expect("the queue has room");
    peer.set_nodelay(true).expect("an open socket");
    let (ours, _) = listener.accept().expect("it is connected");
    (ours, peer)
}

/// The same by a pair of Unix streams, for which the kernel keeps little: a writer soon waits.
fn with_std_unix_peer() -> (UnixStream, std::os::unix::net::UnixStream) {
    let (ours, peer) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    (ours.into(), peer)
}

/// Two ends of ours.
fn connected() -> (TcpStream, TcpStream) {
    let (ours, peer) = with_std_peer();
    (ours, peer.into())
}

/// A runtime of so many workers.
fn many_to_many(workers: usize) -> Runtime {
    let builder = Runtime::builder().mapping(Mapping::ManyToMany).workers(workers);
    builder.build().expect("the runtime under test can be built")
}

/// Sends every byte back until the end.
fn echo(mut stream: &TcpStream) {
    let mut room = [0; 512];
    loop {
        match stream.read(&mut room).expect("the peer is well-behaved") {
            0 => return,
            count => stream.write_all(&room[..count]).expect("the peer is well-behaved"),
        }
    }
}

/// Asks and gets the same back, so many times, one byte each.
fn ping(mut stream: impl Read + Write, times: usize) {
    for time in 0..times {
        let asked = u8::try_from(time % 251).expect("below 251");
        stream.write_all(&[asked]).expect("the echo lives");
        let mut answer = [0];
        stream.read_exact(&mut answer).expect("the echo lives");
        assert_eq!(answer, [asked], "answer {time}");
    }
}
