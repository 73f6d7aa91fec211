//! A fingerprint of a document's content, to tell a changed document from one that is there already.

use sha2::{Digest, Sha256};

use super::{Document, Schema, Value};

/// The first 64 bits of SHA-256 over the values in the order of the schema, and the vectors. Two contents of one key are
/// taken for one with a chance of 2^-64. A field without a value counts for nothing, so a field that is added to the schema later
/// changes no digest.
pub(crate) fn digest(schema: &Schema, document: &Document) -> u64 {
    let mut hasher = Sha256::new();
    for (position, field) in (0u32..).zip(schema.fields()) {
        let Some(value) = document.get(field.name()) else { continue };
        hasher.update(position.to_le_bytes());
        match value {
            Value::Text(text) => {
                hasher.update([1]);
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
            Value::Integer(number) => {
                hasher.update([2]);
                hasher.update(number.to_le_bytes());
            }
            Value::Float(number) => {
                hasher.update([3]);
                hasher.update(number.to_le_bytes());
            }
            Value::Date(date) => {
                hasher.update([4]);
                hasher.update(date.micros().to_le_bytes());
            }
            Value::Boolean(truth) => hasher.update([5, u8::from(*truth)]),
        }
    }
    for component in document.own_vector(None).unwrap_or_default() {
        hasher.update(component.to_le_bytes());
    }
    for (position, field) in (0u32..).zip(schema.fields()) {
        let Some(vector) = document.own_vector(Some(field.name())) else { continue };
        hasher.update([6]);
        hasher.update(position.to_le_bytes());
        vector.iter().for_each(|component| hasher.update(component.to_le_bytes()));
    }
    let mut first = [0; 8];
    first.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_a_value_changes_it_and_the_order_of_setting_does_not() {
        let schema = Schema::builder().heading("title").text("body").integer("year").build().unwrap();
        let base = Document::new("k").set("title", "a").set("body", "b");
        let turned = Document::new("k").set("body", "b").set("title", "a");
        assert_eq!(digest(&schema, &base), digest(&schema, &turned));
        let others = [
            base.clone().set("title", "ab").set("body", ""),
            base.clone().set("title", "b").set("body", "a"),
            base.clone().set("year", 0),
            base.clone().vector([1.0]),
            base.clone().vector_of("title", [1.0]),
            base.clone().vector_of("body", [1.0]),
            Document::new("k").set("title", "a"),
        ];
        for other in others {
            assert_ne!(digest(&schema, &base), digest(&schema, &other), "{other:?}");
        }
    }

    #[test]
    fn a_field_that_comes_later_changes_no_digest() {
        let schema = Schema::builder().heading("title").text("body").build().unwrap();
        let later = Schema::builder().heading("title").text("body").integer("year").build().unwrap();
        let document = Document::new("k").set("title", "a").set("body", "b");
        assert_eq!(digest(&schema, &document), digest(&later, &document));
        assert_ne!(digest(&later, &document), digest(&later, &document.clone().set("year", 1)));
    }
}
