//! Counts the lines of all files below a directory, a thread for each file and each directory, and
//! no more than a few of them at a time.
//!
//! The threads are those of a `thread::group`. Each directory spawns a thread for everything in it,
//! into the same group, so nobody knows beforehand how many there will be; the group's `limit` says
//! how many may run. The first that meets something it cannot read ends the group with its error:
//! all others are cancelled, those that have not begun never do, and the group returns when none is
//! left. So the counters may simply be borrowed. This matters most under `SYLVAN_MAPPING=1:1`,
//! where each thread is one of the kernel's.
//!
//! ```text
//! $ cargo run --release --example crawl_limit
//! 186 files in 40 directories: 38230 lines
//! at most 8 threads at a time, of 8 that were allowed
//! ```
//!
//! `crawl_limit [DIR] [--limit N]`; without DIR it reads the library's source, so the numbers grow
//! with it. Links are not followed. A file that is not UTF-8 cannot be read:
//!
//! ```text
//! $ cargo run --release --example crawl_limit -- /usr/bin
//! crawl_limit: "/usr/bin/wall": stream did not contain valid UTF-8; 3 files had been counted
//! ```
//!
//! That ends it with status 1, wrong arguments do with status 2.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sylvan::thread::{self, Group};

#[path = "support/number.rs"]
mod number;

use number::number;

/// What has been seen so far.
#[derive(Default)]
struct Counts {
    directories: AtomicU64,
    files: AtomicU64,
    lines: AtomicU64,
    running: AtomicU64,
    most_at_once: AtomicU64,
}

/// Counts its thread among those that run, also when that is unwound.
struct Running<'a>(&'a Counts);

impl Running<'_> {
    fn new(counts: &Counts) -> Running<'_> {
        // ORDERING: Relaxed, here and below; nothing depends on these but what is printed in the
        // end, and the group's end orders that.
        let now = counts.running.fetch_add(1, Relaxed) + 1;
        counts.most_at_once.fetch_max(now, Relaxed);
        Running(counts)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

/// What ends the whole crawl.
struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

type Crawl<'scope, 'env> = &'scope Group<'scope, 'env, Unreadable>;

/// Reads a directory, and has threads of the group do the rest.
fn read_directory<'scope>(
    crawl: Crawl<'scope, '_>,
    counts: &'scope Counts,
    path: &Path,
) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() || kind.is_file() {
            // Spawning waits for nobody, limit or not: who spawns here counts among those that
            // run, and so might wait for itself. The new thread waits until it may begin.
            crawl.spawn(move || visit(crawl, counts, path, kind.is_dir()));
        }
    }
    counts.directories.fetch_add(1, Relaxed);
    Ok(())
}

fn read_file(counts: &Counts, path: &Path) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    counts.lines.fetch_add(text.lines().count() as u64, Relaxed);
    counts.files.fetch_add(1, Relaxed);
    Ok(())
}

/// The whole life of a thread of the group.
fn visit<'scope>(
    crawl: Crawl<'scope, '_>,
    counts: &'scope Counts,
    path: PathBuf,
    is_directory: bool,
) -> Result<(), Unreadable> {
    let _running = Running::new(counts);
    // std's calls block the worker and are not cut off. Without this call, threads that have begun
    // would read on when the crawl has failed.
    thread::yield_now();
    let outcome = match is_directory {
        true => read_directory(crawl, counts, &path),
        false => read_file(counts, &path),
    };
    outcome.map_err(|error| Unreadable { path, error })
}

fn crawl(dir: PathBuf, limit: u64, counts: &Counts) -> Result<(), Unreadable> {
    thread::group(|crawl| {
        crawl.limit(limit as usize);
        crawl.spawn(|| visit(crawl, counts, dir, true));
        Ok(())
    })
}

#[sylvan::main]
fn main() -> ExitCode {
    let (dir, limit) = match parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("crawl_limit: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let counts = Counts::default();
    let outcome = crawl(dir, limit, &counts);
    let Counts { directories, files, lines, running, most_at_once } = counts;
    assert_eq!(running.into_inner(), 0, "the group has joined all");
    let files = files.into_inner();
    if let Err(Unreadable { path, error }) = outcome {
        eprintln!("crawl_limit: {path:?}: {error}; {files} files had been counted");
        return ExitCode::FAILURE;
    }
    let (directories, lines) = (directories.into_inner(), lines.into_inner());
    println!("{files} files in {directories} directories: {lines} lines");
    let most = most_at_once.into_inner();
    println!("at most {most} threads at a time, of {limit} that were allowed");
    ExitCode::SUCCESS
}

/// `None`: the user wants to know the usage.
fn parse(mut given: impl Iterator<Item = OsString>) -> Result<Option<(PathBuf, u64)>, String> {
    let (mut dir, mut limit) = (None, 8);
    while let Some(argument) = given.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--limit") => limit = number("--limit", given.next(), 1, LIMIT_MAX)?,
            Some(text) if text.starts_with('-') && text.len() > 1 => {
                return Err(format!("unknown option {text:?}; accepted: --limit N"));
            }
            _ if dir.is_some() => {
                return Err(format!("one DIR is accepted, and {argument:?} is the second"));
            }
            _ => dir = Some(PathBuf::from(argument)),
        }
    }
    let dir = dir.unwrap_or_else(|| PathBuf::from(SOURCE));
    match dir.is_dir() {
        true => Ok(Some((dir, limit))),
        false => Err(format!("{dir:?} is not a directory; accepted: a directory")),
    }
}

const USAGE: &str = "usage: crawl_limit [DIR] [--limit N]\n";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/runtime/src");
const LIMIT_MAX: u64 = 10_000;
