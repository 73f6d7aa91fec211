//! What does the words' leg cost beside tantivy called directly, for the same query and depth?
//!
//! A good answer: at most 1.15 times as much. Both look at the same words on disk; fossick also breaks ties the same way always and names
//! documents by their numbers, and its time is that of the leg (`Response::timings`), which includes the query's analysis.
//!
//! `cargo bench --profile dev --bench words`
#![allow(missing_docs, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fossick::Mode;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{Index, IndexReader, ReloadPolicy, Term};

const DEPTH: usize = 100;

fn words(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("words");
    group.sample_size(30);
    for documents in [10_000, 100_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let index = common::generated(&directory.path().join("index"), documents);
        let snapshot = index.snapshot().expect("a snapshot");
        let tantivy = Index::open_in_dir(index.path().join("words-0")).expect("the words");
        let reader: IndexReader = tantivy.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().expect("a reader");
        let searcher = reader.searcher();
        let field = tantivy.schema().get_field("words").expect("the field of all words");
        for query in
            ["software", "software patent law", "when must court consider software patent claims invalid over prior publication"]
        {
            // Words that are their own stems, or nearly: what matters is that both look for the same.
            let mut stems = tantivy::tokenizer::TextAnalyzer::builder(tantivy::tokenizer::SimpleTokenizer::default())
                .filter(tantivy::tokenizer::LowerCaser)
                .filter(tantivy::tokenizer::StopWordFilter::new(tantivy::tokenizer::Language::English).expect("English"))
                .filter(tantivy::tokenizer::Stemmer::new(tantivy::tokenizer::Language::English))
                .build();
            let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
            stems.token_stream(query).process(&mut |token| {
                let term = TermQuery::new(Term::from_field_text(field, &token.text), IndexRecordOption::WithFreqs);
                clauses.push((Occur::Should, Box::new(term)));
            });
            let direct = BooleanQuery::new(clauses);
            let name = format!("{documents}/{} words", query.split(' ').count());
            // Times without hits: reading them would leave the words' leg with cold caches, and tantivy alone reads none.
            let ask = |limit| {
                let search = snapshot.search(query).plain().mode(Mode::Lexical).candidates(DEPTH).limit(limit).fields([""; 0]);
                search.run().expect("an answer")
            };
            let found = searcher.search(&direct, &TopDocs::with_limit(DEPTH).order_by_score()).expect("an answer");
            // Tantivy adds words up in the order in which it comes to them, so the last bits may differ.
            let (theirs, ours) =
                (found.first().map_or(0.0, |(score, _)| *score), ask(1).hits.first().map_or(0.0, |hit| hit.score));
            assert!((theirs - ours).abs() <= 1e-6 * theirs, "another query: {theirs} and {ours}");
            group.bench_function(BenchmarkId::new("fossick", &name), |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| ask(0).timings.lexical).sum());
            });
            group.bench_function(BenchmarkId::new("tantivy alone", &name), |bencher| {
                bencher.iter_custom(|times| {
                    let mut all = Duration::ZERO;
                    for _ in 0..times {
                        let begun = Instant::now();
                        let found = searcher.search(&direct, &TopDocs::with_limit(DEPTH).order_by_score()).expect("an answer");
                        all += begun.elapsed();
                        assert!(found.len() <= DEPTH);
                    }
                    all
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, words);
criterion_main!(benches);
