//! Counts the words of every text file below a directory, with one green thread per file.
//!
//! `wordcount [DIR] [--check]`; without DIR it counts this repository. Files that git would ignore
//! and hidden ones are left out. What is not text (a zero byte, or not UTF-8) is skipped and
//! counted; what cannot be read is reported, and the rest goes on. `--check` counts once more with
//! a single thread and ends with status 1 if the two differ. Wrong arguments end it with status 2.
//!
//! ```text
//! $ cargo run --release --example wordcount -- --check
//!              the  4281
//!                a  2870
//!              let  2852
//!                   (seventeen more)
//! 167 files, 1101829 bytes, 148133 words, 3753 different ones
//! skipped: 0 that are not text, 0 that could not be read
//! counted under m:n in 2 tables
//! check: the single-threaded count is the same
//! ```
//!
//! The numbers grow with the repository. The same binary counts the same with
//! `SYLVAN_MAPPING=n:1` (one table) and `SYLVAN_MAPPING=1:1` (one kernel thread and one table per
//! file); how, and why that is sound, is told in `count.rs`.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use count::Count;

mod count;

#[sylvan::main]
fn main() -> ExitCode {
    match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => run(&arguments),
        Ok(None) => print(USAGE),
        Err(message) => {
            eprint!("wordcount: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

const USAGE: &str = "usage: wordcount [DIR] [--check]\n";

struct Arguments {
    dir: PathBuf,
    check: bool,
}

impl Arguments {
    /// `None`: the user wants to know the usage.
    fn parse(given: impl Iterator<Item = OsString>) -> Result<Option<Arguments>, String> {
        let (mut dir, mut check) = (None, false);
        for argument in given {
            match argument.to_str() {
                Some("--help" | "-h") => return Ok(None),
                Some("--check") => check = true,
                Some(text) if text.starts_with('-') && text.len() > 1 => {
                    return Err(format!("unknown option {text:?}; accepted: --check"));
                }
                _ if dir.is_some() => {
                    return Err(format!("one DIR is accepted, and {argument:?} is the second"));
                }
                _ => dir = Some(PathBuf::from(argument)),
            }
        }
        let dir = dir.unwrap_or_else(count::default_dir);
        match dir.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(Some(Arguments { dir, check })),
            Ok(_) => Err(format!("{dir:?} is not a directory; accepted: a directory")),
            Err(error) => Err(format!(
                "{dir:?} cannot be used: {error}; accepted: a directory that can be read"
            )),
        }
    }
}

fn run(arguments: &Arguments) -> ExitCode {
    let (files, mut unreadable) = count::files_below(&arguments.dir);
    let (count, table_count) = count::one_thread_per_file(&files);
    unreadable.extend(count.unreadable.iter().cloned());
    for message in &unreadable {
        eprintln!("wordcount: {message}");
    }
    let mut text = report(&count, unreadable.len());
    let mapping = sylvan::Handle::current().config().mapping;
    let tables = if table_count == 1 { "table" } else { "tables" };
    let _ = writeln!(text, "counted under {mapping} in {table_count} {tables}");
    let same = !arguments.check || count == count::single_threaded(&files);
    if arguments.check {
        text += if same {
            "check: the single-threaded count is the same\n"
        } else {
            "check: the single-threaded count DIFFERS\n"
        };
    }
    let printed = print(&text);
    if same { printed } else { ExitCode::FAILURE }
}

/// The most frequent words, and the totals.
fn report(count: &Count, unreadable_count: usize) -> String {
    let mut words: Vec<_> = count.words.iter().collect();
    // Words that occur equally often stand in the order of the alphabet.
    words.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut text = String::new();
    for (word, times) in words.iter().take(WORDS_SHOWN) {
        let _ = writeln!(text, "{word:>16}  {times}");
    }
    let Count { files, bytes, not_text, .. } = count;
    let (total, different) = (count.words_total(), words.len());
    let is = if *not_text == 1 { "is" } else { "are" };
    let _ = writeln!(
        text,
        "{files} files, {bytes} bytes, {total} words, {different} different ones\n\
         skipped: {not_text} that {is} not text, {unreadable_count} that could not be read"
    );
    text
}

/// Prints in one piece. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("wordcount: the result could not be printed: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

const WORDS_SHOWN: usize = 20;
