//! Tests what the programs in `tests/ui` cannot see: the tokens themselves.
//!
//! Those programs show that an expansion works and where an error points. Here stand the promises
//! about what an expansion must not contain, its shape, and the bounds of the numbers.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::parse_quote;

use crate::args::{Entry, stack_size_bytes};
use crate::expand;
use crate::parse::{Go, Join};

#[test]
fn go_without_options_is_a_plain_spawn() {
    assert_same(&go(quote!(work)), &quote!(::green::thread::spawn(work)));
    let closure = quote!(::green::thread::spawn(move || work(1)));
    assert_same(&go(quote!(move || work(1))), &closure);
    assert_same(&go(quote!(work(1))), &closure);
}

#[test]
fn go_keeps_the_order_of_options_and_counts_bytes() {
    let expanded = go(quote!(stack_size = "256K", name = label, work));
    let expected = quote! {
        ::green::thread::Builder::new()
            .stack_size(262144)
            .name(::std::convert::Into::<::std::string::String>::into(label))
            .spawn(work)
            .expect("failed to spawn thread")
    };
    assert_same(&expanded, &expected);
}

#[test]
fn go_tells_options_from_comparisons() {
    let expanded = go(quote!(name == other));
    let expected = quote!(::green::thread::spawn(move || name == other));
    assert_same(&expanded, &expected);
}

#[test]
fn join_hangs_its_arms_on_a_balanced_tree() {
    let expanded = join(quote!(a, b, c, d, e));
    let expected = quote!({
        let (((result_0, result_1), result_2), (result_3, result_4)) = ::green::join(
            || ::green::join(|| ::green::join(|| a, || b), || c),
            || ::green::join(|| d, || e),
        );
        (result_0, result_1, result_2, result_3, result_4)
    });
    assert_same(&expanded, &expected);
}

#[test]
fn main_leaves_open_what_no_option_sets() {
    let expanded = expand::entry(
        Entry::Main,
        quote!(),
        quote!(
            fn main() {}
        ),
    );
    let expected = quote! {
        fn main() -> ::std::process::ExitCode {
            fn main() {}
            ::sylvan::__private::main(
                ::sylvan::__private::Options {
                    mapping: ::std::option::Option::None,
                    workers: ::std::option::Option::None,
                    stack_size: ::std::option::Option::None
                },
                || ::std::process::Termination::report(main())
            )
        }
    };
    assert_same(&expanded, &expected);
}

#[test]
fn attributes_and_visibility_stay_on_the_function() {
    let item = quote!(
        #[ignore]
        #[cfg(unix)]
        pub(crate) fn name() {}
    );
    let head = quote!(#[::core::prelude::v1::test] #[ignore] #[cfg(unix)] pub(crate) fn name());
    let expanded = expand::entry(Entry::Test, quote!(), item).to_string();
    assert!(expanded.starts_with(&head.to_string()), "{expanded}");
}

#[test]
fn mappings_are_handed_over_in_one_case_and_order() {
    let args = quote!(mapping = ["M:N", "n:1"], workers = 1024usize);
    let expanded = expand::entry(
        Entry::Test,
        args,
        quote!(
            fn name() {}
        ),
    )
    .to_string();
    let first = expanded.find("\"m:n\"").expect("the first mapping is in the expansion");
    let second = expanded.find("\"n:1\"").expect("the second mapping is in the expansion");
    assert!(first < second, "{expanded}");
    assert_eq!(expanded.matches("Some (1024)").count(), 2, "{expanded}");
}

#[test]
fn all_errors_of_options_and_function_are_shown_at_once() {
    let args = quote!(mapping = "m", workers = 0, stack_size = 0, threads = 1);
    let expanded = expand::entry(
        Entry::Main,
        args,
        quote!(
            async fn start(x: u8) {}
        ),
    )
    .to_string();
    assert_eq!(expanded.matches("compile_error").count(), 7, "{expanded}");
}

#[test]
fn expansions_hold_no_unsafe_and_name_the_library_only_by_the_given_path() {
    let args = quote!(crate = green, mapping = ["1:1", "m:n"]);
    let panicking = quote!(
        #[should_panic]
        fn name() {
            body()
        }
    );
    let expansions = [
        go(quote!(name = "n", stack_size = 1, { body() })),
        join(quote!(a)),
        join(quote!(a, b, c)),
        expand::entry(
            Entry::Main,
            quote!(crate = green),
            quote!(
                fn main() -> u8 {
                    body()
                }
            ),
        ),
        expand::entry(
            Entry::Test,
            args.clone(),
            quote!(
                fn name() -> u8 {
                    body()
                }
            ),
        ),
        expand::entry(Entry::Test, args, panicking),
    ];
    for expansion in expansions {
        for ident in identifiers(expansion.clone()) {
            assert!(ident != "unsafe" && ident != "sylvan", "{ident} in {expansion}");
            assert_ne!(ident, "compile_error", "{expansion}");
        }
    }
}

#[test]
fn stack_sizes_are_positive_and_fit() {
    let bytes = |text: &str| stack_size_bytes(&parse_quote!(#text)).ok();
    assert_eq!(bytes("1"), Some(1));
    assert_eq!(bytes("256K"), Some(256 << 10));
    assert_eq!(bytes("3m"), Some(3 << 20));
    assert_eq!(bytes("18446744073709551615"), Some(u64::MAX));
    assert_eq!(bytes("18014398509481983K"), Some(18_014_398_509_481_983 << 10));
    for wrong in ["", "K", "0", "0K", "-1", "+1", "1G", "1KB", "1 K", "1.5M", "1é", "١"] {
        assert_eq!(bytes(wrong), None, "{wrong}");
    }
    for overflowing in ["18446744073709551616", "18014398509481984K", "17592186044416M"] {
        assert_eq!(bytes(overflowing), None, "{overflowing}");
    }
    assert_eq!(stack_size_bytes(&parse_quote!(4096usize)).ok(), Some(4096));
    assert!(stack_size_bytes(&parse_quote!(4096u32)).is_err());
    assert!(stack_size_bytes(&parse_quote!(SIZE)).is_err());
}

/// Compares without spaces (the parser splits `||` in two) and without the commas that the
/// formatter adds to what it finds in `quote!`.
#[track_caller]
fn assert_same(expanded: &TokenStream, expected: &TokenStream) {
    let [expanded, expected] =
        [expanded, expected].map(|tokens| tokens.to_string().replace(' ', "").replace(",)", ")"));
    assert_eq!(expanded, expected);
}

fn go(arguments: TokenStream) -> TokenStream {
    let go: Go = syn::parse2(quote!((::green) #arguments)).expect("the arguments are valid");
    expand::go(&go)
}

fn join(arms: TokenStream) -> TokenStream {
    let join: Join = syn::parse2(quote!((::green) #arms)).expect("the arms are valid");
    expand::join(&join)
}

fn identifiers(tokens: TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    for tree in tokens {
        match tree {
            TokenTree::Ident(ident) => found.push(ident.to_string()),
            TokenTree::Group(group) => found.extend(identifiers(group.stream())),
            _ => {}
        }
    }
    found
}
