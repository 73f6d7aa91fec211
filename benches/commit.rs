//! How long until what was just written is safe and found?
//!
//! A good answer: a commit of one document is a few writes that reach the disk, some tens of milliseconds, and hardly grows
//! with the index; a hundred documents cost little more than one.
//!
//! `cargo bench --profile dev --bench commit`
#![allow(missing_docs, clippy::expect_used)]

mod common;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(20);
    for there in [100, 10_000] {
        for documents in [1, 100] {
            let directory = tempfile::tempdir().expect("a directory");
            let index = common::generated(&directory.path().join("index"), there);
            let mut writer = index.writer().expect("a writer");
            let mut next = there;
            group.bench_function(BenchmarkId::new(format!("{documents}_to_{there}"), documents), |b| {
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
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);
