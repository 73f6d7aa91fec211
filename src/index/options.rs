//! How an index is opened or made.

use std::path::Path;

use crate::error::OpenError;
use crate::model::Encoder;
use crate::passage::PassageOptions;
use crate::schema::{Metric, Schema};
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
    pub(super) own_vectors: Option<u32>,
    pub(super) metric: Metric,
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
        self
    }

    /// The application brings the vectors, of so many components (1 to 65,536): one or more with each document ([`Document::vector`](crate::Document::vector),
    /// [`Document::vector_of`](crate::Document::vector_of)), one with each query.
    #[must_use]
    pub fn own_vectors(mut self, dimension: usize) -> Self {
        self.own_vectors = Some(dimension.clamp(1, 1 << 16) as u32);
        self.encoder = None;
        self
    }

    /// How vectors that the application brings are compared, by [`Metric::Cosine`] unless set. An index that exists has its own, which this must be.
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

    /// Holds what is stated against an index.
    pub(super) fn check(&self, path: &Path, header: &Header) -> Result<(), OpenError> {
        if let Some(difference) = self.schema.as_ref().and_then(|schema| header.schema.difference(schema)) {
            return Err(OpenError::OtherSchema { path: path.to_path_buf(), difference });
        }
        let given = match (&self.encoder, self.own_vectors) {
            (Some(encoder), _) => VectorSource::Encoder(encoder.identity().clone()),
            (None, Some(dimension)) => VectorSource::Application(dimension, self.metric),
            (None, None) => return Ok(()),
        };
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
