//! What `#[sylvan::main]` and `#[sylvan::test]` expand to. Not for direct use.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use crate::embed::builder::Builder;
use crate::embed::runtime::Runtime;

/// The attribute's options, as far as they were given.
#[derive(Debug)]
pub struct Options {
    /// `1:1`, `n:1` or `m:n`.
    pub mapping: Option<&'static str>,
    /// Number of workers.
    pub workers: Option<usize>,
    /// Usable bytes of a default stack.
    pub stack_size: Option<usize>,
}

impl Options {
    fn build(&self) -> std::io::Result<Runtime> {
        let mut builder = Builder::new();
        if let Some(mapping) = self.mapping {
            builder = builder.mapping(mapping.parse().expect("checked by the macro"));
        }
        if let Some(workers) = self.workers {
            builder = builder.workers(workers);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder.build()
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

/// Runs a test's body once per entry of `runs`, each on a runtime of its own.
pub fn test(runs: &'static [Options], f: fn() -> ExitCode) -> ExitCode {
    for options in runs {
        let on_panic = SayWhere(options);
        let runtime = match options.build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("the runtime could not be built: {error}"),
        };
        let code = runtime.run(f);
        drop(runtime);
        std::mem::forget(on_panic);
        if code != ExitCode::SUCCESS {
            eprintln!("the test failed under {options:?}");
            return code;
        }
    }
    ExitCode::SUCCESS
}

/// Says under which options a body was unwound.
struct SayWhere(&'static Options);

impl Drop for SayWhere {
    fn drop(&mut self) {
        eprintln!("the test was unwound under {:?}", self.0);
    }
}
