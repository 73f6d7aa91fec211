//! What a person sees: colours, bars, wrapped text.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

pub const STRONG: Style = Style::new().bold();
pub const FAINT: Style = Style::new().dimmed();
pub const FOUND: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
pub const BETTER: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
pub const WORSE: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// A line on standard error, for a person. Whoever has stopped reading it does not stop the work.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stderr(), $($text)*);
    }};
}
pub(crate) use tell;

/// Text in a style.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The width of the terminal, within reason; 100 where there is none.
pub fn width() -> usize {
    terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0)).clamp(40, 140)
}

/// A bar with rate and time left on a terminal; in a pipe, a line every ten seconds.
pub struct Progress {
    bar: ProgressBar,
    what: &'static str,
    begun: Instant,
    told: Instant,
    plain: bool,
}

impl Progress {
    pub fn new(what: &'static str, total: u64) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain { ProgressBar::hidden() } else { ProgressBar::new(total) };
        bar.set_length(total);
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len}, {eta} left{msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        Self { bar, what, begun: Instant::now(), told: Instant::now(), plain }
    }

    /// So many are done; `more` is told behind.
    pub fn at(&mut self, done: u64, more: impl FnOnce() -> String) {
        self.bar.set_position(done);
        if !self.plain {
            if self.told.elapsed() > Duration::from_millis(100) {
                self.bar.set_message(more());
                self.told = Instant::now();
            }
        } else if self.told.elapsed() > Duration::from_secs(10) {
            self.told = Instant::now();
            let (total, elapsed) = (self.bar.length().unwrap_or(0), self.begun.elapsed().as_secs_f64());
            let left = elapsed / done.max(1) as f64 * total.saturating_sub(done) as f64;
            tell!("{}: {done} of {total}, about {left:.0} s left{}", self.what, more());
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Text from outside as a terminal may show it: no control characters, and none that turn the direction of writing.
pub fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.replace(|c: char| c.is_control() && !c.is_ascii_whitespace() || turns(c), "\u{fffd}")
}

/// Words in lines of at most `width` characters, styles not counted; `text` may hold ANSI styles within words.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split_whitespace() {
        let length = anstream::adapter::strip_str(word).to_string().chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A duration as a person reads it.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 0.9995 => format!("{:.0} ms", seconds * 1000.0),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

/// Bytes as a person reads them.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_by_what_is_seen_of_them() {
        let marked = styled(FOUND, "found");
        assert_eq!(wrap(&format!("a {marked} word here"), 10), [format!("a {marked}"), "word here".to_owned()]);
        assert!(wrap("  ", 10).is_empty());
        assert_eq!(wrap("longerthanthat a", 5), ["longerthanthat", "a"]);
    }

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{9b}c\u{202e}d\te"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\te");
    }

    #[test]
    fn figures_have_the_unit_that_fits() {
        assert_eq!((bytes(999), bytes(1000), bytes(2_500_000)), ("999 B".to_owned(), "1.0 KB".to_owned(), "2.5 MB".to_owned()));
        assert_eq!((time(Duration::from_millis(12)), time(Duration::from_secs(90))), ("12 ms".to_owned(), "90.0 s".to_owned()));
    }
}
