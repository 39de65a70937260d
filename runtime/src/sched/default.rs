//! The default runtime: the one that `thread::spawn` uses on a kernel thread of no runtime.
//!
//! It is started from the environment by the first call that needs it, and never shut down: the
//! end of the process ends it, as it ends std's detached threads. Under N:1 it gets one background
//! kernel thread, for nobody else would run it.
#![forbid(unsafe_code)]

use std::io;
use std::sync::{Arc, Mutex};

use crate::sched::config::{Mapping, Wishes};
use crate::sched::many_to_one;
use crate::sched::shared::{Hooks, Shared};
use crate::sched::start;

static DEFAULT: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// The default runtime, started if need be. A failed start may be tried again.
pub(crate) fn get() -> io::Result<Arc<Shared>> {
    if start::is_forked_child() {
        return Err(start::forked_error());
    }
    let mut default = DEFAULT.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(shared) = &*default {
        return Ok(shared.clone());
    }
    let config = Wishes::default().resolve()?;
    let mapping = config.mapping;
    let shared = start::start(config, Hooks::default(), true)?;
    if mapping == Mapping::ManyToOne {
        let background = shared.clone();
        let (owned, known) = std::sync::mpsc::channel();
        std::thread::Builder::new().name(format!("{}-0", shared.config.name)).spawn(move || {
            // Before the caller has the runtime: it might run it itself, in a join.
            background.many_to_one.claim(&background);
            drop(owned);
            if let Err(error) = many_to_one::run_until(&background, std::ptr::null()) {
                crate::os::abort_with(&format!("the default runtime cannot be run: {error}"));
            }
        })?;
        // Nothing is sent: the answer is that the sender is gone.
        let _: Result<(), _> = known.recv();
    }
    *default = Some(shared.clone());
    Ok(shared)
}
