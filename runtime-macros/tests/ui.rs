//! Shows that programs compile as documented (`ui/pass`), and that wrong use is told what is right
//! (`ui/fail`, with the compiler's words beside each program).
//!
//! All of them go through one run of trybuild, for each run locks and checks its dependencies
//! again; and they live in this package, which has few. After a change of messages:
//! `TRYBUILD=overwrite cargo test -p sylvan-macros --test ui`, then read the diff.
//!
//! What this file must never do: pin words of the compiler that depend on the library's own source,
//! such as a quoted bound; they would change with every edit there.
#![forbid(unsafe_code)]

#[test]
fn programs_compile_or_fail_as_documented() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
