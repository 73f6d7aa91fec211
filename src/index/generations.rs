//! What is told of a generation.

use crate::schema::Date;
use crate::store::{Header, Tag};

/// A generation that can be opened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GenerationInfo {
    /// Its number.
    pub generation: u64,
    /// When it was published, by the clock of the machine that did.
    pub published: Date,
    /// Documents in it.
    pub documents: u64,
    /// Passages in it.
    pub passages: u64,
    /// Bytes in its files; generations share most of them.
    pub bytes: u64,
    /// The names that keep it.
    pub tags: Vec<String>,
}

impl GenerationInfo {
    pub(super) fn new(header: &Header, tags: &[Tag]) -> Self {
        let mine = tags.iter().filter(|tag| tag.generation == header.generation);
        Self {
            generation: header.generation,
            published: Date::from_micros(header.published),
            documents: header.documents,
            passages: header.passages,
            bytes: header.files.bytes(),
            tags: mine.map(|tag| tag.name.clone()).collect(),
        }
    }
}
