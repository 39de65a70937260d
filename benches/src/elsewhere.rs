//! Programs that this one builds when they are asked for.
//!
//! One is the suite itself, built with the profile that embedders use. The other has
//! open-coroutine linked in: that crate carries a corosensei of its own whose symbols bear the same
//! names as those of the one below sylvan, so no program can have both, and its hooks replace calls
//! of libc in every program that it is linked into. It stands outside the workspace, in the folder
//! `open-coroutine` beside this package's manifest, for it brings a hundred crates.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use crate::report;

/// Builds the suite without LTO, and returns the program's path.
pub(crate) fn build_plain() -> Result<String, String> {
    let what = ["bench", "-p", "sylvan-bench", "--profile", "bench-plain", "--no-run"];
    build(&what, "sylvan-bench")
}

/// Builds the program that has open-coroutine, and returns its path.
pub(crate) fn build_open_coroutine() -> Result<String, String> {
    let package = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|_| "left out: only cargo knows where its program is".to_owned())?;
    let manifest = format!("{package}/open-coroutine/Cargo.toml");
    let target = report::folder()?.join("open-coroutine");
    let target = target.to_string_lossy();
    let what = ["build", "--release", "--locked", "--manifest-path", &manifest];
    build(&[&what[..], &["--target-dir", &target]].concat(), "open-coroutine-peer")
}

/// Has cargo build something, and returns the path of the program called `name`.
fn build(what: &[&str], name: &str) -> Result<String, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(what).args(["--message-format", "json-render-diagnostics"]);
    eprintln!("Building {name}: cargo {}", what.join(" "));
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo could not be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let path = text.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let built = message.pointer("/target/name")?.as_str()?;
        let path = message.get("executable")?.as_str()?;
        (built == name).then(|| path.to_owned())
    });
    path.ok_or_else(|| format!("fails: {name} could not be built, {}", output.status))
}
