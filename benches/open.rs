//! How long does a program wait until it can ask?
//!
//! A good answer: opening is a few milliseconds whatever the size, since it reads one small file and two manifests; the first
//! query reads keys and vectors, and grows with the index: tens of milliseconds at 10,000 documents.
//!
//! `cargo bench --profile dev --bench open`
#![allow(missing_docs, clippy::expect_used)]

mod common;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fossick::{Index, Options};

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(20);
    for documents in [100, 10_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("index");
        drop(common::generated(&path, documents));
        let query = common::vector(u64::MAX);
        let snapshot = || Index::open(&path, Options::new()).expect("an index").snapshot().expect("a snapshot");
        group.bench_function(BenchmarkId::new("snapshot", documents), |b| b.iter(snapshot));
        group.bench_function(BenchmarkId::new("snapshot_and_first_query", documents), |b| {
            b.iter(|| snapshot().search("patent law").vector(query.clone()).run().expect("an answer"));
        });
    }
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
