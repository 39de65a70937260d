//! Carries connections on to another address, byte by byte and in both directions at once.
//!
//! `proxy LISTEN TARGET`. Each connection has two threads, one for each direction, and both are the
//! same few lines: copy until there is no more, and then close the *half* that was written to. So
//! a client that has said everything and waits for the answer is understood on the other side as
//! it was meant, and the answer still comes. The two are a `thread::group`: if one fails, by a
//! reset for example, the other is cut off where it waits, and both sockets are closed. A client
//! whose target cannot be reached is closed at once.
//!
//! ```text
//! $ cargo run --release --example proxy -- 127.0.0.1:8080 example.org:80
//! listening on 127.0.0.1:8080
//! 127.0.0.1:40112: 74 bytes there, 1256 back
//! ```
//!
//! Try it by `curl -H 'Host: example.org' 127.0.0.1:8080`. It ends when its input does, by Ctrl-D,
//! cuts off who is still there, and sums up:
//!
//! ```text
//! 2 connections: 148 bytes there, 2512 back
//! ```
//!
//! Port 0 of LISTEN is any that is free. Wrong arguments end it with status 2, an address that
//! cannot be had with status 1.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sylvan::net::{Shutdown, TcpListener, TcpStream};
use sylvan::thread;

#[path = "support/service.rs"]
mod service;

/// How much has gone to the target, and how much has come back.
#[derive(Default)]
struct Carried {
    there: AtomicU64,
    back: AtomicU64,
}

impl Carried {
    fn add(&self, other: &Carried) {
        // ORDERING: Relaxed, here and below; what is read has been counted by this thread, or by
        // threads that it has joined.
        self.there.fetch_add(other.there.load(Relaxed), Relaxed);
        self.back.fetch_add(other.back.load(Relaxed), Relaxed);
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (there, back) = (self.there.load(Relaxed), self.back.load(Relaxed));
        write!(f, "{there} bytes there, {back} back")
    }
}

/// Copies until `from` has no more to say, and then lets `to` know.
fn carry(mut from: &TcpStream, mut to: &TcpStream, carried: &AtomicU64) -> io::Result<()> {
    let mut bytes = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut bytes)?;
        if length == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&bytes[..length])?;
        carried.fetch_add(length as u64, Relaxed);
    }
}

/// A whole connection: the thread on which it is called, and one more. The first that fails ends
/// the other, and its error is the one that is told.
fn connect(client: &TcpStream, target: &str, carried: &Carried) -> io::Result<()> {
    let target = TcpStream::connect(target)?;
    for stream in [client, &target] {
        // Whoever wrote a small piece wanted it sent.
        stream.set_nodelay(true)?;
    }
    thread::group(|group| {
        group.spawn(|| carry(&target, client, &carried.back));
        carry(client, &target, &carried.there)
    })
}

/// Serves until the input ends, and sums up.
fn run(listen: &str, target: &str) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    println!("listening on {}", listener.local_addr()?);
    let (count, total) = (AtomicU64::new(0), Carried::default());
    service::serve(listener.incoming(), |client: TcpStream| {
        let name = client.peer_addr().map_or("a client".to_owned(), |peer| peer.to_string());
        let carried = Carried::default();
        let outcome = connect(&client, target, &carried);
        total.add(&carried);
        count.fetch_add(1, Relaxed);
        match outcome {
            Ok(()) => println!("{name}: {carried}"),
            Err(error) => eprintln!("{name}: {error}; {carried}"),
        }
    });
    println!("{} connections: {total}", count.into_inner());
    Ok(())
}

#[sylvan::main]
fn main() -> ExitCode {
    let (listen, target) = match parse(std::env::args_os().skip(1)) {
        Ok(Some(addresses)) => addresses,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("proxy: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&listen, &target) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: cannot listen on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: the user wants to know the usage.
fn parse(given: impl Iterator<Item = OsString>) -> Result<Option<(String, String)>, String> {
    let mut addresses = Vec::new();
    for argument in given {
        match (argument.to_str(), addresses.len()) {
            (Some("--help" | "-h"), _) => return Ok(None),
            (_, 0) => addresses.push(service::address("LISTEN", argument)?),
            (_, 1) => addresses.push(service::address("TARGET", argument)?),
            (..) => {
                return Err(format!("two addresses are accepted, and {argument:?} is the third"));
            }
        }
    }
    match <[String; 2]>::try_from(addresses) {
        Ok([listen, target]) => Ok(Some((listen, target))),
        Err(addresses) => Err(format!("two addresses are needed, and {} given", addresses.len())),
    }
}

const USAGE: &str = "usage: proxy LISTEN TARGET\n";
const PIECE_BYTES: usize = 16 << 10;
