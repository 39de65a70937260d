//! A hundred clients of a websocket get back what they send, by `tungstenite`.
//!
//! ```text
//! $ cargo run --release -p sylvan-ecosystem --bin websocket_echo
//! 100 clients, 1000 answers
//! ```
//!
//! The same under every mapping, with any number of workers. What is done is in `websocket.rs`.
#![forbid(unsafe_code)]

#[sylvan::main]
fn main() -> sylvan_ecosystem::Result<()> {
    let answers = sylvan_ecosystem::websocket::all(CLIENTS, MESSAGES)?;
    println!("{CLIENTS} clients, {answers} answers");
    Ok(())
}

const CLIENTS: usize = 100;
const MESSAGES: usize = 10;
