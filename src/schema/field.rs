//! Fields, their types, and the schema that they form.

use std::fmt;

use bincode::{Decode, Encode};

use super::value::shorten;
use super::{Document, Language};
use crate::error::SchemaError;

/// What a field holds, and what the index does with it.
// The order of the variants is part of the file format: add at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum FieldType {
    /// A short text that says what the document is, such as a title: searched by words, and put before each passage of the
    /// document when a model reads it.
    Heading,
    /// Text: searched by words, cut into passages that the models read.
    Text,
    /// An exact string, such as a court or a tag; not searched by words.
    Keyword,
    /// A 64-bit signed integer.
    Integer,
    /// A 64-bit finite floating-point number.
    Float,
    /// A moment in time.
    Date,
    /// True or false.
    Boolean,
    /// Text that is kept and given back, nothing else.
    Stored,
}

impl FieldType {
    /// Whether its text is searched by words.
    pub(crate) fn is_searched(self) -> bool {
        matches!(self, Self::Heading | Self::Text)
    }

    /// Whether it has values that can be compared, counted and sorted by.
    pub(crate) fn has_values(self) -> bool {
        !self.is_searched() && self != Self::Stored
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Heading => "a heading",
            Self::Text => "a text",
            Self::Keyword => "a keyword (text)",
            Self::Integer => "an integer",
            Self::Float => "a finite float",
            Self::Date => "a date",
            Self::Boolean => "a boolean",
            Self::Stored => "a stored text",
        })
    }
}

/// A named field.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Field {
    name: String,
    kind: FieldType,
    language: Language,
}

impl Field {
    /// The field's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The field's type.
    pub fn kind(&self) -> FieldType {
        self.kind
    }

    /// The language of its words; of no meaning but for headings and texts.
    pub fn language(&self) -> Language {
        self.language
    }
}

/// The fields of an index, fixed when it is created.
///
/// ```
/// use fossick::Schema;
/// let schema = Schema::builder().heading("title").text("body").keyword("court").integer("year").build()?;
/// assert_eq!(schema.fields().len(), 4);
/// # Ok::<(), fossick::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Schema {
    fields: Vec<Field>,
}

/// Collects fields for a [`Schema`]; the order of the calls is the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct SchemaBuilder {
    fields: Vec<Field>,
}

macro_rules! field_methods {
    ($($(#[$doc:meta])* $method:ident => $kind:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $method(self, name: impl Into<String>) -> Self {
            self.field(name, FieldType::$kind)
        }
    )*};
}

impl SchemaBuilder {
    field_methods! {
        /// Adds a [`FieldType::Heading`].
        heading => Heading,
        /// Adds a [`FieldType::Text`].
        text => Text,
        /// Adds a [`FieldType::Keyword`].
        keyword => Keyword,
        /// Adds a [`FieldType::Integer`].
        integer => Integer,
        /// Adds a [`FieldType::Float`].
        float => Float,
        /// Adds a [`FieldType::Date`].
        date => Date,
        /// Adds a [`FieldType::Boolean`].
        boolean => Boolean,
        /// Adds a [`FieldType::Stored`].
        stored => Stored,
    }

    /// Adds a field of the given type; a heading or a text in English.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, kind: FieldType) -> Self {
        self.fields.push(Field { name: name.into(), kind, language: Language::default() });
        self
    }

    /// Adds a [`FieldType::Heading`] in a language.
    #[must_use]
    pub fn heading_in(mut self, name: impl Into<String>, language: Language) -> Self {
        self.fields.push(Field { name: name.into(), kind: FieldType::Heading, language });
        self
    }

    /// Adds a [`FieldType::Text`] in a language.
    #[must_use]
    pub fn text_in(mut self, name: impl Into<String>, language: Language) -> Self {
        self.fields.push(Field { name: name.into(), kind: FieldType::Text, language });
        self
    }

    /// The finished schema.
    ///
    /// # Errors
    /// [`SchemaError::FieldName`], [`SchemaError::DuplicateField`], and [`SchemaError::NoTextField`] when there is neither a
    /// text nor a heading field.
    pub fn build(self) -> Result<Schema, SchemaError> {
        for (position, field) in self.fields.iter().enumerate() {
            let mut characters = field.name.chars();
            let begins = characters.next().is_some_and(char::is_alphabetic);
            let goes_on = characters.all(|c| c.is_alphanumeric() || c == '_' || c == '-');
            if !begins || !goes_on || field.name.chars().count() > 64 {
                return Err(SchemaError::FieldName { name: field.name.clone() });
            }
            if self.fields.iter().take(position).any(|earlier| earlier.name == field.name) {
                return Err(SchemaError::DuplicateField { name: field.name.clone() });
            }
        }
        if !self.fields.iter().any(|field| field.kind.is_searched()) {
            return Err(SchemaError::NoTextField);
        }
        Ok(Schema { fields: self.fields })
    }
}

impl Schema {
    /// Starts a schema.
    pub fn builder() -> SchemaBuilder {
        SchemaBuilder::default()
    }

    /// The fields, in the order of their declaration.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of all fields, for messages.
    pub(crate) fn known(&self) -> String {
        self.fields.iter().map(Field::name).collect::<Vec<_>>().join(", ")
    }

    /// The names of the fields of one type.
    pub(crate) fn names_of(&self, kind: FieldType) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |field| field.kind == kind).map(Field::name)
    }

    /// Holds a document against the schema.
    ///
    /// # Errors
    /// [`SchemaError::Key`], [`SchemaError::UnknownField`] and [`SchemaError::WrongType`].
    pub fn check(&self, document: &Document) -> Result<(), SchemaError> {
        let key = document.key();
        let refuse = |reason| Err(SchemaError::Key { key: shorten(key, 60), reason });
        match key {
            "" => return refuse("it is empty"),
            _ if key.len() > 1024 => return refuse("it is longer than 1024 bytes"),
            _ if key.contains('\0') => return refuse("it holds a NUL character"),
            _ => {}
        }
        let known = |name: &str| {
            self.field(name).ok_or_else(|| SchemaError::UnknownField {
                key: shorten(key, 60),
                field: name.to_owned(),
                known: self.known(),
            })
        };
        for field in document.own_vectors().filter_map(|(field, _)| field) {
            known(field)?;
        }
        for (name, value) in document.values() {
            let field = known(name)?;
            if !value.fits(field.kind) {
                return Err(SchemaError::WrongType {
                    key: shorten(key, 60),
                    field: name.to_owned(),
                    expected: field.kind,
                    found: value.describe(),
                });
            }
        }
        Ok(())
    }

    /// This schema with the fields that `other` has more, at its end.
    pub(crate) fn extended(&self, other: &Self) -> Self {
        let new = other.fields.iter().filter(|field| self.field(&field.name).is_none());
        Self { fields: self.fields.iter().chain(new).cloned().collect() }
    }

    /// Whether `other` has all fields of this one, in their types, and more.
    pub(crate) fn is_extended_by(&self, other: &Self) -> bool {
        other.fields.len() > self.fields.len()
            && self.fields.iter().all(|field| {
                other.field(&field.name).is_some_and(|found| found.kind == field.kind && found.language == field.language)
            })
    }

    /// The first difference to another schema, in words. The order of fields is none: an index keeps its own.
    pub(crate) fn difference(&self, given: &Self) -> Option<String> {
        for field in &self.fields {
            match given.field(&field.name) {
                None => return Some(format!("the index has the field {:?}, the given schema does not", field.name)),
                Some(other) if other.kind != field.kind => {
                    return Some(format!(
                        "field {:?} is {} in the index and {} in the given schema",
                        field.name, field.kind, other.kind
                    ));
                }
                Some(other) if other.language != field.language => {
                    return Some(format!(
                        "field {:?} is in {} in the index and in {} in the given schema",
                        field.name, field.language, other.language
                    ));
                }
                Some(_) => {}
            }
        }
        given
            .fields
            .iter()
            .find(|field| self.field(&field.name).is_none())
            .map(|field| format!("the given schema has the field {:?}, the index does not", field.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::builder()
            .heading("title")
            .text("body")
            .integer("year")
            .float("weight")
            .date("day")
            .boolean("open")
            .build()
            .unwrap()
    }

    #[test]
    fn names_are_checked() {
        for name in ["", "_id", "1st", "a b", "a.b", &"x".repeat(65)] {
            let built = Schema::builder().text(name).build();
            assert!(matches!(built, Err(SchemaError::FieldName { .. })), "{name:?}");
        }
        let twice = Schema::builder().text("a").keyword("a").build();
        assert!(matches!(twice, Err(SchemaError::DuplicateField { .. })));
        assert!(matches!(Schema::builder().integer("a").build(), Err(SchemaError::NoTextField)));
    }

    #[test]
    fn a_wrong_value_is_named_with_field_expectation_and_finding() {
        let error = schema().check(&Document::new("k").set("year", "1976")).unwrap_err().to_string();
        assert!(error.contains("\"year\"") && error.contains("an integer") && error.contains("the text \"1976\""), "{error}");
        let error = schema().check(&Document::new("k").set("weight", f64::NAN)).unwrap_err().to_string();
        assert!(error.contains("a finite float") && error.contains("NaN"), "{error}");
        let error = schema().check(&Document::new("k").set("yaer", 1)).unwrap_err().to_string();
        assert!(error.contains("\"yaer\"") && error.contains("title, body, year"), "{error}");
    }

    #[test]
    fn keys_are_checked() {
        for key in ["", "a\0b", &"k".repeat(1025)] {
            assert!(matches!(schema().check(&Document::new(key)), Err(SchemaError::Key { .. })));
        }
        assert!(schema().check(&Document::new("любой ключ / 42")).is_ok());
    }

    #[test]
    fn differences_are_found_in_both_directions() {
        let more = Schema::builder().heading("title").text("body").build().unwrap();
        assert!(schema().difference(&more).unwrap().contains("\"year\""));
        assert!(more.difference(&schema()).unwrap().contains("the index does not"));
        assert_eq!(schema().difference(&schema()), None);
    }
}
