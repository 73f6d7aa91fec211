//! Lookups on 64-bit Arm: unsafe code is loads and stores of arrays, and the call of what was compiled for instructions that were found. Its plain twin
//! is in `sums`. (Bounds need no twin here: the compiler makes NEON of them wherever it builds for such a machine.)
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::blocks::{BLOCK, GROUP};
use super::bounds::{Way, bounds_by, maxima_by};
use super::sums::SHORT;

/// What this processor can do, if it has the instructions.
pub(super) fn way() -> Option<Way> {
    let found = is_aarch64_feature_detected!("neon");
    found.then_some(Way {
        bounds: |halves, terms, numbers, eligible, bounds| bounds_by(sums, halves, terms, numbers, eligible, bounds),
        maxima: |entries, terms, run, maxima| maxima_by(sums, entries, terms, run, maxima),
    })
}

fn sums(entries: &[[u8; GROUP]], signs: &[u8], sums: &mut [u32; BLOCK]) {
    // SAFETY: the one way that has this is given out where the instructions were found.
    unsafe { neon(entries, signs, sums) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8; GROUP]) -> uint8x16_t {
    // SAFETY: 16 bytes; the instruction asks for no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(values: uint16x8_t) -> [u16; 8] {
    let mut to = [0; 8];
    // SAFETY: 8 numbers of 2 bytes; the instruction asks for no alignment.
    unsafe { vst1q_u16(to.as_mut_ptr(), values) };
    to
}

/// Sixteen rows at a lookup; sums are kept in 16 bits, eight to a register, as long as they fit.
#[target_feature(enable = "neon")]
fn neon(entries: &[[u8; GROUP]], signs: &[u8], sums: &mut [u32; BLOCK]) {
    for (entries, signs) in entries.chunks(SHORT).zip(signs.chunks(SHORT * GROUP)) {
        let mut totals = [vdupq_n_u16(0); 4];
        for (entries, signs) in entries.iter().zip(signs.as_chunks::<GROUP>().0) {
            let (table, rows) = (load(entries), load(signs));
            let halves = [vandq_u8(rows, vdupq_n_u8(15)), vshrq_n_u8::<4>(rows)];
            for half in 0..2 {
                let found = vqtbl1q_u8(table, halves[half]);
                totals[2 * half] = vaddw_u8(totals[2 * half], vget_low_u8(found));
                totals[2 * half + 1] = vaddw_high_u8(totals[2 * half + 1], found);
            }
        }
        for (total, sums) in totals.into_iter().zip(sums.as_chunks_mut::<8>().0) {
            for (sum, found) in sums.iter_mut().zip(store(total)) {
                *sum += u32::from(found);
            }
        }
    }
}
