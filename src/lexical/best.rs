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
        Self { limit, found: Vec::new(), full: 2 * limit, threshold: Score::NEG_INFINITY }
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
        // Where many tie, more than `limit` are left; then room for as many again, or each few would be sorted anew.
        self.full = 2 * self.found.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_and_whoever_ties_with_the_last_are_left(scores in prop::collection::vec(0u8..20, 1..300), limit in 1usize..40) {
            let mut best = Best::new(limit);
            for (number, score) in (0..).zip(&scores) {
                best.offer(number, f32::from(*score));
            }
            best.cut();
            let mut sorted = scores.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let last = sorted[limit.min(sorted.len()) - 1];
            let expected: Vec<u64> = (0..).zip(&scores).filter(|(_, score)| **score >= last).map(|(number, _)| number).collect();
            let mut found: Vec<u64> = best.found.into_iter().map(|(number, _)| number).collect();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_million_that_tie_are_not_sorted_again_for_every_few() {
        let mut best = Best::new(1);
        let mut cuts = 0;
        for number in 0..1_000_000 {
            let full = best.full;
            best.offer(number, 1.0);
            cuts += usize::from(best.full != full);
        }
        assert_eq!(best.found.len(), 1_000_000);
        assert!(cuts < 30, "{cuts}");
    }
}
