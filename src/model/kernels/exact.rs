//! Dense layers in f32, by tiles: some rows of activations by a panel of weights, in sums that stay in registers over the whole depth.
//!
//! `super::linear` has a comparison with rten-gemm.

use std::ops::Range;

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, Simd, SimdOp};

/// Columns of a panel.
const PANEL: usize = 48;

/// One input's weights for the columns of a panel.
type Step = [f32; PANEL];

/// A dense layer in f32.
pub(in crate::model) struct Linear32 {
    /// Panel after panel, each with a step for each input; outputs that fill up are zero.
    panels: Vec<Step>,
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear32 {
    /// `weights` are [outputs, inputs]; `bias` is [outputs].
    pub(super) fn new(weights: &[f32], bias: Vec<f32>, inputs: usize) -> Self {
        let mut panels = vec![[0.0; PANEL]; bias.len().div_ceil(PANEL) * inputs];
        for (output, row) in weights.chunks_exact(inputs).enumerate() {
            let (panel, column) = (output / PANEL, output % PANEL);
            for (step, &weight) in panels[panel * inputs..].iter_mut().zip(row) {
                step[column] = weight;
            }
        }
        Self { panels, bias, inputs }
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// [rows, inputs] to [rows, outputs].
    pub(super) fn forward(&self, x: &[f32], out: &mut [f32]) {
        Tiles { layer: self, x, out }.dispatch();
    }
}

struct Tiles<'a> {
    layer: &'a Linear32,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl SimdOp for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Self { layer, x, out } = self;
        // 8 rows by 3 registers are 24 sums in 32 registers; 6 by 2 are 12 in 16, and 4 by 3 would be spilled.
        let many = isa.f32().len() == 16 || cfg!(target_arch = "aarch64");
        match many {
            true => blocks::<I, 8, 3>(isa, layer, x, out),
            false => blocks::<I, 6, 2>(isa, layer, x, out),
        }
    }
}

/// Rows that go together: at most `most` of `left`, in numbers that the compiler knows.
fn together(left: usize, most: usize) -> usize {
    match left {
        rows if rows >= most => most,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// All rows, at most `R` together, by `C` registers of columns after the other, whose weights stay in the first cache meanwhile.
#[inline(always)]
fn blocks<I: Isa, const R: usize, const C: usize>(isa: I, layer: &Linear32, x: &[f32], out: &mut [f32]) {
    let (inputs, outputs) = (layer.inputs, layer.outputs());
    let width = C * isa.f32().len();
    // The numbers of rows that go together lie side by side, so that one look at the bounds does for all of them: one for each row kept the
    // sums out of registers, at half the speed on AVX-512.
    let mut turned = vec![0.0; x.len()];
    let (mut from, mut to) = (x, &mut turned[..]);
    while !from.is_empty() {
        let take = together(from.len() / inputs, R);
        let (rows, rest) = from.split_at(take * inputs);
        let (mine, others) = to.split_at_mut(take * inputs);
        for (at, row) in rows.chunks_exact(inputs).enumerate() {
            mine.iter_mut().skip(at).step_by(take).zip(row).for_each(|(to, from)| *to = *from);
        }
        (from, to) = (rest, others);
    }
    for (index, panel) in layer.panels.chunks_exact(inputs).enumerate() {
        for within in (0..PANEL).step_by(width) {
            let first = index * PANEL + within;
            if first >= outputs {
                break;
            }
            let block = Block { layer, panel, within, columns: first..outputs.min(first + width) };
            let (mut x, mut out) = (&turned[..], &mut *out);
            while !x.is_empty() {
                let take = together(x.len() / inputs, R);
                let (rows, rest) = x.split_at(take * inputs);
                let (to, rest_of_out) = out.split_at_mut(take * outputs);
                match take {
                    4 => tile::<I, 4, C>(isa, &block, rows, to),
                    2 => tile::<I, 2, C>(isa, &block, rows, to),
                    1 => tile::<I, 1, C>(isa, &block, rows, to),
                    _ => tile::<I, R, C>(isa, &block, rows, to),
                }
                (x, out) = (rest, rest_of_out);
            }
        }
    }
}

/// Some columns of a panel.
struct Block<'a> {
    layer: &'a Linear32,
    panel: &'a [Step],
    /// Where they begin in the panel.
    within: usize,
    /// Which outputs they are.
    columns: Range<usize>,
}

/// `R` rows, whose numbers lie side by side, by one block of `C` registers of columns.
#[inline(always)]
fn tile<I: Isa, const R: usize, const C: usize>(isa: I, block: &Block<'_>, x: &[f32], out: &mut [f32]) {
    let f = isa.f32();
    let lanes = f.len();
    let mut sums = [[f.zero(); C]; R];
    for (step, x) in block.panel.iter().zip(x.as_chunks::<R>().0) {
        let step = &step[block.within..][..C * lanes];
        let mut weights = [f.zero(); C];
        for (weights, step) in weights.iter_mut().zip(step.chunks_exact(lanes)) {
            *weights = f.load(step);
        }
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = f.splat(*x);
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = f.mul_add(x, weights, *sum);
            }
        }
    }
    let bias = &block.layer.bias[block.columns.clone()];
    for (sums, out) in sums.iter().zip(out.chunks_mut(block.layer.outputs())) {
        let out = &mut out[block.columns.clone()];
        for (register, sum) in sums.iter().enumerate() {
            let from = register * lanes;
            match (out.get_mut(from..from + lanes), bias.get(from..from + lanes)) {
                (Some(out), Some(bias)) => f.store(f.add(*sum, f.load(bias)), out),
                _ => {
                    let rest = out.iter_mut().zip(bias).skip(from);
                    rest.zip(sum.to_array()).for_each(|((out, bias), sum)| *out = sum + bias);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rows::tests::on_each_instruction_set;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn tiles_give_the_plain_sums(rows in 1usize..30, inputs in 1usize..70, outputs in 1usize..120, seed in any::<u32>()) {
            let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 24) as f32 - 0.5;
            let numbers = |from: usize, count: usize| (from..from + count).map(number).collect::<Vec<f32>>();
            let (weights, bias, x) = (numbers(0, inputs * outputs), numbers(7, outputs), numbers(99, rows * inputs));
            let layer = Linear32::new(&weights, bias.clone(), inputs);
            for out in on_each_instruction_set(|run| {
                let mut out = vec![9.0; rows * outputs];
                run.apply(Tiles { layer: &layer, x: &x, out: &mut out });
                out
            }) {
                for (x, out) in x.chunks_exact(inputs).zip(out.chunks_exact(outputs)) {
                    for ((weight, bias), out) in weights.chunks_exact(inputs).zip(&bias).zip(out) {
                        let plain = bias + x.iter().zip(weight).map(|(x, w)| x * w).sum::<f32>();
                        prop_assert!((out - plain).abs() < 1e-4, "{out}, not {plain}");
                    }
                }
            }
        }
    }
}
