//! The macros reach sylvan by the name that the user gave it, and by no other.
#![deny(warnings)]

use sylvan as green;

/// Stands in for the library, and shows that the expansion calls what it was pointed at.
mod stand_in {
    #[doc(hidden)]
    pub mod __private {
        use std::process::ExitCode;

        pub struct Options {
            pub mapping: Option<&'static str>,
            pub workers: Option<usize>,
            pub stack_size: Option<usize>,
        }

        pub fn main(options: Options, body: fn() -> ExitCode) -> ExitCode {
            assert_eq!(options.mapping, Some("1:1"));
            assert_eq!(options.workers, None);
            assert_eq!(options.stack_size, Some(2 << 20));
            green::run(body)
        }

        use sylvan as green;
    }
}

#[green::main(crate = crate::stand_in, mapping = "1:1", stack_size = "2m")]
fn main() {
    assert_eq!(green::join!(1, green::go!(2 + 3).join().unwrap()), (1, 5));
}
