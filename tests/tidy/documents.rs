//! Links: what a document points to exists.
//!
//! Looked at are relative links and anchors in every Markdown file, and the names of files in
//! ARCHITECTURE.md's code map. Links in the comments of Rust files are rustdoc's business, and
//! what lies on other machines nobody's: a test must not need a network.

use std::collections::BTreeMap;

use crate::files::{self, File};
use crate::settle;

/// The lines outside of fenced blocks, with their numbers, and code spans blanked out if asked.
fn prose(text: &str, blank_spans: bool) -> Vec<(usize, String)> {
    let (mut lines, mut fenced) = (Vec::new(), false);
    for (n, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let line = if blank_spans { without_spans(line) } else { line.to_owned() };
            lines.push((n + 1, line));
        }
    }
    lines
}

fn without_spans(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].bytes().take_while(|&byte| byte == b'`').count();
        let fence = &rest[start..start + ticks];
        let Some(length) = rest[start + ticks..].find(fence) else { break };
        kept.push_str(&rest[..start]);
        rest = &rest[start + ticks + length + ticks..];
    }
    kept + rest
}

/// What the links of a line point to: `[text](target)` and `[label]: target`.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, open) in line.match_indices("](") {
        let tail = &line[at + open.len()..];
        found.push(tail.split([')', ' ']).next().expect("a split has a first part"));
    }
    if let Some((_, tail)) = line.trim_start().strip_prefix('[').and_then(|l| l.split_once("]: ")) {
        found.push(tail.split(' ').next().expect("a split has a first part"));
    }
    found
}

/// The anchors of a document: each heading in lower case, spaces as hyphens, without punctuation;
/// one that comes again has its number behind it. That is how GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for (_, line) in prose(text, false) {
        let title = line.trim_start_matches('#');
        if title == line || !title.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let title = shown(title.trim()).to_lowercase();
        let slug: String = title.chars().filter(kept).collect::<String>().replace(' ', "-");
        let count = seen.entry(slug.clone()).or_insert(0_usize);
        found.push(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    found
}

/// A heading as it is shown: of a link, only the text.
fn shown(title: &str) -> String {
    match (title.find('['), title.find("]("), title.find(')')) {
        (Some(open), Some(middle), Some(close)) if open < middle && middle < close => {
            shown(&format!("{}{}{}", &title[..open], &title[open + 1..middle], &title[close + 1..]))
        }
        _ => title.to_owned(),
    }
}

/// Follows a relative path from the folder of a document; `None` if it leaves the repository.
fn resolved(from: &File, target: &str) -> Option<String> {
    let mut parts: Vec<_> = from.path.split('/').collect();
    parts.pop();
    if let Some(absolute) = target.strip_prefix('/') {
        return Some(absolute.to_owned());
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn is_there(path: &str) -> bool {
    files::root().join(path).exists()
}

/// What is wrong with a link, if anything.
fn fault(from: &File, target: &str) -> Option<String> {
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let path = if path.is_empty() { Some(from.path.clone()) } else { resolved(from, path) };
    let Some(path) = path.filter(|path| is_there(path)) else {
        return Some("there is no such file".to_owned());
    };
    let (anchor, file) = (anchor?, files::find(&path)?);
    let known = !file.is_markdown() || anchors(&file.text).iter().any(|known| known == anchor);
    (!known).then(|| format!("{path} has no heading for `#{anchor}`"))
}

#[test]
fn links_and_anchors_in_markdown_point_to_something() {
    let mut findings = Vec::new();
    for file in files::all().iter().filter(|file| file.is_markdown()) {
        for (line, text) in prose(&file.text, true) {
            for target in targets(&text) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                if let Some(fault) = fault(file, target) {
                    let path = &file.path;
                    findings.push(format!("{path}:{line}: `{target}`: {fault}: correct the link"));
                }
            }
        }
    }
    settle(&findings);
}

/// A name is one if it has a slash or ends as files do; it is meant from the root, or from
/// `runtime/src`.
#[test]
fn files_named_in_the_code_map_exist() {
    let architecture = files::named("ARCHITECTURE.md");
    let lines = architecture.text.lines().enumerate();
    let map = lines.skip_while(|(_, line)| *line != "## Code map").skip(1);
    let mut names = Vec::new();
    for (n, line) in map.take_while(|(_, line)| !line.starts_with("## ")) {
        let spans = line.split('`').skip(1).step_by(2);
        let is_name = |span: &&str| span.contains('/') || span.ends_with(".rs");
        let is_name = |span: &&str| is_name(span) && !span.contains([' ', ':', '(']);
        names.extend(spans.filter(is_name).map(|name| (n + 1, name)));
    }
    assert!(names.len() > 10, "ARCHITECTURE.md has no section `## Code map` that names files");
    let missing = names.into_iter();
    let missing =
        missing.filter(|(_, name)| !is_there(name) && !is_there(&format!("runtime/src/{name}")));
    let findings: Vec<_> = missing
        .map(|(line, name)| {
            format!("ARCHITECTURE.md:{line}: there is no `{name}`: name what took its place")
        })
        .collect();
    settle(&findings);
}

#[test]
fn anchors_of_headings_are_those_that_github_makes() {
    let text = "# A `b::c` d\n## It's [done](x.md), e-f\n```text\n# no\n```\n# A b::c d\n#not\n";
    assert_eq!(anchors(text), ["a-bc-d", "its-done-e-f", "a-bc-d-1"]);
}
