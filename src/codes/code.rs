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
//! Rows lie in blocks of 32, so that one shuffle looks up four dimensions of 16 rows ([`super::sums`]). A block is, little-endian: for each
//! group of four components 16 bytes, byte i holding row i in its low half and row i + 16 in its high half; then 32 values f, 32 values
//! b = <x - c, c>, and 32 values e; by distances 2 f, -|x - c|² and 2 e.

use super::rotation::Rotation;
use super::sums::{self, Table};

/// Rows in a block.
pub(crate) const BLOCK: usize = 32;
/// Bytes of one group of four components in a block.
pub(super) const GROUP: usize = 16;
/// Bytes of the numbers beside the signs, in a block.
const NUMBERS: usize = 3 * 4 * BLOCK;

/// Bytes of a block of rotated vectors of so many components.
pub(crate) fn block_bytes(padded: usize) -> usize {
    padded / 4 * GROUP + NUMBERS
}

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

    /// Writes the code of a vector as row `row` of a block that was all zero.
    pub(crate) fn write(&mut self, vector: &[f32], block: &mut [u8], row: usize) {
        for (residual, (value, center)) in self.residual.iter_mut().zip(vector.iter().zip(self.center)) {
            *residual = value - center;
        }
        self.rotation.rotate(&self.residual, &mut self.rotated);
        let (byte, shift) = (row % GROUP, if row < GROUP { 0 } else { 4 });
        for (group, values) in self.rotated.chunks_exact(4).enumerate() {
            let bits = (0..4).fold(0_u8, |bits, at| bits | u8::from(values[at] >= 0.0) << at);
            block[group * GROUP + byte] |= bits << shift;
        }
        let square: f32 = self.rotated.iter().map(|value| value * value).sum();
        let absolute: f32 = self.rotated.iter().map(|value| value.abs()).sum();
        let along: f32 = self.residual.iter().zip(self.center).map(|(residual, center)| residual * center).sum();
        let padded = self.rotated.len() as f32;
        let factor = if absolute > 0.0 { square / absolute } else { 0.0 };
        let error = ((factor * factor * padded - square).max(0.0) / (padded - 1.0)).sqrt();
        let numbers = block.len() - NUMBERS;
        let numbers_of_row = if self.by_distance { [2.0 * factor, -square, 2.0 * error] } else { [factor, along, error] };
        for (place, number) in numbers_of_row.into_iter().enumerate() {
            let at = numbers + 4 * (place * BLOCK + row);
            block[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
    }
}

/// Rounding, relative to the numbers that a bound and a similarity are made of: nothing may be missed for it.
const ROUNDING: f32 = 2e-6;

/// A query prepared for the codes about one centre.
pub(crate) struct CodedQuery {
    table: Table,
    /// <c, q>, or by distances -|q'|²; with what rounding may take away.
    constant: f32,
    /// How many deviations above its estimate a similarity is looked for, times |q'|.
    margin: f32,
    /// What rounding may take away, for each unit of f.
    slack: f32,
}

impl CodedQuery {
    /// `deviations`: how far above its estimate a similarity may be and still be found.
    pub(crate) fn new(rotation: &Rotation, center: &[f32], query: &[f32], deviations: f32, by_distance: bool) -> Self {
        let difference: Vec<f32> = query.iter().zip(center).map(|(query, center)| query - center).collect();
        let mut rotated = vec![0.0; rotation.padded()];
        rotation.rotate(&difference, &mut rotated);
        let square = |vector: &[f32]| vector.iter().map(|value| value * value).sum::<f32>();
        let length = square(&rotated).sqrt();
        let constant =
            if by_distance { -length * length } else { query.iter().zip(center).map(|(query, center)| query * center).sum() };
        let rounding = ROUNDING * (constant.abs() + square(query).sqrt() * square(center).sqrt());
        let slack = ROUNDING * length * (rotation.padded() as f32).sqrt();
        Self { table: Table::new(&rotated), constant: constant + rounding, margin: deviations * length, slack }
    }

    /// What the similarity of each row of a block is at most, as far as its code tells.
    pub(crate) fn bounds(&self, block: &[u8], bounds: &mut [f32; BLOCK]) {
        let (signs, numbers) = block.split_at(block.len() - NUMBERS);
        let mut totals = [0_u32; BLOCK];
        sums::sums(&self.table, signs, &mut totals);
        let terms = Terms {
            scale: self.table.step(),
            least: self.table.least(),
            constant: self.constant,
            margin: self.margin,
            slack: self.slack,
        };
        let (numbers, _) = numbers.as_chunks::<4>();
        let [factors, alongs, errors] = numbers.as_chunks::<BLOCK>().0 else { return };
        #[cfg(target_arch = "x86_64")]
        if super::x86::bounds(&terms, &totals, [factors, alongs, errors], bounds) {
            return;
        }
        terms.bounds(&totals, [factors, alongs, errors], bounds);
    }
}

/// What a query gives to the bound of every row.
pub(super) struct Terms {
    scale: f32,
    least: f32,
    constant: f32,
    margin: f32,
    slack: f32,
}

impl Terms {
    /// From the sums of a block and its numbers. In arrays of one length, so that the compiler makes vector instructions of it, those of
    /// whoever has it inlined.
    #[inline(always)]
    pub(super) fn bounds(&self, totals: &[u32; BLOCK], numbers: [&[[u8; 4]; BLOCK]; 3], bounds: &mut [f32; BLOCK]) {
        let [factors, alongs, errors] = numbers;
        for row in 0..BLOCK {
            let [factor, along, error] = [factors[row], alongs[row], errors[row]].map(f32::from_le_bytes);
            let estimate = factor * (self.scale * totals[row] as f32 + self.least) + along + self.constant;
            bounds[row] = estimate + self.margin * error + self.slack * factor + ROUNDING * along.abs();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bound_is_certain_at_as_many_deviations_as_the_square_root_of_the_components(
            vectors in prop::collection::vec(prop::collection::vec(-2.0f32..2.0, 70), 1..BLOCK),
            center in prop::collection::vec(-1.0f32..1.0, 70),
            query in prop::collection::vec(-2.0f32..2.0, 70),
            dimension in 3..70_usize,
            by_distance in any::<bool>(),
        ) {
            let rotation = Rotation::new(dimension);
            let mut block = vec![0; block_bytes(rotation.padded())];
            let mut coder = Coder::new(&rotation, &center[..dimension], by_distance);
            for (row, vector) in vectors.iter().enumerate() {
                coder.write(&vector[..dimension], &mut block, row);
            }
            let certain = (rotation.padded() as f32).sqrt().ceil();
            let mut bounds = [0.0; BLOCK];
            CodedQuery::new(&rotation, &center[..dimension], &query[..dimension], certain, by_distance).bounds(&block, &mut bounds);
            for (vector, bound) in vectors.iter().zip(bounds) {
                let pairs = vector[..dimension].iter().zip(&query);
                let similarity: f32 =
                    if by_distance { pairs.map(|(a, b)| -(a - b) * (a - b)).sum() } else { pairs.map(|(a, b)| a * b).sum() };
                prop_assert!(bound >= similarity, "{bound} is below {similarity}");
            }
        }

        #[test]
        fn every_instruction_set_gives_the_same_bounds(
            totals in prop::array::uniform32(0u32..100_000),
            numbers in prop::array::uniform3(prop::array::uniform32(-10.0f32..10.0)),
            terms in prop::array::uniform5(-4.0f32..4.0),
        ) {
            let [scale, least, constant, margin, slack] = terms;
            let terms = Terms { scale, least, constant, margin, slack };
            let numbers = numbers.map(|numbers| numbers.map(f32::to_le_bytes));
            let numbers = [&numbers[0], &numbers[1], &numbers[2]];
            let mut plain = [0.0; BLOCK];
            terms.bounds(&totals, numbers, &mut plain);
            #[cfg(target_arch = "x86_64")]
            {
                let mut wide = [0.0; BLOCK];
                if super::super::x86::bounds(&terms, &totals, numbers, &mut wide) {
                    prop_assert_eq!(wide, plain);
                }
            }
            let [factor, along, error] = [0, 1, 2].map(|at| f32::from_le_bytes(numbers[at][7]));
            let expected = factor * (scale * totals[7] as f32 + least) + along + constant;
            let expected = expected + margin * error + slack * factor + ROUNDING * along.abs();
            prop_assert_eq!(plain[7], expected);
        }
    }
}
