//! Words: BM25 over the text fields of documents, by tantivy.
//!
//! One field holds the words of all headings and texts of a document, so that a term's weight comes from the whole document
//! (sums over separate fields would favour words that happen to be in two of them). Everything here is derived from the
//! store and can be rebuilt from it. **Invariant:** this room is the truth of nothing, and answers only for the state of the
//! words that `CURRENT` names.

mod analysis;
mod directory;
mod reader;
mod writer;

pub(crate) use analysis::Analyzer;
pub(crate) use reader::WordsReader;
pub(crate) use writer::{WordsCommit, WordsWriter};

use std::path::Path;

use tantivy::schema::{Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};

use crate::error::StorageError;

/// The fields of the tantivy index.
#[derive(Clone, Copy)]
struct Fields {
    /// The document's number.
    number: Field,
    /// The words of its headings and texts.
    words: Field,
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let number = builder.add_u64_field("number", NumericOptions::default().set_indexed().set_fast());
    let indexing = TextFieldIndexing::default().set_tokenizer(analysis::NAME).set_index_option(IndexRecordOption::WithFreqs);
    let words = builder.add_text_field("words", TextOptions::default().set_indexing_options(indexing));
    (builder.build(), Fields { number, words })
}

fn failed(path: &Path, doing: &'static str) -> impl Fn(tantivy::TantivyError) -> StorageError {
    let path = path.to_path_buf();
    move |error| StorageError::Words { path: path.clone(), doing, reason: error.to_string() }
}
