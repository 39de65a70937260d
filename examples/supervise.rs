//! Starts a worker again when it fails, after a pause that doubles each time, until it is told to
//! stop.
//!
//! That is no framework but thirty lines, `supervise`, with nothing in them that a program could
//! not write. A thread that panics leaves the payload with `join`; one that was cancelled leaves a
//! `thread::Cancelled` there, which a `downcast` tells from a panic, and then there is nothing to
//! start again. Worker and supervisor are in one scope, so whoever cancels the supervisor cancels
//! the worker as well, wherever either waits, and the reason reaches both.
//!
//! ```text
//! $ cargo run --release --example supervise
//! the importer failed: the disk is full; again in 10ms
//! the importer failed: entry 3 is damaged; again in 20ms
//! the importer failed: the disk is full; again in 40ms
//! the importer failed: entry 6 is damaged; again in 80ms
//! the importer failed: the disk is full; again in 160ms
//! 5 entries were imported, and the importer waits for more
//! the importer has put its books away
//! the supervisor has ended: cancelled by thread 2
//!   at examples/supervise.rs:112:16: the shop is closed
//! ```
//!
//! The same under every mapping. Panics print their lines on stderr, as ever; cancellations print
//! none.
#![forbid(unsafe_code)]

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use sylvan::channel::{self, Sender};
use sylvan::thread::{self, Cancelled};
use sylvan::time::{self, Duration};

/// Runs `worker` until it returns or is cancelled.
fn supervise(name: &str, worker: impl Fn() + Sync) {
    let mut pause = PAUSE_MIN;
    loop {
        let begun = time::now();
        let outcome = thread::scope(|scope| {
            let builder = thread::Builder::new().name(name.to_owned());
            // If this thread is cancelled, so is the worker, and no line below is reached.
            builder.spawn_scoped(scope, &worker).expect("a thread can be had").join()
        });
        let Err(payload) = outcome else {
            return println!("the {name} is done");
        };
        match payload.downcast::<Cancelled>() {
            Ok(cancelled) => return println!("the {name} was stopped: {}", cancelled.reason()),
            Err(panic) => println!("the {name} failed: {}; again in {pause:?}", text_of(&*panic)),
        }
        thread::sleep(pause);
        // Who has worked for a while gets the short pause again.
        pause = match time::now() - begun > GOOD_WHILE {
            true => PAUSE_MIN,
            false => (2 * pause).min(PAUSE_MAX),
        };
    }
}

/// What `panic!` was given.
fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// What survives the importer's failures.
struct Import {
    attempts: AtomicU32,
    next_entry: AtomicU32,
    imported: Sender<u32>,
}

/// What has to be put away, however the import ends.
struct Books(bool);

impl Drop for Books {
    fn drop(&mut self) {
        if self.0 {
            println!("the importer has put its books away");
        }
    }
}

impl Import {
    /// Fails at each second attempt, and at each third entry, which is skipped then.
    fn run(&self) {
        // ORDERING: Relaxed; one importer after the other, and each has joined the one before.
        if self.attempts.fetch_add(1, Relaxed).is_multiple_of(2) {
            panic!("the disk is full");
        }
        let mut books = Books(false);
        loop {
            let entry = self.next_entry.fetch_add(1, Relaxed);
            assert!(!entry.is_multiple_of(3), "entry {entry} is damaged");
            self.imported.send(entry).expect("somebody listens");
            if entry == LAST {
                books.0 = true;
                thread::park();
            }
        }
    }
}

#[sylvan::main]
fn main() {
    let (imported, entries) = channel::unbounded();
    let import = Import { attempts: 0.into(), next_entry: 1.into(), imported };
    let supervisor = thread::spawn(move || supervise("importer", || import.run()));

    let count = entries.iter().position(|entry| entry == LAST).expect("it is sent") + 1;
    println!("{count} entries were imported, and the importer waits for more");
    supervisor.cancel_with("the shop is closed").expect("this program unwinds");
    let payload = supervisor.join().expect_err("a supervisor does not return by itself");
    let cancelled = payload.downcast::<Cancelled>().expect("no panic");
    println!(
        "the supervisor has ended: {}",
        cancelled.reason().to_string().replace(" at ", "\n  at ")
    );
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const GOOD_WHILE: Duration = Duration::from_secs(60);
/// The last entry for today.
const LAST: u32 = 7;
