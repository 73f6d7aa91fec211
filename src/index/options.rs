//! How an index is opened or made.

use std::path::Path;

use crate::error::OpenError;
use crate::model::Encoder;
use crate::passage::PassageOptions;
use crate::schema::{Metric, Schema, Space};
use crate::store::{Durability, Header, Housekeeping, VectorSource};

/// How an index is opened, and how it is made where there is none.
///
/// ```
/// use fossick::{Options, PassageOptions, Schema};
/// let schema = Schema::builder().text("body").build()?;
/// let options = Options::new().schema(schema).passages(PassageOptions { max_tokens: 128, overlap_tokens: 16, ..PassageOptions::default() });
/// # drop(options);
/// # Ok::<(), fossick::SchemaError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) schema: Option<Schema>,
    pub(super) encoder: Option<Encoder>,
    /// That of all vectors that the application brings, and those of fields with their own.
    own_vectors: Option<usize>,
    own_vectors_of: Vec<(String, Space)>,
    metric: Metric,
    pub(super) passages: Option<PassageOptions>,
    pub(super) logit_cache: Option<u64>,
    pub(super) durability: Durability,
    pub(super) housekeeping: Housekeeping,
}

impl Options {
    /// Nothing stated: enough to open an index and search its words.
    pub fn new() -> Self {
        Self::default()
    }

    /// The fields. Needed to make an index; on opening, they must be the index's own. [`crate::Index::open_or_create`] takes fields that
    /// are not there yet into an index that exists; documents that were added before have no value in them.
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The encoder that makes the vectors of passages and queries. On opening, it must be the one that the index was made
    /// with; its name and place may differ, its outputs may not.
    #[must_use]
    pub fn encoder(mut self, encoder: Encoder) -> Self {
        self.encoder = Some(encoder);
        self.own_vectors = None;
        self.own_vectors_of.clear();
        self
    }

    /// The application brings the vectors, of so many components (1 to 65,536): one or more with each document ([`Document::vector`](crate::Document::vector),
    /// [`Document::vector_of`](crate::Document::vector_of)), one with each query.
    #[must_use]
    pub fn own_vectors(mut self, dimension: usize) -> Self {
        self.own_vectors = Some(dimension);
        self.encoder = None;
        self
    }

    /// The application brings the vectors, and those of one field, whatever its type, have a size and a metric of their own: those of pictures, say,
    /// which another model makes. To be called for each such field, when the index is made. Where [`Options::own_vectors`] is not called, all other vectors
    /// are like those of the first such field.
    ///
    /// One query has one vector, so a search compares it with the vectors of fields of one size and metric: of those that
    /// [`Search::vector_fields`](crate::Search::vector_fields) names, or else of all that have the size and metric of the index. A field that is given
    /// just these is one of them; where another model makes its vectors, each search has to name fields. Each vector takes as much
    /// room as the widest of the index, and a scan passes over those of other kinds, so kinds should be of about one size.
    ///
    /// ```
    /// use fossick::{Document, Index, Metric, Mode, Options, Schema};
    /// # let directory = tempfile::tempdir()?;
    /// let schema = Schema::builder().text("caption").stored("picture").build()?;
    /// let options = Options::new().schema(schema).own_vectors(2).own_vectors_of("picture", 3, Metric::Dot);
    /// let index = Index::open_or_create(directory.path().join("photos.fossick"), options)?;
    /// let mut writer = index.writer()?;
    /// let photo = Document::new("a").set("caption", "A well in a yard").set("picture", "a.jpeg");
    /// writer.add(photo.vector_of("caption", [0.6, 0.8]).vector_of("picture", [1.0, 0.0, 2.0]))?;
    /// writer.commit()?;
    /// let snapshot = index.snapshot()?;
    /// let alike = snapshot.search("").mode(Mode::Semantic).vector_fields(["picture"]).vector([0.5, 0.0, 1.0]).run()?;
    /// assert_eq!(alike.hits[0].score, 2.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn own_vectors_of(mut self, field: impl Into<String>, dimension: usize, metric: Metric) -> Self {
        let (field, space) = (field.into(), Space::new(dimension, metric));
        match self.own_vectors_of.iter_mut().find(|(other, _)| *other == field) {
            Some((_, earlier)) => *earlier = space,
            None => self.own_vectors_of.push((field, space)),
        }
        self.encoder = None;
        self
    }

    /// How vectors of the size that [`Options::own_vectors`] gives are compared, by [`Metric::Cosine`] unless set. An index that exists has its own metric,
    /// which this must be.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// How passages are cut in a new index; an index that exists keeps its own way.
    #[must_use]
    pub fn passages(mut self, passages: PassageOptions) -> Self {
        self.passages = Some(passages);
        self
    }

    /// The most bytes on disk for logits that searches have paid for, so that the same question is not judged twice; in this process or
    /// a later one. 16 MiB unless set, some 600,000 logits; 0 for none. The file `logits` of the index directory holds them (hashes
    /// and numbers, no text) and may be deleted at any time; about as many are held in memory.
    #[must_use]
    pub fn logit_cache(mut self, bytes: u64) -> Self {
        self.logit_cache = Some(bytes);
        self
    }

    /// When commits are flushed to the disk; each one unless set.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What writers do to keep the directory small and quick, and how many earlier generations they keep.
    #[must_use]
    pub fn housekeeping(mut self, housekeeping: Housekeeping) -> Self {
        self.housekeeping = housekeeping;
        self
    }

    /// What is stated of vectors.
    pub(super) fn vectors(&self) -> VectorSource {
        let of_all = self.own_vectors.map(|dimension| Space::new(dimension, self.metric));
        let of_first = self.own_vectors_of.first().map(|(_, space)| *space);
        match (&self.encoder, of_all.or(of_first)) {
            (Some(encoder), _) => VectorSource::Encoder(encoder.identity().clone()),
            (None, Some(space)) => VectorSource::application(space, self.own_vectors_of.clone()),
            (None, None) => VectorSource::Nothing,
        }
    }

    /// That fields with vectors of their own kind are in the schema of an index that is made.
    pub(super) fn check_fields(&self, path: &Path, schema: &Schema) -> Result<(), OpenError> {
        match self.own_vectors_of.iter().find(|(field, _)| schema.field(field).is_none()) {
            Some((field, _)) => {
                Err(OpenError::VectorField { path: path.to_path_buf(), field: field.clone(), known: schema.known() })
            }
            None => Ok(()),
        }
    }

    /// Holds what is stated against an index.
    pub(super) fn check(&self, path: &Path, header: &Header) -> Result<(), OpenError> {
        if let Some(difference) = self.schema.as_ref().and_then(|schema| header.schema.difference(schema)) {
            return Err(OpenError::OtherSchema { path: path.to_path_buf(), difference });
        }
        let given = self.vectors();
        if given == VectorSource::Nothing {
            return Ok(());
        }
        let same = match (&header.vectors, &given) {
            (VectorSource::Encoder(made), VectorSource::Encoder(given)) => made.same_outputs(given),
            (made, given) => made == given,
        };
        if same {
            return Ok(());
        }
        Err(OpenError::OtherEncoder { path: path.to_path_buf(), expected: header.vectors.describe(), found: given.describe() })
    }
}
