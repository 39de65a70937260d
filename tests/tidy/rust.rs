//! As much of Rust's grammar as the checks need, on text.
//!
//! A parser proper would be a dependency, and more than is asked: where comments and strings are,
//! where a function ends, what a path begins with. Everything works on the blanked text, in which
//! comments and the insides of strings are spaces, so a word found in it is code.

use std::ops::Range;

/// The text with comments and strings blanked out; line ends stay, and so do all offsets.
pub(crate) fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !continues_word(bytes, at) => raw_string_end(bytes, at).unwrap_or(at),
            b'\'' => character_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole characters were blanked")
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |n| at + n)
}

/// Block comments nest.
fn block_comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() {
        match bytes[end] {
            b'\\' => end += 2,
            b'"' => return end + 1,
            _ => end += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `r#"…"#` and so on; none for a name that begins with r, or `r#name`.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|&&byte| byte == b'#').count();
    let start = at + 1 + hashes;
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let length = bytes[start + 1..].windows(close.len()).position(|window| window == close);
    Some(length.map_or(bytes.len(), |n| start + 1 + n + close.len()))
}

/// `'x'`, `'\n'`, `'\u{1f}'`; none for a lifetime.
fn character_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes[at + 3..].iter().position(|&byte| byte == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    let text = std::str::from_utf8(&bytes[at + 1..]).ok()?;
    let end = at + 1 + text.chars().next()?.len_utf8();
    (bytes.get(end) == Some(&b'\'')).then_some(end + 1)
}

/// Whether the byte before belongs to the same word. The `b` and `c` of byte and C strings do not
/// count.
fn continues_word(bytes: &[u8], at: usize) -> bool {
    let is_word = |n: usize| bytes.get(n).is_some_and(|&byte| is_word_byte(byte));
    let Some(before) = at.checked_sub(1) else { return false };
    let is_prefix =
        matches!(bytes[before], b'b' | b'c') && !before.checked_sub(1).is_some_and(is_word);
    is_word(before) && !is_prefix
}

pub(crate) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The number of the line in which the byte lies.
pub(crate) fn line(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count()
}

/// Where the text stands as whole words: neither end continues a word.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    let edge = |a: usize, b: usize| {
        let joined = bytes.get(a..=b).is_some_and(|two| two.iter().all(|&byte| is_word_byte(byte)));
        !joined
    };
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let end = at + word.len();
        (at == 0 || edge(at - 1, at)) && edge(end - 1, end)
    })
}

/// The word that begins here, after white space; empty if there is none.
pub(crate) fn word_at(code: &str, offset: usize) -> &str {
    let rest = code[offset..].trim_start();
    let end = rest.bytes().position(|byte| !is_word_byte(byte)).unwrap_or(rest.len());
    &rest[..end]
}

/// The offset behind the bracket that closes the one here.
pub(crate) fn group_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (n, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return n + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Each function with a body: its name, and its text from `fn` to the last brace.
pub(crate) fn functions(code: &str) -> Vec<(&str, Range<usize>)> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let name = word_at(code, at + 2);
        if name.is_empty() {
            continue;
        }
        let mut end = at;
        while let Some(n) = code[end..].find(['{', '(', '[', ';']) {
            let open = end + n;
            match code.as_bytes()[open] {
                b';' => break,
                b'{' => {
                    found.push((name, at..group_end(code, open)));
                    break;
                }
                _ => end = group_end(code, open),
            }
        }
    }
    found
}

/// How many inline modules are around the offset.
pub(crate) fn inline_modules(code: &str, offset: usize) -> usize {
    let opens = words(code, "mod").filter_map(|at| {
        let name = word_at(code, at + 3);
        let open = at + code[at..].find(name)? + name.len();
        let open = open + code[open..].find(|c: char| !c.is_whitespace())?;
        (!name.is_empty() && code.as_bytes()[open] == b'{').then_some(open)
    });
    opens.filter(|&open| open < offset && offset < group_end(code, open)).count()
}

/// The branches of a use tree: each path in full, and the name under which it is known. `text` is
/// what stands between `use` and `;`, or a part of it.
pub(crate) fn branches(text: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    grow(text.trim(), &[], &mut found);
    found
}

fn grow(tree: &str, stem: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let mut path = stem.to_vec();
    if let Some(open) = tree.find('{') {
        let names = tree[..open].split("::").map(str::trim).filter(|name| !name.is_empty());
        path.extend(names.map(str::to_owned));
        let inside = &tree[open + 1..group_end(tree, open) - 1];
        for part in at_commas(inside) {
            grow(part, &path, found);
        }
        return;
    }
    let (names, alias) = match tree.split_once(" as ") {
        Some((names, alias)) => (names, Some(alias.trim().to_owned())),
        None => (tree, None),
    };
    path.extend(names.split("::").map(|name| name.trim().to_owned()));
    if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
        path.pop();
    }
    let name = alias.or_else(|| path.last().cloned()).expect("a path has a name");
    found.push((path, name));
}

/// The parts between commas that stand in no inner group.
fn at_commas(list: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (n, byte) in list.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&list[start..n]);
                start = n + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[test]
fn blanked_text_with_each_kind_of_literal_keeps_only_code() {
    for (text, code) in [
        ("a // unsafe\nb", "a          \nb"),
        ("a /* x /* y */ z */ b", "a                   b"),
        ("a(\"un\\\"safe\")b", "a(          )b"),
        ("r#\"a\"b\"#;r#fn", "        ;r#fn"),
        ("br\"x\";bar\"x\"", "b    ;bar   "),
        ("'a' 'b: '\\'' '\\u{1}'", "    'b:"),
    ] {
        let code = format!("{code:<width$}", width = text.len());
        assert_eq!(blanked(text), code, "for {text}");
    }
}

#[test]
fn functions_with_odd_heads_are_found_whole() {
    let code =
        "fn a(x: [u8; { 4 }]) -> u8 {\n{}\n}\ntype B = fn(u8);\ntrait C { fn d(); fn e() {} }";
    let found: Vec<_> = functions(code).into_iter().map(|(name, at)| (name, &code[at])).collect();
    assert_eq!(found, [("a", &code[..33]), ("e", "fn e() {}")]);
}

#[test]
fn branches_of_a_nested_tree_have_their_full_paths() {
    let found = branches("crate::a::{self, b::{C, D as E}, F}");
    let found: Vec<_> = found.iter().map(|(path, name)| (path.join("::"), name.as_str())).collect();
    let expected =
        [("crate::a", "a"), ("crate::a::b::C", "C"), ("crate::a::b::D", "E"), ("crate::a::F", "F")];
    assert_eq!(found, expected.map(|(path, name)| (path.to_owned(), name)));
}
