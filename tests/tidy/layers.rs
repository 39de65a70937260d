//! Layers: what may know of what.
//!
//! A file imports only from its own folder, from what stands left of it in its own layer, and from
//! lower layers; so everything can be read, and tested, from below. Both `use` declarations and
//! paths in code are looked at, in tests too, but not `$crate` in macros, which is resolved where
//! the macro is used.

use std::collections::BTreeSet;

use crate::files::{self, File};
use crate::{rust, settle};

/// The table of ARCHITECTURE.md: layers from below, names from the left. What is built later has
/// its place already.
const LAYERS: [(&str, &[&str]); 8] = [
    ("L1", &["os", "record"]),
    ("L2", &["stack", "fiber"]),
    ("L3", &["clock", "wheel", "short_lock", "poller", "task"]),
    ("L4", &["sched"]),
    ("L5", &["thread", "time", "reactor", "blocking"]),
    ("L6", &["sync", "channel", "future", "group"]),
    ("L7", &["net", "fs", "process"]),
    ("L8", &["inspect", "embed", "testing", "macros", "lib"]),
];

/// What lies under all layers: atomics, which are real or loom's.
const UNDERLAY: &str = "primitives";

/// Edges that point up, or to the right, and stay: file under `runtime/src`, what it imports from,
/// and why. The three upward relations that ARCHITECTURE.md tells of are no imports: they are a
/// function that is handed down and two pointers without a type.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    ("sync/mpsc.rs", "channel", "std's channels are a face of ours; nothing in sync uses them"),
    ("thread/mod.rs", "group", "its public name is there; nothing in thread uses it"),
];

/// The place in the order of all names; what it may import from has a smaller one.
fn rank(name: &str) -> Option<usize> {
    if name == UNDERLAY {
        return Some(0);
    }
    let mut names = LAYERS.iter().flat_map(|(_, names)| names.iter());
    names.position(|&known| known == name).map(|n| n + 1)
}

/// The name in the table to which a file under `runtime/src` belongs.
fn owner(path: &str) -> &str {
    let first = path.split('/').next().expect("a path has a part");
    first.strip_suffix(".rs").unwrap_or(first)
}

/// An import: the first name of the path within the crate, and where it stands.
struct Import {
    name: String,
    at: usize,
}

/// Everything that a file names within the crate, by `crate::…` or by enough of `super::…`.
fn imports(file: &File, path: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for at in rust::words(&file.code, "crate") {
        if file.code[..at].ends_with('$') {
            continue;
        }
        let tail = &file.code[at + "crate".len()..];
        if let Some(tail) = tail.strip_prefix("::") {
            found.extend(first_names(tail).map(|name| Import { name, at }));
        }
    }
    let stem = path.strip_suffix(".rs").expect("a Rust file");
    let depth = stem.split('/').filter(|&part| part != "mod" && part != "lib").count();
    for at in rust::words(&file.code, "super") {
        let (mut tail, mut climbed) = (&file.code[at..], 0);
        while let Some(rest) = tail.strip_prefix("super::") {
            (tail, climbed) = (rest, climbed + 1);
        }
        // Only what climbs up to the crate's root leaves the folder; the later words of a chain of
        // them climb less.
        if climbed > 0 && depth + rust::inline_modules(&file.code, at) == climbed {
            found.extend(first_names(tail).map(|name| Import { name, at }));
        }
    }
    found
}

/// The names with which the rest of a path begins: one, or those in the braces.
fn first_names(tail: &str) -> impl Iterator<Item = String> {
    let tree = match tail.starts_with('{') {
        true => &tail[..rust::group_end(tail, 0)],
        false if tail.starts_with('*') => "*",
        false => rust::word_at(tail, 0),
    };
    rust::branches(tree).into_iter().map(|(path, _)| path[0].clone())
}

/// The file that holds an exported macro: its name is the crate's, wherever it is written.
fn home_of_macro(name: &str) -> Option<&'static str> {
    let path = files::library().find(|(file, _)| {
        let mut macros = rust::words(&file.code, "macro_rules");
        macros.any(|at| rust::word_at(&file.code, at + "macro_rules!".len()) == name)
    });
    path.map(|(_, path)| owner(path))
}

#[test]
fn imports_of_each_file_point_down_or_left() {
    let (mut findings, mut used, mut count) = (Vec::new(), BTreeSet::new(), 0);
    for (file, path) in files::library() {
        let Some(own) = rank(owner(path)) else { continue };
        for Import { name, at } in imports(file, path) {
            count += 1;
            let target = if rank(&name).is_some() { Some(&*name) } else { home_of_macro(&name) };
            let Some(target) = target else {
                let at = file.at(at);
                findings.push(format!(
                    "{at}: `{name}` is no module in the table of layers: import the item from the \
                     module that defines it, or enter the module in LAYERS of tests/tidy/layers.rs"
                ));
                continue;
            };
            if rank(target) <= Some(own) {
                continue;
            }
            let exception = |(from, to, _): &(&str, &str, &str)| *from == path && *to == target;
            if let Some(exception) = EXCEPTIONS.iter().find(|entry| exception(entry)) {
                used.insert(*exception);
                continue;
            }
            findings.push(format!(
                "{}: `{}` stands above, or right of, `{}`: move what is wanted down, or have it \
                 handed down by who calls",
                file.at(at),
                target,
                owner(path),
            ));
        }
    }
    assert!(count > 100, "only {count} imports were found");
    for (from, to, _) in EXCEPTIONS.iter().filter(|entry| !used.contains(*entry)) {
        findings.push(format!(
            "tests/tidy/layers.rs: {from} no longer imports from `{to}`: remove that entry of \
             EXCEPTIONS"
        ));
    }
    settle(&findings);
}

#[test]
fn modules_of_the_library_all_stand_in_the_table_of_layers() {
    let owners: BTreeSet<_> = files::library().map(|(_, path)| owner(path)).collect();
    let unknown = owners.into_iter().filter(|name| rank(name).is_none());
    let findings: Vec<_> = unknown
        .map(|name| {
            format!(
                "runtime/src/{name}: in no layer: enter it in LAYERS of tests/tidy/layers.rs and \
                 in the table of ARCHITECTURE.md, right of what it imports from"
            )
        })
        .collect();
    settle(&findings);
}

#[test]
fn table_in_the_architecture_names_the_same_layers() {
    let architecture = files::named("ARCHITECTURE.md");
    let there: BTreeSet<_> = files::library().map(|(_, path)| owner(path)).collect();
    let mut findings = Vec::new();
    for (layer, names) in LAYERS {
        let line = architecture.text.lines().position(|line| line.starts_with(layer));
        let text = line.map_or("", |n| architecture.text.lines().nth(n).expect("it was found"));
        // Two spaces stand between names, more before what is said about them.
        let names_alone = text.split("   ").next().expect("a split has a first part");
        let told: Vec<_> = names_alone.split_whitespace().skip(1).collect();
        let built: Vec<_> = names.iter().copied().filter(|name| there.contains(name)).collect();
        if told != built {
            findings.push(format!(
                "ARCHITECTURE.md:{}: {layer} must begin with `{}`, as in LAYERS of \
                 tests/tidy/layers.rs",
                line.map_or(1, |n| n + 1),
                built.join("  "),
            ));
        }
    }
    settle(&findings);
}
