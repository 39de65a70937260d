//! Counting the words of many files, with one thread per file and one table per worker.
//!
//! A table that all threads share would make them wait for each other at every word. So there is
//! one per kernel thread that runs them, and they are merged at the end. `std::thread::current()`
//! names the kernel thread, for std knows no other, and a green thread never leaves the worker on
//! which it started; nothing between the look-up and the last word waits, so no other thread of
//! the worker comes between, and the table's lock is always free. Under 1:1 each thread is a
//! kernel thread, so there the same code makes one table per file.
//!
//! Reading a file blocks the kernel thread, as std's reads do: the other threads of that worker
//! run when it is done. Never may a table be locked over something that waits, or the worker
//! would wait for itself.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use sylvan::thread::{self, Scope, ScopedJoinHandle};

/// What was counted. Two counts of the same files are equal, whoever counted in whatever order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Count {
    /// How often each word occurs: a run of letters and digits, where `A` to `Z` count as small.
    pub words: HashMap<Box<str>, u64>,
    /// Files that are text, and the sum of their sizes.
    pub files: u64,
    pub bytes: u64,
    /// Files with a zero byte, or that are not UTF-8.
    pub not_text: u64,
    /// One message per file or directory that could not be read.
    pub unreadable: Vec<String>,
}

impl Count {
    /// Returns how many words there are, each occurrence counted.
    pub fn words_total(&self) -> u64 {
        self.words.values().sum()
    }

    /// Adds one file.
    fn add_file(&mut self, path: &Path, content: io::Result<Vec<u8>>) {
        let text = match content {
            Ok(bytes) if bytes.contains(&0) => Err(()),
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| ()),
            Err(error) => return self.unreadable.push(format!("{}: {error}", path.display())),
        };
        let Ok(mut text) = text else {
            self.not_text += 1;
            return;
        };
        self.files += 1;
        self.bytes += text.len() as u64;
        text.make_ascii_lowercase();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            match self.words.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(self.words.insert(word.into(), 1)),
            }
        }
    }

    /// Adds what another table has counted.
    pub fn merge(&mut self, other: Count) {
        for (word, count) in other.words {
            *self.words.entry(word).or_default() += count;
        }
        self.files += other.files;
        self.bytes += other.bytes;
        self.not_text += other.not_text;
        self.unreadable.extend(other.unreadable);
    }
}

/// Returns what is counted where the user names nothing: the repository that this program was built
/// from or, if it is not there any more, the current directory.
pub fn default_dir() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let there = if repository.is_dir() { repository } else { Path::new(".") };
    there.to_path_buf()
}

/// Finds the files below `dir` that git would not ignore, hidden ones left out, and says of which
/// directories it could not read the entries.
pub fn files_below(dir: &Path) -> (Vec<PathBuf>, Vec<String>) {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    // Also without a `.git` beside it: an unpacked archive should give the same count.
    for entry in ignore::WalkBuilder::new(dir).require_git(false).build() {
        match entry {
            // Others, such as a pipe, might keep a reader waiting for ever.
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                files.push(entry.into_path());
            }
            Ok(_) => (),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    files.sort_unstable();
    (files, unreadable)
}

/// Counts with a single thread, the caller's.
pub fn single_threaded(files: &[PathBuf]) -> Count {
    let mut count = Count::default();
    for file in files {
        count.add_file(file, std::fs::read(file));
    }
    count.unreadable.sort_unstable();
    count
}

/// Counts with one thread per file. Returns the count, and how many tables were merged for it.
pub fn one_thread_per_file(files: &[PathBuf]) -> (Count, usize) {
    let tables = Tables::default();
    thread::scope(|scope| {
        let mut running = VecDeque::with_capacity(files.len());
        for file in files {
            start(scope, &tables, file, &mut running);
        }
        for (file, thread) in running {
            finish(&tables, file, thread);
        }
    });
    tables.merge()
}

type Running<'scope, 'env> = VecDeque<(&'env Path, ScopedJoinHandle<'scope, ()>)>;

/// Starts a thread for `file`. A system that has no further thread to give makes this slower and
/// not wrong: the oldest is waited for and, if there is none, the caller does the work.
fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    tables: &'env Tables,
    file: &'env Path,
    running: &mut Running<'scope, 'env>,
) {
    let count = move || tables.add(file);
    loop {
        match thread::Builder::new().spawn_scoped(scope, count) {
            Ok(thread) => return running.push_back((file, thread)),
            Err(_) => match running.pop_front() {
                Some((file, oldest)) => finish(tables, file, oldest),
                None => return count(),
            },
        }
    }
}

/// Waits for a thread. A green thread for which there was no stack has not run: its file is
/// counted here instead.
fn finish(tables: &Tables, file: &Path, thread: ScopedJoinHandle<'_, ()>) {
    match thread.join() {
        Ok(()) => (),
        Err(payload) if payload.is::<io::Error>() => tables.add(file),
        Err(payload) => resume_unwind(payload),
    }
}

/// One table per kernel thread that has counted something.
#[derive(Default)]
struct Tables(Mutex<HashMap<ThreadId, Arc<Mutex<Count>>>>);

impl Tables {
    fn add(&self, file: &Path) {
        let content = std::fs::read(file);
        let table = lock(&self.0).entry(std::thread::current().id()).or_default().clone();
        lock(&table).add_file(file, content);
    }

    fn merge(self) -> (Count, usize) {
        let tables = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let table_count = tables.len();
        let mut total = Count::default();
        for table in tables.into_values() {
            total.merge(std::mem::take(&mut lock(&table)));
        }
        // Which table a message comes from is chance.
        total.unreadable.sort_unstable();
        (total, table_count)
    }
}

/// Locks, also after a panic: that goes to the joiner, so a table it left behind is not used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
