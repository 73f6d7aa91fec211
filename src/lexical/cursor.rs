//! The postings of one word in one segment, and what bounds the scores that documents get of it.

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::query::{Bm25StatisticsProvider, Bm25Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, Score, SegmentReader, TERMINATED, Term};

use super::best::{Place, leeway, most};
use super::compile::Weighted;

/// Postings that can be read in the time in which one is looked up.
const LOOK_UP: u64 = 4;

/// Postings that are gone through one by one before the rest of a block is searched.
const STEPS: usize = 8;

/// What a bound is stretched by: it and the scores below it are quotients in f32, each off by a few parts in 2^24.
const ROUNDING: f64 = 1.0 + 1.0 / (1 << 18) as f64;

/// What a bound is raised by: a score below the normal numbers of f32 is rounded by more than that part of itself.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

/// A word that documents have.
pub(super) struct Word {
    term: Term,
    weight: Bm25Weight,
    /// The average length of the field, in all segments.
    average: Score,
    /// No document gets more of the word.
    pub(super) most: f64,
    /// Where each segment has the word.
    places: Vec<Option<TermInfo>>,
}

impl Word {
    pub(super) fn cursor(&self, segment: &SegmentReader, at: usize) -> tantivy::Result<Option<Cursor>> {
        let Some(place) = &self.places[at] else { return Ok(None) };
        let field = self.term.field();
        let index = segment.inverted_index(field)?;
        let postings = index.read_block_postings_from_terminfo(place, IndexRecordOption::WithFreqs)?;
        let leeway = f64::from(leeway(segment, &index, self.average)) * ROUNDING;
        let lengths = segment.get_fieldnorms_reader(field)?;
        Ok(Some(Cursor { postings, weight: self.weight.clone(), lengths, leeway, most: self.most, next: 0 }))
    }
}

/// Those of the words that documents have, in falling order of what they can give.
pub(super) fn known(place: &Place<'_>, words: &[Weighted]) -> tantivy::Result<Vec<Word>> {
    let searcher = place.searcher;
    let documents = searcher.total_num_docs()?;
    let mut averages = Vec::new();
    let mut known = Vec::with_capacity(words.len());
    for Weighted { term, boost } in words {
        let in_segment = |segment: &SegmentReader| -> tantivy::Result<Option<TermInfo>> {
            Ok(segment.inverted_index(term.field())?.get_term_info(term)?)
        };
        let places: Vec<Option<TermInfo>> = searcher.segment_readers().iter().map(in_segment).collect::<tantivy::Result<_>>()?;
        let holding: u64 = places.iter().flatten().map(|place| u64::from(place.doc_freq)).sum();
        if holding == 0 {
            continue;
        }
        let average = match averages.iter().find(|(field, _)| *field == term.field()) {
            Some((_, average)) => *average,
            None => {
                let average = place.average(term.field())?;
                averages.push((term.field(), average));
                average
            }
        };
        let weight = Bm25Weight::for_one_term_without_explain(holding, documents, average).boost_by(*boost);
        // Of an endless frequency: idf (1 + k1).
        let most = f64::from(weight.score(0, u32::MAX) * most(average)) * ROUNDING + SMALLEST;
        known.push(Word { term: term.clone(), weight, average, most, places });
    }
    known.sort_by(|a, b| b.most.total_cmp(&a.most));
    Ok(known)
}

/// A word's postings in one segment.
pub(super) struct Cursor {
    pub(super) postings: BlockSegmentPostings,
    weight: Bm25Weight,
    lengths: FieldNormReader,
    /// How far above the known maximum of a block a score may lie, as a factor.
    leeway: f64,
    /// No document gets more of the word.
    pub(super) most: f64,
    /// The place of the next posting in its block.
    pub(super) next: usize,
}

impl Cursor {
    /// The next document; `TERMINATED` behind the last.
    pub(super) fn document(&self) -> DocId {
        self.postings.docs().get(self.next).copied().unwrap_or(TERMINATED)
    }

    /// Behind the last document of the block.
    pub(super) fn block_end(&self) -> DocId {
        self.postings.docs().last().map_or(TERMINATED, |last| last + 1)
    }

    /// No document before `end` gets more.
    pub(super) fn most_before(&mut self, end: DocId) -> f64 {
        if self.document() >= end {
            return 0.0;
        }
        if self.block_end() < end {
            return self.most;
        }
        let of_block = f64::from(self.postings.block_max_score(&self.lengths, &self.weight));
        (of_block * self.leeway + SMALLEST).min(self.most)
    }

    pub(super) fn score(&self, document: DocId, frequency: u32) -> f64 {
        f64::from(self.weight.score(self.lengths.fieldnorm_id(document), frequency))
    }

    /// How many postings of the block are before `end`, from the next one on.
    pub(super) fn before(&self, end: DocId) -> usize {
        let docs = self.postings.docs();
        if self.block_end() <= end {
            docs.len() - self.next
        } else {
            docs[self.next..].partition_point(|document| *document < end)
        }
    }

    /// Passes over so many postings of the block.
    pub(super) fn pass(&mut self, count: usize) {
        self.next += count;
        if self.next >= self.postings.docs().len() {
            self.postings.advance();
            self.next = 0;
        }
    }

    /// Passes over all before `end`.
    pub(super) fn pass_until(&mut self, end: DocId) {
        while self.document() < end {
            self.pass(self.before(end));
        }
    }

    /// Moves to the first document from this one on.
    pub(super) fn seek(&mut self, document: DocId) {
        self.next = self.postings.seek(document);
    }

    /// What a document gets, if it has the word; documents are asked for in their order.
    pub(super) fn find(&mut self, document: DocId) -> Option<f64> {
        self.seek(document);
        (self.document() == document).then(|| self.score_here(document))
    }

    /// Goes on in its block to the first document from this one on, and tells whether it is this one.
    pub(super) fn step_to(&mut self, document: DocId) -> bool {
        let docs = self.postings.docs().get(self.next..).unwrap_or_default();
        self.next += match docs.get(STEPS) {
            Some(found) if *found < document => docs.partition_point(|found| *found < document),
            _ => docs.iter().take_while(|found| **found < document).count(),
        };
        self.document() == document
    }

    /// What the document gets at which it stands.
    pub(super) fn score_here(&self, document: DocId) -> f64 {
        self.score(document, self.postings.freq(self.next))
    }

    /// Whether this is in so many documents that it is better read through than looked up, for such a part of them.
    pub(super) fn is_read_for(&self, wanted: usize, of: DocId, documents: DocId) -> bool {
        wanted as u64 * LOOK_UP * u64::from(documents) >= u64::from(self.postings.doc_freq()) * u64::from(of)
    }
}
