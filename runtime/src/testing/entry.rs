//! What `#[sylvan::test]` expands to. Not for direct use.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use crate::embed::Options;
use crate::testing::explore::{Place, Plan, explore_each};

/// Where a test stands.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// `module_path!()`.
    pub module: &'static str,
    /// The function's name.
    pub name: &'static str,
    /// The package's name, if cargo builds it.
    pub package: Option<&'static str>,
}

/// What is asked of the seeded part of a test.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// How many seeds, from 0 on.
    pub count: u64,
    /// A name of [`Strategy`](crate::testing::Strategy); `None`: the default one.
    pub strategy: Option<&'static str>,
    /// Whether time is virtual.
    pub virtual_time: bool,
    /// What else the runtime is asked for.
    pub options: Options,
}

/// Runs a test's body once per entry of `runs`, each on a runtime of its own, and then under seeds,
/// if it is asked to.
#[track_caller]
pub fn test(
    runs: &'static [Options],
    seeds: Option<Seeds>,
    test: Test,
    f: fn() -> ExitCode,
) -> ExitCode {
    for options in runs {
        let on_panic = SayWhere(options);
        let runtime = match options.build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("the runtime could not be built: {error}"),
        };
        let code = runtime.run(f);
        drop(runtime);
        std::mem::forget(on_panic);
        if code != ExitCode::SUCCESS {
            eprintln!("the test failed under {options:?}");
            return code;
        }
    }
    match seeds {
        Some(seeds) => under_seeds(seeds, test, f),
        None => ExitCode::SUCCESS,
    }
}

#[track_caller]
fn under_seeds(seeds: Seeds, test: Test, f: fn() -> ExitCode) -> ExitCode {
    let strategy = seeds.strategy.unwrap_or("random").parse().expect("checked by the macro");
    let plan = Plan::new().strategy(strategy).virtual_time(seeds.virtual_time);
    // The harness leaves the crate's name out.
    let test_path = match test.module.split_once("::") {
        Some((_, module)) => format!("{module}::{}", test.name),
        None => test.name.to_owned(),
    };
    let place = Place { test: test_path, package: test.package };
    let builder = |seed, keeps_trace| seeds.options.apply(plan.traced_builder(seed, keeps_trace));
    explore_each(builder, strategy, 0..seeds.count, &place, &f, |code| *code != ExitCode::SUCCESS)
}

/// Says under which options a body was unwound.
struct SayWhere(&'static Options);

impl Drop for SayWhere {
    fn drop(&mut self) {
        eprintln!("the test was unwound under {:?}", self.0);
    }
}
