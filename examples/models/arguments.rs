//! The command line: what the user may say, and what the parent says to its children.
//!
//! A child's order is an argument that the usage does not mention, `--child`, followed by the
//! words of the order. It comes from `Order::to_arguments` alone, so nothing of it is explained to
//! users, but a wrong one is an error like any other.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use sylvan::Mapping;

use crate::count;
use crate::number::number;

pub const USAGE: &str = "usage: models [--threads N] [--dir DIR] [--megabytes N]\n";

/// What this process is to do.
pub enum Task {
    Table(Arguments),
    Child(Order),
    Usage,
}

/// What the user has said.
pub struct Arguments {
    /// Green threads that wait at once.
    pub threads: u64,
    pub dir: PathBuf,
    /// The word count reads at least so much.
    pub megabytes: u64,
}

/// What one child measures.
#[derive(Clone)]
pub enum Order {
    /// Which text there is, counted without threads.
    Plain {
        dir: PathBuf,
    },
    SpawnAndJoin {
        mapping: Mapping,
    },
    Yield {
        mapping: Mapping,
    },
    Words {
        mapping: Mapping,
        dir: PathBuf,
        passes: u64,
    },
    Waiting {
        mapping: Mapping,
        threads: u64,
    },
}

impl Arguments {
    pub fn parse(mut given: impl Iterator<Item = OsString>) -> Result<Task, String> {
        let mut arguments =
            Arguments { threads: 100_000, dir: count::default_dir(), megabytes: 64 };
        while let Some(option) = given.next() {
            match option.to_str() {
                Some("--threads") => {
                    arguments.threads = number("--threads", given.next(), 1, THREADS_MAX)?;
                }
                Some("--megabytes") => {
                    arguments.megabytes = number("--megabytes", given.next(), 0, MEGABYTES_MAX)?;
                }
                Some("--dir") => arguments.dir = directory(given.next())?,
                Some("--child") => return Order::parse(given).map(Task::Child),
                Some("--help" | "-h") => return Ok(Task::Usage),
                _ => {
                    return Err(format!(
                        "unknown argument {option:?}; accepted: --threads N, --dir DIR, \
                         --megabytes N"
                    ));
                }
            }
        }
        Ok(Task::Table(arguments))
    }
}

fn directory(given: Option<OsString>) -> Result<PathBuf, String> {
    let accepted = "accepted: a directory that can be read";
    let dir = PathBuf::from(given.ok_or_else(|| format!("--dir needs a value; {accepted}"))?);
    match dir.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(dir),
        Ok(_) => Err(format!("--dir {dir:?} is not a directory; {accepted}")),
        Err(error) => Err(format!("--dir {dir:?} cannot be used: {error}; {accepted}")),
    }
}

impl Order {
    /// The arguments by which a child gets this order.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let (name, mapping, dir, amount) = match self {
            Order::Plain { dir } => ("plain", None, Some(dir), None),
            Order::SpawnAndJoin { mapping } => ("spawn", Some(mapping), None, None),
            Order::Yield { mapping } => ("yield", Some(mapping), None, None),
            Order::Words { mapping, dir, passes } => {
                ("words", Some(mapping), Some(dir), Some(passes))
            }
            Order::Waiting { mapping, threads } => ("waiting", Some(mapping), None, Some(threads)),
        };
        let mut arguments: Vec<OsString> = vec!["--child".into(), name.into()];
        arguments.extend(mapping.map(|mapping| mapping.to_string().into()));
        arguments.extend(dir.map(|dir| dir.clone().into_os_string()));
        arguments.extend(amount.map(|amount| amount.to_string().into()));
        arguments
    }

    fn parse(given: impl Iterator<Item = OsString>) -> Result<Order, String> {
        let given: Vec<_> = given.collect();
        let given: Vec<_> = given.iter().map(OsString::as_os_str).collect();
        let order = match given[..] {
            [name, dir] if name == "plain" => Some(Order::Plain { dir: dir.into() }),
            [name, mapping] if name == "spawn" => {
                parsed(mapping).map(|mapping| Order::SpawnAndJoin { mapping })
            }
            [name, mapping] if name == "yield" => {
                parsed(mapping).map(|mapping| Order::Yield { mapping })
            }
            [name, mapping, dir, passes] if name == "words" => parsed(mapping)
                .zip(parsed(passes))
                .map(|(mapping, passes)| Order::Words { mapping, dir: dir.into(), passes }),
            [name, mapping, threads] if name == "waiting" => parsed(mapping)
                .zip(parsed(threads))
                .map(|(mapping, threads)| Order::Waiting { mapping, threads }),
            _ => None,
        };
        order.ok_or_else(|| format!("{given:?} is no order for a child process"))
    }
}

fn parsed<T: std::str::FromStr>(text: &OsStr) -> Option<T> {
    text.to_str()?.parse().ok()
}

const THREADS_MAX: u64 = 10_000_000;
const MEGABYTES_MAX: u64 = 100_000;
