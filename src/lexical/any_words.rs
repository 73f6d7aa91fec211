//! Documents that have words in a field, whichever they are.

use tantivy::query::{BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::Field;
use tantivy::{BitSet, DocId, DocSet, Score, SegmentReader, TantivyError};

/// The documents whose length in one of the fields is known and not 0; all score the same.
#[derive(Clone, Debug)]
pub(super) struct AnyWordsQuery(pub(super) Vec<Field>);

impl Query for AnyWordsQuery {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for AnyWordsQuery {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut holding = BitSet::with_max_value(segment.max_doc());
        for field in &self.0 {
            // A segment in which no document has the field may have no lengths of it.
            if let Some(lengths) = segment.fieldnorms_readers().get_field(*field)? {
                for document in (0..segment.max_doc()).filter(|document| lengths.fieldnorm_id(*document) > 0) {
                    holding.insert(document);
                }
            }
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(holding), boost)))
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(segment, 1.0)?;
        match scorer.seek(document) == document {
            true => Ok(Explanation::new("has words there", 1.0)),
            false => Err(TantivyError::InvalidArgument(format!("document {document} has no words there"))),
        }
    }
}
