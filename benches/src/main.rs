//! Measures sylvan and its peers side by side.
fn main() {}
