//! Words and values: BM25 over the texts of documents, and filters over their fields, by tantivy.
//!
//! One field holds the words of all headings and texts of a document, so that a term's weight comes from the whole document
//! (sums over separate fields would favour words that happen to be in two of them); where there are several, each also has its own, for
//! questions to one of them. One more for each text has its words as they are written, for beginnings and edits of words. Values
//! of typed fields are columns and terms. Everything here is derived from the store and can be rebuilt from it. **Invariant:**
//! this room is the truth of nothing, and answers only for the state of the words that `CURRENT` names.

mod analysis;
mod any_words;
mod best;
mod character;
mod columns;
mod compile;
mod cursor;
mod directory;
mod expansion;
mod explain;
mod intersection;
mod merging;
mod reader;
mod sloppy;
mod stems;
mod tokenizer;
mod union;
mod writer;

pub(crate) use analysis::{Analyzer, Spare, Spares};
pub(crate) use columns::Counts;
pub(crate) use compile::{MOST_WORDS, most_edits};
pub(crate) use reader::WordsReader;
pub(crate) use writer::{WordsCommit, WordsWriter};

use std::path::Path;

use tantivy::Index;
use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, Schema as Tantivy, SchemaBuilder, TextFieldIndexing, TextOptions,
};

use crate::error::StorageError;
use crate::schema::{FieldType, Language, Schema};

/// The column of documents' numbers.
const NUMBER: &str = "number";

/// The fields of the tantivy index.
#[derive(Clone, Debug)]
struct Fields {
    /// The document's number.
    number: Field,
    /// The words of its headings and texts.
    words: Field,
    /// The languages of those.
    languages: Vec<Language>,
    /// For each field of the schema, in its order, its own; none for texts that are only stored.
    own: Vec<Option<Field>>,
    /// For each field of the schema, in its order, its words as they are written; none where it has no texts to search, and in an
    /// index that was made before there were such fields.
    written: Vec<Option<Field>>,
}

/// The name of the tantivy field of a schema's field, by its place: names may have letters that tantivy does not take.
fn column(place: usize) -> String {
    format!("field_{place}")
}

/// Whether words are indexed as they are written, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Beside,
    /// In an index that was made before.
    Not,
}

/// The fields of new words for a schema.
fn layout(schema: &Schema, beside: Written) -> (Tantivy, Fields) {
    let mut builder = Tantivy::builder();
    let number = builder.add_u64_field(NUMBER, NumericOptions::default().set_indexed().set_fast());
    let languages: Vec<Language> = analysis::languages(schema).into_iter().collect();
    // Several languages come in analysed already.
    let language = languages.first().copied().unwrap_or_default();
    let words = add_words(&mut builder, "words", language);
    let alone = schema.fields().iter().filter(|field| field.kind().is_searched()).count() == 1;
    let value = || NumericOptions::default().set_indexed().set_fast();
    let own = schema.fields().iter().enumerate().map(|(place, field)| {
        let name = column(place);
        Some(match field.kind() {
            FieldType::Heading | FieldType::Text if alone => words,
            FieldType::Heading | FieldType::Text => add_words(&mut builder, &name, field.language()),
            FieldType::Keyword => {
                let exact = TextFieldIndexing::default().set_tokenizer("raw").set_index_option(IndexRecordOption::Basic);
                builder.add_text_field(
                    &name,
                    TextOptions::default().set_indexing_options(exact.set_fieldnorms(false)).set_fast("raw"),
                )
            }
            // A date as its microseconds: tantivy's own dates are found to the second.
            FieldType::Integer | FieldType::Date => builder.add_i64_field(&name, value()),
            FieldType::Float => builder.add_f64_field(&name, value()),
            FieldType::Boolean => builder.add_bool_field(&name, value()),
            FieldType::Stored => return None,
        })
    });
    let own: Vec<Option<Field>> = own.collect();
    let written = schema.fields().iter().zip(&own).enumerate().map(|(place, (field, own))| match field.language() {
        _ if !field.kind().is_searched() || beside == Written::Not => None,
        // Without a language they are as they are written.
        Language::Neutral => *own,
        _ => Some(add_written(&mut builder, &format!("{}_written", column(place)))),
    });
    let written = written.collect();
    (builder.build(), Fields { number, words, languages, own, written })
}

/// The layout that an index has; `None` where it is none of this schema.
fn layout_of(index: &Index, schema: &Schema) -> Option<Fields> {
    let found = index.schema();
    let known = [Written::Beside, Written::Not].map(|beside| layout(schema, beside));
    known.into_iter().find_map(|(known, fields)| (known == found).then_some(fields))
}

fn add_words(builder: &mut SchemaBuilder, name: &str, language: Language) -> Field {
    let indexing = TextFieldIndexing::default().set_tokenizer(&analysis::name(language));
    let indexing = indexing.set_index_option(IndexRecordOption::WithFreqsAndPositions);
    builder.add_text_field(name, TextOptions::default().set_indexing_options(indexing))
}

/// Which documents have a word, and nothing else.
fn add_written(builder: &mut SchemaBuilder, name: &str) -> Field {
    let indexing = TextFieldIndexing::default().set_tokenizer(&analysis::name(Language::Neutral)).set_fieldnorms(false);
    builder.add_text_field(name, TextOptions::default().set_indexing_options(indexing.set_index_option(IndexRecordOption::Basic)))
}

fn register_analyses(index: &Index, languages: &[Language]) {
    for language in languages.iter().copied().chain([Language::Neutral]) {
        index.tokenizers().register(&analysis::name(language), analysis::analyzer(language));
    }
}

fn failed(path: &Path, doing: &'static str) -> impl Fn(tantivy::TantivyError) -> StorageError {
    let path = path.to_path_buf();
    move |error| StorageError::Words { path: path.clone(), doing, reason: error.to_string() }
}
