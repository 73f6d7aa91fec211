//! How fast a model goes, measured while it works.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Tokens a second, over the work that was done so far; what was done lately counts most.
pub(super) struct Pace {
    /// How many sequences are worked on side by side: one alone would keep that part of the device busy.
    abreast: usize,
    known: Mutex<Option<f64>>,
}

/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;

/// What a sequence costs, in tokens of a short one: attention grows with the square of the length, and is as much as all else
/// where a sequence has a thousand tokens.
fn cost(tokens: usize) -> f64 {
    let tokens = tokens as f64;
    tokens * (1.0 + tokens / 1000.0)
}

impl Pace {
    pub(super) fn new(abreast: usize) -> Self {
        Self { abreast, known: Mutex::new(None) }
    }

    /// Takes note of work that was done, if it was enough to keep all of the device busy.
    pub(super) fn measured(&self, lengths: impl ExactSizeIterator<Item = usize>, time: Duration) {
        if lengths.len() < self.abreast || time.is_zero() {
            return;
        }
        let now = lengths.map(cost).sum::<f64>() / time.as_secs_f64();
        let mut pace = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = Some(pace.map_or(now, |before| before + NEWEST * (now - before)));
    }

    /// What one sequence of so many tokens takes, others beside it or not; nothing, as long as nothing was measured.
    pub(super) fn estimate(&self, tokens: usize) -> Duration {
        let seconds = |pace: f64| (cost(tokens) * self.abreast as f64 / pace).min(1e6);
        self.known().map_or(Duration::ZERO, |pace| Duration::from_secs_f64(seconds(pace)))
    }

    /// How many sequences of such lengths, from the first on, fit into `time`; at least as many as are worked on side by side, for
    /// they take no longer than one.
    pub(super) fn count(&self, lengths: impl ExactSizeIterator<Item = usize>, time: Duration) -> usize {
        let least = self.abreast.min(lengths.len());
        let mut room = self.known().unwrap_or_default() * time.as_secs_f64();
        let fits = |length: &usize| {
            room -= cost(*length);
            room >= 0.0
        };
        lengths.take_while(fits).count().max(least)
    }

    fn known(&self) -> Option<f64> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_anything_is_known_each_thread_gets_one() {
        let pace = Pace::new(4);
        assert_eq!(pace.count([100; 1000].into_iter(), Duration::from_secs(9)), 4);
        assert_eq!(pace.count([100].into_iter(), Duration::from_secs(9)), 1);
        assert_eq!(pace.count([].into_iter(), Duration::from_secs(9)), 0);
        assert_eq!(pace.estimate(500), Duration::ZERO);
    }

    #[test]
    fn as_many_go_into_a_time_as_the_pace_allows() {
        let pace = Pace::new(2);
        pace.measured([100; 10].into_iter(), Duration::from_millis(100));
        assert_eq!(pace.estimate(100), Duration::from_millis(20), "two at a time, ten in 100 ms");
        assert_eq!(pace.count([100; 9].into_iter(), Duration::from_millis(35)), 3);
        assert_eq!(pace.count([100; 2].into_iter(), Duration::from_millis(35)), 2);
        assert_eq!(pace.count([500, 1, 1].into_iter(), Duration::from_millis(1)), 2, "one a thread at least");
        assert!(pace.estimate(500) > 5 * pace.estimate(100), "long ones cost more a token");
    }

    #[test]
    fn the_pace_follows_what_is_measured() {
        let pace = Pace::new(1);
        pace.measured([100].into_iter(), Duration::from_millis(10));
        for _ in 0..30 {
            pace.measured([100].into_iter(), Duration::from_millis(20));
        }
        assert!(pace.estimate(100).abs_diff(Duration::from_millis(20)) < Duration::from_micros(10));
    }

    #[test]
    fn what_left_threads_idle_says_nothing_about_the_pace() {
        let pace = Pace::new(3);
        pace.measured([100, 100].into_iter(), Duration::from_millis(10));
        assert_eq!(pace.estimate(100), Duration::ZERO);
    }
}
