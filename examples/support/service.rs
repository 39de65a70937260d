//! What the servers among the examples have in common: an address on the command line, a thread for
//! each connection, and an end.
//!
//! A server that only a signal ends cannot say what it has done, and cannot be tried in a script
//! that wants to see it end. So these end with their input: at Ctrl-D, or when whoever holds the
//! other end of a pipe lets it go.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;

use sylvan::channel;
use sylvan::thread::{self, Builder};

/// Reads an address with its port. The error names what was given and what is accepted.
pub fn address(name: &str, given: OsString) -> Result<String, String> {
    let text = given.to_str().and_then(|text| {
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then_some(text)
    });
    let accepted = "accepted: HOST:PORT, for example 127.0.0.1:0, where 0 is any port that is free";
    text.map(str::to_owned).ok_or_else(|| format!("{name} {given:?} is not possible; {accepted}"))
}

/// Has `talk` run on a thread of its own for each connection, until the program's input ends. Then
/// all of these are cut off, wherever they wait, and it returns when none is left.
pub fn serve<S: Send>(
    incoming: impl Iterator<Item = io::Result<S>> + Send,
    talk: impl Fn(S) + Sync,
) {
    let talk = &talk;
    thread::scope(|scope| {
        scope.spawn(move || {
            for stream in incoming {
                let thread = stream
                    .and_then(|stream| Builder::new().spawn_scoped(scope, move || talk(stream)));
                // Too many descriptors, mostly, or threads: those who are there go on, and in time
                // some of them leave. Until then `accept` pauses after each failure.
                if let Err(error) = thread {
                    eprintln!("a connection is lost: {error}");
                }
            }
        });
        wait_for_end_of_input();
        scope.cancel_with("the input has ended").expect("this program unwinds");
    });
}

/// Waits until the standard input has nothing more to give.
///
/// Terminals, pipes and files are read by calls that block a kernel thread, so this is one of its
/// own: on a worker it would hold up the green threads.
pub fn wait_for_end_of_input() {
    let (here, gone) = channel::bounded::<()>(0);
    std::thread::spawn(move || {
        // An input that cannot be read has ended, too.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(here);
    });
    // Nothing is ever sent: it is the sender's drop that is waited for.
    let _ = gone.recv();
}
