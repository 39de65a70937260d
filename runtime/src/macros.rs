//! Lets `go!` and `join!` find this crate under whatever name its user gave it.
//!
//! A procedural macro cannot ask for that name, `macro_rules!` can: `$crate`. So the public macros
//! are two rules that hand `$crate` and their arguments on to `sylvan-macros`, token by token,
//! which keeps every span for its error messages. The rest of that crate is re-exported by
//! `lib.rs`.
//!
//! What this file must never do: look into the arguments. A rule that took `$body:expr` would hide
//! from the procedural macro whether it was a closure.
#![forbid(unsafe_code)]

/// Starts a green thread and gives its [`JoinHandle`](crate::thread::JoinHandle).
///
/// Takes one of
///
/// - a closure literal without parameters, or a path (a function, or a variable that holds a
///   closure): the new thread *calls* it, as [`thread::spawn`](crate::thread::spawn) would. A
///   closure says itself whether it is `move`;
/// - a block or any other expression: it becomes the body of a `move` closure and is *evaluated in
///   the new thread*. **Unlike Go, which evaluates function and arguments first**, nothing of
///   `go!(serve(listen(), config()))` happens before the new thread's first turn, and all three
///   calls happen there. What has to happen first goes into a `let` before it.
///
/// A literal such as `go!(5)` is nothing to run and does not compile. `return` and `?` in a block
/// leave the new thread's closure, and so decide its result.
///
/// Options come first, in any order, each at most once; the caller evaluates their values, in the
/// order in which they stand:
///
/// - `name = …`: anything that is `Into<String>`; shown in dumps and in the line about a panic;
/// - `stack_size = …`: a `usize`, or a string literal such as `"256K"` or `"1M"`.
///
/// To handle a failed start, use [`thread::Builder`](crate::thread::Builder), which returns it; to
/// borrow from the caller, [`thread::scope`](crate::thread::scope) or [`join!`](crate::join!). The
/// call does not wait and is not a switch point.
///
/// # Units
///
/// `stack_size` is in usable bytes; in a string, `K` and `M` stand for 1024 and 1024 × 1024 bytes.
/// Zero does not compile as a literal; other values are as for
/// [`Builder::stack_size`](crate::thread::Builder::stack_size).
///
/// # Panics
///
/// Panics with "failed to spawn thread" if the thread cannot be started, with or without options,
/// and if the name contains a zero byte. A panic in the new thread goes to whoever joins it.
///
/// # Examples
///
/// ```
/// use sylvan::go;
///
/// fn work() -> u32 {
///     40
/// }
///
/// # sylvan::run(|| {
/// let called = go!(work);
/// let closure = go!(name = "two", || 2);
/// assert_eq!(called.join().unwrap() + closure.join().unwrap(), 42);
///
/// let words = vec!["a", "b"];
/// let evaluated = go!(stack_size = "256K", words.len()); // `words` moves along.
/// assert_eq!(evaluated.join().unwrap(), 2);
///
/// let parsed = go!({
///     let number: u32 = "many".parse()?;
///     Ok::<u32, std::num::ParseIntError>(number)
/// });
/// assert!(parsed.join().unwrap().is_err());
/// # });
/// ```
///
/// ```compile_fail
/// sylvan::go!(5);
/// ```
#[macro_export]
macro_rules! go {
    ($($arguments:tt)*) => {
        $crate::__private::go_impl!(($crate) $($arguments)*)
    };
}

/// Runs expressions concurrently and gives the tuple of their values.
///
/// `join!(a, b, c)` is the function [`join`](fn@crate::join) for one or more arms: the arms may
/// borrow from the caller, mutably if they do not overlap, the first runs where the call stands,
/// and the others may be taken by other workers. Each value but the first arm's has to be `Send`,
/// and so has what each arm but the first captures. One arm gives a tuple of one.
///
/// Each arm is the body of a closure: `?` and `return` end that arm and give its value, and `break`
/// and `continue` reach no loop outside it. So a fallible arm gives a `Result`, and the caller
/// applies `?` to the tuple's parts. An arm takes along by value what it uses by value. A closure
/// literal as an arm would not be called, and does not compile.
///
/// An arm is not a thread of its own: it must not rely on
/// [`thread::current`](crate::thread::current).
///
/// # Blocking
///
/// Waits until every arm has ended. An arm that nobody took runs in the caller, without waiting.
/// The wait for a taken arm is shielded: cancellation and deadline of the caller are passed on to
/// the arms, and the call ends when they have. A kernel thread waits as itself.
///
/// # Panics
///
/// If arms panic, the others still run to their end or are never started; then the panic of the
/// leftmost arm that panicked goes on in the caller.
///
/// # Examples
///
/// ```
/// use sylvan::join;
///
/// fn sum(numbers: &[u64]) -> u64 {
///     if numbers.len() < 1_000 {
///         return numbers.iter().sum();
///     }
///     let (left, right) = numbers.split_at(numbers.len() / 2);
///     let (left, right) = join!(sum(left), sum(right));
///     left + right
/// }
///
/// # sylvan::run(|| {
/// let numbers: Vec<u64> = (1..=10_000).collect();
/// assert_eq!(sum(&numbers), 50_005_000);
///
/// let (number, text): (Result<u8, std::num::ParseIntError>, _) = join!(
///     {
///         let number: u8 = "300".parse()?; // Ends this arm only.
///         Ok(number)
///     },
///     "300".len(),
/// );
/// assert!(number.is_err());
/// assert_eq!(text, 3);
/// # });
/// ```
#[macro_export]
macro_rules! join {
    ($($arms:tt)*) => {
        $crate::__private::join_impl!(($crate) $($arms)*)
    };
}
