//! Words and values: BM25 over the texts of documents, and filters over their fields, by tantivy.
//!
//! One field holds the words of all headings and texts of a document, so that a term's weight comes from the whole document
//! (sums over separate fields would favour words that happen to be in two of them); where there are several, each also has its own, for
//! questions to one of them. Values of typed fields are columns and terms. Everything here is derived from the store and can be rebuilt
//! from it. **Invariant:** this room is the truth of nothing, and answers only for the state of the words that `CURRENT` names.

mod analysis;
mod best;
mod character;
mod columns;
mod compile;
mod directory;
mod explain;
mod holding;
mod reader;
mod stems;
mod tokenizer;
mod union;
mod writer;

pub(crate) use analysis::{Analyzer, SpareAnalyzer, SpareAnalyzers};
pub(crate) use columns::Counts;
pub(crate) use compile::MOST_WORDS;
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
}

/// The name of the tantivy field of a schema's field, by its place: names may have letters that tantivy does not take.
fn column(place: usize) -> String {
    format!("field_{place}")
}

fn layout(schema: &Schema) -> (Tantivy, Fields) {
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
    let own = own.collect();
    (builder.build(), Fields { number, words, languages, own })
}

fn add_words(builder: &mut SchemaBuilder, name: &str, language: Language) -> Field {
    let indexing = TextFieldIndexing::default().set_tokenizer(&analysis::name(language));
    let indexing = indexing.set_index_option(IndexRecordOption::WithFreqsAndPositions);
    builder.add_text_field(name, TextOptions::default().set_indexing_options(indexing))
}

fn register_analyses(index: &Index, languages: &[Language]) {
    for &language in languages {
        index.tokenizers().register(&analysis::name(language), analysis::analyzer(language));
    }
}

fn failed(path: &Path, doing: &'static str) -> impl Fn(tantivy::TantivyError) -> StorageError {
    let path = path.to_path_buf();
    move |error| StorageError::Words { path: path.clone(), doing, reason: error.to_string() }
}
