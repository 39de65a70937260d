//! Sends back what it is sent: the server with which every library of sockets begins.
//!
//! `echo [ADDRESS]`, `echo --udp [ADDRESS]`, `echo --unix PATH`; without ADDRESS it takes a free
//! port of this machine. A connection is a thread, and the thread is one line that copies the
//! socket onto itself until the client has no more to say, so that each client is answered in full
//! even if it closes its half at once. Ten thousand of them need no more than that: who waits for a
//! client holds up nobody, also with `SYLVAN_MAPPING=n:1`, where all run on one kernel thread.
//! Datagrams have no connection, and one thread answers all.
//!
//! ```text
//! $ cargo run --release --example echo -- 127.0.0.1:7777
//! listening on 127.0.0.1:7777
//! ```
//!
//! Try it from another terminal by `nc 127.0.0.1 7777`, `nc -u 127.0.0.1 7777`, or
//! `nc -U PATH`. It ends when its input does, by Ctrl-D, cuts off who is still there, and sums up:
//!
//! ```text
//! 2 connections, 34 bytes
//! ```
//!
//! The socket of `--unix` is made, so PATH must not exist; it is removed at the end. Wrong
//! arguments end it with status 2, an address that cannot be had with status 1.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sylvan::net::unix::UnixListener;
use sylvan::net::{TcpListener, UdpSocket};
use sylvan::thread;

#[path = "support/service.rs"]
mod service;

/// Where to listen.
enum Place {
    Tcp(String),
    Udp(String),
    Unix(PathBuf),
}

/// What has been answered so far.
#[derive(Default)]
struct Answered {
    count: AtomicU64,
    bytes: AtomicU64,
}

impl Answered {
    fn add(&self, bytes: u64) {
        // ORDERING: Relaxed, here and below; they are read when the threads have been joined.
        self.count.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

/// Copies a connection onto itself, to its end.
fn echo<S>(stream: &S) -> io::Result<u64>
where
    for<'a> &'a S: Read + Write,
{
    io::copy(&mut &*stream, &mut &*stream)
}

/// Answers one connection, and says why if that fails.
fn talk<S>(stream: &S, answered: &Answered)
where
    for<'a> &'a S: Read + Write,
{
    match echo(stream) {
        Ok(bytes) => answered.add(bytes),
        Err(error) => eprintln!("a connection has failed: {error}"),
    }
}

/// Answers each datagram with a datagram. One that cannot be answered is lost, as others are.
fn echo_datagrams(socket: &UdpSocket, answered: &Answered) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let outcome = socket
            .recv_from(&mut datagram)
            .and_then(|(length, sender)| socket.send_to(&datagram[..length], sender));
        match outcome {
            Ok(length) => answered.add(length as u64),
            Err(error) => eprintln!("a datagram is lost: {error}"),
        }
    }
}

/// Listens, serves until the input ends, and sums up.
fn run(place: &Place) -> io::Result<()> {
    let answered = Answered::default();
    let what = match place {
        Place::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            println!("listening on {}", listener.local_addr()?);
            service::serve(listener.incoming(), |stream| talk(&stream, &answered));
            "connections"
        }
        Place::Udp(address) => {
            let socket = UdpSocket::bind(address)?;
            println!("listening on {}", socket.local_addr()?);
            thread::scope(|scope| {
                let thread = scope.spawn(|| echo_datagrams(&socket, &answered));
                service::wait_for_end_of_input();
                thread.cancel_with("the input has ended").expect("this program unwinds");
            });
            "datagrams"
        }
        Place::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            println!("listening on {}", path.display());
            service::serve(listener.incoming(), |stream| talk(&stream, &answered));
            fs::remove_file(path)?;
            "connections"
        }
    };
    println!("{} {what}, {} bytes", answered.count.into_inner(), answered.bytes.into_inner());
    Ok(())
}

#[sylvan::main]
fn main() -> ExitCode {
    let place = match parse(std::env::args_os().skip(1)) {
        Ok(Some(place)) => place,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("echo: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: cannot serve {place}: {error}");
            ExitCode::FAILURE
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) | Place::Udp(address) => f.write_str(address),
            Place::Unix(path) => write!(f, "{path:?}"),
        }
    }
}

/// `None`: the user wants to know the usage.
fn parse(mut given: impl Iterator<Item = OsString>) -> Result<Option<Place>, String> {
    let (mut udp, mut unix, mut address) = (false, None, None);
    while let Some(argument) = given.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--udp") => udp = true,
            Some("--unix") => {
                let path = given.next().ok_or("--unix needs a value; accepted: a new path")?;
                unix = Some(PathBuf::from(path));
            }
            Some(text) if text.starts_with('-') => {
                return Err(format!("unknown option {text:?}; accepted: --udp, --unix PATH"));
            }
            _ if address.is_some() => {
                return Err(format!("one ADDRESS is accepted, and {argument:?} is the second"));
            }
            _ => address = Some(service::address("ADDRESS", argument)?),
        }
    }
    match (unix, udp, address) {
        (None, udp, address) => {
            let address = address.unwrap_or_else(|| ANY_PORT.to_owned());
            Ok(Some(if udp { Place::Udp(address) } else { Place::Tcp(address) }))
        }
        (Some(path), false, None) if path.symlink_metadata().is_ok() => {
            Err(format!("--unix {path:?} is not possible; accepted: a path that does not exist"))
        }
        (Some(path), false, None) => Ok(Some(Place::Unix(path))),
        (Some(_), true, _) => Err("of --udp and --unix one is accepted".to_owned()),
        (Some(_), false, Some(address)) => {
            Err(format!("with --unix no ADDRESS is accepted, and {address:?} is one"))
        }
    }
}

const USAGE: &str = "usage: echo [ADDRESS]\n       echo --udp [ADDRESS]\n       echo --unix PATH\n";
const ANY_PORT: &str = "127.0.0.1:0";
/// No datagram holds more.
const DATAGRAM_BYTES_MAX: usize = 65_535;
