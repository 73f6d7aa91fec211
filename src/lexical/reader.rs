//! BM25 search over one state of the words.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tantivy::collector::DocSetCollector;
use tantivy::directory::MmapDirectory;
use tantivy::query::TermQuery;
use tantivy::schema::IndexRecordOption;
use tantivy::{Index, IndexReader, ReloadPolicy, Term};

use super::analysis::{Analyzers, Cuts, Spare, Spares};
use super::best::{First, Place};
use super::columns::{Counts, Matches, ValueColumn, count, sorted};
use super::compile::{Compiler, Reading, score_of_all};
use super::directory::CommittedDirectory;
use super::explain::Explainer;
use super::intersection::best_of_all;
use super::union::best_of_any;
use super::{Fields, NUMBER, column, failed, layout_of, register_analyses};
use crate::error::StorageError;
use crate::numbers::NumberSet;
use crate::query::{Filter, Query};
use crate::rank::Explanation;
use crate::schema::{FieldType, Schema};
use crate::store::{Header, Layout, SoundFiles};

/// One state of the words, for searching; tantivy's BM25 has k1 = 1.2 and b = 0.75 (Robertson and Zaragoza 2009, eq. 3.15).
pub(crate) struct WordsReader {
    path: PathBuf,
    reader: IndexReader,
    schema: Schema,
    fields: Fields,
    analyzers: Spares<Analyzers>,
    /// The number of each document, by segment, once they are needed.
    numbers: OnceLock<Vec<Box<[u64]>>>,
}

impl WordsReader {
    /// Opens the state that the bytes of its `meta.json` name.
    pub(crate) fn open(path: &Path, schema: &Schema, meta: &[u8]) -> Result<Self, StorageError> {
        let failed = failed(path, "opening the words");
        let directory = MmapDirectory::open(path).map_err(|e| failed(e.into()))?;
        let index = Index::open(CommittedDirectory::for_reading(path, directory, meta)).map_err(&failed)?;
        let Some(fields) = layout_of(&index, schema) else {
            let fact = "the words have other fields than this version of fossick writes".to_owned();
            return Err(StorageError::Inconsistent { path: path.to_path_buf(), fact });
        };
        register_analyses(&index, &fields.languages);
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(&failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            reader,
            schema: schema.clone(),
            analyzers: Spares::default(),
            fields,
            numbers: OnceLock::new(),
        })
    }

    /// Opens the words that a header names, after all of their files were found sound.
    pub(crate) fn of(layout: &Layout, header: &Header, sound: &SoundFiles) -> Result<Self, StorageError> {
        let path = layout.words(header.words.epoch);
        sound.check(&path, &header.files.words)?;
        let words = Self::open(&path, &header.schema, &header.words.meta)?;
        if words.count() == header.documents {
            return Ok(words);
        }
        let fact =
            format!("CURRENT says {} documents at generation {}, found {}", header.documents, header.generation, words.count());
        Err(StorageError::Inconsistent { path, fact })
    }

    /// The number of documents.
    pub(crate) fn count(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// The numbers of all documents, in no order; one that is there twice comes twice.
    pub(crate) fn numbers(&self) -> Result<Vec<u64>, StorageError> {
        let failed = failed(&self.path, "listing the words' documents");
        let mut numbers = Vec::new();
        for segment in self.reader.searcher().segment_readers() {
            let column = segment.fast_fields().u64(NUMBER).map_err(&failed)?;
            numbers.extend(segment.doc_ids_alive().filter_map(|document| column.first(document)));
        }
        Ok(numbers)
    }

    /// The best `limit` documents for a query, of `among` where that is given, as (number, score), best first; equal scores in the
    /// order of `rank_of_equals`, which must be a total order on documents.
    pub(crate) fn search<K: Ord>(
        &self,
        query: &Query,
        limit: usize,
        among: Option<&NumberSet>,
        number_of: &dyn Fn(&str) -> Option<u64>,
        rank_of_equals: impl Fn(u64) -> K,
    ) -> Result<Vec<(u64, f32)>, StorageError> {
        let searcher = self.reader.searcher();
        let limit = limit.min(searcher.num_docs() as usize);
        if limit == 0 || among.is_some_and(|among| among.len() == 0) {
            return Ok(Vec::new());
        }
        let mut place = Place::new(&searcher, self.numbers_by_segment()?, among);
        let compiler = self.compiler(number_of);
        let mut first = First::new(limit, rank_of_equals);
        let mut searched = || -> tantivy::Result<()> {
            if let Some(way) = compiler.own_way(query)
                && place.exclude(&way)?
            {
                let found = if way.all { best_of_all(&place, &way.words, limit) } else { best_of_any(&place, &way.words, limit) };
                return found.map(|hits| first.extend(hits));
            }
            let query = compiler.query(query, Reading::Words);
            let Some(score) = score_of_all(&*query) else { return place.best(&*query, limit).map(|hits| first.extend(hits)) };
            let matches = Matches { searcher: &searcher, query: &*query, numbers: place.numbers, among };
            matches.each(|_, _, number| first.offer(number, score))
        };
        searched().map_err(failed(&self.path, "searching the words"))?;
        Ok(first.into_sorted())
    }

    /// Whether a query has nothing but stop words to look for: required, it restricts nothing.
    pub(crate) fn says_nothing(&self, query: &Query) -> bool {
        self.compiler(&|_| None).says_nothing(query)
    }

    /// The first byte of a text from which on words are not looked for, since there are too many before.
    pub(crate) fn unread(&self, field: Option<&str>, text: &str) -> Option<usize> {
        self.compiler(&|_| None).unread(field, text)
    }

    /// The documents that meet a filter.
    pub(crate) fn filtered(&self, filter: &Filter, number_of: &dyn Fn(&str) -> Option<u64>) -> Result<NumberSet, StorageError> {
        let query = self.compiler(number_of).filter(filter);
        let searcher = self.reader.searcher();
        let matches = Matches { searcher: &searcher, query: &*query, numbers: self.numbers_by_segment()?, among: None };
        matches.numbers().map_err(failed(&self.path, "filtering"))
    }

    /// The number of each document, deleted ones included, by segment: a column would have to be unpacked for each.
    fn numbers_by_segment(&self) -> Result<&[Box<[u64]>], StorageError> {
        if let Some(known) = self.numbers.get() {
            return Ok(known);
        }
        let failed = failed(&self.path, "listing the words' documents");
        let mut all = Vec::new();
        for segment in self.reader.searcher().segment_readers() {
            let column = segment.fast_fields().u64(NUMBER).map_err(&failed)?;
            all.push((0..segment.max_doc()).map(|document| column.first(document).unwrap_or(u64::MAX)).collect());
        }
        Ok(self.numbers.get_or_init(|| all))
    }

    /// How many documents match a query, of `among` where that is given, and for each field the `most` most frequent values of those.
    pub(crate) fn count_values(
        &self,
        query: &Query,
        among: Option<&NumberSet>,
        number_of: &dyn Fn(&str) -> Option<u64>,
        fields: &[(&str, usize)],
    ) -> Result<(u64, Vec<Counts>), StorageError> {
        let names: Vec<(String, FieldType, usize)> =
            fields.iter().filter_map(|(field, most)| self.column(field).map(|(name, kind)| (name, kind, *most))).collect();
        let columns: Vec<_> = names.iter().map(|(name, kind, most)| (ValueColumn { name, kind: *kind }, *most)).collect();
        let query = self.compiler(number_of).query(query, Reading::Words);
        let (searcher, numbers) = (self.reader.searcher(), self.numbers_by_segment()?);
        let matches = Matches { searcher: &searcher, query: &*query, numbers, among };
        count(&matches, &columns).map_err(failed(&self.path, "counting values"))
    }

    /// The first `limit` documents that match a query, by the values of a field; those without one last, equal ones in the order of
    /// `rank_of_equals`.
    pub(crate) fn sorted<K: Ord>(
        &self,
        query: &Query,
        among: Option<&NumberSet>,
        number_of: &dyn Fn(&str) -> Option<u64>,
        (field, descending): (&str, bool),
        limit: usize,
        rank_of_equals: impl Fn(u64) -> K,
    ) -> Result<Vec<u64>, StorageError> {
        let Some((name, kind)) = self.column(field) else { return Ok(Vec::new()) };
        let column = ValueColumn { name: &name, kind };
        let query = self.compiler(number_of).query(query, Reading::Words);
        let (searcher, numbers) = (self.reader.searcher(), self.numbers_by_segment()?);
        let matches = Matches { searcher: &searcher, query: &*query, numbers, among };
        sorted(&matches, &column, descending, limit, rank_of_equals).map_err(failed(&self.path, "sorting"))
    }

    /// The `most` words of a text that tell most of it: frequent in it, and in few documents; each as the text first has it.
    pub(crate) fn most_telling(&self, text: &str, most: usize) -> Result<Vec<String>, StorageError> {
        let searcher = self.reader.searcher();
        let documents = searcher.num_docs() as f64;
        let mut counts: HashMap<String, (f64, Range<usize>)> = HashMap::new();
        self.spare_analyzers().in_all(&self.fields.languages, text, |token| {
            counts.entry(token.text.clone()).or_insert((0.0, token.offset_from..token.offset_to)).0 += 1.0;
        });
        let mut words = Vec::with_capacity(counts.len());
        for (word, (count, place)) in counts {
            let holding = searcher.doc_freq(&Term::from_field_text(self.fields.words, &word));
            let holding = holding.map_err(failed(&self.path, "counting documents with a word"))? as f64;
            words.push((count * (1.0 + (documents - holding + 0.5).max(0.5) / (holding + 0.5)).ln(), place));
        }
        words.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.start.cmp(&b.1.start)));
        words.truncate(most);
        Ok(words.into_iter().filter_map(|(_, place)| text.get(place).map(str::to_owned)).collect())
    }

    /// Where the score of a document comes from; `None` where it does not match.
    pub(crate) fn explain(
        &self,
        query: &Query,
        number: u64,
        number_of: &dyn Fn(&str) -> Option<u64>,
    ) -> Result<Option<Explanation>, StorageError> {
        let failed = failed(&self.path, "explaining a score");
        let searcher = self.reader.searcher();
        let one = TermQuery::new(Term::from_field_u64(self.fields.number, number), IndexRecordOption::Basic);
        let found = searcher.search(&one, &DocSetCollector).map_err(&failed)?;
        let Some(document) = found.into_iter().next() else { return Ok(None) };
        let explainer = Explainer { searcher: &searcher, compiler: self.compiler(number_of), document };
        Ok(explainer.explain(query, Reading::Words))
    }

    /// The column of a field that has values.
    fn column(&self, field: &str) -> Option<(String, FieldType)> {
        let (place, field) = self.schema.fields().iter().enumerate().find(|(_, known)| known.name() == field)?;
        field.kind().has_values().then(|| (column(place), field.kind()))
    }

    fn compiler<'a>(&'a self, number_of: &'a dyn Fn(&str) -> Option<u64>) -> Compiler<'a> {
        let cuts = Cuts::new(self.spare_analyzers());
        Compiler { schema: &self.schema, fields: &self.fields, cuts, number_of }
    }

    fn spare_analyzers(&self) -> Spare<'_, Analyzers> {
        self.analyzers.take(|| Analyzers::new(&self.fields.languages))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{WordsCommit, WordsWriter};
    use super::*;
    use crate::schema::{Language, Value};

    /// Stop words of one of the two languages, of none, and of both.
    const WORDS: [&str; 7] = ["war", "die", "the", "rot", "rose", "patent", "in"];

    fn texts() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..6).prop_map(|words| words.join(" "))
    }

    fn queries() -> impl Strategy<Value = Query> {
        let words = prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..4).prop_map(|words| words.join(" "));
        let field = prop::sample::select(vec![None, None, Some("english"), Some("german")]);
        let leaf = (words, field, 0..8u32).prop_map(|(text, field, kind)| (text, field.map(str::to_owned), kind)).prop_map(
            |(text, field, kind)| match kind {
                0..3 => Query::Phrase { field, text, slop: kind },
                3 => Query::Prefix { field, text: text[..2].to_owned() },
                _ => Query::Words { field, text },
            },
        );
        leaf.prop_recursive(3, 12, 3, |inner| {
            let some = |count: Range<usize>| prop::collection::vec(inner.clone(), count);
            let boolean = |(must, should, must_not)| Query::Boolean { must, should, must_not };
            prop_oneof![
                2 => some(1..3).prop_map(move |must| boolean((must, Vec::new(), Vec::new()))),
                1 => (some(0..4), some(0..3), some(0..2)).prop_map(boolean),
                2 => (some(0..3), some(0..3), some(1..3)).prop_map(boolean),
                1 => inner.clone().prop_map(|query| Query::Boost { query: Box::new(query), factor: 2.0 }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Whichever way a query goes: tantivy's own, for which every query can be compiled, says what is right. Counting finds as many.
        #[test]
        fn our_searches_find_what_tantivy_finds(
            segments in prop::collection::vec(prop::collection::vec((texts(), texts()), 1..8), 1..4),
            (deleted, left_out) in (prop::option::of(0u64..20), prop::option::of(2u64..5)),
            queries in prop::collection::vec(queries(), 40),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("words-0");
            let schema = Schema::builder().text("english").text_in("german", Language::German).build().unwrap();
            let WordsCommit { opstamp, mut meta, .. } = WordsWriter::create(&path, &schema).unwrap();
            let mut writer = WordsWriter::open(&path, &schema, &meta, opstamp).unwrap();
            let mut number = 0;
            for segment in segments {
                for (english, german) in segment {
                    let values = [("english", Value::Text(english)), ("german", Value::Text(german))];
                    writer.add(number, |name| values.iter().find(|(field, _)| *field == name).map(|(_, value)| value)).unwrap();
                    number += 1;
                }
                meta = writer.prepare(number).unwrap().meta;
            }
            if let Some(deleted) = deleted {
                writer.delete(deleted);
                meta = writer.prepare(number + 1).unwrap().meta;
            }
            let among: Option<NumberSet> = left_out.map(|every| (0..number).filter(|number| number % every != 0).collect());
            let reader = WordsReader::open(&path, &schema, &meta).unwrap();
            let searcher = reader.reader.searcher();
            for query in &queries {
                let mut found = reader.search(query, 100, among.as_ref(), &|_| None, |number| number).unwrap();
                let compiled = reader.compiler(&|_| None).query(query, Reading::Words);
                let place = Place::new(&searcher, reader.numbers_by_segment().unwrap(), among.as_ref());
                let mut expected = place.best(&*compiled, 100).unwrap();
                found.sort_by_key(|(number, _)| *number);
                expected.sort_by_key(|(number, _)| *number);
                let numbers = |all: &[(u64, f32)]| all.iter().map(|(number, _)| *number).collect::<Vec<_>>();
                prop_assert_eq!(numbers(&found), numbers(&expected), "{}", query);
                // And without scores.
                let (counted, _) = reader.count_values(query, among.as_ref(), &|_| None, &[]).unwrap();
                prop_assert_eq!(counted, found.len() as u64, "{}", query);
                for ((_, ours), (_, theirs)) in found.iter().zip(&expected) {
                    prop_assert!((ours - theirs).abs() <= 1e-5 * theirs.abs(), "{query}: {ours}, {theirs}");
                }
            }
        }
    }
}
