//! The best documents by score, some of them passed over, ties broken the same way always.

use std::collections::BinaryHeap;

use tantivy::query::{EnableScoring, Query};
use tantivy::{Score, Searcher};

use crate::numbers::NumberSet;

/// A score with nothing else, as a heap needs it: the least is on top.
#[derive(Clone, Copy, PartialEq)]
struct Least(Score);

impl Eq for Least {}

impl Ord for Least {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for Least {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

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
    let mut found: Vec<(u64, Score)> = Vec::new();
    let mut heap: BinaryHeap<Least> = BinaryHeap::with_capacity(limit + 1);
    let mut threshold = Score::NEG_INFINITY;
    // So many are held before those that fell behind are dropped; more where many tie.
    let mut full = 4 * limit;
    for (segment, numbers) in searcher.segment_readers().iter().zip(numbers) {
        let alive = segment.alive_bitset();
        weight.for_each_pruning(threshold, segment, &mut |document, score| {
            if alive.is_some_and(|alive| !alive.is_alive(document)) {
                return threshold;
            }
            let Some(&number) = numbers.get(document as usize) else { return threshold };
            if among.is_some_and(|among| !among.contains(number)) {
                return threshold;
            }
            found.push((number, score));
            heap.push(Least(score));
            if heap.len() > limit {
                heap.pop();
            }
            if let Some(least) = heap.peek().filter(|_| heap.len() == limit) {
                // Just below the last, so that those which tie with it are seen.
                threshold = threshold.max(least.0.next_down());
                if found.len() >= full {
                    found.retain(|(_, score)| *score > threshold);
                    full = (2 * found.len()).max(4 * limit);
                }
            }
            threshold
        })?;
    }
    found.retain(|(_, score)| *score > threshold);
    Ok(found)
}
