//! The cross-encoder: one logit for a query and a passage, read together.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::batch::Sequence;
use super::compute::{Compute, Until, Unwanted, Waiting, compute_until};
use super::files::ModelFiles;
use super::loaded::Loaded;
use super::network::Scorer;
use super::pace::Pace;
use super::tokenize::Tokenizer;
use super::turns::Turns;
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
/// share weights, and threads that judge at the same time take turns on the device.
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
    waiting: Waiting<f32>,
}

impl Inner {
    fn load(directory: &Path, device: &Device) -> Result<Self, ModelError> {
        let files = ModelFiles::open(directory)?;
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
        let network = Scorer::open(&files, device)?;
        Ok(Self {
            identity: ModelIdentity::new(files.name(), 1, &files.parts()),
            device: device.clone(),
            max_tokens: files.max_tokens()?,
            network,
            pace: Pace::new(device.abreast()),
            waiting: Waiting::default(),
            tokenizer: files.tokenizer,
        })
    }
}

impl Compute for Inner {
    type Output = f32;

    fn device(&self) -> &Device {
        &self.device
    }

    fn waiting(&self) -> &Waiting<f32> {
        &self.waiting
    }

    fn compute(&self, batch: &[&Sequence], unwanted: Unwanted<'_>) -> Result<Option<Vec<f32>>, String> {
        self.network.logits_until(batch, self.tokenizer.pad(), unwanted)
    }
}

impl CrossEncoder {
    /// Loads a directory with `config.json`, `tokenizer.json` and `model.safetensors`; the configuration must name
    /// `BertForSequenceClassification`, and the weights must hold a classifier with one output. While a handle to the same files on
    /// the same device lives, another is that one: weights are in memory once.
    ///
    /// # Errors
    /// [`ModelError::File`], [`ModelError::Content`] and [`ModelError::Unsupported`] name the file and the fact; [`ModelError::DeviceTooSmall`] the
    /// device. [`ModelError::Compute`] where a GPU failed meanwhile and the CPU could not take over.
    pub fn load(directory: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        static LOADED: LazyLock<Loaded<Inner>> = LazyLock::new(Loaded::new);
        let directory = directory.as_ref();
        Ok(Self { inner: LOADED.get(directory, device, || Inner::load(directory, device))? })
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

    /// Has a GPU compile and try what batches will ask of it, so that the first query does not wait for that: seconds to minutes, on a
    /// thread of the application's choice. On the CPU there is nothing to do.
    ///
    /// # Errors
    /// [`ModelError::Compute`].
    pub fn warm_up(&self) -> Result<(), ModelError> {
        let inner = &self.inner;
        Turns::of(inner.device.info().kind)
            .alone(|| inner.network.warm_up(inner.max_tokens))
            .map_err(|reason| inner.failed(reason))
    }

    /// Why the CPU does the work of a GPU: that could not be opened, or has failed since. `None` while the wish is met.
    pub fn fallback(&self) -> Option<&str> {
        self.inner.device.fallback().or_else(|| self.inner.network.lost())
    }

    /// Judges passages against a query, in the order given. A passage's logit does not depend on the others.
    ///
    /// A pair that is too long is cut on the passage's right side, and the judgement says so.
    ///
    /// # Errors
    /// [`ModelError::QueryTooLong`] when fewer than 32 tokens are left for a passage; [`ModelError::Compute`] and
    /// [`ModelError::NotFinite`].
    pub fn judge<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Vec<Judgement>, ModelError> {
        let mut pairs = self.pairs(query)?;
        pairs.add(passages.iter().map(|passage| Input::Text(passage.as_ref().to_owned())));
        Ok(pairs.judge(None, None)?.into_iter().flatten().collect())
    }

    /// Reads a query whose pairs are to be judged.
    ///
    /// # Errors
    /// [`ModelError::QueryTooLong`].
    pub(crate) fn pairs(&self, query: &str) -> Result<Pairs, ModelError> {
        let inner = &self.inner;
        let query = inner.tokenizer.ids(query);
        let most = inner.max_tokens.saturating_sub(3 + LEAST_ROOM);
        match query.len() <= most {
            true => Ok(Pairs { judge: self.clone(), query, passages: VecDeque::new(), sequences: VecDeque::new() }),
            false => Err(ModelError::QueryTooLong { tokens: query.len(), limit: inner.max_tokens, most }),
        }
    }

    /// Whether the CPU has taken the place of a GPU that failed; it computes in 8 bits there.
    pub(crate) fn is_lost(&self) -> bool {
        self.inner.network.lost().is_some()
    }

    /// What this model's tokens are tokens of.
    pub(crate) fn vocabulary(&self) -> &str {
        self.inner.tokenizer.vocabulary()
    }

    /// Whether all of these are tokens of this model.
    pub(crate) fn knows(&self, tokens: &[u32]) -> bool {
        let size = self.inner.tokenizer.size();
        tokens.iter().all(|&id| (id as usize) < size)
    }

    /// Counts tokens as this model reads them.
    pub(crate) fn counter(&self) -> &dyn TokenCounter {
        &self.inner.tokenizer
    }
}

/// A passage that is to be judged.
pub(crate) enum Input {
    /// As text.
    Text(String),
    /// As this model's tokens, without special ones.
    Tokens(Vec<u32>),
}

/// Pairs that are being judged, some at a time. What is not reached in time is not even tokenised.
pub(crate) struct Pairs {
    judge: CrossEncoder,
    query: Vec<u32>,
    /// What is neither judged nor in `sequences`.
    passages: VecDeque<Input>,
    /// The next pairs: one at least, where any are left.
    sequences: VecDeque<Sequence>,
}

/// Passages for each thread to tokenise before it is looked whether they are enough.
const AHEAD: usize = 4;

impl Pairs {
    /// The tokens that a passage may have beside the query.
    pub(crate) fn room(&self) -> usize {
        self.judge.inner.max_tokens.saturating_sub(3 + self.query.len())
    }

    /// Passages to be judged after those that are there, the ones that matter most first.
    pub(crate) fn add(&mut self, passages: impl IntoIterator<Item = Input>) {
        self.passages.extend(passages);
        self.tokenize(self.judge.inner.device.abreast());
    }

    /// Whether all are judged.
    pub(crate) fn finished(&self) -> bool {
        self.sequences.is_empty()
    }

    /// How long the next pairs that are worked on side by side will take, as far as this model's pace is known.
    pub(crate) fn next_takes(&self) -> Duration {
        let inner = &self.judge.inner;
        let longest = self.sequences.iter().take(inner.device.abreast()).map(|sequence| sequence.ids.len()).max();
        longest.map_or(Duration::ZERO, |tokens| inner.pace.estimate(tokens))
    }

    /// Judges the next pairs, as many as `time` is enough for by the pace measured so far (one a thread at least), or all of them. On the CPU
    /// those that are not done when `until` says so are given up between two layers, and are `None`.
    ///
    /// # Errors
    /// [`ModelError::Compute`] and [`ModelError::NotFinite`].
    pub(crate) fn judge(&mut self, time: Option<Duration>, until: Option<Until>) -> Result<Vec<Option<Judgement>>, ModelError> {
        let count = self.next(time);
        let inner = &self.judge.inner;
        let sequences: Vec<Sequence> = self.sequences.drain(..count).collect();
        let read: Vec<(usize, bool)> = sequences.iter().map(|sequence| (sequence.ids.len(), sequence.truncated)).collect();
        let begun = Instant::now();
        let logits = compute_until(inner, sequences, until)?;
        if logits.iter().all(Option::is_some) {
            inner.pace.measured(read.iter().map(|(tokens, _)| *tokens), begun.elapsed());
        }
        if !logits.iter().flatten().all(|logit| logit.is_finite()) {
            let (model, device) = (inner.identity.name().to_owned(), inner.device.info().to_string());
            return Err(ModelError::NotFinite { model, device });
        }
        self.tokenize(inner.device.abreast());
        let judgement = |(logit, (tokens, truncated)): (Option<f32>, _)| Some(Judgement { logit: logit?, tokens, truncated });
        Ok(logits.into_iter().zip(read).map(judgement).collect())
    }

    /// How many pairs are next, with all of them tokenised.
    fn next(&mut self, time: Option<Duration>) -> usize {
        let Some(time) = time else {
            self.tokenize(usize::MAX);
            return self.sequences.len();
        };
        loop {
            let inner = &self.judge.inner;
            let known = self.sequences.len();
            let count = inner.pace.count(self.sequences.iter().map(|sequence| sequence.ids.len()), time);
            if count < known || self.passages.is_empty() {
                return count;
            }
            let more = AHEAD * inner.device.abreast();
            self.tokenize(known + more);
        }
    }

    /// Sees to it that so many pairs are tokenised, or all.
    fn tokenize(&mut self, count: usize) {
        let inner = &self.judge.inner;
        let missing = count.saturating_sub(self.sequences.len()).min(self.passages.len());
        let passages: Vec<Input> = self.passages.drain(..missing).collect();
        let pair = |passage: &Input| match passage {
            Input::Text(text) => inner.tokenizer.pair(&self.query, &inner.tokenizer.ids(text), inner.max_tokens),
            Input::Tokens(ids) => inner.tokenizer.pair(&self.query, ids, inner.max_tokens),
        };
        match passages.as_slice() {
            [one] => self.sequences.push_back(pair(one)),
            many => self.sequences.extend(parallel::run(|| many.par_iter().map(pair).collect::<Vec<_>>())),
        }
    }
}

impl std::fmt::Debug for CrossEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CrossEncoder({} on {})", self.inner.identity, self.inner.device.info())
    }
}
