//! The values that fields hold.

use std::fmt;

use super::{Date, FieldType};

/// One value of one field.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// For text, keyword and stored fields.
    Text(String),
    /// For integer fields.
    Integer(i64),
    /// For float fields; finite.
    Float(f64),
    /// For date fields.
    Date(Date),
    /// For boolean fields.
    Boolean(bool),
}

impl Value {
    /// Whether a field of that type takes this value.
    pub(crate) fn fits(&self, field: FieldType) -> bool {
        match self {
            Self::Text(_) => matches!(field, FieldType::Heading | FieldType::Text | FieldType::Keyword | FieldType::Stored),
            Self::Integer(_) => field == FieldType::Integer,
            Self::Float(number) => field == FieldType::Float && number.is_finite(),
            Self::Date(_) => field == FieldType::Date,
            Self::Boolean(_) => field == FieldType::Boolean,
        }
    }

    /// The value with its type, for messages; long text is shortened.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("the text {:?}", shorten(text, 40)),
            Self::Integer(number) => format!("the integer {number}"),
            Self::Float(number) => format!("the float {number}"),
            Self::Date(date) => format!("the date {date}"),
            Self::Boolean(truth) => format!("the boolean {truth}"),
        }
    }

    /// The text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Date(date) => date.fmt(f),
            Self::Boolean(truth) => truth.fmt(f),
        }
    }
}

/// At most `most` characters of `text`, with an ellipsis where it was cut.
pub(super) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

value_from!(&str => Text, String => Text, &String => Text, i64 => Integer, i32 => Integer, u32 => Integer, f64 => Float, f32 => Float, Date => Date, bool => Boolean);
