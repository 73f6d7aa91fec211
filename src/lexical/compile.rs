//! From the tree of a query, and from a filter, to what tantivy runs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::iter::repeat;
use std::ops::Bound;

use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, ExistsQuery, Occur, PhraseQuery, Query as Tantivy,
    RangeQuery, RegexPhraseQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::Token;
use tantivy::{Score, Term};

use super::analysis::Cuts;
use super::any_words::AnyWordsQuery;
use super::character::CharacterQuery;
use super::expansion::{ExpansionQuery, Words};
use super::sloppy::SloppyPhraseQuery;
use super::tokenizer::lone;
use super::writer::shortened;
use super::{Fields, column};
use crate::query::{Comparison, Filter, MOST_SLOP, Query};
use crate::schema::{FieldType, Language, Schema, Value};

/// Different words of one clause that count; what a person types has fewer, and a text pasted whole is cut here.
pub(crate) const MOST_WORDS: usize = 1024;

/// Turns trees that were checked against the schema into queries of tantivy.
pub(super) struct Compiler<'a> {
    pub(super) schema: &'a Schema,
    pub(super) fields: &'a Fields,
    pub(super) cuts: Cuts<'a>,
    /// The number of the document with a key.
    pub(super) number_of: &'a dyn Fn(&str) -> Option<u64>,
}

/// A word, and how often its BM25 counts.
pub(super) struct Weighted {
    pub(super) term: Term,
    pub(super) boost: f32,
}

impl Weighted {
    /// A word that counts as often as it is said.
    fn of(term: &Term, count: usize) -> Self {
        Self { term: term.clone(), boost: count as f32 }
    }

    /// What matches the word, with its score.
    fn query(&self) -> Box<dyn Tantivy> {
        let word = word(&self.term);
        if self.boost == 1.0 { word } else { Box::new(BoostQuery::new(word, self.boost)) }
    }

    /// Whether it has one list of documents in the index.
    fn is_a_term(&self) -> bool {
        CharacterQuery::of(&self.term).is_none()
    }
}

/// Words that our own searches look for.
pub(super) struct OwnWay {
    pub(super) words: Vec<Weighted>,
    /// Whether a document has to have all of them, or any.
    pub(super) all: bool,
    /// Words that it may not have.
    pub(super) excluded: Vec<Term>,
}

/// What matches a word, with its score.
pub(super) fn word(term: &Term) -> Box<dyn Tantivy> {
    match CharacterQuery::of(term) {
        Some(query) => Box::new(query),
        None => Box::new(TermQuery::new(term.clone(), IndexRecordOption::WithFreqs)),
    }
}

/// A word as a term and as it is, and how often it is said.
pub(super) type Counted = (Term, String, usize);

/// What a piece of text between two spaces means that makes several words, as `in-house` does, or text without spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Each of them for itself: what it is looked for by may be in part.
    Words,
    /// All of them, next to each other: what is required or excluded is the whole.
    Whole,
}

impl Reading {
    /// How clauses of which any may hold are read beside those that have to: they only add to the score then.
    pub(super) fn of_should(self, must: &[Query]) -> Self {
        if must.is_empty() { self } else { Self::Words }
    }
}

/// Words that are looked for in one field of tantivy.
struct Target<'a> {
    field: Field,
    /// Where the words are as they are written.
    written: &'a [Option<Field>],
    languages: Cow<'a, [Language]>,
}

impl Target<'_> {
    /// Where the words are as they are written; empty where nowhere.
    fn written(&self) -> Vec<Field> {
        self.written.iter().copied().flatten().collect()
    }

    fn is_written(&self) -> bool {
        self.written.iter().any(Option::is_some)
    }
}

impl Compiler<'_> {
    /// What a query matches, with its scores.
    pub(super) fn query(&self, query: &Query, reading: Reading) -> Box<dyn Tantivy> {
        match query {
            Query::Words { field, text } => {
                let (words, phrases) = self.parts(field.as_deref(), text, reading);
                let words = words.iter().map(|(term, _, count)| Weighted::of(term, *count).query());
                any(words.chain(phrases.into_iter().map(|text| self.phrase(field.as_deref(), text, 0))).collect())
            }
            Query::Phrase { field, text, slop } => self.phrase(field.as_deref(), text, *slop),
            Query::Prefix { field, text } => self.prefix(field.as_deref(), text),
            Query::Fuzzy { field, text, distance } => self.fuzzy(field.as_deref(), text, *distance, reading),
            Query::Filter(filter) => unscored(self.filter(filter)),
            Query::All => Box::new(AllQuery),
            Query::Boolean { must, should, must_not } => self.boolean(must, should, must_not, reading),
            Query::Boost { query, factor } => Box::new(BoostQuery::new(self.query(query, reading), *factor)),
        }
    }

    /// A query that is no more than words of which any may be there, however they are grouped; `None` for others.
    pub(super) fn union(&self, query: &Query, reading: Reading) -> Option<Vec<Weighted>> {
        let words = match query {
            Query::Words { field, text } => {
                let (words, phrases) = self.parts(field.as_deref(), text, reading);
                phrases.is_empty().then(|| words.iter().map(|(term, _, count)| Weighted::of(term, *count)).collect())
            }
            // A phrase of one word.
            Query::Phrase { field, text, .. } => {
                let word = |terms: Vec<(usize, Term)>| match <[_; 1]>::try_from(terms) {
                    Ok([(_, term)]) => Some(Weighted { term, boost: 1.0 }),
                    Err(_) => None,
                };
                self.phrases(field.as_deref(), text).into_iter().map(word).collect()
            }
            Query::Boost { query, factor } => {
                let mut words = self.union(query, reading)?;
                words.iter_mut().for_each(|word| word.boost = (word.boost * factor).min(f32::MAX));
                Some(words)
            }
            Query::Boolean { must, should, must_not } if must_not.is_empty() => {
                let all = must.iter().zip(repeat(Reading::Whole)).chain(should.iter().zip(repeat(reading.of_should(must))));
                let kept: Vec<_> = all.filter(|(part, _)| !self.says_nothing(part)).collect();
                // Read as a whole, texts in a language in which it is a stop word meet a clause without having it.
                let is_unknown = |part: &Query| !self.says_nothing(part) && !self.languages_without(part).is_empty();
                if reading == Reading::Whole && must.iter().any(is_unknown) {
                    return None;
                }
                // One that has to be there, alone, is as one that may.
                if kept.len() > 1 && must.iter().any(|part| !self.says_nothing(part)) {
                    return None;
                }
                let parts = kept.into_iter().map(|(part, reading)| self.union(part, reading));
                parts.collect::<Option<Vec<_>>>().map(|parts| parts.into_iter().flatten().collect())
            }
            _ => None,
        };
        words.filter(|words: &Vec<Weighted>| words.iter().all(Weighted::is_a_term))
    }

    /// A query that is no more than words of which all have to be there, at least two of them; `None` for others.
    pub(super) fn intersection(&self, query: &Query) -> Option<Vec<Weighted>> {
        match query {
            Query::Boost { query, factor } => {
                let mut words = self.intersection(query)?;
                words.iter_mut().for_each(|word| word.boost = (word.boost * factor).min(f32::MAX));
                Some(words)
            }
            Query::Boolean { must, should, must_not } => {
                let says_something = |query: &&Query| !self.says_nothing(query);
                if should.iter().chain(must_not).any(|query| says_something(&query)) {
                    return None;
                }
                let of_part = |part: &Query| match self.union(part, Reading::Whole) {
                    // Of stop words in one of several languages, texts in that one need not have them.
                    Some(words) => (words.len() == 1 && self.languages_without(part).is_empty()).then_some(words),
                    None => self.intersection(part),
                };
                let words: Vec<Weighted> =
                    must.iter().filter(says_something).map(of_part).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
                (words.len() > 1).then_some(words)
            }
            _ => None,
        }
    }

    /// A query as our own searches take it; `None` where it is more than they do.
    pub(super) fn own_way(&self, query: &Query) -> Option<OwnWay> {
        let Some((wanted, excluded)) = self.apart(query) else { return self.wanted(query) };
        self.wanted(&wanted).map(|way| OwnWay { excluded, ..way })
    }

    fn wanted(&self, query: &Query) -> Option<OwnWay> {
        let of = |all: bool| move |words: Vec<Weighted>| OwnWay { words, all, excluded: Vec::new() };
        self.union(query, Reading::Words).map(of(false)).or_else(|| self.intersection(query).map(of(true)))
    }

    /// A query without the words that it excludes, and those; `None` where it excludes nothing, more than words, or looks for nothing else.
    fn apart(&self, query: &Query) -> Option<(Query, Vec<Term>)> {
        let Query::Boolean { must, should, must_not } = query else { return None };
        let mut excluded = Vec::new();
        for query in must_not.iter().filter(|query| !self.says_nothing(query)) {
            excluded.extend(self.union(query, Reading::Whole)?.into_iter().map(|word| word.term));
        }
        if excluded.is_empty() || must.iter().chain(should).all(|query| self.says_nothing(query)) {
            return None;
        }
        Some((Query::Boolean { must: must.clone(), should: should.clone(), must_not: Vec::new() }, excluded))
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
            Filter::Matches(query) => self.required(query),
            Filter::And(parts) if parts.is_empty() => Box::new(AllQuery),
            Filter::And(parts) => {
                Box::new(BooleanQuery::new(parts.iter().map(|part| (Occur::Must, self.filter(part))).collect()))
            }
            Filter::Or(parts) => any(parts.iter().map(|part| self.filter(part)).collect()),
            Filter::Not(inner) => match &**inner {
                Filter::Matches(query) if self.says_nothing(query) => Box::new(AllQuery),
                Filter::Matches(query) => without(Box::new(AllQuery), self.query(query, Reading::Whole)),
                inner => without(Box::new(AllQuery), self.filter(inner)),
            },
        }
    }

    fn target(&self, field: Option<&str>) -> Option<Target<'_>> {
        let Some(name) = field else {
            let languages = Cow::Borrowed(self.fields.languages.as_slice());
            return Some(Target { field: self.fields.words, written: &self.fields.written, languages });
        };
        let (place, field) = self.schema.fields().iter().enumerate().find(|(_, field)| field.name() == name)?;
        let own = self.fields.own.get(place).copied().flatten()?;
        let written = self.fields.written.get(place..=place).unwrap_or_default();
        Some(Target { field: own, written, languages: Cow::Owned(vec![field.language()]) })
    }

    /// The words of a text of which any may be there, and the pieces of it whose words have to be next to each other.
    pub(super) fn parts<'t>(&self, field: Option<&str>, text: &'t str, reading: Reading) -> (Vec<Counted>, Vec<&'t str>) {
        if reading == Reading::Words {
            return (self.counted_words(field, text), Vec::new());
        }
        let is_several = |piece: &&str| {
            // Of letters of one script with spaces it is one word.
            let may_be = piece.chars().any(|c| !c.is_alphanumeric() || lone(c.encode_utf8(&mut [0; 4])).is_some());
            may_be && self.phrases(field, piece).iter().any(|terms| terms.len() > 1)
        };
        let (mut phrases, words): (Vec<&str>, Vec<&str>) = text.split_whitespace().partition(is_several);
        phrases.truncate(MOST_WORDS);
        (self.counted_words(field, &words.join(" ")), phrases)
    }

    /// The different words of a text, as terms and as they are, with how often each is there; in their order.
    fn counted_words(&self, field: Option<&str>, text: &str) -> Vec<Counted> {
        let Some(target) = self.target(field) else { return Vec::new() };
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut words: Vec<Counted> = Vec::new();
        self.cuts.in_all(&target.languages, text, |token| match places.get(&token.text) {
            Some(&place) => words[place].2 += 1,
            None if words.len() < MOST_WORDS => {
                places.insert(token.text.clone(), words.len());
                words.push((Term::from_field_text(target.field, &token.text), token.text.clone(), 1));
            }
            None => {}
        });
        words
    }

    /// The first byte of a text from which on it has words that are not among the different ones that count.
    pub(super) fn unread(&self, field: Option<&str>, text: &str) -> Option<usize> {
        let target = self.target(field)?;
        let (mut words, mut unread) = (HashSet::new(), None);
        self.cuts.in_all(&target.languages, text, |token| {
            if words.len() < MOST_WORDS {
                words.insert(token.text.clone());
            } else if !words.contains(&token.text) {
                unread = Some(unread.map_or(token.offset_from, |first: usize| first.min(token.offset_from)));
            }
        });
        unread
    }

    /// The words next to each other, in any one of the languages that the text may be in.
    fn phrase(&self, field: Option<&str>, text: &str, slop: u32) -> Box<dyn Tantivy> {
        // Tantivy counts places in 8 bits.
        let slop = slop.min(MOST_SLOP);
        let phrase = |terms: Vec<(usize, Term)>| match &terms[..] {
            [(_, only)] => word(only),
            _ => next_to_each_other(terms, slop),
        };
        any(self.phrases(field, text).into_iter().map(phrase).collect())
    }

    /// The words of a phrase with their places, for each of the languages that the text may be in.
    fn phrases(&self, field: Option<&str>, text: &str) -> Vec<Vec<(usize, Term)>> {
        let Some(target) = self.target(field) else { return Vec::new() };
        let in_language = |language: &Language| -> Option<Vec<(usize, Term)>> {
            let tokens = self.cuts.of(*language, text);
            let term = |token: &Token| (token.position, Term::from_field_text(target.field, &token.text));
            let terms: Vec<_> = tokens.iter().take(MOST_WORDS).map(term).collect();
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
        let tokens = self.cuts.of(Language::Neutral, text);
        let Some((last, others)) = tokens.split_last() else { return Box::new(EmptyQuery) };
        let (beginning, before) = (&last.text, others.last().map_or(0, |token| token.offset_to));
        let whole = || {
            let whole = Query::Words { field: field.map(str::to_owned), text: beginning.clone() };
            self.query(&whole, Reading::Words)
        };
        let begins = |fields: &[Field]| -> Box<dyn Tantivy> {
            Box::new(ExpansionQuery { fields: fields.to_vec(), words: Words::Beginning(beginning.clone()) })
        };
        let beginning = match &target.written()[..] {
            // Where there are stems alone, a word that is written out is found by its own.
            [] => any(vec![begins(&[target.field]), whole()]),
            written if lone(beginning).is_some() => any(vec![begins(written), whole()]),
            written => begins(written),
        };
        let before =
            Query::Phrase { field: field.map(str::to_owned), text: text.get(..before).unwrap_or_default().to_owned(), slop: 0 };
        match self.says_nothing(&before) {
            true => beginning,
            false => every(vec![self.required(&before), beginning]),
        }
    }

    /// Around each word of the text, in each of its languages; as a whole, around all of them.
    fn fuzzy(&self, field: Option<&str>, text: &str, distance: u8, reading: Reading) -> Box<dyn Tantivy> {
        let Some(target) = self.target(field) else { return Box::new(EmptyQuery) };
        // Stems are compared only where there is nothing else.
        let is_written = target.is_written();
        let languages = if is_written { Cow::Owned(vec![Language::Neutral]) } else { target.languages.clone() };
        let in_language = |language: &Language| -> Vec<(String, u8)> {
            let edited = |token: &Token| {
                let written = text.get(token.offset_from..token.offset_to).unwrap_or_default();
                (token.text.clone(), distance.min(most_edits(written)))
            };
            self.cuts.of(*language, text).iter().take(MOST_WORDS).map(edited).collect()
        };
        let around = |(text, distance): (String, u8)| -> Box<dyn Tantivy> {
            if distance == 0 && (!is_written || lone(&text).is_some()) {
                return word(&Term::from_field_text(target.field, &text));
            }
            let fields = if is_written { target.written() } else { vec![target.field] };
            Box::new(ExpansionQuery { fields, words: Words::Near(text, distance) })
        };
        let ways = languages.iter().map(in_language).filter(|words| !words.is_empty());
        if reading == Reading::Whole {
            let mut ways: Vec<_> = ways.collect();
            ways.dedup();
            return any(ways.into_iter().map(|words| every(words.into_iter().map(around).collect())).collect());
        }
        let mut words: Vec<(String, u8)> = Vec::new();
        for word in ways.flatten() {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        any(words.into_iter().take(MOST_WORDS).map(around).collect())
    }

    fn boolean(&self, must: &[Query], should: &[Query], must_not: &[Query], reading: Reading) -> Box<dyn Tantivy> {
        if must.is_empty() && should.is_empty() && must_not.is_empty() {
            return Box::new(EmptyQuery);
        }
        // Clauses of stop words alone are passed over: as required ones they would exclude everything.
        let says_something = |query: &&Query| !self.says_nothing(query);
        let mut all: Vec<(Occur, Box<dyn Tantivy>)> = Vec::new();
        all.extend(must.iter().filter(says_something).map(|query| (Occur::Must, self.required(query))));
        let of_should = reading.of_should(must);
        all.extend(should.iter().filter(says_something).map(|query| (Occur::Should, self.query(query, of_should))));
        let positive = all.len();
        all.extend(must_not.iter().filter(says_something).map(|query| (Occur::MustNot, self.query(query, Reading::Whole))));
        // Also where what was required restricts nothing, all but what is excluded is left.
        if positive == 0 && should.is_empty() && (must.is_empty() || !all.is_empty()) {
            all.push((Occur::Must, unscored(Box::new(AllQuery))));
        } else if positive == 0 {
            return Box::new(EmptyQuery);
        }
        // What is looked for, and not only a condition, has at least one of the words.
        let is_unknown = |query: &Query| !self.languages_without(query).is_empty();
        let mut required = must.iter().filter(says_something).peekable();
        if reading == Reading::Words && required.peek().is_some() && required.all(is_unknown) {
            let words = must.iter().chain(should).filter(says_something).map(|query| self.query(query, Reading::Whole));
            all.push((Occur::Must, unscored(any(words.collect()))));
        }
        match all.iter().any(|(occur, _)| *occur == Occur::Must) {
            true => Box::new(BooleanQuery::new(all)),
            false => in_order(BooleanQuery::new(all)),
        }
    }

    /// What a clause that has to hold matches. Whether a text has words that are stop words of its language nobody knows, so
    /// texts in that language meet it; those in the others have to have them.
    fn required(&self, query: &Query) -> Box<dyn Tantivy> {
        let proper = self.query(query, Reading::Whole);
        let unknown = self.languages_without(query);
        if unknown.is_empty() {
            return proper;
        }
        let fields = self.schema.fields().iter().zip(&self.fields.own);
        let fields = fields.filter(|(field, _)| field.kind().is_searched() && unknown.contains(&field.language()));
        let unknown = AnyWordsQuery(fields.filter_map(|(_, own)| *own).collect());
        any(vec![proper, unscored(Box::new(unknown))])
    }

    /// The languages in which a clause is made of stop words alone.
    fn languages_without(&self, query: &Query) -> Vec<Language> {
        match query {
            Query::Words { field, text } | Query::Phrase { field, text, .. } | Query::Fuzzy { field, text, .. } => {
                let Some(target) = self.target(field.as_deref()) else { return Vec::new() };
                // As they are written, stop words are in the index.
                let as_written = matches!(query, Query::Fuzzy { .. }) && target.is_written();
                let is_without =
                    |language: &Language| self.is_silent(if as_written { Language::Neutral } else { *language }, text);
                target.languages.iter().copied().filter(is_without).collect()
            }
            Query::Boost { query, .. } => self.languages_without(query),
            _ => Vec::new(),
        }
    }

    /// Whether a language has nothing but stop words in a text.
    fn is_silent(&self, language: Language, text: &str) -> bool {
        self.cuts.of(language, text).is_empty()
    }

    /// Whether a query has no word to look for in any of its languages, and no condition.
    pub(super) fn says_nothing(&self, query: &Query) -> bool {
        match query {
            Query::Words { field, .. } | Query::Phrase { field, .. } | Query::Fuzzy { field, .. } => {
                let languages = self.target(field.as_deref()).map_or(0, |target| target.languages.len());
                self.languages_without(query).len() == languages
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

/// The score of all that a query matches, where they have the same one for sure.
pub(super) fn score_of_all(query: &dyn Tantivy) -> Option<Score> {
    (query.is::<ExpansionQuery>() || query.is::<AllQuery>()).then_some(1.0)
}

/// How many edits leave something of a word of that length.
pub(crate) fn most_edits(word: &str) -> u8 {
    match word.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    }
}

/// Words at their places.
fn next_to_each_other(terms: Vec<(usize, Term)>, slop: u32) -> Box<dyn Tantivy> {
    let moved_together = slop > 0 && terms.len() > 2;
    let phrase = phrase_of(terms, slop);
    if moved_together { Box::new(SloppyPhraseQuery(phrase.into())) } else { phrase }
}

/// A character of a script without spaces that stands at an end may be part of a longer run there.
fn phrase_of(terms: Vec<(usize, Term)>, slop: u32) -> Box<dyn Tantivy> {
    let is_lone = |(_, term): &(usize, Term)| CharacterQuery::of(term).is_some();
    let (Some((_, first)), true) = (terms.first(), terms.iter().any(is_lone)) else {
        return Box::new(PhraseQuery::new_with_offset_and_slop(terms, slop));
    };
    let (field, last) = (first.field(), terms.len() - 1);
    // Words are letters and digits, none of which means anything else in a regular expression.
    let pattern = |(at, (position, term)): (usize, &(usize, Term))| {
        let text = term.value().as_str().unwrap_or_default().to_owned();
        let pattern = match CharacterQuery::of(term) {
            Some(_) if at == 0 => format!(".?{text}"),
            Some(_) if at == last => format!("{text}.?"),
            _ => text,
        };
        (*position, pattern)
    };
    let patterns = terms.iter().enumerate().map(pattern).collect();
    let mut phrase = RegexPhraseQuery::new_with_offset_and_slop(field, patterns, slop);
    phrase.set_max_expansions(u32::MAX);
    Box::new(phrase)
}

fn every(mut queries: Vec<Box<dyn Tantivy>>) -> Box<dyn Tantivy> {
    match queries.len() {
        1 => queries.swap_remove(0),
        _ => Box::new(BooleanQuery::new(queries.into_iter().map(|query| (Occur::Must, query)).collect())),
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

#[cfg(test)]
mod tests {
    use super::super::analysis::{Analyzers, Spares};
    use super::*;
    use crate::lexical::{Written, layout};

    /// What tantivy is to run for a query in a heading and a text.
    fn compiled(query: &Query) -> String {
        let schema = Schema::builder().heading("title").text("body").build().unwrap();
        let (_, fields) = layout(&schema, Written::Beside);
        let analyzers = Spares::<Analyzers>::default();
        let cuts = Cuts::new(analyzers.take(Analyzers::default));
        let compiler = Compiler { schema: &schema, fields: &fields, cuts, number_of: &|_| None };
        format!("{:?}", compiler.query(query, Reading::Words))
    }

    #[test]
    fn clauses_of_which_any_may_hold_are_added_in_their_own_order_also_where_what_was_required_is_passed_over() {
        let (title, body) = (|| Query::words("patent").in_field("title"), || Query::words("claim").in_field("body"));
        let beside = |must: Query| Query::Boolean {
            must: vec![must],
            should: vec![title(), body()],
            must_not: vec![Query::words("chemistry")],
        };
        assert!(compiled(&title().or(body())).starts_with("Boost("));
        assert!(compiled(&beside(Query::words("the"))).starts_with("Boost("));
        assert!(compiled(&beside(Query::words("software"))).starts_with("BooleanQuery"));
    }

    #[test]
    fn short_words_are_edited_less() {
        for (word, edits) in [("it", 0), ("検索", 0), ("cat", 1), ("house", 1), ("houses", 2)] {
            let compiled = compiled(&Query::fuzzy(word, 2));
            assert!(compiled.contains(&format!("Near({word:?}, {edits})")), "{word}: {compiled}");
        }
        // A character alone is looked for in all its pairs.
        assert!(compiled(&Query::fuzzy("検", 2)).contains("Character"));
        assert!(compiled(&Query::fuzzy("houses", 1)).contains("Near(\"houses\", 1)"));
    }

    #[test]
    fn a_slop_fits_into_what_tantivy_counts_in() {
        assert!(compiled(&Query::phrase("patent claim").slop(300)).contains("slop: 255"));
    }
}
