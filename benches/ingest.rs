//! How fast do documents go in?
//!
//! A good answer: words and vectors that are brought go in at thousands of documents a second, at half of the rate or more at which Lance
//! and tantivy take them alone, one after the other (`alone`: one append, one commit, nothing flushed by Lance); with an encoder on a CPU its speed is
//! the whole cost, tens of passages a second on two cores, and the rest is not seen.
//!
//! `cargo bench --profile dev --bench ingest`; with `FOSSICK_ROWS=1000000` before it, so many, once each (they take 3 GB of memory, and as much on disk);
//! what making such an index takes of memory, `fossick bench --search` says
#![allow(missing_docs, clippy::expect_used)]

mod common;

use std::time::Instant;

use common::alone::{Lance, Tantivy};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fossick::{Device, Document, Encoder, Index, Options, Schema};

/// Documents at a time for Lance alone, which takes what it is given as one batch.
const PART: usize = 20_000;

fn written(documents: Vec<Document>) {
    let directory = tempfile::tempdir().expect("a directory");
    let schema = Schema::builder().heading("title").text("text").build().expect("a schema");
    let options = Options::new().schema(schema).own_vectors(common::DIMENSION);
    let index = Index::open_or_create(directory.path().join("index"), options).expect("an index");
    let mut writer = index.writer().expect("a writer");
    documents.into_iter().for_each(|document| writer.add(document).expect("a document"));
    writer.commit().expect("a commit");
}

fn written_alone(documents: &[Document], vectors: &[f32]) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut parts = documents.chunks(PART).zip(vectors.chunks(PART * common::DIMENSION));
    let (first, its_vectors) = parts.next().expect("documents");
    let mut rows = Lance::new(&directory.path().join("rows.lance"), first, its_vectors);
    parts.for_each(|(part, vectors)| rows.append(part, vectors));
    drop(Tantivy::new(&directory.path().join("words"), documents));
}

fn many(rows: u64) {
    let documents: Vec<Document> = (0..rows).map(common::document).collect();
    let vectors: Vec<f32> = (0..rows).flat_map(common::vector).collect();
    let begun = Instant::now();
    written_alone(&documents, &vectors);
    let alone = rows as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    written(documents);
    let ours = rows as f64 / begun.elapsed().as_secs_f64();
    println!("{rows} documents: {ours:.0} a second, Lance and tantivy alone {alone:.0}, ratio {:.2}", ours / alone);
}

fn ingest(criterion: &mut Criterion) {
    if let Some(rows) = std::env::var_os("FOSSICK_ROWS") {
        let rows = rows.to_str().and_then(|rows| rows.parse().ok()).filter(|rows| *rows > 0);
        return many(rows.expect("FOSSICK_ROWS is a number of documents"));
    }
    let mut group = criterion.benchmark_group("ingest");
    group.sample_size(10);

    let documents: Vec<Document> = (0..PART as u64).map(common::document).collect();
    group.throughput(Throughput::Elements(documents.len() as u64));
    group.bench_function("words_and_vectors_brought", |b| {
        b.iter_batched(|| documents.clone(), written, BatchSize::PerIteration);
    });
    let vectors: Vec<f32> = (0..documents.len() as u64).flat_map(common::vector).collect();
    group.bench_function("words_and_vectors_alone", |b| {
        b.iter(|| written_alone(&documents, &vectors));
    });

    let digests = common::digests();
    let encoder = Encoder::load(common::repository().join("models/bge-small-en-v1.5"), &Device::cpu()).expect("the encoder");
    let some = &digests[..32];
    group.throughput(Throughput::Elements(some.len() as u64));
    group.bench_function("digests_with_the_encoder", |b| {
        b.iter(|| {
            let directory = tempfile::tempdir().expect("a directory");
            let schema = Schema::builder().heading("title").text("text").build().expect("a schema");
            let options = Options::new().schema(schema).encoder(encoder.clone());
            let index = Index::open_or_create(directory.path().join("index"), options).expect("an index");
            let mut writer = index.writer().expect("a writer");
            for (title, text) in some {
                writer.add(Document::new(title).set("title", title).set("text", text)).expect("a document");
            }
            writer.commit().expect("a commit")
        });
    });
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
