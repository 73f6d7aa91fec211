//! Compact codes: one bit a dimension, and what is needed to bound a similarity by them.
//!
//! Of a vector x, less the centre c of its file, only the signs s of its rotated components are kept, with three numbers (Gao and
//! Long 2024, "RaBitQ", section 3): for r = x - c, z the rotation of r and q' that of a query q less c,
//!
//! ```text
//! <x, q>  =  <c, q> + <x - c, c> + <z, q'>          <z, q'>  ≈  f <s, q'>,  f = |r|² / Σ|z_i|
//! ```
//!
//! and by distances, where nothing large is taken from anything large,
//!
//! ```text
//! -|x - q|²  =  -|q - c|² - |x - c|² + 2 <z, q'>
//! ```
//!
//! The error of the last term is about normal with the deviation |q'| e, e = sqrt(f² p - |r|²) / sqrt(p - 1) for p components. What
//! a similarity must be at most is therefore known, so the best can be found by comparing exactly only those that may be among them.
//!
//! The first p / 2 signs s₁ tell less, and enough to know of most rows that they are too far away. By the same equations, with sums over the first p / 2
//! components of z,
//!
//! ```text
//! <z, q'>  ≈  f₁ <s₁, q'₁>,  f₁ = |r|² / Σ₁|z_i|         with the deviation |q'| e₁, e₁ = sqrt(f₁² p / 2 - |r|²) / sqrt(p - 1)
//! ```
//!
//! Rows lie in blocks of 32, so that one shuffle looks up four dimensions of 16 rows ([`super::sums`]), in two halves ([`super::blocks`]): for each group of four
//! components 16 bytes, byte i holding row i in its low half and row i + 16 in its high half; then three numbers of each row, all of a kind
//! together. The first half of a block ends with f₁, b = <x - c, c> and e₁ in 2 bytes each, the upper half of a 32-bit float, rounded up; the second
//! with f, b and e in 4 bytes each. By distances b is -|x - c|², and the others are twice as large. All is little-endian.

use super::blocks::{BLOCK, Blocks, GROUP, place_in_stripe, sign_bytes};
use super::bounds::{Half, Numbers, ROUNDING, Run, Terms, Way, upper_half};
use super::rotation::Rotation;
use super::sums::Table;

/// Makes the codes of vectors about one centre.
pub(crate) struct Coder<'a> {
    rotation: &'a Rotation,
    center: &'a [f32],
    by_distance: bool,
    residual: Vec<f32>,
    rotated: Vec<f32>,
}

impl<'a> Coder<'a> {
    /// For vectors of the rotation's dimension; `center` should be near their mean.
    pub(crate) fn new(rotation: &'a Rotation, center: &'a [f32], by_distance: bool) -> Self {
        Self { rotation, center, by_distance, residual: vec![0.0; center.len()], rotated: vec![0.0; rotation.padded()] }
    }

    /// Writes the code of a vector as row `row` of a stripe that was all zero.
    pub(crate) fn write(&mut self, vector: &[f32], stripe: &mut [u8], row: usize) {
        for (residual, (value, center)) in self.residual.iter_mut().zip(vector.iter().zip(self.center)) {
            *residual = value - center;
        }
        self.rotation.rotate(&self.residual, &mut self.rotated);
        let padded = self.rotated.len();
        let ([first, second], row) = place_in_stripe(stripe, padded, row);
        let (byte, shift) = (row % GROUP, if row < GROUP { 0 } else { 4 });
        let signs = sign_bytes(padded);
        let halves = [&mut first[..signs], &mut second[..signs]];
        for (half, rotated) in halves.into_iter().zip(self.rotated.chunks_exact(padded / 2)) {
            for (group, values) in rotated.chunks_exact(4).enumerate() {
                let bits = (0..4).fold(0_u8, |bits, at| bits | u8::from(values[at] >= 0.0) << at);
                half[group * GROUP + byte] |= bits << shift;
            }
        }
        let square: f32 = self.rotated.iter().map(|value| value * value).sum();
        let along: f32 = self.residual.iter().zip(self.center).map(|(residual, center)| residual * center).sum();
        let (scale, along) = if self.by_distance { (2.0, -square) } else { (1.0, along) };
        let numbers = |known: &[f32]| {
            let (factor, error) = factor_and_error(square, known, padded);
            [scale * factor, along, scale * error]
        };
        for (place, number) in numbers(&self.rotated[..padded / 2]).into_iter().enumerate() {
            let at = signs + 2 * (place * BLOCK + row);
            first[at..at + 2].copy_from_slice(&upper_half(number).to_le_bytes());
        }
        for (place, number) in numbers(&self.rotated).into_iter().enumerate() {
            let at = signs + 4 * (place * BLOCK + row);
            second[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
    }
}

/// f and e, or f₁ and e₁, of a vector whose length has this square, by the signs of its components that are `known` of `padded`.
fn factor_and_error(square: f32, known: &[f32], padded: usize) -> (f32, f32) {
    let absolute: f32 = known.iter().map(|value| value.abs()).sum();
    // Of half the components there may be nearly nothing; then their signs tell nothing.
    if absolute <= 0.01 * square.sqrt() {
        return (0.0, square.sqrt());
    }
    let factor = square / absolute;
    (factor, ((factor * factor * known.len() as f32 - square).max(0.0) / (padded as f32 - 1.0)).sqrt())
}

/// A query prepared for the codes about one centre.
pub(crate) struct CodedQuery {
    table: Table,
    /// For whole codes, and for their first halves.
    terms: Terms,
    rough: Terms,
    way: Way,
}

impl CodedQuery {
    /// `deviations`: how far above its estimate a similarity may be and still be found.
    pub(crate) fn new(rotation: &Rotation, center: &[f32], query: &[f32], deviations: f32, by_distance: bool) -> Self {
        let difference: Vec<f32> = query.iter().zip(center).map(|(query, center)| query - center).collect();
        let mut rotated = vec![0.0; rotation.padded()];
        rotation.rotate(&difference, &mut rotated);
        let square = |vector: &[f32]| vector.iter().map(|value| value * value).sum::<f32>();
        let length = square(&rotated).sqrt();
        // <c, q>, or by distances -|q'|²; with what rounding may take away.
        let constant =
            if by_distance { -length * length } else { query.iter().zip(center).map(|(query, center)| query * center).sum() };
        let constant = constant + ROUNDING * (constant.abs() + square(query).sqrt() * square(center).sqrt());
        let slack = ROUNDING * length * (rotation.padded() as f32).sqrt();
        let table = Table::new(&rotated);
        let terms = |least| Terms { scale: table.step(), least, constant, margin: deviations * length, slack };
        let (terms, rough) = (terms(table.least()), terms(table.least_of_first()));
        Self { table, terms, rough, way: fastest() }
    }

    /// What the similarities of each block's rows are at most, as far as the first halves of their codes tell: of one block after the other, from
    /// `first` on. Only rows with their bit in `eligible`, which has one number for each block, count; without any it is less than all numbers.
    pub(crate) fn rough_maxima(&self, blocks: Blocks<'_>, first: usize, eligible: &[u32], maxima: &mut [f32]) {
        (self.way.maxima)(self.table.first_half(), &self.rough, &Run { blocks, first, eligible }, maxima);
    }

    /// What the similarity of each row of a block is at most, as far as the first half of its code tells; less than all numbers for a row
    /// without its bit in `eligible`.
    pub(crate) fn rough_bounds(&self, first: &[u8], eligible: u32, bounds: &mut [f32; BLOCK]) {
        let Some((signs, numbers)) = Numbers::of_first(first) else { return };
        (self.way.bounds)(&[Half { entries: self.table.first_half(), signs }], &self.rough, numbers, eligible, bounds);
    }

    /// The same as far as the whole code tells.
    pub(crate) fn bounds(&self, [first, second]: [&[u8]; 2], eligible: u32, bounds: &mut [f32; BLOCK]) {
        let Some((signs, numbers)) = Numbers::of_second(second) else { return };
        let halves = [
            Half { entries: self.table.first_half(), signs: &first[..signs.len()] },
            Half { entries: self.table.second_half(), signs },
        ];
        (self.way.bounds)(&halves, &self.terms, numbers, eligible, bounds);
    }
}

/// The fastest way that this processor can go.
fn fastest() -> Way {
    #[cfg(target_arch = "x86_64")]
    if let Some(way) = super::x86::ways().next() {
        return way;
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(way) = super::arm::way() {
        return way;
    }
    Way::PLAIN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::blocks::block_bytes;
    use super::*;

    /// What an estimate errs by, in the deviations that the codes say.
    #[test]
    fn errors_are_about_normal_with_the_deviation_that_codes_say() {
        let mut state = 1_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let (dimension, rows) = (384, 64 * BLOCK);
        let mut vector = || -> Vec<f32> { (0..dimension).map(|_| next()).collect() };
        // Seen from a centre that is not far away, vector and query have no direction in common.
        let center: Vec<f32> = vector().into_iter().map(|value| 0.2 * value).collect();
        let query = vector();
        let vectors: Vec<Vec<f32>> = (0..rows).map(|_| vector()).collect();
        let rotation = Rotation::new(dimension);
        for by_distance in [false, true] {
            let mut bytes = vec![0; 64 * block_bytes(rotation.padded())];
            let mut coder = Coder::new(&rotation, &center, by_distance);
            vectors.iter().enumerate().for_each(|(row, vector)| coder.write(vector, &mut bytes, row));
            let blocks = Blocks::new(&bytes, rotation.padded());
            for rough in [false, true] {
                let bounds = |deviations: f32| -> Vec<f32> {
                    let coded = CodedQuery::new(&rotation, &center, &query, deviations, by_distance);
                    let of_block = |block: usize| {
                        let mut bounds = [0.0; BLOCK];
                        match rough {
                            true => coded.rough_bounds(blocks.first(block), u32::MAX, &mut bounds),
                            false => coded.bounds([blocks.first(block), blocks.second(block)], u32::MAX, &mut bounds),
                        }
                        bounds
                    };
                    (0..64).flat_map(of_block).collect()
                };
                let (estimates, deviations) = (bounds(0.0), bounds(1.0));
                let errors = vectors.iter().zip(estimates.iter().zip(deviations)).map(|(vector, (estimate, above))| {
                    let pairs = vector.iter().zip(&query);
                    let similarity: f32 =
                        if by_distance { pairs.map(|(a, b)| -(a - b) * (a - b)).sum() } else { pairs.map(|(a, b)| a * b).sum() };
                    (similarity - estimate) / (above - estimate)
                });
                let errors: Vec<f32> = errors.collect();
                let share = |most: f32| errors.iter().filter(|error| **error <= most).count() as f32 / rows as f32;
                let square = errors.iter().map(|error| error * error).sum::<f32>() / rows as f32;
                let all = [share(0.0), share(1.0), share(3.0), square.sqrt()];
                let within = [0.45..0.55, 0.8..0.88, 0.995..1.01, 0.93..1.07];
                assert!(within.iter().zip(all).all(|(within, value)| within.contains(&value)), "{by_distance}, {rough}: {all:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn bounds_are_certain_at_as_many_deviations_as_the_square_root_of_the_components(
            vectors in prop::collection::vec(prop::collection::vec(-2.0f32..2.0, 70), 1..BLOCK),
            center in prop::collection::vec(-1.0f32..1.0, 70),
            query in prop::collection::vec(-2.0f32..2.0, 70),
            dimension in 3..70_usize,
            by_distance in any::<bool>(),
        ) {
            let rotation = Rotation::new(dimension);
            let mut bytes = vec![0; block_bytes(rotation.padded())];
            let mut coder = Coder::new(&rotation, &center[..dimension], by_distance);
            for (row, vector) in vectors.iter().enumerate() {
                coder.write(&vector[..dimension], &mut bytes, row);
            }
            let blocks = Blocks::new(&bytes, rotation.padded());
            let certain = (rotation.padded() as f32).sqrt().ceil();
            let coded = CodedQuery::new(&rotation, &center[..dimension], &query[..dimension], certain, by_distance);
            let (mut bounds, mut rough) = ([0.0; BLOCK], [0.0; BLOCK]);
            coded.bounds([blocks.first(0), blocks.second(0)], u32::MAX, &mut bounds);
            coded.rough_bounds(blocks.first(0), u32::MAX, &mut rough);
            for (vector, (bound, rough)) in vectors.iter().zip(bounds.into_iter().zip(rough)) {
                let pairs = vector[..dimension].iter().zip(&query);
                let similarity: f32 =
                    if by_distance { pairs.map(|(a, b)| -(a - b) * (a - b)).sum() } else { pairs.map(|(a, b)| a * b).sum() };
                prop_assert!(bound >= similarity, "{bound} is below {similarity}");
                prop_assert!(rough >= similarity, "{rough}, a rough one, is below {similarity}");
            }
        }
    }
}
