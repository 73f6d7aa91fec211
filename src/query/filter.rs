//! Filters, and the calls that build them.

use std::ops;

use super::Query;
use crate::schema::Value;

/// A condition that a document meets or does not.
///
/// A document without a value in a field meets no comparison with that field, `NotEqual` included: `court != "Tax Court"` leaves
/// out the documents without a court, `NOT court = "Tax Court"` takes them.
///
/// ```
/// use fossick::Filter;
/// let filter = Filter::equal("court", "Tax Court") & Filter::between("year", 1990, 2000) & !Filter::exists("overruled");
/// assert_eq!(filter.to_string(), r#"court = "Tax Court" AND year >= 1990 AND year <= 2000 AND NOT overruled EXISTS"#);
/// ```
///
/// `Display` writes the language of [`Filter::parse`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Filter {
    /// The field has a value, and it compares so.
    Compare {
        /// The field: a keyword, an integer, a float, a date or a boolean.
        field: String,
        /// How it has to compare.
        comparison: Comparison,
        /// With what; a value of the field's type.
        value: Value,
    },
    /// The field has one of these values.
    In {
        /// The field.
        field: String,
        /// The values.
        values: Vec<Value>,
    },
    /// The field has a value.
    Exists {
        /// The field.
        field: String,
    },
    /// The document's key is one of these.
    Keys(Vec<String>),
    /// The document matches a query, whatever its score.
    Matches(Box<Query>),
    /// All of these; with none, every document.
    And(Vec<Filter>),
    /// At least one of these; with none, no document.
    Or(Vec<Filter>),
    /// The documents that do not meet it.
    Not(Box<Filter>),
}

/// How a value compares with another. Text is ordered by its bytes, `false` and `true` have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether it needs values to have an order.
    pub(super) fn is_of_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    /// As both languages write it.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $method:ident => $comparison:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $method(field: impl Into<String>, value: impl Into<Value>) -> Self {
            Self::Compare { field: field.into(), comparison: Comparison::$comparison, value: value.into() }
        }
    )*};
}

impl Filter {
    comparisons! {
        /// The field has this value.
        equal => Equal,
        /// The field has a value, and another one.
        not_equal => NotEqual,
        /// The field has a smaller value.
        less => Less,
        /// The field has this value or a smaller one.
        at_most => LessOrEqual,
        /// The field has a larger value.
        greater => Greater,
        /// The field has this value or a larger one.
        at_least => GreaterOrEqual,
    }

    /// The field has a value from `low` to `high`, both included.
    pub fn between(field: impl Into<String>, low: impl Into<Value>, high: impl Into<Value>) -> Self {
        let field = field.into();
        Self::And(vec![Self::at_least(field.clone(), low), Self::at_most(field, high)])
    }

    /// The field has one of these values.
    pub fn one_of(field: impl Into<String>, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        Self::In { field: field.into(), values: values.into_iter().map(Into::into).collect() }
    }

    /// The field has a value.
    pub fn exists(field: impl Into<String>) -> Self {
        Self::Exists { field: field.into() }
    }

    /// The document's key is one of these.
    pub fn keys(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Keys(keys.into_iter().map(Into::into).collect())
    }

    /// The document matches a query.
    pub fn matches(query: impl Into<Query>) -> Self {
        Self::Matches(Box::new(query.into()))
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let parts = |filter| match filter {
            Self::And(parts) if !parts.is_empty() => parts,
            one => vec![one],
        };
        Self::And([parts(self), parts(other)].concat())
    }

    /// At least one of both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let parts = |filter| match filter {
            Self::Or(parts) if !parts.is_empty() => parts,
            one => vec![one],
        };
        Self::Or([parts(self), parts(other)].concat())
    }

    /// The documents that do not meet it.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it is implemented, and a call needs no import this way")]
    pub fn not(self) -> Self {
        match self {
            Self::Not(filter) => *filter,
            filter => Self::Not(Box::new(filter)),
        }
    }
}

impl ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Filter::not(self)
    }
}

impl ops::BitAnd for Filter {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.and(other)
    }
}

impl ops::BitOr for Filter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_one_operator_are_one_level() {
        let year = |year: i32| Filter::equal("year", year);
        assert_eq!(year(1) | (year(2) | year(3)), Filter::Or(vec![year(1), year(2), year(3)]));
        assert_eq!(year(1) & year(2) & year(3), Filter::And(vec![year(1), year(2), year(3)]));
        assert_eq!(!!year(1), year(1));
        assert_eq!(Filter::Or(vec![]).or(year(1)), Filter::Or(vec![Filter::Or(vec![]), year(1)]));
    }
}
