//! Compact codes of vectors, one bit a dimension: arithmetic on slices.
//!
//! A scan over halves of codes reads a fiftieth of what the vectors take, and tells what each similarity is at most. Nothing is trained, so a code
//! depends on its vector and on the centre that it was made about, and on nothing else. **Invariant:** no I/O here; `x86` and `arm` are the only
//! unsafe code, and have their plain twins in `sums` and `bounds`.

#[cfg(target_arch = "aarch64")]
mod arm;
mod blocks;
mod bounds;
mod code;
mod rotation;
mod sums;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use blocks::{BLOCK, Blocks, STRIPE, block_bytes};
pub(crate) use code::{CodedQuery, Coder};
pub(crate) use rotation::Rotation;
