//! The table of switch points in docs/cancellation.md is complete, and names nothing else.
//!
//! A user looks there which calls may switch to another thread, and holds a lock of std's over all
//! others. How: the calls are those whose documentation has a section "Blocking"; each is looked up
//! under the path by which users know it. What a section says is not compared with what the table
//! says of its call.

use std::collections::BTreeMap;

use crate::files::{self, File};
use crate::{rust, settle};

const TABLE: &str = "docs/cancellation.md";
const SECTION: &str = "## The table of switch points";

/// The public module of what a file of the library defines; empty for the root.
fn module_of(path: &str) -> &'static str {
    let modules = [
        ("channel/broadcast", "channel::broadcast"),
        ("channel/oneshot", "channel::oneshot"),
        ("channel/watch.", "channel::watch"),
        ("channel/", "channel"),
        ("group", "thread"),
        ("net/unix/", "net::unix"),
        ("net/", "net"),
        ("sync/mpsc", "sync::mpsc"),
        ("sync/", "sync"),
        ("testing/", "testing"),
        ("thread/", "thread"),
        ("time", "time"),
    ];
    let found = modules.iter().find(|(start, _)| path.starts_with(start));
    found.map_or("", |(_, module)| module)
}

/// The type whose `impl` block, or the trait whose block, is around the offset.
fn type_around(code: &str, offset: usize) -> Option<&str> {
    let block = |word: &'static str| {
        let heads = rust::words(code, word).filter_map(|at| Some((at, at + code[at..].find('{')?)));
        heads
            .take_while(|&(at, _)| at < offset)
            .find(|&(_, open)| open < offset && offset < rust::group_end(code, open))
            .map(|(at, open)| &code[at + word.len()..open])
    };
    let Some(head) = block("impl") else {
        return block("trait").map(|head| rust::word_at(head, 0));
    };
    let name = match head.split_once(" for ") {
        Some((_, name)) => name,
        None => behind_generics(head),
    };
    Some(rust::word_at(name, 0))
}

/// What follows `<…>`, if the text begins with it. The `>` of an arrow closes nothing.
fn behind_generics(text: &str) -> &str {
    let (bytes, mut depth) = (text.as_bytes(), 0);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' if bytes[at - 1] != b'-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if byte == b'>' { &text[at + 1..] } else { text };
        }
    }
    text
}

/// The path of the first item behind the offset: of a function, a macro, or a type, whose section
/// is about its drop.
fn path_of_item(file: &File, offset: usize) -> String {
    let (code, path) = (&file.code, file.in_library().expect("a file of the library"));
    let keywords = ["fn", "macro_rules", "struct"];
    let places = keywords.iter().filter_map(|word| {
        let at = rust::words(&code[offset..], word).next()?;
        Some((offset + at + word.len(), *word))
    });
    let (at, word) = places.min().expect("documentation stands before an item");
    let mut parts = vec![module_of(path)];
    let name = rust::word_at(code, at);
    let last = match word {
        "macro_rules" => {
            let name = rust::word_at(code, at + "!".len());
            format!("{}!", name.trim_start_matches('_'))
        }
        "struct" => {
            parts.push(name);
            "drop".to_owned()
        }
        _ => {
            parts.extend(type_around(code, at));
            name.to_owned()
        }
    };
    parts.push(&last);
    parts.retain(|part| !part.is_empty());
    parts.join("::")
}

/// The calls that say they may switch, and where.
fn calls() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (file, _) in files::library() {
        for (at, heading) in file.text.match_indices("/// # Blocking\n") {
            found.insert(path_of_item(file, at + heading.len()), file.at(at));
        }
    }
    found
}

/// The code spans of a cell.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The calls of a row: each name of the second column in each place of the first.
fn calls_of_row(row: &str) -> Vec<String> {
    let cells: Vec<_> = row.split('|').collect();
    let [_, places, names, ..] = cells[..] else { return Vec::new() };
    let each = |place: &str| match place {
        "sylvan" => spans(names).map(str::to_owned).collect(),
        place => spans(names).map(|name| format!("{place}::{name}")).collect::<Vec<_>>(),
    };
    spans(places).flat_map(each).collect()
}

#[test]
fn table_of_switch_points_names_each_call_that_may_switch_and_no_other() {
    let (calls, mut listed) = (calls(), BTreeMap::new());
    assert!(calls.len() > 80, "only {} sections \"Blocking\" were found", calls.len());
    let mut findings = Vec::new();
    let lines = files::named(TABLE).text.lines().enumerate();
    let section = lines.skip_while(|(_, line)| *line != SECTION).skip(1);
    for (n, row) in section.take_while(|(_, line)| !line.starts_with("## ")) {
        for call in calls_of_row(row) {
            let at = format!("{TABLE}:{}", n + 1);
            if !calls.contains_key(&call) {
                findings.push(format!(
                    "{at}: `{call}` has no section \"Blocking\": take it out, or say in its \
                     documentation what it waits for"
                ));
            }
            if let Some(before) = listed.insert(call.clone(), at.clone()) {
                findings.push(format!("{at}: `{call}` stands in {before} already: take one out"));
            }
        }
    }
    let missing = calls.iter().filter(|(call, _)| !listed.contains_key(*call));
    findings.extend(
        missing.map(|(call, at)| {
            format!("{at}: `{call}` may switch: name it in {TABLE}, `{SECTION}`")
        }),
    );
    settle(&findings);
}

#[test]
fn types_of_odd_impls_are_found() {
    for (code, name) in [
        ("impl Event { fn x() {} }", "Event"),
        ("impl<'a, T: ?Sized> Mutex<T> { fn x() {} }", "Mutex"),
        ("impl<T, F: FnOnce() -> T> Lazy<T, F> { fn x() {} }", "Lazy"),
        ("trait Named: Clone { fn x(); }", "Named"),
        ("impl A { fn y() {} } impl<T> Deref for Lazy<T> { fn x() {} }", "Lazy"),
    ] {
        let at = code.find("fn x").expect("it is there");
        assert_eq!(type_around(code, at), Some(name), "in {code}");
    }
    assert_eq!(type_around("impl A { fn y() {} } fn x() {}", 21), None);
}

#[test]
fn rows_name_each_call_in_each_place() {
    let row = "| `a`, `b::C` | `x`, `y!` | `nothing` | |";
    assert_eq!(calls_of_row(row), ["a::x", "a::y!", "b::C::x", "b::C::y!"]);
    assert_eq!(calls_of_row("| `sylvan` | `run` |"), ["run"]);
    assert_eq!(calls_of_row("|---|---|"), [""; 0]);
    assert_eq!(calls_of_row("prose with a `span`"), [""; 0]);
}
