//! Whether a query or filter can be answered with a schema, and is of a bounded size.

use std::fmt;

use super::trouble::shorten;
use super::{Comparison, Filter, MOST_DEEP, MOST_LEAVES, MOST_SLOP, Query};
use crate::error::QueryError;
use crate::schema::{FieldType, Schema, Value};

const KNOWN_NAME: &str = "correct the name, or open an index that has the field";

impl Query {
    /// Holds the query against the schema.
    ///
    /// # Errors
    /// [`QueryError::UnknownField`]; [`QueryError::Unfit`] for words in a field that is not searched by words, and for conditions that
    /// a field does not take; [`QueryError::Number`] for a distance, a slop or a boost; [`QueryError::TooLarge`] beyond 64 levels
    /// or 1024 clauses.
    pub fn check(&self, schema: &Schema) -> Result<(), QueryError> {
        Check { schema, leaves: 0 }.query(self, 0)
    }
}

impl Filter {
    /// Holds the filter against the schema.
    ///
    /// # Errors
    /// [`QueryError::UnknownField`]; [`QueryError::Unfit`] for fields without values to compare, values of another type, and orders
    /// where there is none; [`QueryError::TooLarge`] beyond 64 levels or 1024 clauses, the values of an `In` and `Keys` not counted;
    /// and what [`Query::check`] refuses in a query inside.
    pub fn check(&self, schema: &Schema) -> Result<(), QueryError> {
        Check { schema, leaves: 0 }.filter(self, 0)
    }
}

pub(super) struct Check<'a> {
    pub(super) schema: &'a Schema,
    /// Clauses without clauses of their own, so far.
    pub(super) leaves: usize,
}

impl Check<'_> {
    fn query(&mut self, query: &Query, depth: usize) -> Result<(), QueryError> {
        bounded(depth, "levels of nesting", MOST_DEEP)?;
        match query {
            Query::Words { field, .. }
            | Query::Phrase { field, .. }
            | Query::Prefix { field, .. }
            | Query::Fuzzy { field, .. } => {
                self.leaf()?;
                if let Some(field) = field {
                    self.searched_by_words(field, query)?;
                }
                match query {
                    Query::Fuzzy { distance, .. } if !(1..=2).contains(distance) => {
                        Err(number(query, "a distance of 1 or 2", distance))
                    }
                    Query::Phrase { slop, .. } if *slop > MOST_SLOP => Err(number(query, "a slop of at most 255", slop)),
                    _ => Ok(()),
                }
            }
            Query::Filter(filter) => self.filter(filter, depth + 1),
            Query::All => self.leaf(),
            Query::Boolean { must, should, must_not } => {
                let mut clauses = must.iter().chain(should).chain(must_not).peekable();
                if clauses.peek().is_none() {
                    self.leaf()?;
                }
                clauses.try_for_each(|clause| self.query(clause, depth + 1))
            }
            Query::Boost { query: inner, factor } => {
                self.query(inner, depth + 1)?;
                match factor.is_finite() && *factor > 0.0 {
                    true => Ok(()),
                    false => Err(number(query, "a boost above 0 and finite", factor)),
                }
            }
        }
    }

    pub(super) fn filter(&mut self, filter: &Filter, depth: usize) -> Result<(), QueryError> {
        bounded(depth, "levels of nesting", MOST_DEEP)?;
        match filter {
            Filter::Compare { field, comparison, value } => {
                self.leaf()?;
                self.compared(field, Some(*comparison), std::slice::from_ref(value), filter)
            }
            Filter::In { field, values } => {
                self.leaf()?;
                self.compared(field, None, values, filter)
            }
            Filter::Exists { field } => {
                self.leaf()?;
                self.compared(field, None, &[], filter)
            }
            Filter::Keys(_) => self.leaf(),
            Filter::Matches(query) => self.query(query, depth + 1),
            Filter::And(parts) | Filter::Or(parts) => {
                if parts.is_empty() {
                    self.leaf()?;
                }
                parts.iter().try_for_each(|part| self.filter(part, depth + 1))
            }
            Filter::Not(inner) => self.filter(inner, depth + 1),
        }
    }

    fn leaf(&mut self) -> Result<(), QueryError> {
        self.leaves += 1;
        bounded(self.leaves, "clauses", MOST_LEAVES)
    }

    fn kind(&self, field: &str, clause: &dyn fmt::Display) -> Result<FieldType, QueryError> {
        self.schema.field(field).map(|field| field.kind()).ok_or_else(|| QueryError::UnknownField {
            at: None,
            place: place(clause),
            field: shorten(field),
            known: self.schema.known(),
            remedy: KNOWN_NAME,
        })
    }

    fn searched_by_words(&self, field: &str, clause: &Query) -> Result<(), QueryError> {
        let kind = self.kind(field, clause)?;
        if kind.is_searched() {
            return Ok(());
        }
        let remedy = if kind == FieldType::Stored { "ask another field" } else { "compare its values with a `Filter`" };
        Err(unfit(field, kind, clause, "a condition", "words".to_owned(), remedy))
    }

    fn compared(&self, field: &str, comparison: Option<Comparison>, values: &[Value], clause: &Filter) -> Result<(), QueryError> {
        let kind = self.kind(field, clause)?;
        match kind {
            FieldType::Heading | FieldType::Text => {
                let remedy = "ask for its words with `Filter::matches`";
                return Err(unfit(field, kind, clause, "words", "a condition".to_owned(), remedy));
            }
            FieldType::Stored => {
                return Err(unfit(
                    field,
                    kind,
                    clause,
                    "nothing, it is only kept",
                    "a condition".to_owned(),
                    "ask another field",
                ));
            }
            FieldType::Boolean if comparison.is_some_and(Comparison::is_of_order) => {
                let found = comparison.map_or("", Comparison::symbol).to_owned();
                return Err(unfit(
                    field,
                    kind,
                    clause,
                    "= or !=",
                    found,
                    "a boolean has no order: compare it with `true` or `false`",
                ));
            }
            _ => {}
        }
        match values.iter().find(|value| !value.fits(kind)) {
            Some(value) => Err(unfit(field, kind, clause, "a value of its type", value.describe(), "convert the value")),
            None => Ok(()),
        }
    }
}

fn bounded(found: usize, what: &'static str, most: usize) -> Result<(), QueryError> {
    if found > most { Err(QueryError::TooLarge { at: None, place: "in the query".to_owned(), what, most }) } else { Ok(()) }
}

fn number(clause: &Query, expected: &'static str, found: impl fmt::Display) -> QueryError {
    QueryError::Number { place: place(clause), expected, found: found.to_string() }
}

fn unfit(
    field: &str,
    kind: FieldType,
    clause: &dyn fmt::Display,
    expected: &'static str,
    found: String,
    remedy: &'static str,
) -> QueryError {
    QueryError::Unfit { at: None, place: place(clause), field: field.into(), kind, expected, found: found.into(), remedy }
}

fn place(clause: &dyn fmt::Display) -> String {
    format!("in {}", shorten(&clause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::builder()
            .text("body")
            .keyword("court")
            .integer("year")
            .float("weight")
            .boolean("open")
            .stored("note")
            .build()
            .unwrap()
    }

    #[test]
    fn what_does_not_fit_the_schema_is_refused_with_clause_and_remedy() {
        let cases: [(Query, &[&str]); 12] = [
            (Query::words("a").in_field("bdy"), &["in bdy:a:", "\"bdy\" is not in the schema", "body, court"]),
            (Query::words("a").in_field("court"), &["\"court\" is a keyword", "`Filter`"]),
            (Query::fuzzy("a", 3), &["in a~3:", "a distance of 1 or 2, found 3"]),
            (Query::phrase("a b").slop(256), &["in \"a b\"~256:", "a slop of at most 255, found 256"]),
            (Query::words("a").boost(f32::NAN), &["found NaN"]),
            (Query::words("a").boost(0.0), &["above 0"]),
            (Filter::equal("year", "1976").into(), &["year = \"1976\"", "is an integer", "the text \"1976\"", "convert"]),
            (Filter::one_of("weight", [0.5, f64::NAN]).into(), &["is a finite float", "NaN"]),
            (Filter::less("open", true).into(), &["in open < true", "expected = or !="]),
            (Filter::exists("body").into(), &["Filter::matches"]),
            (Filter::equal("note", "a").into(), &["only kept"]),
            (Filter::matches(Query::words("a").in_field("no")).into(), &["\"no\" is not in the schema"]),
        ];
        for (query, parts) in cases {
            let query = Query::words("x").and(query);
            let error = query.check(&schema()).unwrap_err();
            assert_eq!(error.position(), None);
            for part in parts {
                assert!(error.to_string().contains(part), "{part:?} is not in: {error}");
            }
        }
        assert!(Query::words("a").in_field("body").and(Filter::not_equal("open", true)).check(&schema()).is_ok());
    }

    #[test]
    fn size_is_bounded() {
        let deep = |levels: usize| (0..levels).fold(Query::all(), |query, _| query.boost(2.0));
        assert!(deep(64).check(&schema()).is_ok());
        assert!(matches!(deep(65).check(&schema()), Err(QueryError::TooLarge { most: 64, .. })));
        let filter = (0..70).fold(Filter::exists("year"), |filter, _| Filter::Not(Box::new(filter)));
        assert!(matches!(filter.check(&schema()), Err(QueryError::TooLarge { most: 64, .. })));
        let wide = |clauses: usize| (1..clauses).fold(Query::words("a"), |query, _| query.or("a"));
        assert!(wide(1024).check(&schema()).is_ok());
        assert!(matches!(wide(1025).check(&schema()), Err(QueryError::TooLarge { most: 1024, .. })));
        assert!(Filter::one_of("year", 0..100_000).check(&schema()).is_ok());
    }
}
