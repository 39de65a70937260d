//! Lets a test run a part of itself in a child process: one that may die, that has other limits
//! or variables, or whose standard error is to be read.
//!
//! The child is this test program again, told by an argument to run the one test, and by
//! `SYLVAN_TEST_CHILD` which of its cases. It runs for a limited time: a hang is a failure with the
//! output so far, never a test that does not end. Its limits are set by the system call and not by
//! a shell, for shells differ in the letters of `ulimit`.
//!
//! What this file must never do: depend on the fixture, whose counts of threads and stacks make no
//! sense in a process that is about to die.
#![allow(dead_code, reason = "each test program uses its part")]

use std::ffi::c_int;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sylvan::{Builder, Mapping, Runtime};

/// Which case of the test this child process is to run; `None` in the test itself.
pub fn case() -> Option<String> {
    std::env::var(CASE).ok()
}

/// The test `name` of this program, to be run as a child process.
pub fn child(name: &str, case: &str) -> Child {
    let program = std::env::current_exe().expect("a test program knows its path");
    let arguments = ["--exact", name, "--nocapture", "--test-threads=1"].map(str::to_owned);
    let mut child = Child::of(program, arguments.to_vec());
    child.variables.push((CASE.to_owned(), case.to_owned()));
    child
}

/// A process that has not started.
pub struct Child {
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    limits: Vec<(Limit, u64)>,
    unprivileged: bool,
}

impl Child {
    /// Another program than the test itself.
    pub fn of(program: PathBuf, arguments: Vec<String>) -> Child {
        // A child that dies on purpose leaves no core.
        let limits = vec![(Limit::CoreBytes, 0)];
        Child { program, arguments, variables: Vec::new(), limits, unprivileged: false }
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Child {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a limit for the child.
    ///
    /// Where the address space is limited, the allocator of the C library takes its share first,
    /// for all threads in one place: what it cannot give aborts a Rust program, and that is not
    /// what a limit is to show.
    pub fn limit(mut self, limit: Limit, value: u64) -> Child {
        self.limits.push((limit, value));
        if matches!(limit, Limit::AddressSpaceBytes) {
            return self.env("MALLOC_ARENA_MAX", "1").env("MALLOC_TOP_PAD_", "134217728");
        }
        self
    }

    /// Runs the child as a user whom limits bind: root is exempt from some.
    pub fn unprivileged(mut self) -> Child {
        self.unprivileged = true;
        self
    }

    /// Runs the child to its end, or until it has hung for too long.
    pub fn run(self) -> Ended {
        let demoted = self.unprivileged && is_root();
        // The build folder may be closed to that user.
        let copy = demoted.then(|| OpenCopy::of(&self.program));
        let program = copy.as_ref().map_or(self.program.as_path(), OpenCopy::path);
        let mut command = Command::new(program);
        command.args(&self.arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SYLVAN_") {
                command.env_remove(name);
            }
        }
        command.env("RUST_BACKTRACE", "0").env_remove("RUST_MIN_STACK");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if demoted {
            command.uid(NOBODY).gid(NOBODY).current_dir("/");
        }
        let limits = self.limits;
        // SAFETY: it makes system calls alone, and nothing that a fork forbids.
        unsafe { command.pre_exec(move || limits.iter().try_for_each(set_limit)) };
        let mut process = command.spawn().expect("it can be run");
        let stdout = collect(process.stdout.take().expect("piped"));
        let stderr = collect(process.stderr.take().expect("piped"));
        let begun = Instant::now();
        let status = loop {
            match process.try_wait().expect("it is our child") {
                Some(status) => break Some(status),
                None if begun.elapsed() > HANG => break None,
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        if status.is_none() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let Some(status) = status else {
            panic!("the child hung\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        };
        Ended { status, stdout, stderr }
    }
}

/// What can be limited, by Linux's numbers.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Limit {
    CoreBytes = 4,
    /// Kernel threads of the child's user, in all of its processes; does not bind root.
    Processes = 6,
    LockedBytes = 8,
    AddressSpaceBytes = 9,
}

fn set_limit(&(limit, value): &(Limit, u64)) -> io::Result<()> {
    #[repr(C)]
    struct Rlimit {
        soft: u64,
        hard: u64,
    }
    unsafe extern "C" {
        fn setrlimit(resource: c_int, limit: *const Rlimit) -> c_int;
    }
    let wanted = Rlimit { soft: value, hard: value };
    // SAFETY: the structure is laid out as the call expects it on 64-bit Linux.
    match unsafe { setrlimit(limit as c_int, &wanted) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What a child process left.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// It ended well, which for a child test means that it ran and passed.
    #[track_caller]
    pub fn passed(self) -> Ended {
        assert!(self.status.success(), "{self}");
        assert!(!self.stdout.contains("running 0 tests"), "the name fits no test: {self}");
        self
    }

    /// It ended with this code.
    #[track_caller]
    pub fn exited_with(self, code: i32) -> Ended {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// It died by SIGABRT.
    #[track_caller]
    pub fn aborted(self) -> Ended {
        self.died_by(6)
    }

    /// It died by this signal.
    #[track_caller]
    pub fn died_by(self, signal: i32) -> Ended {
        assert_eq!(self.status.signal(), Some(signal), "{self}");
        self
    }

    /// Standard error holds each of these texts.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Ended {
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in: {self}");
        }
        self
    }

    /// Standard error does not hold this text.
    #[track_caller]
    pub fn does_not_say(self, text: &str) -> Ended {
        assert!(!self.stderr.contains(text), "{text:?} is in: {self}");
        self
    }

    /// Standard output holds each of these texts.
    #[track_caller]
    pub fn prints(self, texts: &[&str]) -> Ended {
        for text in texts {
            assert!(self.stdout.contains(text), "no {text:?} in: {self}");
        }
        self
    }

    /// The child could not have what it needs here, and said so; so does the test.
    pub fn was_skipped(&self) -> bool {
        let line = self.stdout.lines().find_map(|line| line.split_once(SKIPPED));
        if let Some((_, why)) = line {
            eprintln!("{SKIPPED}{why}");
        }
        line.is_some()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ended { status, stdout, stderr } = self;
        write!(f, "{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Says, in a child, that this machine cannot show what the test is about.
pub fn skip(why: &str) {
    println!("{SKIPPED}{why}");
}

/// The shapes of runtimes under which a test runs: a mapping and a number of workers.
pub fn shapes() -> Vec<Builder> {
    let many = [2, 4, 8].map(|workers| shape(Mapping::ManyToMany).workers(workers));
    [shape(Mapping::OneToOne), shape(Mapping::ManyToOne)].into_iter().chain(many).collect()
}

/// A builder for one mapping.
pub fn shape(mapping: Mapping) -> Builder {
    Runtime::builder().mapping(mapping)
}

/// The mappings whose threads are green.
pub const GREEN: [Mapping; 2] = [Mapping::ManyToOne, Mapping::ManyToMany];
/// All mappings.
pub const MAPPINGS: [Mapping; 3] = [Mapping::OneToOne, Mapping::ManyToOne, Mapping::ManyToMany];

/// Kernel threads of this process.
pub fn kernel_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Open descriptors of this process, the one that counts them included.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Waits until `condition` holds; panics when that takes absurdly long.
#[track_caller]
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Yields until `condition` holds, so that the other threads of its worker get there; panics when
/// that takes absurdly long.
///
/// `wait_for` is for kernel threads: in a green thread it would stop the worker.
#[track_caller]
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain for: {what}");
        sylvan::thread::yield_now();
    }
}

/// The text of a panic's payload.
pub fn text_of(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "<no text>".to_owned(),
    }
}

/// The text with which `f` panics.
#[track_caller]
pub fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => text_of(&*payload),
    }
}

/// Whether this process is root, whom some limits do not bind.
pub fn is_root() -> bool {
    user() == Some(0)
}

fn user() -> Option<u32> {
    user_in(&fs::read_to_string("/proc/self/status").ok()?)
}

fn user_in(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Kernel threads of the user that an unprivileged child runs as, in all of its processes.
pub fn threads_of_unprivileged_user() -> u64 {
    let user = if is_root() { Some(NOBODY) } else { user() };
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let statuses = processes
        .flatten()
        .filter_map(|process| fs::read_to_string(process.path().join("status")).ok());
    statuses
        .filter(|status| user_in(status) == user)
        .filter_map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("Threads:"))?;
            line.trim().parse::<u64>().ok()
        })
        .sum()
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A copy of a program that every user may run; it goes with the value.
struct OpenCopy(PathBuf);

impl OpenCopy {
    fn of(program: &Path) -> OpenCopy {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // ORDERING: Relaxed; a number.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sylvan-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // By a process of its own: while this one has the copy open for writing, a child that
        // another test forks would inherit that, and the copy could not be run.
        let copied = Command::new("cp").arg(program).arg(&path).status().expect("there is cp");
        assert!(copied.success(), "the folder for temporary files has no room");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, open).expect("the copy is ours");
        OpenCopy(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for OpenCopy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const CASE: &str = "SYLVAN_TEST_CHILD";
const SKIPPED: &str = "SKIPPED: ";
const NOBODY: u32 = 65534;
const HANG: Duration = Duration::from_secs(40);
