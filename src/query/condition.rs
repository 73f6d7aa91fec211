//! Conditions on fields with values, as the search-box language writes them: a value, a comparison, a range.

use std::ops::Range;

use super::accept::order;
use super::cursor::{Cursor, Ending, ends_word};
use super::dates::{When, when};
use super::trouble::{found, shorten, syntax, unfit};
use super::{Comparison, Filter};
use crate::error::QueryError;
use crate::schema::{Date, FieldType, Value};

/// How far behind a bad range its end is looked for, so that reading stays linear.
const RANGE_ENDS_WITHIN: usize = 64;

/// A field with values, and its type.
pub(super) type Typed<'a> = (&'a str, FieldType);

/// A condition, and the bytes of the boost that was part of its word.
type Read = (Filter, Option<Range<usize>>);

/// What was written for a value.
enum Point {
    Exact(Value),
    Span(Date, Date),
}

/// Reads the condition that begins at the cursor, and steps on whatever stands there. A boost is left standing, but for one that
/// ends a word, which comes back.
pub(super) fn condition(cursor: &mut Cursor<'_>, text: &str, field: Typed<'_>) -> Result<Read, QueryError> {
    match cursor.peek() {
        Some('[' | '{') => {
            let range = range(cursor, text, field);
            if range.is_err() {
                step_over_range(cursor);
            }
            range.map(|filter| (filter, None))
        }
        Some('<' | '>') => {
            let at = cursor.at();
            let greater = cursor.next() == Some('>');
            let comparison = match (greater, cursor.eat("=")) {
                (true, true) => Comparison::GreaterOrEqual,
                (true, false) => Comparison::Greater,
                (false, true) => Comparison::LessOrEqual,
                (false, false) => Comparison::Less,
            };
            check_order(text, at, field)?;
            cursor.skip_space();
            value(cursor, text, field, comparison)
        }
        _ => value(cursor, text, field, Comparison::Equal),
    }
}

/// Reads a key.
pub(super) fn key(cursor: &mut Cursor<'_>, text: &str) -> Result<Read, QueryError> {
    let at = cursor.at();
    if cursor.peek() == Some('"') {
        return Ok((Filter::keys([quotation(cursor, text)?]), None));
    }
    let term = cursor.term();
    if term.ending != Ending::Plain || term.stray.is_some() || term.text.is_empty() {
        let remedy = "write the key in quotation marks, as in _key:\"a*\"";
        return Err(syntax(text, at, "a whole key", found(text, at), remedy));
    }
    Ok((Filter::keys([term.text]), term.boost))
}

/// Reads one value, bare or in quotation marks.
fn value(cursor: &mut Cursor<'_>, text: &str, field: Typed<'_>, comparison: Comparison) -> Result<Read, QueryError> {
    let at = cursor.at();
    if cursor.peek() == Some('"') {
        let quoted = quotation(cursor, text)?;
        return Ok((compare(field, comparison, point(text, at, field, &quoted)?), None));
    }
    let term = cursor.term();
    let remedy = "write the value in quotation marks, or a backslash before the sign";
    match (term.ending, term.stray) {
        (Ending::Star, _) if comparison == Comparison::Equal => Ok((Filter::exists(field.0), term.boost)),
        (Ending::Plain, None) if !term.text.is_empty() => {
            Ok((compare(field, comparison, point(text, at, field, &term.text)?), term.boost))
        }
        (_, stray) => Err(unfit(text, stray.unwrap_or(at), field, "one whole value", found(text, at), remedy)),
    }
}

/// Reads `[low TO high]`, with `{` or `}` where the end is not included, and `*` where there is none.
fn range(cursor: &mut Cursor<'_>, text: &str, field: Typed<'_>) -> Result<Filter, QueryError> {
    const REMEDY: &str = "write a range as [1990 TO 2000], with * for an open end and { or } for an end that is left out";
    let start = cursor.at();
    let from = if cursor.next() == Some('{') { Comparison::Greater } else { Comparison::GreaterOrEqual };
    check_order(text, start, field)?;
    let low = range_end(cursor, text, field)?;
    cursor.skip_space();
    let at = cursor.at();
    if !cursor.eat_while(char::is_alphanumeric).eq_ignore_ascii_case("to") {
        return Err(syntax(text, at, "TO between the ends of a range", found(text, at), REMEDY));
    }
    let high = range_end(cursor, text, field)?;
    cursor.skip_space();
    let at = cursor.at();
    let up_to = match cursor.peek() {
        Some(']') => Comparison::LessOrEqual,
        Some('}') => Comparison::Less,
        _ => return Err(syntax(text, at, "] or } at the end of a range", found(text, at), REMEDY)),
    };
    cursor.next();
    let bounds = (low.map(|low| compare(field, from, low)), high.map(|high| compare(field, up_to, high)));
    match bounds {
        (Some(Filter::Compare { value: low, .. }), Some(Filter::Compare { value: high, .. }))
            if order(&low, &high).is_some_and(|order| order.is_gt()) =>
        {
            Err(unfit(
                text,
                start,
                field,
                "the smaller end first",
                format!("{low} before {high}"),
                "exchange the ends of the range",
            ))
        }
        (Some(low), Some(high)) => Ok(Filter::And(vec![low, high])),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (None, None) => Ok(Filter::exists(field.0)),
    }
}

/// One end of a range; `None` for an open one.
fn range_end(cursor: &mut Cursor<'_>, text: &str, field: Typed<'_>) -> Result<Option<Point>, QueryError> {
    cursor.skip_space();
    let at = cursor.at();
    let written = match cursor.peek() {
        Some('"') => quotation(cursor, text)?,
        _ => match cursor.until(|c| ends_word(c) || matches!(c, ']' | '}')) {
            open if open == "*" => return Ok(None),
            written => written,
        },
    };
    point(text, at, field, &written).map(Some)
}

/// Steps over what is left of a bad range, where its end is near.
fn step_over_range(cursor: &mut Cursor<'_>) {
    let near = cursor.rest().char_indices().take_while(|(at, c)| *at < RANGE_ENDS_WITHIN && !matches!(c, '(' | ')' | '"'));
    if let Some((end, _)) = near.into_iter().find(|(_, c)| matches!(c, ']' | '}')) {
        cursor.step(end + 1);
    }
}

fn quotation(cursor: &mut Cursor<'_>, text: &str) -> Result<String, QueryError> {
    let at = cursor.at();
    cursor.quotation().ok_or_else(|| unclosed_quotation(text, at))
}

/// A quotation that begins at `at` and does not end.
pub(super) fn unclosed_quotation(text: &str, at: usize) -> QueryError {
    syntax(text, at, "a second quotation mark", "the end", "close the quotation, or write \\\" for the mark itself")
}

fn check_order(text: &str, at: usize, field: Typed<'_>) -> Result<(), QueryError> {
    match field.1 {
        FieldType::Boolean => {
            Err(unfit(text, at, field, "true or false", found(text, at), "a boolean has no order: write the value"))
        }
        _ => Ok(()),
    }
}

/// A value of the field's type.
fn point(text: &str, at: usize, field: Typed<'_>, written: &str) -> Result<Point, QueryError> {
    let refuse = |expected, remedy| {
        let found = if written.is_empty() { found(text, at) } else { format!("{:?}", shorten(written)) };
        Err(unfit(text, at, field, expected, found, remedy))
    };
    let exact = match field.1 {
        FieldType::Integer => written.parse().ok().map(Value::Integer),
        FieldType::Float => written.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float),
        FieldType::Boolean => match written {
            _ if written.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
            _ if written.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
            _ => None,
        },
        FieldType::Date => match when(written) {
            Some(When::Moment(date)) => Some(Value::Date(date)),
            Some(When::Span { start, end }) => return Ok(Point::Span(start, end)),
            None => None,
        },
        _ => Some(Value::from(written)),
    };
    match (exact, field.1) {
        (Some(value), _) => Ok(Point::Exact(value)),
        (None, FieldType::Integer) => refuse("a whole number of 64 bits", "write a number such as 1976"),
        (None, FieldType::Float) => refuse("a finite number", "write a number such as 0.5"),
        (None, FieldType::Boolean) => refuse("true or false", "write one of them"),
        (None, _) => refuse("a date", "write YYYY, YYYY-MM, YYYY-MM-DD or a time such as 1976-04-27T10:00:00Z"),
    }
}

/// What compares so with a point. All of a span is after, or before, what it is compared with.
fn compare((field, _): Typed<'_>, comparison: Comparison, point: Point) -> Filter {
    let (comparison, value) = match (point, comparison) {
        (Point::Exact(value), comparison) => (comparison, value),
        // The language has no `!=`.
        (Point::Span(start, end), Comparison::Equal | Comparison::NotEqual) => {
            return Filter::And(vec![Filter::at_least(field, start), Filter::less(field, end)]);
        }
        (Point::Span(start, _), Comparison::Less | Comparison::GreaterOrEqual) => (comparison, Value::Date(start)),
        (Point::Span(_, end), Comparison::LessOrEqual) => (Comparison::Less, Value::Date(end)),
        (Point::Span(_, end), Comparison::Greater) => (Comparison::GreaterOrEqual, Value::Date(end)),
    };
    Filter::Compare { field: field.to_owned(), comparison, value }
}
