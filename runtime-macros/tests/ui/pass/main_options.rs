//! Every option of `#[sylvan::main]` reaches the runtime, and the body's value the process.
#![deny(warnings)]

use std::process::ExitCode;

#[sylvan::main(mapping = "M:N", workers = 3, stack_size = "512K", crate = sylvan)]
pub(crate) fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    assert_eq!(sylvan::thread::available_parallelism()?.get(), 3);
    let answer: u32 = "42".parse()?;
    assert_eq!(sylvan::go!(move || answer).join().unwrap(), 42);
    Ok(ExitCode::SUCCESS)
}
