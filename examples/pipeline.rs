//! Counts words in four stages, none of which can run away from the next.
//!
//! A reader takes files apart into lines, splitters take lines apart into words, counters fill
//! tables with them, and a sink adds the tables up. Between two stages lies a channel with room for
//! few messages. A stage that finds it full waits. So the slowest stage sets the pace of all
//! others, up to the reader, and however long the text is, few lines of it are in memory. A stage
//! ends when its input does, which is when all senders of the stage before have been dropped. There
//! is no other control, and no stage knows any other.
//!
//! The words and the totals are the same in each run, and are compared with what one thread alone
//! counts. Below them are figures of this run, which differ each time: how many messages were in a
//! channel at most, and how often a stage found it full and had to wait. Where a figure exceeds
//! what the capacities allow, the program says so and ends with status 1.
//!
//! ```text
//! $ cargo run --release --example pipeline
//!          the  8554
//!          let  6659
//!            a  6015
//!           is  4810
//!         self  4751
//!       thread  4394
//!           fn  4192
//!           of  3487
//! 365 files, 64291 lines, 319412 words, 4617 different
//! one thread alone counts the same
//!
//! in this run:
//!  channel  capacity  messages  most at once  found full
//!    lines        64     64291            64        3212
//!    words        16     64291            16        6428
//!   tables         2       321             1           0
//! at most 67 of 64291 lines were in memory at once
//! ```
//!
//! `pipeline [DIR]` reads the files below DIR that end in `.md` or `.rs` and that git would not
//! ignore; without DIR those of this repository, so that the numbers grow with it. Reading blocks
//! the kernel thread, as std's reads do. A file that cannot be read ends the program with status 1,
//! wrong arguments with status 2.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use sylvan::channel::{Receiver, Sender, TrySendError, bounded};
use sylvan::thread::{self, Scope};

/// How often each word occurs.
type Table = HashMap<String, usize>;

/// What a stage sends into: a channel, and what is seen of it.
struct Output<'a, T> {
    sender: Sender<T>,
    gauge: &'a Gauge,
}

#[derive(Default)]
struct Gauge {
    messages: AtomicUsize,
    most_at_once: AtomicUsize,
    found_full: AtomicUsize,
}

impl<T> Output<'_, T> {
    /// Sends, and waits while the channel is full. `false`: nobody wants more.
    fn send(&self, message: T) -> bool {
        let sent = match self.sender.try_send(message) {
            Ok(()) => true,
            Err(TrySendError::Disconnected(_)) => false,
            Err(TrySendError::Full(message)) => {
                // ORDERING: Relaxed, here and below; they are read when all stages have ended.
                self.gauge.found_full.fetch_add(1, Relaxed);
                self.sender.send(message).is_ok()
            }
        };
        self.gauge.messages.fetch_add(usize::from(sent), Relaxed);
        self.gauge.most_at_once.fetch_max(self.sender.len(), Relaxed);
        sent
    }
}

impl<T> Clone for Output<'_, T> {
    fn clone(&self) -> Self {
        Output { sender: self.sender.clone(), gauge: self.gauge }
    }
}

/// Counts the lines that have been read and whose words have not been passed on.
#[derive(Default)]
struct InMemory {
    now: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl InMemory {
    fn enter(&self) {
        // ORDERING: Relaxed; the channel orders a line's two steps, and a line that has left before
        // the receiver took a later one.
        let now = self.now.fetch_add(1, Relaxed) + 1;
        // ORDERING: Relaxed; it is read when all stages have ended.
        self.most_at_once.fetch_max(now, Relaxed);
    }

    fn leave(&self) {
        // ORDERING: Relaxed, as above.
        self.now.fetch_sub(1, Relaxed);
    }
}

/// What was seen in one run.
#[derive(Default)]
struct Figures {
    lines: Gauge,
    words: Gauge,
    tables: Gauge,
    lines_in_memory: InMemory,
}

fn read(files: &[PathBuf], lines: &Output<String>, in_memory: &InMemory) -> Result<(), String> {
    for path in files {
        let failed = |error| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(failed)?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(failed)?;
            in_memory.enter();
            if !lines.send(line) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn split(lines: &Receiver<String>, words: &Output<Vec<String>>, in_memory: &InMemory) {
    for line in lines {
        if !words.send(words_of(&line)) {
            return;
        }
        in_memory.leave();
    }
}

/// Sends a table whenever it has seen so many words, and what is left at the end.
fn count(words: &Receiver<Vec<String>>, tables: &Output<Table>) {
    let (mut table, mut in_table) = (Table::new(), 0);
    for word in words.iter().flatten() {
        *table.entry(word).or_default() += 1;
        in_table += 1;
        if in_table == WORDS_PER_TABLE {
            in_table = 0;
            if !tables.send(std::mem::take(&mut table)) {
                return;
            }
        }
    }
    if in_table > 0 {
        tables.send(table);
    }
}

fn add_up(tables: &Receiver<Table>) -> Table {
    let mut total = Table::new();
    for (word, times) in tables.iter().flatten() {
        *total.entry(word).or_default() += times;
    }
    total
}

/// Starts `threads` threads for a stage. Each has its own clones of the ends that it works with, so
/// the channels are as long connected as somebody works.
fn stage<'scope, I: Clone + Send + 'scope, O: Clone + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    threads: usize,
    ends: (I, O),
    work: impl Fn(I, O) + Copy + Send + 'scope,
) {
    for _ in 0..threads {
        let (input, output) = ends.clone();
        scope.spawn(move || work(input, output));
    }
}

fn channel<T>(capacity: usize, gauge: &Gauge) -> (Output<'_, T>, Receiver<T>) {
    let (sender, receiver) = bounded(capacity);
    (Output { sender, gauge }, receiver)
}

fn count_in_stages(files: &[PathBuf], figures: &Figures) -> Result<Table, String> {
    let (into_lines, lines) = channel(LINES, &figures.lines);
    let (into_words, words) = channel(WORDS, &figures.words);
    let (into_tables, tables) = channel(TABLES, &figures.tables);
    let in_memory = &figures.lines_in_memory;
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(files, &into_lines, in_memory));
        stage(scope, SPLITTERS, (lines, into_words), |input, output| {
            split(&input, &output, in_memory);
        });
        stage(scope, COUNTERS, (words, into_tables), |input, output| count(&input, &output));
        let total = add_up(&tables);
        reader.join().expect("the reader does not panic").map(|()| total)
    })
}

/// Counts as one thread alone does. Also returns how many lines there are.
fn count_alone(files: &[PathBuf]) -> Result<(Table, usize), String> {
    let (mut total, mut lines) = (Table::new(), 0);
    for path in files {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        lines += text.lines().count();
        for word in words_of(&text) {
            *total.entry(word).or_default() += 1;
        }
    }
    Ok((total, lines))
}

/// Runs of letters and digits, where `A` to `Z` count as small.
fn words_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect()
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    // Also without a `.git` beside it: an unpacked archive should give the same count.
    for entry in ignore::WalkBuilder::new(dir).require_git(false).build() {
        let entry = entry.map_err(|error| error.to_string())?;
        let ending = entry.path().extension();
        let is_text = ending.is_some_and(|ending| ending == "md" || ending == "rs");
        if is_text && entry.file_type().is_some_and(|kind| kind.is_file()) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

fn work(dir: &Path) -> Result<(), String> {
    let files = files_below(dir)?;
    let figures = Figures::default();
    let total = count_in_stages(&files, &figures)?;
    let (alone, lines) = count_alone(&files)?;

    let mut words: Vec<_> = total.iter().collect();
    words.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (word, times) in words.iter().take(WORDS_SHOWN) {
        println!("{word:>12}  {times}");
    }
    let sum: usize = total.values().sum();
    println!("{} files, {lines} lines, {sum} words, {} different", files.len(), words.len());
    if total != alone {
        return Err("one thread alone counts otherwise".to_owned());
    }
    println!("one thread alone counts the same");
    show(&figures, lines)
}

/// Prints the figures, and says which of them cannot be.
fn show(figures: &Figures, lines: usize) -> Result<(), String> {
    println!("\nin this run:\n channel  capacity  messages  most at once  found full");
    // ORDERING: Relaxed, as all below; the end of the scope orders what its threads have done.
    let value = |number: &AtomicUsize| number.load(Relaxed);
    let Figures { lines: from_reader, words, tables, lines_in_memory } = figures;
    let rows = [("lines", LINES, from_reader), ("words", WORDS, words), ("tables", TABLES, tables)];
    for (name, capacity, gauge) in rows {
        let (messages, full) = (value(&gauge.messages), value(&gauge.found_full));
        let most = value(&gauge.most_at_once);
        println!("{name:>8}  {capacity:>8}  {messages:>8}  {most:>12}  {full:>10}");
        if most > capacity {
            return Err(format!("{most} messages are more than a channel for {capacity} holds"));
        }
    }
    let most = value(&lines_in_memory.most_at_once);
    println!("at most {most} of {lines} lines were in memory at once");
    // Those in the channel, one in the hand of the reader, and one in that of each splitter.
    let possible = LINES + 1 + SPLITTERS;
    match most <= possible {
        true => Ok(()),
        false => Err(format!("more than {possible} lines should not be in memory")),
    }
}

#[sylvan::main]
fn main() -> ExitCode {
    let result = match dir(std::env::args_os().skip(1)) {
        Ok(Some(dir)) => work(&dir),
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("pipeline: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("pipeline: {message}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: the user wants to know the usage.
fn dir(mut given: impl Iterator<Item = OsString>) -> Result<Option<PathBuf>, String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = match given.next() {
        Some(argument) if argument == "--help" || argument == "-h" => return Ok(None),
        Some(argument) => PathBuf::from(argument),
        None if repository.is_dir() => repository.to_path_buf(),
        // The program was carried elsewhere.
        None => PathBuf::from("."),
    };
    if let Some(second) = given.next() {
        return Err(format!("one DIR is accepted, and {second:?} is the second"));
    }
    match dir.is_dir() {
        true => Ok(Some(dir)),
        false => Err(format!("{dir:?} is not a directory; accepted: a directory")),
    }
}

const USAGE: &str = "usage: pipeline [DIR]\n";
const WORDS_SHOWN: usize = 8;
const WORDS_PER_TABLE: usize = 1_000;
const SPLITTERS: usize = 2;
const COUNTERS: usize = 2;
/// Capacities of the channels.
const LINES: usize = 64;
const WORDS: usize = 16;
const TABLES: usize = 2;
