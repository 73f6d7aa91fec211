//! One model, many threads: they share it, take turns on its device, and get the numbers that each would get alone.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{encoder, judge};

/// Passages of all sorts of lengths.
fn passages(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| format!("Entry {at}. {}", "The well was dug by hand and lined with stones. ".repeat(1 + at % 9)))
        .collect()
}

#[test]
fn threads_that_judge_at_the_same_time_get_the_logits_that_each_would_get_alone() {
    let (judge, passages) = (judge(), passages(12));
    let logits =
        |query: &str| -> Vec<f32> { judge.judge(query, &passages).unwrap().iter().map(|judgement| judgement.logit).collect() };
    let queries = ["how is a well dug", "stones", "who lined the well", "entry"];
    let alone: Vec<Vec<f32>> = queries.iter().map(|query| logits(query)).collect();
    let together: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let threads: Vec<_> = queries.iter().map(|query| scope.spawn(|| logits(query))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn a_short_judgement_does_not_wait_for_a_long_one_and_neither_does_a_query() {
    // More batches than all threads together take in one go.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (judge, encoder, long) = (judge(), encoder(), passages(150.max(30 * threads)));
    let (begun, long_is_done) = (Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            judge.judge("how is a well dug", &long).unwrap();
            long_is_done.store(true, Ordering::SeqCst);
        });
        begun.wait();
        judge.judge("stones", &long[..2]).unwrap();
        encoder.encode_query("how is a well dug").unwrap();
        assert!(!long_is_done.load(Ordering::SeqCst), "a few passages waited for many");
    });
}
