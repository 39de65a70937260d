//! Runs the examples as their users would, as processes, and looks at what they print.
//!
//! `cargo test` builds them before it runs this file, into `examples/` beside the folder in which
//! this test lies; for this file alone, run `cargo build --examples` before. Limits are
//! set by a shell in the child process, never here. A program that hangs is ended by `timeout` with
//! status 124, and fails its test.
//!
//! What only an unprivileged user meets (a limit on process ids, a file that cannot be read) is
//! run as user 65534 where these tests run as root, on a copy of the program that this user can
//! reach.
#![forbid(unsafe_code)]

mod channels;
mod ends;
mod net;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

const MAPPINGS: [&str; 3] = ["1:1", "n:1", "m:n"];

#[test]
fn hello_prints_its_lines_in_order_under_every_mapping() {
    for mapping in MAPPINGS {
        let said = Run::of("hello").variable("SYLVAN_MAPPING", mapping).succeeds();
        let expected: String = (1..=4).map(|n| format!("hello from thread {n}\n")).collect();
        assert_eq!(said.stdout, expected, "under {mapping}");
    }
}

#[test]
fn fork_join_sorts_as_std_does_under_every_mapping() {
    for mapping in MAPPINGS {
        let said = Run::of("fork_join").variable("SYLVAN_MAPPING", mapping).succeeds();
        assert_eq!(said.stdout.matches("same as std's").count(), 6, "{}", said.stdout);
    }
}

#[test]
fn parking_loses_no_wake_under_every_mapping() {
    for mapping in MAPPINGS {
        let said = Run::of("parking").variable("SYLVAN_MAPPING", mapping).succeeds();
        let lines: Vec<_> = said.stdout.lines().collect();
        assert!(lines[0].starts_with("1,000 threads, 3 permits: at most "), "{lines:?}");
        assert_eq!(lines[1], "served in the order of arrival: 0 1 2 3 4 5 6 7");
        assert_eq!(lines[2], "a cancelled waiter left the queue, and nobody else was passed over");
    }
}

#[test]
fn seeds_finds_its_bug_and_says_what_its_header_says() {
    // A run is the same in each build; what is printed holds no time and no address.
    let said = Run::of("seeds").succeeds();
    assert_eq!(said.stdout, promised(include_str!("../../examples/seeds.rs")));
}

#[test]
fn dining_says_what_its_header_says_under_every_mapping() {
    let expected = promised(include_str!("../../examples/dining.rs"));
    for mapping in MAPPINGS {
        let said = Run::of("dining").variable("SYLVAN_MAPPING", mapping).succeeds();
        assert_eq!(said.stdout, expected, "under {mapping}");
    }
}

#[test]
fn dining_serves_tables_of_other_sizes() {
    for philosophers in ["2", "100"] {
        let arguments = ["--philosophers", philosophers, "--meals", "20"];
        let said = Run::of("dining").arguments(&arguments).succeeds();
        let count = said.stdout.lines().filter(|line| line.ends_with(" ate 20 times")).count();
        assert_eq!(count.to_string(), philosophers, "{}", said.stdout);
    }
}

#[test]
fn futures_says_what_its_header_says_under_every_mapping() {
    let expected = promised(include_str!("../../examples/futures.rs"));
    for mapping in MAPPINGS {
        let run = Run::of("futures").variable("SYLVAN_MAPPING", mapping);
        let said = run.variable("SYLVAN_WORKERS", "1").succeeds();
        assert_eq!(said.stdout, expected, "under {mapping}");
    }
}

#[test]
fn bank_says_what_its_header_says_under_every_mapping() {
    let expected = promised(include_str!("../../examples/bank.rs"));
    for mapping in ["n:1", "m:n"] {
        let said = Run::of("bank").variable("SYLVAN_MAPPING", mapping).succeeds();
        assert_eq!(said.stdout, expected, "under {mapping}");
    }
    // Fewer clerks, so that it also fits under 1:1 with few process ids.
    let run = Run::of("bank").variable("SYLVAN_MAPPING", "1:1");
    let said = run.arguments(&["--clerks", "100"]).succeeds();
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!(lines[0], "100 accounts, 100 clerks, 100 transfers each");
    assert_eq!(lines[1], "100 audits: each found 100000 in all");
    assert!(lines[2].starts_with("after 10000 transfers: 100000 in all, and each "), "{lines:?}");
}

#[test]
fn bank_keeps_all_money_with_two_accounts_and_with_one_clerk() {
    for arguments in [
        &["--accounts", "2", "--clerks", "50", "--transfers", "20"][..],
        &["--clerks", "1", "--transfers", "1"],
    ] {
        let said = Run::of("bank").arguments(arguments).succeeds();
        assert!(said.stdout.contains("as one clerk alone would leave it"), "{}", said.stdout);
    }
}

#[test]
fn dining_and_bank_with_wrong_arguments_name_them_and_end_with_status_2() {
    for (example, arguments, message) in [
        ("dining", &["--meals", "0"][..], "--meals \"0\" is not possible; accepted: a whole"),
        ("dining", &["--philosophers", "1"], "--philosophers \"1\" is not possible; accepted:"),
        ("dining", &["--philosophers", "1001"], "accepted: a whole number from 2 to 1000"),
        ("dining", &["--philosophers"], "--philosophers needs a value; accepted: a whole"),
        ("dining", &["--forks"], "\"--forks\"; accepted: --philosophers N, --meals N"),
        ("bank", &["--accounts", "1"], "--accounts \"1\" is not possible; accepted: a whole"),
        ("bank", &["--clerks", "-3"], "--clerks \"-3\" is not possible; accepted: a whole"),
        ("bank", &["--clerks", "10001"], "accepted: a whole number from 1 to 10000"),
        ("bank", &["--transfers", "many"], "--transfers \"many\" is not possible; accepted:"),
        ("bank", &["--transfers"], "--transfers needs a value; accepted: a whole number"),
        ("bank", &["5"], "\"5\"; accepted: --accounts N, --clerks N, --transfers N"),
    ] {
        let said = Run::of(example).arguments(arguments).ends_with(2);
        assert!(said.stderr.contains(message), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(&format!("usage: {example}")), "{}", said.stderr);
    }
}

#[test]
fn wordcount_counts_text_skips_the_rest_and_reports_what_cannot_be_read() {
    let place = Place::new();
    let secret = place.dir.join("text/secret.txt");
    fs::write(&secret, "the the the").unwrap();
    allow(&secret, 0o000);
    for mapping in MAPPINGS {
        let said = Run::of("wordcount")
            .unprivileged(&place)
            .variable("SYLVAN_MAPPING", mapping)
            .arguments(&["text", "--check"])
            .succeeds();
        let lines: Vec<_> = said.stdout.lines().map(str::trim).collect();
        let expected = ["the  5", "green  3", "thread  3", "a  1", "waits  1"];
        assert_eq!(lines[..5], expected, "{}", said.stdout);
        assert_eq!(lines[5], "2 files, 69 bytes, 13 words, 5 different ones");
        assert_eq!(lines[6], "skipped: 2 that are not text, 1 that could not be read");
        assert!(lines[7].starts_with(&format!("counted under {mapping} in ")), "{}", lines[7]);
        assert_eq!(lines[8], "check: the single-threaded count is the same");
        assert!(said.stderr.contains("text/secret.txt: Permission denied"), "{}", said.stderr);
    }
}

#[test]
fn wordcount_with_wrong_arguments_names_them_and_ends_with_status_2() {
    let not_there = "\"/not/there\" cannot be used: No such file";
    for (arguments, message) in [
        (&["--fast"][..], "unknown option \"--fast\"; accepted: --check"),
        (&["src", "tests"], "\"tests\" is the second"),
        (&["/not/there"], not_there),
        (&["/proc/self/status"], "\"/proc/self/status\" is not a directory"),
    ] {
        let said = Run::of("wordcount").arguments(arguments).ends_with(2);
        assert!(said.stderr.contains(message), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains("usage: wordcount"), "{}", said.stderr);
    }
}

#[test]
fn models_with_wrong_arguments_names_them_and_ends_with_status_2() {
    let accepted = "accepted: a whole number from 1 to 10000000";
    for (arguments, messages) in [
        (&["--threads", "0"][..], ["--threads \"0\" is not possible", accepted]),
        (&["--threads", "-5"], ["--threads \"-5\" is not possible", accepted]),
        (&["--threads", "many"], ["--threads \"many\" is not possible", accepted]),
        (&["--threads", "10000001"], ["--threads \"10000001\" is not possible", accepted]),
        (&["--threads"], ["--threads needs a value", accepted]),
        (&["--megabytes", ""], ["--megabytes \"\" is not possible", "from 0 to 100000"]),
        (&["--dir", "/not/there"], ["--dir \"/not/there\" cannot be used", "a directory"]),
        (&["--dir"], ["--dir needs a value", "a directory"]),
        (&["fast"], ["unknown argument \"fast\"", "accepted: --threads N"]),
    ] {
        let said = Run::of("models").arguments(arguments).ends_with(2);
        for message in messages {
            assert!(said.stderr.contains(message), "{arguments:?}: {}", said.stderr);
        }
    }
    let said = Run::of("models").variable("SYLVAN_WORKERS", "0").ends_with(2);
    assert!(said.stderr.contains("SYLVAN_WORKERS"), "{}", said.stderr);
}

#[test]
fn models_makes_a_whole_table_and_its_picture() {
    let place = Place::new();
    let said = Run::models(&place, "300").succeeds();
    let rows = rows(&said.stdout);
    for row in &rows {
        assert!(!row.contains(&"–"), "{}", said.stdout);
    }
    let kernel_threads: Vec<u32> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(kernel_threads[0] > 300, "{}", said.stdout);
    assert_eq!(kernel_threads[1], 1, "n:1 has one kernel thread: {}", said.stdout);
    assert!(!said.stdout.contains("Not everything"), "{}", said.stdout);
    assert!(said.stdout.contains("One program, three mappings: "), "{}", said.stdout);
    assert_eq!(said.stderr, "", "a bar is for terminals");
    let picture = fs::read_to_string(place.dir.join("models.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    // Each mapping has its five bars, on as many backgrounds; and there is the whole background.
    assert_eq!(picture.matches("<rect ").count(), 3 * 5 * 2 + 1);
}

#[test]
fn models_shows_how_many_stacks_the_fallback_for_guards_can_have() {
    let place = Place::new();
    let run = Run::models(&place, "40000").variable("SYLVAN_TEST_GUARDS", "mprotect");
    let said = run.succeeds();
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    if limit.trim().parse::<u64>().unwrap() > 2 * 40_000 {
        eprintln!("NOT TESTED: vm.max_map_count is raised here, so 40,000 guards can be had");
        return;
    }
    assert_refused(&said, "vm.max_map_count");
    for row in &rows(&said.stdout)[1..] {
        let waiting: u64 = row[8].replace(',', "").parse().unwrap();
        assert!((10_000..40_000).contains(&waiting), "{}", said.stdout);
    }
}

#[test]
fn models_goes_on_without_address_space() {
    let place = Place::new();
    let said = Run::models(&place, "3000").limit("ulimit -v 600000").succeeds();
    assert_refused(&said, "Cannot allocate memory");
    // The others come as far as they can; 1:1 may die of it, and then has gaps.
    for row in &rows(&said.stdout)[1..] {
        assert!(row.iter().any(|cell| *cell != "–"), "{}", said.stdout);
    }
}

#[test]
fn models_goes_on_without_descriptors() {
    let place = Place::new();
    // The three standard streams and three more: too few to start a child with a pipe.
    let said = Run::models(&place, "300").limit("ulimit -n 6").succeeds();
    assert_refused(&said, "Too many open files");
    // These are enough.
    let said = Run::models(&place, "300").limit("ulimit -n 32").succeeds();
    assert_eq!(rows(&said.stdout)[1][1], "1", "{}", said.stdout);
}

#[test]
fn models_goes_on_without_process_ids() {
    let place = Place::new();
    // `-p` is how some shells call `-u`.
    let limit = "{ ulimit -u 40 || ulimit -p 40; } 2>/dev/null";
    let said = Run::models(&place, "2000").unprivileged(&place).limit(limit).succeeds();
    assert_refused(&said, "Resource temporarily unavailable");
}

/// What the header of an example says that it prints: the first block there, after the command.
fn promised(source: &str) -> String {
    let header = source.split("```").nth(1).expect("an output");
    let lines = header.lines().skip(2).filter_map(|line| line.strip_prefix("//! "));
    lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

fn assert_refused(said: &Said, reason: &str) {
    assert!(said.stdout.contains("Not everything was possible here:"), "{}", said.stdout);
    assert!(said.stdout.contains(reason), "{reason:?} is missing in {}", said.stdout);
}

/// The table's rows in cells; a number's unit is a cell of its own.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().filter(|line| MAPPINGS.iter().any(|name| line.starts_with(name)));
    let rows: Vec<Vec<_>> = rows.take(3).map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3, "{table}");
    rows
}

/// A run of an example.
struct Run {
    program: PathBuf,
    command: Command,
    arguments: Vec<String>,
    limit: String,
}

/// What a program has said.
struct Said {
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(name: &str) -> Run {
        let mut command = Command::new("timeout");
        for variable in ["SYLVAN_MAPPING", "SYLVAN_WORKERS", "SYLVAN_STACK_SIZE"] {
            command.env_remove(variable);
        }
        command.env("RUST_BACKTRACE", "0");
        Run { program: example(name), command, arguments: Vec::new(), limit: ":".to_owned() }
    }

    /// A small run of `models` in `place`.
    fn models(place: &Place, threads: &str) -> Run {
        let mut run = Run::of("models");
        run.command.current_dir(&place.dir);
        run.arguments(&["--threads", threads, "--dir", "text", "--megabytes", "0"])
    }

    fn arguments(mut self, arguments: &[&str]) -> Run {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Run {
        self.command.env(name, value);
        self
    }

    /// Has the shell do this before it becomes the program.
    fn limit(mut self, limit: &str) -> Run {
        self.limit = limit.to_owned();
        self
    }

    /// Runs in `place`, as a user who is not root.
    fn unprivileged(mut self, place: &Place) -> Run {
        self.program = place.copy_of(&self.program);
        self.command.current_dir(&place.dir);
        if is_root() {
            self.command.uid(NOBODY).gid(NOBODY);
        }
        self
    }

    #[track_caller]
    fn succeeds(self) -> Said {
        self.ends_with(0)
    }

    #[track_caller]
    fn ends_with(mut self, status: i32) -> Said {
        let script = format!("{}; exec \"$0\" \"$@\"", self.limit);
        self.command.args(["60", "sh", "-c", &script]).arg(&self.program).args(&self.arguments);
        let Output { status: ended, stdout, stderr } = self.command.output().unwrap();
        let said = Said {
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        };
        let both = format!("{}{}", said.stdout, said.stderr);
        assert_eq!(ended.code(), Some(status), "{:?} {:?}: {both}", self.program, self.arguments);
        said
    }
}

fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).expect("a test lies in PROFILE/deps");
    let program = profile.join("examples").join(name);
    assert!(
        program.exists(),
        "{program:?} is not built: `cargo test` builds it, a run of this file alone does not; \
         run `cargo build --examples` first"
    );
    program
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A folder of the test's own that every user may read and write, with files to count in `text`.
struct Place {
    dir: PathBuf,
}

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // ORDERING: Relaxed; only the numbers must differ.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sylvan-examples-{}-{number}", std::process::id());
        let place = Place { dir: std::env::temp_dir().join(name) };
        let text = place.dir.join("text");
        fs::create_dir_all(text.join("deeper")).unwrap();
        fs::write(text.join("one.txt"), "The green thread waits. The-green THREAD!\n").unwrap();
        fs::write(text.join("deeper/two"), "the\tthe the a green\n\nthread").unwrap();
        fs::write(text.join("zero.bin"), b"the\0the").unwrap();
        fs::write(text.join("latin-1.txt"), b"caf\xe9 the the").unwrap();
        fs::write(text.join("ignored.txt"), "the the the").unwrap();
        fs::write(text.join(".gitignore"), "ignored.txt\n").unwrap();
        allow(&text, 0o755);
        allow(&text.join("deeper"), 0o755);
        allow(&place.dir, 0o777);
        place
    }

    fn copy_of(&self, program: &Path) -> PathBuf {
        let copy = self.dir.join(program.file_name().unwrap());
        if !copy.exists() {
            fs::copy(program, &copy).unwrap();
            allow(&copy, 0o755);
        }
        copy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left in a temporary folder does not make a test wrong.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A user and a group that own nothing.
const NOBODY: u32 = 65_534;
