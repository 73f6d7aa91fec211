//! 8-bit products on x86-64: the one place with unsafe code, which is loads from slices whose lengths were checked, and calls of what was
//! compiled for instructions that were found.
//!
//! A tile is up to 8 rows of activations by one panel of weights, [`PANEL`] columns, in 32-bit sums that stay in registers over the whole
//! depth, and until an [`Epilogue`] has made of them what is stored: `vpdpbusd` multiplies four unsigned by four signed bytes for each of
//! 16 (or 8) columns and adds them up.
//! AVX2 without it adds the products of two neighbours in 16 bits, where they have to fit ([`Instructions::adds_pairs`]).
//!
//! Why not a library: see the comparison in `super::linear`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::fmt;

use rten_simd::Isa;
use rten_simd::isa::{Avx2Isa, Avx512Isa};

use super::int8::{PANEL, Quad, Step};

/// What becomes of a tile's sums while they are in registers.
pub(super) trait Epilogue {
    /// The next tile is of the rows from `row` on, by a panel.
    fn begin(&mut self, row: usize, panel: usize);

    /// `sums` are of `R` rows by the `C` registers of columns that begin at `column` of the panel. To be `inline(always)`, with all that
    /// it calls: so it is compiled for the instructions of the tile, and a call would put the sums into memory.
    fn finish<I: Isa, const R: usize, const C: usize>(&mut self, isa: I, sums: &[[I::I32; C]; R], column: usize);
}

/// As one 32-bit number, to be repeated over a register.
#[inline(always)]
fn word(quad: Quad) -> i32 {
    i32::from_ne_bytes(quad)
}

macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $features:literal, $isa:ty, columns $columns:literal, per register $lanes:literal,
     $zero:ident, $load:expr, $repeat:ident, $dot:expr) => {
        $(#[$doc])*
        #[target_feature(enable = $features)]
        fn $name<const R: usize>(isa: $isa, rows: [&[Quad]; R], panel: &[Step], epilogue: &mut impl Epilogue) {
            const REGISTERS: usize = $columns / $lanes;
            for part in 0..PANEL / $columns {
                let mut total = [[<$isa as Isa>::I32::from($zero()); REGISTERS]; R];
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
                            total[r][register] = $dot(total[r][register].0, quad, weights[register]).into();
                        }
                    }
                }
                epilogue.finish(isa, &total, part * $columns);
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
#[target_feature(enable = "avx2")]
fn load_256(bytes: &[i8]) -> __m256i {
    assert!(bytes.len() == 32);
    // SAFETY: 32 bytes, as just checked; the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
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
    tile_avx512_vnni, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c", Avx512Isa, columns 48, per register 16,
    _mm512_setzero_si512, load_512, _mm512_set1_epi32, _mm512_dpbusd_epi32
);

tile!(
    /// 4 rows by 24 columns, twice: 12 sums, 3 weights and 1 row in 16 registers.
    tile_avx_vnni, "avx2,fma,f16c,avxvnni", Avx2Isa, columns 24, per register 8,
    _mm256_setzero_si256, load_256, _mm256_set1_epi32, _mm256_dpbusd_avx_epi32
);

tile!(
    /// 4 rows by 16 columns, three times: 8 sums, 2 weights, 1 row, ones and what is between two instructions in 16 registers. Exact
    /// where the products of two neighbours fit into 16 bits.
    tile_avx2, "avx2,fma,f16c", Avx2Isa, columns 16, per register 8,
    _mm256_setzero_si256, load_256, _mm256_set1_epi32, dot_avx2
);

/// Instructions to multiply with; a value exists only where the machine has them.
#[derive(Clone, Copy)]
pub(super) struct Instructions(Set);

/// Each with the proof that the machine has what its epilogues need.
#[derive(Clone, Copy)]
enum Set {
    Avx512Vnni(Avx512Isa),
    AvxVnni(Avx2Isa),
    Avx2(Avx2Isa),
}

impl fmt::Debug for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Set::Avx512Vnni(_) => "AVX-512 VNNI",
            Set::AvxVnni(_) => "AVX-VNNI",
            Set::Avx2(_) => "AVX2",
        })
    }
}

impl Instructions {
    /// All that this machine has, the fastest first.
    pub(super) fn available() -> Vec<Self> {
        let avx512 = Avx512Isa::new().filter(|_| is_x86_feature_detected!("avx512vnni"));
        let avx2 = Avx2Isa::new();
        let avx_vnni = avx2.filter(|_| is_x86_feature_detected!("avxvnni"));
        let sets = [avx512.map(Set::Avx512Vnni), avx_vnni.map(Set::AvxVnni), avx2.map(Set::Avx2)];
        sets.into_iter().flatten().map(Self).collect()
    }

    /// Whether the products of inputs 2n and 2n + 1 are added up in 16 bits, which more than those hold would saturate.
    pub(super) fn adds_pairs(self) -> bool {
        match self.0 {
            Set::Avx512Vnni(_) | Set::AvxVnni(_) => false,
            Set::Avx2(_) => true,
        }
    }

    /// The products of `R` rows, at most [`Self::rows`], and one panel, which go to `epilogue`.
    #[inline(always)]
    pub(super) fn tile<const R: usize>(self, rows: [&[Quad]; R], panel: &[Step], epilogue: &mut impl Epilogue) {
        // SAFETY: the machine has the instructions, or there would be no such value.
        match self.0 {
            Set::Avx512Vnni(isa) => unsafe { tile_avx512_vnni(isa, rows, panel, epilogue) },
            Set::AvxVnni(isa) => unsafe { tile_avx_vnni(isa, rows, panel, epilogue) },
            Set::Avx2(isa) => unsafe { tile_avx2(isa, rows, panel, epilogue) },
        }
    }

    /// The most rows of a tile.
    pub(super) fn rows(self) -> usize {
        match self.0 {
            Set::Avx512Vnni(_) => 8,
            Set::AvxVnni(_) | Set::Avx2(_) => 4,
        }
    }
}
