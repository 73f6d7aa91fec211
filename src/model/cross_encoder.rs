//! The cross-encoder: one logit for a query and a passage, read together.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::batch::Sequence;
use super::files::ModelFiles;
use super::network::Scorer;
use super::pace::Pace;
use super::tokenize::Tokenizer;
use super::{Device, ModelIdentity};
use crate::error::ModelError;
use crate::parallel;
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
    network: Scorer,
    pace: Pace,
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
        let network = Scorer::read(&files.weights, &files.config, device)?;
        Ok(Self {
            inner: Arc::new(Inner {
                identity: ModelIdentity::new(files.name(), 1, &files.parts()),
                device: device.clone(),
                max_tokens: files.max_tokens()?,
                network,
                pace: Pace::new(device.abreast()),
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
        self.pairs(query, passages.iter().map(|passage| passage.as_ref().to_owned()).collect())?.judge(None)
    }

    /// Reads pairs that are to be judged, the ones that matter most first.
    ///
    /// # Errors
    /// [`ModelError::QueryTooLong`].
    pub(crate) fn pairs(&self, query: &str, passages: Vec<String>) -> Result<Pairs, ModelError> {
        let inner = &self.inner;
        let query = inner.tokenizer.ids(query);
        let most = inner.max_tokens.saturating_sub(3 + LEAST_ROOM);
        if query.len() > most {
            return Err(ModelError::QueryTooLong { tokens: query.len(), limit: inner.max_tokens, most });
        }
        let mut pairs = Pairs { judge: self.clone(), query, passages, sequences: Vec::new(), done: 0 };
        pairs.tokenize(1);
        Ok(pairs)
    }

    /// Counts tokens as this model reads them.
    pub(crate) fn counter(&self) -> &dyn TokenCounter {
        &self.inner.tokenizer
    }

    fn run(&self, batch: &[&Sequence]) -> Result<Vec<f32>, ModelError> {
        let inner = &self.inner;
        let logits = inner.network.logits(batch, inner.tokenizer.pad()).map_err(|reason| self.failed(reason))?;
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

/// Pairs that are being judged, some at a time. What is not reached in time is not even tokenised.
pub(crate) struct Pairs {
    judge: CrossEncoder,
    query: Vec<u32>,
    passages: Vec<String>,
    /// The first pairs, as far as they were tokenised: one more than are judged, where there is one.
    sequences: Vec<Sequence>,
    done: usize,
}

/// Passages for each thread to tokenise before it is looked whether they are enough.
const AHEAD: usize = 4;

impl Pairs {
    /// Whether all are judged.
    pub(crate) fn finished(&self) -> bool {
        self.done == self.passages.len()
    }

    /// How long the next pair will take, as far as this model's pace is known.
    pub(crate) fn next_takes(&self) -> Duration {
        let next = self.sequences.get(self.done);
        next.map_or(Duration::ZERO, |sequence| self.judge.inner.pace.estimate(sequence.ids.len()))
    }

    /// Judges the next pairs, as many as `time` is enough for by the pace measured so far (one a thread at least), or all of them.
    ///
    /// # Errors
    /// [`ModelError::Compute`] and [`ModelError::NotFinite`].
    pub(crate) fn judge(&mut self, time: Option<Duration>) -> Result<Vec<Judgement>, ModelError> {
        let count = self.next(time);
        let inner = &self.judge.inner;
        let sequences = &self.sequences[self.done..self.done + count];
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        let mut judgements = vec![None; sequences.len()];
        let batches = inner.device.pack(&lengths);
        let members = |batch: &Vec<usize>| batch.iter().map(|&index| &sequences[index]).collect::<Vec<_>>();
        let begun = Instant::now();
        let logits = inner.device.run_batches(&batches, |batch| self.judge.run(&members(batch)))?;
        inner.pace.measured(&lengths, begun.elapsed());
        for (index, logit) in batches.into_iter().flatten().zip(logits.into_iter().flatten()) {
            judgements[index] = Some(Judgement { logit, tokens: lengths[index], truncated: sequences[index].truncated });
        }
        self.done += count;
        self.tokenize(self.done + 1);
        let missing = || self.judge.failed("a logit is missing".to_owned());
        judgements.into_iter().map(|found| found.ok_or_else(missing)).collect()
    }

    /// How many pairs are next, with all of them tokenised.
    fn next(&mut self, time: Option<Duration>) -> usize {
        let Some(time) = time else {
            self.tokenize(self.passages.len());
            return self.passages.len() - self.done;
        };
        let judge = self.judge.clone();
        loop {
            let lengths = self.sequences[self.done..].iter().map(|sequence| sequence.ids.len());
            let count = judge.inner.pace.count(lengths, time);
            let known = self.sequences.len();
            if self.done + count < known || known == self.passages.len() {
                return count;
            }
            self.tokenize(known + AHEAD * judge.inner.device.abreast());
        }
    }

    /// Sees to it that so many of the first pairs are tokenised, or all.
    fn tokenize(&mut self, count: usize) {
        let inner = &self.judge.inner;
        let from = self.sequences.len();
        let missing = self.passages.get(from..count.min(self.passages.len())).unwrap_or_default();
        let pair = |passage: &String| inner.tokenizer.pair(&self.query, &inner.tokenizer.ids(passage), inner.max_tokens);
        let more: Vec<Sequence> = match missing {
            [one] => vec![pair(one)],
            many => parallel::run(|| many.par_iter().map(pair).collect()),
        };
        self.sequences.extend(more);
    }
}

impl std::fmt::Debug for CrossEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CrossEncoder({} on {})", self.inner.identity, self.inner.device.info())
    }
}
