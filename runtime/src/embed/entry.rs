//! What `#[sylvan::main]` expands to, and the options that it shares with `#[sylvan::test]`. Not
//! for direct use.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use crate::embed::builder::Builder;
use crate::embed::runtime::Runtime;

/// An attribute's options, as far as they were given.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `1:1`, `n:1` or `m:n`.
    pub mapping: Option<&'static str>,
    /// Number of workers.
    pub workers: Option<usize>,
    /// Usable bytes of a default stack.
    pub stack_size: Option<usize>,
}

impl Options {
    /// Builds the runtime that the options ask for.
    pub(crate) fn build(&self) -> std::io::Result<Runtime> {
        self.apply(Builder::new()).build()
    }

    /// Tells `builder` what was given.
    pub(crate) fn apply(&self, mut builder: Builder) -> Builder {
        if let Some(mapping) = self.mapping {
            builder = builder.mapping(mapping.parse().expect("checked by the macro"));
        }
        if let Some(workers) = self.workers {
            builder = builder.workers(workers);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder
    }
}

/// Runs a program's body. A runtime that cannot be built is an error of the program's user, so it
/// is printed as one and not as a panic.
pub fn main(options: Options, f: fn() -> ExitCode) -> ExitCode {
    let runtime = match options.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sylvan: the runtime could not be built: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.run(f);
    // `ExitCode` does not tell its number, but it can be compared.
    let number = (0..=u8::MAX).find(|number| code == ExitCode::from(*number));
    runtime.end_or_exit(number.map_or(1, i32::from));
    code
}
