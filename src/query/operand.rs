//! What a clause of the search-box language is about: parentheses, quotations, words, conditions, each with its field and boost.

use std::ops::Range;

use super::clauses::Operand;
use super::condition::{self, Typed, unclosed_quotation};
use super::cursor::{Ending, ends_word, is_factor};
use super::parser::Parser;
use super::trouble::{found, place, syntax, unfit, unknown_field};
use super::{KEY, MOST_DEEP, MOST_SLOP, Query};
use crate::error::QueryError;
use crate::schema::FieldType;

/// Where what is read will be looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scope<'a> {
    /// All fields that are searched by words.
    Anywhere,
    /// One of them.
    Words(Typed<'a>),
    /// A field with values.
    Values(Typed<'a>),
    /// The document's key.
    Key,
}

const ESCAPE: &str = "write a backslash before it where it is a letter";

impl<'a> Parser<'a> {
    /// Reads what a clause is about. `None` where it was ignored.
    pub(super) fn operand(&mut self, scope: Scope<'a>) -> Result<Option<Operand>, QueryError> {
        let start = self.cursor.at();
        let mut ahead = self.cursor;
        if ahead.eat("*:*") && ahead.peek().is_none_or(|c| ends_word(c) || c == '^') {
            self.cursor = ahead;
            return self.boosted(Query::All).map(Some);
        }
        let scope = self.field(scope)?.unwrap_or(scope);
        match (self.cursor.peek(), scope) {
            (Some('('), _) => self.parenthesis(scope, start),
            (_, Scope::Values(field)) => {
                let read = condition::condition(&mut self.cursor, self.text, field);
                self.condition(read, start)
            }
            (_, Scope::Key) => {
                let read = condition::key(&mut self.cursor, self.text);
                self.condition(read, start)
            }
            (Some('"'), _) => self.phrase(scope, start),
            _ => self.term(scope, start),
        }
    }

    /// Steps over the name of a field and its colon. A name that is no field is a word, and where errors are wanted, an error.
    fn field(&mut self, outer: Scope<'a>) -> Result<Option<Scope<'a>>, QueryError> {
        let start = self.cursor.at();
        let mut ahead = self.cursor;
        let name = ahead.eat_while(|c| !ends_word(c) && !matches!(c, '"' | '\\' | ':'));
        if !ahead.eat(":") {
            return Ok(None);
        }
        let scope = match self.schema.field(name).map(|field| (field.name(), field.kind())) {
            None if name == KEY => Scope::Key,
            // A value may have a colon in it, such as a time.
            None if matches!(outer, Scope::Values(_) | Scope::Key) => return Ok(None),
            None => {
                let remedy = "correct the name, or write a backslash before the colon where it is a letter";
                let error = |parser: &Self| unknown_field(parser.text, start, name, parser.schema, remedy);
                self.strictly(error)?;
                if looks_like_a_field(name, ahead.peek()) {
                    ahead.eat_while(|c| !ends_word(c));
                    self.ignore(start..ahead.at(), error(self))?;
                }
                return Ok(None);
            }
            Some(field @ (_, FieldType::Heading | FieldType::Text)) => Scope::Words(field),
            Some(field @ (_, FieldType::Stored)) => {
                let error =
                    unfit(self.text, start, field, "a field that is searched", "one that is only kept", "ask another field");
                return self.ignore(start..ahead.at(), error).map(|()| None);
            }
            Some(field) => Scope::Values(field),
        };
        let at = ahead.at();
        let error = match (ahead.peek(), scope) {
            (None | Some(')'), _) => Some("write a value or words after the colon, without a space"),
            (Some(c), _) if c.is_whitespace() => Some("write a value or words after the colon, without a space"),
            (Some('[' | '{' | '<' | '>'), Scope::Words(_)) => {
                Some("a text has no order: ask for words, or write a backslash before the sign")
            }
            _ => None,
        };
        if let Some(remedy) = error {
            let what = if matches!(scope, Scope::Words(_)) { "words" } else { "a value" };
            let error = syntax(
                self.text,
                at,
                format!("{what} directly after \"{name}:\""),
                space_or(found(self.text, at), &ahead.peek()),
                remedy,
            );
            return self.ignore(start..at, error).map(|()| None);
        }
        self.cursor = ahead;
        Ok(Some(scope))
    }

    fn parenthesis(&mut self, scope: Scope<'a>, start: usize) -> Result<Option<Operand>, QueryError> {
        let at = self.cursor.at();
        if self.open == MOST_DEEP {
            let place = place(self.text, at);
            return Err(QueryError::TooLarge { at: Some(at), place, what: "levels of parentheses", most: MOST_DEEP });
        }
        self.cursor.next();
        self.open += 1;
        let inner = self.group(scope)?;
        self.open -= 1;
        if !self.cursor.eat(")") {
            let error = syntax(self.text, at, "a ) for this parenthesis", "the end", "close it, or write \\( for the letter");
            self.ignore(start..at + 1, error)?;
        } else if inner.is_none() {
            let error = syntax(self.text, at, "something between parentheses", "nothing", "write words there, or leave them out");
            self.ignore(start..self.cursor.at(), error)?;
        }
        inner.map(|inner| self.boosted(inner)).transpose()
    }

    /// Takes a condition as it was read, with its boost.
    fn condition(
        &mut self,
        read: Result<(super::Filter, Option<Range<usize>>), QueryError>,
        start: usize,
    ) -> Result<Option<Operand>, QueryError> {
        match read {
            Ok((filter, Some(boost))) => self.boosted_by(filter.into(), boost).map(Some),
            Ok((filter, None)) => self.boosted(filter.into()).map(Some),
            Err(error) => self.ignore(start..self.cursor.at(), error).map(|()| None),
        }
    }

    fn phrase(&mut self, scope: Scope<'a>, start: usize) -> Result<Option<Operand>, QueryError> {
        let at = self.cursor.at();
        let Some(text) = self.cursor.quotation() else {
            return self.ignore(start..self.cursor.at(), unclosed_quotation(self.text, at)).map(|()| None);
        };
        let mut slop = 0;
        let tilde = self.cursor.at();
        if self.cursor.eat("~") {
            let places = self.cursor.eat_while(|c| c.is_ascii_digit());
            let expected = match places.parse() {
                Ok(few) if few <= MOST_SLOP => {
                    slop = few;
                    None
                }
                _ if places.is_empty() => Some("a number of places after ~"),
                _ => {
                    slop = MOST_SLOP;
                    Some("at most 255 places after ~")
                }
            };
            if let Some(expected) = expected {
                let error = syntax(self.text, tilde, expected, found(self.text, tilde), "write \"…\"~2");
                self.ignore(tilde..self.cursor.at(), error)?;
            }
        }
        if text.trim().is_empty() {
            let error = syntax(self.text, at, "words between quotation marks", "none", "write words there, or leave them out");
            return self.ignore(start..self.cursor.at(), error).map(|()| None);
        }
        self.boosted(Query::Phrase { field: scope.field(), text, slop }).map(Some)
    }

    fn term(&mut self, scope: Scope<'a>, start: usize) -> Result<Option<Operand>, QueryError> {
        let at = self.cursor.at();
        if self.cursor.peek().is_some_and(|c| matches!(c, '[' | '{')) {
            let remedy = "a range follows the name of a field with values and a colon; write a backslash before a bracket that is a letter";
            self.strictly(|parser| syntax(parser.text, at, "a word", found(parser.text, at), remedy))?;
        }
        let term = self.cursor.term();
        if let Some(stray) = term.stray {
            let expected = "a letter, or a sign at the end of a word";
            self.strictly(|parser| syntax(parser.text, stray, expected, found(parser.text, stray), ESCAPE))?;
        }
        let field = scope.field();
        let query = match term.ending {
            Ending::Star if field.is_some() => {
                let error = syntax(self.text, at, "words", "\"*\"", "only fields with values are asked whether they have one");
                return self.ignore(start..self.cursor.at(), error).map(|()| None);
            }
            Ending::Star if term.boost.is_none() => return Ok(Some(Operand::Star)),
            Ending::Star => Query::All,
            _ if term.text.trim().is_empty() => {
                let error = syntax(self.text, at, "a word", "an escaped space", "write a word there, or leave it out");
                return self.ignore(start..self.cursor.at(), error).map(|()| None);
            }
            Ending::Plain => Query::Words { field, text: term.text.split_whitespace().collect::<Vec<_>>().join(" ") },
            Ending::Prefix => Query::Prefix { field, text: term.text },
            Ending::Fuzzy(written) => {
                let distance = self.distance(written, &term.text)?;
                Query::Fuzzy { field, text: term.text, distance }
            }
        };
        match term.boost {
            Some(boost) => self.boosted_by(query, boost).map(Some),
            None => Ok(Some(Operand::Query(query))),
        }
    }

    /// The distance of `~`, `~1` or `~2`. Without a number, short words get 1: two edits would leave little of them.
    fn distance(&mut self, written: Range<usize>, word: &str) -> Result<u8, QueryError> {
        let default = if word.chars().count() <= 5 { 1 } else { 2 };
        match self.text.get(written.start + 1..written.end) {
            None | Some("") => Ok(default),
            Some("1") => Ok(1),
            Some("2") => Ok(2),
            Some(other) => {
                let error = syntax(self.text, written.start, "a distance of 1 or 2", format!("{other:?}"), "write ~1 or ~2");
                self.ignore(written, error)?;
                Ok(default)
            }
        }
    }

    /// Takes the boost that follows, if there is one.
    fn boosted(&mut self, query: Query) -> Result<Operand, QueryError> {
        let start = self.cursor.at();
        if !self.cursor.eat("^") {
            return Ok(Operand::Query(query));
        }
        self.cursor.eat_while(|c| c.is_ascii_digit() || c == '.');
        self.boosted_by(query, start..self.cursor.at())
    }

    /// Applies the boost that stands at those bytes.
    fn boosted_by(&mut self, query: Query, written: Range<usize>) -> Result<Operand, QueryError> {
        let number = self.text.get(written.start + 1..written.end).unwrap_or_default();
        let factor = Some(number).filter(|number| is_factor(number)).and_then(|number| number.parse().ok());
        match factor.filter(|factor: &f32| factor.is_finite() && *factor > 0.0) {
            Some(factor) => Ok(Operand::Query(query.boost(factor))),
            None => {
                let error =
                    syntax(self.text, written.start, "a positive number after ^", format!("{number:?}"), "write ^2 or ^0.5");
                self.ignore(written, error)?;
                Ok(Operand::Query(query))
            }
        }
    }
}

impl Scope<'_> {
    /// The field in which words are looked for.
    fn field(self) -> Option<String> {
        match self {
            Self::Words((name, _)) => Some(name.to_owned()),
            _ => None,
        }
    }

    /// Whether neighbours are alternatives: values of one field.
    pub(super) fn is_of_values(self) -> bool {
        matches!(self, Self::Values(_) | Self::Key)
    }
}

/// Whether a name before a colon, which is no field, was perhaps meant as one: `http://x`, `12:30`, `C:\x` and `note: this` were
/// not.
fn looks_like_a_field(name: &str, next: Option<char>) -> bool {
    let is_name = name.starts_with(char::is_alphabetic) && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name && name.chars().nth(1).is_some() && next.is_some_and(|c| !ends_word(c) && !matches!(c, '/' | '\\' | ':'))
}

/// What was found, told apart from a space.
fn space_or(found: String, next: &Option<char>) -> String {
    if next.is_some_and(char::is_whitespace) { "a space".to_owned() } else { found }
}
