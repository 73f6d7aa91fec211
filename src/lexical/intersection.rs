//! The best documents that have all of some words, by BM25.
//!
//! The list of the word that can give most, the one in the fewest documents but for boosts, leads. As far as the blocks reach in which all
//! lists stand, their known maxima tell whether any document can be among the best (Ding and Suel 2011); if so, those that the leading word
//! gives enough are looked for in the others. Scores are added as in [`super::union`]: in f64, in falling order of what words can give.

use tantivy::{DocId, Score, TERMINATED};

use super::best::{Best, Place};
use super::compile::Weighted;
use super::cursor::{Cursor, known};

/// Postings of a block at most.
const BLOCK: usize = 128;

/// Where documents lie further apart, they are looked for one by one.
const WIDE: usize = 2048;

/// Postings that can be noted in the time in which one is looked for.
const FEW: usize = 8;

/// The `limit` documents with the best sums over the words, as (number, score), and all others that tie with the last of them; in no order.
pub(super) fn best_of_all(place: &Place<'_>, words: &[Weighted], limit: usize) -> tantivy::Result<Vec<(u64, Score)>> {
    let mut best = Best::new(limit, 0.0);
    let known = known(place, words)?;
    if known.len() < words.len() {
        return Ok(Vec::new());
    }
    let mut window = Window::new();
    for (at, segment) in place.searcher.segment_readers().iter().enumerate() {
        let cursors = known.iter().map(|word| word.cursor(segment, at)).collect::<tantivy::Result<Vec<_>>>()?;
        let Some(cursors) = cursors.into_iter().collect::<Option<Vec<Cursor>>>() else { continue };
        let eligible = place.eligible(at, segment);
        if place.few {
            offer_all::<true>(cursors, &mut best, &mut window, eligible);
        } else {
            offer_all::<false>(cursors, &mut best, &mut window, eligible);
        }
    }
    Ok(best.into_found())
}

/// Offers whatever of a segment can be among the best. Where few may be eligible (`FILTERED`), a document is asked for that before it is
/// looked for in other lists.
fn offer_all<const FILTERED: bool>(
    mut cursors: Vec<Cursor>,
    best: &mut Best,
    window: &mut Window,
    eligible: impl Fn(DocId) -> Option<u64>,
) {
    let Some((lead, others)) = cursors.split_first_mut() else { return };
    // What the others from each on can give together.
    let mut rest = vec![0.0; others.len() + 1];
    loop {
        let start = lead.document();
        let mut end = lead.block_end();
        for other in others.iter_mut() {
            other.seek(start);
            end = end.min(other.block_end());
        }
        if start == TERMINATED || others.iter().any(|other| other.document() == TERMINATED) {
            return;
        }
        let furthest = others.iter().map(Cursor::document).max().unwrap_or(start);
        if furthest >= end {
            lead.seek(furthest);
            continue;
        }
        for (at, other) in others.iter_mut().enumerate().rev() {
            rest[at] = rest[at + 1] + other.most_before(end);
        }
        let threshold = best.threshold();
        if lead.most_before(end) + rest[0] <= threshold {
            lead.pass_until(end);
            continue;
        }
        window.start = start;
        let most = rest[0];
        window.fill(lead, end, |document, score| score + most > threshold && !(FILTERED && eligible(document).is_none()));
        for (other, rest) in others.iter_mut().zip(&rest[1..]) {
            window.keep(other, end, |sum| sum + rest > threshold);
        }
        for (document, sum) in &window.left[..window.count] {
            if *sum > best.threshold()
                && let Some(number) = eligible(*document)
            {
                best.offer(number, *sum as Score);
            }
        }
    }
}

/// Documents that lie together, with what they have got so far. Which of them are left nobody can foresee, so all are written and the count alone
/// depends on it: a branch for each would be guessed wrong too often.
struct Window {
    /// No document is before.
    start: DocId,
    left: [(DocId, f64); BLOCK],
    count: usize,
    /// For each document from `start` on, behind its place in the block of another list; 0 where it is not there, and everywhere between uses.
    behind: Box<[u8; WIDE]>,
}

impl Window {
    fn new() -> Self {
        Self { start: 0, left: [(0, 0.0); BLOCK], count: 0, behind: Box::new([0; WIDE]) }
    }

    /// The documents of a block before `end` that are wanted for their score, and passes over them.
    fn fill(&mut self, word: &mut Cursor, end: DocId, is_wanted: impl Fn(DocId, f64) -> bool) {
        let postings = word.next..word.next + word.before(end);
        // Counted here, and not in memory.
        let mut count = 0;
        for (&document, &frequency) in word.postings.docs()[postings.clone()].iter().zip(&word.postings.freqs()[postings.clone()])
        {
            let score = word.score(document, frequency);
            self.left[count % BLOCK] = (document, score);
            count += usize::from(is_wanted(document, score));
        }
        self.count = count;
        word.pass(postings.len());
    }

    /// Adds what documents get of another word, and drops those that do not have it or whose sum is not wanted.
    fn keep(&mut self, word: &mut Cursor, end: DocId, is_wanted: impl Fn(f64) -> bool) {
        let (before, there) = (self.count.min(BLOCK), word.before(end));
        let mut count = 0;
        if (end - self.start) as usize > WIDE || before * FEW < there {
            for at in 0..before {
                let (document, sum) = self.left[at];
                if word.step_to(document) {
                    let sum = sum + word.score_here(document);
                    self.left[count] = (document, sum);
                    count += usize::from(is_wanted(sum));
                }
            }
            self.count = count;
            return;
        }
        let docs = &word.postings.docs()[word.next..word.next + there];
        let frequencies = word.postings.freqs();
        for (behind, document) in (word.next as u8 + 1..).zip(docs) {
            self.behind[(document - self.start) as usize % WIDE] = behind;
        }
        for at in 0..before {
            let (document, sum) = self.left[at];
            let behind = usize::from(self.behind[(document - self.start) as usize % WIDE]);
            // Of one that is not there, the score of something else, which is not used.
            let sum = sum + word.score(document, frequencies[behind.saturating_sub(1)]);
            self.left[count % BLOCK] = (document, sum);
            count += usize::from(behind > 0) & usize::from(is_wanted(sum));
        }
        self.count = count;
        self.behind[..(end - self.start) as usize].fill(0);
    }
}
