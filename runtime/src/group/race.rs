//! Races: of several threads that may answer, the first that does.
#![forbid(unsafe_code)]

use std::fmt;
use std::panic::Location;

use crate::group::{self, Group};
use crate::task::cancelled::CancelKind;

/// A race of threads; see [`race`].
pub struct Race<'scope, 'env: 'scope, T>(&'scope Group<'scope, 'env, T>);

/// Runs `f` with a race, into which it can spawn threads that borrow, and returns the result of the
/// first that has one. All others are cancelled and joined before.
///
/// `f` is part of the race: it is unwound from its next wait when there is a winner.
///
/// # Blocking
///
/// Waits until one thread has a result and the others have ended. With `panic = "abort"` nothing
/// can be cancelled, and it waits until all have ended by themselves.
///
/// # Panics
///
/// With its payload, if `f` or a thread panics before there is a winner; if nobody was spawned, or
/// a thread could not be started.
///
/// # Examples
///
/// ```
/// use sylvan::thread;
/// use sylvan::time::Duration;
///
/// let fastest = thread::race(|race| {
///     race.spawn(|| {
///         thread::sleep(Duration::from_secs(3600));
///         "the tortoise"
///     });
///     race.spawn(|| "the hare");
/// });
/// assert_eq!(fastest, "the hare");
/// ```
#[track_caller]
pub fn race<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(Race<'scope, 'env, T>),
    T: Send + 'env,
{
    let outcome = group::run(CancelKind::Race, Location::caller(), |group| {
        f(Race(group));
        Ok(())
    });
    match outcome {
        Err(first) => first,
        Ok(()) => {
            panic!("a race needs a thread with a result: none was spawned, or all were cut off")
        }
    }
}

impl<'scope, T: Send> Race<'scope, '_, T> {
    /// Spawns a thread that may borrow from outside of the race. Never switches.
    ///
    /// # Panics
    ///
    /// If the thread cannot be started.
    #[track_caller]
    pub fn spawn<F>(&self, f: F)
    where
        F: FnOnce() -> T + Send + 'scope,
    {
        drop(self.0.spawn(|| Err::<(), T>(f())));
    }
}

impl<T> Clone for Race<'_, '_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Race<'_, '_, T> {}

impl<T> fmt::Debug for Race<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race").finish_non_exhaustive()
    }
}
