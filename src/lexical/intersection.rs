//! The best documents that have all of some words, by BM25.
//!
//! The list of the word in the fewest documents leads. As far as the blocks reach in which all lists stand, their known maxima tell whether
//! any document can be among the best (Ding and Suel 2011); if so, those that the leading word gives enough are looked for in the others.
//! Scores are added as in [`super::union`]: in f64, in the order of what words can give.

use tantivy::{DocId, Score, TERMINATED};

use super::best::{Best, Place};
use super::compile::Weighted;
use super::cursor::{Cursor, known};

/// The `limit` documents with the best sums over the words, as (number, score), and all others that tie with the last of them; in no order.
pub(super) fn best_of_all(place: &Place<'_>, words: &[Weighted], limit: usize) -> tantivy::Result<Vec<(u64, Score)>> {
    let mut best = Best::new(limit, 0.0);
    let known = known(place, words)?;
    if known.len() < words.len() {
        return Ok(Vec::new());
    }
    for (at, segment) in place.searcher.segment_readers().iter().enumerate() {
        let cursors = known.iter().map(|word| word.cursor(segment, at)).collect::<tantivy::Result<Vec<_>>>()?;
        let Some(cursors) = cursors.into_iter().collect::<Option<Vec<Cursor>>>() else { continue };
        let eligible = place.eligible(at, segment);
        if place.among.is_some() {
            offer_all::<true>(cursors, &mut best, eligible);
        } else {
            offer_all::<false>(cursors, &mut best, eligible);
        }
    }
    Ok(best.into_found())
}

/// Offers whatever of a segment can be among the best. Where few are eligible (`FILTERED`), a document is asked for that before its scores are computed.
fn offer_all<const FILTERED: bool>(mut cursors: Vec<Cursor>, best: &mut Best, eligible: impl Fn(DocId) -> Option<u64>) {
    let mut rarest: Vec<usize> = (0..cursors.len()).collect();
    rarest.sort_by_key(|&word| cursors[word].postings.doc_freq());
    let Some((&lead, others)) = rarest.split_first() else { return };
    loop {
        let start = cursors[lead].document();
        let mut end = cursors[lead].block_end();
        for &other in others {
            cursors[other].seek(start);
            end = end.min(cursors[other].block_end());
        }
        if cursors.iter().any(|word| word.document() == TERMINATED) {
            return;
        }
        let of_lead = cursors[lead].most_before(end);
        let (mut of_others, mut may_be) = (0.0, true);
        for &other in others {
            may_be &= cursors[other].document() < end;
            of_others += cursors[other].most_before(end);
        }
        if !may_be || of_lead + of_others <= best.threshold() {
            cursors[lead].pass_until(end);
            continue;
        }
        for _ in 0..cursors[lead].before(end) {
            let document = cursors[lead].document();
            if cursors[lead].score_here(document) + of_others > best.threshold()
                && others.iter().all(|&other| cursors[other].step_to(document))
                && !(FILTERED && eligible(document).is_none())
            {
                let sum: f64 = cursors.iter().map(|word| word.score_here(document)).sum();
                if sum > best.threshold()
                    && let Some(number) = eligible(document)
                {
                    best.offer(number, sum as Score);
                }
            }
            cursors[lead].next += 1;
        }
        // The block may be at its end.
        cursors[lead].pass(0);
    }
}
