//! The files of the repository, read once for all tests.
//!
//! They are found by walking, not by asking Git: a source archive has no Git folder, and a file
//! that is not added yet should be looked at before it is committed. So a stray file is looked at
//! too; it wants to be removed or ignored. Left out are what `.gitignore` names, build folders,
//! which Cargo marks by a file `CACHEDIR.TAG`, and hidden folders other than `.ci`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::rust;

/// A text file of the repository.
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Of a Rust file, the text with comments and strings blanked out, byte for byte as long.
    pub(crate) code: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Where a byte lies, for messages: `path:line`.
    pub(crate) fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.path, rust::line(&self.text, offset))
    }

    /// The path under `runtime/src`, if it lies there.
    pub(crate) fn in_library(&self) -> Option<&str> {
        self.path.strip_prefix("runtime/src/")
    }
}

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files, by path.
pub(crate) fn all() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut paths = Vec::new();
        walk(root(), &ignored(), &mut paths);
        paths.sort();
        let files: Vec<File> = paths.iter().filter_map(|path| read(path)).collect();
        assert!(files.iter().any(|file| file.path == "runtime/src/lib.rs"), "nothing was found");
        files
    })
}

/// The Rust files.
pub(crate) fn rust() -> impl Iterator<Item = &'static File> {
    all().iter().filter(|file| file.is_rust())
}

/// The Rust files of the library, each with its path under `runtime/src`.
pub(crate) fn library() -> impl Iterator<Item = (&'static File, &'static str)> {
    rust().filter_map(|file| Some((file, file.in_library()?)))
}

/// The file with this path.
pub(crate) fn named(path: &str) -> &'static File {
    find(path).unwrap_or_else(|| panic!("{path} is gone, or is no text"))
}

/// The file with this path, if there is one.
pub(crate) fn find(path: &str) -> Option<&'static File> {
    all().iter().find(|file| file.path == path)
}

/// A file that is no UTF-8 is no text of ours.
fn read(path: &Path) -> Option<File> {
    let text = String::from_utf8(fs::read(path).expect("it was just found")).ok()?;
    let path = path.strip_prefix(root()).expect("the walk began there");
    let path = path.to_str().expect("UTF-8").to_owned();
    let code = if path.ends_with(".rs") { rust::blanked(&text) } else { String::new() };
    Some(File { path, text, code })
}

/// What `.gitignore` names. It holds names at the root only, which is all that is understood here.
fn ignored() -> Vec<PathBuf> {
    let list = fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    let names = list.lines().filter_map(|line| line.trim().strip_prefix('/'));
    names.map(|name| root().join(name.trim_end_matches('/'))).collect()
}

fn walk(folder: &Path, ignored: &[PathBuf], found: &mut Vec<PathBuf>) {
    if folder.join("CACHEDIR.TAG").exists() {
        return;
    }
    for entry in fs::read_dir(folder).expect("a folder of the repository can be read") {
        let entry = entry.expect("a folder of the repository can be read");
        let (path, kind) = (entry.path(), entry.file_type().expect("it was just found"));
        if ignored.contains(&path) {
            continue;
        }
        if kind.is_file() {
            found.push(path);
        } else if kind.is_dir() {
            let name = entry.file_name();
            if name == ".ci" || !name.to_string_lossy().starts_with('.') {
                walk(&path, ignored, found);
            }
        }
    }
}
