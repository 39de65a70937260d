//! The smallest program: four green threads, started with `go!`, joined in the same order.
//!
//! ```text
//! $ cargo run --release --example hello
//! hello from thread 1
//! hello from thread 2
//! hello from thread 3
//! hello from thread 4
//! ```
//!
//! The same binary prints the same with `SYLVAN_MAPPING=1:1`, where each is a kernel thread, and
//! with `SYLVAN_MAPPING=n:1`, where all run on the kernel thread of `main`. The threads only make
//! the lines and the joins print them: threads that printed for themselves would do so in any
//! order under 1:1 and M:N.
#![forbid(unsafe_code)]

use sylvan::go;

#[sylvan::main]
fn main() {
    let threads: Vec<_> = (1..=4).map(|n| go!(move || format!("hello from thread {n}"))).collect();
    for thread in threads {
        println!("{}", thread.join().expect("no thread panics"));
    }
}
