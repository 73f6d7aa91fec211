//! The nearest documents by codes: rough bounds for all rows by half of their codes, finer ones by whole codes for blocks of rows that may be among the best, and
//! exact similarities of those rows that still may. Of a vector of 384 components, 1,536 bytes, that reads 30 bytes, then 66, and all at last.

use rayon::prelude::*;

use crate::codes::{BLOCK, Blocks, CodedQuery, STRIPE};
use crate::mapped::prefetch;

/// Rows that are compared exactly at first, for each document wanted; [`Sizes::least`] at least.
const FIRST: usize = 4;
/// Rows that a thread takes at a time to compare, and how many of them ahead of its work it asks memory for.
const COMPARED: usize = 64;
const AHEAD: usize = 4;
/// How many blocks ahead of its work a thread asks memory for, where they do not follow each other.
const BLOCKS_AHEAD: usize = 2;

/// How many rows are many.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// As many passages are all compared exactly: that takes a millisecond or two.
    pub(super) few: usize,
    /// Blocks whose maxima are looked at, at most, to find out from what on blocks are likely to have near rows.
    pub(super) sample: usize,
    /// Rows that are compared exactly at first, at least.
    pub(super) least: usize,
    /// Rows that are compared exactly between two looks at what the best are by now.
    pub(super) round: usize,
}

impl Sizes {
    pub(super) const SHIPPED: Self = Self { few: 8192, sample: 4096, least: 512, round: 4096 };
    /// For the library's unit tests: a few dozen rows go all ways.
    pub(super) const SMALL: Self = Self { few: 8, sample: 3, least: 8, round: 16 };
}

/// Rows with codes that lie one after the other.
pub(super) struct Coded<'a> {
    pub(super) query: CodedQuery,
    pub(super) blocks: Blocks<'a>,
    pub(super) rows: usize,
    /// The place of the part among all, and the position of its first row.
    pub(super) part: usize,
    pub(super) base: usize,
}

/// What is known of rows beside their codes.
pub(super) trait Rows: Sync {
    /// A bit for each of up to [`BLOCK`] rows of a part, from a row on: whether it may be found. Not one that was deleted, or that a filter
    /// excludes.
    fn eligible(&self, part: usize, row: usize) -> u32;
    /// The document of the row at a position.
    fn document(&self, position: usize) -> u64;
    /// That the similarity of a row is asked for soon.
    fn prefetch(&self, _position: usize) {}
    /// The exact similarity.
    fn similarity(&self, position: usize) -> f32;
}

impl Coded<'_> {
    /// A bit for each row of a block that there is and that may be found.
    fn eligible(&self, block: usize, rows: &impl Rows) -> u32 {
        let left = self.rows - block * BLOCK;
        rows.eligible(self.part, block * BLOCK) & if left < BLOCK { (1 << left) - 1 } else { u32::MAX }
    }
}

/// Which half of a code, or both.
#[derive(Clone, Copy, PartialEq)]
enum Codes {
    Half,
    Whole,
}

/// Blocks that follow each other in a file, which one thread takes.
struct Stretch<'a> {
    part: &'a Coded<'a>,
    first: usize,
    /// What the similarities of each block's rows are at most, by half of their codes.
    maxima: &'a mut [f32],
}

impl Stretch<'_> {
    /// Goes through all of them for the first time.
    fn scan(&mut self, rows: &impl Rows) {
        let mut eligible = [0; STRIPE];
        let eligible = &mut eligible[..self.maxima.len()];
        for (eligible, block) in eligible.iter_mut().zip(self.first..) {
            *eligible = self.part.eligible(block, rows);
        }
        self.part.query.rough_maxima(self.part.blocks, self.first, eligible, self.maxima);
    }

    /// The rows that may be as near as `least`, as far as these codes tell, with what their similarities are at most.
    fn near(&self, codes: Codes, least: f32, rows: &impl Rows) -> Vec<(f32, u32)> {
        let Coded { query, blocks, base, .. } = self.part;
        let near = self.maxima.iter().zip(self.first..).filter(|(most, _)| **most >= least).map(|(_, block)| block);
        let near: Vec<usize> = near.collect();
        let ask_for = |at: usize| {
            if let Some(&block) = near.get(at) {
                prefetch(blocks.first(block));
                if codes == Codes::Whole {
                    prefetch(blocks.second(block));
                }
            }
        };
        (0..BLOCKS_AHEAD).for_each(ask_for);
        let mut found = Vec::new();
        for (at, &block) in near.iter().enumerate() {
            ask_for(at + BLOCKS_AHEAD);
            let (eligible, mut bounds) = (self.part.eligible(block, rows), [f32::NEG_INFINITY; BLOCK]);
            match codes {
                Codes::Half => query.rough_bounds(blocks.first(block), eligible, &mut bounds),
                Codes::Whole => query.bounds([blocks.first(block), blocks.second(block)], eligible, &mut bounds),
            }
            let positions = (base + block * BLOCK) as u32..;
            found.extend(bounds.into_iter().zip(positions).filter(|(bound, _)| *bound >= least));
        }
        found
    }
}

/// The similarity of the best row of each document that is among the `limit` nearest, and of some more.
///
/// `found`: what was compared exactly before, of rows without codes, with the best of each document in the order of their numbers. To be called on the pool,
/// all of it at once: each change of hands between threads costs as much as thousands of rows.
pub(super) fn nearest(
    parts: &[Coded<'_>],
    rows: &impl Rows,
    limit: usize,
    sizes: Sizes,
    mut found: Vec<(u64, f32)>,
) -> Vec<(u64, f32)> {
    let blocks = |part: &Coded<'_>| part.rows.div_ceil(BLOCK);
    let count = parts.iter().map(blocks).sum();
    let mut maxima = vec![f32::NEG_INFINITY; count];
    let mut left = &mut maxima[..];
    let mut stretches = Vec::new();
    for part in parts {
        let mine = left.split_off_mut(..blocks(part)).unwrap_or_default();
        let stretch = |(at, maxima)| Stretch { part, first: at * STRIPE, maxima };
        stretches.extend(mine.chunks_mut(STRIPE).enumerate().map(stretch));
    }
    stretches.par_iter_mut().for_each(|stretch| stretch.scan(rows));
    let near = |codes, least, compared: &[u32]| -> Vec<(f32, u32)> {
        let near = |stretch: &Stretch<'_>| {
            let near = stretch.near(codes, least, rows).into_iter();
            near.filter(|(_, position)| compared.binary_search(position).is_err()).collect::<Vec<_>>()
        };
        stretches.par_iter().flat_map_iter(near).collect()
    };

    // Some that are likely to be near, until as many documents as are wanted are known: about one of each block with one of the greatest bounds.
    let (mut compared, mut wanted) = (Vec::new(), (FIRST * limit).max(sizes.least));
    let step = count.div_ceil(sizes.sample).max(1);
    let mut least = loop {
        let some = stretches.iter().flat_map(|stretch| stretch.maxima.iter().copied()).step_by(step);
        // Below all numbers are only the bounds of rows that may not be found.
        let floor = greatest(some.collect(), wanted.div_ceil(step)).filter(|floor| *floor >= f32::MIN);
        let mut likely = near(Codes::Half, floor.unwrap_or(f32::MIN), &[]);
        let are_all = floor.is_none() && likely.len() <= wanted;
        if likely.len() > wanted {
            likely.select_nth_unstable_by(wanted, |a, b| b.0.total_cmp(&a.0));
            likely.truncate(wanted);
        }
        likely.retain(|(_, position)| compared.binary_search(position).is_err());
        compared.extend(compare(&mut likely, rows, &mut found));
        compared.sort_unstable();
        match greatest(found.iter().map(|(_, similarity)| *similarity).collect(), limit) {
            Some(least) => break least.max(f32::MIN),
            None if are_all => return found,
            // Many rows of few documents.
            None => wanted *= 4,
        }
    };

    let mut open = near(Codes::Whole, least, &compared);
    open.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    for some in open.chunks_mut(sizes.round) {
        if some.first().is_none_or(|(bound, _)| *bound < least) {
            break;
        }
        compare(some, rows, &mut found);
        least = greatest(found.iter().map(|(_, similarity)| *similarity).collect(), limit).unwrap_or(least);
    }
    found
}

/// Compares rows exactly, in the order of their positions, which are given back; notes the best of each document.
fn compare(candidates: &mut [(f32, u32)], rows: &impl Rows, found: &mut Vec<(u64, f32)>) -> Vec<u32> {
    candidates.sort_unstable_by_key(|(_, position)| *position);
    let positions: Vec<u32> = candidates.iter().map(|(_, position)| *position).collect();
    let exact = similarities(&positions, rows);
    found.extend(positions.iter().zip(exact).map(|(&position, similarity)| (rows.document(position as usize), similarity)));
    best_of_each(found);
    positions
}

/// Leaves the best similarity of each document, in the order of their numbers.
pub(super) fn best_of_each(found: &mut Vec<(u64, f32)>) {
    // Mostly a few runs that are in order already, of which this sort makes use.
    found.sort_by_key(|(document, _)| *document);
    found.dedup_by(|other, kept| {
        let is_same = other.0 == kept.0;
        if is_same {
            kept.1 = kept.1.max(other.1);
        }
        is_same
    });
}

/// The exact similarity of each row.
pub(super) fn similarities(positions: &[u32], rows: &impl Rows) -> Vec<f32> {
    let of_chunk = |(positions, similarities): (&[u32], &mut [f32])| {
        for (at, (&position, similarity)) in positions.iter().zip(similarities).enumerate() {
            if let Some(&next) = positions.get(at + AHEAD) {
                rows.prefetch(next as usize);
            }
            *similarity = rows.similarity(position as usize);
        }
    };
    let mut all = vec![0.0; positions.len()];
    positions.par_chunks(COMPARED).zip(all.par_chunks_mut(COMPARED)).for_each(of_chunk);
    all
}

/// The `place`th greatest of some numbers, counted from 1; `None` where there are fewer.
fn greatest(mut numbers: Vec<f32>, place: usize) -> Option<f32> {
    let at = place.checked_sub(1).filter(|at| *at < numbers.len())?;
    Some(*numbers.select_nth_unstable_by(at, |a, b| b.total_cmp(a)).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codes::{Coder, Rotation, block_bytes};
    use crate::semantic::similarity::dot;

    const DIMENSION: usize = 24;

    /// Rows with vectors, documents, and whether each may be found; parts begin at these rows, and the first of several has no codes.
    struct Made {
        query: Vec<f32>,
        vectors: Vec<Vec<f32>>,
        documents: Vec<u64>,
        eligible: Vec<bool>,
        parts: Vec<usize>,
    }

    impl Rows for Made {
        fn eligible(&self, part: usize, row: usize) -> u32 {
            // Of rows that there are not, a bit says nothing.
            let rows = self.eligible[self.parts[part] + row..].iter().chain(std::iter::repeat(&true)).take(BLOCK);
            rows.enumerate().fold(0, |bits, (at, eligible)| bits | u32::from(*eligible) << at)
        }

        fn document(&self, position: usize) -> u64 {
            self.documents[position]
        }

        fn similarity(&self, position: usize) -> f32 {
            dot(&self.vectors[position], &self.query)
        }
    }

    impl Made {
        /// The best similarity of each document by those of some rows that may be found.
        fn compared(&self, rows: Vec<u32>) -> Vec<(u64, f32)> {
            let rows: Vec<u32> = rows.into_iter().filter(|row| self.eligible[*row as usize]).collect();
            let exact = similarities(&rows, self);
            let mut all = rows.iter().map(|row| self.documents[*row as usize]).zip(exact).collect();
            best_of_each(&mut all);
            all
        }

        /// The similarities of the `limit` nearest documents, best first.
        fn best(found: Vec<(u64, f32)>, limit: usize) -> Vec<f32> {
            let mut best: Vec<f32> = found.into_iter().map(|(_, similarity)| similarity).collect();
            best.sort_by(|a, b| b.total_cmp(a));
            best.truncate(limit);
            best
        }

        fn by_codes(&self, limit: usize, sizes: Sizes) -> Vec<(u64, f32)> {
            let (rotation, center) = (Rotation::new(DIMENSION), [0.1; DIMENSION]);
            // So many that bounds are certain.
            let deviations = (rotation.padded() as f32).sqrt().ceil();
            let ends = self.parts.iter().skip(1).copied().chain([self.vectors.len()]);
            let ranges: Vec<_> = self.parts.iter().copied().zip(ends).collect();
            let files: Vec<Vec<u8>> = ranges
                .iter()
                .map(|&(first, end)| {
                    let mut bytes = vec![0; (end - first).div_ceil(BLOCK) * block_bytes(rotation.padded())];
                    let stripes = bytes.chunks_mut(STRIPE * block_bytes(rotation.padded()));
                    for (stripe, vectors) in stripes.zip(self.vectors[first..end].chunks(STRIPE * BLOCK)) {
                        let mut coder = Coder::new(&rotation, &center, false);
                        vectors.iter().enumerate().for_each(|(row, vector)| coder.write(vector, stripe, row));
                    }
                    bytes
                })
                .collect();
            let without = if files.len() > 1 { 1 } else { 0 };
            let first: Vec<u32> = (0..self.vectors.len() as u32).take(if without > 0 { ranges[0].1 } else { 0 }).collect();
            let parts: Vec<Coded<'_>> = (files.iter().zip(ranges).enumerate().skip(without))
                .map(|(part, (bytes, (base, end)))| Coded {
                    query: CodedQuery::new(&rotation, &center, &self.query, deviations, false),
                    blocks: Blocks::new(bytes, rotation.padded()),
                    rows: end - base,
                    part,
                    base,
                })
                .collect();
            nearest(&parts, self, limit, sizes, self.compared(first))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever share of the rows may be found, and however many belong to one document.
        #[test]
        fn the_nearest_documents_are_those_of_comparing_all_rows(
            seed in any::<u64>(),
            rows in 1usize..6000,
            of_a_document in prop_oneof![Just(1), 2usize..40, 500usize..3000],
            share in prop_oneof![Just(100), 1u64..100],
            parts in 1usize..4,
            limit in prop_oneof![1usize..20, 100usize..300],
            small in any::<bool>(),
        ) {
            let mut state = seed | 1;
            let mut next = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state >> 11 };
            let number = |bits: u64| (bits % 2001) as f32 / 1000.0 - 1.0;
            let vectors: Vec<Vec<f32>> = (0..rows).map(|_| (0..DIMENSION).map(|_| number(next())).collect()).collect();
            let made = Made {
                query: (0..DIMENSION).map(|_| number(next())).collect(),
                vectors,
                documents: (0..rows).map(|row| (row / of_a_document) as u64).collect(),
                eligible: (0..rows).map(|_| next() % 100 < share).collect(),
                parts: (0..parts).map(|part| rows * part / parts).collect(),
            };
            let right = made.compared((0..rows as u32).collect());
            let found = made.by_codes(limit, if small { Sizes::SMALL } else { Sizes::SHIPPED });
            prop_assert_eq!(Made::best(found, limit), Made::best(right, limit));
        }
    }
}
