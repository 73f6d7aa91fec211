//! Dense layers in 8 bits: activations quantised row by row, weights as the model's file has them.
//!
//! With x ≈ least + step · q for a row of activations (q from 0 to at most 255), and w = scale · v for an output's weights (v from -128
//! to 127): Σ x w = step · scale · Σ q v + least · scale · Σ v. The first sum is whole numbers; the second is known when the
//! weights are read. Only the rounding of x is lost, and a row's numbers do not depend on what else is in a batch.

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
#[cfg(target_arch = "x86_64")]
use rten_simd::ops::{BitOps, NumOps, ToFloat};
use rten_simd::{Isa, SimdOp};
use rten_tensor::prelude::*;
use rten_tensor::{Matrix, NdTensor, NdTensorView};

use super::rows::{Range, quantize};
#[cfg(target_arch = "x86_64")]
use super::x86::Instructions;

/// Columns of a panel: the weights that a tile reads together.
#[cfg(target_arch = "x86_64")]
pub(super) const PANEL: usize = 48;

/// Rows of the largest tile.
#[cfg(target_arch = "x86_64")]
pub(super) const ROWS: usize = 8;

/// Four bytes of one row, along the depth.
#[cfg(target_arch = "x86_64")]
pub(super) type Quad = [u8; 4];

/// Four weights, along the depth, of each column of a panel.
#[cfg(target_arch = "x86_64")]
pub(super) type Step = [i8; 4 * PANEL];

/// The sums of one row by one panel.
#[cfg(target_arch = "x86_64")]
pub(super) type Columns = [i32; PANEL];

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Tiles of our own.
    #[cfg(target_arch = "x86_64")]
    Tiles(Instructions),
    /// rten-gemm, which has the instructions of other machines.
    Library,
}

impl Kernel {
    /// All that this machine can run, the fastest first.
    pub(super) fn available() -> Vec<Self> {
        [
            #[cfg(target_arch = "x86_64")]
            Instructions::available().into_iter().map(Self::Tiles).collect(),
            vec![Self::Library],
        ]
        .concat()
    }

    fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self::Library)
    }

    /// The largest number of an activation: less than 255 where some weights' sums would overflow in between.
    fn levels(self, weights: &[i8], inputs: usize) -> u8 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(instructions) if instructions.adds_pairs() => levels_in_pairs(weights, inputs),
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(_) => 255,
            Self::Library => match GemmExecutor::<u8, i8, i32>::new().may_saturate() {
                true => 127,
                false => 255,
            },
        }
    }
}

/// How coarse activations are on this machine, which tells its outputs from those of another.
pub(in crate::model) fn coarseness() -> &'static str {
    match Kernel::best() {
        #[cfg(target_arch = "x86_64")]
        Kernel::Tiles(instructions) if instructions.adds_pairs() => " in pairs",
        Kernel::Library if GemmExecutor::<u8, i8, i32>::new().may_saturate() => " in 7 bits",
        _ => "",
    }
}

/// The largest number whose products with two neighbouring weights, in any row, add up to no more than 16 bits hold. It is 127
/// at least; where both weights of a pair are seldom large, it is more.
#[cfg(target_arch = "x86_64")]
fn levels_in_pairs(weights: &[i8], inputs: usize) -> u8 {
    let (mut most, mut least) = (0, 0);
    for pair in weights.chunks_exact(inputs).flat_map(|row| row.chunks(2)) {
        // Each activation may be anything from zero up.
        let sum = |sign: i32| pair.iter().map(|&v| (sign * i32::from(v)).max(0)).sum::<i32>();
        (most, least) = (sum(1).max(most), sum(-1).max(least));
    }
    let limit = |sum: i32, bound: i32| bound.checked_div(sum).unwrap_or(255);
    limit(most, i32::from(i16::MAX)).min(limit(least, -i32::from(i16::MIN))).clamp(127, 255) as u8
}

/// Rows of activations as bytes; the buffers are kept from use to use.
#[derive(Default)]
pub(in crate::model) struct Quantized {
    bytes: Vec<u8>,
    ranges: Vec<Range>,
    stride: usize,
}

impl Quantized {
    pub(super) fn rows(&self) -> usize {
        self.ranges.len()
    }

    /// Takes `x`, [rows, width], for a layer.
    fn set(&mut self, x: &[f32], width: usize, levels: u8) {
        let rows = x.len() / width;
        self.stride = width.next_multiple_of(4);
        self.bytes.resize(rows * self.stride, 0);
        self.ranges.resize(rows, Range::default());
        quantize(x, width, self.stride, levels, &mut self.bytes, &mut self.ranges);
    }
}

/// A dense layer in 8 bits.
pub(in crate::model) struct Linear8 {
    weights: Weights,
    levels: u8,
    scale: Vec<f32>,
    /// scale · Σ v, for each output.
    sums: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

#[allow(clippy::large_enum_variant)] // A few dozen layers, each kept for as long as the model.
enum Weights {
    /// Panel after panel; each has one step for four inputs. Outputs and inputs that fill up are zero.
    #[cfg(target_arch = "x86_64")]
    Panels(Vec<Step>, Instructions),
    Packed(PackedBMatrix<i8>),
}

impl Linear8 {
    /// The most inputs whose sums, of products of 255 and 128, fit into 32 bits.
    pub(super) const MOST_INPUTS: usize = i32::MAX as usize / (255 * 128);

    /// `weights` are [outputs, inputs]; `scale` and `bias` are [outputs].
    pub(super) fn new(weights: &[i8], scale: Vec<f32>, bias: Vec<f32>, inputs: usize) -> Self {
        Self::with_kernel(Kernel::best(), weights, scale, bias, inputs)
    }

    fn with_kernel(kernel: Kernel, weights: &[i8], scale: Vec<f32>, bias: Vec<f32>, inputs: usize) -> Self {
        let sum = |(row, scale): (&[i8], &f32)| scale * row.iter().map(|&v| i32::from(v)).sum::<i32>() as f32;
        let sums = weights.chunks_exact(inputs).zip(&scale).map(sum).collect();
        let packed = match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Tiles(instructions) => Weights::Panels(panels(weights, inputs), instructions),
            Kernel::Library => {
                let by_input: Matrix<'_, i8> = NdTensorView::from_data([bias.len(), inputs], weights);
                let mut filled = NdTensor::<i8, 2>::zeros([inputs.next_multiple_of(4), bias.len()]);
                filled.slice_mut(..inputs).copy_from(&by_input.transposed());
                Weights::Packed(GemmExecutor::<u8, i8, i32>::new().prepack_b(filled.view()))
            }
        };
        Self { weights: packed, levels: kernel.levels(weights, inputs), scale, sums, bias, inputs }
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The largest number of an activation that the layer takes.
    pub(super) fn levels(&self) -> u8 {
        self.levels
    }

    /// Quantises `x`, [rows, inputs], as this layer and others with as many inputs take it, to numbers up to `levels`, which is
    /// no more than any of them takes.
    pub(super) fn quantize(&self, x: &[f32], levels: u8, into: &mut Quantized) {
        into.set(x, self.inputs, levels);
    }

    /// [rows, inputs] to [rows, outputs].
    pub(super) fn forward(&self, x: &Quantized, out: &mut [f32]) {
        match &self.weights {
            #[cfg(target_arch = "x86_64")]
            Weights::Panels(panels, instructions) => {
                Tiles { layer: self, panels, instructions: *instructions, x, out }.dispatch()
            }
            Weights::Packed(packed) => {
                Whole { layer: self, sums: &library_sums(packed, x, out.len()), x, out }.dispatch();
            }
        }
    }

    /// Turns the sums of one row, of the outputs from `first` on, into numbers.
    #[inline(always)]
    fn finish(&self, sums: &[i32], range: Range, first: usize, out: &mut [f32]) {
        let count = out.len();
        let (scale, offset, bias) = (&self.scale[first..][..count], &self.sums[first..][..count], &self.bias[first..][..count]);
        for ((((out, &sum), scale), offset), bias) in out.iter_mut().zip(sums).zip(scale).zip(offset).zip(bias) {
            *out = sum as f32 * (range.step * scale) + (range.least * offset + bias);
        }
    }
}

/// The sums of all rows, `count` in all, by the library.
fn library_sums(packed: &PackedBMatrix<i8>, x: &Quantized, count: usize) -> Vec<i32> {
    let a: Matrix<'_, u8> = NdTensorView::from_data([x.ranges.len(), x.stride], x.bytes.as_slice());
    let mut sums = vec![0_i32; count];
    let gemm = GemmExecutor::<u8, i8, i32>::new();
    let done = gemm.gemm(&mut sums, GemmInputA::Unpacked(a), GemmInputB::Packed(packed), GemmOptions::default());
    debug_assert!(done.is_ok(), "the shapes were checked when the weights were read");
    sums
}

#[cfg(target_arch = "x86_64")]
fn panels(weights: &[i8], inputs: usize) -> Vec<Step> {
    let steps = inputs.div_ceil(4);
    let mut panels = vec![[0; 4 * PANEL]; (weights.len() / inputs).div_ceil(PANEL) * steps];
    for (output, row) in weights.chunks_exact(inputs).enumerate() {
        let (panel, column) = (output / PANEL, output % PANEL);
        for (step, quad) in panels[panel * steps..].iter_mut().zip(row.chunks(4)) {
            step[4 * column..][..quad.len()].copy_from_slice(quad);
        }
    }
    panels
}

/// [`Linear8::forward`] by tiles: each panel, small enough for the first cache, with all rows.
#[cfg(target_arch = "x86_64")]
struct Tiles<'a> {
    layer: &'a Linear8,
    panels: &'a [Step],
    instructions: Instructions,
    x: &'a Quantized,
    out: &'a mut [f32],
}

#[cfg(target_arch = "x86_64")]
impl SimdOp for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Self { layer, panels, instructions, x, out } = self;
        let outputs = layer.outputs();
        let (quads, _) = x.bytes.as_chunks::<4>();
        let steps = x.stride / 4;
        let mut sums = [[0; PANEL]; ROWS];
        for (index, panel) in panels.chunks_exact(steps).enumerate() {
            let first = index * PANEL;
            let count = PANEL.min(outputs - first);
            let mut at = 0;
            while at < x.ranges.len() {
                let quads = &quads[at * steps..];
                let rows = match instructions.rows().min(x.ranges.len() - at) {
                    8 => tile::<8>(instructions, quads, panel, &mut sums),
                    4..8 => tile::<4>(instructions, quads, panel, &mut sums),
                    2 | 3 => tile::<2>(instructions, quads, panel, &mut sums),
                    _ => tile::<1>(instructions, quads, panel, &mut sums),
                };
                let (ranges, out) = (&x.ranges[at..at + rows], &mut out[at * outputs..]);
                match count {
                    PANEL => finish_panel(isa, layer, &sums, ranges, first, out),
                    _ => {
                        for ((sums, range), out) in sums.iter().zip(ranges).zip(out.chunks_mut(outputs)) {
                            layer.finish(sums, *range, first, &mut out[first..][..count]);
                        }
                    }
                }
                at += rows;
            }
        }
    }
}

/// [`Linear8::finish`] for a whole panel of the outputs from `first` on.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn finish_panel<I: Isa>(isa: I, layer: &Linear8, sums: &[Columns; ROWS], ranges: &[Range], first: usize, out: &mut [f32]) {
    let (f, i) = (isa.f32(), isa.i32());
    let (lanes, outputs) = (f.len(), layer.outputs());
    for at in (0..PANEL).step_by(lanes) {
        let column = first + at;
        let [scale, offset, bias] = [&layer.scale, &layer.sums, &layer.bias].map(|values| f.load(&values[column..][..lanes]));
        for (r, range) in ranges.iter().enumerate() {
            let sum = i.to_float(i.load(&sums[r][at..][..lanes]));
            let shift = f.mul_add(f.splat(range.least), offset, bias);
            let number = f.mul_add(sum, f.mul(f.splat(range.step), scale), shift);
            f.store(number, &mut out[r * outputs + column..][..lanes]);
        }
    }
}

/// The first `R` rows by one panel; returns `R`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tile<const R: usize>(instructions: Instructions, quads: &[Quad], panel: &[Step], sums: &mut [Columns; ROWS]) -> usize {
    let mut rows: [&[Quad]; R] = [&[]; R];
    for (row, quads) in rows.iter_mut().zip(quads.chunks_exact(panel.len())) {
        *row = quads;
    }
    instructions.tile(rows, panel, sums);
    R
}

/// The end of [`Linear8::forward`] where a library has made all sums.
struct Whole<'a> {
    layer: &'a Linear8,
    sums: &'a [i32],
    x: &'a Quantized,
    out: &'a mut [f32],
}

impl SimdOp for Whole<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let outputs = self.layer.outputs();
        let rows = self.sums.chunks_exact(outputs).zip(self.out.chunks_exact_mut(outputs));
        for ((sums, out), &range) in rows.zip(&self.x.ranges) {
            self.layer.finish(sums, range, 0, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rows::tests::{Run, on_each_instruction_set};
    use super::*;

    /// [`Linear8::forward`], what follows the products on one of the machine's instruction sets.
    fn forward_on(run: &Run, layer: &Linear8, x: &Quantized, out: &mut [f32]) {
        match &layer.weights {
            #[cfg(target_arch = "x86_64")]
            Weights::Panels(panels, instructions) => run.apply(Tiles { layer, panels, instructions: *instructions, x, out }),
            Weights::Packed(packed) => run.apply(Whole { layer, sums: &library_sums(packed, x, out.len()), x, out }),
        }
    }

    /// The plain twin: the sums of the quantised numbers, one after the other, and the formula; with the size of what is added up.
    fn plain(layer: &Linear8, weights: &[i8], x: &Quantized) -> Vec<(f32, f32)> {
        let mut out = Vec::new();
        for (bytes, range) in x.bytes.chunks_exact(x.stride).zip(&x.ranges) {
            for (output, row) in weights.chunks_exact(layer.inputs).enumerate() {
                let sum: i64 = bytes.iter().zip(row).map(|(&q, &v)| i64::from(q) * i64::from(v)).sum();
                let (scale, offset, bias) = (layer.scale[output], layer.sums[output], layer.bias[output]);
                let terms = [sum as f32 * (range.step * scale), range.least * offset, bias];
                out.push((terms[0] + (terms[1] + terms[2]), terms.iter().map(|term| term.abs()).sum()));
            }
        }
        out
    }

    /// [`Tiles`] without what follows the products.
    #[cfg(target_arch = "x86_64")]
    struct Products<'a>(&'a Linear8, &'a Quantized);

    #[cfg(target_arch = "x86_64")]
    impl SimdOp for Products<'_> {
        type Output = ();

        #[inline(always)]
        fn eval<I: Isa>(self, _: I) {
            let Weights::Panels(panels, instructions) = &self.0.weights else { return };
            let (quads, _) = self.1.bytes.as_chunks::<4>();
            let steps = self.1.stride / 4;
            let mut sums = [[0; PANEL]; ROWS];
            for panel in panels.chunks_exact(steps) {
                let mut rest = quads;
                while !rest.is_empty() {
                    let rows = match instructions.rows().min(rest.len() / steps) {
                        8 => tile::<8>(*instructions, rest, panel, &mut sums),
                        4..8 => tile::<4>(*instructions, rest, panel, &mut sums),
                        2 | 3 => tile::<2>(*instructions, rest, panel, &mut sums),
                        _ => tile::<1>(*instructions, rest, panel, &mut sums),
                    };
                    std::hint::black_box(&sums);
                    rest = &rest[rows * steps..];
                }
            }
        }
    }

    /// Not a test: what a layer of both models spends its time on. `cargo test --lib what_a_layer_takes -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement, which no machine can fail"]
    #[allow(clippy::print_stdout)]
    #[cfg(target_arch = "x86_64")]
    fn what_a_layer_takes() {
        use std::time::{Duration, Instant};

        use super::super::rows::{activate, add_and_normalize};
        use super::super::{Attention, Heads};
        use crate::model::config::Activation;

        const TOKENS: usize = 192;
        const HIDDEN: usize = 384;
        const WIDE: usize = 4 * HIDDEN;
        // As in the network: the feed-forward part goes by 96 rows.
        const TOGETHER: usize = 96;
        let best = |times: usize, work: &mut dyn FnMut()| -> f64 {
            let mut best = Duration::MAX;
            for _ in 0..100 {
                let begun = Instant::now();
                (0..times).for_each(|_| work());
                best = best.min(begun.elapsed());
            }
            best.as_secs_f64() * 1e6
        };
        let numbers = |count: usize| (0..count).map(|i| (i * 31 % 997) as f32 / 500.0 - 1.0).collect::<Vec<f32>>();
        let (mut quantizing, mut products, mut finishing) = (0.0, 0.0, 0.0);
        // Inputs, outputs, rows, how often, and whether the input was quantised for the layer before.
        for (inputs, outputs, rows, times, again) in [
            (HIDDEN, HIDDEN, TOKENS, 1, false),
            (HIDDEN, 2 * HIDDEN, TOKENS, 1, true),
            (HIDDEN, HIDDEN, TOKENS, 1, false),
            (HIDDEN, WIDE, TOGETHER, TOKENS / TOGETHER, false),
            (WIDE, HIDDEN, TOGETHER, TOKENS / TOGETHER, false),
        ] {
            let weights: Vec<i8> = (0..inputs * outputs).map(|i| (i * 7919) as i8).collect();
            let layer = Linear8::new(&weights, vec![0.01; outputs], vec![0.1; outputs], inputs);
            let (x, mut quantized, mut out) = (numbers(rows * inputs), Quantized::default(), vec![0.0; rows * outputs]);
            let quantize = best(times, &mut || layer.quantize(&x, layer.levels(), &mut quantized));
            let alone = best(times, &mut || Products(&layer, &quantized).dispatch());
            let whole = best(times, &mut || layer.forward(&quantized, &mut out));
            (quantizing, products, finishing) =
                (quantizing + if again { 0.0 } else { quantize }, products + alone, finishing + whole - alone);
        }
        let mut wide = numbers(TOGETHER * WIDE);
        // Of the same numbers each time, or they would shrink.
        let fresh = wide.clone();
        let copying = best(TOKENS / TOGETHER, &mut || wide.copy_from_slice(&fresh));
        let gelu = best(TOKENS / TOGETHER, &mut || {
            wide.copy_from_slice(&fresh);
            activate(&mut wide, Activation::Gelu);
        });
        let (mut x, y, weight) = (numbers(TOKENS * HIDDEN), numbers(TOKENS * HIDDEN), numbers(HIDDEN));
        let norms = best(2, &mut || add_and_normalize(&mut x, Some(&y), &weight, &weight, 1e-12));
        let (heads, mut buffers, mut context) =
            (Heads { count: 12, size: HIDDEN / 12 }, Attention::default(), vec![0.0; TOKENS * HIDDEN]);
        let keys_values = numbers(2 * TOKENS * HIDDEN);
        let attention = best(1, &mut || buffers.run(heads, &y, &keys_values, &mut context));
        let parts = [
            ("products", products),
            ("scale and bias, in registers again", finishing),
            ("quantising", quantizing),
            ("GELU", gelu - copying),
            ("attention", attention),
            ("sums and norms", norms),
        ];
        let total: f64 = parts.iter().map(|(_, time)| time).sum();
        println!("a sequence of {TOKENS} tokens, {HIDDEN} wide, on one thread, {:?}: {total:.0} us", Kernel::best());
        for (part, time) in parts {
            println!("{part:>36} {time:>7.0} us {:>5.1} %", 100.0 * time / total);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_kernel_gives_the_plain_sums_on_every_instruction_set(rows in 1usize..30, inputs in 1usize..90, outputs in 1usize..120, seed in any::<u32>(), extreme in any::<bool>()) {
            let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(2_246_822_519);
            let weights: Vec<i8> = (0..inputs * outputs).map(|i| match extreme {
                true => [-128, 127][hash(i) as usize >> 31],
                false => (hash(i) >> 24) as i8,
            }).collect();
            let number = |i: usize| hash(i + 7) as f32 / u32::MAX as f32 - 0.3;
            let x: Vec<f32> = (0..rows * inputs).map(|i| if extreme { (hash(i) >> 31) as f32 } else { number(i) }).collect();
            let scale: Vec<f32> = (0..outputs).map(|i| number(i + 3).abs() + 1e-3).collect();
            let bias: Vec<f32> = (0..outputs).map(number).collect();
            for kernel in Kernel::available() {
                let layer = Linear8::with_kernel(kernel, &weights, scale.clone(), bias.clone(), inputs);
                let mut quantized = Quantized::default();
                layer.quantize(&x, layer.levels(), &mut quantized);
                let filled = |forward: &dyn Fn(&mut [f32])| {
                    let mut out = vec![f32::NAN; rows * outputs];
                    forward(&mut out);
                    out
                };
                let mut results = on_each_instruction_set(|run| filled(&|out| forward_on(run, &layer, &quantized, out)));
                prop_assert_eq!(&filled(&|out| layer.forward(&quantized, out)), &results[0], "the first is the machine's best");
                results.dedup();
                let plain = plain(&layer, &weights, &quantized);
                for results in results {
                    // The sums are the same to the last bit; their scaling may be fused or not.
                    for (out, (plain, size)) in results.iter().zip(&plain) {
                        prop_assert!((out - plain).abs() <= 1e-6 * size, "{kernel:?}: {out}, not {plain}");
                    }
                }
            }
        }

        /// Pairs of every sign and size, activations as large as the layer takes: nothing saturates, and one level more might.
        #[test]
        #[cfg(target_arch = "x86_64")]
        fn activations_are_as_large_as_pairs_of_weights_allow(weights in prop::collection::vec(any::<i8>(), 10), scarce in 0i8..=64) {
            let small: Vec<i8> = weights.iter().map(|v| (*v).clamp(-scarce, scarce)).collect();
            prop_assert_eq!(levels_in_pairs(&small, 5), 255, "7 bits are no limit");
            let levels = i32::from(levels_in_pairs(&weights, 5));
            prop_assert!((127..=255).contains(&levels));
            let pairs = || weights.chunks_exact(5).flat_map(|row| row.chunks(2));
            let extremes = |levels: i32| pairs().flat_map(move |pair| {
                [1, -1].map(|sign| pair.iter().map(|&v| (sign * i32::from(v)).max(0) * levels).sum::<i32>() * sign)
            });
            prop_assert!(extremes(levels).all(|sum| i16::try_from(sum).is_ok()));
            prop_assert!(levels == 255 || extremes(levels + 1).any(|sum| i16::try_from(sum).is_err()));
        }

        #[test]
        fn eight_bits_are_near_the_exact_product(rows in 1usize..5, inputs in 32usize..400, seed in any::<u32>()) {
            let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(2_246_822_519);
            let weights: Vec<i8> = (0..inputs * 3).map(|i| (hash(i) >> 24) as i8).collect();
            let x: Vec<f32> = (0..rows * inputs).map(|i| hash(i + 11) as f32 / u32::MAX as f32 * 2.0 - 1.0).collect();
            let layer = Linear8::new(&weights, vec![1.0 / 128.0; 3], vec![0.5; 3], inputs);
            let mut quantized = Quantized::default();
            layer.quantize(&x, layer.levels(), &mut quantized);
            let mut out = vec![0.0; rows * 3];
            layer.forward(&quantized, &mut out);
            // Rounding errors add up like a random walk; six deviations.
            let bound = 6.0 * (inputs as f32).sqrt() * (2.0 / f32::from(layer.levels)) / 12f32.sqrt();
            for (row, out) in x.chunks_exact(inputs).zip(out.chunks_exact(3)) {
                for (weights, out) in weights.chunks_exact(inputs).zip(out) {
                    let exact = 0.5 + row.iter().zip(weights).map(|(x, &v)| x * f32::from(v) / 128.0).sum::<f32>();
                    prop_assert!((out - exact).abs() < bound, "{out}, not {exact}");
                }
            }
        }
    }
}
