//! A fixed random rotation, which spreads a vector's length evenly over its components.
//!
//! Signs alone then say about the same of every vector, whatever model made it (Gao and Long 2024, "RaBitQ", section 3.1.2). A dense
//! random matrix would cost d² for each vector; sign flips and fast Hadamard transforms in turns do as well for d log d.

/// Rounds of flips and transforms.
const ROUNDS: u64 = 4;

/// An orthogonal map from vectors of `dimension` components to those of [`Rotation::padded`].
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    dimension: usize,
    padded: usize,
    /// The largest power of two that is not above `padded`.
    block: usize,
    /// For each round, 1 or -1 for each component.
    flips: Vec<f32>,
}

impl Rotation {
    /// The same for the same dimension, for ever: it is part of the file format.
    pub(crate) fn new(dimension: usize) -> Self {
        let padded = Self::padded_of(dimension);
        let block = if padded.is_power_of_two() { padded } else { padded.next_power_of_two() / 2 };
        let sign = |at: u64| if mix(at) >> 63 == 0 { 1.0 } else { -1.0 };
        let flips = (0..ROUNDS * padded as u64).map(sign).collect();
        Self { dimension, padded, block, flips }
    }

    /// Components of a rotated vector: those given, filled up to a multiple of 64.
    pub(crate) fn padded(&self) -> usize {
        self.padded
    }

    /// The same for vectors of `dimension` components.
    pub(crate) fn padded_of(dimension: usize) -> usize {
        dimension.next_multiple_of(64).max(64)
    }

    /// Rotates `vector` into `rotated`, which has room for [`Rotation::padded`] components. Lengths and angles stay.
    pub(crate) fn rotate(&self, vector: &[f32], rotated: &mut [f32]) {
        let (filled, rest) = rotated.split_at_mut(self.dimension);
        filled.copy_from_slice(vector);
        rest.fill(0.0);
        let half = self.padded / 2;
        for (round, flips) in self.flips.chunks_exact(self.padded).enumerate() {
            rotated.iter_mut().zip(flips).for_each(|(value, flip)| *value *= flip);
            if self.block == self.padded {
                transform(rotated);
                continue;
            }
            // Two overlapping blocks in turns; then each component of one half meets one of the other.
            let begin = if round % 2 == 0 { 0 } else { self.padded - self.block };
            transform(&mut rotated[begin..begin + self.block]);
            let (low, high) = rotated.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = ((*a + *b) * std::f32::consts::FRAC_1_SQRT_2, (*a - *b) * std::f32::consts::FRAC_1_SQRT_2);
            }
        }
    }
}

/// The Hadamard transform of a power of two of values, 64 or more, divided so that it keeps lengths. Each value is the sum that a level at a time
/// would give, to the bit: the levels are only taken in threes and twos, so that values are read and written seldom.
fn transform(values: &mut [f32]) {
    let (eights, _) = values.as_chunks_mut::<8>();
    for [a, b, c, d, e, f, g, h] in eights {
        let ((a1, b1), (c1, d1), (e1, f1), (g1, h1)) = (both(*a, *b), both(*c, *d), both(*e, *f), both(*g, *h));
        let ((a2, c2), (b2, d2), (e2, g2), (f2, h2)) = (both(a1, c1), both(b1, d1), both(e1, g1), both(f1, h1));
        ((*a, *e), (*b, *f), (*c, *g), (*d, *h)) = (both(a2, e2), both(b2, f2), both(c2, g2), both(d2, h2));
    }
    let mut width = 8;
    while 4 * width <= values.len() {
        for four in values.chunks_exact_mut(4 * width) {
            let (low, high) = four.split_at_mut(2 * width);
            let ((a, b), (c, d)) = (low.split_at_mut(width), high.split_at_mut(width));
            for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                let ((a1, b1), (c1, d1)) = (both(*a, *b), both(*c, *d));
                ((*a, *c), (*b, *d)) = (both(a1, c1), both(b1, d1));
            }
        }
        width *= 4;
    }
    if width < values.len() {
        let (low, high) = values.split_at_mut(width);
        low.iter_mut().zip(high).for_each(|(a, b)| (*a, *b) = both(*a, *b));
    }
    let scale = 1.0 / (values.len() as f32).sqrt();
    values.iter_mut().for_each(|value| *value *= scale);
}

/// The sum of two values and their difference.
fn both(a: f32, b: f32) -> (f32, f32) {
    (a + b, a - b)
}

/// SplitMix64 (Steele, Lea and Flood 2014, figure 16) of the place in the sequence.
fn mix(at: u64) -> u64 {
    let mut z = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn one_component_is_spread_over_all() {
        for dimension in [64, 100, 128, 384, 768, 1000, 1024] {
            let rotation = Rotation::new(dimension);
            for at in [0, 1, dimension / 2, dimension - 1] {
                let mut unit = vec![0.0; dimension];
                unit[at] = 1.0;
                let mut rotated = vec![0.0; rotation.padded()];
                rotation.rotate(&unit, &mut rotated);
                let largest = rotated.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                assert!(largest < 6.0 / (rotation.padded() as f32).sqrt(), "{dimension}, component {at}: {largest}");
            }
        }
    }

    /// The definition, one level after the other.
    fn plainly(values: &mut [f32]) {
        let mut width = 1;
        while width < values.len() {
            for first in (0..values.len()).filter(|at| at & width == 0) {
                (values[first], values[first + width]) =
                    (values[first] + values[first + width], values[first] - values[first + width]);
            }
            width *= 2;
        }
        let scale = 1.0 / (values.len() as f32).sqrt();
        values.iter_mut().for_each(|value| *value *= scale);
    }

    proptest! {
        #[test]
        fn a_transform_is_the_plain_one_to_the_bit(values in prop::collection::vec(-1.0f32..1.0, 1024), levels in 6_usize..11) {
            let mut plain = values[..1 << levels].to_vec();
            let mut quick = plain.clone();
            plainly(&mut plain);
            transform(&mut quick);
            prop_assert_eq!(bytemuck::cast_slice::<f32, u32>(&plain), bytemuck::cast_slice::<f32, u32>(&quick));
        }

        #[test]
        fn lengths_and_angles_stay(pairs in prop::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 1..300)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let rotation = Rotation::new(a.len());
            let (mut turned_a, mut turned_b) = (vec![0.0; rotation.padded()], vec![0.0; rotation.padded()]);
            rotation.rotate(&a, &mut turned_a);
            rotation.rotate(&b, &mut turned_b);
            prop_assert!((dot(&a, &b) - dot(&turned_a, &turned_b)).abs() < 1e-3);
            prop_assert!((dot(&a, &a) - dot(&turned_a, &turned_a)).abs() < 1e-3);
        }
    }
}
