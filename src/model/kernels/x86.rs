//! 8-bit products on x86-64: the one place with unsafe code, which is loads from slices whose lengths were checked.
//!
//! A tile is up to [`ROWS`] rows of activations by one panel of weights, [`PANEL`] columns, in 32-bit sums that stay in registers
//! over the whole depth: `vpdpbusd` multiplies four unsigned by four signed bytes for each of 16 (or 8) columns and adds them up.
//! AVX2 without it adds the products of two neighbours in 16 bits, where they have to fit ([`Instructions::adds_pairs`]).
//!
//! Why not a library: see the comparison in `super::linear`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::int8::{Columns, PANEL, Quad, ROWS, Step};

/// As one 32-bit number, to be repeated over a register.
#[inline(always)]
fn word(quad: Quad) -> i32 {
    i32::from_ne_bytes(quad)
}

macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $features:literal, $register:ty, columns $columns:literal, per register $lanes:literal,
     $zero:ident, $load:expr, $repeat:ident, $dot:expr, $store:expr) => {
        $(#[$doc])*
        #[target_feature(enable = $features)]
        pub(super) fn $name<const R: usize>(rows: [&[Quad]; R], panel: &[Step], sums: &mut [Columns; ROWS]) {
            const REGISTERS: usize = $columns / $lanes;
            for part in 0..PANEL / $columns {
                let mut total = [[$zero(); REGISTERS]; R];
                // Cut to one length, so that the bounds are checked once.
                let mut rows = rows;
                for row in &mut rows {
                    *row = &row[..panel.len()];
                }
                for (at, step) in panel.iter().enumerate() {
                    let mut weights = [$zero(); REGISTERS];
                    for (register, weights) in weights.iter_mut().enumerate() {
                        let from = 4 * (part * $columns + register * $lanes);
                        *weights = $load(&step[from..from + 4 * $lanes]);
                    }
                    for r in 0..R {
                        let quad = $repeat(word(rows[r][at]));
                        for register in 0..REGISTERS {
                            total[r][register] = $dot(total[r][register], quad, weights[register]);
                        }
                    }
                }
                for r in 0..R {
                    for register in 0..REGISTERS {
                        let to = part * $columns + register * $lanes;
                        $store(&mut sums[r][to..to + $lanes], total[r][register]);
                    }
                }
            }
        }
    };
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(bytes: &[i8]) -> __m512i {
    assert!(bytes.len() == 64);
    // SAFETY: 64 bytes, as just checked; the instruction asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_512(to: &mut [i32], sums: __m512i) {
    assert!(to.len() == 16);
    // SAFETY: 16 numbers of 4 bytes, as just checked; the instruction asks for no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), sums) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256(bytes: &[i8]) -> __m256i {
    assert!(bytes.len() == 32);
    // SAFETY: 32 bytes, as just checked; the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_256(to: &mut [i32], sums: __m256i) {
    assert!(to.len() == 8);
    // SAFETY: 8 numbers of 4 bytes, as just checked; the instruction asks for no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sums) }
}

/// Products of unsigned and signed bytes, added by fours, in three instructions.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_avx2(sums: __m256i, quad: __m256i, weights: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(quad, weights);
    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

tile!(
    /// 8 rows by 48 columns: 24 sums, 3 weights and 1 row in 32 registers.
    tile_avx512_vnni, "avx512f,avx512bw,avx512vl,avx512vnni", __m512i, columns 48, per register 16,
    _mm512_setzero_si512, load_512, _mm512_set1_epi32, _mm512_dpbusd_epi32, store_512
);

tile!(
    /// 4 rows by 24 columns, twice: 12 sums, 3 weights and 1 row in 16 registers.
    tile_avx_vnni, "avx2,avxvnni", __m256i, columns 24, per register 8,
    _mm256_setzero_si256, load_256, _mm256_set1_epi32, _mm256_dpbusd_avx_epi32, store_256
);

tile!(
    /// As with AVX-VNNI; exact where the products of two neighbours fit into 16 bits.
    tile_avx2, "avx2", __m256i, columns 24, per register 8,
    _mm256_setzero_si256, load_256, _mm256_set1_epi32, dot_avx2, store_256
);

/// Instructions to multiply with; a value exists only where the machine has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instructions(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Avx512Vnni,
    AvxVnni,
    Avx2,
}

impl Instructions {
    /// All that this machine has, the fastest first.
    pub(super) fn available() -> Vec<Self> {
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        let avx2 = is_x86_feature_detected!("avx2");
        let avx_vnni = avx2 && is_x86_feature_detected!("avxvnni");
        let sets = [(avx512, Set::Avx512Vnni), (avx_vnni, Set::AvxVnni), (avx2, Set::Avx2)];
        sets.into_iter().filter(|(has, _)| *has).map(|(_, set)| Self(set)).collect()
    }

    /// Whether the products of inputs 2n and 2n + 1 are added up in 16 bits, which more than those hold would saturate.
    pub(super) fn adds_pairs(self) -> bool {
        match self.0 {
            Set::Avx512Vnni | Set::AvxVnni => false,
            Set::Avx2 => true,
        }
    }

    /// The products of `R` rows, at most [`ROWS`], and one panel, into the first `R` rows of `sums`.
    #[inline(always)]
    pub(super) fn tile<const R: usize>(self, rows: [&[Quad]; R], panel: &[Step], sums: &mut [Columns; ROWS]) {
        // SAFETY: the machine has the instructions, or there would be no such value.
        match self.0 {
            Set::Avx512Vnni => unsafe { tile_avx512_vnni(rows, panel, sums) },
            Set::AvxVnni => unsafe { tile_avx_vnni(rows, panel, sums) },
            Set::Avx2 => unsafe { tile_avx2(rows, panel, sums) },
        }
    }

    /// The most rows of a tile.
    pub(super) fn rows(self) -> usize {
        match self.0 {
            Set::Avx512Vnni => 8,
            Set::AvxVnni | Set::Avx2 => 4,
        }
    }
}
