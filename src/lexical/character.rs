//! A character of a script without spaces that is asked for by itself.
//!
//! Of such scripts the index has pairs of neighbours ([`super::tokenizer`]), and a character alone only where it has none. So it
//! is looked for in the pairs that begin with it and those that end with it, all of them, and scored as the word that it would
//! be. In the middle of a run it is in one pair of either kind, so it is in a document at least as often as the more frequent
//! kind is.

use std::collections::HashMap;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::SegmentId;
use tantivy::postings::TermInfo;
use tantivy::query::{Bm25Weight, EnableScoring, Explanation, Query, RegexPhraseQuery, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyError, Term};

use super::tokenizer::lone;

/// The documents that have a character, in whatever pair, by BM25.
#[derive(Clone, Debug)]
pub(super) struct CharacterQuery {
    /// The character as a word.
    term: Term,
    /// What a pair that begins with it looks like, and one that ends with it.
    pairs: RegexPhraseQuery,
}

impl CharacterQuery {
    /// `None` for a word that is no such character.
    pub(super) fn of(term: &Term) -> Option<Self> {
        let character = lone(term.value().as_str()?)?;
        let pairs = vec![format!("{character}."), format!(".{character}")];
        Some(Self { term: term.clone(), pairs: RegexPhraseQuery::new(term.field(), pairs) })
    }

    fn field(&self) -> Field {
        self.term.field()
    }

    /// The documents of a segment that have the character, ascending, and how often.
    fn counts(&self, segment: &SegmentReader) -> tantivy::Result<Counts> {
        let index = segment.inverted_index(self.field())?;
        let mut most = vec![0_u32; segment.max_doc() as usize];
        let add = |to: &mut [u32], place: &TermInfo| -> tantivy::Result<()> {
            let mut postings = index.read_block_postings_from_terminfo(place, IndexRecordOption::WithFreqs)?;
            while !postings.docs().is_empty() {
                for (document, frequency) in postings.docs().iter().zip(postings.freqs()) {
                    if let Some(count) = to.get_mut(*document as usize) {
                        *count = count.saturating_add(*frequency);
                    }
                }
                postings.advance();
            }
            Ok(())
        };
        for pairs in self.pairs.regexes()? {
            let mut counts = vec![0_u32; segment.max_doc() as usize];
            let mut places = index.terms().search(&**pairs).without_keys().into_stream()?;
            while places.advance() {
                add(&mut counts, places.value())?;
            }
            most.iter_mut().zip(&counts).for_each(|(most, count)| *most = (*most).max(*count));
        }
        if let Some(alone) = index.get_term_info(&self.term)? {
            add(&mut most, &alone)?;
        }
        Ok((0..).zip(most).filter(|(_, count)| *count > 0).collect())
    }
}

/// Documents of a segment, ascending, and how often they have the character.
type Counts = Vec<(DocId, u32)>;

impl Query for CharacterQuery {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let (mut counts, mut bm25) = (HashMap::new(), None);
        if let EnableScoring::Enabled { searcher, statistics_provider } = scoring {
            for segment in searcher.segment_readers() {
                counts.insert(segment.segment_id(), self.counts(segment)?);
            }
            let holding = counts.values().map(|counts| counts.len() as u64).sum();
            let documents = statistics_provider.total_num_docs()?;
            let average = statistics_provider.total_num_tokens(self.field())? as Score / documents as Score;
            bm25 = Some(Bm25Weight::for_one_term(holding, documents, average));
        }
        Ok(Box::new(CharacterWeight { query: self.clone(), counts, bm25 }))
    }
}

struct CharacterWeight {
    query: CharacterQuery,
    /// Of each segment; none where nothing is scored.
    counts: HashMap<SegmentId, Counts>,
    bm25: Option<Bm25Weight>,
}

impl CharacterWeight {
    fn holding(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Holding> {
        let counts = match self.counts.get(&segment.segment_id()) {
            Some(counts) => counts.clone(),
            None => self.query.counts(segment)?,
        };
        let bm25 = self.bm25.as_ref().map(|bm25| bm25.boost_by(boost));
        Ok(Holding { counts, at: 0, bm25, boost, lengths: segment.get_fieldnorms_reader(self.query.field())? })
    }
}

impl Weight for CharacterWeight {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(Box::new(self.holding(segment, boost)?))
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> tantivy::Result<Explanation> {
        let mut holding = self.holding(segment, 1.0)?;
        if holding.seek(document) != document {
            return Err(TantivyError::InvalidArgument(format!("document {document} does not have the character")));
        }
        Ok(match &holding.bm25 {
            Some(bm25) => bm25.explain(holding.lengths.fieldnorm_id(document), holding.frequency()),
            None => Explanation::new("a character", holding.score()),
        })
    }
}

/// The documents of one segment that have the character.
struct Holding {
    counts: Counts,
    at: usize,
    bm25: Option<Bm25Weight>,
    boost: Score,
    lengths: FieldNormReader,
}

impl Holding {
    fn frequency(&self) -> u32 {
        self.counts.get(self.at).map_or(0, |(_, count)| *count)
    }
}

impl DocSet for Holding {
    fn advance(&mut self) -> DocId {
        self.at = (self.at + 1).min(self.counts.len());
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        let rest = self.counts.get(self.at..).unwrap_or_default();
        self.at += rest.partition_point(|(document, _)| *document < target);
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.counts.get(self.at).map_or(TERMINATED, |(document, _)| *document)
    }

    fn size_hint(&self) -> u32 {
        self.counts.len() as u32
    }
}

impl Scorer for Holding {
    fn score(&mut self) -> Score {
        match &self.bm25 {
            Some(bm25) => bm25.score(self.lengths.fieldnorm_id(self.doc()), self.frequency()),
            None => self.boost,
        }
    }
}
