//! The cross-encoder: one logit for a query and a passage, read together.

use std::path::Path;
use std::sync::Arc;

use super::batch::{Sequence, pack};
use super::bert::{Bert, Classifier, Positions};
use super::files::ModelFiles;
use super::tokenize::Tokenizer;
use super::{Device, ModelIdentity};
use crate::error::ModelError;
use crate::passage::TokenCounter;

/// Room that a query must leave for the passage, in tokens.
const LEAST_ROOM: usize = 32;

/// What the cross-encoder says of one passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The model's raw output, before any sigmoid: larger is more relevant. Comparable within one query.
    pub logit: f32,
    /// The tokens that the model read: query, passage and three special tokens.
    pub tokens: usize,
    /// Whether the passage was cut on the right to what the model reads beside the query.
    pub truncated: bool,
}

/// A cross-encoder: a BERT network with a one-output classification head (Nogueira and Cho 2019). Cheap to clone; clones
/// share weights.
///
/// ```
/// use fossick::{CrossEncoder, Device};
/// let judge = CrossEncoder::load("models/ms-marco-minilm-l-12-v2", &Device::cpu())?;
/// let said = judge.judge("how many people live in Berlin", &["Berlin had 3,520,031 inhabitants.", "Berlin has museums."])?;
/// assert!(said[0].logit > said[1].logit);
/// # Ok::<(), fossick::ModelError>(())
/// ```
#[derive(Clone)]
pub struct CrossEncoder {
    inner: Arc<Inner>,
}

struct Inner {
    identity: ModelIdentity,
    device: Device,
    tokenizer: Tokenizer,
    max_tokens: usize,
    network: Bert,
    head: Classifier,
}

impl CrossEncoder {
    /// Loads a directory with `config.json`, `tokenizer.json` and `model.safetensors`; the configuration must name
    /// `BertForSequenceClassification`, and the weights must hold a classifier with one output.
    ///
    /// # Errors
    /// [`ModelError::File`], [`ModelError::Content`] and [`ModelError::Unsupported`] name the file and the fact.
    pub fn load(directory: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        let files = ModelFiles::open(directory.as_ref())?;
        let path = files.directory.join("config.json");
        if !files.config.architectures.iter().any(|name| name == "BertForSequenceClassification") {
            return Err(ModelError::Unsupported {
                path,
                feature: "architectures",
                found: format!("{:?}", files.config.architectures),
                supported: "BertForSequenceClassification as a cross-encoder",
            });
        }
        if files.config.types < 2 {
            return Err(ModelError::content(&path, "type_vocab_size is 1; a pair needs 2"));
        }
        let network = Bert::read(&files.weights, &files.config, device)?;
        let head = Classifier::read(&files.weights, &files.config, device)?;
        Ok(Self {
            inner: Arc::new(Inner {
                identity: ModelIdentity::new(files.name(), 1, &files.parts()),
                device: device.clone(),
                max_tokens: files.max_tokens()?,
                network,
                head,
                tokenizer: files.tokenizer,
            }),
        })
    }

    /// What tells this model from others.
    pub fn identity(&self) -> &ModelIdentity {
        &self.inner.identity
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The most tokens that the model reads, the query and three special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.inner.max_tokens
    }

    /// Judges passages against a query, in the order given. A passage's logit does not depend on the others.
    ///
    /// A pair that is too long is cut on the passage's right side, and the judgement says so.
    ///
    /// # Errors
    /// [`ModelError::QueryTooLong`] when fewer than 32 tokens are left for a passage; [`ModelError::Compute`] and
    /// [`ModelError::NotFinite`].
    pub fn judge<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Vec<Judgement>, ModelError> {
        let inner = &self.inner;
        let query = inner.tokenizer.ids(query);
        let most = inner.max_tokens.saturating_sub(3 + LEAST_ROOM);
        if query.len() > most {
            return Err(ModelError::QueryTooLong { tokens: query.len(), limit: inner.max_tokens, most });
        }
        let pair = |passage: &S| inner.tokenizer.pair(&query, &inner.tokenizer.ids(passage.as_ref()), inner.max_tokens);
        let sequences: Vec<Sequence> = passages.iter().map(pair).collect();
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        let mut judgements = vec![None; sequences.len()];
        let batches = pack(&lengths, inner.device.token_budget());
        let members = |batch: &Vec<usize>| batch.iter().map(|&index| &sequences[index]).collect::<Vec<_>>();
        let logits = inner.device.run_batches(&batches, |batch| self.run(&members(batch)))?;
        for (index, logit) in batches.into_iter().flatten().zip(logits.into_iter().flatten()) {
            judgements[index] = Some(Judgement { logit, tokens: lengths[index], truncated: sequences[index].truncated });
        }
        judgements.into_iter().map(|found| found.ok_or_else(|| self.failed("a logit is missing".to_owned()))).collect()
    }

    /// Counts tokens as this model reads them.
    pub(crate) fn counter(&self) -> &dyn TokenCounter {
        &self.inner.tokenizer
    }

    fn run(&self, batch: &[&Sequence]) -> Result<Vec<f32>, ModelError> {
        let inner = &self.inner;
        let logits = inner.head.forward(inner.network.forward(batch, inner.tokenizer.pad(), Positions::First));
        let logits = logits.try_to_vec_as::<f32>().map_err(|e| self.failed(format!("{e:?}")))?;
        match logits.len() == batch.len() && logits.iter().all(|logit| logit.is_finite()) {
            true => Ok(logits),
            false => {
                Err(ModelError::NotFinite { model: inner.identity.name().to_owned(), device: inner.device.info().to_string() })
            }
        }
    }

    fn failed(&self, reason: String) -> ModelError {
        ModelError::Compute { device: self.inner.device.info().to_string(), reason }
    }
}

impl std::fmt::Debug for CrossEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CrossEncoder({} on {})", self.inner.identity, self.inner.device.info())
    }
}
