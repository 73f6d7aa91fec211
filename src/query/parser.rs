//! The search-box language: how its clauses make a query, strictly or forgivingly.

use std::mem::take;
use std::ops::Range;

use super::clauses::{Mark, Sequence, all_of, one_of};
use super::cursor::{Cursor, Keyword, ends_word};
use super::operand::Scope;
use super::trouble::{found, syntax};
use super::{Ignored, Query};
use crate::error::QueryError;
use crate::schema::Schema;

/// Reads a text from its beginning to its end. What is wrong ends the reading, or is noted and left out.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) schema: &'a Schema,
    pub(super) cursor: Cursor<'a>,
    /// How many parentheses are open.
    pub(super) open: usize,
    /// What was left out so far; `None` where that is an error.
    ignored: Option<Vec<Ignored>>,
    demands: Vec<Demand>,
}

/// Words that were marked as required or excluded, by a sign or an operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Demand {
    /// Its bytes in the text, with its sign.
    pub(crate) at: Range<usize>,
    pub(crate) words: Query,
}

/// A text as it was read.
pub(crate) struct ReadQuery {
    pub(crate) query: Query,
    /// What was left out.
    pub(crate) ignored: Vec<Ignored>,
    /// In the order of the text.
    pub(crate) demands: Vec<Demand>,
}

impl Query {
    /// Reads the search-box language, and refuses what is wrong in it.
    ///
    /// | written | means |
    /// |---|---|
    /// | `computer program` | any of the words |
    /// | `"prior art"`, `"prior art"~2` | a phrase; its words may be moved by two places altogether, 255 at most |
    /// | `comput*` | words that begin so |
    /// | `obvios~`, `obvios~1` | words within two edits, or one; in words of three to five letters within one, in shorter ones none |
    /// | `title:software`, `title:"prior art"`, `title:(software patent)` | in that heading or text field |
    /// | `court:"Tax Court"`, `year:1976`, `published:true` | a condition: the field has that value |
    /// | `year:[1990 TO 2000]`, `year:{1990 TO *]`, `year:>=1990` | a range; `{` and `}` leave out the end, `*` is an open one |
    /// | `court:(a b)`, `court:*` | one of these values; any value |
    /// | `_key:us-425-219` | the document of that key |
    /// | `+must -not`, `NOT this` | has to match; must not match |
    /// | `a AND b OR c`, `( … )` | operators, in upper case, and parentheses |
    /// | `term^2.5`, `(a b)^2` | counts 2.5 times, twice |
    /// | `*`, `*:*` | every document |
    ///
    /// **Operators.** Clauses side by side form a sequence. AND joins sequences, and binds tighter than OR: `a b AND c OR d` is
    /// `((a b) AND c) OR d`. NOT and the signs belong to the one clause that follows. In a sequence, `+` makes a clause one of
    /// [`must`](Query::Boolean), `-` or NOT one of `must_not`, and what is unmarked is one of `should`, but for conditions, which are
    /// of `must`: `software year:>1990` finds what is about software, of the years after 1990. Inside `field:( … )` values that are
    /// side by side are alternatives. A sequence of nothing but negated clauses stands for everything but those; joined
    /// by AND, it takes them away from the rest. Words side by side in one field are one bag of words.
    ///
    /// **Dates** are written YYYY, YYYY-MM, YYYY-MM-DD or as an RFC 3339 time. Without a time of day they mean the whole year, month
    /// or day, in UTC: `decided:1976`, `decided:[1976-04 TO 1977]` (to the end of 1977), `decided:>1976` (from 1977 on).
    ///
    /// **What is required or excluded** is the whole of what stands between two spaces: `+in-house`, `-well-known` and each side
    /// of `特許 AND 審査官` are taken as phrases, though they are several words each; elsewhere any of those is looked for. What is
    /// made of stop words alone restricts nothing.
    ///
    /// **Letters.** A `+` or `-` is a sign only before a letter, a quotation or a parenthesis, and after a space or an opening
    /// parenthesis; before a digit only after a space or at the beginning, and among other words: `patent -1976`, while `-5`
    /// alone is a number. A `*` that stands among words is one of them. A quotation begins only where a word could. A backslash
    /// takes away the meaning of the sign that follows, or of AND, OR, NOT; before a letter or a digit it is an ordinary
    /// character.
    ///
    /// An empty text is a query that finds nothing.
    ///
    /// ```
    /// use fossick::{Filter, Query, Schema};
    /// let schema = Schema::builder().heading("title").text("body").integer("year").build()?;
    /// let query = Query::parse("computer program title:software year:>=1970 -chemistry", &schema)?;
    /// assert_eq!(query.to_string(), "+year:>=1970 computer program title:software -chemistry");
    /// let error = Query::parse("software yaer:1976", &schema).unwrap_err();
    /// assert_eq!(error.position(), Some(9));
    /// # Ok::<(), fossick::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`QueryError::Syntax`], [`QueryError::UnknownField`] and [`QueryError::Unfit`] for the first thing that is wrong;
    /// [`QueryError::TooLarge`].
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, QueryError> {
        Self::read_strictly(text, schema).map(|read| read.query)
    }

    /// As [`Query::parse`].
    pub(crate) fn read_strictly(text: &str, schema: &Schema) -> Result<ReadQuery, QueryError> {
        let mut parser = Parser::new(text, schema, None);
        let query = parser.whole()?;
        query.check(schema).map_err(|error| error.passed_at(text, || limit_in(text, schema)))?;
        Ok(parser.finish(query))
    }

    /// Reads the search-box language as [`Query::parse`] does, and makes the best of whatever was typed: what cannot
    /// be an operator is a word where it looks like one, and is left out and reported otherwise. A question without operators is
    /// its words.
    ///
    /// A name before a colon that is no field is a word; it is reported where it could have been meant as one: `yaer:1976`, not
    /// `http://x` or `note: this`.
    ///
    /// ```
    /// use fossick::{Query, Schema};
    /// let schema = Schema::builder().heading("title").text("body").integer("year").build()?;
    /// let (query, ignored) = Query::forgiving("What is a well-known program?", &schema);
    /// assert_eq!(query, Query::words("What is a well-known program?"));
    /// assert!(ignored.is_empty());
    ///
    /// let (query, ignored) = Query::forgiving("software AND (patent year:MCMLXXVI", &schema);
    /// assert_eq!(query, Query::words("software").and(Query::words("patent")));
    /// assert_eq!(ignored.len(), 2);
    /// # Ok::<(), fossick::Error>(())
    /// ```
    pub fn forgiving(text: &str, schema: &Schema) -> (Self, Vec<Ignored>) {
        let read = Self::read(text, schema);
        (read.query, read.ignored)
    }

    /// As [`Query::forgiving`].
    pub(crate) fn read(text: &str, schema: &Schema) -> ReadQuery {
        let mut parser = Parser::new(text, schema, Some(Vec::new()));
        match parser.whole().and_then(|query| query.check(schema).map(|()| query)) {
            Ok(query) => parser.finish(query),
            // Too large a query: nobody typed that by hand.
            Err(error) => {
                let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"')).collect();
                let words = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
                let ignored = vec![Ignored::new(text, 0..text.len(), error.fact())];
                ReadQuery { query: Self::words(words), ignored, demands: Vec::new() }
            }
        }
    }
}

/// The byte at which the beginning of a text is too large a query, when all of it is.
fn limit_in(text: &str, schema: &Schema) -> usize {
    let fits = |end: usize| {
        let mut parser = Parser::new(text.get(..end).unwrap_or_default(), schema, Some(Vec::new()));
        let read = parser.whole().and_then(|query| query.check(schema));
        !matches!(read, Err(QueryError::TooLarge { .. }))
    };
    let (mut fitting, mut too_large) = (0_usize, text.len());
    loop {
        let middle = text.floor_char_boundary(fitting.midpoint(too_large));
        if middle == fitting {
            break;
        }
        *if fits(middle) { &mut fitting } else { &mut too_large } = middle;
    }
    let before = text.get(..fitting).unwrap_or_default();
    before.rfind(|c: char| ends_word(c)).map_or(0, |end| text.ceil_char_boundary(end + 1))
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, schema: &'a Schema, ignored: Option<Vec<Ignored>>) -> Self {
        Self { text, schema, cursor: Cursor::new(text), open: 0, ignored, demands: Vec::new() }
    }

    fn finish(self, query: Query) -> ReadQuery {
        let (mut ignored, mut demands) = (self.ignored.unwrap_or_default(), self.demands);
        ignored.sort_by_key(|piece| piece.at.start);
        demands.sort_by_key(|demand| demand.at.start);
        ReadQuery { query, ignored, demands }
    }

    fn whole(&mut self) -> Result<Query, QueryError> {
        Ok(self.group(Scope::Anywhere)?.unwrap_or_else(|| Query::words("")))
    }

    /// Reads clauses and operators up to the closing parenthesis or the end. `None` where nothing is left of them.
    pub(super) fn group(&mut self, scope: Scope<'a>) -> Result<Option<Query>, QueryError> {
        let (mut alternatives, mut conjuncts, mut sequence) = (Vec::new(), Vec::new(), Sequence::default());
        let mut dangling: Option<Range<usize>> = None;
        let mut begins = self.cursor.at();
        loop {
            self.cursor.skip_space();
            let at = self.cursor.at();
            match (self.cursor.peek(), self.cursor.keyword()) {
                (None, _) => break,
                (Some(')'), _) if self.open > 0 => break,
                (Some(')'), _) => {
                    self.cursor.next();
                    let remedy = "open it, or write \\) for the letter";
                    self.ignore(at..at + 1, syntax(self.text, at, "a ( before this parenthesis", "none", remedy))?;
                }
                (_, Some((operator @ (Keyword::And | Keyword::Or), length))) => {
                    self.cursor.step(length);
                    if sequence.is_empty() {
                        let error = syntax(self.text, at, "something before the operator", "nothing", NOT_OPERATOR);
                        self.ignore(at..at + length, error)?;
                        continue;
                    }
                    if operator == Keyword::And || !conjuncts.is_empty() {
                        self.demand(begins..at, sequence.words());
                    }
                    conjuncts.push(take(&mut sequence));
                    if operator == Keyword::Or {
                        alternatives.extend(all_of(take(&mut conjuncts)));
                    }
                    dangling = Some(at..at + length);
                }
                _ => {
                    if sequence.is_empty() {
                        begins = at;
                    }
                    self.clause(scope, &mut sequence)?;
                    dangling = dangling.filter(|_| sequence.is_empty());
                }
            }
        }
        if let Some(operator) = dangling {
            let at = self.cursor.at();
            let error = syntax(self.text, operator.start, "something after the operator", found(self.text, at), NOT_OPERATOR);
            self.ignore(operator, error)?;
        }
        if !sequence.is_empty() {
            if !conjuncts.is_empty() {
                self.demand(begins..self.cursor.at(), sequence.words());
            }
            conjuncts.push(sequence);
        }
        alternatives.extend(all_of(conjuncts));
        Ok(one_of(alternatives))
    }

    /// Reads one clause with its signs.
    fn clause(&mut self, scope: Scope<'a>, sequence: &mut Sequence) -> Result<(), QueryError> {
        let (mut negated, mut last_not) = (false, None);
        while let Some((Keyword::Not, length)) = self.cursor.keyword() {
            last_not = Some(self.cursor.at()..self.cursor.at() + length);
            negated = !negated;
            self.cursor.step(length);
            self.cursor.skip_space();
        }
        if let Some(not) = last_not.clone()
            && (self.cursor.peek().is_none_or(|c| c == ')') || self.cursor.keyword().is_some())
        {
            let error =
                syntax(self.text, not.start, "something after the operator", found(self.text, self.cursor.at()), NOT_OPERATOR);
            return self.ignore(not, error);
        }
        let begins = last_not.map_or(self.cursor.at(), |not| not.start);
        let mut mark = if negated { Mark::MustNot } else { Mark::Unmarked };
        if let Some(sign @ ('+' | '-')) = self.cursor.peek() {
            let at = self.cursor.at();
            if self.cursor.marks_clause(scope.is_of_values()) {
                self.cursor.next();
                mark = match (sign, negated) {
                    ('+', false) => Mark::Must,
                    ('-', true) => Mark::Unmarked,
                    _ => Mark::MustNot,
                };
            } else if !scope.is_of_values() {
                let expected =
                    "a sign after a space and before a letter, a quotation or a parenthesis, or a digit beside other words";
                let remedy = "put parentheses around what it belongs to, or write a backslash before it where it is a letter";
                self.strictly(|parser| syntax(parser.text, at, expected, found(parser.text, at), remedy))?;
            }
        }
        if let Some(operand) = self.operand(scope)? {
            if mark != Mark::Unmarked {
                self.demand(begins..self.cursor.at(), operand.words());
            }
            sequence.push(mark, operand, scope.is_of_values());
        }
        Ok(())
    }

    /// Keeps words that are required or excluded.
    fn demand(&mut self, at: Range<usize>, words: Option<Query>) {
        if let (Some(words), Some(written)) = (words, self.text.get(at.clone())) {
            self.demands.push(Demand { at: at.start..at.start + written.trim_end().len(), words });
        }
    }

    /// Refuses, where errors are wanted; elsewhere what was found is taken as a word.
    pub(super) fn strictly(&self, error: impl FnOnce(&Self) -> QueryError) -> Result<(), QueryError> {
        if self.ignored.is_none() { Err(error(self)) } else { Ok(()) }
    }

    /// Refuses, where errors are wanted; elsewhere notes what is left out.
    pub(super) fn ignore(&mut self, at: Range<usize>, error: QueryError) -> Result<(), QueryError> {
        let Some(ignored) = &mut self.ignored else { return Err(error) };
        let why = error.fact();
        if !ignored.last_mut().is_some_and(|last| last.extend(self.text, &at, &why)) {
            ignored.push(Ignored::new(self.text, at, why));
        }
        Ok(())
    }
}

const NOT_OPERATOR: &str = "complete the query, or write a backslash before the operator where it is a word";
