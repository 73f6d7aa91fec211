//! The best documents by score, some of them passed over, ties broken the same way always.

use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::{DocAddress, Score, Searcher};

use super::compile::{Weighted, any_of};
use crate::numbers::NumberSet;

/// What part of itself a score may lie below the last of the best and still be looked at. Tantivy compares sums, differences and bounds in f32
/// that it has put together in different orders: of n words they are off by less than n times 2^-23 of the score, so
/// with up to 2048 words no document that ties with the last is passed over by rounding.
const SLACK: Score = 1.0 / 4096.0;

/// What is searched, and what of it counts.
pub(super) struct Place<'a> {
    pub(super) searcher: &'a Searcher,
    /// The number of each document, by segment.
    pub(super) numbers: &'a [Box<[u64]>],
    /// The numbers that count, where not all do.
    pub(super) among: Option<&'a NumberSet>,
}

impl Place<'_> {
    /// The `limit` documents with the best scores, as (number, score); all others that tie with the last of them; and some just below. In no order.
    pub(super) fn best(&self, query: &dyn Query, limit: usize) -> tantivy::Result<Vec<(u64, Score)>> {
        let found = self.nearly_best(query, limit)?;
        Ok(found.into_iter().map(|(at, score)| (self.number(at), score)).collect())
    }

    /// [`best`](Self::best) of those that have any of the words.
    ///
    /// Tantivy adds the words' scores in an order that depends on what was found before, so the last bits of a sum differ between a filtered
    /// and a whole search, and between two depths. The sums of the best are made once more: in f64, where they are exact or nearly, and in
    /// the order of the words.
    pub(super) fn best_of_words(&self, words: &[Weighted], limit: usize) -> tantivy::Result<Vec<(u64, Score)>> {
        let query = any_of(words);
        // The sum of two is the same in either order.
        if words.len() <= 2 {
            return self.best(&*query, limit);
        }
        let found = self.nearly_best(&*query, limit)?;
        let mut sums = vec![0.0_f64; found.len()];
        for word in words {
            let weight = word.query().weight(EnableScoring::enabled_from_searcher(self.searcher))?;
            self.add(&*weight, &found, &mut sums)?;
        }
        Ok(found.into_iter().zip(sums).map(|((at, _), sum)| (self.number(at), sum as Score)).collect())
    }

    /// The best documents, those that tie with the last of them or nearly do, in the order in which they lie, and their scores.
    ///
    /// Tantivy's own collector breaks ties by where a document happens to lie, and cannot pass over documents and still leave out those
    /// that cannot be among the best (its block-max WAND); here a document that is passed over just does not raise the threshold.
    fn nearly_best(&self, query: &dyn Query, limit: usize) -> tantivy::Result<Vec<(DocAddress, Score)>> {
        let mut best = Best::new(limit);
        let weight = query.weight(EnableScoring::enabled_from_searcher(self.searcher))?;
        for (segment, numbers) in (0..).zip(self.numbers) {
            let reader = self.searcher.segment_reader(segment);
            let alive = reader.alive_bitset();
            weight.for_each_pruning(best.threshold, reader, &mut |document, score| {
                if alive.is_none_or(|alive| alive.is_alive(document))
                    && let Some(&number) = numbers.get(document as usize)
                    && self.among.is_none_or(|among| among.contains(number))
                {
                    best.offer(DocAddress::new(segment, document), score);
                }
                best.threshold
            })?;
        }
        best.cut();
        Ok(best.found)
    }

    /// Adds to the sum of each of the documents, which are in their order, what the word's weight gives it.
    fn add(&self, weight: &dyn Weight, documents: &[(DocAddress, Score)], sums: &mut [f64]) -> tantivy::Result<()> {
        let mut rest = documents.iter().zip(sums).peekable();
        while let Some(((first, _), _)) = rest.peek() {
            let segment = first.segment_ord;
            let mut scorer = weight.scorer(self.searcher.segment_reader(segment), 1.0)?;
            while let Some(((at, _), sum)) = rest.next_if(|((at, _), _)| at.segment_ord == segment) {
                let document = if scorer.doc() < at.doc_id { scorer.seek(at.doc_id) } else { scorer.doc() };
                if document == at.doc_id {
                    *sum += f64::from(scorer.score());
                }
            }
        }
        Ok(())
    }

    fn number(&self, at: DocAddress) -> u64 {
        self.numbers[at.segment_ord as usize][at.doc_id as usize]
    }
}

/// The best so far, and some that were when they came.
struct Best<D> {
    limit: usize,
    /// In the order in which they came.
    found: Vec<(D, Score)>,
    /// Room for their scores.
    scores: Vec<Score>,
    /// So many are held before those that fell behind are dropped: to know the last of the best after each would take longer than what that leaves out.
    full: usize,
    /// What a score has to be above: just below the last of the best, so that those which tie with it are seen.
    threshold: Score,
}

impl<D> Best<D> {
    fn new(limit: usize) -> Self {
        Self { limit, found: Vec::new(), scores: Vec::new(), full: 2 * limit, threshold: Score::NEG_INFINITY }
    }

    fn offer(&mut self, document: D, score: Score) {
        if score <= self.threshold {
            return;
        }
        self.found.push((document, score));
        if self.found.len() >= self.full {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.found.len() < self.limit {
            return;
        }
        self.scores.clear();
        self.scores.extend(self.found.iter().map(|(_, score)| *score));
        let (_, last, _) = self.scores.select_nth_unstable_by(self.limit - 1, |a, b| b.total_cmp(a));
        self.threshold = self.threshold.max((*last * (1.0 - SLACK)).next_down());
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
