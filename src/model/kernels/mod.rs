//! The arithmetic of a BERT layer on the CPU: on slices, without padding, with the instructions that the machine has.
//!
//! `linear` multiplies, `exact` in f32 and `int8` in 8 bits, `attention` is one fused pass a sequence, `rows` normalises,
//! activates and quantises row by row, `math` has the functions in vectors. What is plain arithmetic is written once over
//! rten-simd, which picks AVX-512, AVX2 or NEON at run time; the 8-bit products, which it has no operation for, are in `x86`, and what
//! follows them in a tile, over rten-simd again, in `int8`.
//! **Invariant:** `x86` is the only unsafe code; each kernel has a plain twin in its tests.

mod attention;
mod exact;
mod int8;
mod linear;
mod math;
mod rows;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use attention::{Attention, Heads};
pub(super) use int8::{Quantized, coarseness};
pub(super) use linear::{Activated, Linear, LinearWeight};
pub(super) use rows::add_and_normalize;
