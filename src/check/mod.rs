//! Whether an index is whole, and what can be brought back where it is not.
//!
//! **Invariant:** checking changes nothing; repairing deletes nothing, it sets aside.

mod repair;
mod verify;

pub use repair::{Repaired, repair};
pub use verify::{Problem, Report, verify};
