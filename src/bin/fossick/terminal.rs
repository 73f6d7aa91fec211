//! What a person sees: colours, bars, wrapped text.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
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

/// How far something is.
#[derive(Default)]
pub struct Position {
    /// What is done of the total.
    pub done: u64,
    /// What of that took no time, and so tells nothing of the rest.
    pub passed_over: u64,
    /// How fast it goes, where that is not simply the things done in a second.
    pub rate: Option<String>,
}

/// A bar with rate and time left on a terminal; in a pipe, a line every ten seconds. A thread of its own shows it, whatever the work waits for; dropping it
/// takes it away.
pub struct Progress {
    done: Arc<AtomicU64>,
    /// Closed to end the thread.
    goes_on: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Of things (`queries`, `records`) that [`Progress::at`] counts.
    pub fn new(what: impl Into<String>, things: &'static str, total: Option<u64>) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let seen = done.clone();
        let mut progress =
            Self::watching(what, things, total, move || Position { done: seen.load(Ordering::Relaxed), ..Position::default() });
        progress.done = done;
        progress
    }

    /// Of work that is looked at while others do it.
    pub fn watching(
        what: impl Into<String>,
        things: &'static str,
        total: Option<u64>,
        look: impl Fn() -> Position + Send + 'static,
    ) -> Self {
        let (goes_on, ended) = channel();
        let what = what.into();
        // Without a thread there is no bar; the work is the same.
        let thread = Builder::new().spawn(move || show(&what, things, total, look, &ended)).ok();
        Self { done: Arc::default(), goes_on: Some(goes_on), thread }
    }

    /// So many are done.
    pub fn at(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.goes_on = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn show(what: &str, things: &str, total: Option<u64>, look: impl Fn() -> Position, ended: &Receiver<()>) {
    let begun = Instant::now();
    let state = || {
        let Position { done, passed_over, rate } = look();
        let (elapsed, worked) = (begun.elapsed().as_secs_f64(), done.saturating_sub(passed_over));
        let rate = rate.unwrap_or_else(|| per_second(done as f64 / elapsed.max(1e-9), things));
        let left = total.filter(|_| worked > 0).map(|total| elapsed / worked as f64 * total.saturating_sub(done) as f64);
        let left = left.filter(|left| *left >= 0.5).map_or_else(String::new, |left| match left {
            left if left < 120.0 => format!(", about {left:.0} s left"),
            left => format!(", about {:.0} min left", left / 60.0),
        });
        (done, rate, left)
    };
    let every = |tick| matches!(ended.recv_timeout(tick), Err(RecvTimeoutError::Timeout));
    if !std::io::stderr().is_terminal() {
        while every(Duration::from_secs(10)) {
            let (done, rate, left) = state();
            let of = total.map_or_else(String::new, |total| format!(" of {total}"));
            tell!("{what}: {done}{of}, {rate}{left}");
        }
        return;
    }
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = if total.is_some() { "{prefix} [{bar:30}] {pos}/{len}, {msg}" } else { "{prefix} {pos}, {msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    while every(Duration::from_millis(100)) {
        let (done, rate, left) = state();
        bar.set_position(done);
        bar.set_message(rate + &left);
    }
    bar.finish_and_clear();
}

/// A rate as a person reads it.
pub fn per_second(rate: f64, things: &str) -> String {
    if rate < 10.0 { format!("{rate:.1} {things}/s") } else { format!("{rate:.0} {things}/s") }
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
        _ if seconds < 0.00995 => format!("{:.1} ms", seconds * 1000.0),
        _ if seconds < 0.9995 => format!("{:.0} ms", seconds * 1000.0),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

/// A number of things, one of which is called `thing`.
pub fn counted(count: u64, thing: &str) -> String {
    match thing.strip_suffix('y') {
        _ if count == 1 => format!("1 {thing}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {thing}s"),
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
        assert_eq!((time(Duration::from_micros(9_940)), time(Duration::ZERO)), ("9.9 ms".to_owned(), "0.0 ms".to_owned()));
        assert_eq!(
            (per_second(2.34, "queries"), per_second(81.6, "passages")),
            ("2.3 queries/s".to_owned(), "82 passages/s".to_owned())
        );
        assert_eq!((counted(0, "file"), counted(1, "file")), ("0 files".to_owned(), "1 file".to_owned()));
        assert_eq!((counted(2, "query"), counted(1, "query")), ("2 queries".to_owned(), "1 query".to_owned()));
        assert_eq!((time(Duration::from_millis(12)), time(Duration::from_secs(90))), ("12 ms".to_owned(), "90.0 s".to_owned()));
    }
}
