//! The same program under three mappings, measured side by side: what do green threads cost?
//!
//! `models [--threads N] [--dir DIR] [--megabytes N]`
//!
//! - `--threads N`: how many green threads wait at once, 1 to 10,000,000, where nothing is said
//!   100,000. Kernel threads are dearer: 1:1 gets 2,000 of them, or N if that is less.
//! - `--dir DIR`: whose words are counted, where nothing is said this repository.
//! - `--megabytes N`: the count is repeated until it has read so much, 0 to 100,000, where nothing
//!   is said 64. At most 20,000 threads are spent on it.
//!
//! ```text
//! $ cargo run --release --example models
//! mapping  kernel threads  spawn+join     yield  resident/thread  waiting  word count
//! 1:1               2,002   71,473 ns  1,476 ns         14.0 KiB    2,000    1,071 ms
//! n:1                   1      102 ns     34 ns          4.7 KiB  100,000      449 ms
//! m:n                   3      187 ns     37 ns          4.7 KiB  100,000      235 ms
//! ```
//!
//! and below it what the columns mean, and two sentences on what one sees. The numbers are those
//! of a machine with two processors that was busy with other work, and vary. While it runs, a
//! terminal shows a bar. A picture of the table goes to `models.svg` in the current directory.
//!
//! What the machine refuses (threads, memory, descriptors, guards) is a reason below the table and
//! no failure: the column shows what there was until then, and the exit status is 0. It is 2 for
//! wrong arguments, and for a variable such as `SYLVAN_WORKERS` with a wrong value.
//!
//! Each number is measured in a process of its own (`child.rs`), which this one starts and reads
//! (`parent.rs`): so no number contains what another measurement left behind, and a process that
//! dies of a limit leaves a gap in a table instead of no table.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;

use sylvan::{Mapping, Runtime};

use arguments::{Arguments, Task};

mod arguments;
mod child;
#[path = "../wordcount/count.rs"]
mod count;
#[path = "../support/number.rs"]
mod number;
mod parent;
mod picture;
mod progress;
mod report;

// A plain `main`: the runtimes are made in the children, one mapping each.
fn main() -> ExitCode {
    match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Task::Table(arguments)) => make_table(&arguments),
        Ok(Task::Child(order)) => child::run(&order),
        Ok(Task::Usage) => print(arguments::USAGE),
        Err(message) => refuse(&message),
    }
}

fn make_table(arguments: &Arguments) -> ExitCode {
    if let Err(message) = check_environment() {
        return refuse(&message);
    }
    let measured = parent::measure(arguments);
    let mut text = report::text(&measured);
    text += &match std::fs::write(PICTURE, picture::svg(&measured)) {
        Ok(()) => format!("{PICTURE} shows the table as a picture.\n"),
        Err(error) => format!("{PICTURE} could not be written: {error}\n"),
    };
    print(&text)
}

/// Finds a variable with a wrong value, once and not in each child. An n:1 runtime starts no
/// kernel thread, so this is refused by nothing else.
fn check_environment() -> Result<(), String> {
    match Runtime::builder().mapping(Mapping::ManyToOne).build() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn refuse(message: &str) -> ExitCode {
    eprint!("models: {message}\n{}", arguments::USAGE);
    ExitCode::from(2)
}

/// Prints in one piece. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("models: the table could not be printed: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// In the current directory.
const PICTURE: &str = "models.svg";
