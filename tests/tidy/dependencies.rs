//! Dependencies: whoever takes the library takes what it depends on, so their number is kept.

use std::collections::BTreeSet;
use std::process::Command;

use crate::files;

/// How many crates the library may pull in by default, its own two not counted.
const MOST: usize = 12;

const OWN: [&str; 2] = ["sylvan", "sylvan-macros"];

/// Cargo is asked, and not `Cargo.lock` read, since the lock file holds every feature's and every
/// system's crates. Cargo has just built this test, so it needs no network.
#[test]
fn library_by_default_depends_on_few_crates() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--locked", "-e", "normal", "-p", "sylvan"]);
    let output = cargo.args(["--prefix", "none"]).current_dir(files::root()).output();
    let output = output.expect("Cargo is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("Cargo writes UTF-8");
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let crates: BTreeSet<_> = names.filter(|name| !OWN.contains(name)).collect();
    assert!(crates.contains("corosensei"), "this is no tree of the library:\n{tree}");
    assert!(
        crates.len() <= MOST,
        "runtime/Cargo.toml: the library pulls in {} crates, and {MOST} are the most: do without \
         one of {crates:?}",
        crates.len()
    );
}
