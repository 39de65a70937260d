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

#[sylvan::test]
#[test]
fn test_already() {}

#[sylvan::test]
#[should_panic]
fn result_and_panic() -> Result<(), String> {
    Ok(())
}

fn main() {}
