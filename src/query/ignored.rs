//! What a forgiving reading left out.

use std::fmt;
use std::ops::Range;

use super::trouble::shorten;

/// A piece of a query that could not be taken as it stands. What looked like an operator or a condition was left out, or, where
/// it is a word with a colon in it, looked for as a word; what is required or excluded and is made of stop words alone restricts
/// nothing; and of a very long text the last words are not looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ignored {
    /// Its bytes in the query.
    pub at: Range<usize>,
    /// What it says.
    pub text: String,
    /// What was expected there, and what was found; or why it has no effect.
    pub why: String,
}

impl Ignored {
    pub(crate) fn new(query: &str, at: Range<usize>, why: String) -> Self {
        Self { text: query.get(at.clone()).unwrap_or_default().to_owned(), at, why }
    }

    /// Takes in a piece that follows directly and was ignored for the same reason, so that a thousand parentheses are one note.
    pub(super) fn extend(&mut self, query: &str, next: &Range<usize>, why: &str) -> bool {
        let between = query.get(self.at.end..next.start);
        let joins = self.why == why && between.is_some_and(|between| between.trim().is_empty());
        if joins {
            self.text.push_str(query.get(self.at.end..next.end).unwrap_or_default());
            self.at.end = next.end;
        }
        joins
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at byte {} could not be taken as it stands: {}", shorten(&self.text), self.at.start, self.why)
    }
}
