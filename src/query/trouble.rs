//! What is wrong with a query, said in one way by both parsers and the check.

use crate::error::QueryError;
use crate::schema::{FieldType, Schema};

/// How much of a text a message shows.
const SHOWN: usize = 24;

/// A text that breaks the rules at byte `at`.
pub(super) fn syntax(
    text: &str,
    at: usize,
    expected: impl Into<String>,
    found: impl Into<String>,
    remedy: &'static str,
) -> QueryError {
    QueryError::Syntax { at, place: place(text, at), expected: expected.into(), found: found.into(), remedy }
}

/// A name at byte `at` that is no field.
pub(super) fn unknown_field(text: &str, at: usize, field: &str, schema: &Schema, remedy: &'static str) -> QueryError {
    QueryError::UnknownField { at: Some(at), place: place(text, at), field: shorten(field), known: schema.known(), remedy }
}

/// Something at byte `at` that a field of that type does not take.
pub(super) fn unfit(
    text: &str,
    at: usize,
    (field, kind): (&str, FieldType),
    expected: &'static str,
    found: impl Into<String>,
    remedy: &'static str,
) -> QueryError {
    QueryError::Unfit {
        at: Some(at),
        place: place(text, at),
        field: field.into(),
        kind,
        expected,
        found: found.into().into(),
        remedy,
    }
}

/// A byte of a text, with what stands there.
pub(super) fn place(text: &str, at: usize) -> String {
    match text.get(at..) {
        Some(rest) if !rest.is_empty() => format!("at byte {at} of the query, {:?}", shorten(rest)),
        _ => format!("at byte {at}, the end of the query"),
    }
}

/// What stands at a byte, up to the next space.
pub(super) fn found(text: &str, at: usize) -> String {
    // Shortened first: a text may be one long word, and wrong in many places.
    match shorten(text.get(at..).unwrap_or_default()).split_whitespace().next() {
        Some(word) => format!("{word:?}"),
        None => "the end".to_owned(),
    }
}

/// The beginning of a text, with an ellipsis where it was cut.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl QueryError {
    /// The byte of the text at which it is wrong, where a text was parsed.
    pub fn position(&self) -> Option<usize> {
        match self {
            Self::Syntax { at, .. } => Some(*at),
            Self::UnknownField { at, .. } | Self::Unfit { at, .. } | Self::TooLarge { at, .. } => *at,
            Self::Number { .. } => None,
        }
    }

    /// The same, of a query that was passing its limit at byte `at` of a text, where no place is known yet.
    pub(super) fn passed_at(mut self, text: &str, byte: impl FnOnce() -> usize) -> Self {
        if let Self::TooLarge { at: at @ None, place: shown, .. } = &mut self {
            let byte = byte();
            *at = Some(byte);
            *shown = place(text, byte);
        }
        self
    }

    /// What is wrong, without place and remedy.
    pub(super) fn fact(&self) -> String {
        match self {
            Self::Syntax { expected, found, .. } => format!("expected {expected}, found {found}"),
            Self::Number { expected, found, .. } => format!("expected {expected}, found {found}"),
            Self::UnknownField { field, .. } => format!("there is no field {field:?}"),
            Self::Unfit { field, kind, expected, found, .. } => {
                format!("field {field:?} is {kind}: expected {expected}, found {found}")
            }
            Self::TooLarge { what, most, .. } => format!("expected at most {most} {what}, found more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_with_its_byte() {
        assert_eq!(place("año yaer:1", 5), "at byte 5 of the query, \"yaer:1\"");
        assert_eq!(place("a", 1), "at byte 1, the end of the query");
        assert!(place(&"é".repeat(100), 2).ends_with("…\""));
    }
}
