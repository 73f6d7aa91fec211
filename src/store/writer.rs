//! The writing side of the directory: new versions of the tables, and the commit.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;

use super::columns::{NUMBER, PassageRow, documents_batch, documents_schema, passages_batch, passages_schema};
use super::layout::sync_directory;
use super::lock::{ReaderPin, WriterLock};
use super::logits::forget_documents;
use super::table::Table;
use super::thread::LanceThread;
use super::{Content, Generation, Header, Layout, WordsState};
use crate::error::{Error, StorageError};
use crate::schema::Document;

/// Rows that are written and not yet committed are dropped with this.
pub(crate) struct StoreWriter {
    layout: Layout,
    header: Header,
    documents: Table,
    passages: Table,
    /// Files known to be durable.
    durable: HashSet<PathBuf>,
    /// Document numbers to be deleted by the commit.
    dead: Vec<u64>,
    /// Document numbers that commits deleted and whose logits may still be kept.
    gone: HashSet<u64>,
    added_documents: u64,
    added_passages: u64,
    dead_passages: u64,
    // Last, so that it is let go when everything else is closed.
    _lock: WriterLock,
}

impl StoreWriter {
    /// Makes a new, empty index whose generation is 0. Another process that got there first wins; its index is kept.
    pub(crate) fn create(layout: &Layout, header: impl FnOnce(&Layout) -> Result<Header, Error>) -> Result<(), Error> {
        layout.check_free()?;
        std::fs::create_dir_all(layout.root()).map_err(StorageError::io(layout.root(), "creating the directory"))?;
        let _lock = match WriterLock::take(layout) {
            Ok(lock) => lock,
            // Whoever holds the lock is making the index, or already writes to it.
            Err(locked) => return if wait_for(&layout.current()) { Ok(()) } else { Err(locked) },
        };
        if layout.current().exists() {
            return Ok(());
        }
        layout.check_free()?;
        let thread = LanceThread::start()?;
        let mut header = header(layout)?;
        let documents = Table::create(layout.documents(), documents_schema(&header.schema), &thread)?;
        let passages =
            Table::create(layout.passages(), passages_schema(header.vocabulary.is_some(), header.vectors.dimension()), &thread)?;
        header.documents_version = documents.version();
        header.passages_version = passages.version();
        let mut durable = HashSet::new();
        documents.sync(&mut durable)?;
        passages.sync(&mut durable)?;
        sync_directory(layout.root())?;
        if let Some(parent) = layout.root().parent() {
            sync_directory(parent)?;
        }
        header.publish(layout)
    }

    /// Takes the lock and brings the tables back to what is committed. Also gives what is there, by key.
    pub(crate) fn open(root: &Path) -> Result<(Self, HashMap<Box<str>, Content>), Error> {
        let layout = Layout::new(root)?;
        // Before the lock, so that a directory without an index gets no lock file.
        Header::read(&layout)?;
        let lock = WriterLock::take(&layout)?;
        let generation = Generation::open(layout.root())?;
        let keys = generation.contents()?;
        let header = generation.header.clone();
        drop(generation);
        let thread = LanceThread::start()?;
        Table::forget_uncommitted(&layout.documents(), header.documents_version)?;
        Table::forget_uncommitted(&layout.passages(), header.passages_version)?;
        let documents = Table::open(layout.documents(), header.documents_version, &thread)?;
        let passages = Table::open(layout.passages(), header.passages_version, &thread)?;
        let writer = Self {
            layout,
            header,
            documents,
            passages,
            durable: HashSet::new(),
            dead: Vec::new(),
            gone: HashSet::new(),
            added_documents: 0,
            added_passages: 0,
            dead_passages: 0,
            _lock: lock,
        };
        Ok((writer, keys))
    }

    /// What is committed.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Writes documents with their passages; nobody sees them before the commit.
    pub(crate) fn append(&mut self, documents: &[(u64, Document)], passages: &[PassageRow]) -> Result<(), StorageError> {
        if !documents.is_empty() {
            let batch = documents_batch(&self.header.schema, documents).map_err(invalid(&self.documents))?;
            self.documents.append(batch)?;
            self.added_documents += documents.len() as u64;
        }
        if !passages.is_empty() {
            let (tokens, dimension) = (self.header.vocabulary.is_some(), self.header.vectors.dimension());
            let batch = passages_batch(tokens, dimension, passages).map_err(invalid(&self.passages))?;
            self.passages.append(batch)?;
            self.added_passages += passages.len() as u64;
        }
        Ok(())
    }

    /// Notes a document to be deleted by the next commit.
    pub(crate) fn delete(&mut self, number: u64) {
        self.dead.push(number);
    }

    /// Steps 1 and 2 of a commit: deletes what is to be deleted, and makes the new versions durable.
    pub(crate) fn prepare(&mut self) -> Result<(), StorageError> {
        if !self.dead.is_empty() {
            self.documents.delete(NUMBER, &self.dead)?;
            let before = self.passages.count()?;
            self.passages.delete(NUMBER, &self.dead)?;
            self.dead_passages = before - self.passages.count()?;
        }
        self.documents.sync(&mut self.durable)?;
        self.passages.sync(&mut self.durable)
    }

    /// Step 4, the commit itself: publishes the prepared versions and the given state of the words.
    pub(crate) fn publish(&mut self, words: WordsState, next_document: u64) -> Result<&Header, Error> {
        let header = Header {
            generation: self.header.generation + 1,
            documents_version: self.documents.version(),
            passages_version: self.passages.version(),
            next_document,
            documents: self.header.documents + self.added_documents - self.dead.len() as u64,
            passages: self.header.passages + self.added_passages - self.dead_passages,
            words,
            ..self.header.clone()
        };
        header.publish(&self.layout)?;
        self.header = header;
        self.gone.extend(self.dead.drain(..));
        (self.added_documents, self.added_passages, self.dead_passages) = (0, 0, 0);
        Ok(&self.header)
    }

    /// Step 5: removes what only older generations use, unless one is being read. True when nothing older is left.
    /// A failure is logged and left for the next commit: the commit has happened.
    pub(crate) fn clean(&mut self) -> bool {
        if !self.gone.is_empty() && forget_documents(&self.layout, |number| !self.gone.contains(&number)) {
            self.gone.clear();
        }
        if ReaderPin::any_older(&self.layout, self.header.generation) {
            return false;
        }
        let tables = [(&self.documents, self.header.documents_version), (&self.passages, self.header.passages_version)];
        for (table, committed) in tables {
            if let Err(error) = table.clean(committed) {
                tracing::warn!(%error, "old versions are left for the next commit to remove");
            }
        }
        true
    }
}

/// Whether the file appears within a second.
fn wait_for(file: &Path) -> bool {
    (0..50).any(|_| {
        if file.exists() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        false
    })
}

fn invalid(table: &Table) -> impl FnOnce(ArrowError) -> StorageError {
    let path = table.path().to_path_buf();
    move |error| StorageError::Table { path, doing: "forming columns", reason: error.to_string() }
}
