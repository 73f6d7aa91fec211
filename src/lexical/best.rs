//! The best documents by score, some of them passed over, ties broken the same way always.

use tantivy::query::{EnableScoring, Query};
use tantivy::{Score, Searcher};

use crate::numbers::NumberSet;

/// The `limit` documents with the best scores, of `among` where that is given, as (number, score); and all others that tie with the last of them.
/// In no order. `numbers` has the number of each document, by segment.
///
/// Tantivy's own collector breaks ties by where a document happens to lie, and cannot pass over documents and still leave out those
/// that cannot be among the best (its block-max WAND); here a document that is passed over just does not raise the threshold.
pub(super) fn best(
    searcher: &Searcher,
    query: &dyn Query,
    limit: usize,
    among: Option<&NumberSet>,
    numbers: &[Box<[u64]>],
) -> tantivy::Result<Vec<(u64, Score)>> {
    let weight = query.weight(EnableScoring::enabled_from_searcher(searcher))?;
    let mut best = Best::new(limit);
    for (segment, numbers) in searcher.segment_readers().iter().zip(numbers) {
        let alive = segment.alive_bitset();
        weight.for_each_pruning(best.threshold, segment, &mut |document, score| {
            if alive.is_none_or(|alive| alive.is_alive(document))
                && let Some(&number) = numbers.get(document as usize)
                && among.is_none_or(|among| among.contains(number))
            {
                best.offer(number, score);
            }
            best.threshold
        })?;
    }
    best.cut();
    Ok(best.found)
}

/// The best so far, and some that were when they came.
struct Best {
    limit: usize,
    found: Vec<(u64, Score)>,
    /// So many are held before those that fell behind are dropped: to know the last of the best after each would take longer than what that leaves out.
    full: usize,
    /// What a score has to be above: just below the last of the best, so that those which tie with it are seen.
    threshold: Score,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { limit, found: Vec::with_capacity(2 * limit), full: 2 * limit, threshold: Score::NEG_INFINITY }
    }

    fn offer(&mut self, number: u64, score: Score) {
        if score <= self.threshold {
            return;
        }
        self.found.push((number, score));
        if self.found.len() >= self.full {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.found.len() < self.limit {
            return;
        }
        let (_, last, _) = self.found.select_nth_unstable_by(self.limit - 1, |a, b| b.1.total_cmp(&a.1));
        self.threshold = self.threshold.max(last.1.next_down());
        let threshold = self.threshold;
        self.found.retain(|(_, score)| *score > threshold);
        // Where many tie, more are left.
        self.full = self.found.len() + self.limit;
    }
}
