//! What `#[sylvan::test]` refuses beyond what `#[sylvan::main]` does.

#[sylvan::test]
async fn keywords() {}

#[sylvan::test]
fn arguments(&self) {}

#[sylvan::test(mapping = [])]
fn empty_list() {}

#[sylvan::test(mapping = ["1:1", "n:1", "1:1"])]
fn twice() {}

#[sylvan::test(mapping = ["1:1", "2:2"])]
fn unknown_in_list() {}

#[sylvan::test(threads = 2)]
fn unknown_option() {}

#[sylvan::test(seeds = 0)]
fn no_seeds() {}

#[sylvan::test(seeds = "many")]
fn seeds_as_text() {}

#[sylvan::test(seeds)]
fn seeds_without_number() {}

#[sylvan::test(seeds = 10, strategy = "fair")]
fn unknown_strategy() {}

#[sylvan::test(seeds = 10, strategy = "pct:65")]
fn depth_out_of_range() {}

#[sylvan::test(strategy = "pct")]
fn strategy_without_seeds() {}

#[sylvan::test(virtual_time = 5)]
fn virtual_time_as_number() {}

#[sylvan::test]
#[test]
fn test_already() {}

#[sylvan::test]
#[should_panic]
fn result_and_panic() -> Result<(), String> {
    Ok(())
}

fn main() {}
