//! Turns the models of `parse` into calls of sylvan's ordinary functions.
//!
//! Names that an expansion makes up have `mixed_site` spans, so that its variables cannot meet the
//! user's. Those spans are laid on the user's tokens where the compiler may have to complain, and
//! stay marked as coming from a macro: a spawn site is then the line of `go!`, and lints leave the
//! glue alone.
//!
//! What this file must never do: fail, emit `unsafe`, or put an item beside the user's own into a
//! scope that the user's code can see. (Inner items are not hygienic, so that even a `const` within
//! the generated function could be captured by the body.)
#![forbid(unsafe_code)]

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ReturnType, Type};

use crate::args::{Entry, EntryArgs};
use crate::parse::{EntryFn, Go, GoBody, GoOption, Join};

/// Expands `go!`.
pub(super) fn go(go: &Go) -> TokenStream {
    let krate = &go.krate;
    let glue = Span::mixed_site();
    let closure = match &go.body {
        GoBody::Call(callee) => quote!(#callee),
        GoBody::Evaluate(expr) => quote_spanned!(glued(expr)=> move || #expr),
    };
    if go.options.is_empty() {
        return quote_spanned!(glue=> #krate::thread::spawn(#closure));
    }
    let setters = go.options.iter().map(|option| match option {
        // Called by its path, for a method of the user's trait could have the same name.
        GoOption::Name(name) => quote_spanned! {glued(name)=>
            .name(::std::convert::Into::<::std::string::String>::into(#name))
        },
        GoOption::StackSize(size) => quote_spanned!(glued(size)=> .stack_size(#size)),
        GoOption::StackSizeBytes(bytes, span) => {
            let bytes = unsuffixed(*bytes);
            quote_spanned!(glue.located_at(*span)=> .stack_size(#bytes))
        }
    });
    // `thread::spawn` panics with these words, too: an option must not change what a failure is.
    quote_spanned! {glue=>
        #krate::thread::Builder::new()
            #(#setters)*
            .spawn(#closure)
            .expect("failed to spawn thread")
    }
}

/// Expands `join!`.
///
/// The arms hang on a balanced tree of two-armed joins, whose results are taken apart by a pattern
/// of the same shape. A chain would do as well, but would nest as deep as there are arms, and a
/// thief that comes late would have to unpack it arm by arm.
pub(super) fn join(join: &Join) -> TokenStream {
    let glue = Span::mixed_site();
    if let [arm] = &*join.arms {
        // The closure only makes `?` and `return` end where they end with more arms.
        return quote_spanned!(glued(arm)=> ((|| #arm)(),));
    }
    let results: Vec<Ident> =
        (0..join.arms.len()).map(|index| format_ident!("result_{index}", span = glue)).collect();
    let pattern = join_pattern(&results);
    let call = join_call(&join.krate, &join.arms);
    quote_spanned!(glue=> { let #pattern = #call; (#(#results),*) })
}

fn join_call(krate: &TokenStream, arms: &[Expr]) -> TokenStream {
    match arms {
        [arm] => quote!(#arm),
        _ => {
            let (left, right) = arms.split_at(middle(arms));
            let glue = Span::mixed_site();
            let [a, b] = [left, right].map(|half| {
                let call = join_call(krate, half);
                // Errors about one arm point at it, those about several at the whole macro.
                let span = if let [arm] = half { glued(arm) } else { glue };
                quote_spanned!(span=> || #call)
            });
            quote_spanned!(glue=> #krate::join(#a, #b))
        }
    }
}

fn join_pattern(results: &[Ident]) -> TokenStream {
    match results {
        [result] => quote!(#result),
        _ => {
            let (left, right) = results.split_at(middle(results));
            let [left, right] = [left, right].map(join_pattern);
            quote!((#left, #right))
        }
    }
}

/// Where call and pattern are cut, alike; the left half takes the odd one.
fn middle<T>(items: &[T]) -> usize {
    items.len().div_ceil(2)
}

/// Expands `#[sylvan::main]` and `#[sylvan::test]`.
///
/// With wrong options the function is expanded without them, so that an editor goes on
/// understanding the body. A function that cannot be an entry becomes an empty `main`, or no test
/// at all, lest the compiler add that there is no `main`, or that `main` must not be `async`.
pub(super) fn entry(entry: Entry, args: TokenStream, item: TokenStream) -> TokenStream {
    let (args, mut errors) = EntryArgs::read(entry, args);
    let function = errors.note(EntryFn::read(entry, item));
    let item = match (&function, entry) {
        (Some(function), Entry::Main) => expand_main(&args, function),
        (Some(function), Entry::Test) => expand_test(&args, function),
        (None, Entry::Main) => quote!(
            fn main() {}
        ),
        (None, Entry::Test) => quote!(),
    };
    let errors = errors.into_tokens();
    quote!(#errors #item)
}

fn expand_main(args: &EntryArgs, function: &EntryFn) -> TokenStream {
    let EntryFn { attrs, vis, ident, .. } = function;
    let krate = private(args);
    let options = options(args, args.mappings.first().copied());
    let inner = inner_fn(function);
    let body = body_closure(function);
    quote_spanned! {Span::mixed_site()=>
        #(#attrs)*
        #vis fn #ident() -> ::std::process::ExitCode {
            #inner
            #krate::main(#options, #body)
        }
    }
}

fn expand_test(args: &EntryArgs, function: &EntryFn) -> TokenStream {
    let EntryFn { attrs, vis, ident, .. } = function;
    let krate = private(args);
    // A test with seeds and no mapping runs under the seeds alone.
    let runs: Vec<TokenStream> = match (&*args.mappings, args.seed_count()) {
        ([], None) => vec![options(args, None)],
        (mappings, _) => mappings.iter().map(|&mapping| options(args, Some(mapping))).collect(),
    };
    let inner = inner_fn(function);
    let body = body_closure(function);
    let place = place(args, ident);
    let (output, call) = if function.should_panic {
        (quote!(), call_that_should_panic(args, &runs, &place, &body))
    } else {
        let (glue, seeds) = (Span::mixed_site(), seeds(args));
        let call = quote_spanned!(glue=> #krate::test(&[#(#runs),*], #seeds, #place, #body));
        (quote!(-> ::std::process::ExitCode), call)
    };
    // The full path, for `use sylvan::test` gives the short name to ourselves.
    quote_spanned! {Span::mixed_site()=>
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #ident() #output {
            #inner
            #call
        }
    }
}

/// Under `#[should_panic]` the first panic would end the test well, and leave the other mappings
/// out. So each but the last runs by itself: one that does not panic ends the test without a panic,
/// which is how such a test fails. The harness refuses an `ExitCode` here; a body that returns `()`
/// has only one.
///
/// The seeds count as one run, and come last: it is enough that one of them panics, as a bug that
/// the seeds shall find does.
fn call_that_should_panic(
    args: &EntryArgs,
    runs: &[TokenStream],
    place: &TokenStream,
    body: &TokenStream,
) -> TokenStream {
    let krate = private(args);
    let (none, seeds) = (option(None::<TokenStream>), seeds(args));
    let last_count = usize::from(args.seed_count().is_none());
    let (alone, last) = runs.split_at(runs.len() - last_count);
    let glue = Span::mixed_site();
    if alone.is_empty() {
        return quote_spanned!(glue=> let _ = #krate::test(&[#(#last),*], #seeds, #place, #body););
    }
    quote_spanned! {glue=>
        let alone: &'static [#krate::Options] = &[#(#alone),*];
        let body: fn() -> ::std::process::ExitCode = #body;
        for run in alone.chunks(1) {
            if ::std::panic::catch_unwind(|| #krate::test(run, #none, #place, body)).is_ok() {
                let mapping = run[0].mapping.unwrap_or_default();
                ::std::eprintln!("no panic under mapping {mapping}");
                return;
            }
        }
        let _ = #krate::test(&[#(#last),*], #seeds, #place, body);
    }
}

/// Where the test stands, for the command that replays a seed. The expansion asks the compiler, for
/// the macro knows neither module nor package.
fn place(args: &EntryArgs, ident: &Ident) -> TokenStream {
    let krate = private(args);
    let name = Literal::string(&ident.unraw().to_string());
    quote_spanned! {Span::mixed_site()=>
        #krate::Test {
            module: ::core::module_path!(),
            name: #name,
            package: ::core::option_env!("CARGO_PKG_NAME")
        }
    }
}

fn seeds(args: &EntryArgs) -> TokenStream {
    let krate = private(args);
    let seeds = args.seed_count().map(|count| {
        let count = unsuffixed(count);
        let strategy = option(args.strategy.as_ref());
        let virtual_time = args.virtual_time.unwrap_or(true);
        let options = options(args, None);
        quote_spanned! {Span::mixed_site()=>
            #krate::Seeds {
                count: #count,
                strategy: #strategy,
                virtual_time: #virtual_time,
                options: #options
            }
        }
    });
    option(seeds)
}

/// The user's function under its own name, so that `main()` in its body means itself.
fn inner_fn(function: &EntryFn) -> TokenStream {
    let EntryFn { ident, output, body, .. } = function;
    quote!(fn #ident() #output #body)
}

/// Turns the body's value into an `ExitCode` on the green thread: the value need not be `Send`.
fn body_closure(function: &EntryFn) -> TokenStream {
    let EntryFn { ident, output, .. } = function;
    let span = match output {
        ReturnType::Default => Span::mixed_site(),
        // There is no value to report, and code that would do it draws a warning.
        ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)) => {
            return quote_spanned!(glued(ty)=> || -> ::std::process::ExitCode { #ident() });
        }
        ReturnType::Type(_, ty) => glued(ty),
    };
    // An argument is where the compiler shows a bound that is not met: it gets the span as well.
    let call = quote_spanned!(span=> #ident());
    quote_spanned!(span=> || ::std::process::Termination::report(#call))
}

fn options(args: &EntryArgs, mapping: Option<&str>) -> TokenStream {
    let krate = private(args);
    let mapping = option(mapping);
    let workers = option(args.workers.map(unsuffixed));
    let stack_size = option(args.stack_size_bytes.map(unsuffixed));
    quote_spanned! {Span::mixed_site()=>
        #krate::Options { mapping: #mapping, workers: #workers, stack_size: #stack_size }
    }
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::std::option::Option::Some(#value)),
        None => quote!(::std::option::Option::None),
    }
}

/// Where the library keeps what only expansions call.
fn private(args: &EntryArgs) -> TokenStream {
    match &args.krate {
        Some(path) => quote!(#path::__private),
        None => quote!(::sylvan::__private),
    }
}

/// The target's `usize` is not known here: the compiler judges whether the number fits.
fn unsuffixed(number: u64) -> Literal {
    Literal::u64_unsuffixed(number)
}

/// A span that points at the user's tokens and is still marked as the macro's.
fn glued(tokens: &impl Spanned) -> Span {
    Span::mixed_site().located_at(tokens.span())
}
