//! The two libraries that fossick stands on, by themselves: what it cannot be faster than, by much.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{FixedSizeListArray, Float32Array, RecordBatch, RecordBatchIterator, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use fossick::{Document, Value};
use lance::dataset::{Dataset, WriteMode, WriteParams};
use tantivy::doc;
use tantivy::schema::{IndexRecordOption, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{Language, LowerCaser, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer};

fn text_of(document: &Document) -> &str {
    document.get("text").and_then(Value::as_text).unwrap_or_default()
}

/// A table of keys, texts and vectors.
pub struct Lance {
    runtime: tokio::runtime::Runtime,
    dataset: Dataset,
}

impl Lance {
    /// With these documents and their vectors, one after the other.
    pub fn new(path: &Path, documents: &[Document], vectors: &[f32]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let rows = rows(documents, vectors);
        let schema = rows.schema();
        let batches = RecordBatchIterator::new([Ok(rows)], schema);
        let path = path.to_str().expect("a path").to_owned();
        let dataset = runtime.block_on(Dataset::write(batches, path.as_str(), None)).expect("a table");
        Self { runtime, dataset }
    }

    pub fn append(&mut self, documents: &[Document], vectors: &[f32]) {
        let rows = rows(documents, vectors);
        let schema = rows.schema();
        let batches = RecordBatchIterator::new([Ok(rows)], schema);
        let params = WriteParams { mode: WriteMode::Append, skip_auto_cleanup: true, ..WriteParams::default() };
        self.runtime.block_on(self.dataset.append(batches, Some(params))).expect("an append");
    }
}

fn rows(documents: &[Document], vectors: &[f32]) -> RecordBatch {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let width = super::DIMENSION as i32;
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
        Field::new("vector", DataType::FixedSizeList(item.clone(), width), false),
    ]);
    let values = Float32Array::from_iter_values(vectors.iter().copied());
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from_iter_values(documents.iter().map(|document| document.key()))),
            Arc::new(StringArray::from_iter_values(documents.iter().map(text_of))),
            Arc::new(FixedSizeListArray::try_new(item, width, Arc::new(values), None).expect("vectors")),
        ],
    )
    .expect("rows")
}

pub struct Tantivy {
    writer: tantivy::IndexWriter,
    text: tantivy::schema::Field,
}

impl Tantivy {
    /// With these documents.
    pub fn new(path: &Path, documents: &[Document]) -> Self {
        std::fs::create_dir_all(path).expect("a directory");
        let mut schema = tantivy::schema::Schema::builder();
        // Words as fossick has them: without stop words, stemmed, with their positions.
        let indexing = TextFieldIndexing::default().set_tokenizer("english");
        let indexing = indexing.set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
        let index = tantivy::Index::create_in_dir(path, schema.build()).expect("an index");
        let words = TextAnalyzer::builder(SimpleTokenizer::default()).filter(LowerCaser);
        let words = words.filter(StopWordFilter::new(Language::English).expect("English"));
        index.tokenizers().register("english", words.filter(Stemmer::new(Language::English)).build());
        let writer = index.writer_with_num_threads(1, 48 << 20).expect("a writer");
        let mut tantivy = Self { writer, text };
        tantivy.commit(documents);
        tantivy
    }

    pub fn commit(&mut self, documents: &[Document]) {
        for document in documents {
            self.writer.add_document(doc!(self.text => text_of(document))).expect("a document");
        }
        self.writer.commit().expect("a commit");
    }
}
