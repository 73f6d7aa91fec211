//! What is done row by row: residual sums with layer normalisation, activations, quantisation.

use rten_simd::functional::simd_map;
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, Simd, SimdOp};

use super::math::{Constants, reduce};
use crate::model::config::Activation;

/// `x` + `y`, normalised row by row (Ba et al. 2016): (x - mean) / √(variance + ε) · weight + bias, into `x`. Without `y`, `x` alone.
///
/// `x` and `y` are [rows, width]; `weight` and `bias` are [width].
pub(in crate::model) fn add_and_normalize(x: &mut [f32], y: Option<&[f32]>, weight: &[f32], bias: &[f32], epsilon: f32) {
    AddAndNormalize { x, y, weight, bias, epsilon }.dispatch();
}

struct AddAndNormalize<'a> {
    x: &'a mut [f32],
    y: Option<&'a [f32]>,
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
}

impl SimdOp for AddAndNormalize<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let f = isa.f32();
        let width = self.weight.len();
        let per_element = 1.0 / width as f32;
        for (row, x) in self.x.chunks_exact_mut(width).enumerate() {
            if let Some(y) = self.y {
                let y = &y[row * width..][..width];
                each(
                    isa,
                    x,
                    y,
                    #[inline(always)]
                    |x, y| f.add(x, y),
                );
            }
            let sum = reduce(
                isa,
                x,
                0.0,
                #[inline(always)]
                |sum, x| f.add(sum, x),
            );
            let mean = sum.into_iter().sum::<f32>() * per_element;
            let center = f.splat(mean);
            let squares = reduce(
                isa,
                x,
                0.0,
                #[inline(always)]
                |sum, x| f.mul_add(f.sub(x, center), f.sub(x, center), sum),
            );
            let variance = squares.into_iter().sum::<f32>() * per_element;
            let scale = f.splat(1.0 / (variance + self.epsilon).sqrt());
            each(
                isa,
                x,
                self.weight,
                #[inline(always)]
                |x, weight| f.mul(f.mul(f.sub(x, center), scale), weight),
            );
            each(
                isa,
                x,
                self.bias,
                #[inline(always)]
                |x, bias| f.add(x, bias),
            );
        }
    }
}

/// x becomes `op`(x, y), element by element.
#[inline(always)]
fn each<I: Isa>(isa: I, x: &mut [f32], y: &[f32], op: impl Fn(I::F32, I::F32) -> I::F32) {
    let f = isa.f32();
    let lanes = f.len();
    let mut xs = x.chunks_exact_mut(lanes);
    let mut ys = y.chunks_exact(lanes);
    for (x, y) in xs.by_ref().zip(ys.by_ref()) {
        f.store(op(f.load(x), f.load(y)), x);
    }
    let (x, y) = (xs.into_remainder(), ys.remainder());
    if !x.is_empty() {
        let result = op(f.load_pad(x).0, f.load_pad(y).0).to_array();
        x.iter_mut().zip(result).for_each(|(x, result)| *x = result);
    }
}

/// Applies the activation to each element.
pub(super) fn activate(x: &mut [f32], activation: Activation) {
    Activate { x, activation }.dispatch();
}

pub(super) struct Activate<'a> {
    pub(super) x: &'a mut [f32],
    pub(super) activation: Activation,
}

impl SimdOp for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        match self.activation {
            Activation::Gelu => map(isa, self.x, Gelu),
            Activation::GeluTanh => map(isa, self.x, GeluTanh),
            Activation::Relu => map(isa, self.x, Relu),
        }
    }
}

#[inline(always)]
fn map<I: Isa>(isa: I, x: &mut [f32], function: impl Function) {
    let constants = Constants::new(isa);
    simd_map(
        isa.f32(),
        x,
        #[inline(always)]
        |x| function.of(isa, &constants, [x])[0],
    );
}

/// What becomes of each number of some registers; as a type, so that each is compiled with what is around it.
pub(super) trait Function: Copy {
    fn of<I: Isa, const N: usize>(self, isa: I, constants: &Constants<I>, x: [I::F32; N]) -> [I::F32; N];
}

#[derive(Clone, Copy)]
pub(super) struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn of<I: Isa, const N: usize>(self, isa: I, constants: &Constants<I>, x: [I::F32; N]) -> [I::F32; N] {
        constants.gelu(isa, x)
    }
}

#[derive(Clone, Copy)]
pub(super) struct GeluTanh;

impl Function for GeluTanh {
    #[inline(always)]
    fn of<I: Isa, const N: usize>(self, isa: I, constants: &Constants<I>, mut x: [I::F32; N]) -> [I::F32; N] {
        for x in &mut x {
            *x = constants.gelu_tanh(isa, *x);
        }
        x
    }
}

#[derive(Clone, Copy)]
pub(super) struct Relu;

impl Function for Relu {
    #[inline(always)]
    fn of<I: Isa, const N: usize>(self, isa: I, _: &Constants<I>, mut x: [I::F32; N]) -> [I::F32; N] {
        for x in &mut x {
            *x = isa.f32().max(*x, isa.f32().zero());
        }
        x
    }
}

/// Each row as whole numbers from 0 to `levels`: x ≈ least + step · q, least and step being the row's own.
///
/// `x` is [rows, width]; `bytes` is [rows, stride] and zero where it is wider than `x`. Rows whose `extremes` are known, all of them or
/// none, are not searched for them.
pub(super) fn quantize(x: Rows<'_>, stride: usize, levels: u8, bytes: &mut [u8], ranges: &mut [Range]) {
    Quantize { x, stride, levels, bytes, ranges }.dispatch();
}

/// Rows of numbers.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// [rows, width].
    pub(super) numbers: &'a [f32],
    pub(super) width: usize,
    /// Of each row, or none.
    pub(super) extremes: &'a [Extremes],
}

/// The smallest and the largest number of a row, each as the smallest and largest of some lanes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Extremes {
    least: [f32; Self::LANES],
    most: [f32; Self::LANES],
}

impl Extremes {
    /// As many as the widest registers have.
    const LANES: usize = 16;

    /// Of no numbers.
    pub(super) const NONE: Self = Self { least: [f32::INFINITY; Self::LANES], most: [f32::NEG_INFINITY; Self::LANES] };

    /// Of the numbers of a row.
    #[inline(always)]
    pub(super) fn of<I: Isa>(isa: I, row: &[f32]) -> Self {
        let f = isa.f32();
        let least = reduce(
            isa,
            row,
            f32::INFINITY,
            #[inline(always)]
            |least, x| f.min(least, x),
        );
        let most = reduce(
            isa,
            row,
            f32::NEG_INFINITY,
            #[inline(always)]
            |most, x| f.max(most, x),
        );
        let mut extremes = Self::NONE;
        extremes.least.iter_mut().zip(least).for_each(|(to, x)| *to = x);
        extremes.most.iter_mut().zip(most).for_each(|(to, x)| *to = x);
        extremes
    }

    /// With some more numbers of the row, in registers.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn add<I: Isa, const C: usize>(&mut self, isa: I, numbers: &[I::F32; C]) {
        let f = isa.f32();
        let (to_least, to_most) = (&mut self.least[..f.len()], &mut self.most[..f.len()]);
        let (mut least, mut most) = (f.load(to_least), f.load(to_most));
        for &x in numbers {
            (least, most) = (f.min(least, x), f.max(most, x));
        }
        f.store(least, to_least);
        f.store(most, to_most);
    }

    /// With some more numbers of the row.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn add_each(&mut self, numbers: &[f32]) {
        for &x in numbers {
            (self.least[0], self.most[0]) = (self.least[0].min(x), self.most[0].max(x));
        }
    }

    #[inline(always)]
    fn range(&self) -> [f32; 2] {
        [self.least.into_iter().fold(f32::INFINITY, f32::min), self.most.into_iter().fold(f32::NEG_INFINITY, f32::max)]
    }
}

/// How a row's numbers are read back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Range {
    pub(super) least: f32,
    pub(super) step: f32,
}

struct Quantize<'a> {
    x: Rows<'a>,
    stride: usize,
    levels: u8,
    bytes: &'a mut [u8],
    ranges: &'a mut [Range],
}

impl SimdOp for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        // Adding it rounds to a whole number (ties to even), which the low bits then hold.
        const MAGIC: f32 = 8_388_608.0; // 2^23
        let levels = f32::from(self.levels);
        let Rows { numbers, width, extremes } = self.x;
        let rows = numbers.chunks_exact(width).zip(self.bytes.chunks_exact_mut(self.stride));
        for (row, ((x, bytes), range)) in rows.zip(self.ranges).enumerate() {
            let [least, most] = match extremes.get(row) {
                Some(extremes) => extremes.range(),
                None => Extremes::of(isa, x).range(),
            };
            let spread = most - least;
            let per_step = if spread > 0.0 { levels / spread } else { 0.0 };
            *range = Range { least, step: spread / levels };
            let (bytes, rest) = bytes.split_at_mut(x.len());
            bytes.iter_mut().zip(x).for_each(|(byte, x)| *byte = ((x - least) * per_step + MAGIC).to_bits() as u8);
            rest.fill(0);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use rten_simd::isa::GenericIsa;

    use super::super::math::tests::normal;
    use super::*;

    /// Runs an operation on one of the instruction sets of this machine.
    pub(in crate::model::kernels) struct Run(Kind);

    enum Kind {
        Best,
        #[cfg(target_arch = "x86_64")]
        Avx2(rten_simd::isa::Avx2Isa),
        Generic,
    }

    impl Run {
        pub(in crate::model::kernels) fn apply<O: SimdOp>(&self, op: O) -> O::Output {
            match self.0 {
                Kind::Best => op.dispatch(),
                #[cfg(target_arch = "x86_64")]
                Kind::Avx2(isa) => op.eval(isa),
                Kind::Generic => op.eval(GenericIsa::new()),
            }
        }
    }

    /// What `work` gives on the widest instruction set, on AVX2 where the machine has it, and on none in particular.
    pub(in crate::model::kernels) fn on_each_instruction_set<T>(work: impl Fn(&Run) -> T) -> Vec<T> {
        let kinds = [
            Some(Kind::Best),
            #[cfg(target_arch = "x86_64")]
            rten_simd::isa::Avx2Isa::new().map(Kind::Avx2),
            Some(Kind::Generic),
        ];
        kinds.into_iter().flatten().map(|kind| work(&Run(kind))).collect()
    }

    fn numbers(count: usize, seed: u32, size: f32) -> Vec<f32> {
        let number = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(2_246_822_519) >> 8) as f32;
        (0..count as u32).map(|i| (number(i) / (1 << 24) as f32 - 0.5) * size).collect()
    }

    proptest! {
        #[test]
        fn normalised_rows_are_what_the_formula_says(rows in 1usize..5, width in 1usize..80, seed in any::<u32>(), offset in -3.0f32..3.0) {
            let x: Vec<f32> = numbers(rows * width, seed, 4.0).iter().map(|x| x + offset).collect();
            let y = numbers(rows * width, seed ^ 1, 2.0);
            let (weight, bias) = (numbers(width, seed ^ 2, 2.0), numbers(width, seed ^ 3, 2.0));
            for y in [Some(y.as_slice()), None] {
                let results = on_each_instruction_set(|run| {
                    let mut x = x.clone();
                    run.apply(AddAndNormalize { x: &mut x, y, weight: &weight, bias: &bias, epsilon: 1e-12 });
                    x
                });
                for row in 0..rows {
                    let sums: Vec<f64> = (row * width..(row + 1) * width).map(|i| f64::from(x[i] + y.map_or(0.0, |y| y[i]))).collect();
                    let mean = sums.iter().sum::<f64>() / width as f64;
                    let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                    // Where all are equal, rounding decides.
                    prop_assume!(width == 1 || variance > 1e-3);
                    for (column, sum) in sums.iter().enumerate() {
                        let expected = (sum - mean) / (variance + 1e-12).sqrt() * f64::from(weight[column]) + f64::from(bias[column]);
                        for result in &results {
                            let found = f64::from(result[row * width + column]);
                            prop_assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
                        }
                    }
                }
            }
        }

        #[test]
        fn quantised_rows_are_within_half_a_step(rows in 1usize..5, width in 1usize..80, seed in any::<u32>(), levels in prop::sample::select(vec![127u8, 255])) {
            let x = numbers(rows * width, seed, 7.0);
            let stride = width.next_multiple_of(4);
            let results = on_each_instruction_set(|run| {
                let (mut bytes, mut ranges) = (vec![9; rows * stride], vec![Range::default(); rows]);
                run.apply(Quantize { x: Rows { numbers: &x, width, extremes: &[] }, stride, levels, bytes: &mut bytes, ranges: &mut ranges });
                (bytes, ranges)
            });
            prop_assert!(results.iter().all(|result| *result == results[0]));
            let (bytes, ranges) = &results[0];
            for row in 0..rows {
                let Range { least, step } = ranges[row];
                for column in 0..stride {
                    let byte = bytes[row * stride + column];
                    prop_assert!(byte <= levels);
                    match column < width {
                        true => prop_assert!((least + step * f32::from(byte) - x[row * width + column]).abs() <= step * 0.501),
                        false => prop_assert_eq!(byte, 0),
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_of_one_value_is_its_own_range() {
        let (mut bytes, mut ranges) = ([7; 4], [Range::default()]);
        quantize(Rows { numbers: &[-2.5; 4], width: 4, extremes: &[] }, 4, 255, &mut bytes, &mut ranges);
        assert_eq!((bytes, ranges[0]), ([0; 4], Range { least: -2.5, step: 0.0 }));
    }

    #[test]
    fn what_is_no_number_stays_no_number() {
        let (mut bytes, mut ranges) = ([0; 20], [Range::default()]);
        quantize(Rows { numbers: &[f32::NAN; 20], width: 20, extremes: &[] }, 20, 255, &mut bytes, &mut ranges);
        assert!(ranges[0].step.is_nan() || ranges[0].least.is_nan() || ranges[0].least.is_infinite(), "{ranges:?}");
    }

    /// The plain twin: the formula.
    fn plain(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Gelu => x * normal(x),
            Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
            Activation::Relu => x.max(0.0),
        }
    }

    /// Numbers as a network has them, and any other that is finite: the largest, the smallest, and those below the normal ones.
    fn finite() -> impl Strategy<Value = f32> {
        use prop::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
        let any = POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO;
        prop_oneof![4 => -12.0f32..12.0, 1 => -1e4f32..1e4, 2 => any, 1 => Just(f32::MAX), 1 => Just(f32::MIN)]
    }

    proptest! {
        #[test]
        fn activations_are_what_their_formulas_say(x in prop::collection::vec(finite(), 1..70)) {
            for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
                for found in on_each_instruction_set(|run| {
                    let mut found = x.clone();
                    run.apply(Activate { x: &mut found, activation });
                    found
                }) {
                    for (&x, found) in x.iter().zip(found) {
                        let expected = plain(activation, f64::from(x));
                        let near = (f64::from(found) - expected).abs() <= 2e-6 * f64::from(x.abs().max(1.0));
                        prop_assert!(found.is_finite() && near, "{activation:?} of {x}: {found}, not {expected}");
                        // No activation makes anything larger, however small it is.
                        prop_assert!(found.abs() <= x.abs(), "{activation:?} of {x}: {found}");
                    }
                }
            }
        }
    }
}
