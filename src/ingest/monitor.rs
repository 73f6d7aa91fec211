//! Watching and stopping an indexing run from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::IngestError;

/// How far a writer has come, in counts since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Documents that the writer took.
    pub documents_added: u64,
    /// Documents whose passages have their vectors, where an encoder makes them.
    pub documents_embedded: u64,
    /// Documents that were written to the index; visible to readers after the commit.
    pub documents_written: u64,
    /// Passages that were cut so far.
    pub passages_cut: u64,
    /// Passages that have their vectors.
    pub passages_embedded: u64,
    /// Passages of which the encoder read only the beginning.
    pub passages_truncated: u64,
    /// Documents of whose headings the encoder reads only the beginning, up to 96 tokens, before their passages.
    pub headings_cut: u64,
}

/// A handle to a running [`Writer`](crate::Writer), for progress bars and cancel buttons.
#[derive(Clone, Debug, Default)]
pub struct Monitor {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    documents_added: AtomicU64,
    documents_embedded: AtomicU64,
    documents_written: AtomicU64,
    passages_cut: AtomicU64,
    passages_embedded: AtomicU64,
    passages_truncated: AtomicU64,
    headings_cut: AtomicU64,
    cancelled: AtomicBool,
    abandoned: AtomicBool,
}

impl Monitor {
    /// The counts now.
    pub fn progress(&self) -> Progress {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Progress {
            documents_added: read(&self.state.documents_added),
            documents_embedded: read(&self.state.documents_embedded),
            documents_written: read(&self.state.documents_written),
            passages_cut: read(&self.state.passages_cut),
            passages_embedded: read(&self.state.passages_embedded),
            passages_truncated: read(&self.state.passages_truncated),
            headings_cut: read(&self.state.headings_cut),
        }
    }

    /// Stops the writer soon: its next call fails with [`IngestError::Cancelled`](crate::IngestError::Cancelled), and
    /// nothing since the last commit is kept.
    pub fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`Monitor::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Relaxed)
    }

    /// The writer was dropped: what waits will not be committed.
    pub(super) fn abandon(&self) {
        self.state.abandoned.store(true, Ordering::Relaxed);
    }

    /// An error where there is no point in going on.
    pub(super) fn check(&self) -> Result<(), IngestError> {
        match self.state.abandoned.load(Ordering::Relaxed) {
            _ if self.is_cancelled() => Err(IngestError::Cancelled),
            true => Err(IngestError::Stopped { cause: "the writer was dropped".to_owned() }),
            false => Ok(()),
        }
    }

    pub(super) fn added(&self, documents: u64) {
        self.state.documents_added.fetch_add(documents, Ordering::Relaxed);
    }

    /// So many documents have passed the encoder, if there is one.
    pub(super) fn passed(&self, documents: u64) {
        self.state.documents_embedded.fetch_add(documents, Ordering::Relaxed);
    }

    pub(super) fn written(&self, documents: u64) {
        self.state.documents_written.fetch_add(documents, Ordering::Relaxed);
    }

    pub(super) fn cut(&self, passages: u64) {
        self.state.passages_cut.fetch_add(passages, Ordering::Relaxed);
    }

    pub(super) fn truncated(&self, passages: u64) {
        self.state.passages_truncated.fetch_add(passages, Ordering::Relaxed);
    }

    pub(super) fn heading_cut(&self) {
        self.state.headings_cut.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn embedded(&self, passages: u64) {
        self.state.passages_embedded.fetch_add(passages, Ordering::Relaxed);
    }
}
