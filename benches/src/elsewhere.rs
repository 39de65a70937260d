//! Programs that this one builds when they are asked for.
//!
//! One is a server in Go, where there is a compiler for it. One is the suite itself, built with the
//! profile that embedders use. The third has open-coroutine linked in: that crate carries a
//! corosensei of its own whose symbols bear the same names as those of the one below sylvan, so no
//! program can have both, and its hooks replace calls of libc in every program that it is linked
//! into. It stands outside the workspace, in the folder `open-coroutine` beside this package's
//! manifest, for it brings a hundred crates.
#![forbid(unsafe_code)]

use std::path::PathBuf;
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

/// Builds the server in Go and returns the compiler's version, or says why it cannot. One that was
/// built before is gone in any case, so no figure is of an old one.
pub(crate) fn build_go() -> Result<String, String> {
    let folder = report::folder()?;
    let program = folder.join(GO_SERVER);
    // There may be none.
    let _ = std::fs::remove_file(&program);
    let package = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|_| "only cargo knows where the source of the server in Go is".to_owned())?;
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut go = Command::new("go");
    go.arg("build").arg("-o").arg(&program).arg(format!("{package}/go/main.go"));
    let output = go.env("GO111MODULE", "off").output();
    let output = output.map_err(|error| format!("no compiler `go`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`go build` fails: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let said = Command::new("go").arg("version").output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("go1."));
    Ok(version.map_or_else(|| said.trim().to_owned(), |version| format!("1.{version}")))
}

/// The server in Go that the parent has built.
pub(crate) fn go_server() -> Result<PathBuf, String> {
    let program = report::folder()?.join(GO_SERVER);
    if program.is_file() {
        Ok(program)
    } else {
        Err("left out: `go` could not build it".to_owned())
    }
}

const GO_SERVER: &str = "go-server";

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
