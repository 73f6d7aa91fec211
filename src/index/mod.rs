//! The front door: [`Index`] opens a directory, [`Writer`] adds to it, [`Snapshot`](crate::Snapshot) reads it.
//!
//! Opens the rooms below together and checks that they fit; it has no logic of its own.

mod options;
mod writer;

pub use options::Options;
pub use writer::Writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, OpenError};
use crate::lexical::WordsWriter;
use crate::model::Encoder;
use crate::search::Snapshot;
use crate::store::{Generation, Header, Layout, LogitCache, StoreWriter, VectorSource, WordsState};

/// An index directory. Cheap to clone, and shared among threads and, for reading, among processes.
///
/// ```
/// use fossick::{Document, Index, Options, Schema};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("cases.fossick");
/// let schema = Schema::builder().heading("title").text("body").build()?;
/// let index = Index::open_or_create(&path, Options::new().schema(schema))?;
/// let mut writer = index.writer()?;
/// writer.add(Document::new("us-425-219").set("title", "Dann v. Johnston").set("body", "A program for bank checks."))?;
/// assert_eq!(writer.commit()?, 1);
/// let response = index.snapshot()?.search("bank").run()?;
/// assert_eq!(response.hits[0].key, "us-425-219");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Index {
    root: PathBuf,
    encoder: Option<Encoder>,
    /// One for all snapshots.
    logits: Arc<LogitCache>,
}

impl Index {
    /// Opens the index in this directory, or makes an empty one there, for which the options must have a schema.
    ///
    /// # Errors
    /// Those of [`Index::open`], and [`OpenError::SchemaRequired`].
    pub fn open_or_create(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let layout = Layout::new(path.as_ref())?;
        match Header::read(&layout) {
            Err(Error::Open(OpenError::NotFound { .. })) => create(&layout, &options)?,
            other => drop(other?),
        }
        Self::open(path, options)
    }

    /// Opens the index in this directory.
    ///
    /// What the options state must be what the index was made with; what they leave out is taken from the index. Without
    /// its encoder, an index can be searched by words.
    ///
    /// # Errors
    /// [`OpenError`]: there is no index or another thing; a newer format; damage; another encoder or schema.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let layout = Layout::new(path.as_ref())?;
        let header = Header::read(&layout)?;
        options.check(layout.root(), &header)?;
        let logits = Arc::new(LogitCache::open(&layout, options.logit_cache.unwrap_or(LogitCache::DEFAULT)));
        Ok(Self { root: layout.root().to_path_buf(), encoder: options.encoder, logits })
    }

    /// The newest committed generation, for searching. Takes the files as they are; it does not wait for a writer.
    ///
    /// # Errors
    /// [`OpenError`] and [`crate::StorageError`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Snapshot::new(Generation::open(&self.root)?, self.encoder.clone(), self.logits.clone())
    }

    /// The one writer. A second one, in this or another process, is refused until this one is dropped.
    ///
    /// # Errors
    /// [`OpenError::Locked`]; [`crate::IngestError::EncoderRequired`]; [`crate::StorageError`].
    pub fn writer(&self) -> Result<Writer, Error> {
        Writer::open(&self.root, self.encoder.clone())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root
    }
}

fn create(layout: &Layout, options: &Options) -> Result<(), Error> {
    let schema = options.schema.clone().ok_or_else(|| OpenError::SchemaRequired { path: layout.root().to_path_buf() })?;
    let vectors = match (&options.encoder, options.own_vectors) {
        (Some(encoder), _) => VectorSource::Encoder(encoder.identity().clone()),
        (None, Some(dimension)) => VectorSource::Application(dimension),
        (None, None) => VectorSource::Nothing,
    };
    let mut passages = options.passages.unwrap_or_default().clamped();
    if let Some(encoder) = &options.encoder {
        // A quarter of what the encoder reads is left to its prompt and the document's heading.
        passages.max_tokens = passages.max_tokens.min((encoder.max_tokens() * 3 / 4) as u32).max(16);
        passages = passages.clamped();
    }
    StoreWriter::create(layout, |layout| {
        let (opstamp, meta) = WordsWriter::create(&layout.words(0))?;
        Ok(Header {
            generation: 0,
            documents_version: 0,
            passages_version: 0,
            next_document: 0,
            documents: 0,
            passages: 0,
            words: WordsState { epoch: 0, opstamp, meta },
            vectors,
            vocabulary: options.encoder.as_ref().map(|encoder| encoder.vocabulary().to_owned()),
            passage_options: passages,
            schema,
        })
    })
}
