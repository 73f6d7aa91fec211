//! A query in the search-box language.

use std::fmt;

use super::cursor::Keyword;
use super::dates::moment;
use super::{Comparison, Filter, KEY, Query};
use crate::schema::Value;

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&whole(self))
    }
}

/// As everything between two parentheses. Empty for what has no words.
fn whole(query: &Query) -> String {
    match query {
        Query::Words { field: None, text } => words(text),
        Query::Boolean { must, should, must_not } => boolean(must, should, must_not),
        other => operand(other),
    }
}

fn boolean(must: &[Query], should: &[Query], must_not: &[Query]) -> String {
    let mut clauses = Vec::new();
    if must.is_empty() && must_not.is_empty() {
        return alternatives(should);
    }
    if must.is_empty() && should.iter().any(Query::is_condition) {
        // An unmarked condition would have to hold.
        clauses.push(marked('+', &format!("({})", alternatives(should))));
    } else {
        if !(matches!(must, [Query::All]) && should.is_empty() && !must_not.is_empty()) {
            clauses.extend(written(must).map(|clause| marked('+', &clause)));
        }
        clauses.extend(should.iter().filter(|clause| !clause.is_empty()).map(|clause| match clause {
            // As good as no clause: it may hold and has no score.
            condition if condition.is_condition() => format!("(*:* OR {})", operand(condition)),
            other => unmarked(other),
        }));
    }
    clauses.extend(written(must_not).map(|clause| marked('-', &clause)));
    clauses.join(" ")
}

/// Side by side where that means the same, with OR between them elsewhere.
fn alternatives(clauses: &[Query]) -> String {
    let clauses: Vec<&Query> = clauses.iter().filter(|clause| !clause.is_empty()).collect();
    if let [clause] = clauses.as_slice() {
        return whole(clause);
    }
    let joins = |pair: &[&Query]| match pair {
        [Query::Words { field, .. }, Query::Words { field: next, .. }] => field == next,
        _ => false,
    };
    let side_by_side = !clauses.windows(2).any(joins) && !clauses.iter().any(|clause| clause.is_condition());
    clauses.into_iter().map(unmarked).collect::<Vec<_>>().join(if side_by_side { " " } else { " OR " })
}

fn written(clauses: &[Query]) -> impl Iterator<Item = String> {
    clauses.iter().filter(|clause| !clause.is_empty()).map(operand)
}

fn unmarked(query: &Query) -> String {
    match query {
        Query::Words { field: None, text } => words(text),
        other => operand(other),
    }
}

fn marked(mark: char, clause: &str) -> String {
    if clause.starts_with("*:*") || clause.starts_with(|c: char| c.is_alphabetic() || matches!(c, '"' | '(' | '_')) {
        format!("{mark}{clause}")
    } else {
        format!("{mark}({clause})")
    }
}

/// As one clause, to which a mark or a boost may be added.
fn operand(query: &Query) -> String {
    match query {
        Query::Words { field, text } => match text.split_whitespace().nth(1) {
            None => in_field(field, &words(text)),
            Some(_) => in_field(field, &format!("({})", words(text))),
        },
        Query::Phrase { field, text, slop: 0 } => in_field(field, &quoted(text)),
        Query::Phrase { field, text, slop } => in_field(field, &format!("{}~{slop}", quoted(text))),
        Query::Prefix { field, text } => in_field(field, &format!("{}*", word(text))),
        Query::Fuzzy { field, text, distance } => in_field(field, &format!("{}~{distance}", word(text))),
        Query::Filter(filter) => condition(filter).unwrap_or_else(|| format!("({})", whole(&as_query(filter)))),
        Query::All => "*:*".to_owned(),
        Query::Boolean { .. } => format!("({})", whole(query)),
        Query::Boost { query, factor } => match &**query {
            Query::Boost { .. } => format!("({})^{factor}", operand(query)),
            other => format!("{}^{factor}", operand(other)),
        },
    }
}

fn in_field(field: &Option<String>, text: &str) -> String {
    field.as_ref().map_or_else(|| text.to_owned(), |field| format!("{field}:{text}"))
}

fn words(text: &str) -> String {
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// A word without any meaning but its own.
fn word(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    if Keyword::ALL.iter().any(|(_, name)| *name == text) {
        escaped.push('\\');
    }
    for (at, c) in text.char_indices() {
        let first = at == 0 && matches!(c, '+' | '-' | '[' | '{' | '<' | '>');
        if first || c.is_whitespace() || matches!(c, '\\' | '"' | '(' | ')' | ':' | '^' | '~' | '*') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A condition that the language has a form for.
fn condition(filter: &Filter) -> Option<String> {
    match filter {
        Filter::Compare { comparison: Comparison::NotEqual, .. } => None,
        Filter::Compare { field, comparison: Comparison::Equal, value } => Some(format!("{field}:{}", exact(value))),
        Filter::Compare { field, comparison, value } => {
            Some(format!("{field}:{}{}", comparison.symbol(), compared(*comparison, value)))
        }
        Filter::Exists { field } => Some(format!("{field}:*")),
        Filter::Keys(keys) => match keys.as_slice() {
            [key] => Some(format!("{KEY}:{}", bare_or_quoted(key))),
            _ => None,
        },
        Filter::And(parts) => range(parts),
        _ => None,
    }
}

fn range(parts: &[Filter]) -> Option<String> {
    let [
        Filter::Compare { field, comparison: from @ (Comparison::Greater | Comparison::GreaterOrEqual), value: low },
        Filter::Compare { field: same, comparison: up_to @ (Comparison::Less | Comparison::LessOrEqual), value: high },
    ] = parts
    else {
        return None;
    };
    let reversed = super::accept::order(low, high).is_none_or(|order| order.is_gt());
    let open = if *from == Comparison::Greater { '{' } else { '[' };
    let close = if *up_to == Comparison::Less { '}' } else { ']' };
    (field == same && !reversed).then(|| format!("{field}:{open}{} TO {}{close}", compared(*from, low), compared(*up_to, high)))
}

/// What has no form of its own, in clauses that have.
fn as_query(filter: &Filter) -> Query {
    let part = |filter: &Filter| Query::Filter(filter.clone());
    match filter {
        Filter::Compare { field, value, .. } => Query::from(Filter::exists(field)).and_not(Filter::equal(field, value.clone())),
        Filter::In { field, values } => any(values.iter().map(|value| Filter::equal(field, value.clone()).into()).collect()),
        Filter::Keys(keys) => any(keys.iter().map(|key| Filter::keys([key]).into()).collect()),
        Filter::Matches(query) if query.is_empty() => any(Vec::new()),
        Filter::Matches(query) => (**query).clone(),
        Filter::And(parts) if parts.is_empty() => Query::All,
        Filter::And(parts) => Query::Boolean { must: parts.iter().map(part).collect(), should: vec![], must_not: vec![] },
        Filter::Or(parts) => any(parts.iter().map(part).collect()),
        Filter::Not(filter) => Query::all().and_not(part(filter)),
        Filter::Exists { .. } => part(filter),
    }
}

/// One of these; with none of them, nothing.
fn any(should: Vec<Query>) -> Query {
    if should.is_empty() { Query::all().and_not(Query::all()) } else { Query::Boolean { must: vec![], should, must_not: vec![] } }
}

/// A value that is compared so. A day without a time is a whole day to the reader, so it is written only where its beginning is meant.
fn compared(comparison: Comparison, value: &Value) -> String {
    match (value, comparison) {
        (Value::Date(date), Comparison::GreaterOrEqual | Comparison::Less) => date.to_string(),
        _ => exact(value),
    }
}

fn exact(value: &Value) -> String {
    match value {
        Value::Text(text) => bare_or_quoted(text),
        Value::Date(date) => moment(*date),
        other => other.to_string(),
    }
}

fn bare_or_quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if plain && text.starts_with(char::is_alphanumeric) { text.to_owned() } else { quoted(text) }
}
