//! A filter in the filter language.

use std::fmt::{self, Display, Formatter};

use super::filter_parser::is_keyword;
use super::{Comparison, Filter, KEY};
use crate::schema::Value;

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare { field, comparison, value } => write!(f, "{} {} {}", Name(field), comparison.symbol(), Written(value)),
            Self::In { field, values } => write!(f, "{} IN ({})", Name(field), List(values)),
            Self::Exists { field } => write!(f, "{} EXISTS", Name(field)),
            Self::Keys(keys) => match keys.as_slice() {
                [key] => write!(f, "{KEY} = {}", Quoted(key)),
                _ => write!(f, "{KEY} IN ({})", keys.iter().map(|key| Quoted(key).to_string()).collect::<Vec<_>>().join(", ")),
            },
            Self::Matches(query) => write!(f, "MATCHES {}", Quoted(&query.to_string())),
            Self::Not(filter) => write!(f, "NOT {}", Part(filter)),
            Self::And(parts) => match parts.as_slice() {
                [] => f.write_str("MATCHES \"*:*\""),
                [
                    Self::Compare { field, comparison: Comparison::GreaterOrEqual, value: low },
                    Self::Compare { field: same, comparison: Comparison::LessOrEqual, value: high },
                ] if field == same => write!(f, "{} BETWEEN {} AND {}", Name(field), Written(low), Written(high)),
                [Self::Exists { field }, Self::Not(negated)] => match &**negated {
                    Self::In { field: same, values } if field == same => write!(f, "{} NOT IN ({})", Name(field), List(values)),
                    _ => joined(f, parts, " AND "),
                },
                _ => joined(f, parts, " AND "),
            },
            Self::Or(parts) if parts.is_empty() => f.write_str("NOT MATCHES \"*:*\""),
            Self::Or(parts) => joined(f, parts, " OR "),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Filter], operator: &str) -> fmt::Result {
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            f.write_str(operator)?;
        }
        Part(part).fmt(f)?;
    }
    Ok(())
}

/// A filter next to an operator. Also where precedence would not ask for it, parentheses keep the tree as it is.
struct Part<'a>(&'a Filter);

impl Display for Part<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Filter::And(parts) | Filter::Or(parts) if parts.len() > 1 => write!(f, "({})", self.0),
            other => other.fmt(f),
        }
    }
}

/// A field's name, between backticks where it is a keyword.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_keyword(self.0) { write!(f, "`{}`", self.0) } else { f.write_str(self.0) }
    }
}

struct Written<'a>(&'a Value);

impl Display for Written<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Text(text) => Quoted(text).fmt(f),
            Value::Date(date) => match date.to_string() {
                time if time.contains('T') => Quoted(&time).fmt(f),
                day => f.write_str(&day),
            },
            other => other.fmt(f),
        }
    }
}

struct List<'a>(&'a [Value]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, value) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            Written(value).fmt(f)?;
        }
        Ok(())
    }
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
