//! Dense layers in 8 bits: activations quantised row by row, weights as the model's file has them.
//!
//! With x ≈ least + step · q for a row of activations (q from 0 to at most 255), and w = scale · v for an output's weights (v from -128
//! to 127): Σ x w = step · scale · Σ q v + least · scale · Σ v. The first sum is whole numbers; the second is known when the
//! weights are read. Only the rounding of x is lost, and a row's numbers do not depend on what else is in a batch.
//!
//! On x86-64 the right side, and the activation where one follows, is computed while a tile's sums are in registers, and the row's extremes
//! are kept up: the next layer wants them before it can quantise, which it can once all panels are done.

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
#[cfg(target_arch = "x86_64")]
use rten_simd::ops::{BitOps, NumOps, ToFloat};
use rten_simd::{Isa, SimdOp};
use rten_tensor::prelude::*;
use rten_tensor::{Matrix, NdTensor, NdTensorView};

#[cfg(target_arch = "x86_64")]
use super::math::Constants;
use super::rows::{Activate, Extremes, Range, Rows, quantize};
#[cfg(target_arch = "x86_64")]
use super::rows::{Function, Gelu, GeluTanh, Relu};
#[cfg(target_arch = "x86_64")]
use super::x86::{Epilogue, Instructions};
use crate::model::config::Activation;

/// Columns of a panel: the weights that a tile reads together.
pub(super) const PANEL: usize = 48;

/// Four bytes of one row, along the depth.
#[cfg(target_arch = "x86_64")]
pub(super) type Quad = [u8; 4];

/// Four weights, along the depth, of each column of a panel.
#[cfg(target_arch = "x86_64")]
pub(super) type Step = [i8; 4 * PANEL];

/// What multiplies.
#[derive(Clone, Copy, Debug)]
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

    /// Takes `x` for a layer.
    fn set(&mut self, x: Rows<'_>, levels: u8) {
        let rows = x.numbers.len() / x.width;
        self.stride = x.width.next_multiple_of(4);
        self.bytes.resize(rows * self.stride, 0);
        self.ranges.resize(rows, Range::default());
        quantize(x, self.stride, levels, &mut self.bytes, &mut self.ranges);
    }
}

/// A dense layer in 8 bits.
pub(in crate::model) struct Linear8 {
    weights: Weights,
    levels: u8,
    columns: Vec<Columns>,
    inputs: usize,
    outputs: usize,
}

/// What the sums of a panel's outputs are finished with; zero where there is no output.
#[derive(Clone)]
struct Columns {
    scale: [f32; PANEL],
    /// scale · Σ v, for each output.
    sums: [f32; PANEL],
    bias: [f32; PANEL],
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
        let outputs = bias.len();
        let mut columns = vec![Columns { scale: [0.0; PANEL], sums: [0.0; PANEL], bias: [0.0; PANEL] }; outputs.div_ceil(PANEL)];
        for (output, ((row, scale), bias)) in weights.chunks_exact(inputs).zip(scale).zip(bias).enumerate() {
            let (columns, at) = (&mut columns[output / PANEL], output % PANEL);
            columns.scale[at] = scale;
            columns.sums[at] = scale * row.iter().map(|&v| i32::from(v)).sum::<i32>() as f32;
            columns.bias[at] = bias;
        }
        let packed = match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Tiles(instructions) => Weights::Panels(panels(weights, inputs), instructions),
            Kernel::Library => {
                let by_input: Matrix<'_, i8> = NdTensorView::from_data([outputs, inputs], weights);
                let mut filled = NdTensor::<i8, 2>::zeros([inputs.next_multiple_of(4), outputs]);
                filled.slice_mut(..inputs).copy_from(&by_input.transposed());
                Weights::Packed(GemmExecutor::<u8, i8, i32>::new().prepack_b(filled.view()))
            }
        };
        Self { weights: packed, levels: kernel.levels(weights, inputs), columns, inputs, outputs }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The largest number of an activation that the layer takes.
    pub(super) fn levels(&self) -> u8 {
        self.levels
    }

    /// Quantises `x`, [rows, inputs], as this layer and others with as many inputs take it, to numbers up to `levels`, which is
    /// no more than any of them takes. `extremes` are those of each row, or none where they are not known.
    pub(super) fn quantize(&self, x: &[f32], extremes: &[Extremes], levels: u8, into: &mut Quantized) {
        into.set(Rows { numbers: x, width: self.inputs, extremes }, levels);
    }

    /// [rows, inputs] to [rows, outputs].
    pub(super) fn forward(&self, x: &Quantized, out: &mut [f32]) {
        self.apply(x, None, out);
    }

    /// [rows, inputs] to the activation of [rows, outputs], and the extremes of each row.
    pub(super) fn forward_and_activate(
        &self,
        x: &Quantized,
        activation: Activation,
        out: &mut [f32],
        extremes: &mut Vec<Extremes>,
    ) {
        extremes.clear();
        extremes.resize(x.rows(), Extremes::NONE);
        self.apply(x, Some((activation, extremes)), out);
    }

    fn apply(&self, x: &Quantized, then: Option<Then<'_>>, out: &mut [f32]) {
        match &self.weights {
            #[cfg(target_arch = "x86_64")]
            Weights::Panels(panels, instructions) => {
                Tiles { layer: self, panels, instructions: *instructions, x, then, out }.run()
            }
            Weights::Packed(packed) => {
                Whole { layer: self, sums: &library_sums(packed, x, out.len()), x, then, out }.dispatch();
            }
        }
    }
}

/// An activation, and where the extremes of each row of what it gives go.
type Then<'a> = (Activation, &'a mut [Extremes]);

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

/// A layer by tiles: each panel, small enough for the first cache, with all rows.
#[cfg(target_arch = "x86_64")]
struct Tiles<'a> {
    layer: &'a Linear8,
    panels: &'a [Step],
    instructions: Instructions,
    x: &'a Quantized,
    then: Option<Then<'a>>,
    out: &'a mut [f32],
}

#[cfg(target_arch = "x86_64")]
impl Tiles<'_> {
    fn run(self) {
        match self.then.as_ref().map(|(activation, _)| *activation) {
            None => self.run_then::<_, false>(Same),
            Some(Activation::Gelu) => self.run_then::<_, true>(Gelu),
            Some(Activation::GeluTanh) => self.run_then::<_, true>(GeluTanh),
            Some(Activation::Relu) => self.run_then::<_, true>(Relu),
        }
    }

    fn run_then<F: Function, const EXTREMES: bool>(self, function: F) {
        let Self { layer, panels, instructions, x, then, out } = self;
        let extremes = then.map_or_else(Default::default, |(_, extremes)| extremes);
        let mut finish = Finish::<F, EXTREMES> { layer, x, function, extremes, out, row: 0, panel: 0 };
        each_tile(instructions, x, panels, &mut finish);
    }
}

/// Numbers stay as they are.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Same;

#[cfg(target_arch = "x86_64")]
impl Function for Same {
    #[inline(always)]
    fn of<I: Isa, const N: usize>(self, _: I, _: &Constants<I>, x: [I::F32; N]) -> [I::F32; N] {
        x
    }
}

/// All tiles, whose sums go to `epilogue`.
#[cfg(target_arch = "x86_64")]
fn each_tile(instructions: Instructions, x: &Quantized, panels: &[Step], epilogue: &mut impl Epilogue) {
    let (quads, _) = x.bytes.as_chunks::<4>();
    let steps = x.stride / 4;
    for (index, panel) in panels.chunks_exact(steps).enumerate() {
        let mut at = 0;
        while at < x.rows() {
            let quads = &quads[at * steps..];
            epilogue.begin(at, index);
            at += match instructions.rows().min(x.rows() - at) {
                8 => tile::<8>(instructions, quads, panel, epilogue),
                4..8 => tile::<4>(instructions, quads, panel, epilogue),
                2 | 3 => tile::<2>(instructions, quads, panel, epilogue),
                _ => tile::<1>(instructions, quads, panel, epilogue),
            };
        }
    }
}

/// The first `R` rows by one panel; returns `R`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tile<const R: usize>(instructions: Instructions, quads: &[Quad], panel: &[Step], epilogue: &mut impl Epilogue) -> usize {
    let mut rows: [&[Quad]; R] = [&[]; R];
    for (row, quads) in rows.iter_mut().zip(quads.chunks_exact(panel.len())) {
        *row = quads;
    }
    instructions.tile(rows, panel, epilogue);
    R
}

/// A loop that is written out: what it goes over, in one that stays a loop, would be in memory over the whole depth of a tile.
#[cfg(target_arch = "x86_64")]
macro_rules! each {
    ($at:ident of $count:ident, $body:block) => { each!($at of $count, $body, 0 1 2 3 4 5 6 7) };
    ($at:ident of $count:ident, $body:block, $($number:literal)*) => {
        $(if $number < $count {
            let $at = $number;
            $body
        })*
    };
}

/// A tile's sums become numbers, and those are activated, while they are in registers. The function and whether extremes are wanted are
/// types, so that each tile is compiled with what follows it and nothing else.
#[cfg(target_arch = "x86_64")]
struct Finish<'a, F, const EXTREMES: bool> {
    layer: &'a Linear8,
    x: &'a Quantized,
    function: F,
    /// Of each row, where they are wanted.
    extremes: &'a mut [Extremes],
    out: &'a mut [f32],
    /// The tile's first row.
    row: usize,
    panel: usize,
}

#[cfg(target_arch = "x86_64")]
impl<F: Function, const EXTREMES: bool> Epilogue for Finish<'_, F, EXTREMES> {
    fn begin(&mut self, row: usize, panel: usize) {
        (self.row, self.panel) = (row, panel);
    }

    #[inline(always)]
    fn finish<I: Isa, const R: usize, const C: usize>(&mut self, isa: I, sums: &[[I::I32; C]; R], column: usize) {
        let (f, i, constants) = (isa.f32(), isa.i32(), Constants::new(isa));
        let (lanes, outputs, first) = (f.len(), self.layer.outputs, self.panel * PANEL + column);
        let Columns { scale, sums: offset, bias } = &self.layer.columns[self.panel];
        let Some(ranges) = self.x.ranges[self.row..].first_chunk::<R>() else { return };
        let mut rows = self.out[self.row * outputs..].chunks_exact_mut(outputs);
        let mut extremes = self.extremes.iter_mut().skip(self.row);
        each!(r of R, {
            let (least, step) = (f.splat(ranges[r].least), f.splat(ranges[r].step));
            let mut numbers = [f.zero(); C];
            each!(c of C, {
                let at = column + c * lanes..column + (c + 1) * lanes;
                let shift = f.mul_add(least, f.load(&offset[at.clone()]), f.load(&bias[at.clone()]));
                numbers[c] = f.mul_add(i.to_float(sums[r][c]), f.mul(step, f.load(&scale[at])), shift);
            });
            let numbers = self.function.of(isa, &constants, numbers);
            let Some(out) = rows.next() else { return };
            let extremes = if EXTREMES { extremes.next() } else { None };
            if let Some(out) = out.get_mut(first..first + C * lanes) {
                each!(c of C, {
                    f.store(numbers[c], &mut out[c * lanes..][..lanes]);
                });
                if let Some(extremes) = extremes {
                    extremes.add(isa, &numbers);
                }
            } else if let Some(out) = out.get_mut(first..) {
                let mut filled = [0.0; PANEL];
                each!(c of C, {
                    f.store(numbers[c], &mut filled[c * lanes..][..lanes]);
                });
                store_part(&filled, out, extremes);
            }
        });
    }
}

/// The columns of a row that are outputs, where the last panel has others.
#[cfg(target_arch = "x86_64")]
#[cold]
fn store_part(filled: &[f32; PANEL], out: &mut [f32], extremes: Option<&mut Extremes>) {
    out.copy_from_slice(&filled[..out.len()]);
    if let Some(extremes) = extremes {
        extremes.add_each(out);
    }
}

/// The end of a layer where a library has made all sums: what [`Finish`] does, row by row.
struct Whole<'a> {
    layer: &'a Linear8,
    sums: &'a [i32],
    x: &'a Quantized,
    then: Option<Then<'a>>,
    out: &'a mut [f32],
}

impl SimdOp for Whole<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        let outputs = self.layer.outputs;
        let rows = self.sums.chunks_exact(outputs).zip(self.out.chunks_exact_mut(outputs));
        for (row, ((sums, out), range)) in rows.zip(&self.x.ranges).enumerate() {
            for ((out, sums), columns) in out.chunks_mut(PANEL).zip(sums.chunks(PANEL)).zip(&self.layer.columns) {
                let columns = columns.scale.iter().zip(&columns.sums).zip(&columns.bias);
                for ((out, sum), ((scale, offset), bias)) in out.iter_mut().zip(sums).zip(columns) {
                    *out = *sum as f32 * (range.step * scale) + (range.least * offset + bias);
                }
            }
            if let Some((activation, extremes)) = &mut self.then {
                Activate { x: out, activation: *activation }.eval(isa);
                extremes[row] = Extremes::of(isa, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rows::tests::on_each_instruction_set;
    use super::*;

    /// What a layer gives, and by each instruction set that what follows its products can take; in tiles that is the tile's.
    fn on_each(layer: &Linear8, x: &Quantized, then: Option<Activation>) -> Vec<(Vec<f32>, Vec<Extremes>)> {
        let filled = |forward: &dyn Fn(Option<Then<'_>>, &mut [f32])| {
            let (mut out, mut extremes) = (vec![f32::NAN; x.rows() * layer.outputs], vec![Extremes::NONE; x.rows()]);
            forward(then.map(|then| (then, extremes.as_mut_slice())), &mut out);
            (out, extremes)
        };
        let own = filled(&|then, out| layer.apply(x, then, out));
        let others = match &layer.weights {
            #[cfg(target_arch = "x86_64")]
            Weights::Panels(..) => Vec::new(),
            Weights::Packed(packed) => on_each_instruction_set(|run| {
                filled(&|then, out| run.apply(Whole { layer, sums: &library_sums(packed, x, out.len()), x, then, out }))
            }),
        };
        std::iter::once(own).chain(others).collect()
    }

    /// The plain twin: the sums of the quantised numbers, one after the other, and the formula; rounded once for each product and sum, and
    /// once for both; with the size of what is added up.
    fn plain(layer: &Linear8, weights: &[i8], x: &Quantized) -> Vec<(f32, f32, f32)> {
        let mut out = Vec::new();
        for (bytes, range) in x.bytes.chunks_exact(x.stride).zip(&x.ranges) {
            for (output, row) in weights.chunks_exact(layer.inputs).enumerate() {
                let sum: i64 = bytes.iter().zip(row).map(|(&q, &v)| i64::from(q) * i64::from(v)).sum();
                let (columns, at) = (&layer.columns[output / PANEL], output % PANEL);
                let (scale, offset, bias) = (columns.scale[at], columns.sums[at], columns.bias[at]);
                let terms = [sum as f32 * (range.step * scale), range.least * offset, bias];
                let fused = (sum as f32).mul_add(range.step * scale, range.least.mul_add(offset, bias));
                out.push((terms[0] + (terms[1] + terms[2]), fused, terms.iter().map(|term| term.abs()).sum()));
            }
        }
        out
    }

    /// Products alone: the sums as they are.
    #[cfg(target_arch = "x86_64")]
    struct Sums([[i32; PANEL]; 8]);

    #[cfg(target_arch = "x86_64")]
    impl Epilogue for Sums {
        fn begin(&mut self, _: usize, _: usize) {}

        #[inline(always)]
        fn finish<I: Isa, const R: usize, const C: usize>(&mut self, isa: I, sums: &[[I::I32; C]; R], column: usize) {
            let i = isa.i32();
            for (sums, to) in sums.iter().zip(&mut self.0) {
                for (sum, to) in sums.iter().zip(to[column..].chunks_exact_mut(i.len())) {
                    i.store(*sum, to);
                }
            }
            std::hint::black_box(&self.0);
        }
    }

    /// Not a test: what a layer of both models spends its time on. `cargo test --lib what_a_layer_takes -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement, which no machine can fail"]
    #[allow(clippy::print_stdout)]
    #[cfg(target_arch = "x86_64")]
    fn what_a_layer_takes() {
        use std::time::{Duration, Instant};

        use super::super::rows::add_and_normalize;
        use super::super::{Attention, Heads};

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
        let dense = |kernel: Kernel| -> Option<[f64; 4]> {
            let [mut quantizing, mut products, mut finishing, mut activating] = [0.0; 4];
            // Inputs, outputs, rows, how often, whether the input was quantised for the layer before, and whether GELU follows.
            for (inputs, outputs, rows, times, again, activated) in [
                (HIDDEN, HIDDEN, TOKENS, 1, false, false),
                (HIDDEN, 2 * HIDDEN, TOKENS, 1, true, false),
                (HIDDEN, HIDDEN, TOKENS, 1, false, false),
                (HIDDEN, WIDE, TOGETHER, TOKENS / TOGETHER, false, true),
                (WIDE, HIDDEN, TOGETHER, TOKENS / TOGETHER, false, false),
            ] {
                let weights: Vec<i8> = (0..inputs * outputs).map(|i| (i * 7919) as i8).collect();
                let layer = Linear8::with_kernel(kernel, &weights, vec![0.01; outputs], vec![0.1; outputs], inputs);
                let Weights::Panels(panels, instructions) = &layer.weights else { return None };
                let (x, mut quantized, mut out) = (numbers(rows * inputs), Quantized::default(), vec![0.0; rows * outputs]);
                // The layer before the last has told the extremes.
                let mut extremes = vec![Extremes::NONE; if inputs == WIDE { rows } else { 0 }];
                extremes.iter_mut().zip(x.chunks_exact(inputs)).for_each(|(extremes, x)| extremes.add_each(x));
                let quantize = best(times, &mut || layer.quantize(&x, &extremes, layer.levels(), &mut quantized));
                let mut sums = Sums([[0; PANEL]; 8]);
                let alone = best(times, &mut || each_tile(*instructions, &quantized, panels, &mut sums));
                let whole = best(times, &mut || layer.forward(&quantized, &mut out));
                let gelu = Activation::Gelu;
                let more = best(times, &mut || layer.forward_and_activate(&quantized, gelu, &mut out, &mut extremes)) - whole;
                quantizing += if again { 0.0 } else { quantize };
                (products, finishing) = (products + alone, finishing + whole - alone);
                activating += if activated { more } else { 0.0 };
            }
            Some([quantizing, products, finishing, activating])
        };
        let Some([quantizing, products, finishing, activating]) = dense(Kernel::best()) else { return };
        let (mut x, y, weight) = (numbers(TOKENS * HIDDEN), numbers(TOKENS * HIDDEN), numbers(HIDDEN));
        let norms = best(2, &mut || add_and_normalize(&mut x, Some(&y), &weight, &weight, 1e-12));
        let (heads, mut buffers, mut context) =
            (Heads { count: 12, size: HIDDEN / 12 }, Attention::default(), vec![0.0; TOKENS * HIDDEN]);
        let keys_values = numbers(2 * TOKENS * HIDDEN);
        let attention = best(1, &mut || buffers.run(heads, &y, &keys_values, &mut context));
        let parts = [
            ("products", products),
            ("scale and bias", finishing),
            ("GELU, with each row's extremes", activating),
            ("quantising", quantizing),
            ("attention", attention),
            ("sums and norms", norms),
        ];
        let total: f64 = parts.iter().map(|(_, time)| time).sum();
        println!("a sequence of {TOKENS} tokens, {HIDDEN} wide, on one thread, {:?}: {total:.0} us", Kernel::best());
        for (part, time) in parts {
            println!("{part:>36} {time:>7.0} us {:>5.1} %", 100.0 * time / total);
        }
        for kernel in Kernel::available().into_iter().skip(1) {
            let Some([_, products, finishing, activating]) = dense(kernel) else { continue };
            println!("products, scale, bias and GELU by {kernel:?}: {:.0} us", products + finishing + activating);
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
                layer.quantize(&x, &[], layer.levels(), &mut quantized);
                let plain = plain(&layer, &weights, &quantized);
                for (out, _) in on_each(&layer, &quantized, None) {
                    // The sums are the same to the last bit; their scaling may be fused or not, and is in tiles.
                    for (out, (plain, fused, size)) in out.iter().zip(&plain) {
                        prop_assert!((out - plain).abs() <= 1e-6 * size, "{kernel:?}: {out}, not {plain}");
                        prop_assert!(matches!(kernel, Kernel::Library) || out == fused, "{kernel:?}: {out}, not {fused}");
                    }
                }
            }
        }

        /// The twin is what a layer gives, activated in a pass of its own, whose own twin is a formula; quantised after another search for
        /// the extremes. All is the same to the last bit, rows and columns that fill no tile too.
        #[test]
        fn what_is_activated_in_a_tile_is_what_is_activated_after_it(rows in 1usize..30, inputs in 1usize..50, outputs in 1usize..120, seed in any::<u32>(), size in 0.001f32..0.2) {
            let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(2_246_822_519);
            let weights: Vec<i8> = (0..inputs * outputs).map(|i| (hash(i) >> 24) as i8).collect();
            let numbers = |count: usize| (0..count).map(|i| hash(i + 7) as f32 / u32::MAX as f32 - 0.5).collect::<Vec<f32>>();
            for kernel in Kernel::available() {
                let layer = Linear8::with_kernel(kernel, &weights, vec![size; outputs], numbers(outputs), inputs);
                let next = Linear8::with_kernel(kernel, &vec![1; outputs], vec![1.0], vec![0.0], outputs);
                let mut x = Quantized::default();
                layer.quantize(&numbers(rows * inputs), &[], layer.levels(), &mut x);
                let before = on_each(&layer, &x, None);
                for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
                    let activated = on_each_instruction_set(|run| {
                        let one = |(x, _): &(Vec<f32>, _)| {
                            let mut x = x.clone();
                            run.apply(Activate { x: &mut x, activation });
                            x
                        };
                        before.iter().map(one).collect::<Vec<_>>()
                    });
                    for (at, (out, extremes)) in on_each(&layer, &x, Some(activation)).iter().enumerate() {
                        // The first two are by the best instructions, in either list.
                        let expected = &activated[at.saturating_sub(1)][at];
                        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                        prop_assert_eq!(bits(out), bits(expected), "{:?} {:?} {}", kernel, activation, at);
                        let (mut told, mut searched) = (Quantized::default(), Quantized::default());
                        next.quantize(out, extremes, next.levels(), &mut told);
                        next.quantize(out, &[], next.levels(), &mut searched);
                        prop_assert_eq!(&told.ranges, &searched.ranges, "{:?} {:?} {}", kernel, activation, at);
                        prop_assert_eq!(&told.bytes, &searched.bytes);
                        for (range, row) in told.ranges.iter().zip(out.chunks_exact(outputs)) {
                            prop_assert_eq!(range.least, row.iter().copied().fold(f32::INFINITY, f32::min));
                        }
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
            layer.quantize(&x, &[], layer.levels(), &mut quantized);
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
