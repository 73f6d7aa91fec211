//! Sums of a query's components with the signs that 32 rows have, four dimensions at a lookup.
//!
//! For each group of four dimensions a table holds the sum for each of the sixteen combinations of signs, in 8 bits; one shuffle looks up
//! 16 or 32 rows at once (André, Kermarrec and Le Scouarnec 2015, "Cache locality is not enough", section 4).

use super::blocks::{BLOCK, GROUP};

/// Groups whose sums of bytes fit into 16 bits.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) const SHORT: usize = 256;

/// The sums of each group of four components, by signs.
pub(super) struct Table {
    /// Sixteen for each group; bit i of the place says whether component i counts with plus.
    entries: Vec<[u8; GROUP]>,
    step: f32,
    /// What a sum of zero stands for, over the first half of the groups and over all.
    least: [f32; 2],
}

impl Table {
    /// Of a rotated query.
    pub(super) fn new(rotated: &[f32]) -> Self {
        let (groups, _) = rotated.as_chunks::<4>();
        let least_of = |group: &[f32; 4]| -group.iter().map(|value| value.abs()).sum::<f32>();
        // One step for all groups, so that sums can be added up.
        let step = groups.iter().map(|group| -2.0 * least_of(group)).fold(0.0, f32::max) / 255.0;
        let entry = |group: &[f32; 4], signs: usize| {
            let sum: f32 = (0..4).map(|at| if signs >> at & 1 == 1 { group[at] } else { -group[at] }).sum();
            // A query at the centre has no step.
            if step > 0.0 { ((sum - least_of(group)) / step).round().min(255.0) as u8 } else { 0 }
        };
        let entries = groups.iter().map(|group| std::array::from_fn(|signs| entry(group, signs))).collect();
        let (first, second) = groups.split_at(groups.len() / 2);
        let [first, second] = [first, second].map(|groups| groups.iter().map(least_of).sum::<f32>());
        Self { entries, step, least: [first, first + second] }
    }

    /// What one unit of a sum is worth.
    pub(super) fn step(&self) -> f32 {
        self.step
    }

    /// What a sum of zero stands for.
    pub(super) fn least(&self) -> f32 {
        self.least[1]
    }

    /// The same of a sum over the first half of the groups.
    pub(super) fn least_of_first(&self) -> f32 {
        self.least[0]
    }

    pub(super) fn first_half(&self) -> &[[u8; GROUP]] {
        &self.entries[..self.entries.len() / 2]
    }

    pub(super) fn second_half(&self) -> &[[u8; GROUP]] {
        &self.entries[self.entries.len() / 2..]
    }
}

/// Adds up for each row of a block what its signs, [groups, 16], find in the table of each group, in units of the table's step above its least. One row
/// after the other; what has wider registers does the same in `x86` and `arm`.
#[inline(always)]
pub(super) fn plain(entries: &[[u8; GROUP]], signs: &[u8], sums: &mut [u32; BLOCK]) {
    for (entries, signs) in entries.iter().zip(signs.chunks_exact(GROUP)) {
        for (row, byte) in signs.iter().enumerate() {
            sums[row] += u32::from(entries[usize::from(byte & 15)]);
            sums[row + GROUP] += u32::from(entries[usize::from(byte >> 4)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_adds_up_signed_components() {
        let rotated: Vec<f32> = (0..64).map(|at| (at as f32 * 0.7).sin()).collect();
        let table = Table::new(&rotated);
        let signs = vec![0b0101_0011_u8; 16 * GROUP];
        let mut found = [0; BLOCK];
        plain(&table.entries, &signs, &mut found);
        let expected = |plus: [bool; 4]| -> f32 {
            rotated.iter().enumerate().map(|(at, value)| if plus[at % 4] { *value } else { -value }).sum()
        };
        let low = expected([true, true, false, false]);
        let high = expected([true, false, true, false]);
        for (row, sum) in found.into_iter().enumerate() {
            let sum = sum as f32 * table.step() + table.least();
            let expected = if row < GROUP { low } else { high };
            assert!((sum - expected).abs() < 0.2, "row {row}: {sum}, not {expected}");
        }
        let mut of_first = [0; BLOCK];
        plain(table.first_half(), &signs[..8 * GROUP], &mut of_first);
        let expected: f32 = (0..32).map(|at| if at % 4 < 2 { rotated[at] } else { -rotated[at] }).sum();
        let sum = of_first[0] as f32 * table.step() + table.least_of_first();
        assert!((sum - expected).abs() < 0.1, "the first half: {sum}, not {expected}");
        plain(table.second_half(), &signs[8 * GROUP..], &mut of_first);
        assert_eq!(of_first, found);
    }
}
