//! Proof that seeds find things: bugs that were planted here, each found within 200 seeds under
//! either strategy, and found again by the seed that was printed.
//!
//! Each bug stands beside its mended twin, which has to pass all 200 seeds: so what is found is the
//! bug and not the search. A body asserts what a user would see, or hangs, which ends at once.
#![forbid(unsafe_code)]

mod channels;
mod ends;
mod locks;
mod net;
mod sync;
mod wakes;

use std::panic::{AssertUnwindSafe, catch_unwind};

use sylvan::testing::{Plan, Strategy};
use sylvan_workspace::{in_child, printed_seed};

const SEEDS: std::ops::Range<u64> = 0..200;
const STRATEGIES: [&str; 2] = ["random", "pct:3"];
/// Tells a child process under which strategy it shall explore.
const STRATEGY_VARIABLE: &str = "SYLVAN_TEST_STRATEGY";

/// Whether a body is the one with the bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Twin {
    Broken,
    Mended,
}

fn plan(strategy: &str) -> Plan {
    let strategy: Strategy = strategy.parse().expect("a strategy");
    Plan::new().strategy(strategy)
}

/// Fails unless the broken twin is found, with `symptom` in what is printed, and replayed by the
/// printed seed, and the mended one passes. `test` is the path of the calling test.
#[track_caller]
fn expect_found(test: &str, symptom: &str, body: fn(Twin)) {
    for strategy in STRATEGIES {
        let explore = || {
            let strategy = std::env::var(STRATEGY_VARIABLE).expect("given to the child");
            plan(&strategy).explore(SEEDS, || body(Twin::Broken));
        };
        let found = in_child(test, &[(STRATEGY_VARIABLE, strategy)], explore);
        assert!(!found.status.success(), "{strategy} does not find it within {SEEDS:?}");
        assert!(found.stderr.contains(symptom), "{strategy}: {}", found.stderr);
        let seed = printed_seed(&found.stderr);

        let variables = [(STRATEGY_VARIABLE, strategy), ("SYLVAN_SEED", &seed)];
        let again = in_child(test, &variables, explore);
        assert!(!again.status.success(), "{strategy}: seed {seed} does not replay it");
        assert!(again.stderr.contains(symptom), "{strategy}: {}", again.stderr);
        assert_eq!(printed_seed(&again.stderr), seed);

        let mended = AssertUnwindSafe(|| plan(strategy).explore(SEEDS, || body(Twin::Mended)));
        assert!(catch_unwind(mended).is_ok(), "{strategy}: the mended twin fails");
    }
}
