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

use common::alone::{Lance, Tantivy};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fossick::{Durability, Index, Options};

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
        let mut lance = Lance::new(&directory.path().join("rows.lance"), &documents(0..there), &vectors(0..there));
        let mut tantivy = Tantivy::new(&directory.path().join("words"), &documents(0..there));
        let mut next = there;
        group.bench_function(BenchmarkId::new("lance_and_tantivy", there), |b| {
            b.iter(|| {
                let document = documents(next..next + 1);
                lance.append(&document, &vectors(next..next + 1));
                tantivy.commit(&document);
                next += 1;
            });
        });
    }
    group.finish();
}

fn documents(numbers: std::ops::Range<u64>) -> Vec<fossick::Document> {
    numbers.map(common::document).collect()
}

fn vectors(numbers: std::ops::Range<u64>) -> Vec<f32> {
    numbers.flat_map(common::vector).collect()
}

criterion_group!(benches, commit, alone);
criterion_main!(benches);
