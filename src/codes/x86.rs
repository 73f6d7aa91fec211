//! Lookups and bounds on x86-64: unsafe code is loads and stores of slices whose lengths were checked, and the
//! call of what was compiled for instructions that were found. Its plain twins are in `sums` and `bounds`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::blocks::{BLOCK, GROUP};
use super::bounds::{Half, Numbers, Run, Terms, Way, bounds_by, maxima_by};
use super::sums::SHORT;

/// The plain way with other sums, both compiled for these instructions.
macro_rules! way {
    ($features:literal, $sums:ident) => {{
        #[target_feature(enable = $features)]
        fn bounds(halves: &[Half<'_>], terms: &Terms, numbers: Numbers<'_>, eligible: u32, bounds: &mut [f32; BLOCK]) {
            bounds_by(|entries, signs, sums| $sums(entries, signs, sums), halves, terms, numbers, eligible, bounds);
        }
        #[target_feature(enable = $features)]
        fn maxima(entries: &[[u8; GROUP]], terms: &Terms, run: &Run<'_>, most: &mut [f32]) {
            maxima_by(|entries, signs, sums| $sums(entries, signs, sums), entries, terms, run, most);
        }
        Way {
            // SAFETY: a way is given out where its instructions were found, and nowhere else.
            bounds: |halves, terms, numbers, eligible, to| unsafe { bounds(halves, terms, numbers, eligible, to) },
            // SAFETY: as above.
            maxima: |entries, terms, run, most| unsafe { maxima(entries, terms, run, most) },
        }
    }};
}

/// What this processor can do, the fastest first.
pub(super) fn ways() -> impl Iterator<Item = Way> {
    let wide = has_avx512().then_some(way!("avx512bw,avx512vl,avx512vbmi,avx512vnni", avx512));
    let narrow = is_x86_feature_detected!("avx2").then_some(way!("avx2", avx2));
    wide.into_iter().chain(narrow)
}

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vnni")
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_wide(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes; the instruction asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Adds to sixteen numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_wide(to: &mut [u32; 16], values: __m512i) {
    let to = to.as_mut_ptr().cast();
    // SAFETY: 16 numbers of 4 bytes; the instructions ask for no alignment.
    unsafe { _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_loadu_si512(to), values)) }
}

/// Four groups at once, whose 64 entries one lookup knows. The four bytes of a row are brought together first, so that one instruction adds them up.
#[inline]
#[target_feature(enable = "avx512bw,avx512vbmi,avx512vnni")]
fn avx512(entries: &[[u8; GROUP]], signs: &[u8], sums: &mut [u32; BLOCK]) {
    const TOGETHER: [u8; 64] = {
        let mut places = [0; 64];
        let mut at = 0;
        while at < 64 {
            places[at] = (at % 4 * GROUP + at / 4) as u8;
            at += 1;
        }
        places
    };
    let together = load_wide(&TOGETHER);
    let table_of = _mm512_set1_epi32(0x3020_1000);
    let (low, ones) = (_mm512_set1_epi8(15), _mm512_set1_epi8(1));
    // Bit 4 a + 2 b + c of the constant is (a and b) or c.
    let place = |half| _mm512_ternarylogic_epi32::<0b1110_1010>(half, low, table_of);
    // Two for each half of the rows, so that one addition need not wait for the other.
    let mut totals = [_mm512_setzero_si512(); 4];
    for (entries, signs) in entries.as_chunks::<8>().0.iter().zip(signs.as_chunks::<128>().0) {
        let (entries, signs) = (entries.as_flattened().as_chunks::<64>().0, signs.as_chunks::<64>().0);
        for ((table, rows), totals) in entries.iter().zip(signs).zip(totals.as_chunks_mut::<2>().0) {
            let (table, rows) = (load_wide(table), _mm512_permutexvar_epi8(together, load_wide(rows)));
            for (half, total) in [rows, _mm512_srli_epi16::<4>(rows)].into_iter().zip(totals) {
                *total = _mm512_dpbusd_epi32(*total, _mm512_permutexvar_epi8(place(half), table), ones);
            }
        }
    }
    let [low, high, more_low, more_high] = totals;
    let totals = [_mm512_add_epi32(low, more_low), _mm512_add_epi32(high, more_high)];
    for (sums, total) in sums.as_chunks_mut::<16>().0.iter_mut().zip(totals) {
        add_wide(sums, total);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8]) -> __m256i {
    assert!(bytes.len() == 32);
    // SAFETY: 32 bytes, as just checked; the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Adds to eight numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn add(to: &mut [u32], values: __m256i) {
    assert!(to.len() == 8);
    let to = to.as_mut_ptr().cast();
    // SAFETY: 8 numbers of 4 bytes, as just checked; the instructions ask for no alignment.
    unsafe { _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), values)) }
}

/// Two groups at once, one in each half of a register. Sums are kept in 16 bits, those of even bytes mixed with those of odd ones, which are
/// taken out at the end.
#[inline]
#[target_feature(enable = "avx2")]
fn avx2(entries: &[[u8; GROUP]], signs: &[u8], sums: &mut [u32; BLOCK]) {
    let low = _mm256_set1_epi8(15);
    for (entries, signs) in entries.chunks(SHORT).zip(signs.chunks(SHORT * GROUP)) {
        let zero = _mm256_setzero_si256();
        let (mut mixed, mut odd) = ([zero; 2], [zero; 2]);
        for (entries, signs) in entries.as_chunks::<2>().0.iter().zip(signs.as_chunks::<32>().0) {
            let table = load(entries.as_flattened());
            let rows = load(signs);
            let halves = [_mm256_and_si256(rows, low), _mm256_and_si256(_mm256_srli_epi16::<4>(rows), low)];
            for half in 0..2 {
                let found = _mm256_shuffle_epi8(table, halves[half]);
                mixed[half] = _mm256_add_epi16(mixed[half], found);
                odd[half] = _mm256_add_epi16(odd[half], _mm256_srli_epi16::<8>(found));
            }
        }
        for (half, sums) in sums.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            // In 16 bits everything is meant modulo 65,536, and so is right in the end: all groups together are less than that.
            let even = _mm256_sub_epi16(mixed[half], _mm256_slli_epi16::<8>(odd[half]));
            let both = |sums| _mm_add_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            let (even, odd) = (both(even), both(odd[half]));
            let (first, second) = sums.split_at_mut(8);
            add(first, _mm256_cvtepu16_epi32(_mm_unpacklo_epi16(even, odd)));
            add(second, _mm256_cvtepu16_epi32(_mm_unpackhi_epi16(even, odd)));
        }
    }
}
