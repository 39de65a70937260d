//! Turns the four macros of sylvan into calls of its ordinary functions.
//!
//! A macro may add convenience, never power: what an expansion does, a program could write itself
//! with `thread::spawn`, `thread::Builder`, `join` and `run`. Each macro goes through the same two
//! steps. `parse` reads the tokens into a small model and reports wrong use where it stands;
//! `expand` turns the model into tokens and cannot fail. `args` reads the options of both.
//!
//! `go_impl!` and `join_impl!` are called by `macro_rules!` in the library, which hand over its own
//! `$crate`: a procedural macro does not know under which name its user knows the library. For an
//! attribute there is no such door, so that the attributes take the option `crate = path`.
//!
//! What this crate must never do: emit `unsafe`, name the library otherwise than by the path that
//! it was given, or put an item into the user's scope besides the function that was annotated.
#![forbid(unsafe_code)]

mod args;
mod expand;
mod parse;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

use crate::args::Entry;

/// Runs the body of `main` as the first green thread of a new runtime.
///
/// The runtime is configured from the environment (`SYLVAN_MAPPING`, `SYLVAN_WORKERS`,
/// `SYLVAN_STACK_SIZE`); an option of the attribute wins over its variable. The function may return
/// whatever a plain `main` may return: anything that is [`Termination`](std::process::Termination).
/// When the body ends, the runtime shuts down and the process exits with the body's code. A program
/// that needs arguments for its runtime calls `sylvan::run` or builds a `sylvan::Runtime` instead.
///
/// A call of `main()` in the body is a plain recursive call and starts no second runtime.
///
/// | option | meaning |
/// |---|---|
/// | `mapping = "1:1"`, `"n:1"` or `"m:n"` | how threads lie on kernel threads, in any case |
/// | `workers = N` | number of workers under M:N; 1:1 and N:1 ignore it |
/// | `stack_size = N`, `"256K"` or `"1M"` | usable default stack of a green thread |
/// | `crate = path` | where sylvan is, for a renamed or re-exported dependency |
///
/// Wrong options, arguments, generics, `async` and a function that is not called `main` are
/// compile errors that say what is accepted.
///
/// # Blocking
///
/// The annotated function returns when the body has returned or been unwound and the runtime has
/// shut down. It is a kernel thread that waits here; under N:1 that kernel thread is the worker.
///
/// # Units
///
/// `workers` counts workers, 1 to 1024. `stack_size` is in bytes, at least 1; `K` and `M` stand for
/// 1024 and 1024 × 1024 bytes. The runtime rounds the size up, and refuses at start what no address
/// space can hold.
///
/// # Panics
///
/// A panic of the body goes on in the annotated function. A runtime that cannot start, for example
/// because a variable of the environment is wrong, is no panic: the builder's error is printed, and
/// the program ends with `ExitCode::FAILURE`.
///
/// # Examples
///
/// ```
/// #[sylvan::main]
/// fn main() -> Result<(), std::num::ParseIntError> {
///     let answer: u32 = "42".parse()?;
///     assert_eq!(sylvan::go!(move || answer).join().unwrap(), 42);
///     Ok(())
/// }
/// ```
///
/// With options, and with the library under another name:
///
/// ```
/// use sylvan as green;
///
/// #[green::main(mapping = "n:1", stack_size = "256K", crate = green)]
/// fn main() {
///     assert_eq!(green::join!(1 + 1, 2 + 2), (2, 4));
/// }
/// ```
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::entry(Entry::Main, args.into(), item.into()).into()
}

/// Runs a unit test's body as the first green thread of a new runtime, under one or more mappings.
///
/// Takes the place of `#[test]`. The options are those of [`macro@main`], and `mapping` may be a
/// list: then the one body runs under each mapping in turn, every time on a fresh runtime, and the
/// test fails with the first run that fails. Without the option the mapping comes from
/// `SYLVAN_MAPPING`, and is M:N if that is not set.
///
/// `#[ignore]` and `#[should_panic]` keep their meaning; a test that should panic has to panic
/// under every mapping of its list (`expected = "…"` is compared with the panic of the last). As
/// with `#[test]`, such a test returns `()`. Any other may return what is
/// [`Termination`](std::process::Termination), for example a `Result`.
///
/// With `seeds` the body runs as seeded runs, once under each seed from 0 on, until one fails: one
/// worker, every choice of the scheduler drawn from the seed, and virtual time. The seed that
/// failed is printed with the command that replays it; `SYLVAN_SEED=N` runs that one alone. Where
/// `mapping` is given as well, the mappings come first. See the library's module `testing`.
///
/// | option | meaning |
/// |---|---|
/// | `mapping = "n:1"`, `mapping = ["1:1", "n:1", "m:n"]` | the mappings to run under, each once |
/// | `seeds = N` | run under so many seeds |
/// | `strategy = "random"`, `"pct"`, `"pct:5"` | how the seeds choose; random if not given |
/// | `virtual_time`, `virtual_time = false` | whether the clock is; without `seeds`, one seed |
/// | `workers`, `stack_size`, `crate` | as for [`macro@main`] |
///
/// # Blocking
///
/// The harness's kernel thread waits until the body has ended and the runtime has shut down, once
/// for each mapping and each seed.
///
/// # Units
///
/// As for [`macro@main`]. `seeds` counts runs, 1 to 1,000,000,000.
///
/// # Panics
///
/// The test fails if the runtime cannot start, if the body panics, or if it returns an error; under
/// seeds also if nothing can move any more, with the list of who waits for what. With
/// `#[should_panic]` one seed that panics is enough.
///
/// # Examples
///
/// ```
/// #[sylvan::test(mapping = ["1:1", "n:1", "m:n"], workers = 2)]
/// fn a_thread_gives_its_result() {
///     assert_eq!(sylvan::go!(|| 42).join().unwrap(), 42);
/// }
///
/// #[sylvan::test(seeds = 200)]
/// fn an_hour_passes_in_no_time() {
///     let sleeper = sylvan::go!(|| sylvan::thread::sleep(std::time::Duration::from_secs(3600)));
///     sleeper.join().unwrap();
/// }
/// ```
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::entry(Entry::Test, args.into(), item.into()).into()
}

/// The half of `sylvan::go!` that `macro_rules!` cannot do: `go_impl!((path of sylvan) arguments)`.
#[doc(hidden)]
#[proc_macro]
pub fn go_impl(input: TokenStream) -> TokenStream {
    match syn::parse::<parse::Go>(input) {
        Ok(go) => expand::go(&go).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// The half of `sylvan::join!` that `macro_rules!` cannot do: `join_impl!((path of sylvan) arms)`.
#[doc(hidden)]
#[proc_macro]
pub fn join_impl(input: TokenStream) -> TokenStream {
    match syn::parse::<parse::Join>(input) {
        Ok(join) => expand::join(&join).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
