//! The last stage: tables and words, and the commit of both.

use std::mem;

use super::Monitor;
use super::prepare::Prepared;
use crate::crash;
use crate::error::{Error, StorageError};
use crate::lexical::WordsWriter;
use crate::store::{Contents, DocumentRow, Generation, Header, StoreWriter, WordsState, damaged};

/// Rows, and bytes of text and vectors, that are collected before they are written.
const ROWS: usize = 4096;
const BYTES: usize = 16 << 20;

pub(crate) struct Destination {
    // Before the store, whose lock must be the last to go.
    words: WordsWriter,
    store: StoreWriter,
    waiting: Vec<Prepared>,
    rows: usize,
    bytes: usize,
    monitor: Monitor,
}

impl Destination {
    pub(super) fn new(store: StoreWriter, words: WordsWriter, monitor: Monitor) -> Self {
        Self { store, words, waiting: Vec::new(), rows: 0, bytes: 0, monitor }
    }

    pub(super) fn add(&mut self, document: Prepared) -> Result<(), Error> {
        self.words.add(document.content.number, |name| document.document.get(name))?;
        self.rows += document.passages.len().max(1);
        self.bytes += document.bytes();
        self.waiting.push(document);
        if self.rows >= ROWS || self.bytes >= BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn delete(&mut self, number: u64) {
        self.words.delete(number);
        self.store.delete(number);
    }

    /// The steps of `storage-format.md`, in their order; gives the new generation.
    pub(super) fn commit(&mut self, next_document: u64) -> Result<u64, Error> {
        self.flush()?;
        if !self.store.is_changed() {
            return Ok(self.store.header().generation);
        }
        crash::point("commit: everything is written")?;
        self.store.prepare()?;
        let words = self.words.prepare(self.store.header().generation + 1)?;
        let epoch = self.store.header().words.epoch;
        self.store.publish(words.state(epoch), &words.files, next_document)?;
        crash::abort_at("commit: published");
        self.clean();
        Ok(self.store.header().generation)
    }

    /// What is worth doing after a commit, when nobody waits: joins fragments and segments, drops dead rows. A failure is logged; the
    /// next commit tries again.
    pub(super) fn keep_house(&mut self) {
        if !self.store.housekeeping().automatic {
            return;
        }
        let settled = self.words.settle();
        if (settled || self.store.wants_compaction())
            && let Err(error) = self.compact(false)
        {
            tracing::warn!(%error, "housekeeping is left for a later commit");
        }
    }

    /// Joins and drops, everything that can be or what is due; gives the generation, a new one if anything was done.
    pub(crate) fn compact(&mut self, all: bool) -> Result<u64, Error> {
        if all {
            self.words.merge_all()?;
        }
        let words = self.words.state()?;
        let epoch = self.store.header().words.epoch;
        if self.store.compact(all, words.state(epoch), &words.files)? {
            self.clean();
        }
        Ok(self.store.header().generation)
    }

    /// Gives the newest generation a name.
    pub(crate) fn tag(&mut self, name: &str) -> Result<u64, Error> {
        self.store.tag(name)?;
        Ok(self.store.header().generation)
    }

    /// Takes a name away; false where there is none. The next commit cleans up: there may be rows now that no generation has yet.
    pub(crate) fn untag(&mut self, name: &str) -> Result<bool, Error> {
        Ok(self.store.untag(name)?)
    }

    /// Makes the content of a kept generation that of a new one; gives what is in it, by key, and the new header.
    pub(crate) fn restore(&mut self, generation: u64) -> Result<(Contents, Header), Error> {
        let earlier = self.store.kept(generation)?;
        let layout = self.store.layout().clone();
        let from = layout.words(earlier.words.epoch);
        self.store.sound().check(&from, &earlier.files.words)?;
        // An epoch of its own: operation stamps begin again there, and the files of later generations stay as they are.
        let epoch = layout.next_epoch();
        let to = layout.words(epoch);
        let files = earlier.files.word_files();
        WordsWriter::copy(&from, &to, &files, &earlier.words.meta)?;
        if let Some(fault) = damaged(&to, &earlier.files.words)?.into_iter().next() {
            return Err(StorageError::from(fault).into());
        }
        crash::point("restore: the words")?;
        let words = WordsState { epoch, ..earlier.words.clone() };
        self.store.restore(&earlier, words, &files)?;
        let header = self.store.header().clone();
        self.words = WordsWriter::open(&to, &header.schema, &header.words.meta, header.words.opstamp)?;
        self.clean();
        let (contents, there) = Generation::open(layout.root(), self.store.sound().clone())?.contents()?;
        self.store.holds(there);
        Ok((contents, header))
    }

    /// At the end of a writer: flushes what was committed and not flushed, if nothing else was begun.
    pub(super) fn close(&mut self) {
        if !self.waiting.is_empty() {
            return;
        }
        if let Err(error) = self.store.flush() {
            tracing::warn!(%error, "the last commits were not flushed");
        }
    }

    fn clean(&mut self) {
        if let Some(needed) = self.store.clean() {
            self.words.clean(&needed);
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut documents: Vec<DocumentRow> = Vec::with_capacity(self.waiting.len());
        let mut passages = Vec::with_capacity(self.rows);
        for prepared in mem::take(&mut self.waiting) {
            let count = prepared.passages.len() as u32;
            passages.extend(prepared.passages);
            documents.push(DocumentRow { content: prepared.content, document: prepared.document, passages: count });
        }
        (self.rows, self.bytes) = (0, 0);
        self.store.append(&documents, &passages)?;
        self.monitor.written(documents.len() as u64);
        Ok(())
    }
}
