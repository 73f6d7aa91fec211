//! A document on its way in.

use super::Value;

/// A document: the application's own key, and values by field.
///
/// ```
/// use fossick::Document;
/// let document = Document::new("us-425-219").set("title", "Dann v. Johnston").set("year", 1976);
/// assert_eq!(document.key(), "us-425-219");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    key: String,
    values: Vec<(String, Value)>,
    /// The vectors that it brings, each with the field that it is of, or none for the document's own.
    vectors: Vec<(Option<String>, Vec<f32>)>,
}

impl Document {
    /// A document without values. Adding a document whose key is already in the index replaces that one.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), values: Vec::new(), vectors: Vec::new() }
    }

    /// Sets a field; setting it again replaces the value.
    #[must_use]
    pub fn set(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        let (field, value) = (field.into(), value.into());
        match self.values.iter_mut().find(|(name, _)| *name == field) {
            Some((_, old)) => *old = value,
            None => self.values.push((field, value)),
        }
        self
    }

    /// Brings the document's vector, for an index made with [`Options::own_vectors`](crate::Options::own_vectors).
    ///
    /// The document is then one passage: the whole of its first text field, or of its heading where it has no text; of fields whose vectors have a size or
    /// a metric of their own, none. See [`Document::vector_of`] for several.
    #[must_use]
    pub fn vector(self, vector: impl Into<Vec<f32>>) -> Self {
        self.with_vector(None, vector.into())
    }

    /// Brings the vector of one of its fields, of whatever type that is: of its title, its text, the picture whose path it stores. A document may bring
    /// one for each field; it is as near to a query as the nearest of them, or of those that
    /// [`Search::vector_fields`](crate::Search::vector_fields) names. All have the number of components that
    /// [`Options::own_vectors`](crate::Options::own_vectors) says, but for fields that have one of their own
    /// ([`Options::own_vectors_of`](crate::Options::own_vectors_of)).
    ///
    /// Each is a passage of the document: the whole of the field's text, where that is a heading or a text. Only such passages can be shown with a hit and
    /// read by a cross-encoder, so a document with a picture's vector alone can be neither. [`Document::vector`] counts as one of the first
    /// text field, or of the first heading where there is no text; of those whose vectors are of its kind.
    #[must_use]
    pub fn vector_of(self, field: impl Into<String>, vector: impl Into<Vec<f32>>) -> Self {
        self.with_vector(Some(field.into()), vector.into())
    }

    fn with_vector(mut self, field: Option<String>, vector: Vec<f32>) -> Self {
        match self.vectors.iter_mut().find(|(other, _)| *other == field) {
            Some((_, old)) => *old = vector,
            None => self.vectors.push((field, vector)),
        }
        self
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.values.iter().find(|(name, _)| name == field).map(|(_, value)| value)
    }

    /// All values in the order in which they were set.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The vectors that the document brings, in the order in which they were set, each with its field.
    pub(crate) fn own_vectors(&self) -> impl Iterator<Item = (Option<&str>, &[f32])> {
        self.vectors.iter().map(|(field, vector)| (field.as_deref(), vector.as_slice()))
    }

    /// The vector of a field, or with none the document's own.
    pub(crate) fn own_vector(&self, field: Option<&str>) -> Option<&[f32]> {
        self.own_vectors().find(|(name, _)| *name == field).map(|(_, vector)| vector)
    }
}
