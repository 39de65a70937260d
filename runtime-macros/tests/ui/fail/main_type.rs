//! A value that cannot end a process is reported at the type.

#[sylvan::main]
fn main() -> u32 {
    0
}
