//! Places in the file system for Unix sockets, which no test may share with another.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs, process};

/// An empty directory that goes with all that is in it.
pub(crate) struct Place(PathBuf);

static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Place {
    /// Makes one of a name that no other process and no other test uses.
    pub(crate) fn new() -> Place {
        // ORDERING: Relaxed; all that is asked is that no two get the same number.
        let number = NEXT.fetch_add(1, Relaxed);
        let path = env::temp_dir().join(format!("sylvan-net-{}-{number}", process::id()));
        fs::create_dir(&path).expect("the directory is new");
        Place(path)
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left of a failed test is worth no second panic.
        let _ = fs::remove_dir_all(&self.0);
    }
}
