//! Words that begin with something.

use tantivy::query::{BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet, Score, SegmentReader, TantivyError};

/// The documents that have, in one of the fields, a word with that beginning; all score the same. Words of a dictionary are in the
/// order of their bytes, so these lie side by side; a regular expression would have to be compiled for each query.
#[derive(Clone, Debug)]
pub(super) struct BeginningQuery {
    pub(super) fields: Vec<Field>,
    pub(super) beginning: String,
}

impl Query for BeginningQuery {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for BeginningQuery {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut holding = BitSet::with_max_value(segment.max_doc());
        for field in &self.fields {
            let index = segment.inverted_index(*field)?;
            let mut range = index.terms().range().ge(&self.beginning);
            if let Some(end) = end(&self.beginning) {
                range = range.lt(end);
            }
            let mut words = range.into_stream()?;
            while words.advance() {
                let mut postings = index.read_block_postings_from_terminfo(words.value(), IndexRecordOption::Basic)?;
                while !postings.docs().is_empty() {
                    for document in postings.docs() {
                        holding.insert(*document);
                    }
                    postings.advance();
                }
            }
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(holding), boost)))
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> tantivy::Result<Explanation> {
        match self.scorer(segment, 1.0)?.seek(document) == document {
            true => Ok(Explanation::new("has a word with that beginning", 1.0)),
            false => Err(TantivyError::InvalidArgument(format!("document {document} has no such word"))),
        }
    }
}

/// The first bytes behind all that begin with these; `None` where there are none.
fn end(beginning: &str) -> Option<Vec<u8>> {
    let mut end = beginning.as_bytes().to_vec();
    // No byte of UTF-8 is 255.
    *end.last_mut()? += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_that_begins_alike_lies_before_the_end(beginning in "\\PC{0,3}", word in "\\PC{0,5}", rest in "\\PC{0,3}") {
            let is_between = |word: &str| {
                word >= &*beginning && end(&beginning).is_none_or(|end| word.as_bytes() < &end[..])
            };
            prop_assert_eq!(is_between(&word), word.starts_with(&beginning));
            let longer = format!("{beginning}{rest}");
            prop_assert!(is_between(&longer));
        }
    }
}
