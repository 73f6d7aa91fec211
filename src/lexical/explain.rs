//! Where a document's BM25 comes from, by clause and word.

use serde_json::Value as Json;
use tantivy::query::Query as Tantivy;
use tantivy::{DocAddress, Searcher, Term};

use super::compile::{Compiler, Reading, word};
use crate::query::Query;
use crate::rank::{Combination, Explanation};

/// A document whose score is explained.
pub(super) struct Explainer<'a> {
    pub(super) searcher: &'a Searcher,
    pub(super) compiler: Compiler<'a>,
    pub(super) document: DocAddress,
}

impl Explainer<'_> {
    /// The part of a query that the document matches; `None` where it matches nothing of it.
    pub(super) fn explain(&self, query: &Query, reading: Reading) -> Option<Explanation> {
        match query {
            Query::Words { field, text } => {
                let (words, phrases) = self.compiler.parts(field.as_deref(), text, reading);
                let words = words.iter().filter_map(|(term, word, count)| self.word(term, word, *count, field.as_deref()));
                let phrases =
                    phrases.into_iter().map(|text| Query::Phrase { field: field.clone(), text: text.to_owned(), slop: 0 });
                let matched: Vec<Explanation> =
                    words.chain(phrases.filter_map(|phrase| self.explain(&phrase, reading))).collect();
                (!matched.is_empty()).then(|| Explanation::of(format!("BM25 of {query}"), Combination::Sum, matched))
            }
            Query::Boolean { must, should, .. } => {
                // Some of its clauses may match where it does not, for want of another or because of one that is excluded.
                let score = self.score(&*self.compiler.query(query, reading))?;
                let required = must.iter().filter_map(|clause| self.explain(clause, Reading::Whole));
                let others = should.iter().filter_map(|clause| self.explain(clause, reading.of_should(must)));
                let matched: Vec<Explanation> = required.chain(others).collect();
                match matched.is_empty() {
                    // Only what is excluded was named.
                    true => Some(Explanation::given(query.to_string(), score)),
                    false => Some(Explanation::of(format!("BM25 of {query}"), Combination::Sum, matched)),
                }
            }
            Query::Boost { query, factor } => {
                let inner = self.explain(query, reading)?;
                Some(Explanation::of("boosted", Combination::Product, vec![Explanation::given("boost", *factor), inner]))
            }
            other => {
                let (value, json) = self.scored(&*self.compiler.query(other, reading))?;
                let more = json["details"].as_array().into_iter().flatten().map(of_json);
                Some(Explanation::given(format!("score of {other}"), value).with(more))
            }
        }
    }

    fn word(&self, term: &Term, text: &str, count: usize, field: Option<&str>) -> Option<Explanation> {
        let (value, json) = self.scored(&*word(term))?;
        let place = field.map_or_else(String::new, |field| format!(" in {field}"));
        let details: Vec<Explanation> = json["details"].as_array().into_iter().flatten().map(of_json).collect();
        let bm25 = Explanation::of(format!("BM25 of the word {text:?}{place}"), Combination::Product, details).valued(value);
        if count == 1 {
            return Some(bm25);
        }
        let times = Explanation::given("times that the query has it", count as f32);
        Some(Explanation::of(format!("{text:?}, repeated"), Combination::Product, vec![times, bm25]))
    }

    fn score(&self, query: &dyn Tantivy) -> Option<f32> {
        self.scored(query).map(|(value, _)| value)
    }

    /// The score that a query gives the document, and tantivy's account of it.
    fn scored(&self, query: &dyn Tantivy) -> Option<(f32, Json)> {
        let explanation = query.explain(self.searcher, self.document).ok()?;
        let json = serde_json::from_str(&explanation.to_pretty_json()).unwrap_or_default();
        Some((explanation.value(), json))
    }
}

fn of_json(json: &Json) -> Explanation {
    let what = json["description"].as_str().unwrap_or_default();
    let details = json["details"].as_array().into_iter().flatten().map(of_json);
    Explanation::given(what, json["value"].as_f64().unwrap_or_default() as f32).with(details)
}
