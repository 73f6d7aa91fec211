//! The way out: both legs of the first stage at once, their fusion, and the cross-encoder's judgement of the best.
//!
//! A [`Snapshot`] is one committed generation; [`Search`] is a question to it; [`Response`] is the answer with the rank and
//! score that each stage gave, the passage that won, and what it cost.

mod explain;
mod first_stage;
mod json;
mod judge;
mod passages;
mod pattern;
mod progress;
mod question;
mod request;
mod response;
mod snapshot;
mod snippet;
#[cfg(test)]
mod tokenised;
mod windows;

pub use crate::rank::FinalOrder;
pub(crate) use json::value_json;
pub use judge::DocumentLogit;
pub use progress::{CancelToken, Progressive};
pub(crate) use request::PASSAGES;
pub use request::{Mode, Search};
pub use response::{Facet, Hit, Judged, Note, Passage, Response, StageRank, Timings};
pub use snapshot::{RecallReport, Snapshot, Storage};
pub use snippet::Snippet;
