//! What the similarities of rows are at most, by the sums of their signs and the numbers beside these: the plain way, and which way is taken.

use super::blocks::{BLOCK, Blocks, FIRST_NUMBERS, GROUP, SECOND_NUMBERS};
use super::sums;
use crate::mapped::prefetch;

/// Blocks ahead of the one that is looked at, which memory is asked for.
const AHEAD: usize = 2;

/// How blocks are gone through by some instructions.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// [`bounds_by`].
    pub(super) bounds: fn(&[Half<'_>], &Terms, Numbers<'_>, u32, &mut [f32; BLOCK]),
    /// [`maxima_by`].
    pub(super) maxima: fn(&[[u8; GROUP]], &Terms, &Run<'_>, &mut [f32]),
}

impl Way {
    /// One row after the other, which any processor can do.
    pub(super) const PLAIN: Self = Self {
        bounds: |halves, terms, numbers, eligible, bounds| {
            bounds_by(sums::plain, halves, terms, numbers, eligible, bounds);
        },
        maxima: |entries, terms, run, maxima| maxima_by(sums::plain, entries, terms, run, maxima),
    };
}

/// Half of the signs of a block, [groups, 16], and the part of a query's table that is for them.
#[derive(Clone, Copy)]
pub(super) struct Half<'a> {
    pub(super) entries: &'a [[u8; GROUP]],
    pub(super) signs: &'a [u8],
}

/// Blocks that follow each other, from one on.
pub(super) struct Run<'a> {
    pub(super) blocks: Blocks<'a>,
    pub(super) first: usize,
    /// A number for each block, with a bit for each row that counts.
    pub(super) eligible: &'a [u32],
}

/// What a block has beside signs: a factor for the sum, what is added to it, and its error.
#[derive(Clone, Copy)]
pub(super) enum Numbers<'a> {
    Coarse([&'a [[u8; 2]; BLOCK]; 3]),
    Exact([&'a [[u8; 4]; BLOCK]; 3]),
}

impl<'a> Numbers<'a> {
    /// Of the first half of a block, behind its signs.
    #[inline]
    pub(super) fn of_first(first: &'a [u8]) -> Option<(&'a [u8], Self)> {
        let (signs, numbers) = first.split_at_checked(first.len().checked_sub(FIRST_NUMBERS)?)?;
        let [factors, alongs, errors] = numbers.as_chunks::<2>().0.as_chunks::<BLOCK>().0 else { return None };
        Some((signs, Self::Coarse([factors, alongs, errors])))
    }

    /// Of the second half of a block.
    pub(super) fn of_second(second: &'a [u8]) -> Option<(&'a [u8], Self)> {
        let (signs, numbers) = second.split_at_checked(second.len().checked_sub(SECOND_NUMBERS)?)?;
        let [factors, alongs, errors] = numbers.as_chunks::<4>().0.as_chunks::<BLOCK>().0 else { return None };
        Some((signs, Self::Exact([factors, alongs, errors])))
    }
}

/// The upper half of a number's bytes, of those that are not below it the least.
pub(super) fn upper_half(number: f32) -> u16 {
    let bits = number.to_bits();
    // Without its lower half a number is nearer to zero, so a negative one has grown.
    let up = number > 0.0 && bits & 0xffff != 0;
    (bits >> 16) as u16 + u16::from(up)
}

/// What a number of which the upper half is kept may be too large, of itself.
const COARSE: f32 = 1.0 / 128.0;

/// Rounding, relative to the numbers that a bound and a similarity are made of: nothing may be missed for it.
pub(super) const ROUNDING: f32 = 2e-6;

/// What a query gives to the bound of every row.
pub(super) struct Terms {
    /// What one unit of a sum is worth, and what a sum of zero stands for.
    pub(super) scale: f32,
    pub(super) least: f32,
    pub(super) constant: f32,
    /// How many deviations above its estimate a similarity is looked for, times |q'|.
    pub(super) margin: f32,
    /// What rounding may take away, for each unit of f.
    pub(super) slack: f32,
}

impl Terms {
    /// From the sums of a block and its numbers.
    #[inline(always)]
    fn bounds(&self, totals: &[u32; BLOCK], numbers: Numbers<'_>, eligible: u32, bounds: &mut [f32; BLOCK]) {
        match numbers {
            Numbers::Coarse(numbers) => {
                let wide = |bytes: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16);
                let numbers = |row: usize| numbers.map(|numbers| wide(numbers[row]));
                self.each(totals, eligible, bounds, numbers, |product| COARSE * product.abs());
            }
            Numbers::Exact(numbers) => {
                let numbers = |row: usize| numbers.map(|numbers| f32::from_le_bytes(numbers[row]));
                self.each(totals, eligible, bounds, numbers, |_| 0.0);
            }
        }
    }

    /// In arrays of one length and without a branch, so that the compiler makes vector instructions of it, those of whoever has it inlined. `coarse`: by how
    /// much the product of factor and sum may be too small.
    #[inline(always)]
    fn each(
        &self,
        totals: &[u32; BLOCK],
        eligible: u32,
        bounds: &mut [f32; BLOCK],
        numbers: impl Fn(usize) -> [f32; 3],
        coarse: impl Fn(f32) -> f32,
    ) {
        for row in 0..BLOCK {
            let [factor, along, error] = numbers(row);
            let product = factor * (self.scale * totals[row] as f32 + self.least);
            let estimate = product + along + self.constant;
            let inexact = self.slack * factor + ROUNDING * along.abs() + coarse(product);
            bounds[row] = estimate + self.margin * error + inexact;
        }
        let bits: [u32; BLOCK] = std::array::from_fn(|row| 1 << row);
        for row in 0..BLOCK {
            bounds[row] = if eligible & bits[row] == 0 { f32::NEG_INFINITY } else { bounds[row] };
        }
    }
}

/// The bounds of a block's rows by the sums that `add` makes; less than all numbers for those without their bit in `eligible`.
#[inline(always)]
pub(super) fn bounds_by(
    add: impl Fn(&[[u8; GROUP]], &[u8], &mut [u32; BLOCK]),
    halves: &[Half<'_>],
    terms: &Terms,
    numbers: Numbers<'_>,
    eligible: u32,
    bounds: &mut [f32; BLOCK],
) {
    let mut totals = [0; BLOCK];
    for half in halves {
        add(half.entries, half.signs, &mut totals);
    }
    terms.bounds(&totals, numbers, eligible, bounds);
}

/// The greatest bound of each block's rows, by the first halves of their codes: of one block after the other in one call, since the processor goes
/// through a block in less than a tenth of a microsecond.
#[inline(always)]
pub(super) fn maxima_by(
    add: impl Fn(&[[u8; GROUP]], &[u8], &mut [u32; BLOCK]),
    entries: &[[u8; GROUP]],
    terms: &Terms,
    run: &Run<'_>,
    maxima: &mut [f32],
) {
    let Run { blocks, first, eligible } = *run;
    let ask_for = |at: usize| {
        if eligible.get(at).is_some_and(|eligible| *eligible != 0) {
            prefetch(blocks.first(first + at));
        }
    };
    (0..AHEAD).for_each(ask_for);
    for (at, (&eligible, most)) in eligible.iter().zip(maxima).enumerate() {
        ask_for(at + AHEAD);
        *most = f32::NEG_INFINITY;
        if eligible == 0 {
            continue;
        }
        let Some((signs, numbers)) = Numbers::of_first(blocks.first(first + at)) else { return };
        let mut bounds = [0.0; BLOCK];
        bounds_by(&add, &[Half { entries, signs }], terms, numbers, eligible, &mut bounds);
        *most = greatest(bounds);
    }
}

/// By halves, of which the compiler takes many numbers at once.
#[inline(always)]
fn greatest(mut bounds: [f32; BLOCK]) -> f32 {
    let mut half = BLOCK / 2;
    while half > 0 {
        for at in 0..half {
            // Not `max`, whose care for NaN takes several instructions: vectors that are so long that a bound could be NaN are refused.
            bounds[at] = if bounds[at] > bounds[at + half] { bounds[at] } else { bounds[at + half] };
        }
        half /= 2;
    }
    bounds[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::blocks::block_bytes;
    use super::*;

    /// All that this processor can do beside the plain way.
    fn ways() -> Vec<Way> {
        #[cfg(target_arch = "x86_64")]
        return super::super::x86::ways().collect();
        #[cfg(target_arch = "aarch64")]
        return super::super::arm::way().into_iter().collect();
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        Vec::new()
    }

    /// Bytes that look random.
    fn bytes(seed: u64) -> impl FnMut() -> u8 {
        let mut state = seed | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        }
    }

    /// With these, a bound is the sum.
    const SUMS: Terms = Terms { scale: 1.0, least: 0.0, constant: 0.0, margin: 0.0, slack: 0.0 };
    const ONES: Numbers<'static> = Numbers::Exact([&[[0, 0, 128, 63]; BLOCK], &[[0; 4]; BLOCK], &[[0; 4]; BLOCK]]);

    fn bounds(way: &Way, halves: &[Half<'_>], terms: &Terms, numbers: Numbers<'_>, eligible: u32) -> [f32; BLOCK] {
        let mut bounds = [0.0; BLOCK];
        (way.bounds)(halves, terms, numbers, eligible, &mut bounds);
        bounds
    }

    #[test]
    fn half_of_a_number_is_the_least_that_is_not_below_it() {
        let wide = |half: u16| f32::from_bits(u32::from(half) << 16);
        for number in [0.0, -0.0, 1.0, -1.0, 1.0001, -1.0001, 0.3, -0.3, 3e-20, 1e30, -1e30, f32::MIN_POSITIVE] {
            let half = upper_half(number);
            assert!(wide(half) >= number && (wide(half) - number).abs() <= COARSE * number.abs(), "{number}: {}", wide(half));
            let below = if number > 0.0 { half.wrapping_sub(1) } else { half + 1 };
            assert!(number == 0.0 || wide(below) < number, "{number}: {}", wide(below));
        }
        assert_eq!(wide(upper_half(f32::MAX)), f32::INFINITY);
    }

    proptest! {
        #[test]
        fn every_instruction_set_adds_up_the_same(groups in 1usize..40, seed in any::<u64>()) {
            // A multiple of 8 groups, as halves of codes have; all bytes that there can be.
            let (groups, mut next) = (groups * 8, bytes(seed));
            let entries: Vec<[u8; GROUP]> = (0..groups).map(|_| std::array::from_fn(|_| next())).collect();
            let signs: Vec<u8> = (0..groups * GROUP).map(|_| next()).collect();
            let half = Half { entries: &entries, signs: &signs };
            let expected = bounds(&Way::PLAIN, &[half, half], &SUMS, ONES, u32::MAX);
            prop_assert!(expected[0] > 0.0);
            for way in ways() {
                prop_assert_eq!(bounds(&way, &[half, half], &SUMS, ONES, u32::MAX), expected);
            }
        }

        #[test]
        fn the_greatest_sums_do_not_overflow(groups in 1usize..80) {
            let groups = groups * 8;
            let (entries, signs) = (vec![[255; GROUP]; groups], vec![0xff; groups * GROUP]);
            let half = Half { entries: &entries, signs: &signs };
            for way in ways().into_iter().chain([Way::PLAIN]) {
                prop_assert_eq!(bounds(&way, &[half, half], &SUMS, ONES, u32::MAX), [(2 * 255 * groups) as f32; BLOCK]);
            }
        }

        #[test]
        fn every_instruction_set_gives_the_same_bounds(
            seed in any::<u64>(),
            numbers in prop::array::uniform3(prop::array::uniform32(-10.0f32..10.0)),
            terms in prop::array::uniform5(-4.0f32..4.0),
            eligible in any::<u32>(),
        ) {
            let [scale, least, constant, margin, slack] = terms;
            let terms = Terms { scale, least, constant, margin, slack };
            let mut next = bytes(seed);
            let entries: [[u8; GROUP]; 8] = std::array::from_fn(|_| std::array::from_fn(|_| next()));
            let signs: [u8; 8 * GROUP] = std::array::from_fn(|_| next());
            let half = Half { entries: &entries, signs: &signs };
            let sums = bounds(&Way::PLAIN, &[half], &SUMS, ONES, u32::MAX);
            let exact = numbers.map(|numbers| numbers.map(f32::to_le_bytes));
            let coarse = numbers.map(|numbers| numbers.map(|number| upper_half(number).to_le_bytes()));
            let exact = Numbers::Exact([&exact[0], &exact[1], &exact[2]]);
            let coarse = Numbers::Coarse([&coarse[0], &coarse[1], &coarse[2]]);
            for (which, inexact) in [(exact, 0.0), (coarse, COARSE)] {
                let plain = bounds(&Way::PLAIN, &[half], &terms, which, eligible);
                for way in ways() {
                    prop_assert_eq!(bounds(&way, &[half], &terms, which, eligible), plain);
                }
                let bound = |row: usize| {
                    let [factor, along, error] = numbers.map(|numbers| match which {
                        Numbers::Exact(_) => numbers[row],
                        Numbers::Coarse(_) => f32::from_bits(u32::from(upper_half(numbers[row])) << 16),
                    });
                    let product = factor * (scale * sums[row] + least);
                    let inexact = slack * factor + ROUNDING * along.abs() + inexact * product.abs();
                    product + along + constant + margin * error + inexact
                };
                for (row, plain) in plain.into_iter().enumerate() {
                    prop_assert_eq!(plain, if eligible >> row & 1 == 1 { bound(row) } else { f32::NEG_INFINITY });
                }
            }
        }

        #[test]
        fn maxima_are_the_greatest_of_the_rough_bounds(
            seed in any::<u64>(),
            blocks in 1usize..70,
            first in 0usize..70,
            terms in prop::array::uniform5(0.0f32..4.0),
            eligible in prop::collection::vec(prop_oneof![Just(0), Just(u32::MAX), any::<u32>()], 70),
        ) {
            let (padded, first) = (64, first % blocks);
            let mut next = bytes(seed);
            let entries: [[u8; GROUP]; 8] = std::array::from_fn(|_| std::array::from_fn(|_| next()));
            let mut bytes: Vec<u8> = (0..blocks * block_bytes(padded)).map(|_| next()).collect();
            // No number is infinite or none.
            bytes.iter_mut().for_each(|byte| *byte &= 0xbf);
            let all = Blocks::new(&bytes, padded);
            let [scale, least, constant, margin, slack] = terms;
            let terms = Terms { scale, least, constant, margin, slack };
            let eligible = &eligible[..blocks - first];
            let greatest_of = |(block, &eligible): (usize, &u32)| {
                let (signs, numbers) = Numbers::of_first(all.first(block)).unwrap();
                let bounds = bounds(&Way::PLAIN, &[Half { entries: &entries, signs }], &terms, numbers, eligible);
                bounds.into_iter().fold(f32::NEG_INFINITY, f32::max)
            };
            let expected: Vec<f32> = (first..blocks).zip(eligible).map(greatest_of).collect();
            for way in ways().into_iter().chain([Way::PLAIN]) {
                let mut maxima = vec![0.0; expected.len()];
                (way.maxima)(&entries, &terms, &Run { blocks: all, first, eligible }, &mut maxima);
                prop_assert_eq!(&maxima, &expected);
            }
        }
    }
}
