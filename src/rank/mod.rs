//! From lists to an order: fusion of the first stage's two lists, and the final order that the cross-encoder decides.
//!
//! Pure functions over ranked lists. **Invariant:** no I/O and no models here; a new fusion or a new final order is added
//! here and nowhere else.

mod final_order;
mod reciprocal;

pub(crate) use final_order::Candidate;
pub use final_order::FinalOrder;
pub(crate) use reciprocal::reciprocal_rank_fusion;
