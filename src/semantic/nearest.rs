//! The nearest documents by codes: rough bounds for all rows by half of their codes, finer ones by whole codes for blocks of rows that may be among the best, and
//! exact similarities of those rows that still may. Of a vector of 384 components, 1,536 bytes, that reads 30 bytes, then 66, and all at last.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::codes::{BLOCK, Blocks, CodedQuery};
use crate::mapped::prefetch;

/// Rows that are compared exactly at first, for each document wanted; [`Sizes::least`] at least.
const FIRST: usize = 4;
/// Rows that a thread takes at a time to compare, and how many of them ahead of its work it asks memory for.
const COMPARED: usize = 64;
const AHEAD: usize = 4;
/// How many blocks of codes ahead of its work it asks memory for.
const BLOCKS_AHEAD: usize = 2;

/// How many rows are many.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// As many passages are all compared exactly: that takes a millisecond or two.
    pub(super) few: usize,
    /// Blocks of rows whose bounds a thread works out at a time.
    pub(super) blocks: usize,
    /// Rows that are compared exactly at first, at least.
    pub(super) least: usize,
    /// Rows that are compared exactly between two looks at what the best are by now.
    pub(super) round: usize,
}

impl Sizes {
    pub(super) const SHIPPED: Self = Self { few: 8192, blocks: 64, least: 512, round: 4096 };
    /// For the library's unit tests: a few dozen rows go all ways.
    pub(super) const SMALL: Self = Self { few: 8, blocks: 2, least: 8, round: 16 };
}

/// Rows with codes that lie one after the other.
pub(super) struct Coded<'a> {
    pub(super) query: CodedQuery,
    pub(super) blocks: Blocks<'a>,
    pub(super) rows: usize,
    /// The position of the first row.
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

/// Rows that lie one after the other.
pub(super) enum Part<'a> {
    Coded(Coded<'a>),
    /// Compared exactly.
    Plain {
        rows: usize,
        base: usize,
    },
}

impl Part<'_> {
    fn base(&self) -> usize {
        match self {
            Self::Coded(coded) => coded.base,
            Self::Plain { base, .. } => *base,
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Coded(coded) => coded.rows,
            Self::Plain { rows, .. } => *rows,
        }
    }

    /// A bit for each row of a block that there is and that may be found.
    fn eligible(&self, at: usize, block: usize, rows: &dyn Rows) -> u32 {
        let left = self.rows() - block * BLOCK;
        rows.eligible(at, block * BLOCK) & if left < BLOCK { (1 << left) - 1 } else { u32::MAX }
    }

    /// The exact similarities of the rows of a block that may be found.
    fn similarities(&self, block: usize, eligible: u32, rows: &dyn Rows, bounds: &mut [f32; BLOCK]) {
        let row = |at| self.base() + block * BLOCK + at;
        let eligible = (0..BLOCK).filter(|at| eligible >> at & 1 == 1);
        eligible.for_each(|at| bounds[at] = rows.similarity(row(at)));
    }
}

/// Some blocks of a part, which one thread takes.
struct Stretch<'a> {
    part: &'a Part<'a>,
    /// The place of the part among all.
    at: usize,
    first: usize,
    /// What the similarities of each block's rows are at most.
    most: Vec<f32>,
}

impl Stretch<'_> {
    fn position(&self, block: usize) -> usize {
        self.part.base() + block * BLOCK
    }

    /// Works out rough bounds for all rows that may be found, and offers them.
    fn scan(&mut self, rows: &dyn Rows, best: &Best) {
        let eligible: Vec<u32> = (0..self.most.len()).map(|at| self.part.eligible(self.at, self.first + at, rows)).collect();
        let ask_for = |at: usize| {
            if let (Part::Coded(coded), Some(1..)) = (self.part, eligible.get(at)) {
                prefetch(coded.blocks.first(self.first + at));
            }
        };
        (0..BLOCKS_AHEAD).for_each(ask_for);
        let threshold = best.threshold();
        let mut offered = Vec::new();
        for (at, &eligible) in eligible.iter().enumerate() {
            ask_for(at + BLOCKS_AHEAD);
            let block = self.first + at;
            let mut bounds = [f32::NEG_INFINITY; BLOCK];
            match self.part {
                _ if eligible == 0 => {}
                Part::Coded(coded) => {
                    coded.query.rough_bounds(coded.blocks.first(block), &mut bounds);
                    leave_out(&mut bounds, eligible);
                }
                Part::Plain { .. } => self.part.similarities(block, eligible, rows, &mut bounds),
            }
            self.most[at] = greatest(&bounds);
            if self.most[at] > threshold {
                offered.extend(above(&bounds, threshold.next_up(), self.position(block)));
            }
        }
        best.offer(offered);
    }

    /// The rows that may be as near as `least`, as far as codes tell, with what their similarities are at most.
    fn near(&self, rows: &dyn Rows, least: f32) -> Vec<(f32, u32)> {
        let blocks: Vec<usize> =
            self.most.iter().zip(self.first..).filter(|(most, _)| **most >= least).map(|(_, block)| block).collect();
        let ask_for = |at: usize| {
            if let (Part::Coded(coded), Some(&block)) = (self.part, blocks.get(at)) {
                prefetch(coded.blocks.first(block));
                prefetch(coded.blocks.second(block));
            }
        };
        (0..BLOCKS_AHEAD).for_each(ask_for);
        let mut near = Vec::new();
        for (at, &block) in blocks.iter().enumerate() {
            ask_for(at + BLOCKS_AHEAD);
            let eligible = self.part.eligible(self.at, block, rows);
            let mut bounds = [f32::NEG_INFINITY; BLOCK];
            match self.part {
                Part::Coded(Coded { query, blocks, .. }) => {
                    query.bounds([blocks.first(block), blocks.second(block)], &mut bounds);
                    leave_out(&mut bounds, eligible);
                }
                Part::Plain { .. } => self.part.similarities(block, eligible, rows, &mut bounds),
            }
            near.extend(above(&bounds, least, self.position(block)));
        }
        near
    }
}

/// Puts bounds of rows that may not be found below all others: by masks, which the compiler takes many of at once.
fn leave_out(bounds: &mut [f32; BLOCK], eligible: u32) {
    let bits: [u32; BLOCK] = std::array::from_fn(|at| 1 << at);
    for (bound, bit) in bounds.iter_mut().zip(bits) {
        *bound = if eligible & bit == 0 { f32::NEG_INFINITY } else { *bound };
    }
}

/// The greatest bound: by halves, of which the compiler takes many numbers at once.
fn greatest(bounds: &[f32; BLOCK]) -> f32 {
    let mut most = *bounds;
    let mut half = BLOCK / 2;
    while half > 0 {
        (0..half).for_each(|at| most[at] = most[at].max(most[at + half]));
        half /= 2;
    }
    most[0]
}

/// The bounds of a block that are not below `least`, with their positions from that of the first.
fn above(bounds: &[f32; BLOCK], least: f32, first: usize) -> impl Iterator<Item = (f32, u32)> {
    bounds.iter().zip(first as u32..).filter(move |(bound, _)| **bound >= least).map(|(bound, position)| (*bound, position))
}

/// The similarity of the best row of each document that is among the `limit` nearest, and of some more.
///
/// `parts` follow each other from position 0. To be called on the pool, all of it at once: each change of hands between threads costs as much as
/// thousands of rows.
pub(super) fn nearest(parts: &[Part<'_>], rows: &dyn Rows, limit: usize, sizes: Sizes) -> Vec<(u64, f32)> {
    let Sizes { blocks, least, round, .. } = sizes;
    let mut stretches = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let count = part.rows().div_ceil(BLOCK);
        let stretch = |first| Stretch { part, at, first, most: vec![f32::NEG_INFINITY; blocks.min(count - first)] };
        stretches.extend((0..count).step_by(blocks).map(stretch));
    }
    let mut wanted = (FIRST * limit).max(least);
    let mut best = Best::new(wanted);
    stretches.par_iter_mut().for_each(|stretch| stretch.scan(rows, &best));

    let mut found = Vec::new();
    let mut done = compare(&mut best.take(), rows, &mut found);
    // Many rows of few documents: look at more.
    while found.len() < limit && done.len() >= wanted {
        wanted *= 4;
        best = Best::new(wanted);
        stretches.par_iter_mut().for_each(|stretch| stretch.scan(rows, &best));
        let mut more = best.take();
        more.retain(|(_, position)| done.binary_search(position).is_err());
        done.extend(compare(&mut more, rows, &mut found));
        done.sort_unstable();
    }
    // Below all numbers are only the bounds of rows that may not be found.
    let Some(mut least) = last_of(&found, limit).map(|least| least.max(f32::MIN)) else { return found };

    let open = |stretch: &Stretch<'_>| {
        let near = stretch.near(rows, least);
        near.into_iter().filter(|(_, position)| done.binary_search(position).is_err()).collect::<Vec<_>>()
    };
    let mut open: Vec<(f32, u32)> = stretches.par_iter().flat_map_iter(open).collect();
    open.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    for some in open.chunks_mut(round) {
        if some.first().is_none_or(|(bound, _)| *bound < least) {
            break;
        }
        compare(some, rows, &mut found);
        least = last_of(&found, limit).unwrap_or(least);
    }
    found
}

/// Compares rows exactly, in the order of their positions, which are given back; notes the best of each document.
fn compare(candidates: &mut [(f32, u32)], rows: &dyn Rows, found: &mut Vec<(u64, f32)>) -> Vec<u32> {
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
pub(super) fn similarities(positions: &[u32], rows: &dyn Rows) -> Vec<f32> {
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

/// The similarity of the `limit`th best document; `None` where there are fewer.
fn last_of(found: &[(u64, f32)], limit: usize) -> Option<f32> {
    let mut all: Vec<f32> = found.iter().map(|(_, similarity)| *similarity).collect();
    let at = limit.checked_sub(1).filter(|at| *at < all.len())?;
    Some(*all.select_nth_unstable_by(at, |a, b| b.total_cmp(a)).1)
}

/// The rows with the greatest bounds, collected by several threads.
struct Best {
    wanted: usize,
    rows: Mutex<Vec<(f32, u32)>>,
    /// See [`Best::threshold`], as bits of an f32.
    threshold: AtomicU32,
}

impl Best {
    fn new(wanted: usize) -> Self {
        Self { wanted, rows: Mutex::default(), threshold: AtomicU32::new(f32::NEG_INFINITY.to_bits()) }
    }

    /// What a bound must be above to count by now.
    fn threshold(&self) -> f32 {
        f32::from_bits(self.threshold.load(Ordering::Relaxed))
    }

    fn offer(&self, rows: Vec<(f32, u32)>) {
        if rows.is_empty() {
            return;
        }
        let mut all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(rows);
        if all.len() >= 4 * self.wanted {
            self.cut(&mut all);
        }
    }

    fn cut(&self, all: &mut Vec<(f32, u32)>) {
        if all.len() > self.wanted {
            let (_, last, _) = all.select_nth_unstable_by(self.wanted - 1, |a, b| b.0.total_cmp(&a.0));
            let threshold = last.0;
            all.truncate(self.wanted);
            self.threshold.store(threshold.to_bits(), Ordering::Relaxed);
        }
    }

    fn take(self) -> Vec<(f32, u32)> {
        let mut all = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        self.cut(&mut all);
        all
    }
}
