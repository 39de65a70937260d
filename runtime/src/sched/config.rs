//! What a runtime is asked to be: by builder calls, by the environment, by default, in that order.
//!
//! One command line must be able to switch the mapping of a program that fixed nothing, so every
//! setting has a variable. A wrong variable is an error even where a builder call overrules it:
//! a typing mistake that is ignored today bites on the day when the call goes. Every error names
//! the variable or call, the value, and what is accepted.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use crate::sched::seeded::Plan;
use crate::stack::Class;

/// How user threads lie on kernel threads.
///
/// The same program runs under each; see the table in the crate's documentation.
///
/// # Examples
///
/// ```
/// use sylvan::Mapping;
///
/// assert_eq!("n:1".parse(), Ok(Mapping::ManyToOne));
/// assert_eq!(Mapping::ManyToMany.to_string(), "m:n");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Mapping {
    /// Each thread is a kernel thread.
    OneToOne,
    /// All threads share the kernel thread that calls `run`.
    ManyToOne,
    /// Threads share a fixed number of workers, which take unstarted threads from each other.
    ManyToMany,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mapping::OneToOne => "1:1",
            Mapping::ManyToOne => "n:1",
            Mapping::ManyToMany => "m:n",
        })
    }
}

/// A text is no mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ParseMappingError {
    text: String,
}

impl fmt::Display for ParseMappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no mapping; accepted: 1:1, n:1, m:n, in any case", self.text)
    }
}

impl std::error::Error for ParseMappingError {}

impl FromStr for Mapping {
    type Err = ParseMappingError;

    /// Reads `1:1`, `n:1` or `m:n`, in any case.
    ///
    /// # Errors
    ///
    /// For any other text; the message repeats it and says what is accepted.
    fn from_str(text: &str) -> Result<Mapping, ParseMappingError> {
        match text.to_ascii_lowercase().as_str() {
            "1:1" => Ok(Mapping::OneToOne),
            "n:1" => Ok(Mapping::ManyToOne),
            "m:n" => Ok(Mapping::ManyToMany),
            _ => Err(ParseMappingError { text: text.to_owned() }),
        }
    }
}

/// What holds for a runtime, from all sources together.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How user threads lie on kernel threads.
    pub mapping: Mapping,
    /// Number of workers: 1 under N:1; under 1:1 the number of processors that the process may
    /// use, which bounds nothing there.
    pub workers: usize,
    /// Usable bytes of a default stack.
    pub stack_size: usize,
    /// Whether the stack size was asked for. Under 1:1 a kernel thread gets std's default else.
    pub(crate) stack_size_given: bool,
    /// How many kernel threads the process's pool for blocking calls may have, when a thread of
    /// this runtime needs one.
    pub blocking_threads: usize,
    /// How long a shutdown waits for cancelled threads before it leaks them.
    pub shutdown_timeout: Duration,
    /// Kernel threads are called `NAME-0`, `NAME-1` and so on.
    pub name: String,
    /// The seed by which a debug build shuffles ready queues and steals; `None`: it does not.
    pub shuffle: Option<u64>,
    /// The seed of a seeded run; `None` for ordinary runtimes. See [`testing`](crate::testing).
    pub seed: Option<u64>,
    pub(crate) seeded: Option<Plan>,
}

/// What the builder was told; `None` where it was told nothing.
#[derive(Clone, Default, Debug)]
pub(crate) struct Wishes {
    pub(crate) mapping: Option<Mapping>,
    pub(crate) workers: Option<usize>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) blocking_threads: Option<usize>,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) name: Option<String>,
    pub(crate) seeded: Option<Plan>,
}

/// The most workers that a runtime can have.
pub(crate) const WORKERS_MAX: usize = 1024;
/// The most threads that the pool for blocking calls can have.
const BLOCKING_THREADS_MAX: usize = 65_536;
/// Enough for calls that wait for a disk or a resolver, few enough for a default process limit.
const BLOCKING_THREADS_DEFAULT: usize = 512;

impl Wishes {
    /// Joins wishes, environment and defaults.
    pub(crate) fn resolve(&self) -> io::Result<Config> {
        let env_mapping = variable("SYLVAN_MAPPING", |text| {
            Mapping::from_str(text).map_err(|_| "1:1, n:1 or m:n, in any case".to_owned())
        })?;
        let env_workers = variable("SYLVAN_WORKERS", |text| whole(text, WORKERS_MAX))?;
        let env_stack = variable("SYLVAN_STACK_SIZE", stack_bytes)?;
        let env_blocking = blocking_threads_variable()?;

        if let Some(workers) = self.workers {
            check_range("Builder::workers", workers, WORKERS_MAX)?;
        }
        if let Some(threads) = self.blocking_threads {
            check_range("Builder::blocking_threads", threads, BLOCKING_THREADS_MAX)?;
        }
        if let Some(bytes) = self.stack_size {
            Class::for_usable(bytes)?;
        }
        if let Some(name) = &self.name
            && name.contains('\0')
        {
            return Err(invalid(format!(
                "Builder::name {name:?} contains a zero byte; accepted: any text without one"
            )));
        }

        let shuffle = variable("SYLVAN_SHUFFLE", seed)?;
        if let (Some(_), Some(mapping @ (Mapping::OneToOne | Mapping::ManyToMany))) =
            (&self.seeded, self.mapping)
        {
            return Err(invalid(format!(
                "Builder::mapping({mapping}) is not valid for a seeded run; accepted: n:1, for its \
                 one worker makes all choices"
            )));
        }

        let mapping = match self.seeded {
            Some(_) => Mapping::ManyToOne,
            None => self.mapping.or(env_mapping).unwrap_or(Mapping::ManyToMany),
        };
        let workers = match mapping {
            Mapping::ManyToOne => 1,
            Mapping::OneToOne => processors(),
            Mapping::ManyToMany => self.workers.or(env_workers).unwrap_or_else(processors),
        };
        let stack_size = self.stack_size.or(env_stack);
        Ok(Config {
            mapping,
            workers,
            stack_size: match stack_size {
                Some(bytes) => Class::for_usable(bytes)?.usable_bytes(),
                None => Class::DEFAULT.usable_bytes(),
            },
            stack_size_given: stack_size.is_some(),
            blocking_threads: self
                .blocking_threads
                .or(env_blocking)
                .unwrap_or(BLOCKING_THREADS_DEFAULT),
            shutdown_timeout: self.shutdown_timeout.unwrap_or(Duration::from_secs(1)),
            name: self.name.clone().unwrap_or_else(|| "sylvan".to_owned()),
            // A seeded run has an order of its own.
            shuffle: if self.seeded.is_some() { None } else { shuffle },
            seed: self.seeded.as_ref().map(|plan| plan.seed),
            seeded: self.seeded.clone(),
        })
    }
}

fn blocking_threads_variable() -> io::Result<Option<usize>> {
    variable("SYLVAN_BLOCKING_THREADS", |text| whole(text, BLOCKING_THREADS_MAX))
}

/// The upper bound of the pool for blocking calls, for a kernel thread of no runtime.
///
/// # Errors
///
/// `InvalidInput` if the variable says nothing possible; the message says what is accepted.
pub(crate) fn blocking_threads_outside() -> io::Result<usize> {
    Ok(blocking_threads_variable()?.unwrap_or(BLOCKING_THREADS_DEFAULT))
}

/// Processors that the process may use; honours affinity and the cgroup's quota.
fn processors() -> usize {
    num_cpus::get().clamp(1, WORKERS_MAX)
}

/// Reads a variable, if it is set. `parse` fails with what is accepted.
fn variable<T>(name: &str, parse: impl Fn(&str) -> Result<T, String>) -> io::Result<Option<T>> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let parsed = match value.to_str() {
        Some(text) => parse(text.trim()),
        None => Err("text in UTF-8".to_owned()),
    };
    match parsed {
        Ok(value) => Ok(Some(value)),
        Err(accepted) => {
            Err(invalid(format!("{name}={value:?} is not valid; accepted: {accepted}")))
        }
    }
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {}", u64::MAX))
}

/// The seed that `SYLVAN_SEED` names.
///
/// # Errors
///
/// `InvalidInput` if it names none; the message says what is accepted.
pub(crate) fn replayed_seed() -> io::Result<Option<u64>> {
    variable("SYLVAN_SEED", seed)
}

fn whole(text: &str, max: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if (1..=max).contains(&value) => Ok(value),
        _ => Err(format!("a whole number from 1 to {max}")),
    }
}

fn stack_bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    let class = bytes.and_then(|bytes| Class::for_usable(bytes).ok());
    class.map(|class| class.usable_bytes()).ok_or_else(|| {
        format!(
            "usable bytes from 1 to {}, with K or M for units of 1024 or 1048576 bytes",
            Class::USABLE_MAX
        )
    })
}

fn check_range(call: &str, value: usize, max: usize) -> io::Result<()> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(invalid(format!("{call}({value}) is not valid; accepted: a whole number from 1 to {max}")))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
