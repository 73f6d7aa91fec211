//! From the tree of a query, and from a filter, to what tantivy runs.

use std::collections::HashMap;
use std::ops::Bound;

use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, ExistsQuery, FuzzyTermQuery, Occur, PhraseQuery,
    Query as Tantivy, RangeQuery, RegexQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};

use super::analysis::Analyzers;
use super::writer::shortened;
use super::{Analyzer, Fields, column};
use crate::query::{Comparison, Filter, Query};
use crate::schema::{FieldType, Language, Schema, Value};

/// Different words of one clause that count; what a person types has fewer, and a text pasted whole is cut here.
const MOST_WORDS: usize = 1024;

/// Turns trees that were checked against the schema into queries of tantivy.
pub(super) struct Compiler<'a> {
    pub(super) schema: &'a Schema,
    pub(super) fields: &'a Fields,
    pub(super) analyzers: &'a Analyzers,
    /// The number of the document with a key.
    pub(super) number_of: &'a dyn Fn(&str) -> Option<u64>,
}

/// A word, and how often its BM25 counts.
pub(super) struct Weighted {
    pub(super) term: Term,
    pub(super) boost: f32,
}

impl Weighted {
    /// What matches the word, with its score.
    fn query(&self) -> Box<dyn Tantivy> {
        let term = Box::new(TermQuery::new(self.term.clone(), IndexRecordOption::WithFreqs));
        if self.boost == 1.0 { term } else { Box::new(BoostQuery::new(term, self.boost)) }
    }
}

/// Any of the words.
fn any_of(words: &[Weighted]) -> Box<dyn Tantivy> {
    any(words.iter().map(Weighted::query).collect())
}

/// Words that are looked for in one field of tantivy.
struct Target {
    field: Field,
    analyzer: Analyzer,
    languages: Vec<Language>,
}

impl Compiler<'_> {
    /// What a query matches, with its scores.
    pub(super) fn query(&self, query: &Query) -> Box<dyn Tantivy> {
        match query {
            Query::Words { field, text } => any_of(&self.words(field.as_deref(), text)),
            Query::Phrase { field, text, slop } => self.phrase(field.as_deref(), text, *slop),
            Query::Prefix { field, text } => self.prefix(field.as_deref(), text),
            Query::Fuzzy { field, text, distance } => self.fuzzy(field.as_deref(), text, *distance),
            Query::Filter(filter) => unscored(self.filter(filter)),
            Query::All => Box::new(AllQuery),
            Query::Boolean { must, should, must_not } => self.boolean(must, should, must_not),
            Query::Boost { query, factor } => Box::new(BoostQuery::new(self.query(query), *factor)),
        }
    }

    /// A query that is no more than words of which any may be there, however they are grouped; `None` for others.
    pub(super) fn union(&self, query: &Query) -> Option<Vec<Weighted>> {
        match query {
            Query::Words { field, text } => Some(self.words(field.as_deref(), text)),
            // A phrase of one word.
            Query::Phrase { field, text, .. } => {
                let word = |terms: Vec<(usize, Term)>| match <[_; 1]>::try_from(terms) {
                    Ok([(_, term)]) => Some(Weighted { term, boost: 1.0 }),
                    Err(_) => None,
                };
                self.phrases(field.as_deref(), text).into_iter().map(word).collect()
            }
            Query::Boost { query, factor } => {
                let mut words = self.union(query)?;
                words.iter_mut().for_each(|word| word.boost = (word.boost * factor).min(f32::MAX));
                Some(words)
            }
            // One that has to be there, alone, is as one that may.
            Query::Boolean { must, should, must_not }
                if must_not.is_empty() && (must.is_empty() || must.len() == 1 && should.is_empty()) =>
            {
                let parts = must.iter().chain(should).filter(|part| !self.says_nothing(part)).map(|part| self.union(part));
                parts.collect::<Option<Vec<_>>>().map(|parts| parts.into_iter().flatten().collect())
            }
            _ => None,
        }
    }

    /// The documents that meet a filter; its scores say nothing.
    pub(super) fn filter(&self, filter: &Filter) -> Box<dyn Tantivy> {
        match filter {
            Filter::Compare { field, comparison: Comparison::NotEqual, value } => {
                without(self.exists(field), self.compare(field, Comparison::Equal, value))
            }
            Filter::Compare { field, comparison, value } => self.compare(field, *comparison, value),
            Filter::In { field, values } => {
                Box::new(TermSetQuery::new(values.iter().filter_map(|value| self.term_of(field, value))))
            }
            Filter::Exists { field } => self.exists(field),
            Filter::Keys(keys) => {
                let numbers = keys.iter().filter_map(|key| (self.number_of)(key));
                Box::new(TermSetQuery::new(numbers.map(|number| Term::from_field_u64(self.fields.number, number))))
            }
            // Of stop words alone, it restricts nothing.
            Filter::Matches(query) if self.says_nothing(query) => Box::new(AllQuery),
            Filter::Matches(query) => self.query(query),
            Filter::And(parts) if parts.is_empty() => Box::new(AllQuery),
            Filter::And(parts) => {
                Box::new(BooleanQuery::new(parts.iter().map(|part| (Occur::Must, self.filter(part))).collect()))
            }
            Filter::Or(parts) => any(parts.iter().map(|part| self.filter(part)).collect()),
            Filter::Not(inner) => without(Box::new(AllQuery), self.filter(inner)),
        }
    }

    fn target(&self, field: Option<&str>) -> Option<Target> {
        let Some(name) = field else {
            let languages = self.fields.languages.clone();
            return Some(Target { field: self.fields.words, analyzer: self.analyzers.all(), languages });
        };
        let (place, field) = self.schema.fields().iter().enumerate().find(|(_, field)| field.name() == name)?;
        let own = self.fields.own.get(place).copied().flatten()?;
        let language = field.language();
        Some(Target { field: own, analyzer: self.analyzers.of(language), languages: vec![language] })
    }

    /// The words of a text; a repeated one counts as often as it is said.
    fn words(&self, field: Option<&str>, text: &str) -> Vec<Weighted> {
        let weighted = |(term, _, count): (Term, String, usize)| Weighted { term, boost: count as f32 };
        self.counted_words(field, text).into_iter().map(weighted).collect()
    }

    /// The different words of a text, as terms and as they are, with how often each is there; in their order.
    pub(super) fn counted_words(&self, field: Option<&str>, text: &str) -> Vec<(Term, String, usize)> {
        let Some(mut target) = self.target(field) else { return Vec::new() };
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut words: Vec<(Term, String, usize)> = Vec::new();
        target.analyzer.words(text, |word| match places.get(word) {
            Some(&place) => words[place].2 += 1,
            None if words.len() < MOST_WORDS => {
                places.insert(word.to_owned(), words.len());
                words.push((Term::from_field_text(target.field, word), word.to_owned(), 1));
            }
            None => {}
        });
        words
    }

    /// The words next to each other, in any one of the languages that the text may be in.
    fn phrase(&self, field: Option<&str>, text: &str, slop: u32) -> Box<dyn Tantivy> {
        let phrase = |terms: Vec<(usize, Term)>| -> Box<dyn Tantivy> {
            match &terms[..] {
                [(_, only)] => Box::new(TermQuery::new(only.clone(), IndexRecordOption::WithFreqs)),
                _ => Box::new(PhraseQuery::new_with_offset_and_slop(terms, slop)),
            }
        };
        any(self.phrases(field, text).into_iter().map(phrase).collect())
    }

    /// The words of a phrase with their places, for each of the languages that the text may be in.
    fn phrases(&self, field: Option<&str>, text: &str) -> Vec<Vec<(usize, Term)>> {
        let Some(target) = self.target(field) else { return Vec::new() };
        let in_language = |language: &Language| -> Option<Vec<(usize, Term)>> {
            let mut terms = Vec::new();
            self.analyzers.of(*language).tokens(text, |token| {
                terms.push((token.position, Term::from_field_text(target.field, &token.text)));
            });
            terms.truncate(MOST_WORDS);
            Some(terms).filter(|terms| !terms.is_empty())
        };
        let mut ways: Vec<Vec<(usize, Term)>> = target.languages.iter().filter_map(in_language).collect();
        ways.dedup();
        ways
    }

    /// The last word as a beginning, those before it as they are.
    fn prefix(&self, field: Option<&str>, text: &str) -> Box<dyn Tantivy> {
        let Some(target) = self.target(field) else { return Box::new(EmptyQuery) };
        // Unstemmed: a beginning has no ending.
        let (mut last, mut before) = (None, 0);
        Analyzer::in_language(Language::Neutral).tokens(text, |token| {
            if let Some((_, end, _)) = last.replace((token.offset_from, token.offset_to, token.text.clone())) {
                before = end;
            }
        });
        let Some((_, _, beginning)) = last else { return Box::new(EmptyQuery) };
        // Words are stems in the index: one that is written out is found by its own.
        let whole = any_of(&self.words(field, &beginning));
        // Words are letters and digits, none of which means anything else in a regular expression.
        let beginning: Box<dyn Tantivy> = match RegexQuery::from_pattern(&format!("{beginning}.*"), target.field) {
            Ok(query) => Box::new(query),
            Err(error) => {
                tracing::warn!(%error, "a beginning that tantivy does not take finds nothing");
                return Box::new(EmptyQuery);
            }
        };
        let beginning = any(vec![beginning, whole]);
        let before = text.get(..before).unwrap_or_default();
        if self.says_nothing(&Query::Words { field: field.map(str::to_owned), text: before.to_owned() }) {
            return beginning;
        }
        Box::new(BooleanQuery::new(vec![(Occur::Must, self.phrase(field, before, 0)), (Occur::Must, beginning)]))
    }

    /// Around each word of the text, in each of its languages.
    fn fuzzy(&self, field: Option<&str>, text: &str, distance: u8) -> Box<dyn Tantivy> {
        let Some(mut target) = self.target(field) else { return Box::new(EmptyQuery) };
        let mut words = Vec::new();
        target.analyzer.words(text, |word| words.push(word.to_owned()));
        words.truncate(MOST_WORDS);
        let around = |word: String| -> Box<dyn Tantivy> {
            Box::new(FuzzyTermQuery::new(Term::from_field_text(target.field, &word), distance.clamp(1, 2), true))
        };
        any(words.into_iter().map(around).collect())
    }

    fn boolean(&self, must: &[Query], should: &[Query], must_not: &[Query]) -> Box<dyn Tantivy> {
        if must.is_empty() && should.is_empty() && must_not.is_empty() {
            return Box::new(EmptyQuery);
        }
        // Clauses of stop words alone are passed over: as required ones they would exclude everything.
        let clauses = |occur: Occur, list: &[Query]| -> Vec<(Occur, Box<dyn Tantivy>)> {
            list.iter().filter(|query| !self.says_nothing(query)).map(|query| (occur, self.query(query))).collect()
        };
        let mut all = clauses(Occur::Must, must);
        all.extend(clauses(Occur::Should, should));
        all.extend(clauses(Occur::MustNot, must_not));
        if must.is_empty() && should.is_empty() {
            all.push((Occur::Must, unscored(Box::new(AllQuery))));
        }
        match all.iter().any(|(occur, _)| *occur != Occur::MustNot) {
            true if must.is_empty() => in_order(BooleanQuery::new(all)),
            true => Box::new(BooleanQuery::new(all)),
            false => Box::new(EmptyQuery),
        }
    }

    /// Whether a query has no word to look for, and no condition. A stop word of one of the languages is none: texts in that language do not
    /// have it in the index.
    fn says_nothing(&self, query: &Query) -> bool {
        match query {
            Query::Words { field, text } | Query::Phrase { field, text, .. } | Query::Fuzzy { field, text, .. } => {
                let Some(target) = self.target(field.as_deref()) else { return true };
                let is_without_words = |language: &Language| {
                    let mut words = 0;
                    self.analyzers.of(*language).words(text, |_| words += 1);
                    words == 0
                };
                target.languages.iter().any(is_without_words)
            }
            Query::Prefix { text, .. } => !text.chars().any(char::is_alphanumeric),
            Query::Boost { query, .. } => self.says_nothing(query),
            Query::Boolean { must, should, must_not } => {
                must.iter().chain(should).chain(must_not).all(|clause| self.says_nothing(clause))
            }
            Query::Filter(_) | Query::All => false,
        }
    }

    fn exists(&self, field: &str) -> Box<dyn Tantivy> {
        match self.schema.fields().iter().position(|known| known.name() == field) {
            Some(place) => Box::new(ExistsQuery::new(column(place), false)),
            None => Box::new(EmptyQuery),
        }
    }

    /// A value as a term of its field; `None` where it is of another type.
    fn term_of(&self, field: &str, value: &Value) -> Option<Term> {
        let (place, known) = self.schema.fields().iter().enumerate().find(|(_, known)| known.name() == field)?;
        let own = self.fields.own.get(place).copied().flatten()?;
        Some(match (known.kind(), value) {
            (FieldType::Keyword, Value::Text(text)) => Term::from_field_text(own, &shortened(text)),
            (FieldType::Integer, Value::Integer(number)) => Term::from_field_i64(own, *number),
            (FieldType::Date, Value::Date(date)) => Term::from_field_i64(own, date.micros()),
            (FieldType::Float, Value::Float(number)) => Term::from_field_f64(own, number + 0.0),
            (FieldType::Float, Value::Integer(number)) => Term::from_field_f64(own, *number as f64),
            (FieldType::Boolean, Value::Boolean(truth)) => Term::from_field_bool(own, *truth),
            _ => return None,
        })
    }

    /// A comparison other than `NotEqual`.
    fn compare(&self, field: &str, comparison: Comparison, value: &Value) -> Box<dyn Tantivy> {
        let Some(term) = self.term_of(field, value) else { return Box::new(EmptyQuery) };
        let (low, high) = match comparison {
            Comparison::Equal => return Box::new(TermQuery::new(term, IndexRecordOption::Basic)),
            Comparison::Less => (Bound::Unbounded, Bound::Excluded(term)),
            Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(term)),
            Comparison::Greater => (Bound::Excluded(term), Bound::Unbounded),
            Comparison::GreaterOrEqual => (Bound::Included(term), Bound::Unbounded),
            Comparison::NotEqual => return Box::new(EmptyQuery),
        };
        Box::new(RangeQuery::new(low, high))
    }
}

fn any(mut queries: Vec<Box<dyn Tantivy>>) -> Box<dyn Tantivy> {
    match queries.len() {
        0 => Box::new(EmptyQuery),
        1 => queries.swap_remove(0),
        _ => in_order(BooleanQuery::new(queries.into_iter().map(|query| (Occur::Should, query)).collect())),
    }
}

/// A query whose clauses are added up in an order of their own: left alone, where a segment lacks all but plain words, tantivy takes to its block-max WAND,
/// which adds them in the order of what it found before. In a boost, if only of 1, it does not.
fn in_order(query: BooleanQuery) -> Box<dyn Tantivy> {
    Box::new(BoostQuery::new(Box::new(query), 1.0))
}

/// What matches the first and not the second.
fn without(wanted: Box<dyn Tantivy>, unwanted: Box<dyn Tantivy>) -> Box<dyn Tantivy> {
    Box::new(BooleanQuery::new(vec![(Occur::Must, wanted), (Occur::MustNot, unwanted)]))
}

fn unscored(query: Box<dyn Tantivy>) -> Box<dyn Tantivy> {
    Box::new(ConstScoreQuery::new(query, 0.0))
}
