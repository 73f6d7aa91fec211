//! The query tree, and the calls that build it.

use super::Filter;

/// What is asked.
///
/// ```
/// use fossick::Query;
/// let query = Query::words("computer program").and(Query::phrase("prior art").in_field("body")).and_not(Query::prefix("chem"));
/// assert_eq!(query.to_string(), r#"+(computer program) +body:"prior art" -chem*"#);
/// assert_eq!(query.plain_text(), "computer program prior art");
/// ```
///
/// `Display` writes the language of [`Query::parse`], which gives the tree back: the same one where a parser made it, one that
/// finds the same documents where it was built. A clause without words is not written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Query {
    /// Any of these words, as the index analyses them. A word that is repeated counts as often. Where the clause is required or
    /// excluded, what stands between two spaces and makes several words (`in-house`, text without spaces) is taken as a phrase.
    Words {
        /// The field; all fields that are searched by words where there is none.
        field: Option<String>,
        /// The words.
        text: String,
    },
    /// These words next to each other, in this order.
    Phrase {
        /// The field; all fields that are searched by words where there is none.
        field: Option<String>,
        /// The words.
        text: String,
        /// By how many places they may be moved altogether; 255 at most.
        slop: u32,
    },
    /// Words that begin so.
    Prefix {
        /// The field; all fields that are searched by words where there is none.
        field: Option<String>,
        /// The beginning.
        text: String,
    },
    /// Words that are this one but for a few letters.
    Fuzzy {
        /// The field; all fields that are searched by words where there is none.
        field: Option<String>,
        /// The word.
        text: String,
        /// How many letters may be added, dropped, replaced, or exchanged with their neighbour: 1 or 2, but no more than 1 in a
        /// word of three to five letters and none in a shorter one.
        distance: u8,
    },
    /// A condition, such as a range of years: it restricts, and adds nothing to a score.
    Filter(Filter),
    /// Every document.
    All,
    /// Clauses. A document has to match all of `must`, none of `must_not`, and, where `must` is empty, at least one of `should`;
    /// each clause of `should` that it matches adds to its score. With `must_not` alone: every document but those. Without
    /// any clause: none.
    Boolean {
        /// What a document has to match.
        must: Vec<Query>,
        /// What it may match.
        should: Vec<Query>,
        /// What it must not match.
        must_not: Vec<Query>,
    },
    /// A query whose scores are multiplied.
    Boost {
        /// The query.
        query: Box<Query>,
        /// By how much; positive and finite.
        factor: f32,
    },
}

impl Query {
    /// Any of these words.
    pub fn words(text: impl Into<String>) -> Self {
        Self::Words { field: None, text: text.into() }
    }

    /// These words next to each other, in this order; see [`Query::slop`].
    pub fn phrase(text: impl Into<String>) -> Self {
        Self::Phrase { field: None, text: text.into(), slop: 0 }
    }

    /// Words that begin so.
    pub fn prefix(text: impl Into<String>) -> Self {
        Self::Prefix { field: None, text: text.into() }
    }

    /// Words within that many edits, 1 or 2, of this one; fewer where it is short.
    pub fn fuzzy(text: impl Into<String>, distance: u8) -> Self {
        Self::Fuzzy { field: None, text: text.into(), distance }
    }

    /// Every document.
    pub fn all() -> Self {
        Self::All
    }

    /// The phrases of this query with words that may be moved by so many places altogether; 255 at most.
    #[must_use]
    pub fn slop(mut self, places: u32) -> Self {
        self.each_leaf(&mut |leaf| {
            if let Self::Phrase { slop, .. } = leaf {
                *slop = places;
            }
        });
        self
    }

    /// This query in one field: every part of it that has no field yet.
    #[must_use]
    pub fn in_field(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.each_leaf(&mut |leaf| match leaf {
            Self::Words { field, .. } | Self::Phrase { field, .. } | Self::Prefix { field, .. } | Self::Fuzzy { field, .. } => {
                field.get_or_insert_with(|| name.clone());
            }
            _ => {}
        });
        self
    }

    /// This query with its scores multiplied.
    #[must_use]
    pub fn boost(self, factor: f32) -> Self {
        Self::Boost { query: Box::new(self), factor }
    }

    /// What matches both.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        let (mut must, mut must_not) = self.into_conjunction();
        let (also, also_not) = other.into().into_conjunction();
        must.extend(also);
        must_not.extend(also_not);
        Self::Boolean { must, should: Vec::new(), must_not }
    }

    /// What matches at least one of both.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        let mut should = self.into_alternatives();
        should.extend(other.into().into_alternatives());
        Self::Boolean { must: Vec::new(), should, must_not: Vec::new() }
    }

    /// What matches this and not the other.
    #[must_use]
    pub fn and_not(self, other: impl Into<Self>) -> Self {
        let (must, mut must_not) = self.into_conjunction();
        must_not.push(other.into());
        Self::Boolean { must, should: Vec::new(), must_not }
    }

    /// The words that are looked for, in their order, without operators, fields, conditions and what is negated: what a
    /// language model should read. Clauses of `must` come before those of `should`.
    pub fn plain_text(&self) -> String {
        let mut texts = Vec::new();
        self.collect_texts(&mut texts);
        texts.join(" ")
    }

    /// Whether there is nothing to look for: no word, no condition, and not everything either.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Words { text, .. } | Self::Phrase { text, .. } | Self::Prefix { text, .. } | Self::Fuzzy { text, .. } => {
                text.trim().is_empty()
            }
            Self::Filter(_) | Self::All => false,
            Self::Boolean { must, should, must_not } if must.is_empty() && should.is_empty() => must_not.is_empty(),
            Self::Boolean { must, should, .. } => must.iter().chain(should).all(Self::is_empty),
            Self::Boost { query, .. } => query.is_empty(),
        }
    }

    /// Whether it is made of conditions alone, and so has no score.
    pub(super) fn is_condition(&self) -> bool {
        match self {
            Self::Filter(_) => true,
            Self::Boolean { must, should, must_not } => {
                let mut clauses = must.iter().chain(should).chain(must_not).peekable();
                clauses.peek().is_some() && clauses.all(Self::is_condition)
            }
            Self::Boost { query, .. } => query.is_condition(),
            _ => false,
        }
    }

    fn each_leaf(&mut self, change: &mut impl FnMut(&mut Self)) {
        match self {
            Self::Boolean { must, should, must_not } => {
                must.iter_mut().chain(should).chain(must_not).for_each(|clause| clause.each_leaf(change));
            }
            Self::Boost { query, .. } => query.each_leaf(change),
            leaf => change(leaf),
        }
    }

    fn collect_texts<'a>(&'a self, texts: &mut Vec<&'a str>) {
        match self {
            Self::Words { text, .. } | Self::Phrase { text, .. } | Self::Prefix { text, .. } | Self::Fuzzy { text, .. } => {
                texts.extend(Some(text.trim()).filter(|text| !text.is_empty()));
            }
            Self::Boolean { must, should, .. } => must.iter().chain(should).for_each(|clause| clause.collect_texts(texts)),
            Self::Boost { query, .. } => query.collect_texts(texts),
            Self::Filter(_) | Self::All => {}
        }
    }

    /// The clauses of a conjunction; anything else is a conjunction of one.
    fn into_conjunction(self) -> (Vec<Self>, Vec<Self>) {
        match self {
            Self::Boolean { must, should, must_not } if should.is_empty() && !must.is_empty() => (must, must_not),
            other => (vec![other], Vec::new()),
        }
    }

    /// The clauses of a disjunction; anything else is a disjunction of one.
    fn into_alternatives(self) -> Vec<Self> {
        match self {
            Self::Boolean { must, should, must_not } if must.is_empty() && must_not.is_empty() && !should.is_empty() => should,
            other => vec![other],
        }
    }
}

impl From<Filter> for Query {
    fn from(filter: Filter) -> Self {
        Self::Filter(filter)
    }
}

/// Plain words, with no operators in them; [`Query::parse`] and [`Query::forgiving`] read the language.
impl From<&str> for Query {
    fn from(text: &str) -> Self {
        Self::words(text)
    }
}

/// Plain words, with no operators in them; [`Query::parse`] and [`Query::forgiving`] read the language.
impl From<String> for Query {
    fn from(text: String) -> Self {
        Self::words(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_one_operator_are_one_level() {
        let three = |list: &[&str]| list.iter().map(|&text| Query::words(text)).collect::<Vec<_>>();
        let all = Query::words("a").and("b").and_not("d").and("c");
        assert_eq!(all, Query::Boolean { must: three(&["a", "b", "c"]), should: vec![], must_not: three(&["d"]) });
        let any = Query::words("a").or(Query::words("b").or("c"));
        assert_eq!(any, Query::Boolean { must: vec![], should: three(&["a", "b", "c"]), must_not: vec![] });
    }

    #[test]
    fn a_field_goes_to_every_part_that_has_none() {
        let query = Query::words("a").or(Query::phrase("b c").in_field("body").boost(2.0)).in_field("title").slop(1);
        assert_eq!(query.to_string(), r#"title:a body:"b c"~1^2"#);
    }

    #[test]
    fn plain_text_leaves_out_what_is_negated_or_a_condition() {
        let query = Query::words("a b").and(Filter::equal("year", 1976)).and_not("c").and(Query::fuzzy("d", 1).boost(2.0));
        assert_eq!(query.plain_text(), "a b d");
    }

    #[test]
    fn nothing_to_look_for_is_noticed() {
        assert!(Query::words(" ").and(Query::phrase("")).is_empty());
        for something in [Query::all(), Query::words("a").or(""), Filter::exists("year").into(), Query::all().and_not("a")] {
            assert!(!something.is_empty(), "{something:?}");
        }
    }
}
