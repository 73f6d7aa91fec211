//! The nearest documents by codes: a bound for every row, then exact similarities of those that may be among the best.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::codes::{BLOCK, CodedQuery, block_bytes};
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
    /// Rows whose bounds a thread works out at a time; a multiple of [`BLOCK`].
    pub(super) chunk: usize,
    /// Rows that are compared exactly at first, at least.
    pub(super) least: usize,
    /// Rows that are compared exactly between two looks at what the best are by now.
    pub(super) round: usize,
}

impl Sizes {
    pub(super) const SHIPPED: Self = Self { few: 8192, chunk: 64 * BLOCK, least: 512, round: 4096 };
    /// For the library's unit tests: a few dozen rows go all ways.
    pub(super) const SMALL: Self = Self { few: 8, chunk: BLOCK, least: 8, round: 16 };
}

/// Rows with codes that lie one after the other.
pub(super) struct Coded<'a> {
    pub(super) query: CodedQuery,
    pub(super) blocks: &'a [u8],
    pub(super) rows: usize,
    /// Components of a rotated vector.
    pub(super) padded: usize,
    /// The position of the first row.
    pub(super) base: usize,
}

impl Coded<'_> {
    fn block(&self, block: usize) -> &[u8] {
        let bytes = block_bytes(self.padded);
        &self.blocks[block * bytes..][..bytes]
    }
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

    /// What the similarities of the rows from `first` are at most; of those that may not be found, less than any.
    fn bounds(&self, part: usize, first: usize, rows: &dyn Rows, bounds: &mut [f32]) {
        let eligible = |block: usize| rows.eligible(part, first + block * BLOCK);
        let eligible: Vec<u32> = (0..bounds.len().div_ceil(BLOCK)).map(eligible).collect();
        let ask_for = |block: usize| {
            if let (Self::Coded(coded), Some(1..)) = (self, eligible.get(block)) {
                prefetch(coded.block(first / BLOCK + block));
            }
        };
        (0..BLOCKS_AHEAD).for_each(ask_for);
        for (block, bounds) in bounds.chunks_mut(BLOCK).enumerate() {
            ask_for(block + BLOCKS_AHEAD);
            let row = first + block * BLOCK;
            let eligible = eligible[block];
            if eligible == 0 {
                bounds.fill(f32::NEG_INFINITY);
                continue;
            }
            match self {
                Self::Coded(coded) => {
                    let mut all = [0.0; BLOCK];
                    coded.query.bounds(coded.block(row / BLOCK), &mut all);
                    bounds.copy_from_slice(&all[..bounds.len()]);
                }
                Self::Plain { base, .. } => {
                    bounds.iter_mut().enumerate().for_each(|(at, bound)| *bound = rows.similarity(base + row + at));
                }
            }
            if eligible != u32::MAX {
                let not = |at: usize| eligible >> at & 1 == 0;
                bounds.iter_mut().enumerate().filter(|(at, _)| not(*at)).for_each(|(_, bound)| *bound = f32::NEG_INFINITY);
            }
        }
    }
}

/// The similarity of the best row of each document that is among the `limit` nearest, and of some more.
///
/// `parts` follow each other from position 0; `bounds` is memory that may be used again. To be called on the pool, all of it at once: each change of
/// hands between threads costs as much as thousands of rows.
pub(super) fn nearest(
    parts: &[Part<'_>],
    rows: &dyn Rows,
    limit: usize,
    sizes: Sizes,
    bounds: &mut Vec<f32>,
) -> HashMap<u64, f32> {
    let Sizes { chunk: size, least, round, .. } = sizes;
    let count = parts.iter().map(Part::rows).sum();
    // All of them are written below.
    bounds.resize(count, 0.0);
    let mut wanted = (FIRST * limit).max(least);
    let best = Best::new(wanted);
    let mut jobs = Vec::with_capacity(count / size + parts.len());
    let mut rest = &mut bounds[..];
    for (at, part) in parts.iter().enumerate() {
        let (mine, others) = rest.split_at_mut(part.rows());
        rest = others;
        jobs.extend(mine.chunks_mut(size).enumerate().map(|(chunk, bounds)| (at, chunk * size, bounds)));
    }
    jobs.into_par_iter().for_each(|(at, first, bounds)| {
        parts[at].bounds(at, first, rows, bounds);
        best.offer(parts[at].base() + first, bounds);
    });

    let mut first = best.take();
    let mut found = HashMap::with_capacity(4 * limit);
    let mut done = compare(&mut first, rows, &mut found);
    // Many rows of few documents: look at more.
    while found.len() < limit && done.len() >= wanted {
        wanted *= 4;
        let best = Best::new(wanted);
        bounds.par_chunks(size).enumerate().for_each(|(chunk, bounds)| best.offer(chunk * size, bounds));
        let mut more = best.take();
        more.retain(|(_, position)| done.binary_search(position).is_err());
        done.extend(compare(&mut more, rows, &mut found));
        done.sort_unstable();
    }
    let Some(mut least) = last_of(&found, limit) else { return found };

    let within = |(chunk, bounds): (usize, &[f32])| {
        let base = chunk * size;
        let may_be = above(bounds, least).into_iter().map(|(at, bound)| (bound, (base + at) as u32));
        may_be.filter(|(_, position)| done.binary_search(position).is_err()).collect::<Vec<_>>()
    };
    let mut open: Vec<(f32, u32)> = bounds.par_chunks(size).enumerate().flat_map_iter(within).collect();
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

/// The bounds that are not below `least`, with their places. Nearly all are, so that is asked of many at once.
fn above(bounds: &[f32], least: f32) -> Vec<(usize, f32)> {
    let mut found = Vec::new();
    for (chunk, bounds) in bounds.chunks(64).enumerate() {
        let any = bounds.iter().fold(false, |any, bound| any | (*bound >= least));
        if any {
            let here = bounds.iter().enumerate().filter(|(_, bound)| **bound >= least);
            found.extend(here.map(|(at, bound)| (64 * chunk + at, *bound)));
        }
    }
    found
}

/// Compares rows exactly, in the order of their positions, which are given back; notes the best of each document.
fn compare(candidates: &mut [(f32, u32)], rows: &dyn Rows, found: &mut HashMap<u64, f32>) -> Vec<u32> {
    candidates.sort_unstable_by_key(|(_, position)| *position);
    let positions: Vec<u32> = candidates.iter().map(|(_, position)| *position).collect();
    let exact = similarities(&positions, rows);
    for (&position, similarity) in positions.iter().zip(exact) {
        let best = found.entry(rows.document(position as usize)).or_insert(similarity);
        *best = best.max(similarity);
    }
    positions
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
fn last_of(found: &HashMap<u64, f32>, limit: usize) -> Option<f32> {
    let mut all: Vec<f32> = found.values().copied().collect();
    let at = limit.checked_sub(1).filter(|at| *at < all.len())?;
    Some(*all.select_nth_unstable_by(at, |a, b| b.total_cmp(a)).1)
}

/// The rows with the greatest bounds, collected by several threads.
struct Best {
    wanted: usize,
    rows: Mutex<Vec<(f32, u32)>>,
    /// What a bound must be above to count, as bits of an f32.
    threshold: AtomicU32,
}

impl Best {
    fn new(wanted: usize) -> Self {
        Self { wanted, rows: Mutex::default(), threshold: AtomicU32::new(f32::NEG_INFINITY.to_bits()) }
    }

    fn offer(&self, base: usize, bounds: &[f32]) {
        let threshold = f32::from_bits(self.threshold.load(Ordering::Relaxed));
        let mine: Vec<(f32, u32)> =
            above(bounds, threshold.next_up()).into_iter().map(|(at, bound)| (bound, (base + at) as u32)).collect();
        if mine.is_empty() {
            return;
        }
        let mut all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(mine);
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
