//! One public path per item: a reader of two programs should not meet one thing under two names.
//!
//! How: the public modules are walked from `lib.rs` by their text. Each name in them is traced
//! through the `use` declarations of the private modules to the file that defines it; two public
//! names that end at the same definition are one too many. Names are compared by where they come
//! from, so `Builder` and `thread::Builder`, which are two items, are no offence. What is hidden
//! from the documentation, such as `__private`, counts as private.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::files::{self, File};
use crate::{rust, settle};

/// Items with more than one public path: where they are defined, and why.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// What a module declares at its own level.
#[derive(Default)]
struct Module {
    uses: Vec<Use>,
    /// Public items that are defined here, with their places in the file.
    items: Vec<(String, usize)>,
    /// Exported macros that are written here.
    macros: Vec<(String, usize)>,
    /// Modules in files of their own, and whether they are public.
    children: Vec<(String, bool)>,
}

/// One name out of a `use` declaration.
struct Use {
    name: String,
    path: Vec<String>,
    public: bool,
    at: usize,
}

/// The file of a module, by the names that lead to it.
fn file_of(module: &[String]) -> Option<&'static File> {
    let stem = module.join("/");
    if module.is_empty() {
        return files::find("runtime/src/lib.rs");
    }
    let folder = files::find(&format!("runtime/src/{stem}/mod.rs"));
    folder.or_else(|| files::find(&format!("runtime/src/{stem}.rs")))
}

/// Reads the declarations of a file that stand in no braces.
fn read(file: &File) -> Module {
    let mut module = Module::default();
    let (code, mut at) = (&*file.code, 0);
    while let Some(length) = code[at..].find([';', '{']) {
        let open = at + length;
        let is_braced = code.as_bytes()[open] == b'{';
        // The braces of a use tree belong to its declaration; others end one.
        let is_tree = is_braced && keyword(&code[at..open], "use").is_some();
        let head = if is_tree { at..rust::group_end(code, open) } else { at..open };
        at = if is_braced { rust::group_end(code, open) } else { open + 1 };
        declare(&mut module, file, head, is_braced && !is_tree);
    }
    module
}

/// Where a keyword stands that a name follows.
fn keyword(text: &str, word: &str) -> Option<usize> {
    rust::words(text, word).find(|at| text[at + word.len()..].starts_with([' ', '!']))
}

/// Enters one declaration, of which `head` is all that stands before its body.
fn declare(module: &mut Module, file: &File, head: Range<usize>, has_body: bool) {
    let (text, start) = (&file.code[head.clone()], head.start);
    let hidden = text.contains("#[doc(hidden)]");
    let public = keyword(text, "pub").filter(|_| !hidden);
    let named = |at: usize, word: &str| rust::word_at(text, at + word.len()).to_owned();
    if let Some(at) = keyword(text, "macro_rules") {
        if !hidden && text.contains("#[macro_export]") {
            module.macros.push((named(at, "macro_rules!"), start + at));
        }
    } else if let Some(at) = keyword(text, "use") {
        for (path, name) in rust::branches(&text[at + "use".len()..]) {
            module.uses.push(Use { name, path, public: public.is_some(), at: start + at });
        }
    } else if let Some(at) = keyword(text, "mod") {
        assert!(
            public.is_none() || !has_body,
            "{}: give this public module a file of its own, so that its names can be traced",
            file.at(start + at)
        );
        if !has_body {
            module.children.push((named(at, "mod"), public.is_some()));
        }
    } else if let Some(public) = public {
        let kinds = ["fn", "struct", "enum", "union", "trait", "type", "static", "const"];
        let kinds = kinds.iter().filter_map(|kind| Some((keyword(text, kind)?, kind)));
        let mut kinds: Vec<_> = kinds.filter(|(at, _)| *at > public).collect();
        kinds.sort();
        // Of `const fn`, the second is the kind.
        let mut names = kinds.into_iter().map(|(at, kind)| (named(at, kind), start + at));
        let modifiers = ["fn", "unsafe", "async", "extern"];
        module.items.extend(names.find(|(name, _)| !modifiers.contains(&&**name)));
    }
}

/// Where an item that is named by `path` in a module is defined: its path from this crate's root,
/// or the path in another crate.
fn origin(module: &[String], path: &[String]) -> Vec<String> {
    let (place, rest) = match path[0].as_str() {
        "crate" => (&[][..], &path[1..]),
        "self" => (module, &path[1..]),
        "super" => (&module[..module.len() - 1], &path[1..]),
        first => {
            let here = file_of(module).map(read).expect("who declares it has a file");
            let is_child = here.children.iter().any(|(name, _)| name == first);
            let is_used = here.uses.iter().any(|one| one.name == first && one.path != path);
            if !is_child && !is_used {
                return path.to_vec();
            }
            (module, path)
        }
    };
    match rest {
        [name, ..] if name == "super" => origin(place, rest),
        [name, after @ ..] => {
            let Some(here) = file_of(place).map(read) else { return [place, rest].concat() };
            // What stands before `::` is a module; a function may have its name.
            if !after.is_empty() && here.children.iter().any(|(child, _)| child == name) {
                let inner = [place, std::slice::from_ref(name)].concat();
                return origin(&inner, &[&["self".to_owned()], after].concat());
            }
            if let Some(one) = here.uses.iter().find(|one| one.name == *name && one.path != path) {
                return origin(place, &[&one.path, after].concat());
            }
            [place, rest].concat()
        }
        [] => place.to_vec(),
    }
}

/// A public name: its path, the definition that it leads to, and where it is declared.
struct Name {
    path: String,
    origin: String,
    at: String,
}

/// Gathers the names of a module and of the public ones in it.
fn gather(module: &[String], names: &mut Vec<Name>) {
    let file = file_of(module).unwrap_or_else(|| panic!("module {module:?} has no file"));
    let here = read(file);
    let joined = |name: &str| [module, &[name.to_owned()]].concat().join("::");
    for one in here.uses.iter().filter(|one| one.public) {
        let origin = origin(module, &one.path).join("::");
        names.push(Name { path: joined(&one.name), origin, at: file.at(one.at) });
    }
    for (name, at) in &here.items {
        names.push(Name { path: joined(name), origin: joined(name), at: file.at(*at) });
    }
    for (name, _) in here.children.iter().filter(|(_, public)| *public) {
        gather(&[module, std::slice::from_ref(name)].concat(), names);
    }
}

/// All public names. An exported macro is one at the root, wherever it is written, and a `use` of
/// it there names it without its mark.
fn public_names() -> Vec<Name> {
    let mut names = Vec::new();
    gather(&[], &mut names);
    let mut macros = BTreeSet::new();
    let mut at_root = Vec::new();
    for (file, _) in files::library() {
        for (name, at) in read(file).macros {
            let name = format!("{name}!");
            at_root.push(Name { path: name.clone(), origin: name.clone(), at: file.at(at) });
            macros.insert(name);
        }
    }
    for name in &mut names {
        let as_macro = format!("{}!", name.origin);
        if macros.contains(&as_macro) {
            name.origin = as_macro;
        }
    }
    names.extend(at_root);
    names
}

#[test]
fn public_items_have_one_public_path_each() {
    let names = public_names();
    let mut findings = Vec::new();
    let mut by_origin: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for Name { path, origin, at } in &names {
        by_origin.entry(origin).or_default().insert(path, at);
        if path.ends_with('*') {
            findings
                .push(format!("{at}: `pub use …::*`: name each item, so that it can be traced"));
        }
    }
    for known in ["sched::config::Mapping", "thread::scope::scope", "thread_local!"] {
        assert!(by_origin.contains_key(known), "`{known}` was not found among the public items");
    }
    for (origin, paths) in &by_origin {
        let excepted = EXCEPTIONS.iter().any(|(known, _)| known == origin);
        let list: Vec<_> =
            paths.iter().map(|(path, at)| format!("sylvan::{path} ({at})")).collect();
        if paths.len() > 1 && !excepted {
            let list = list.join(" and ");
            findings.push(format!("`{origin}` is public as {list}: keep one of them"));
        }
        if paths.len() == 1 && excepted {
            findings.push(format!(
                "tests/tidy/paths.rs: `{origin}` has one path: remove that entry of EXCEPTIONS"
            ));
        }
    }
    for (known, _) in EXCEPTIONS.iter().filter(|(known, _)| !by_origin.contains_key(known)) {
        findings.push(format!(
            "tests/tidy/paths.rs: there is no public `{known}`: remove that entry of EXCEPTIONS"
        ));
    }
    settle(&findings);
}
