//! How long does a search without the judge take, and how does it grow?
//!
//! A good answer: a few milliseconds at 10,000 documents in every mode; the words' leg grows slowly, and so
//! does the vectors' leg, which compares all of 8,192 passages and scans codes beyond.
//!
//! `cargo bench --profile dev --bench first_stage`
#![allow(missing_docs, clippy::expect_used)]

mod common;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fossick::Mode;

fn first_stage(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("first_stage");
    group.sample_size(30);
    for documents in [1_000, 10_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let index = common::generated(&directory.path().join("index"), documents);
        let snapshot = index.snapshot().expect("a snapshot");
        let query = common::vector(u64::MAX);
        for (mode, name) in [(Mode::Lexical, "lexical"), (Mode::Semantic, "semantic"), (Mode::Hybrid, "hybrid")] {
            group.bench_function(BenchmarkId::new(name, documents), |b| {
                b.iter(|| {
                    let search = snapshot.search("software patent law").mode(mode).limit(10);
                    let search = if mode == Mode::Lexical { search } else { search.vector(query.clone()) };
                    search.run().expect("an answer")
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, first_stage);
criterion_main!(benches);
