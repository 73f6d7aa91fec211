//! What a document is made of: fields with types, values, and the check of one against the other.
//!
//! Knows nothing of storage. Every document passes [`Schema::check`] before any other room sees it, so the rooms above may
//! rely on names, types and keys being sound.

mod date;
mod digest;
mod document;
mod field;
mod language;
mod value;
mod vector;

pub use date::Date;
pub(crate) use digest::digest;
pub use document::Document;
pub use field::{Field, FieldType, Schema, SchemaBuilder};
pub use language::Language;
pub use value::Value;
pub use vector::Metric;
pub(crate) use vector::{Space, check_vector};
