//! The bench target. Everything is in the library beside it, where tests are run.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    sylvan_bench::main()
}
