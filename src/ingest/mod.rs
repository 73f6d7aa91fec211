//! The way in: documents are cut, embedded, and written, each on a thread of its own.
//!
//! ```text
//! caller ──▶ cut ──▶ embed ──▶ write
//! ```
//!
//! The stages are joined by bounded channels, so a fast caller waits for a slow model and memory stays bounded whatever the
//! size of the documents. Order is kept: a commit is a message that passes through all stages behind the documents before it.
//! The first failure stops the pipeline, and the caller gets it from its next call.

mod embed;
mod monitor;
mod pipeline;
mod prepare;
mod rebuild;
mod write;

pub(crate) use pipeline::Pipeline;
pub(crate) use rebuild::{build_words, extend_schema, open_or_rebuild_words};

pub use monitor::{Monitor, Progress};
pub use pipeline::PendingCommit;
