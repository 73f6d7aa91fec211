//! How long does judging take, by the length of the passages and by precision?
//!
//! A good answer: in proportion to the tokens (a pair of 128 tokens is 5.7 GFLOP), so that the throughput in tokens is the same
//! for short and for long passages; the time of sixteen is sixteen times that of one, or less; and 8 bits take half of f32's time,
//! or less, where the machine has the instructions.
//!
//! `cargo bench --profile dev --bench rerank`
#![allow(missing_docs, clippy::expect_used)]

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fossick::{CrossEncoder, Device};

fn rerank(criterion: &mut Criterion) {
    let words: Vec<String> =
        common::digests().iter().flat_map(|(_, text)| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut group = criterion.benchmark_group("rerank");
    group.sample_size(10);
    let query = "software patent obviousness standard";
    for &precision in Device::cpu().info().precisions() {
        let device = Device::cpu().with_precision(precision).expect("one that it has");
        let judge = CrossEncoder::load(common::repository().join("models/ms-marco-minilm-l-12-v2"), &device).expect("the judge");
        for (pairs, length) in [(1, 100), (16, 25), (16, 100), (16, 250)] {
            let passages: Vec<String> = words.chunks(length).take(pairs).map(|words| words.join(" ")).collect();
            let tokens: usize = judge.judge(query, &passages).expect("judgements").iter().map(|judgement| judgement.tokens).sum();
            group.throughput(Throughput::Elements(tokens as u64));
            group.bench_function(BenchmarkId::new(format!("{precision}_{pairs}_pairs_tokens"), tokens / pairs), |b| {
                b.iter(|| judge.judge(query, &passages).expect("judgements"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, rerank);
criterion_main!(benches);
