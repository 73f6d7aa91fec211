//! Lookups and bounds on x86-64: unsafe code is loads and stores of slices whose lengths were checked, and the
//! call of what was compiled for instructions that were found. Its plain twins are in `sums` and `code`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::code::{BLOCK, GROUP, Numbers, Terms};
use super::sums::{SHORT, Sums};

/// What this processor can do, if it has the instructions.
pub(super) fn sums() -> Option<Sums> {
    all_sums().next()
}

/// All of them that this processor can do, the fastest first.
pub(super) fn all_sums() -> impl Iterator<Item = Sums> {
    // SAFETY: the instructions were found just now.
    let wide: Sums = |entries, signs, sums| unsafe { avx512(entries, signs, sums) };
    // SAFETY: as above.
    let narrow: Sums = |entries, signs, sums| unsafe { avx2(entries, signs, sums) };
    let found = [(has_avx512(), wide), (is_x86_feature_detected!("avx2"), narrow)];
    found.into_iter().filter(|(found, _)| *found).map(|(_, sums)| sums)
}

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vnni")
}

/// [`Terms::bounds`], the same operations in wider registers; false where this processor has none.
pub(super) fn bounds(terms: &Terms, totals: &[u32; BLOCK], numbers: Numbers<'_>, bounds: &mut [f32; BLOCK]) -> bool {
    #[target_feature(enable = "avx2")]
    fn wide(terms: &Terms, totals: &[u32; BLOCK], numbers: Numbers<'_>, bounds: &mut [f32; BLOCK]) {
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
    let mut totals = [_mm512_setzero_si512(); 2];
    for (entries, signs) in entries.as_chunks::<4>().0.iter().zip(signs.as_chunks::<64>().0) {
        let [table, rows] = [entries.as_flattened().as_array(), Some(signs)].map(|bytes| load_wide(bytes.unwrap_or(&[0; 64])));
        let rows = _mm512_permutexvar_epi8(together, rows);
        for (half, total) in [rows, _mm512_srli_epi16::<4>(rows)].into_iter().zip(&mut totals) {
            *total = _mm512_dpbusd_epi32(*total, _mm512_permutexvar_epi8(place(half), table), ones);
        }
    }
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
