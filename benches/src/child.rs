//! Starting a child process for one measurement, and reading off what came of it.
//!
//! The child is a program like this one, told which cell to measure. It prints its figures as the
//! only line on stdout, or ends in some other way, which then is the cell's error. The parent
//! waits in a read meanwhile and uses no processor.
#![forbid(unsafe_code)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::load::Snapshot;
use crate::measure;
use crate::row::{OPEN_COROUTINE, Outcome, Row, Scale};

/// Which program measures, and how.
pub(crate) struct Child<'a> {
    pub(crate) program: &'a str,
    pub(crate) row: &'a Row,
    pub(crate) peer: &'a str,
    pub(crate) scale: Scale,
    pub(crate) workers: &'a [usize],
}

/// Runs one measurement, and says besides whether load from elsewhere disturbed it.
pub(crate) fn measure(child: &Child) -> (Outcome, bool) {
    let before = Snapshot::now();
    let outcome = start(child);
    (outcome, before.disturbed())
}

fn start(child: &Child) -> Outcome {
    let mut command = Command::new(child.program);
    command.args(["measure", &child.row.name(), child.peer]).stdin(Stdio::null());
    let workers: Vec<String> = child.workers.iter().map(usize::to_string).collect();
    command.arg(format!("--workers={}", workers.join(",")));
    if child.scale.quick {
        command.arg("--quick");
    }
    if child.peer == OPEN_COROUTINE {
        // Its program does not know the rows, and its hooks are a library among those that cargo
        // built for it.
        let folder = Path::new(child.program).with_file_name("deps");
        command.env("LD_LIBRARY_PATH", folder);
        command.arg(format!("--limit={}", measure::limit_s(child.row, child.scale)));
    }
    // A setting for programs must not move a peer away from what its row says.
    for variable in ["MAPPING", "WORKERS", "STACK_SIZE", "BLOCKING_THREADS"] {
        command.env_remove(format!("SYLVAN_{variable}"));
    }
    for variable in ["TOKIO_WORKER_THREADS", "SMOL_THREADS", "RAYON_NUM_THREADS"] {
        command.env_remove(variable);
    }
    let output = command.output().map_err(|error| format!("no child process: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A peer may have printed something of its own before.
    let line = text.lines().last().unwrap_or("");
    if let Some(figures) = line.strip_prefix("figures ") {
        return Ok(figures.split(' ').map(|word| word.parse().unwrap_or(f64::NAN)).collect());
    }
    if let Some(reason) = line.strip_prefix("no ") {
        return Err(reason.trim().to_owned());
    }
    Err(match output.status.signal() {
        Some(ALARM) => {
            format!("fails: did not end within {} s", measure::limit_s(child.row, child.scale))
        }
        Some(signal) => format!("fails: killed by signal {signal}"),
        None => {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("fails: ended with {}; {}", output.status, first_complaint(&said))
        }
    })
}

/// The message of the first panic, or else the last line; what follows a first panic is its echo.
fn first_complaint(said: &str) -> String {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let panic = lines.clone().skip_while(|line| !line.contains("panicked at")).nth(1);
    let line = panic.or_else(|| lines.next_back()).unwrap_or("said nothing");
    line.chars().take(80).collect()
}

/// SIGALRM, by which the child ends itself.
const ALARM: i32 = 14;
