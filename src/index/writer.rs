//! Adding, replacing, deleting, committing.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, IngestError};
use crate::ingest::{Monitor, Pipeline};
use crate::lexical::WordsWriter;
use crate::model::Encoder;
use crate::schema::{Document, Schema, check_vector, digest};
use crate::store::{Content, StoreWriter, VectorSource};

/// The one writer of an index. What it does is seen by nobody until [`Writer::commit`] returns; dropped before, it leaves
/// the index as it was.
///
/// Documents are cut, embedded and written on threads of the writer's own, so `add` returns early and waits only when they
/// are behind.
///
/// ```
/// use fossick::{Document, Index, Options, Schema};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("notes");
/// let schema = Schema::builder().text("body").build()?;
/// let index = Index::open_or_create(&path, Options::new().schema(schema))?;
/// let mut writer = index.writer()?;
/// writer.add(Document::new("a").set("body", "first"))?;
/// writer.add(Document::new("a").set("body", "replaced"))?;
/// writer.commit()?;
/// assert!(writer.delete("a")?);
/// assert!(!writer.delete("a")?);
/// drop(writer);
/// assert_eq!(index.snapshot()?.document_count(), 1, "the delete was not committed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    pipeline: Pipeline,
    schema: Schema,
    vectors: VectorSource,
    /// What is under each key, committed or not.
    keys: HashMap<Box<str>, Content>,
    next: u64,
    generation: u64,
    changed: bool,
}

impl Writer {
    pub(super) fn open(root: &Path, encoder: Option<Encoder>) -> Result<Self, Error> {
        let (mut store, keys) = StoreWriter::open(root)?;
        let header = store.header().clone();
        if let (VectorSource::Encoder(identity), None) = (&header.vectors, &encoder) {
            return Err(IngestError::EncoderRequired { expected: identity.to_string() }.into());
        }
        let words = WordsWriter::open(&store.layout().words(header.words.epoch), &header.words.meta, header.words.opstamp)?;
        if store.clean() {
            words.sweep(&header.words.meta);
        }
        Ok(Self {
            pipeline: Pipeline::start(store, words, encoder)?,
            schema: header.schema,
            vectors: header.vectors,
            keys,
            next: header.next_document,
            generation: header.generation,
            changed: false,
        })
    }

    /// Adds a document, in place of the one with the same key if there is one.
    ///
    /// # Errors
    /// [`crate::SchemaError`] for a document that contradicts the schema, [`IngestError::VectorRequired`] and
    /// [`IngestError::VectorRefused`]: nothing has changed then, and the writer can go on. Any other error ends the writer.
    pub fn add(&mut self, document: Document) -> Result<(), Error> {
        self.check(&document)?;
        let digest = digest(&self.schema, &document);
        self.put(document, digest)
    }

    /// Adds a document unless the one with its key has the same values already; says whether it was added. A program that
    /// walks over all its data again and again calls this and pays for what has changed.
    ///
    /// # Errors
    /// Those of [`Writer::add`].
    pub fn update(&mut self, document: Document) -> Result<bool, Error> {
        self.check(&document)?;
        let digest = digest(&self.schema, &document);
        if self.keys.get(document.key()).is_some_and(|known| known.digest == digest) {
            return Ok(false);
        }
        self.put(document, digest)?;
        Ok(true)
    }

    /// Deletes the document with this key; false where there is none.
    ///
    /// # Errors
    /// Those of an earlier failure; the writer is at its end then.
    pub fn delete(&mut self, key: &str) -> Result<bool, Error> {
        let Some(content) = self.keys.remove(key) else { return Ok(false) };
        self.changed = true;
        self.pipeline.delete(content.number)?;
        Ok(true)
    }

    /// Makes everything so far visible and durable, all of it or nothing, and gives the new generation's number. Without a
    /// change since the last commit, nothing happens.
    ///
    /// # Errors
    /// [`IngestError::Cancelled`], [`crate::ModelError`], [`crate::StorageError`]; the last commit stays valid, and the
    /// writer is at its end. One error comes after the commit: with [`crate::StorageError::NotDurable`] the new generation
    /// is visible, and a power cut may still undo it.
    pub fn commit(&mut self) -> Result<u64, Error> {
        if self.changed {
            self.generation = self.pipeline.commit(self.next)?;
            self.changed = false;
        }
        Ok(self.generation)
    }

    /// A handle for progress bars and cancel buttons.
    pub fn monitor(&self) -> Monitor {
        self.pipeline.monitor().clone()
    }

    /// Whether a document with this key is in the index, committed or not.
    pub fn contains(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// All keys, committed or not, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(AsRef::as_ref)
    }

    /// Adds a document that has been checked.
    fn put(&mut self, document: Document, digest: u64) -> Result<(), Error> {
        let number = self.next;
        self.next += 1;
        self.changed = true;
        if let Some(replaced) = self.keys.insert(document.key().into(), Content { number, digest }) {
            self.pipeline.delete(replaced.number)?;
        }
        self.pipeline.add(number, document)
    }

    fn check(&self, document: &Document) -> Result<(), Error> {
        self.schema.check(document)?;
        self.check_vector(document)
    }

    fn check_vector(&self, document: &Document) -> Result<(), Error> {
        let key = || document.key().to_owned();
        let refused = |makes| Err(IngestError::VectorRefused { key: key(), makes }.into());
        match (&self.vectors, document.own_vector()) {
            (VectorSource::Application(dimension), Some(vector)) => {
                Ok(check_vector(&format!("document {:?}", document.key()), vector, *dimension as usize)?)
            }
            (VectorSource::Application(_), None) => Err(IngestError::VectorRequired { key: key() }.into()),
            (VectorSource::Encoder(_), Some(_)) => refused("makes its own vectors"),
            (VectorSource::Nothing, Some(_)) => refused("keeps no vectors"),
            (VectorSource::Encoder(_) | VectorSource::Nothing, None) => Ok(()),
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer(after generation {}, {} documents)", self.generation, self.keys.len())
    }
}
