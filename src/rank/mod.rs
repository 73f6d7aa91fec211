//! From lists to an order: fusion of the first stage's two lists, and the final order that the cross-encoder decides.
//!
//! Pure functions over ranked lists. **Invariant:** no I/O and no models here; a new fusion or a new final order is added
//! here and nowhere else.

mod explanation;
mod final_order;
mod fusion;

pub use explanation::{Combination, Explanation};
pub use final_order::FinalOrder;
pub(crate) use final_order::{Candidate, NOISE, Tempering};
pub use fusion::Fusion;
pub(crate) use fusion::{Fused, Leg, Scale, Term, fuse};
