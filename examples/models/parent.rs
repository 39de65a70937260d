//! Starts a child per measurement, reads what it says, and keeps why something is missing.
//!
//! Both streams of a child end in one pipe, so that one loop can read them and this process needs
//! no thread of its own, which the system might refuse. Nothing that goes wrong with a child ends
//! this process.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use sylvan::Mapping;

use crate::arguments::{Arguments, Order};
use crate::progress::Progress;

/// Everything that the table and the picture show.
pub struct Measured {
    pub rows: Vec<Row>,
    /// What was counted; `None` if there was no text, or it could not be read.
    pub text: Option<Text>,
    /// What was refused, in which row.
    pub reasons: Vec<String>,
}

/// The text below the directory.
pub struct Text {
    pub files: u64,
    pub bytes: u64,
    pub words: u64,
    /// How often it was counted.
    pub passes: u64,
}

/// What was measured under one mapping; `None` where it could not be.
pub struct Row {
    pub mapping: Mapping,
    pub spawn_ns: Option<f64>,
    pub yield_ns: Option<f64>,
    pub words_ms: Option<f64>,
    pub waiting: Option<Waiting>,
}

/// The process when so many threads waited.
pub struct Waiting {
    pub threads: u64,
    pub bytes_per_thread: f64,
    pub kernel_threads: u64,
}

pub fn measure(arguments: &Arguments) -> Measured {
    let mut job = Job { progress: Progress::new(1 + 3 * 4), reasons: BTreeMap::new() };
    let text = job.text(arguments);
    let rows = MAPPINGS.map(|mapping| job.row(mapping, arguments, text.as_ref())).into();
    Measured { rows, text, reasons: job.reasons() }
}

struct Job {
    progress: Progress,
    /// What was missing, by reason: one refusal often meets several measurements. The number keeps
    /// the order in which they came.
    reasons: BTreeMap<String, (usize, Vec<String>)>,
}

impl Job {
    fn text(&mut self, arguments: &Arguments) -> Option<Text> {
        let order = Order::Plain { dir: arguments.dir.clone() };
        let found = self.child("text for the word count", &order);
        let [files, bytes, words] = found.get("text")?[..] else { return None };
        if files == 0.0 {
            self.note("word count", "there is no text below the directory");
            return None;
        }
        let wanted = (arguments.megabytes as f64 * 1e6 / bytes.max(1.0)).ceil();
        let possible = (FILE_THREADS_MAX / files).floor();
        let passes = wanted.min(possible).max(1.0) as u64;
        Some(Text { files: files as u64, bytes: bytes as u64, words: words as u64, passes })
    }

    fn row(&mut self, mapping: Mapping, arguments: &Arguments, text: Option<&Text>) -> Row {
        let spawned =
            self.child(&format!("{mapping} spawn+join"), &Order::SpawnAndJoin { mapping });
        let yielded = self.child(&format!("{mapping} yield"), &Order::Yield { mapping });
        let words_ms = text.and_then(|text| self.words(mapping, arguments, text));
        let waiting = self.waiting(mapping, arguments);
        let first = |found: &Found, key: &str| found.get(key)?.first().copied();
        Row {
            mapping,
            spawn_ns: first(&spawned, "spawn"),
            yield_ns: first(&yielded, "yield"),
            words_ms,
            waiting,
        }
    }

    fn words(&mut self, mapping: Mapping, arguments: &Arguments, text: &Text) -> Option<f64> {
        let label = format!("{mapping} word count");
        let (dir, passes) = (arguments.dir.clone(), text.passes);
        let found = self.child(&label, &Order::Words { mapping, dir, passes });
        let [time_ns, words] = found.get("words")?[..] else { return None };
        if words as u64 != text.words {
            let plain = text.words;
            self.note(
                &label,
                &format!("{words} words instead of {plain}, unless files changed meanwhile"),
            );
        }
        Some(time_ns / 1e6)
    }

    fn waiting(&mut self, mapping: Mapping, arguments: &Arguments) -> Option<Waiting> {
        let kernel = mapping == Mapping::OneToOne;
        let wanted = if kernel { arguments.threads.min(KERNEL_THREADS) } else { arguments.threads };
        let label = format!("{mapping} waiting threads");
        let found = self.child(&label, &Order::Waiting { mapping, threads: wanted });
        let [threads, bytes, kernel_threads] = found.get("waiting")?[..] else { return None };
        if threads == 0.0 {
            return None;
        }
        Some(Waiting {
            threads: threads as u64,
            bytes_per_thread: bytes / threads,
            kernel_threads: kernel_threads as u64,
        })
    }

    /// Runs a child to its end, and notes what went wrong.
    fn child(&mut self, label: &str, order: &Order) -> Found {
        self.progress.begin(label.to_owned());
        let mut found = Found::new();
        if let Err(error) = self.read_child(label, order, &mut found) {
            self.note(label, &format!("the process could not be started or read: {error}"));
        }
        self.progress.end();
        found
    }

    fn read_child(&mut self, label: &str, order: &Order, found: &mut Found) -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        // The command is dropped in this statement, and this process's writers with it.
        let mut child = Command::new(std::env::current_exe()?)
            .args(order.to_arguments())
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        let wanted = if let Order::Waiting { threads, .. } = order { *threads } else { 0 };
        let mut message = String::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            match line.strip_prefix("@ ").and_then(|rest| rest.split_once(' ')) {
                Some(("reason", reason)) => self.note(label, reason),
                Some((key, numbers)) => {
                    let numbers = numbers.split(' ').filter_map(|text| text.parse().ok());
                    let numbers: Vec<f64> = numbers.collect();
                    match (key, &numbers[..]) {
                        ("progress", [done, of]) => self.progress.part(*done as u64, *of as u64),
                        ("waiting", [done, ..]) => self.progress.part(*done as u64, wanted),
                        _ => (),
                    }
                    found.insert(key.to_owned(), numbers);
                }
                None if message.is_empty() && !is_preamble(&line) => message = line,
                None => (),
            }
        }
        let status = child.wait()?;
        if !status.success() {
            self.note(label, &format!("the process {}: {message}", ending(status)));
        }
        Ok(())
    }

    fn note(&mut self, label: &str, reason: &str) {
        let number = self.reasons.len();
        let (_, labels) = self.reasons.entry(reason.to_owned()).or_insert((number, Vec::new()));
        labels.push(label.to_owned());
    }

    /// One line per reason.
    fn reasons(self) -> Vec<String> {
        let mut reasons: Vec<_> = self.reasons.into_iter().collect();
        reasons.sort_unstable_by_key(|(_, (number, _))| *number);
        reasons.into_iter().map(|(why, (_, what))| format!("{}: {why}", what.join(", "))).collect()
    }
}

/// Whether a line of a dying process says nothing of why it dies.
fn is_preamble(line: &str) -> bool {
    line.is_empty() || line.contains("' panicked at ") || line.contains(") panicked at ")
}

/// The numbers that a child gave, by key; of several lines with one key the last.
type Found = BTreeMap<String, Vec<f64>>;

fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (_, Some(code)) => format!("ended with status {code}"),
        _ => "ended".to_owned(),
    }
}

const MAPPINGS: [Mapping; 3] = [Mapping::OneToOne, Mapping::ManyToOne, Mapping::ManyToMany];

/// How many threads wait under 1:1. More would not change what one costs.
const KERNEL_THREADS: u64 = 2_000;

/// Under 1:1 each file of each pass takes a kernel thread of some 20 µs.
const FILE_THREADS_MAX: f64 = 20_000.0;
