//! How far the render is, on stderr: on a terminal one line that changes, otherwise a line every ten per cent. If
//! stderr cannot be written, rendering goes on.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Stderr, Write};

use crate::meter::Levels;

/// How the progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// A line every ten per cent.
    Lines,
    /// A line that changes.
    Line,
    /// A line that changes, in colour.
    Colour,
}

/// Shows how many of `total` blocks are done.
pub(crate) struct Progress<W: Write = Stderr> {
    to: W,
    look: Look,
    total: u64,
    shown: Option<u64>,
    open: bool,
}

impl Progress {
    /// Progress of `total` blocks on stderr.
    pub(crate) fn new(total: u64) -> Progress {
        let (term, no_color) = (std::env::var_os("TERM"), std::env::var_os("NO_COLOR"));
        let terminal = io::stderr().is_terminal();
        let look = look(terminal, term.as_deref(), no_color.as_deref());
        Progress::with(io::stderr(), look, total)
    }
}

/// How to show it: a changing line needs a capable terminal, and colour must not be switched off.
fn look(terminal: bool, term: Option<&OsStr>, no_color: Option<&OsStr>) -> Look {
    let able = terminal && term.is_some_and(|t| t != "dumb");
    match no_color.is_some_and(|value| !value.is_empty()) {
        _ if !able => Look::Lines,
        true => Look::Line,
        false => Look::Colour,
    }
}

impl<W: Write> Progress<W> {
    fn with(to: W, look: Look, total: u64) -> Progress<W> {
        Progress {
            to,
            look,
            total: total.max(1),
            shown: None,
            open: false,
        }
    }

    /// Reports that `done` blocks are done, with the levels of the meter. Costs little if nothing new is shown.
    pub(crate) fn update(&mut self, done: u64, levels: Levels) {
        let parts = if self.look == Look::Lines { 10 } else { 1_000 };
        let part = (u128::from(done) * parts / u128::from(self.total)) as u64;
        if self.shown == Some(part) || (self.look == Look::Lines && part == 0) {
            return;
        }
        self.shown = Some(part);
        self.show(done, levels);
    }

    /// Prints a message on a line of its own.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        let clear = if self.open { "\r\x1b[K" } else { "" };
        self.open = false;
        self.shown = self.shown.filter(|_| self.look == Look::Lines);
        self.put(&format!("{clear}{}\n", text.as_ref()));
    }

    fn show(&mut self, done: u64, levels: Levels) {
        let share = 100.0 * done as f64 / self.total as f64;
        let [left, right] = levels.peak_dbfs();
        let total = self.total;
        let text = format!(
            "rendering {share:5.1} %  block {done} of {total}, peak {left:.1} / {right:.1} dBFS"
        );
        let filled = (share / 4.0) as usize;
        let bar = format!(
            "{}{}",
            "━".repeat(filled),
            " ".repeat(25_usize.saturating_sub(filled))
        );
        match self.look {
            Look::Lines => self.put(&format!("{text}\n")),
            Look::Line => self.put(&format!("\r\x1b[K{bar} {text}")),
            Look::Colour => self.put(&format!("\r\x1b[K\x1b[36m{bar}\x1b[0m {text}")),
        }
        self.open = self.look != Look::Lines;
    }

    fn put(&mut self, text: &str) {
        let _ = self.to.write_all(text.as_bytes());
        let _ = self.to.flush();
    }
}

/// Ends the line, so that the next output begins on a line of its own.
impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        if self.open {
            self.put("\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(look: Look, act: impl FnOnce(&mut Progress<&mut Vec<u8>>)) -> String {
        let mut bytes = Vec::new();
        act(&mut Progress::with(&mut bytes, look, 7_500));
        String::from_utf8(bytes).unwrap()
    }

    fn half() -> Levels {
        Levels {
            peak: [1.0, 0.5],
            rms: [0.5, 0.25],
        }
    }

    fn render(progress: &mut Progress<&mut Vec<u8>>) {
        (1..=7_500).for_each(|done| progress.update(done, half()));
    }

    #[test]
    fn a_file_gets_a_line_every_ten_per_cent() {
        let text = shown(Look::Lines, render);
        assert_eq!(text.lines().count(), 10);
        assert_eq!(
            text.lines().next(),
            Some("rendering  10.0 %  block 750 of 7500, peak 0.0 / -6.0 dBFS")
        );
        assert_eq!(
            text.lines().last(),
            Some("rendering 100.0 %  block 7500 of 7500, peak 0.0 / -6.0 dBFS")
        );
        assert!(!text.contains(['\r', '\x1b']));
    }

    #[test]
    fn a_terminal_gets_one_line_that_changes() {
        let text = shown(Look::Line, render);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.ends_with("block 7500 of 7500, peak 0.0 / -6.0 dBFS\n"));
        assert!(text.matches('\r').count() <= 1_001);
        assert!(!text.contains("\x1b[36m"));
    }

    #[test]
    fn a_note_has_a_line_of_its_own() {
        let act = |p: &mut Progress<&mut Vec<u8>>| {
            p.update(75, half());
            p.note("the filter is gone");
            p.update(75, half());
        };
        let text = shown(Look::Line, act);
        assert!(text.contains("\r\x1b[Kthe filter is gone\n\r"));
        assert_eq!(shown(Look::Lines, act), "the filter is gone\n");
    }

    #[test]
    fn the_place_decides_the_look() {
        let (xterm, dumb) = (Some(OsStr::new("xterm")), Some(OsStr::new("dumb")));
        assert_eq!(look(true, xterm, None), Look::Colour);
        assert_eq!(look(true, xterm, Some(OsStr::new(""))), Look::Colour);
        assert_eq!(look(true, xterm, Some(OsStr::new("1"))), Look::Line);
        assert_eq!(look(true, dumb, None), Look::Lines);
        assert_eq!(look(true, None, None), Look::Lines);
        assert_eq!(look(false, xterm, None), Look::Lines);
    }
}
