//! Green threads for Rust.
