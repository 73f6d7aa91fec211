//! The front door: [`Index`] opens a directory, [`Writer`] adds to it, [`Snapshot`](crate::Snapshot) reads it.
//!
//! Opens the rooms below together and checks that they fit; it has no logic of its own.

#[cfg(test)]
mod crashing;
#[cfg(test)]
mod filtering;
mod generations;
mod options;
mod writer;

pub use generations::GenerationInfo;
pub use options::Options;
pub use writer::Writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::{Report, verify};
use crate::error::{Error, IngestError, OpenError};
use crate::ingest::extend_schema;
use crate::lexical::WordsWriter;
use crate::model::Encoder;
use crate::search::Snapshot;
use crate::store::{
    FileList, Generation, Header, Layout, LogitCache, SoundFiles, StoreWriter, VectorSource, WriterSettings, copy_generation,
};

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
    settings: WriterSettings,
}

impl Index {
    /// Opens the index in this directory, or makes an empty one there, for which the options must have a schema.
    ///
    /// # Errors
    /// Those of [`Index::open`], and [`OpenError::SchemaRequired`]. With a schema that has new fields, also those of [`Index::writer`].
    pub fn open_or_create(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let layout = Layout::new(path.as_ref())?;
        match (Header::read(&layout), &options.schema) {
            (Err(Error::Open(OpenError::NotFound { .. })), _) => create(&layout, &options)?,
            (Ok(header), Some(schema)) if header.schema.is_extended_by(schema) => {
                let (mut store, _) = StoreWriter::open(layout.root(), &WriterSettings::default())?;
                extend_schema(&mut store, schema)?;
            }
            (other, _) => drop(other?),
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
        let settings =
            WriterSettings { durability: options.durability, housekeeping: options.housekeeping, sound: SoundFiles::default() };
        Ok(Self { root: layout.root().to_path_buf(), encoder: options.encoder, logits, settings })
    }

    /// The newest committed generation, for searching. Takes the files as they are; it does not wait for a writer.
    ///
    /// # Errors
    /// [`OpenError`] and [`crate::StorageError`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.read(Generation::open(&self.root, self.settings.sound.clone())?))
    }

    /// An earlier generation, if it is kept ([`Housekeeping::history`](crate::Housekeeping), [`Writer::tag`]).
    ///
    /// # Errors
    /// [`OpenError::NoSuchGeneration`] and those of [`Index::snapshot`].
    pub fn snapshot_at(&self, generation: u64) -> Result<Snapshot, Error> {
        Ok(self.read(Generation::open_at(&self.root, self.settings.sound.clone(), generation)?))
    }

    /// The generations that can be opened, oldest first; the newest is the last.
    ///
    /// # Errors
    /// [`OpenError`] and [`crate::StorageError`].
    pub fn generations(&self) -> Result<Vec<GenerationInfo>, Error> {
        let layout = Layout::new(&self.root)?;
        let current = Header::read(&layout)?;
        let mut all = Vec::new();
        for generation in &current.kept {
            // A writer may have let go of it meanwhile.
            match Header::read_file(&layout, &layout.kept(*generation)) {
                Ok(header) => all.push(GenerationInfo::new(&header, &current.tags)),
                Err(_) if !layout.kept(*generation).exists() => {}
                Err(error) => return Err(error),
            }
        }
        all.push(GenerationInfo::new(&current, &current.tags));
        Ok(all)
    }

    /// Copies the newest generation, whole, to a directory that is empty or not there yet. Writers go on meanwhile, and the copy is an
    /// index like any other. Each file is held against its checksum as it is copied. Gives the generation.
    ///
    /// # Errors
    /// [`OpenError::NotAnIndex`] for a directory with content; [`crate::StorageError`] for the disk's refusals and for damaged files; what was
    /// copied until then has no `CURRENT` and is no index.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<u64, Error> {
        copy_generation(&Generation::open(&self.root, self.settings.sound.clone())?, to.as_ref())
    }

    /// Reads every file of the newest generation, holds the parts against each other, and tells what is wrong. Changes nothing;
    /// writers go on meanwhile.
    ///
    /// # Errors
    /// What keeps it from looking at all. Damage is no error here, it is in the report; see [`verify`](crate::verify) for an index
    /// that cannot be opened.
    pub fn verify(&self) -> Result<Report, Error> {
        verify(&self.root)
    }

    fn read(&self, generation: Generation) -> Snapshot {
        Snapshot::new(generation, self.encoder.clone(), self.logits.clone())
    }

    /// The one writer. A second one, in this or another process, is refused until this one is dropped.
    ///
    /// # Errors
    /// [`OpenError::Locked`]; [`crate::IngestError::EncoderRequired`]; [`crate::StorageError`].
    pub fn writer(&self) -> Result<Writer, Error> {
        let header = Header::read(&Layout::new(&self.root)?)?;
        if let (VectorSource::Encoder(identity), None) = (&header.vectors, &self.encoder) {
            return Err(IngestError::EncoderRequired { expected: identity.to_string() }.into());
        }
        Writer::open(&self.root, self.encoder.clone(), &self.settings)
    }

    /// A writer that cannot add to an index whose encoder was not given, and can do all the rest: delete, tag, restore, compact.
    ///
    /// # Errors
    /// [`OpenError::Locked`]; [`crate::StorageError`].
    pub fn maintenance_writer(&self) -> Result<Writer, Error> {
        Writer::open(&self.root, self.encoder.clone(), &self.settings)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root
    }
}

fn create(layout: &Layout, options: &Options) -> Result<(), Error> {
    let schema = options.schema.clone().ok_or_else(|| OpenError::SchemaRequired { path: layout.root().to_path_buf() })?;
    options.check_fields(layout.root(), &schema)?;
    let vectors = options.vectors();
    let mut passages = options.passages.unwrap_or_default().clamped();
    if let Some(encoder) = &options.encoder {
        // A quarter of what the encoder reads is left to its prompt and the document's heading.
        passages.max_tokens = passages.max_tokens.min((encoder.max_tokens() * 3 / 4) as u32).max(16);
        passages = passages.clamped();
    }
    StoreWriter::create(layout, |layout| {
        let words = WordsWriter::create(&layout.words(0), &schema)?;
        let header = Header {
            generation: 0,
            published: 0,
            durable: true,
            fallback: None,
            documents_version: 0,
            passages_version: 0,
            next_document: 0,
            documents: 0,
            passages: 0,
            words: words.state(0),
            vectors,
            vocabulary: options.encoder.as_ref().map(|encoder| encoder.vocabulary().to_owned()),
            passage_options: passages,
            schema,
            kept: Vec::new(),
            tags: Vec::new(),
            files: FileList::default(),
        };
        Ok((header, words.files))
    })
}
