//! How long until what was just written is safe and found?
//!
//! A good answer: a commit of one document is a few writes that reach the disk, some tens of milliseconds, and hardly grows
//! with the index; a hundred documents cost little more than one. `alone` are the two libraries by themselves, on the same disk and one after
//! the other: Lance appends one row with a vector (and flushes nothing), tantivy commits one document (and flushes it). A commit is to take
//! at most three times as long as both together.
//!
//! `cargo bench --profile dev --bench commit`
#![allow(missing_docs, clippy::expect_used)]

mod common;

use std::sync::Arc;

use arrow::array::{FixedSizeListArray, Float32Array, RecordBatch, RecordBatchIterator, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fossick::{Durability, Index, Options};
use lance::dataset::{Dataset, WriteMode, WriteParams};
use tantivy::doc;

const THERE: [u64; 2] = [100, 10_000];

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(20);
    for there in THERE {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("index");
        drop(common::generated(&path, there));
        let mut next = there;
        for (name, durability) in [("", Durability::EveryCommit), ("unflushed_", Durability::System)] {
            let index = Index::open(&path, Options::new().durability(durability)).expect("an index");
            let mut writer = index.writer().expect("a writer");
            for documents in [1, 100] {
                group.bench_function(BenchmarkId::new(format!("{name}{documents}_to_{there}"), documents), |b| {
                    b.iter(|| {
                        for _ in 0..documents {
                            writer.add(common::document(next)).expect("a document");
                            next += 1;
                        }
                        writer.commit().expect("a commit")
                    });
                });
            }
        }
    }
    group.finish();
}

/// What a commit cannot be faster than, by much: the same document through Lance and through tantivy.
fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("alone");
    group.sample_size(20);
    for there in THERE {
        let directory = tempfile::tempdir().expect("a directory");
        let mut lance = Lance::new(&directory.path().join("rows.lance"), there);
        let mut tantivy = Tantivy::new(&directory.path().join("words"), there);
        let mut next = there;
        group.bench_function(BenchmarkId::new("lance_and_tantivy", there), |b| {
            b.iter(|| {
                lance.append(&[next]);
                tantivy.commit(&[next]);
                next += 1;
            });
        });
    }
    group.finish();
}

/// A table of keys, texts and vectors.
struct Lance {
    runtime: tokio::runtime::Runtime,
    dataset: Dataset,
}

impl Lance {
    fn new(path: &std::path::Path, there: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let rows = rows(&(0..there).collect::<Vec<_>>());
        let schema = rows.schema();
        let batches = RecordBatchIterator::new([Ok(rows)], schema);
        let path = path.to_str().expect("a path").to_owned();
        let dataset = runtime.block_on(Dataset::write(batches, path.as_str(), None)).expect("a table");
        Self { runtime, dataset }
    }

    fn append(&mut self, numbers: &[u64]) {
        let rows = rows(numbers);
        let schema = rows.schema();
        let batches = RecordBatchIterator::new([Ok(rows)], schema);
        let params = WriteParams { mode: WriteMode::Append, skip_auto_cleanup: true, ..WriteParams::default() };
        self.runtime.block_on(self.dataset.append(batches, Some(params))).expect("an append");
    }
}

fn rows(numbers: &[u64]) -> RecordBatch {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let width = common::DIMENSION as i32;
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
        Field::new("vector", DataType::FixedSizeList(item.clone(), width), false),
    ]);
    let documents: Vec<fossick::Document> = numbers.iter().map(|&number| common::document(number)).collect();
    let text =
        |document: &fossick::Document| document.get("text").and_then(fossick::Value::as_text).unwrap_or_default().to_owned();
    let values = Float32Array::from_iter_values(numbers.iter().flat_map(|&number| common::vector(number)));
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from_iter_values(documents.iter().map(|document| document.key()))),
            Arc::new(StringArray::from_iter_values(documents.iter().map(text))),
            Arc::new(FixedSizeListArray::try_new(item, width, Arc::new(values), None).expect("vectors")),
        ],
    )
    .expect("rows")
}

struct Tantivy {
    writer: tantivy::IndexWriter,
    text: tantivy::schema::Field,
}

impl Tantivy {
    fn new(path: &std::path::Path, there: u64) -> Self {
        std::fs::create_dir_all(path).expect("a directory");
        let mut schema = tantivy::schema::Schema::builder();
        let text = schema.add_text_field("text", tantivy::schema::TEXT);
        let index = tantivy::Index::create_in_dir(path, schema.build()).expect("an index");
        let writer = index.writer_with_num_threads(1, 48 << 20).expect("a writer");
        let mut tantivy = Self { writer, text };
        tantivy.commit(&(0..there).collect::<Vec<_>>());
        tantivy
    }

    fn commit(&mut self, numbers: &[u64]) {
        for &number in numbers {
            let document = common::document(number);
            let text = document.get("text").and_then(fossick::Value::as_text).unwrap_or_default();
            self.writer.add_document(doc!(self.text => text)).expect("a document");
        }
        self.writer.commit().expect("a commit");
    }
}

criterion_group!(benches, commit, alone);
criterion_main!(benches);
