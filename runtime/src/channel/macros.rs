//! `select!` and `select_biased!`: lists of operations that are known when the program is written.
//!
//! The rules work in three stages. *Parsing* goes through the cases and makes each a group of one
//! shape. *Binding* evaluates the ends, in the order in which they stand, each in a `match` around
//! everything that follows, so that a temporary lives as long as it is needed. *Completing* asks
//! which operation was chosen and goes down a chain of `if`s. Each stage calls itself for the next
//! case; a variable that a rule introduces differs from that of the call before, as macros have it.
//!
//! No rule holds `unsafe`, and none names an item except by `$crate`.
#![forbid(unsafe_code)]

/// Waits for one of several operations on channels, and completes it.
///
/// ```text
/// select! {
///     recv(RECEIVER) -> PATTERN => EXPRESSION,
///     send(SENDER, MESSAGE) -> PATTERN => EXPRESSION,
///     default => EXPRESSION,             // or: default(TIMEOUT) => EXPRESSION
/// }
/// ```
///
/// An operation is ready if it need not wait; one on a disconnected channel always is, for it
/// fails. Of those that are ready a random one is chosen, each with the same probability; the
/// pattern, which must match all values, is bound to what `recv` or `send` gives, and the value of
/// the macro is that of the expression. A `MESSAGE` is evaluated only if its operation is chosen.
/// With `default` nothing is waited for, with a timeout no longer than that. At most 32 operations;
/// for lists that are made at run time there is [`Select`](crate::channel::Select).
///
/// # Blocking
///
/// Without `default`: waits until one of the operations is ready. With a timeout: no longer than
/// that. A cancellation ends the wait, and nothing is chosen then. Other threads may have their
/// turns in any case. With plain `default` it does not wait, save at capacity 0 for a sender that
/// has been chosen by a select, too, until that one has written its message. A kernel thread
/// blocks.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sylvan::channel::{bounded, select, unbounded};
///
/// let (sender, numbers) = unbounded();
/// let (full, _kept) = bounded(1);
/// full.send("first").unwrap();
///
/// let heard = select! {
///     recv(numbers) -> number => number.ok(),
///     send(full, "second") -> sent => {
///         sent.unwrap();
///         None
///     }
///     default(Duration::from_millis(1)) => Some(0),
/// };
/// assert_eq!(heard, Some(0));
///
/// sender.send(1).unwrap();
/// select! {
///     recv(numbers) -> number => assert_eq!(number, Ok(1)),
///     default => unreachable!("there is a number"),
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    ($($cases:tt)*) => {
        $crate::__select_internal!(@parse (false) [] [] $($cases)*)
    };
}

/// The same as [`select!`](crate::channel::select!), but of those that are ready the first in the
/// list is chosen.
///
/// # Blocking
///
/// As [`select!`](crate::channel::select!).
///
/// # Examples
///
/// ```
/// use sylvan::channel::{select_biased, unbounded};
///
/// let ((urgent, first), (usual, second)) = (unbounded(), unbounded());
/// usual.send(2).unwrap();
/// urgent.send(1).unwrap();
/// let message = select_biased! {
///     recv(first) -> message => message,
///     recv(second) -> message => message,
/// };
/// assert_eq!(message, Ok(1));
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __select_biased {
    ($($cases:tt)*) => {
        $crate::__select_internal!(@parse (true) [] [] $($cases)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __select_internal {
    // Parsing: (@parse (biased) [operations] [default] cases…).
    (@parse $biased:tt [] []) => {
        ::core::compile_error!("a `select!` without cases would wait for ever")
    };
    (@parse $biased:tt $operations:tt $default:tt) => {
        $crate::__select_internal!(@bind $biased $operations [] (0) $default)
    };
    (@parse $biased:tt [$($done:tt)*] $default:tt
        recv($end:expr $(,)?) -> $result:pat => { $($body:tt)* }, $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased
            [$($done)* (recv ($end) ($result) ({ $($body)* }))] $default $($rest)*)
    };
    (@parse $biased:tt [$($done:tt)*] $default:tt
        recv($end:expr $(,)?) -> $result:pat => $body:expr, $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased
            [$($done)* (recv ($end) ($result) ($body))] $default $($rest)*)
    };
    (@parse $biased:tt [$($done:tt)*] $default:tt
        recv($end:expr $(,)?) -> $result:pat => $body:expr
    ) => {
        $crate::__select_internal!(@parse $biased
            [$($done)* (recv ($end) ($result) ($body))] $default)
    };
    (@parse $biased:tt [$($done:tt)*] $default:tt
        recv($end:expr $(,)?) -> $result:pat => { $($body:tt)* } $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased
            [$($done)* (recv ($end) ($result) ({ $($body)* }))] $default $($rest)*)
    };
    (@parse $biased:tt [$($done:tt)*] $default:tt
        send($end:expr, $message:expr $(,)?) -> $result:pat => { $($body:tt)* }, $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased
            [$($done)* (send ($end) ($message) ($result) ({ $($body)* }))] $default $($rest)*)
    };
    (@parse $biased:tt [$($done:tt)*] $default:tt
        send($end:expr, $message:expr $(,)?) -> $result:pat => $body:expr, $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased
            [$($done)* (send ($end) ($message) ($result) ($body))] $default $($rest)*)
    };
    (@parse $biased:tt [$($done:tt)*] $default:tt
        send($end:expr, $message:expr $(,)?) -> $result:pat => $body:expr
    ) => {
        $crate::__select_internal!(@parse $biased
            [$($done)* (send ($end) ($message) ($result) ($body))] $default)
    };
    (@parse $biased:tt [$($done:tt)*] $default:tt
        send($end:expr, $message:expr $(,)?) -> $result:pat => { $($body:tt)* } $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased
            [$($done)* (send ($end) ($message) ($result) ({ $($body)* }))] $default $($rest)*)
    };
    (@parse $biased:tt $operations:tt []
        default $(($($timeout:expr $(,)?)?))? => { $($body:tt)* }, $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased $operations
            [($($($timeout)?)?) ({ $($body)* })] $($rest)*)
    };
    (@parse $biased:tt $operations:tt []
        default $(($($timeout:expr $(,)?)?))? => $body:expr, $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased $operations
            [($($($timeout)?)?) ($body)] $($rest)*)
    };
    (@parse $biased:tt $operations:tt []
        default $(($($timeout:expr $(,)?)?))? => $body:expr
    ) => {
        $crate::__select_internal!(@parse $biased $operations [($($($timeout)?)?) ($body)])
    };
    (@parse $biased:tt $operations:tt []
        default $(($($timeout:expr $(,)?)?))? => { $($body:tt)* } $($rest:tt)*
    ) => {
        $crate::__select_internal!(@parse $biased $operations
            [($($($timeout)?)?) ({ $($body)* })] $($rest)*)
    };

    // What does not parse, from the likeliest mistake to the rest.
    (@parse $biased:tt $operations:tt [$($one:tt)+] default $($rest:tt)*) => {
        ::core::compile_error!("there can be only one `default` case in a `select!`")
    };
    (@parse $biased:tt $operations:tt $default:tt
        default $(($($timeout:tt)*))? -> $($rest:tt)*
    ) => {
        ::core::compile_error!("expected `=>` after the `default` case, found `->`")
    };
    (@parse $biased:tt $operations:tt $default:tt
        $case:ident($($arguments:tt)*) => $($rest:tt)*
    ) => {
        ::core::compile_error!(::core::concat!(
            "expected `-> PATTERN` after `", ::core::stringify!($case($($arguments)*)),
            "`, found `=>`",
        ))
    };
    (@parse $biased:tt $operations:tt $default:tt recv($($arguments:tt)*) $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(RECEIVER) -> PATTERN => EXPRESSION,`, found `recv(",
            ::core::stringify!($($arguments)*), ") ", ::core::stringify!($($rest)*), "`",
        ))
    };
    (@parse $biased:tt $operations:tt $default:tt send($($arguments:tt)*) $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `send(SENDER, MESSAGE) -> PATTERN => EXPRESSION,`, found `send(",
            ::core::stringify!($($arguments)*), ") ", ::core::stringify!($($rest)*), "`",
        ))
    };
    (@parse $biased:tt $operations:tt $default:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected a case of `recv`, `send` or `default`, found `",
            ::core::stringify!($($rest)*), "`",
        ))
    };

    // Binding: (@bind (biased) [operations] [bound operations] (index) [default]).
    (@bind $biased:tt [(recv ($end:expr) $($case:tt)*) $($rest:tt)*]
        [$($bound:tt)*] ($index:expr) $default:tt
    ) => {
        match $end {
            ref end => {
                let end: &$crate::channel::Receiver<_> = end;
                $crate::__select_internal!(@bind $biased [$($rest)*]
                    [$($bound)* (recv end ($index) $($case)*)] ($index + 1) $default)
            }
        }
    };
    (@bind $biased:tt [(send ($end:expr) $($case:tt)*) $($rest:tt)*]
        [$($bound:tt)*] ($index:expr) $default:tt
    ) => {
        match $end {
            ref end => {
                let end: &$crate::channel::Sender<_> = end;
                $crate::__select_internal!(@bind $biased [$($rest)*]
                    [$($bound)* (send end ($index) $($case)*)] ($index + 1) $default)
            }
        }
    };
    (@bind ($biased:expr) [] [$($bound:tt)*] $count:tt []) => {{
        let chosen = $crate::channel::__private::select_fixed(
            [$($crate::__select_internal!(@arm $bound)),*],
            $biased,
        );
        $crate::__select_internal!(@complete chosen [$($bound)*])
    }};
    (@bind ($biased:expr) [] [$($bound:tt)*] $count:tt [() ($body:expr)]) => {{
        let chosen = $crate::channel::__private::try_select_fixed(
            [$($crate::__select_internal!(@arm $bound)),*],
            $biased,
        );
        match chosen {
            ::core::option::Option::Some(chosen) => {
                $crate::__select_internal!(@complete chosen [$($bound)*])
            }
            ::core::option::Option::None => $body,
        }
    }};
    (@bind ($biased:expr) [] [$($bound:tt)*] $count:tt [($timeout:expr) ($body:expr)]) => {{
        let chosen = $crate::channel::__private::select_fixed_timeout(
            [$($crate::__select_internal!(@arm $bound)),*],
            $timeout,
            $biased,
        );
        match chosen {
            ::core::option::Option::Some(chosen) => {
                $crate::__select_internal!(@complete chosen [$($bound)*])
            }
            ::core::option::Option::None => $body,
        }
    }};

    (@arm (recv $end:ident ($index:expr) $($case:tt)*)) => {
        $crate::channel::__private::Arm::receiving($end, $index)
    };
    (@arm (send $end:ident ($index:expr) $($case:tt)*)) => {
        $crate::channel::__private::Arm::sending($end, $index)
    };

    // Completing: (@complete chosen [bound operations]).
    (@complete $chosen:ident [(recv $end:ident ($index:expr) ($result:pat) ($body:expr))
        $($rest:tt)*]
    ) => {
        if $chosen.index() == $index {
            let result = $chosen.recv($end);
            let $result = result;
            $body
        } else {
            $crate::__select_internal!(@complete $chosen [$($rest)*])
        }
    };
    (@complete $chosen:ident [(send $end:ident ($index:expr) ($message:expr) ($result:pat)
        ($body:expr)) $($rest:tt)*]
    ) => {
        if $chosen.index() == $index {
            let result = $chosen.send($end, $message);
            let $result = result;
            $body
        } else {
            $crate::__select_internal!(@complete $chosen [$($rest)*])
        }
    };
    (@complete $chosen:ident []) => {
        ::core::unreachable!("the operation that was chosen is one of the list: {:?}", $chosen)
    };
}
