//! A bar on standard error that moves while the children measure, if a terminal is there to show
//! it. Elsewhere, as in a log, it prints nothing.

use std::io::{self, IsTerminal, Write};

/// See the file's comment. A drop wipes the bar.
pub struct Progress {
    is_shown: bool,
    steps: u64,
    done: u64,
    label: String,
    shown_permille: u64,
}

impl Progress {
    pub fn new(steps: u64) -> Progress {
        let is_shown = io::stderr().is_terminal();
        Progress { is_shown, steps, done: 0, label: String::new(), shown_permille: 0 }
    }

    /// Begins a step.
    pub fn begin(&mut self, label: String) {
        self.label = label;
        self.draw(0);
    }

    /// Says how much of the step is done.
    pub fn part(&mut self, done: u64, of: u64) {
        let permille = done * 1000 / of.max(1);
        if permille != self.shown_permille {
            self.draw(permille);
        }
    }

    /// Ends the step.
    pub fn end(&mut self) {
        self.done += 1;
        self.draw(0);
    }

    fn draw(&mut self, permille: u64) {
        self.shown_permille = permille;
        if !self.is_shown {
            return;
        }
        let cells = (self.done * 1000 + permille) * WIDTH / (self.steps * 1000).max(1);
        let bar: String = (0..WIDTH).map(|cell| if cell < cells { '█' } else { '░' }).collect();
        // A terminal that is gone is no reason to stop.
        let _ = write!(io::stderr(), "\r\x1b[2K{bar} {}", self.label);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

const WIDTH: u64 = 30;
