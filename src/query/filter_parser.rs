//! The filter language: conditions joined by AND, OR and NOT.

use super::check::Check;
use super::filter_lexer::{Token, Tokens, escaped_position, unescape};
use super::trouble::{found, place, syntax, unfit, unknown_field};
use super::{Comparison, Filter, KEY, MOST_DEEP, Query};
use crate::error::QueryError;
use crate::schema::{FieldType, Schema, Value};

/// The words that are not names without backticks.
const KEYWORDS: [&str; 9] = ["AND", "OR", "NOT", "IN", "BETWEEN", "EXISTS", "MATCHES", "TRUE", "FALSE"];

impl Filter {
    /// Reads the filter language.
    ///
    /// | written | means |
    /// |---|---|
    /// | `court = "Tax Court"`, `year != 1990`, `year >= 1990` | `=`, `!=` or `<>`, `<`, `<=`, `>`, `>=` |
    /// | `topic IN ("tax", "labor")`, `topic NOT IN ("tax")` | one of these values; another value |
    /// | `year BETWEEN 1990 AND 2000` | both included |
    /// | `topic EXISTS` | has a value |
    /// | `_key = "us-425-219"`, `_key IN ("a", "b")` | by key |
    /// | `MATCHES "title:software"` | matches a query; [`Query::parse`] reads what is quoted |
    /// | `a AND b OR NOT (c OR d)` | NOT binds tighter than AND, AND tighter than OR |
    ///
    /// Keywords may be in either case; a field of such a name is written between backticks. Text stands between double or single
    /// quotation marks, with a backslash before a mark or a backslash inside. Dates are moments: `1976-04-27`, bare or quoted, is
    /// midnight in UTC, times are quoted in RFC 3339.
    ///
    /// A comparison fails for a document without a value; so do `!=` and `NOT IN`, while `NOT court = "Tax Court"` takes documents
    /// without a court.
    ///
    /// ```
    /// use fossick::{Filter, Schema};
    /// let schema = Schema::builder().text("body").keyword("court").integer("year").build()?;
    /// let filter = Filter::parse(r#"court = "Tax Court" and year between 1990 and 2000"#, &schema)?;
    /// assert_eq!(filter, Filter::equal("court", "Tax Court").and(Filter::between("year", 1990, 2000)));
    /// # Ok::<(), fossick::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Query::parse`].
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, QueryError> {
        let mut parser =
            Parser { tokens: Tokens::new(text)?, check: Check { schema, leaves: 0 }, schema, depth: 0, deepest: (0, 0) };
        let filter = parser.any()?;
        if parser.tokens.peek() != Token::End {
            return Err(parser.expected("AND, OR or the end", "join conditions by AND or OR"));
        }
        filter.check(schema).map_err(|error| error.passed_at(text, || parser.deepest.1))?;
        Ok(filter)
    }
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    schema: &'a Schema,
    /// Of the conditions that were read.
    check: Check<'a>,
    /// Open parentheses and NOTs.
    depth: usize,
    /// The most of those, and the byte at which it was reached.
    deepest: (usize, usize),
}

type Compared<'a> = (&'a str, FieldType);

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Filter, QueryError> {
        let mut parts = vec![self.all()?];
        while self.eat_keyword("OR")? {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Filter::Or(parts) })
    }

    fn all(&mut self) -> Result<Filter, QueryError> {
        let mut parts = self.one()?;
        while self.eat_keyword("AND")? {
            parts.extend(self.one()?);
        }
        Ok(joined(parts))
    }

    /// Reads one condition; several where it is short for several that AND joins.
    fn one(&mut self) -> Result<Vec<Filter>, QueryError> {
        let outside = self.depth;
        let mut negations = 0;
        while self.eat_keyword("NOT")? {
            negations += 1;
            self.deeper()?;
        }
        let mut parts = match self.tokens.peek() {
            Token::Sign("(") => {
                let at = self.tokens.at();
                self.deeper()?;
                self.tokens.step()?;
                let inner = self.any()?;
                if self.tokens.peek() != Token::Sign(")") {
                    let expected = format!("AND, OR or a ) for the parenthesis at byte {at}");
                    return Err(self.expected(expected, "join conditions by AND or OR, and close the parenthesis"));
                }
                self.tokens.step()?;
                vec![inner]
            }
            Token::Word(word) if word.eq_ignore_ascii_case("MATCHES") => self.counted(|parser| Ok(vec![parser.matches()?]))?,
            Token::Word(word) if !is_keyword(word) => self.counted(|parser| parser.condition(word))?,
            Token::Name(name) => self.counted(|parser| parser.condition(name))?,
            _ => {
                return Err(self.expected(
                    "a condition",
                    "write conditions such as year >= 1990, and fields named like a keyword between backticks",
                ));
            }
        };
        for _ in 0..negations {
            parts = vec![Filter::Not(Box::new(joined(parts)))];
        }
        self.depth = outside;
        Ok(parts)
    }

    /// Reads one condition, if there is still room for it.
    fn counted(&mut self, read: impl FnOnce(&mut Self) -> Result<Vec<Filter>, QueryError>) -> Result<Vec<Filter>, QueryError> {
        let at = self.tokens.at();
        let parts = read(self)?;
        for part in &parts {
            self.check.filter(part, 0).map_err(|error| error.passed_at(self.tokens.text(), || at))?;
        }
        Ok(parts)
    }

    fn matches(&mut self) -> Result<Filter, QueryError> {
        self.tokens.step()?;
        let Token::Quoted(quoted) = self.tokens.peek() else {
            return Err(self.expected("a query in quotation marks", "write MATCHES \"title:software\""));
        };
        let begins = self.tokens.at() + 1;
        self.tokens.step()?;
        let text = self.tokens.text();
        let outer = |at: usize| begins + escaped_position(quoted, at);
        let query = Query::parse(&unescape(quoted), self.schema).map_err(|mut error| {
            match &mut error {
                QueryError::Syntax { at, place: shown, .. }
                | QueryError::UnknownField { at: Some(at), place: shown, .. }
                | QueryError::Unfit { at: Some(at), place: shown, .. }
                | QueryError::TooLarge { at: Some(at), place: shown, .. } => {
                    *at = outer(*at);
                    *shown = place(text, *at);
                }
                _ => {}
            }
            error
        })?;
        Ok(Filter::matches(query))
    }

    fn condition(&mut self, name: &'a str) -> Result<Vec<Filter>, QueryError> {
        let at = self.tokens.at();
        if name == KEY {
            self.tokens.step()?;
            return Ok(vec![self.key()?]);
        }
        let text = self.tokens.text();
        let Some(field) = self.schema.field(name).map(|field| (field.name(), field.kind())) else {
            let remedy = "correct the name; text stands in quotation marks, the key is called _key";
            return Err(unknown_field(text, at, name, self.schema, remedy));
        };
        match field.1 {
            FieldType::Heading | FieldType::Text => {
                let remedy = "ask for its words, as in MATCHES \"title:software\"";
                return Err(unfit(text, at, field, "words", "a condition", remedy));
            }
            FieldType::Stored => {
                return Err(unfit(text, at, field, "nothing, it is only kept", "a condition", "ask another field"));
            }
            _ => {}
        }
        self.tokens.step()?;
        let at = self.tokens.at();
        if self.eat_keyword("EXISTS")? {
            return Ok(vec![Filter::exists(field.0)]);
        }
        if self.eat_keyword("BETWEEN")? {
            self.ordered(field, at, "BETWEEN")?;
            let low = self.value(field)?;
            if !self.eat_keyword("AND")? {
                return Err(self.expected("AND between two values", "write year BETWEEN 1990 AND 2000"));
            }
            let high = self.value(field)?;
            return Ok(vec![Filter::at_least(field.0, low), Filter::at_most(field.0, high)]);
        }
        let negated = self.eat_keyword("NOT")?;
        if self.eat_keyword("IN")? {
            let one_of = Filter::one_of(field.0, self.list(|parser| parser.value(field))?);
            let without = |filter| vec![Filter::exists(field.0), Filter::Not(Box::new(filter))];
            return Ok(if negated { without(one_of) } else { vec![one_of] });
        }
        let comparison = self.comparison(negated)?;
        if comparison.is_of_order() {
            self.ordered(field, at, comparison.symbol())?;
        }
        Ok(vec![Filter::Compare { field: field.0.to_owned(), comparison, value: self.value(field)? }])
    }

    fn key(&mut self) -> Result<Filter, QueryError> {
        let negated = self.eat_keyword("NOT")?;
        if self.eat_keyword("IN")? {
            let keys = Filter::Keys(self.list(Self::text)?);
            return Ok(if negated { Filter::Not(Box::new(keys)) } else { keys });
        }
        let at = self.tokens.at();
        match self.comparison(negated)? {
            Comparison::Equal => Ok(Filter::keys([self.text()?])),
            Comparison::NotEqual => Ok(Filter::Not(Box::new(Filter::keys([self.text()?])))),
            other => {
                let remedy = "keys have no order: write _key = \"a\" or _key IN (\"a\", \"b\")";
                Err(syntax(self.tokens.text(), at, "=, != or IN", format!("{:?}", other.symbol()), remedy))
            }
        }
    }

    fn comparison(&mut self, negated: bool) -> Result<Comparison, QueryError> {
        let comparison = match self.tokens.peek() {
            _ if negated => return Err(self.expected("IN after NOT", "write NOT before the whole condition, or NOT IN")),
            Token::Sign("=") => Comparison::Equal,
            Token::Sign("!=" | "<>") => Comparison::NotEqual,
            Token::Sign("<") => Comparison::Less,
            Token::Sign("<=") => Comparison::LessOrEqual,
            Token::Sign(">") => Comparison::Greater,
            Token::Sign(">=") => Comparison::GreaterOrEqual,
            _ => return Err(self.expected("a comparison", "write =, !=, <, <=, >, >=, IN, BETWEEN or EXISTS after a field")),
        };
        self.tokens.step()?;
        Ok(comparison)
    }

    /// Values in parentheses, perhaps none.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, QueryError>) -> Result<Vec<T>, QueryError> {
        const REMEDY: &str = "write IN (\"a\", \"b\")";
        let mut items = Vec::new();
        if self.tokens.peek() != Token::Sign("(") {
            return Err(self.expected("a list in parentheses", REMEDY));
        }
        self.tokens.step()?;
        while self.tokens.peek() != Token::Sign(")") {
            items.push(item(self)?);
            match self.tokens.peek() {
                Token::Sign(",") => drop(self.tokens.step()?),
                Token::Sign(")") => {}
                _ => return Err(self.expected("a comma or a )", REMEDY)),
            }
        }
        self.tokens.step()?;
        Ok(items)
    }

    fn text(&mut self) -> Result<String, QueryError> {
        let Token::Quoted(quoted) = self.tokens.peek() else {
            return Err(self.expected("text in quotation marks", "put it in quotation marks"));
        };
        self.tokens.step()?;
        Ok(unescape(quoted))
    }

    fn value(&mut self, field: Compared<'_>) -> Result<Value, QueryError> {
        let token = self.tokens.peek();
        let value = match (field.1, token) {
            (FieldType::Integer, Token::Bare(number)) => number.parse().ok().map(Value::Integer),
            (FieldType::Float, Token::Bare(number)) => {
                number.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
            }
            (FieldType::Boolean, Token::Word(word)) if word.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
            (FieldType::Boolean, Token::Word(word)) if word.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
            (FieldType::Date, Token::Bare(date)) => date.parse().ok().map(Value::Date),
            (FieldType::Date, Token::Quoted(date)) => unescape(date).parse().ok().map(Value::Date),
            (FieldType::Keyword, Token::Quoted(text)) => Some(Value::Text(unescape(text))),
            _ => None,
        };
        let (expected, remedy) = match field.1 {
            FieldType::Integer => ("a whole number of 64 bits", "write a number such as 1976"),
            FieldType::Float => ("a finite number", "write a number such as 0.5"),
            FieldType::Boolean => ("true or false", "write one of them"),
            FieldType::Date => ("a date", "write 1976-04-27, or a time in quotation marks such as \"1976-04-27T10:00:00Z\""),
            _ => ("text in quotation marks", "put the text in quotation marks"),
        };
        let (text, at) = (self.tokens.text(), self.tokens.at());
        let value = value.ok_or_else(|| unfit(text, at, field, expected, found(text, at), remedy))?;
        self.tokens.step()?;
        Ok(value)
    }

    fn ordered(&self, field: Compared<'_>, at: usize, comparison: &str) -> Result<(), QueryError> {
        match field.1 {
            FieldType::Boolean => {
                let remedy = "a boolean has no order: compare it with true or false";
                Err(unfit(self.tokens.text(), at, field, "= or !=", format!("{comparison:?}"), remedy))
            }
            _ => Ok(()),
        }
    }

    fn eat_keyword(&mut self, keyword: &str) -> Result<bool, QueryError> {
        let eats = matches!(self.tokens.peek(), Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        if eats {
            self.tokens.step()?;
        }
        Ok(eats)
    }

    fn deeper(&mut self) -> Result<(), QueryError> {
        self.depth += 1;
        let at = self.tokens.at();
        if self.depth > self.deepest.0 {
            self.deepest = (self.depth, at);
        }
        if self.depth <= MOST_DEEP {
            return Ok(());
        }
        let place = place(self.tokens.text(), at);
        Err(QueryError::TooLarge { at: Some(at), place, what: "levels of parentheses and NOT", most: MOST_DEEP })
    }

    fn expected(&self, expected: impl Into<String>, remedy: &'static str) -> QueryError {
        let (text, at) = (self.tokens.text(), self.tokens.at());
        syntax(text, at, expected, found(text, at), remedy)
    }
}

pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn joined(mut parts: Vec<Filter>) -> Filter {
    if parts.len() == 1 { parts.swap_remove(0) } else { Filter::And(parts) }
}
