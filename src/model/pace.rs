//! How fast a model goes, measured while it works.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::parallel;

/// Tokens a second, over the work that was done so far; what was done lately counts most.
#[derive(Default)]
pub(super) struct Pace(Mutex<Option<f64>>);

/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;

/// What a sequence costs, in tokens of a short one: attention grows with the square of the length, and is as much as all else
/// where a sequence has a thousand tokens.
fn cost(tokens: usize) -> f64 {
    let tokens = tokens as f64;
    tokens * (1.0 + tokens / 1000.0)
}

impl Pace {
    /// Takes note of work that was done.
    pub(super) fn measured(&self, lengths: &[usize], time: Duration) {
        let done: f64 = lengths.iter().map(|&length| cost(length)).sum();
        if done > 0.0 && !time.is_zero() {
            let now = done / time.as_secs_f64();
            let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *pace = Some(pace.map_or(now, |before| before + NEWEST * (now - before)));
        }
    }

    /// What a sequence of so many tokens takes by itself; nothing, as long as nothing was measured.
    pub(super) fn estimate(&self, tokens: usize) -> Duration {
        self.known().map_or(Duration::ZERO, |pace| Duration::from_secs_f64((cost(tokens) / pace).min(1e6)))
    }

    /// How many sequences of such lengths, from the first on, fit into `time`: at least one where there is one. Before anything was
    /// measured, one a thread.
    pub(super) fn count(&self, lengths: impl Iterator<Item = usize>, time: Duration) -> usize {
        let Some(pace) = self.known() else { return lengths.take(parallel::threads()).count() };
        let mut room = pace * time.as_secs_f64();
        let fits = |length: &usize| {
            room -= cost(*length);
            room >= 0.0
        };
        let mut lengths = lengths.peekable();
        let least = usize::from(lengths.peek().is_some());
        lengths.take_while(fits).count().max(least)
    }

    fn known(&self) -> Option<f64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_anything_is_known_each_thread_gets_one() {
        let pace = Pace::default();
        assert_eq!(pace.count([100; 1000].into_iter(), Duration::from_secs(9)), parallel::threads());
        assert_eq!(pace.count([100].into_iter(), Duration::from_secs(9)), 1);
        assert_eq!(pace.count([].into_iter(), Duration::from_secs(9)), 0);
        assert_eq!(pace.estimate(500), Duration::ZERO);
    }

    #[test]
    fn as_many_go_into_a_time_as_the_pace_allows() {
        let pace = Pace::default();
        pace.measured(&[100; 10], Duration::from_millis(100));
        assert_eq!(pace.estimate(100), Duration::from_millis(10));
        assert_eq!(pace.count([100; 9].into_iter(), Duration::from_millis(35)), 3);
        assert_eq!(pace.count([100; 2].into_iter(), Duration::from_millis(35)), 2);
        assert_eq!(pace.count([500, 1].into_iter(), Duration::from_millis(1)), 1, "one at least");
        assert!(pace.estimate(500) > 5 * pace.estimate(100), "long ones cost more a token");
    }

    #[test]
    fn the_pace_follows_what_is_measured() {
        let pace = Pace::default();
        pace.measured(&[100], Duration::from_millis(10));
        for _ in 0..30 {
            pace.measured(&[100], Duration::from_millis(20));
        }
        assert!(pace.estimate(100).abs_diff(Duration::from_millis(20)) < Duration::from_micros(10));
    }
}
