//! The last stage: tables and words, and the commit of both.

use std::mem;

use super::Monitor;
use super::prepare::Prepared;
use crate::error::Error;
use crate::lexical::WordsWriter;
use crate::schema::{FieldType, Schema, Value};
use crate::store::{StoreWriter, WordsState};

/// Rows, and bytes of text and vectors, that are collected before they are written.
const ROWS: usize = 4096;
const BYTES: usize = 16 << 20;

pub(super) struct Destination {
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
        self.words.add(document.number, texts(&self.store.header().schema, &document))?;
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
        self.store.prepare()?;
        let generation = self.store.header().generation + 1;
        let (opstamp, meta) = self.words.prepare(generation)?;
        let epoch = self.store.header().words.epoch;
        self.store.publish(WordsState { epoch, opstamp, meta }, next_document)?;
        if self.store.clean() {
            self.words.clean(&self.store.header().words.meta);
        }
        Ok(generation)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut documents = Vec::with_capacity(self.waiting.len());
        let mut passages = Vec::with_capacity(self.rows);
        for prepared in mem::take(&mut self.waiting) {
            passages.extend(prepared.passages);
            documents.push((prepared.number, prepared.document));
        }
        (self.rows, self.bytes) = (0, 0);
        self.store.append(&documents, &passages)?;
        self.monitor.written(documents.len() as u64);
        Ok(())
    }
}

/// The headings and texts of a document, for its words.
fn texts<'a>(schema: &'a Schema, prepared: &'a Prepared) -> impl Iterator<Item = &'a str> {
    let searched = schema.fields().iter().filter(|field| matches!(field.kind(), FieldType::Heading | FieldType::Text));
    searched.filter_map(|field| prepared.document.get(field.name()).and_then(Value::as_text))
}
