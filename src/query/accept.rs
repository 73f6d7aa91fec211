//! Whether one document meets a filter, worked out in the plainest way.

use std::cmp::Ordering;

use super::{Comparison, Filter, Query};
use crate::schema::Value;

impl Filter {
    /// Whether the document with that key and those values meets this filter; `matches` says what it does with queries.
    ///
    /// An index answers the same from its own structures; this is the definition that it is held against.
    pub fn accepts<'v>(
        &self,
        key: &str,
        value_of: impl Fn(&str) -> Option<&'v Value>,
        matches: &mut dyn FnMut(&Query) -> bool,
    ) -> bool {
        self.accepts_dyn(key, &value_of, matches)
    }

    fn accepts_dyn<'v>(
        &self,
        key: &str,
        value_of: &dyn Fn(&str) -> Option<&'v Value>,
        matches: &mut dyn FnMut(&Query) -> bool,
    ) -> bool {
        match self {
            Self::Compare { field, comparison, value } => value_of(field).is_some_and(|found| comparison.holds(found, value)),
            Self::In { field, values } => {
                value_of(field).is_some_and(|found| values.iter().any(|value| Comparison::Equal.holds(found, value)))
            }
            Self::Exists { field } => value_of(field).is_some(),
            Self::Keys(keys) => keys.iter().any(|one| one == key),
            Self::Matches(query) => matches(query),
            Self::And(parts) => parts.iter().all(|part| part.accepts_dyn(key, value_of, matches)),
            Self::Or(parts) => parts.iter().any(|part| part.accepts_dyn(key, value_of, matches)),
            Self::Not(filter) => !filter.accepts_dyn(key, value_of, matches),
        }
    }
}

impl Comparison {
    /// Whether `found` compares so with `given`. Values of two types compare in no way.
    fn holds(self, found: &Value, given: &Value) -> bool {
        let Some(order) = order(found, given) else { return false };
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            _ if matches!(found, Value::Boolean(_)) => false,
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// The order of two values of one type.
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Integer(a), Value::Integer(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Document;

    fn accepts(filter: &Filter, document: &Document) -> bool {
        filter.accepts(document.key(), |field| document.get(field), &mut |query| query.plain_text() == "yes")
    }

    #[test]
    fn comparisons_compare() {
        let document = Document::new("k").set("court", "b").set("year", 5).set("weight", 0.5).set("open", true);
        let holds = [
            Filter::equal("court", "b"),
            Filter::greater("court", "B"),
            Filter::less("court", "bb"),
            Filter::between("year", 5, 5),
            Filter::at_most("weight", 0.5),
            Filter::not_equal("open", false),
            Filter::one_of("year", [4, 5]),
            Filter::exists("year"),
            Filter::keys(["a", "k"]),
            Filter::matches("yes"),
            Filter::And(vec![]),
        ];
        for filter in holds {
            assert!(accepts(&filter, &document), "{filter}");
            assert!(!accepts(&!filter.clone(), &document), "{filter}");
        }
        let fails = [
            Filter::less("year", 5),
            Filter::greater("year", 5),
            Filter::equal("year", 5.0),
            Filter::at_least("open", false),
            Filter::keys(["K"]),
            Filter::matches("no"),
            Filter::Or(vec![]),
            Filter::In { field: "year".into(), values: vec![] },
        ];
        for filter in fails {
            assert!(!accepts(&filter, &document), "{filter}");
        }
    }

    #[test]
    fn a_missing_value_meets_no_comparison_and_every_negated_one() {
        let document = Document::new("k");
        let comparisons = [
            Filter::equal("court", "a"),
            Filter::not_equal("court", "a"),
            Filter::less("court", "a"),
            Filter::at_least("court", ""),
            Filter::one_of("court", ["a"]),
            Filter::exists("court"),
        ];
        for filter in comparisons {
            assert!(!accepts(&filter, &document), "{filter}");
            assert!(accepts(&!filter.clone(), &document), "{filter}");
        }
    }
}
