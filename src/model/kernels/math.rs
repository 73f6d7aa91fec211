//! Exponential and GELU, a vector at a time.

use rten_simd::ops::{BitOps, FloatOps, IntOps, NumOps, ToFloat};
use rten_simd::{Isa, Simd};

/// The constants that the functions want in registers.
pub(super) struct Constants<I: Isa> {
    least: I::F32,
    taylor: [I::F32; 7],
    bound: I::F32,
    scale: I::F32,
    one: I::F32,
    half: I::F32,
    normal: [I::F32; 13],
}

/// Φ(x) - 1/2 = x p(t) with t = 2 (x / 5)² - 1, on |x| ≤ 5: the polynomial that is least wrong where it is most (a Chebyshev
/// least-squares fit, reweighted until its errors are level), in powers of t. x Φ(x) is then wrong by 2e-6 at most.
const NORMAL: [f32; 13] = [
    0.141_363_79,
    -0.070_296_28,
    0.051_520_523,
    -0.040_442_61,
    0.031_442_17,
    -0.023_268_651,
    0.016_402_18,
    -0.011_164_343,
    0.006_410_503,
    -0.002_685_570_6,
    0.001_722_804_3,
    -0.001_613_267_2,
    0.000_608_726_25,
];

/// Beyond it Φ is 0 or 1 to 3e-7.
const BOUND: f32 = 5.0;

/// 2^x = Σ (x ln 2)^n / n!: what each power of x is multiplied with.
const TAYLOR: [f32; 7] = {
    let (mut terms, mut term, mut n) = ([1.0; 7], 1.0, 1);
    while n < terms.len() {
        term *= std::f64::consts::LN_2 / n as f64;
        terms[n] = term as f32;
        n += 1;
    }
    terms
};

/// Not by `map`, which is not always inlined: what is in registers at a call goes to memory.
#[inline(always)]
fn splat<I: Isa, const N: usize>(isa: I, constants: [f32; N]) -> [I::F32; N] {
    let mut registers = [isa.f32().zero(); N];
    for (register, constant) in registers.iter_mut().zip(constants) {
        *register = isa.f32().splat(constant);
    }
    registers
}

impl<I: Isa> Constants<I> {
    #[inline(always)]
    pub(super) fn new(isa: I) -> Self {
        let f = isa.f32();
        Self {
            least: f.splat(-126.0),
            taylor: splat(isa, TAYLOR),
            bound: f.splat(BOUND),
            scale: f.splat(2.0 / (BOUND * BOUND)),
            one: f.one(),
            half: f.splat(0.5),
            normal: splat(isa, NORMAL),
        }
    }

    /// 2 to the power of x, for x ≤ 0; relative error below 3e-7. Below -126 it is 2^-126.
    ///
    /// A polynomial for what is left over a whole number (Taylor, degree 6, on ±1/2), whose exponent the whole number is added to.
    #[inline(always)]
    pub(super) fn exp2(&self, isa: I, x: I::F32) -> I::F32 {
        let (f, i) = (isa.f32(), isa.i32());
        let x = f.max(x, self.least);
        let power = f.to_int_round(x);
        let rest = f.sub(x, i.to_float(power));
        let mut sum = self.taylor[6];
        for &c in self.taylor[..6].iter().rev() {
            sum = f.mul_add(sum, rest, c);
        }
        let bits: I::I32 = sum.reinterpret_cast();
        i.add(bits, i.shift_left::<23>(power)).reinterpret_cast()
    }

    /// x Φ(x) (Hendrycks and Gimpel 2016), the exact GELU, to 2e-6 where |x| is at most 5, and to 3e-7 |x| beyond.
    ///
    /// Of several registers in step, because each is a chain of 13 operations that wait for each other.
    #[inline(always)]
    pub(super) fn gelu<const N: usize>(&self, isa: I, x: [I::F32; N]) -> [I::F32; N] {
        let f = isa.f32();
        let (mut near, mut t, mut sum) = (x, x, [self.normal[12]; N]);
        for n in 0..N {
            near[n] = f.max(f.min(x[n], self.bound), f.neg(self.bound));
            t[n] = f.sub(f.mul(f.mul(near[n], near[n]), self.scale), self.one);
        }
        for &c in self.normal[..12].iter().rev() {
            for n in 0..N {
                sum[n] = f.mul_add(sum[n], t[n], c);
            }
        }
        for n in 0..N {
            sum[n] = f.mul(x[n], f.mul_add(near[n], sum[n], self.half));
        }
        sum
    }

    /// GELU's approximation by a hyperbolic tangent (Hendrycks and Gimpel 2016, section 2): x σ(2 √(2/π) (x + 0.044715 x³)).
    #[inline(always)]
    pub(super) fn gelu_tanh(&self, isa: I, x: I::F32) -> I::F32 {
        let f = isa.f32();
        let cubic = f.mul_add(f.mul(f.mul(x, x), x), f.splat(0.044_715), x);
        let z = f.mul(cubic, f.splat(1.595_769));
        // σ(z) from e^-|z|, which cannot overflow: 1 / (1 + e) for z ≥ 0, and e / (1 + e) below.
        let e = self.exp2(isa, f.mul(f.neg(f.abs(z)), f.splat(std::f32::consts::LOG2_E)));
        let top = f.select(self.one, e, f.ge(z, f.zero()));
        f.mul(x, f.div(top, f.add(self.one, e)))
    }
}

/// All of `values` and `start` by an operation whose order does not matter; the last combination, of the lanes, is the caller's.
///
/// As `rten_simd::Iter::fold`, which compilers do not always put where the instructions are allowed.
#[inline(always)]
pub(super) fn reduce<I: Isa>(
    isa: I,
    values: &[f32],
    start: f32,
    op: impl Fn(I::F32, I::F32) -> I::F32,
) -> <I::F32 as Simd>::Array {
    let f = isa.f32();
    let mut total = f.splat(start);
    let mut chunks = values.chunks_exact(f.len());
    for chunk in chunks.by_ref() {
        total = op(total, f.load(chunk));
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let (values, mask) = f.load_pad(rest);
        total = f.select(op(total, values), total, mask);
    }
    total.to_array()
}

#[cfg(test)]
pub(super) mod tests {
    use rten_simd::SimdOp;

    use super::*;

    enum Function {
        Exp2,
        Gelu,
        GeluTanh,
    }

    struct Apply<'a>(&'a Function, &'a mut [f32]);

    impl SimdOp for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn eval<I: Isa>(self, isa: I) {
            let (constants, f) = (Constants::new(isa), isa.f32());
            let Self(function, values) = self;
            rten_simd::functional::simd_map(f, values, |x| match function {
                Function::Exp2 => constants.exp2(isa, x),
                Function::Gelu => constants.gelu(isa, [x])[0],
                Function::GeluTanh => constants.gelu_tanh(isa, x),
            });
        }
    }

    fn on_each_instruction_set(function: &Function, values: &[f32], check: impl Fn(f64, f32)) {
        let results = super::super::rows::tests::on_each_instruction_set(|run| {
            let mut values = values.to_vec();
            run.apply(Apply(function, &mut values));
            values
        });
        for result in results {
            values.iter().zip(result).for_each(|(&x, y)| check(f64::from(x), y));
        }
    }

    /// Φ by its series (Marsaglia 2004) near 0, where it converges well enough in f64; its asymptote far away.
    pub(in crate::model::kernels) fn normal(x: f64) -> f64 {
        if x.abs() > 7.0 {
            return if x > 0.0 { 1.0 } else { 0.0 };
        }
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > 1e-17 {
            n += 2.0;
            term *= x * x / n;
            sum += term;
        }
        0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    fn many() -> Vec<f32> {
        (-20_000..20_000).map(|i| i as f32 * 1e-3).chain([-0.0, 1e-30, -1e-30, 3e4, -3e4, f32::MIN_POSITIVE]).collect()
    }

    #[test]
    fn powers_of_two_are_exact_to_the_last_bits() {
        let values: Vec<f32> = (0..126_000).map(|i| i as f32 * -1e-3).collect();
        on_each_instruction_set(&Function::Exp2, &values, |x, y| {
            assert!((f64::from(y) / x.exp2() - 1.0).abs() < 3e-7, "2^{x}: {y}");
        });
        on_each_instruction_set(&Function::Exp2, &[-1e30, f32::NEG_INFINITY], |x, y| {
            assert!((0.0..1e-37).contains(&y), "2^{x}: {y}")
        });
    }

    #[test]
    fn gelu_is_x_times_the_normal_distribution() {
        on_each_instruction_set(&Function::Gelu, &many(), |x, y| {
            assert!((f64::from(y) - x * normal(x)).abs() < 2e-6 * x.abs().max(1.0), "{x}: {y}, not {}", x * normal(x));
        });
    }

    #[test]
    fn gelu_by_tanh_is_what_its_formula_says() {
        on_each_instruction_set(&Function::GeluTanh, &many(), |x, y| {
            let formula = 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh());
            assert!((f64::from(y) - formula).abs() < 1e-6 * x.abs().max(1.0), "{x}: {y}, not {formula}");
        });
    }
}
