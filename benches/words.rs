//! What does the words' leg cost beside tantivy called directly, for the same query and depth?
//!
//! A good answer: less, and never more than 1.15 times as much. Both look at the same words on disk; fossick also breaks ties the same way always, sums in f64, and names
//! documents by their numbers, and its time is that of the leg (`Response::timings`), which includes the query's analysis. Generated texts have each of 48
//! words in most documents, so that no word tells much; scifact, where its files are, has words as unequal as in any language.
//!
//! `cargo bench --profile dev --bench words`
#![allow(missing_docs, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use fossick::{Index, Mode, Snapshot};
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::{Language, LowerCaser, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer};
use tantivy::{IndexReader, ReloadPolicy, Searcher, Term};

const DEPTH: usize = 100;

/// The same words on disk, for both.
struct Both {
    snapshot: Snapshot,
    searcher: Searcher,
    field: Field,
}

impl Both {
    fn of(index: &Index) -> Self {
        let tantivy = tantivy::Index::open_in_dir(index.path().join("words-0")).expect("the words");
        let reader: IndexReader = tantivy.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().expect("a reader");
        let field = tantivy.schema().get_field("words").expect("the field of all words");
        Self { snapshot: index.snapshot().expect("a snapshot"), searcher: reader.searcher(), field }
    }

    /// Times without hits: reading them would leave the words' leg with cold caches, and tantivy alone reads none.
    fn fossick(&self, query: &str, limit: usize) -> (Duration, f32) {
        let search = self.snapshot.search(query).plain().mode(Mode::Lexical).candidates(DEPTH).limit(limit).fields([""; 0]);
        let response = search.run().expect("an answer");
        (response.timings.lexical, response.hits.first().map_or(0.0, |hit| hit.score))
    }

    fn tantivy(&self, query: &dyn Query) -> (Duration, f32) {
        let begun = Instant::now();
        let found = self.searcher.search(query, &TopDocs::with_limit(DEPTH).order_by_score()).expect("an answer");
        (begun.elapsed(), found.first().map_or(0.0, |(score, _)| *score))
    }

    fn direct(&self, query: &str) -> BooleanQuery {
        let mut stems = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(LowerCaser)
            .filter(StopWordFilter::new(Language::English).expect("English"))
            .filter(Stemmer::new(Language::English))
            .build();
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        stems.token_stream(query).process(&mut |token| {
            let term = TermQuery::new(Term::from_field_text(self.field, &token.text), IndexRecordOption::WithFreqs);
            clauses.push((Occur::Should, Box::new(term)));
        });
        BooleanQuery::new(clauses)
    }

    /// Whether both look for the same. Tantivy adds words up in the order in which it comes to them, so the last bits may differ.
    fn agree(&self, query: &str) -> bool {
        let (theirs, ours) = (self.tantivy(&self.direct(query)).1, self.fossick(query, 1).1);
        theirs > 0.0 && (theirs - ours).abs() <= 1e-6 * theirs
    }

    /// The time of all queries, one after the other.
    fn compare(&self, group: &mut BenchmarkGroup<'_, WallTime>, name: &str, queries: &[&str]) {
        let direct: Vec<BooleanQuery> = queries.iter().map(|query| self.direct(query)).collect();
        group.bench_function(BenchmarkId::new("fossick", name), |bencher| {
            bencher.iter_custom(|times| (0..times).flat_map(|_| queries).map(|query| self.fossick(query, 0).0).sum());
        });
        group.bench_function(BenchmarkId::new("tantivy alone", name), |bencher| {
            bencher.iter_custom(|times| (0..times).flat_map(|_| &direct).map(|query| self.tantivy(query).0).sum());
        });
    }
}

fn words(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("words");
    group.sample_size(30);
    for documents in [10_000, 100_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let both = Both::of(&common::generated(&directory.path().join("index"), documents));
        for query in
            ["software", "software patent law", "when must court consider software patent claims invalid over prior publication"]
        {
            assert!(both.agree(query), "another query: {query}");
            both.compare(&mut group, &format!("{documents}/{} words", query.split(' ').count()), &[query]);
        }
    }
    match common::beir("scifact") {
        Some(common::Collection { documents, queries }) => {
            let directory = tempfile::tempdir().expect("a directory");
            let both = Both::of(&common::words_only(&directory.path().join("index"), &documents));
            // Words that fossick and these few steps cut alike.
            let same: Vec<&str> = queries.iter().map(String::as_str).filter(|query| both.agree(query)).take(300).collect();
            assert!(same.len() == 300, "{} of {} queries are the same", same.len(), queries.len());
            both.compare(&mut group, &format!("{} abstracts/300 claims", documents.len()), &same);
        }
        None => {
            eprintln!("words: scifact is left out, because its files are not at {}", common::beir_folder("scifact").display())
        }
    }
    group.finish();
}

criterion_group!(benches, words);
criterion_main!(benches);
