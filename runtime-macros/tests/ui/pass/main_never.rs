//! A `main` that never returns needs no value, and causes no warning.
#![deny(warnings)]

#[sylvan::main]
fn main() -> ! {
    std::process::exit(0)
}
