//! Adding, replacing, deleting, committing.

use std::path::Path;

use crate::error::{Error, IngestError, StorageError};
use crate::ingest::{Monitor, PendingCommit, Pipeline, open_or_rebuild_words};
use crate::model::Encoder;
use crate::schema::{Document, Schema, check_vector, digest};
use crate::store::{Content, Contents, StoreWriter, VectorSource, WriterSettings};

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
    /// Whether the index's encoder is there, or none is needed.
    can_add: bool,
    /// What is under each key, committed or not.
    keys: Contents,
    next: u64,
    generation: u64,
    changed: bool,
}

impl Writer {
    pub(super) fn open(root: &Path, encoder: Option<Encoder>, settings: &WriterSettings) -> Result<Self, Error> {
        let (mut store, keys) = StoreWriter::open(root, settings)?;
        let words = open_or_rebuild_words(&mut store)?;
        if let Some(needed) = store.clean() {
            words.sweep(&needed);
        }
        let header = store.header().clone();
        Ok(Self {
            can_add: encoder.is_some() || !matches!(header.vectors, VectorSource::Encoder(_)),
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
    /// Those of an earlier failure, and [`crate::StorageError`]; the writer is at its end then.
    pub fn delete(&mut self, key: &str) -> Result<bool, Error> {
        let removed = self.keys.remove(key);
        let Some(content) = self.known(removed)? else { return Ok(false) };
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

    /// Like [`Writer::commit`], without waiting: for a program that adds little and often from one place. What is asked for while a commit is
    /// under way is made as one. [`PendingCommit::wait`] tells when it is safe; until then, dropping the writer may drop it.
    ///
    /// # Errors
    /// Those of an earlier failure; the writer is at its end then.
    pub fn commit_soon(&mut self) -> Result<PendingCommit, Error> {
        self.pipeline.commit_soon(self.next)
    }

    /// Commits what there is, then joins and drops everything that can be: fragments of rows and segments of words become as large as they may, a
    /// million rows or so, and no dead rows stay. Gives the generation. Takes as long as copying the index; readers do not wait.
    ///
    /// # Errors
    /// Those of [`Writer::commit`]. When only the compaction fails, what is committed stays and the writer can go on.
    pub fn compact(&mut self) -> Result<u64, Error> {
        self.commit()?;
        self.generation = self.pipeline.run(|destination| destination.compact(true))?;
        Ok(self.generation)
    }

    /// Commits what there is, and gives that generation a name, so that it is kept until the name is taken away or given to another.
    /// Gives the generation.
    ///
    /// # Errors
    /// [`IngestError::Tag`] for a name that is empty, longer than 200 bytes or has control characters; those of [`Writer::commit`].
    pub fn tag(&mut self, name: &str) -> Result<u64, Error> {
        if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            return Err(IngestError::Tag { name: name.chars().take(40).collect() }.into());
        }
        self.commit()?;
        let name = name.to_owned();
        self.generation = self.pipeline.run(move |destination| destination.tag(&name))?;
        Ok(self.generation)
    }

    /// Takes a name away from its generation, which goes with the next clean-up unless the history keeps it; false where there is none.
    ///
    /// # Errors
    /// Those of an earlier failure, and [`crate::StorageError`].
    pub fn untag(&mut self, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.pipeline.run(move |destination| destination.untag(&name))
    }

    /// Makes the content of a kept generation that of a new one, whose number it gives. No embedding is computed; the generation that was
    /// the newest is kept, and those between stay as long as they are. Where fields were added since, the schema is the earlier one again,
    /// and the next change needs a new writer.
    ///
    /// # Errors
    /// [`OpenError::NoSuchGeneration`](crate::OpenError::NoSuchGeneration); [`IngestError::Uncommitted`] while there are changes that are not
    /// committed: commit them, or drop the writer. [`crate::StorageError`]; what is committed stays, and the writer is at its end.
    pub fn restore(&mut self, generation: u64) -> Result<u64, Error> {
        if self.changed {
            return Err(IngestError::Uncommitted { doing: "going back to an earlier generation" }.into());
        }
        let (contents, header) = match self.pipeline.run(move |destination| destination.restore(generation)) {
            Ok(restored) => restored,
            // Nothing was begun.
            Err(error @ Error::Open(_)) => return Err(error),
            Err(error) => {
                self.pipeline.end(error.to_string());
                return Err(error);
            }
        };
        if header.schema != self.schema {
            self.pipeline.end("the schema is that of an earlier generation".to_owned());
        }
        self.keys = contents;
        self.generation = header.generation;
        Ok(self.generation)
    }

    /// A handle for progress bars and cancel buttons.
    pub fn monitor(&self) -> Monitor {
        self.pipeline.monitor().clone()
    }

    /// Whether a document with this key is in the index, committed or not.
    pub fn contains(&self, key: &str) -> bool {
        self.keys.get(key).is_some()
    }

    /// All keys, committed or not, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys()
    }

    /// Adds a document that has been checked.
    fn put(&mut self, document: Document, digest: u64) -> Result<(), Error> {
        let number = self.next;
        self.next += 1;
        self.changed = true;
        let content = Content { number, digest };
        let replaced = self.keys.insert(document.key(), content);
        if let Some(replaced) = self.known(replaced)? {
            self.pipeline.delete(replaced.number)?;
        }
        self.pipeline.add(content, document)
    }

    /// What the map of keys said. Where it could not be written, it no longer tells what is committed.
    fn known(&mut self, answer: Result<Option<Content>, StorageError>) -> Result<Option<Content>, Error> {
        answer.map_err(|error| {
            self.pipeline.end(error.to_string());
            error.into()
        })
    }

    fn check(&self, document: &Document) -> Result<(), Error> {
        if let (VectorSource::Encoder(identity), false) = (&self.vectors, self.can_add) {
            return Err(IngestError::EncoderRequired { expected: identity.to_string() }.into());
        }
        self.schema.check(document)?;
        self.check_vector(document)
    }

    fn check_vector(&self, document: &Document) -> Result<(), Error> {
        let key = || document.key().to_owned();
        let brings = document.own_vectors().next().is_some();
        let makes = match &self.vectors {
            VectorSource::Application(_) | VectorSource::Fields(..) if !brings => {
                return Err(IngestError::VectorRequired { key: key() }.into());
            }
            VectorSource::Application(space) | VectorSource::Fields(space, _) => {
                for (field, vector) in document.own_vectors() {
                    let of_field = field.map_or_else(String::new, |field| format!(", field {field:?}"));
                    let what = format!("document {:?}{of_field}", document.key());
                    check_vector(&what, vector, self.vectors.space_of(field).unwrap_or(*space))?;
                }
                return Ok(());
            }
            VectorSource::Encoder(_) => "makes its own vectors",
            VectorSource::Nothing => "keeps no vectors",
        };
        if brings { Err(IngestError::VectorRefused { key: key(), makes }.into()) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer(after generation {}, {} documents)", self.generation, self.keys.len())
    }
}
