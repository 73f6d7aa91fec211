//! One committed generation, ready to be searched.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Mode, Search};
use crate::error::{Error, SearchError, StorageError};
use crate::lexical::{Analyzer, Spare, Spares, WordsReader};
use crate::model::{Encoder, ModelIdentity};
use crate::passage::PassageOptions;
use crate::query::{Filter, Query};
use crate::schema::{Document, FieldType, Metric, Schema, Space};
use crate::semantic::PassageTable;
use crate::store::{DocumentIndex, Generation, LogitCache, VectorSource};

/// How a generation lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Storage {
    /// Bytes in the files of the generation; what else lies in the directory belongs to other generations, to caches, or is to be cleaned up.
    pub live_bytes: u64,
    /// Files of rows in the documents table.
    pub document_fragments: u64,
    /// Files of rows in the passages table.
    pub passage_fragments: u64,
    /// Segments of the words.
    pub word_segments: u64,
    /// Rows of documents that were deleted and still take space.
    pub dead_documents: u64,
    /// Rows of passages likewise.
    pub dead_passages: u64,
    /// Rows of passages that a search by vectors compares one by one, for want of compact codes: in small files, which have none, or because codes
    /// were removed, which the next commit makes again. Whether codes are sound is not looked at. 0 in an index without vectors.
    pub uncoded_passages: u64,
    /// How far above what its code says a similarity is looked for, in standard deviations: 3, or more, up to 9, where [`Snapshot::recall_check`]
    /// found that to be needed. 0 in an index without vectors.
    pub code_deviations: u32,
    /// The version of the Lance table `documents.lance`.
    pub documents_version: u64,
    /// The version of the Lance table `passages.lance`.
    pub passages_version: u64,
}

/// What [`Snapshot::recall_check`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecallReport {
    /// How many nearest documents were looked for.
    pub k: usize,
    /// For how many vectors; 0 in an index that has no passage, where nothing can be missed.
    pub queries: usize,
    /// The share of the true nearest that was found before anything was changed.
    pub found_at_first: f64,
    /// The share that is found from now on.
    pub recall: f64,
    /// Whether searches look further from now on.
    pub widened: bool,
    /// How far above what its code says a similarity is looked for from now on, in standard deviations; see [`Storage::code_deviations`].
    pub code_deviations: u32,
    /// Whether the index is so small that all passages are compared anyway.
    pub compares_all: bool,
}

impl RecallReport {
    /// What the recall should be at least.
    pub const TARGET: f64 = 0.95;
}

/// Words of a document that others like it are looked for by.
const TELLING_WORDS: usize = 25;
/// Words of its heading or text that a judge is asked with.
const BEGINNING: usize = 48;

/// One committed generation of an index. It never changes, whatever a writer does meanwhile. Cheap to clone, and shared
/// among threads; its files are kept for as long as a clone lives.
#[derive(Clone)]
pub struct Snapshot {
    inner: Arc<Inner>,
}

struct Inner {
    generation: Generation,
    words: OnceLock<WordsReader>,
    analyzers: Spares<Analyzer>,
    encoder: Option<Encoder>,
    logits: Arc<LogitCache>,
    documents: OnceLock<DocumentIndex>,
    passages: OnceLock<PassageTable>,
    loading: Mutex<()>,
}

impl Snapshot {
    pub(crate) fn new(generation: Generation, encoder: Option<Encoder>, logits: Arc<LogitCache>) -> Self {
        let (words, documents, passages) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let inner = Inner {
            generation,
            words,
            analyzers: Spares::default(),
            encoder,
            logits,
            documents,
            passages,
            loading: Mutex::new(()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The number of the generation. It grows with each commit, and by more than one where a writer has compacted.
    pub fn generation(&self) -> u64 {
        self.inner.generation.header.generation
    }

    /// The number of documents.
    pub fn document_count(&self) -> u64 {
        self.inner.generation.header.documents
    }

    /// The number of passages.
    pub fn passage_count(&self) -> u64 {
        self.inner.generation.header.passages
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.inner.generation.header.schema
    }

    /// The encoder that the index was made with; `None` where it keeps no vectors, or the application brings them.
    pub fn encoder_identity(&self) -> Option<&ModelIdentity> {
        match &self.inner.generation.header.vectors {
            VectorSource::Encoder(identity) => Some(identity),
            VectorSource::Nothing | VectorSource::Application(_) | VectorSource::Fields(..) => None,
        }
    }

    /// The number of components of the index's vectors, but for those of fields with a size of their own; `None` where it keeps none.
    pub fn dimension(&self) -> Option<usize> {
        self.inner.generation.header.vectors.space().map(Space::dimension)
    }

    /// How vectors are compared, but for those of fields with a metric of their own.
    pub fn metric(&self) -> Metric {
        self.inner.generation.header.vectors.space().map_or(Metric::Cosine, Space::metric)
    }

    /// The number of components of a field's vectors, and how they are compared: those of the index, or what [`Options::own_vectors_of`](crate::Options::own_vectors_of)
    /// said; `None` where the index keeps no vectors, and where there is no such field.
    pub fn vectors_of(&self, field: &str) -> Option<(usize, Metric)> {
        self.schema().field(field)?;
        self.inner.generation.header.vectors.space_of(Some(field)).map(|space| (space.dimension(), space.metric()))
    }

    /// How passages are cut.
    pub fn passage_options(&self) -> PassageOptions {
        self.inner.generation.header.passage_options
    }

    /// What the generation takes on disk, and how it lies there.
    pub fn storage(&self) -> Storage {
        let generation = &self.inner.generation;
        let (documents, passages) = generation.extents();
        let segments = generation.header.files.words.iter().filter(|file| file.path.ends_with(".store")).count();
        Storage {
            live_bytes: generation.header.files.bytes(),
            document_fragments: documents.fragments,
            passage_fragments: passages.fragments,
            word_segments: segments as u64,
            dead_documents: documents.dead_rows,
            dead_passages: passages.dead_rows,
            uncoded_passages: generation.uncoded(),
            code_deviations: match (self.dimension(), self.inner.passages.get()) {
                (None, _) => 0,
                (Some(_), Some(passages)) => passages.deviations(),
                (Some(_), None) => PassageTable::deviations_of(generation.deviations()),
            },
            documents_version: generation.header.documents_version,
            passages_version: generation.header.passages_version,
        }
    }

    /// Starts a search for what a person has typed, in the language of [`Query::parse`] as far as it can be understood so; see [`Search`].
    pub fn search<'a>(&'a self, query: &str) -> Search<'a> {
        Search::new(self, query)
    }

    /// Starts a search for what a program has put together; the models read [`Query::plain_text`].
    pub fn search_query<'a>(&'a self, query: Query) -> Search<'a> {
        Search::new(self, &query.plain_text()).tree(query)
    }

    /// Starts a search for documents like this one: by the words that are most its own, and by the mean of its vectors, those of
    /// fields with a size or a metric of their own left out unless [`Search::vector_fields`] names them. A judge is asked with its
    /// headings, or with how its text begins. The document itself is not found. `None` where there is no such document.
    ///
    /// # Errors
    /// [`StorageError`] when the disk refuses.
    pub fn more_like<'a>(&'a self, key: &str) -> Result<Option<Search<'a>>, Error> {
        let Some(number) = self.documents()?.number(key) else { return Ok(None) };
        let Some(document) = self.document(key)? else { return Ok(None) };
        let texts = |kind| -> Vec<&str> {
            let names = self.schema().names_of(kind);
            names.filter_map(|name| document.get(name)?.as_text()).filter(|text| !text.trim().is_empty()).collect()
        };
        let (headings, bodies) = (texts(FieldType::Heading), texts(FieldType::Text));
        let all = [&headings[..], &bodies[..]].concat().join("\n");
        let words = self.words()?.most_telling(&all, TELLING_WORDS)?.join(" ");
        let asked = if headings.is_empty() { &bodies } else { &headings };
        let asked: Vec<&str> = asked.iter().flat_map(|text| text.split_whitespace()).take(BEGINNING).collect();
        let mut search = Search::new(self, &asked.join(" ")).beside(Query::words(words)).filter(Filter::keys([key]).not());
        // A document without text may have no vector either.
        match self.dimension().is_some() && self.passages()?.of_document(number).next().is_some() {
            true => search.like = Some(number),
            false => search = search.mode(Mode::Lexical),
        }
        Ok(Some(search))
    }

    /// Compares what a search by vectors finds with what it would find if it compared all passages: `sample` of them, taken evenly, are asked
    /// for their `k` nearest documents. Where less than [`RecallReport::TARGET`] of those are found, searches of this snapshot, and of those that are opened
    /// later, look further from then on, which takes longer, and the report says what they find then. Takes `sample` times as long as comparing all.
    ///
    /// How far they look is kept in a file beside the codes, which may be deleted with them; where it cannot be written, as on read-only media, it holds
    /// for this snapshot alone.
    ///
    /// # Errors
    /// [`SearchError::EmptyCheck`] where `k` or `sample` is 0; [`SearchError::NoQueryVector`] in an index without vectors; [`StorageError`] when the disk
    /// refuses to read.
    pub fn recall_check(&self, k: usize, sample: usize) -> Result<RecallReport, Error> {
        if k == 0 || sample == 0 {
            return Err(SearchError::EmptyCheck { k, sample }.into());
        }
        if self.dimension().is_none() {
            let why = "the index was made without vectors".to_owned();
            return Err(SearchError::NoQueryVector { why, remedy: "make an index with `Options::encoder`" }.into());
        }
        let passages = self.passages()?;
        let (first, queries) = passages.recall(k, sample);
        let (mut recall, mut widened) = (first, false);
        while recall < RecallReport::TARGET && passages.widen() {
            widened = true;
            recall = passages.recall(k, sample).0;
        }
        let code_deviations = passages.deviations();
        if widened && let Err(error) = self.inner.generation.keep_deviations(code_deviations) {
            tracing::warn!(%error, "searches by vectors look further in this snapshot alone");
        }
        if recall < RecallReport::TARGET {
            tracing::warn!(recall, k, "searches by vectors find less than they should");
        }
        let compares_all = passages.compares_all(None);
        Ok(RecallReport { k, queries, found_at_first: first, recall, widened, code_deviations, compares_all })
    }

    /// The document with this key, as it was added, without vectors.
    ///
    /// # Errors
    /// [`StorageError`] when the disk refuses.
    pub fn document(&self, key: &str) -> Result<Option<Document>, Error> {
        let documents = self.documents()?;
        let Some(number) = documents.number(key) else { return Ok(None) };
        let names: Vec<&str> = self.schema().fields().iter().map(|field| field.name()).collect();
        let values = self.inner.generation.read_documents(documents, &[number], &names)?.into_iter().flatten();
        Ok(Some(values.fold(Document::new(key), |document, (field, value)| document.set(field, value))))
    }

    /// All keys, in the order in which the documents were added.
    ///
    /// # Errors
    /// [`StorageError`] when the disk refuses.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        Ok(self.documents()?.entries().map(|(_, key)| key.to_owned()).collect())
    }

    pub(super) fn store(&self) -> &Generation {
        &self.inner.generation
    }

    /// The words, opened when they are first needed.
    pub(super) fn words(&self) -> Result<&WordsReader, StorageError> {
        let generation = &self.inner.generation;
        self.load(&self.inner.words, || WordsReader::of(&generation.layout, &generation.header, generation.sound()))
    }

    /// How words are found in texts of the index.
    pub(super) fn analyzer(&self) -> Spare<'_, Analyzer> {
        self.inner.analyzers.take(|| Analyzer::of(self.schema()))
    }

    pub(super) fn logits(&self) -> &LogitCache {
        &self.inner.logits
    }

    pub(crate) fn encoder(&self) -> Option<&Encoder> {
        self.inner.encoder.as_ref()
    }

    /// Numbers and keys, read when they are first needed.
    pub(super) fn documents(&self) -> Result<&DocumentIndex, StorageError> {
        self.load(&self.inner.documents, || self.inner.generation.document_index())
    }

    /// Passages and vectors, read when they are first needed.
    pub(super) fn passages(&self) -> Result<&PassageTable, StorageError> {
        let generation = &self.inner.generation;
        self.load(&self.inner.passages, || {
            let parts = generation.passage_parts()?;
            Ok(PassageTable::new(parts, generation.header.spaces(), generation.deviations()))
        })
    }

    /// Fills a cell once, however many threads ask.
    fn load<'a, T>(&self, cell: &'a OnceLock<T>, read: impl FnOnce() -> Result<T, StorageError>) -> Result<&'a T, StorageError> {
        if let Some(value) = cell.get() {
            return Ok(value);
        }
        let _one_at_a_time = self.inner.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = cell.get() {
            return Ok(value);
        }
        let value = read()?;
        Ok(cell.get_or_init(|| value))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot(generation {}, {} documents)", self.generation(), self.document_count())
    }
}
