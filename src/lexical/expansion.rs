//! Words that begin with something, or that differ by few edits.

use std::sync::Arc;

use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::query::{BitSetDocSet, ConstScorer, DfaWrapper, EnableScoring, Explanation, FuzzyTermQuery, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, COLLECT_BLOCK_BUFFER_LEN, DocId, DocSet, Score, SegmentReader, TantivyError, Term};

/// The documents that have any of some words in one of the fields; all score the same.
#[derive(Clone, Debug)]
pub(super) struct ExpansionQuery {
    pub(super) fields: Vec<Field>,
    pub(super) words: Words,
}

/// Which words of a dictionary.
#[derive(Clone, Debug)]
pub(super) enum Words {
    /// Those with a beginning. Words of a dictionary are in the order of their bytes, so these lie side by side; a regular expression would
    /// have to be compiled for each query.
    Beginning(String),
    /// Those that become a word by so many edits at most, 0 to 2: a character more, less or another, or two neighbours that change places.
    Near(String, u8),
}

impl Query for ExpansionQuery {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let near = match (&self.words, self.fields.first()) {
            (Words::Near(word, edits @ 1..), Some(field)) => {
                Some(FuzzyTermQuery::new(Term::from_field_text(*field, word), *edits, true).automaton()?)
            }
            _ => None,
        };
        Ok(Box::new(ExpansionWeight { query: self.clone(), near }))
    }
}

struct ExpansionWeight {
    query: ExpansionQuery,
    /// Tells which words are near, where those are not the word alone.
    near: Option<DfaWrapper>,
}

impl ExpansionWeight {
    /// Calls `each` with every such word of a segment. There may be as many as documents, so nothing is kept of them.
    fn each_word(
        &self,
        segment: &SegmentReader,
        each: &mut dyn FnMut(&Arc<InvertedIndexReader>, &TermInfo) -> tantivy::Result<()>,
    ) -> tantivy::Result<()> {
        for field in &self.query.fields {
            let index = segment.inverted_index(*field)?;
            match (&self.query.words, &self.near) {
                (Words::Beginning(beginning), _) => {
                    let range = index.terms().range().ge(beginning);
                    let range = match end(beginning) {
                        Some(end) => range.lt(end),
                        None => range,
                    };
                    let mut found = range.without_keys().into_stream()?;
                    while found.advance() {
                        each(&index, found.value())?;
                    }
                }
                (Words::Near(..), Some(near)) => {
                    let mut found = index.terms().search(near).without_keys().into_stream()?;
                    while found.advance() {
                        each(&index, found.value())?;
                    }
                }
                (Words::Near(word, _), None) => {
                    if let Some(found) = index.terms().get(word)? {
                        each(&index, &found)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Calls `each` with the documents that have a word, many at once.
fn each_block(index: &InvertedIndexReader, word: &TermInfo, mut each: impl FnMut(&[DocId])) -> tantivy::Result<()> {
    let mut postings = index.read_block_postings_from_terminfo(word, IndexRecordOption::Basic)?;
    while !postings.docs().is_empty() {
        // No more than tantivy gives at once.
        postings.docs().chunks(COLLECT_BLOCK_BUFFER_LEN).for_each(&mut each);
        postings.advance();
    }
    Ok(())
}

fn insert(into: &mut BitSet, index: &InvertedIndexReader, word: &TermInfo) -> tantivy::Result<()> {
    each_block(index, word, |documents| {
        for document in documents {
            into.insert(*document);
        }
    })
}

impl Weight for ExpansionWeight {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut documents = BitSet::with_max_value(segment.max_doc());
        self.each_word(segment, &mut |index, word| insert(&mut documents, index, word))?;
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(documents), boost)))
    }

    fn for_each_no_score(&self, segment: &SegmentReader, each: &mut dyn FnMut(&[DocId])) -> tantivy::Result<()> {
        let (mut first, mut several) = (None, None);
        self.each_word(segment, &mut |index, word| match (&mut several, &first) {
            (Some(several), _) => insert(several, index, word),
            (None, None) => {
                first = Some((index.clone(), word.clone()));
                Ok(())
            }
            (None, Some((index_of_first, first))) => {
                let several = several.insert(BitSet::with_max_value(segment.max_doc()));
                insert(several, index_of_first, first)?;
                insert(several, index, word)
            }
        })?;
        match (several, first) {
            (Some(several), _) => {
                let mut documents = BitSetDocSet::from(several);
                let mut some = [0; COLLECT_BLOCK_BUFFER_LEN];
                let mut count = some.len();
                while count == some.len() {
                    count = documents.fill_buffer(&mut some);
                    each(&some[..count]);
                }
                Ok(())
            }
            // The documents of one word come in order, each once.
            (None, Some((index, only))) => each_block(&index, &only, each),
            (None, None) => Ok(()),
        }
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> tantivy::Result<Explanation> {
        match self.scorer(segment, 1.0)?.seek(document) == document {
            true => Ok(match self.query.words {
                Words::Beginning(_) => Explanation::new("has a word with that beginning", 1.0),
                Words::Near(..) => Explanation::new("has a word that is near", 1.0),
            }),
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
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;
    use tantivy::collector::DocSetCollector;
    use tantivy::query::{BooleanQuery, TermQuery};
    use tantivy::schema::{STRING, Schema};
    use tantivy::{DocAddress, Index, IndexWriter};

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

    /// How many edits make one word of another, by the definition: a neighbour's place is changed at most once (optimal string alignment).
    fn edits(a: &str, b: &str) -> usize {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        let mut least = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                least[i][j] = match (i, j) {
                    (0, _) | (_, 0) => i + j,
                    _ => {
                        let swap = usize::from(a[i - 1] != b[j - 1]);
                        let mut least_here = (least[i - 1][j - 1] + swap).min(least[i - 1][j] + 1).min(least[i][j - 1] + 1);
                        if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                            least_here = least_here.min(least[i - 2][j - 2] + 1);
                        }
                        least_here
                    }
                };
            }
        }
        least[a.len()][b.len()]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn documents_have_one_of_the_words_in_one_of_the_fields_whichever_way_they_are_gone_through(
            texts in prop::collection::vec(("[abü]{1,4}", "[abü]{1,4}"), 1..200),
            asked in prop::collection::vec(("[abü]{1,4}", 0_u8..3), 1..10),
        ) {
            let mut schema = Schema::builder();
            let fields = [schema.add_text_field("one", STRING), schema.add_text_field("two", STRING)];
            let index = Index::create_in_ram(schema.build());
            let mut writer: IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
            for (one, two) in &texts {
                writer.add_document(tantivy::doc!(fields[0] => one.as_str(), fields[1] => two.as_str())).unwrap();
            }
            writer.commit().unwrap();
            let searcher = index.reader().unwrap().searcher();
            for (word, edits_at_most) in asked {
                for words in [Words::Near(word.clone(), edits_at_most), Words::Beginning(word.clone())] {
                    let holds = |text: &str| match &words {
                        Words::Near(word, most) => edits(word, text) <= usize::from(*most),
                        Words::Beginning(beginning) => text.starts_with(beginning),
                    };
                    let expected: BTreeSet<DocId> =
                        (0..).zip(&texts).filter(|(_, (one, two))| holds(one) || holds(two)).map(|(at, _)| at).collect();
                    let query = ExpansionQuery { fields: fields.to_vec(), words };
                    let numbers = |found: HashSet<DocAddress>| found.iter().map(|at| at.doc_id).collect::<BTreeSet<_>>();
                    let found = numbers(searcher.search(&query, &DocSetCollector).unwrap());
                    prop_assert_eq!(&found, &expected, "{:?}", query);
                    // Beside another clause, tantivy moves through them with a scorer.
                    let known = Term::from_field_text(fields[0], &texts[0].0);
                    let other: Box<dyn Query> = Box::new(TermQuery::new(known, IndexRecordOption::Basic));
                    let both = BooleanQuery::intersection(vec![Box::new(query.clone()), other]);
                    let found = numbers(searcher.search(&both, &DocSetCollector).unwrap());
                    let of_both = expected.into_iter().filter(|at| texts[*at as usize].0 == texts[0].0).collect();
                    prop_assert_eq!(found, of_both, "{:?}", query);
                }
            }
        }
    }
}
