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
    vector: Option<Vec<f32>>,
}

impl Document {
    /// A document without values. Adding a document whose key is already in the index replaces that one.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), values: Vec::new(), vector: None }
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
    /// The document is then one passage: the whole of its first text field, or of its heading where it has no text.
    #[must_use]
    pub fn vector(mut self, vector: impl Into<Vec<f32>>) -> Self {
        self.vector = Some(vector.into());
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

    /// The vector that the document brings.
    pub(crate) fn own_vector(&self) -> Option<&[f32]> {
        self.vector.as_deref()
    }
}
