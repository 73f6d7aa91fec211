//! Vectors: which passages are nearest to a query's vector, by the metric of the index.
//!
//! Few passages are all compared. Many are bounded by their compact codes first, and those that may be among the best are compared
//! with the vectors as they are stored, so a similarity is always exact; what can be missed is a passage whose code errs by more than
//! [`DEVIATIONS`] standard deviations. **Invariant:** this room is the truth of nothing; the store's vectors are.

mod nearest;
mod similarity;
mod table;

pub(crate) use table::{Direction, Eligible, PassageTable};
