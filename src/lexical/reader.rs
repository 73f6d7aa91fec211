//! BM25 search over one state of the words.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tantivy::collector::TopDocs;
use tantivy::directory::MmapDirectory;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{Index, IndexReader, ReloadPolicy, Term};

use super::directory::CommittedDirectory;
use super::{Analyzer, Fields, failed, schema};
use crate::error::StorageError;
use crate::store::{Header, Layout, SoundFiles};

/// Different words of a query that count; what a person types has fewer, and a text pasted whole is cut here.
const MOST_WORDS: usize = 1024;

/// One state of the words, for searching; tantivy's BM25 has k1 = 1.2 and b = 0.75 (Robertson and Zaragoza 2009, eq. 3.15).
pub(crate) struct WordsReader {
    path: PathBuf,
    reader: IndexReader,
    fields: Fields,
}

impl WordsReader {
    /// Opens the state that the bytes of its `meta.json` name.
    pub(crate) fn open(path: &Path, meta: &[u8]) -> Result<Self, StorageError> {
        let failed = failed(path, "opening the words");
        let directory = MmapDirectory::open(path).map_err(|e| failed(e.into()))?;
        let index = Index::open(CommittedDirectory::for_reading(path, directory, meta)).map_err(&failed)?;
        let (expected, fields) = schema();
        if index.schema() != expected {
            let fact = "the words have other fields than this version of fossick writes".to_owned();
            return Err(StorageError::Inconsistent { path: path.to_path_buf(), fact });
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(&failed)?;
        Ok(Self { path: path.to_path_buf(), reader, fields })
    }

    /// Opens the words that a header names, after all of their files were found sound.
    pub(crate) fn of(layout: &Layout, header: &Header, sound: &SoundFiles) -> Result<Self, StorageError> {
        let path = layout.words(header.words.epoch);
        sound.check(&path, &header.files.words)?;
        let words = Self::open(&path, &header.words.meta)?;
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
            let column = segment.fast_fields().u64("number").map_err(&failed)?;
            numbers.extend(segment.doc_ids_alive().filter_map(|document| column.first(document)));
        }
        Ok(numbers)
    }

    /// The best `limit` documents for any of the query's words, as (number, score), best first; equal scores in the order of
    /// `rank_of_equals`, which must be a total order on documents.
    pub(crate) fn search<K: Ord>(
        &self,
        query: &str,
        limit: usize,
        rank_of_equals: impl Fn(u64) -> K,
    ) -> Result<Vec<(u64, f32)>, StorageError> {
        let searcher = self.reader.searcher();
        let limit = limit.min(searcher.num_docs() as usize);
        let Some(query) = self.any_word(query) else { return Ok(Vec::new()) };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let failed = failed(&self.path, "searching the words");
        let numbers = searcher.segment_readers().iter().map(|segment| segment.fast_fields().u64("number"));
        let numbers = numbers.collect::<tantivy::Result<Vec<_>>>().map_err(&failed)?;
        // Tantivy breaks ties by where a document happens to lie. Ask for more until the boundary is not a tie.
        let mut depth = limit;
        let found = loop {
            let found = searcher.search(&*query, &TopDocs::with_limit(depth).order_by_score()).map_err(&failed)?;
            let boundary = found.get(limit - 1).map(|(score, _)| *score);
            let tied = found.len() == depth && found.last().map(|(score, _)| *score) == boundary;
            if !tied || depth >= searcher.num_docs() as usize {
                break found;
            }
            depth = depth.saturating_mul(2).min(searcher.num_docs() as usize).max(depth + 1);
        };
        let number = |segment: u32, document: u32| numbers.get(segment as usize).and_then(|column| column.first(document));
        let mut hits: Vec<(u64, f32)> =
            found.into_iter().filter_map(|(score, at)| Some((number(at.segment_ord, at.doc_id)?, score))).collect();
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| rank_of_equals(a.0).cmp(&rank_of_equals(b.0))));
        hits.truncate(limit);
        Ok(hits)
    }

    /// A query for any of the words; a repeated word counts as often as it is said. `None` without words.
    fn any_word(&self, query: &str) -> Option<Box<dyn Query>> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut order = Vec::new();
        Analyzer::new().words(query, |word| {
            if let Some(count) = counts.get_mut(word) {
                *count += 1;
            } else if order.len() < MOST_WORDS {
                counts.insert(word.to_owned(), 1);
                order.push(word.to_owned());
            }
        });
        let clause = |word: &String| -> (Occur, Box<dyn Query>) {
            let term: Box<dyn Query> =
                Box::new(TermQuery::new(Term::from_field_text(self.fields.words, word), IndexRecordOption::WithFreqs));
            match counts.get(word) {
                Some(&count) if count > 1 => (Occur::Should, Box::new(BoostQuery::new(term, count as f32))),
                _ => (Occur::Should, term),
            }
        };
        (!order.is_empty()).then(|| Box::new(BooleanQuery::new(order.iter().map(clause).collect())) as Box<dyn Query>)
    }
}
