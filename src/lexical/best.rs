//! The best documents by score, some of them passed over, ties broken the same way always.

use std::cmp::Ordering;

use tantivy::index::{InvertedIndexReader, SegmentReader};
use tantivy::query::{Bm25StatisticsProvider, EnableScoring, Query};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Score, Searcher, Term};

use super::compile::OwnWay;
use crate::numbers::NumberSet;

/// What part of itself a score may lie below the last of the best and still be looked at, where tantivy compares. It compares sums, differences and bounds in
/// f32 that it has put together in different orders: of n words they are off by less than n times 2^-23 of the score, so
/// with up to 2048 words no document that ties with the last is passed over by rounding.
const SLACK: Score = 1.0 / 4096.0;

/// What is searched, and what of it counts.
pub(super) struct Place<'a> {
    pub(super) searcher: &'a Searcher,
    /// The number of each document, by segment.
    pub(super) numbers: &'a [Box<[u64]>],
    /// The numbers that count, where not all do.
    among: Option<&'a NumberSet>,
    /// By segment, a bit for each document, set where it does not count; empty where all do.
    excluded: Vec<Vec<u64>>,
    /// Whether what counts may be so little that it pays to ask for that first.
    pub(super) few: bool,
}

/// Documents with words that are excluded can be so many times as many as those with what is looked for: to go through more would take longer
/// than to look for a few in them.
const MANY_TIMES: u64 = 8;

impl<'a> Place<'a> {
    pub(super) fn new(searcher: &'a Searcher, numbers: &'a [Box<[u64]>], among: Option<&'a NumberSet>) -> Self {
        Self { searcher, numbers, among, excluded: Vec::new(), few: among.is_some() }
    }

    /// The `limit` documents with the best scores, as (number, score); all others that tie with the last of them; and some just below. In no order.
    ///
    /// Tantivy's own collector breaks ties by where a document happens to lie, and cannot pass over documents and still leave out those
    /// that cannot be among the best; here a document that is passed over just does not raise the threshold.
    pub(super) fn best(&self, query: &dyn Query, limit: usize) -> tantivy::Result<Vec<(u64, Score)>> {
        let mut best = Best::new(limit, SLACK);
        let weight = query.weight(EnableScoring::enabled_from_searcher(self.searcher))?;
        let averages = self.averages(query)?;
        for (at, segment) in self.searcher.segment_readers().iter().enumerate() {
            let mut stretch: Score = 1.0;
            for (field, average) in &averages {
                let index = segment.inverted_index(*field)?;
                let leeway = leeway(segment, &index, *average);
                stretch = stretch.max(leeway).max(most(*average) / most_by_tantivy(*average));
            }
            let eligible = self.eligible(at, segment);
            // Not above the threshold itself where that is negative.
            let threshold = |best: &Best| best.threshold.min(best.threshold / stretch);
            weight.for_each_pruning(threshold(&best), segment, &mut |document, score| {
                if let Some(number) = eligible(document) {
                    best.offer(number, score);
                }
                threshold(&best)
            })?;
        }
        Ok(best.into_found())
    }

    /// From now on, documents with words that are excluded do not count; false, and nothing has changed, where that would take too long.
    pub(super) fn exclude(&mut self, OwnWay { words, all, excluded }: &OwnWay) -> tantivy::Result<bool> {
        if excluded.is_empty() {
            return Ok(true);
        }
        let holding = |term: &Term| self.searcher.doc_freq(term);
        let wanted = words.iter().map(|word| holding(&word.term)).collect::<tantivy::Result<Vec<u64>>>()?;
        let wanted = if *all { wanted.iter().copied().min() } else { Some(wanted.iter().sum()) };
        let unwanted = excluded.iter().map(holding).sum::<tantivy::Result<u64>>()?;
        if unwanted > MANY_TIMES * wanted.unwrap_or(0) {
            return Ok(false);
        }
        for segment in self.searcher.segment_readers() {
            let mut bits = vec![0_u64; segment.max_doc() as usize / 64 + 1];
            for term in excluded {
                let index = segment.inverted_index(term.field())?;
                let Some(mut postings) = index.read_block_postings(term, IndexRecordOption::Basic)? else { continue };
                while !postings.docs().is_empty() {
                    postings.docs().iter().for_each(|document| bits[*document as usize / 64] |= 1 << (document % 64));
                    postings.advance();
                }
            }
            self.excluded.push(bits);
        }
        self.few |= 2 * unwanted > self.searcher.num_docs();
        Ok(true)
    }

    /// Gives the number of a document of a segment, if it counts.
    pub(super) fn eligible<'s>(&'s self, at: usize, segment: &'s SegmentReader) -> impl Fn(DocId) -> Option<u64> + 's {
        let numbers = self.numbers.get(at).map_or(&[][..], |numbers| numbers);
        let (alive, excluded, among) = (segment.alive_bitset(), self.excluded.get(at), self.among);
        move |document| {
            if excluded.is_some_and(|excluded| excluded[document as usize / 64] >> (document % 64) & 1 == 1) {
                return None;
            }
            let number = *numbers.get(document as usize)?;
            let counts = alive.is_none_or(|alive| alive.is_alive(document)) && among.is_none_or(|among| among.contains(number));
            counts.then_some(number)
        }
    }

    /// The average lengths of the fields in which a query looks for words.
    fn averages(&self, query: &dyn Query) -> tantivy::Result<Vec<(Field, Score)>> {
        let mut fields = Vec::new();
        query.query_terms(&mut |term, _| {
            if !fields.contains(&term.field()) {
                fields.push(term.field());
            }
        });
        let kind = |field: &Field| self.searcher.schema().get_field_entry(*field).field_type();
        fields.retain(|field| kind(field).is_str() && kind(field).has_fieldnorms());
        fields.into_iter().map(|field| Ok((field, self.average(field)?))).collect()
    }

    /// The average length of a field, as tantivy's BM25 has it: deleted documents count.
    pub(super) fn average(&self, field: Field) -> tantivy::Result<Score> {
        Ok(self.searcher.total_num_tokens(field)? as Score / self.searcher.total_num_docs()? as Score)
    }
}

/// How far a score in a block of postings may lie above what tantivy has as the block's maximum, as a factor.
///
/// Of a block tantivy notes the frequency f and length l with the greatest f / (f + c + d l / a), where c = 0.3, d = 0.9 and a is the average length of the
/// segment when it was written; a search is under the average of all segments. With r the segment's average over that of all, and q = d l / (a f), the inverse
/// 1 + c / f + q becomes 1 + c / f + r q, and c / f is at most 0.3. A posting whose inverse was the greater then gives at most (1 + 0.3 r) / 1.3 times as much as the one
/// noted, or 1.3 / (1 + 0.3 r) times where r is below 1: one of the two has all of the 0.3 in c / f, the other all of it in q. (A frequency above 254 is noted as endless, which only
/// raises the maximum.)
pub(super) fn leeway(segment: &SegmentReader, index: &InvertedIndexReader, average: Score) -> Score {
    let ratio = index.total_num_tokens() as Score / segment.max_doc() as Score / average;
    let leeway = (1.0 + 0.3 * ratio) / 1.3;
    // Without a word there is nothing to stretch.
    if leeway.is_finite() { leeway.max(1.0 / leeway) } else { 1.0 }
}

/// What part of idf (1 + k1) no posting's score is above, where lengths have this average.
///
/// A length is noted rounded down, by less than a ninth, and a frequency is at most the length; so what is noted is above 8 f / 9,
/// and f / (f + 0.3 + 0.9 l / a) is below 1 / (1 + 0.8 / a).
pub(super) fn most(average: Score) -> Score {
    1.0 / (1.0 + 0.8 / average)
}

/// What part of idf (1 + k1) tantivy takes for that: as if the frequency was the noted length.
fn most_by_tantivy(average: Score) -> Score {
    1.0 / (1.0 + 0.9 / average)
}

/// The best so far, and some that were when they came.
pub(super) struct Best {
    limit: usize,
    /// What part of itself a score may lie below the last of the best and still be kept.
    slack: Score,
    /// In the order in which they came.
    found: Vec<(u64, Score)>,
    /// Room for their scores.
    scores: Vec<Score>,
    /// So many are held before those that fell behind are dropped: to know the last of the best after each would take longer than what that leaves out.
    full: usize,
    /// What a score has to be above: just below the last of the best, so that those which tie with it are seen.
    threshold: Score,
}

impl Best {
    pub(super) fn new(limit: usize, slack: Score) -> Self {
        Self { limit, slack, found: Vec::new(), scores: Vec::new(), full: 2 * limit, threshold: Score::NEG_INFINITY }
    }

    /// What a score has to be above.
    pub(super) fn threshold(&self) -> f64 {
        f64::from(self.threshold)
    }

    pub(super) fn offer(&mut self, number: u64, score: Score) {
        if score <= self.threshold {
            return;
        }
        self.found.push((number, score));
        if self.found.len() >= self.full {
            self.cut();
        }
    }

    /// The best, those that tie with the last of them, and those within the slack below.
    pub(super) fn into_found(mut self) -> Vec<(u64, Score)> {
        self.cut();
        self.found
    }

    fn cut(&mut self) {
        if self.found.len() < self.limit {
            return;
        }
        self.scores.clear();
        self.scores.extend(self.found.iter().map(|(_, score)| *score));
        let (_, last, _) = self.scores.select_nth_unstable_by(self.limit - 1, |a, b| b.total_cmp(a));
        self.threshold = self.threshold.max((*last * (1.0 - self.slack)).next_down());
        let threshold = self.threshold;
        self.found.retain(|(_, score)| *score > threshold);
        // Where many tie, more than `limit` are left; then room for as many again, or each few would be sorted anew.
        self.full = 2 * self.found.len();
    }
}

/// The first of documents with their scores: the best first, equal ones by rank.
///
/// Many may tie, as all that a prefix finds do; most of them are compared with the last of the first ones and passed over.
pub(super) struct First<K, R> {
    limit: usize,
    rank: R,
    first: Vec<(u64, Score)>,
    /// What a document has to be before, once there are enough.
    last: Option<(Score, K)>,
}

impl<K: Ord, R: Fn(u64) -> K> First<K, R> {
    /// For so many, at least one.
    pub(super) fn new(limit: usize, rank: R) -> Self {
        Self { limit, rank, first: Vec::new(), last: None }
    }

    // Most documents are behind the last and go no further than this; the rest is in `keep`.
    #[inline]
    pub(super) fn offer(&mut self, number: u64, score: Score) {
        let is_behind = |(least, greatest): &(Score, K)| {
            let by_score = least.total_cmp(&score);
            by_score.then_with(|| (self.rank)(number).cmp(greatest)).is_gt()
        };
        if !self.last.as_ref().is_some_and(is_behind) {
            self.keep(number, score);
        }
    }

    fn keep(&mut self, number: u64, score: Score) {
        self.first.push((number, score));
        if self.first.len() == 2 * self.limit {
            let order = order(&self.rank);
            let (_, (number, score), _) = self.first.select_nth_unstable_by(self.limit - 1, order);
            self.last = Some((*score, (self.rank)(*number)));
            self.first.truncate(self.limit);
        }
    }

    pub(super) fn extend(&mut self, all: Vec<(u64, Score)>) {
        all.into_iter().for_each(|(number, score)| self.offer(number, score));
    }

    pub(super) fn into_sorted(mut self) -> Vec<(u64, Score)> {
        self.first.sort_unstable_by(order(&self.rank));
        self.first.truncate(self.limit);
        self.first
    }
}

fn order<K: Ord>(rank: &impl Fn(u64) -> K) -> impl Fn(&(u64, Score), &(u64, Score)) -> Ordering {
    |a, b| b.1.total_cmp(&a.1).then_with(|| rank(a.0).cmp(&rank(b.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_and_whoever_ties_with_the_last_are_left(scores in prop::collection::vec(0u8..20, 1..300), limit in 1usize..40) {
            let mut best = Best::new(limit, 0.0);
            for (number, score) in (0..).zip(&scores) {
                best.offer(number, f32::from(*score));
            }
            let mut found: Vec<u64> = best.into_found().into_iter().map(|(number, _)| number).collect();
            found.sort_unstable();
            let mut sorted = scores.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let last = sorted[limit.min(sorted.len()) - 1];
            let expected: Vec<u64> = (0..).zip(&scores).filter(|(_, score)| **score >= last).map(|(number, _)| number).collect();
            prop_assert_eq!(found, expected);
        }
    }

    proptest! {
        #[test]
        fn the_first_are_those_of_a_sort(scores in prop::collection::vec(0u8..4, 0..300), limit in 1usize..40) {
            // Ranks in another order than numbers.
            let rank = |number: u64| (number * 7919) % 307;
            let mut all: Vec<(u64, f32)> = (0..).zip(&scores).map(|(number, score)| (number, f32::from(*score))).collect();
            let mut first = First::new(limit, rank);
            first.extend(all.clone());
            let found = first.into_sorted();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(rank(a.0).cmp(&rank(b.0))));
            all.truncate(limit);
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn of_a_million_that_tie_few_are_compared_more_than_once() {
        let asked = std::cell::Cell::new(0_u64);
        let rank = |number: u64| {
            asked.set(asked.get() + 1);
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        let mut first = First::new(100, rank);
        (0..1_000_000).for_each(|number| first.offer(number, 1.0));
        assert_eq!(first.into_sorted().len(), 100);
        assert!(asked.get() < 1_050_000, "{}", asked.get());
    }

    #[test]
    fn a_million_that_tie_are_not_sorted_again_for_every_few() {
        let mut best = Best::new(1, 0.0);
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
