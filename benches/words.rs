//! What does the words' leg cost beside tantivy called directly, for the same query and depth?
//!
//! A good answer: less, and never more than 1.15 times as much. Both look at the same words on disk; fossick also breaks ties the
//! same way always, sums in f64, and names documents by their numbers, and its time is that of the leg and of what restricts it
//! (`lexical` and `filter` of `Response::timings`), which includes the query's analysis. Beginnings and edits tantivy looks for among
//! stems, fossick among the words as they are written. Generated texts have each of 48 words in most documents, so that no word tells
//! much; scifact, where its files are, has words as unequal as in any language.
//!
//! `cargo bench --profile dev --bench words`
#![allow(missing_docs, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use fossick::{Index, Mode, Snapshot};
use tantivy::collector::{Count, TopDocs};
use tantivy::query::{BooleanQuery, FuzzyTermQuery, Occur, PhraseQuery, Query, RegexQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::{Language, LowerCaser, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer};
use tantivy::{IndexReader, ReloadPolicy, Searcher, Term};

const DEPTH: usize = 100;

/// How often both sides are asked in turns at most, for how long, and how often even if it takes longer.
const TURNS: usize = 2000;
const IN_TURNS: Duration = Duration::from_millis(1500);
const LEAST_TURNS: usize = 7;

/// A query as fossick reads it, and as tantivy is called for the same.
struct Asked<'q> {
    text: &'q str,
    /// Whether it is words alone, without operators.
    plain: bool,
    direct: Box<dyn Query>,
}

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
    fn fossick(&self, asked: &Asked<'_>, limit: usize) -> (Duration, f32) {
        let search = self.snapshot.search(asked.text).mode(Mode::Lexical).candidates(DEPTH).limit(limit).fields([""; 0]);
        let response = if asked.plain { search.plain() } else { search }.run().expect("an answer");
        (response.timings.filter + response.timings.lexical, response.hits.first().map_or(0.0, |hit| hit.score))
    }

    fn tantivy(&self, query: &dyn Query) -> (Duration, f32) {
        let begun = Instant::now();
        let found = self.searcher.search(query, &TopDocs::with_limit(DEPTH).order_by_score()).expect("an answer");
        (begun.elapsed(), found.first().map_or(0.0, |(score, _)| *score))
    }

    fn terms(&self, text: &str) -> Vec<Term> {
        let mut stems = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(LowerCaser)
            .filter(StopWordFilter::new(Language::English).expect("English"))
            .filter(Stemmer::new(Language::English))
            .build();
        let mut terms = Vec::new();
        stems.token_stream(text).process(&mut |token| terms.push(Term::from_field_text(self.field, &token.text)));
        terms
    }

    fn clauses(&self, occur: Occur, text: &str) -> Box<dyn Query> {
        let query = |term| -> Box<dyn Query> { Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)) };
        Box::new(BooleanQuery::new(self.terms(text).into_iter().map(|term| (occur, query(term))).collect()))
    }

    /// Any of some words.
    fn any<'q>(&self, text: &'q str) -> Asked<'q> {
        Asked { text, plain: true, direct: self.clauses(Occur::Should, text) }
    }

    /// Words with AND between them.
    fn all<'q>(&self, text: &'q str) -> Asked<'q> {
        Asked { text, plain: false, direct: self.clauses(Occur::Must, &text.replace(" AND ", " ")) }
    }

    /// Words between quotes.
    fn phrase<'q>(&self, text: &'q str) -> Asked<'q> {
        Asked { text, plain: false, direct: Box::new(PhraseQuery::new(self.terms(text))) }
    }

    /// A beginning with a star behind it.
    fn prefix<'q>(&self, text: &'q str) -> Asked<'q> {
        let pattern = text.replace('*', ".*");
        Asked { text, plain: false, direct: Box::new(RegexQuery::from_pattern(&pattern, self.field).expect("a pattern")) }
    }

    /// A word, and another behind a minus.
    fn without<'q>(&self, text: &'q str) -> Asked<'q> {
        let (wanted, unwanted) = text.split_once(" -").expect("a minus");
        let both = [(Occur::Must, wanted), (Occur::MustNot, unwanted)];
        let clauses = both.map(|(occur, text)| (occur, self.clauses(Occur::Should, text)));
        Asked { text, plain: false, direct: Box::new(BooleanQuery::new(clauses.into())) }
    }

    /// A word with a tilde behind it.
    fn fuzzy<'q>(&self, text: &'q str) -> Asked<'q> {
        let term = Term::from_field_text(self.field, text.trim_end_matches('~'));
        Asked { text, plain: false, direct: Box::new(FuzzyTermQuery::new(term, 2, true)) }
    }

    /// Whether both look for the same: as many documents match, and the first scores alike. Tantivy adds words up in the order in which it
    /// comes to them, so the last bits may differ.
    fn agree(&self, asked: &Asked<'_>) -> bool {
        let (theirs, ours) = (self.tantivy(&*asked.direct).1, self.fossick(asked, 1).1);
        let search = self.snapshot.search(asked.text).mode(Mode::Lexical).limit(1).count_total();
        let counted = if asked.plain { search.plain() } else { search }.run().expect("an answer").total;
        let matching = self.searcher.search(&*asked.direct, &Count).expect("a count") as u64;
        counted == Some(matching) && theirs > 0.0 && (theirs - ours).abs() <= 1e-6 * theirs
    }

    /// The time of all queries, one after the other; and before, in turns, what part of tantivy's time fossick takes: minutes apart, a machine
    /// that others share is not the same.
    fn compare(&self, group: &mut BenchmarkGroup<'_, WallTime>, name: &str, queries: &[Asked<'_>]) {
        let begun = Instant::now();
        let mut ratios = Vec::new();
        while ratios.len() < TURNS && (begun.elapsed() < IN_TURNS || ratios.len() < LEAST_TURNS) {
            let ours: Duration = queries.iter().map(|asked| self.fossick(asked, 0).0).sum();
            let theirs: Duration = queries.iter().map(|asked| self.tantivy(&*asked.direct).0).sum();
            ratios.push(ours.as_secs_f64() / theirs.as_secs_f64());
        }
        ratios.sort_by(f64::total_cmp);
        let at = |part: usize| ratios[ratios.len() * part / 4];
        println!("{name}: {:.2} of tantivy's time ({:.2} to {:.2} in half of {} turns)", at(2), at(1), at(3), ratios.len());
        group.bench_function(BenchmarkId::new("fossick", name), |bencher| {
            bencher.iter_custom(|times| (0..times).flat_map(|_| queries).map(|asked| self.fossick(asked, 0).0).sum());
        });
        group.bench_function(BenchmarkId::new("tantivy alone", name), |bencher| {
            bencher.iter_custom(|times| (0..times).flat_map(|_| queries).map(|asked| self.tantivy(&*asked.direct).0).sum());
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
            let asked = both.any(query);
            assert!(both.agree(&asked), "another query: {query}");
            both.compare(&mut group, &format!("{documents}/{} words", query.split(' ').count()), &[asked]);
        }
        for (name, asked) in [
            ("both of 2 words", both.all("software AND patent")),
            ("all of 3 words", both.all("software AND patent AND law")),
            ("one word and not another", both.without("software -patent")),
            ("a phrase", both.phrase("\"software patent\"")),
            ("a prefix", both.prefix("softw*")),
            ("a fuzzy word", both.fuzzy("sofware~")),
        ] {
            assert!(both.agree(&asked), "another query: {}", asked.text);
            both.compare(&mut group, &format!("{documents}/{name}"), &[asked]);
        }
    }
    match common::beir("scifact") {
        Some(common::Collection { documents, queries }) => {
            let directory = tempfile::tempdir().expect("a directory");
            let both = Both::of(&common::words_only(&directory.path().join("index"), &documents));
            // Words that fossick and these few steps cut alike.
            let same: Vec<Asked<'_>> =
                queries.iter().map(|query| both.any(query)).filter(|asked| both.agree(asked)).take(300).collect();
            assert!(same.len() == 300, "{} of {} queries are the same", same.len(), queries.len());
            both.compare(&mut group, &format!("{} abstracts/300 claims", documents.len()), &same);
            // The last two words of each, as a person narrows a search down.
            let last_two = |query: &String| {
                let words: Vec<&str> = query.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3).collect();
                words.last_chunk().map(|[first, second]| format!("{first} AND {second}"))
            };
            let pairs: Vec<String> = queries.iter().filter_map(last_two).collect();
            let same: Vec<Asked<'_>> =
                pairs.iter().map(|pair| both.all(pair)).filter(|asked| both.agree(asked)).take(300).collect();
            assert!(same.len() == 300, "{} of {} pairs are the same", same.len(), pairs.len());
            both.compare(&mut group, &format!("{} abstracts/300 pairs, both", documents.len()), &same);
        }
        None => {
            eprintln!("words: scifact is left out, because its files are not at {}", common::beir_folder("scifact").display())
        }
    }
    group.finish();
}

criterion_group!(benches, words);
criterion_main!(benches);
