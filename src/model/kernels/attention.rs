//! Multi-head self-attention (Vaswani et al. 2017, eq. 1) of one sequence, in one pass: a few queries' scores, their softmax and
//! their weighted sum of values before the next few, so that nothing of the size of the square leaves the first cache.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, Simd, SimdOp};

use super::math::{Constants, reduce};

/// How a hidden vector is divided.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Heads {
    pub(in crate::model) count: usize,
    /// Numbers of one head.
    pub(in crate::model) size: usize,
}

/// Buffers that are kept from sequence to sequence.
#[derive(Default)]
pub(in crate::model) struct Attention {
    /// One head's keys, [size, length], each row filled up with zeros to a multiple of two registers.
    keys: Vec<f32>,
    /// One head's values, [length, size], filled up likewise.
    values: Vec<f32>,
    /// The scores of the queries at work, [GROUP, length], filled up likewise.
    scores: Vec<f32>,
}

/// The most queries at work together: with two registers of keys each, their sums fill AVX-512's registers. Half of them fill
/// those of the others.
const GROUP: usize = 12;

impl Attention {
    /// `queries`: [queries, hidden]; `keys_values`: [length, 2 · hidden], the key before the value; `out`: [queries, hidden].
    pub(in crate::model) fn run(&mut self, heads: Heads, queries: &[f32], keys_values: &[f32], out: &mut [f32]) {
        Run { buffers: self, heads, queries, keys_values, out }.dispatch();
    }
}

struct Run<'a> {
    buffers: &'a mut Attention,
    heads: Heads,
    queries: &'a [f32],
    keys_values: &'a [f32],
    out: &'a mut [f32],
}

/// One head's operands, filled up.
struct Head<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    /// Keys before filling up, and after it.
    length: usize,
    filled: usize,
    /// Numbers of a value before filling up, and after it.
    size: usize,
    wide: usize,
    /// Numbers of all heads, and where this one's begin.
    hidden: usize,
    first: usize,
}

impl SimdOp for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Heads { count, size } = self.heads;
        let hidden = count * size;
        let pair = 2 * isa.f32().len();
        let length = self.keys_values.len() / (2 * hidden);
        let (filled, wide) = (length.next_multiple_of(pair), size.next_multiple_of(pair));
        let Attention { keys, values, scores } = self.buffers;
        for (buffer, needed) in [(&mut *keys, size * filled), (values, length * wide), (scores, GROUP * filled)] {
            buffer.clear();
            buffer.resize(needed, 0.0);
        }
        let constants = Constants::new(isa);
        for head in 0..count {
            for (at, row) in self.keys_values.chunks_exact(2 * hidden).enumerate() {
                let key = &row[head * size..][..size];
                key.iter().enumerate().for_each(|(d, &key)| keys[d * filled + at] = key);
                let value = &row[hidden + head * size..][..size];
                values[at * wide..][..size].iter_mut().zip(value).for_each(|(to, value)| *to = *value);
            }
            let operands = Head { keys, values, length, filled, size, wide, hidden, first: head * size };
            let (mut queries, mut outs) = (self.queries, &mut *self.out);
            while !queries.is_empty() {
                // Groups of sizes that the compiler knows.
                let take = match queries.len() / hidden {
                    12.. if isa.f32().len() >= 16 => 12,
                    6.. => 6,
                    2.. => 2,
                    _ => 1,
                };
                let (query, rest) = queries.split_at(take * hidden);
                let (out, rest_of_out) = outs.split_at_mut(take * hidden);
                match take {
                    12 => group::<I, 12>(isa, &constants, &operands, query, out, scores),
                    6 => group::<I, 6>(isa, &constants, &operands, query, out, scores),
                    2 => group::<I, 2>(isa, &constants, &operands, query, out, scores),
                    _ => group::<I, 1>(isa, &constants, &operands, query, out, scores),
                }
                (queries, outs) = (rest, rest_of_out);
            }
        }
    }
}

/// `N` queries of one head, from scores to their sums of values.
#[inline(always)]
fn group<I: Isa, const N: usize>(
    isa: I,
    constants: &Constants<I>,
    head: &Head<'_>,
    queries: &[f32],
    outs: &mut [f32],
    scores: &mut [f32],
) {
    let f = isa.f32();
    let lanes = f.len();
    let mut rows: [&[f32]; N] = [&[]; N];
    for (row, query) in rows.iter_mut().zip(queries.chunks_exact(head.hidden)) {
        *row = &query[head.first..][..head.size];
    }
    for block in (0..head.filled).step_by(2 * lanes) {
        let sums = products::<I, N>(isa, &rows, head.keys, head.filled, block, head.size);
        for (n, sums) in sums.iter().enumerate() {
            let to = &mut scores[n * head.filled + block..][..2 * lanes];
            let (first, second) = to.split_at_mut(lanes);
            f.store(sums[0], first);
            f.store(sums[1], second);
        }
    }
    let mut per_sum = [0.0; N];
    for (per_sum, row) in per_sum.iter_mut().zip(scores.chunks_exact_mut(head.filled)) {
        *per_sum = softmax(isa, constants, &mut row[..head.length], 1.0 / (head.size as f32).sqrt());
    }
    for (row, scores) in rows.iter_mut().zip(scores.chunks_exact(head.filled)) {
        *row = &scores[..head.length];
    }
    for block in (0..head.wide).step_by(2 * lanes) {
        let sums = products::<I, N>(isa, &rows, head.values, head.wide, block, head.length);
        for (n, (sums, per_sum)) in sums.iter().zip(per_sum).enumerate() {
            let out = &mut outs[n * head.hidden + head.first..][..head.size];
            let scale = f.splat(per_sum);
            for (at, sum) in sums.iter().enumerate() {
                let sum = f.mul(*sum, scale);
                let from = block + at * lanes;
                match out.get_mut(from..from + lanes) {
                    Some(out) => f.store(sum, out),
                    None => {
                        let rest = out.get_mut(from..).unwrap_or_default();
                        rest.iter_mut().zip(sum.to_array()).for_each(|(out, sum)| *out = sum);
                    }
                }
            }
        }
    }
}

/// The products of `N` rows of `depth` numbers with two registers of columns of a matrix, [depth, stride].
#[inline(always)]
fn products<I: Isa, const N: usize>(
    isa: I,
    rows: &[&[f32]; N],
    matrix: &[f32],
    stride: usize,
    column: usize,
    depth: usize,
) -> [[I::F32; 2]; N] {
    let f = isa.f32();
    let lanes = f.len();
    let mut sums = [[f.zero(); 2]; N];
    let mut rows = *rows;
    for row in &mut rows {
        *row = &row[..depth];
    }
    // Step by step rather than by chunks, which would divide for each block.
    let mut rest = &matrix[column..];
    for at in 0..depth {
        let (first, second) = rest[..2 * lanes].split_at(lanes);
        rest = rest.get(stride..).unwrap_or_default();
        let (first, second) = (f.load(first), f.load(second));
        for (sums, row) in sums.iter_mut().zip(rows) {
            let x = f.splat(row[at]);
            sums[0] = f.mul_add(x, first, sums[0]);
            sums[1] = f.mul_add(x, second, sums[1]);
        }
    }
    sums
}

/// Turns scores into e^(scale · (score - greatest)), as powers of two, and returns 1 / their sum.
#[inline(always)]
fn softmax<I: Isa>(isa: I, constants: &Constants<I>, scores: &mut [f32], scale: f32) -> f32 {
    let f = isa.f32();
    let greatest = reduce(
        isa,
        scores,
        f32::NEG_INFINITY,
        #[inline(always)]
        |a, b| f.max(a, b),
    )
    .into_iter();
    let greatest = greatest.fold(f32::NEG_INFINITY, f32::max);
    let scale = scale * std::f32::consts::LOG2_E;
    let (scale, shift) = (f.splat(scale), f.splat(-greatest * scale));
    let mut sum = f.zero();
    let mut chunks = scores.chunks_exact_mut(f.len());
    for chunk in chunks.by_ref() {
        let weight = constants.exp2(isa, f.mul_add(f.load(chunk), scale, shift));
        f.store(weight, chunk);
        sum = f.add(sum, weight);
    }
    let mut sum = f.sum(sum);
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let weights = constants.exp2(isa, f.mul_add(f.load_pad(rest).0, scale, shift)).to_array();
        for (score, weight) in rest.iter_mut().zip(weights) {
            *score = weight;
            sum += weight;
        }
    }
    1.0 / sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rows::tests::on_each_instruction_set;
    use super::*;

    /// The formula, in f64.
    fn plain(heads: Heads, queries: &[f32], keys_values: &[f32]) -> Vec<f64> {
        let hidden = heads.count * heads.size;
        let mut out = vec![0.0; queries.len()];
        for (query, out) in queries.chunks_exact(hidden).zip(out.chunks_exact_mut(hidden)) {
            for head in 0..heads.count {
                let span = head * heads.size..(head + 1) * heads.size;
                let dot = |row: &[f32]| -> f64 {
                    query[span.clone()].iter().zip(&row[span.clone()]).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum()
                };
                let scores: Vec<f64> =
                    keys_values.chunks_exact(2 * hidden).map(|row| (dot(row) / (heads.size as f64).sqrt()).exp()).collect();
                let total: f64 = scores.iter().sum();
                for (row, score) in keys_values.chunks_exact(2 * hidden).zip(scores) {
                    for d in span.clone() {
                        out[d] += score / total * f64::from(row[hidden + d]);
                    }
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn attention_is_what_the_formula_says(
            count in 1usize..4, size in 1usize..40, rows in 1usize..14, length in 1usize..70, seed in any::<u32>(),
        ) {
            let heads = Heads { count, size };
            let number = |i: usize| {
                let hash = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(2_246_822_519);
                hash as f32 / u32::MAX as f32 * 3.0 - 1.5
            };
            let queries: Vec<f32> = (0..rows * count * size).map(number).collect();
            let keys_values: Vec<f32> = (0..2 * length * count * size).map(|i| number(i + 5)).collect();
            let expected = plain(heads, &queries, &keys_values);
            // Buffers as a longer sequence left them.
            let used = || Attention { keys: vec![f32::NAN; 9999], values: vec![f32::NAN; 9999], scores: vec![f32::NAN; 9999] };
            for found in on_each_instruction_set(|run| {
                let mut out = vec![0.0; queries.len()];
                run.apply(Run { buffers: &mut used(), heads, queries: &queries, keys_values: &keys_values, out: &mut out });
                out
            }) {
                for (found, expected) in found.iter().zip(&expected) {
                    prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "{found}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let heads = Heads { count: 1, size: 2 };
        let mut out = [0.0; 2];
        Attention::default().run(heads, &[1e4, 0.0], &[1e4, 0.0, 1.0, 2.0, -1e4, 0.0, 5.0, 6.0], &mut out);
        assert_eq!(out, [1.0, 2.0]);
    }
}
