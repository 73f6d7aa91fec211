//! Lookups and bounds on x86-64: unsafe code is loads and stores of slices whose lengths were checked, and the
//! call of what was compiled for instructions that were found. Its plain twins are in `sums` and `code`. (AVX-512 was tried on Zen 4, and was no faster.)
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::code::{BLOCK, GROUP, Terms};
use super::sums::{SHORT, Sums};

/// What this processor can do, if it has the instructions.
pub(super) fn sums() -> Option<Sums> {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the instructions were found just now.
        return Some(|entries, signs, sums| unsafe { avx2(entries, signs, sums) });
    }
    None
}

/// [`Terms::bounds`], the same operations in wider registers; false where this processor has none.
pub(super) fn bounds(terms: &Terms, totals: &[u32; BLOCK], numbers: [&[[u8; 4]; BLOCK]; 3], bounds: &mut [f32; BLOCK]) -> bool {
    #[target_feature(enable = "avx2")]
    fn wide(terms: &Terms, totals: &[u32; BLOCK], numbers: [&[[u8; 4]; BLOCK]; 3], bounds: &mut [f32; BLOCK]) {
        terms.bounds(totals, numbers, bounds);
    }
    let found = is_x86_feature_detected!("avx2");
    if found {
        // SAFETY: the instructions were found just now.
        unsafe { wide(terms, totals, numbers, bounds) };
    }
    found
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8]) -> __m256i {
    assert!(bytes.len() == 32);
    // SAFETY: 32 bytes, as just checked; the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(to: &mut [u16], values: __m256i) {
    assert!(to.len() == 16);
    // SAFETY: 16 numbers of 2 bytes, as just checked; the instruction asks for no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), values) }
}

/// Two groups at once, one in each half of a register. Sums are kept in 16 bits, those of even bytes mixed with those of odd ones, which are
/// taken out at the end.
#[target_feature(enable = "avx2")]
fn avx2(entries: &[[u8; GROUP]], signs: &[u8], sums: &mut [u32; BLOCK]) {
    sums.fill(0);
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
        for half in 0..2 {
            // In 16 bits everything is meant modulo 65,536, and so is right in the end.
            let even = _mm256_sub_epi16(mixed[half], _mm256_slli_epi16::<8>(odd[half]));
            let mut pair = [[0_u16; 16]; 2];
            store(&mut pair[0], even);
            store(&mut pair[1], odd[half]);
            for at in 0..8 {
                let row = half * GROUP + 2 * at;
                sums[row] += u32::from(pair[0][at]) + u32::from(pair[0][at + 8]);
                sums[row + 1] += u32::from(pair[1][at]) + u32::from(pair[1][at + 8]);
            }
        }
    }
}
