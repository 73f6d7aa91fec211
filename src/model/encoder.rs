//! The encoder: text to vectors.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::batch::Sequence;
use super::bert::Positions;
use super::compute::{Compute, Unwanted, Waiting, compute_all};
use super::files::{ModelFiles, json, optional};
use super::loaded::Loaded;
use super::network::Network;
use super::tokenize::Tokenizer;
use super::turns::Turns;
use super::{Device, ModelIdentity};
use crate::error::ModelError;
use crate::passage::TokenCounter;

/// How the tokens' vectors become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pooling {
    /// The vector of `[CLS]`.
    First,
    /// The mean over all tokens, special ones included.
    Mean,
}

impl Pooling {
    /// The positions whose vectors it needs.
    fn wanted(self) -> Positions {
        if self == Self::First { Positions::First } else { Positions::All }
    }
}

/// A text as a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// The components; of length 1 in the Euclidean norm where the model says so.
    pub vector: Vec<f32>,
    /// The tokens that the model read, special tokens and prompt included.
    pub tokens: usize,
    /// Whether the text was cut on the right to what the model reads.
    pub truncated: bool,
}

/// A bi-encoder: a BERT network with pooling, from a sentence-transformers directory. Cheap to clone; clones share weights.
///
/// ```
/// use fossick::{Device, Encoder};
/// let encoder = Encoder::load("models/bge-small-en-v1.5", &Device::cpu())?;
/// let query = encoder.encode_query("who owns an invention made by an employee")?;
/// assert_eq!(query.vector.len(), encoder.dimension());
/// # Ok::<(), fossick::ModelError>(())
/// ```
#[derive(Clone)]
pub struct Encoder {
    inner: Arc<Inner>,
}

struct Inner {
    identity: ModelIdentity,
    device: Device,
    tokenizer: Tokenizer,
    max_tokens: usize,
    pooling: Pooling,
    normalize: bool,
    query_prompt: String,
    /// As tokens.
    passage_prompt: Vec<u32>,
    network: Network,
    waiting: Waiting<Vec<f32>>,
}

impl Inner {
    fn load(directory: &Path, device: &Device) -> Result<Self, ModelError> {
        let files = ModelFiles::open(directory)?;
        let (pooling, normalize) = read_modules(&files)?;
        let prompts = Prompts::read(&files)?;
        let passage_prompt = prompt_tokens(&files, &prompts.passage)?;
        let network = Network::open(&files, device)?;
        let settings = format!("{pooling:?} {normalize} {:?} {:?} {}", prompts.query, prompts.passage, files.max_tokens()?);
        let [weights, config, tokenizer] = files.parts();
        let identity =
            ModelIdentity::new(files.name(), files.config.hidden as u32, &[weights, config, tokenizer, settings.as_bytes()]);
        Ok(Self {
            identity,
            device: device.clone(),
            max_tokens: files.max_tokens()?,
            pooling,
            normalize,
            query_prompt: prompts.query,
            passage_prompt,
            network,
            waiting: Waiting::default(),
            tokenizer: files.tokenizer,
        })
    }
}

impl Compute for Inner {
    type Output = Vec<f32>;

    fn device(&self) -> &Device {
        &self.device
    }

    fn waiting(&self) -> &Waiting<Vec<f32>> {
        &self.waiting
    }

    fn compute(&self, batch: &[&Sequence], _: Unwanted<'_>) -> Result<Option<Vec<Vec<f32>>>, String> {
        let dimension = self.identity.dimension();
        let output = self.network.forward(batch, self.tokenizer.pad(), self.pooling.wanted())?;
        let pool = |tokens: &[f32]| {
            let mut vector = vec![0.0_f32; dimension];
            for token in tokens.chunks_exact(dimension) {
                vector.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
            }
            let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            let scale = if self.normalize { norm.max(1e-12) } else { (tokens.len() / dimension) as f32 };
            vector.iter_mut().for_each(|value| *value /= scale);
            vector
        };
        Ok(Some(output.sequences().map(pool).collect()))
    }
}

impl Encoder {
    /// Loads a directory with `config.json`, `tokenizer.json`, `model.safetensors`, `modules.json` and the pooling's
    /// `config.json`; `sentence_bert_config.json` and `config_sentence_transformers.json` are obeyed where they exist. While a handle
    /// to the same files on the same device lives, another is that one: weights are in memory once. A prompt for passages must end
    /// where a word does, as with a space or a colon.
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

    /// The number of components of a vector.
    pub fn dimension(&self) -> usize {
        self.inner.identity.dimension()
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The most tokens that the model reads, special tokens and prompt included.
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
            .alone(|| inner.network.warm_up(inner.max_tokens, inner.pooling.wanted()))
            .map_err(|reason| inner.failed(reason))
    }

    /// Why the CPU does the work of a GPU: that could not be opened, or has failed since. `None` while the wish is met.
    pub fn fallback(&self) -> Option<&str> {
        self.inner.device.fallback().or_else(|| self.inner.network.lost())
    }

    /// A query's vector; the model's prompt for queries is put before it.
    ///
    /// # Errors
    /// [`ModelError::Compute`] and [`ModelError::NotFinite`].
    pub fn encode_query(&self, query: &str) -> Result<Embedding, ModelError> {
        let text = format!("{}{query}", self.inner.query_prompt);
        let ids = self.inner.tokenizer.ids(&text);
        let mut found = self.encode_sequences(vec![self.inner.tokenizer.single(&[], &ids, self.inner.max_tokens)])?;
        found.pop().ok_or_else(|| self.inner.failed("no vector came back".to_owned()))
    }

    /// The passages' vectors, in their order; the model's prompt for passages is put before each. Batches are packed by
    /// length, so the order of the passages does not matter for speed.
    ///
    /// # Errors
    /// [`ModelError::Compute`] and [`ModelError::NotFinite`].
    pub fn encode_passages<S: AsRef<str>>(&self, passages: &[S]) -> Result<Vec<Embedding>, ModelError> {
        self.encode_tokens(&passages.iter().map(|text| self.tokens(text.as_ref())).collect::<Vec<_>>())
    }

    /// [`Encoder::encode_passages`] of passages that are tokens of this model already, without special ones.
    pub(crate) fn encode_tokens<T: AsRef<[u32]>>(&self, passages: &[T]) -> Result<Vec<Embedding>, ModelError> {
        let inner = &self.inner;
        let sequence = |ids: &T| inner.tokenizer.single(&inner.passage_prompt, ids.as_ref(), inner.max_tokens);
        self.encode_sequences(passages.iter().map(sequence).collect())
    }

    /// A text's tokens, without special ones.
    pub(crate) fn tokens(&self, text: &str) -> Vec<u32> {
        self.inner.tokenizer.ids(text)
    }

    /// What the tokens are tokens of: models with the same read the same ones.
    pub(crate) fn vocabulary(&self) -> &str {
        self.inner.tokenizer.vocabulary()
    }

    /// Counts tokens as this encoder reads them.
    pub(crate) fn counter(&self) -> &dyn TokenCounter {
        &self.inner.tokenizer
    }

    fn encode_sequences(&self, sequences: Vec<Sequence>) -> Result<Vec<Embedding>, ModelError> {
        let inner = &self.inner;
        let read: Vec<(usize, bool)> = sequences.iter().map(|sequence| (sequence.ids.len(), sequence.truncated)).collect();
        let vectors = compute_all(inner, sequences)?;
        if !vectors.iter().flatten().all(|value| value.is_finite()) {
            let (model, device) = (inner.identity.name().to_owned(), inner.device.info().to_string());
            return Err(ModelError::NotFinite { model, device });
        }
        let embedding = |(vector, (tokens, truncated))| Embedding { vector, tokens, truncated };
        Ok(vectors.into_iter().zip(read).map(embedding).collect())
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} on {})", self.inner.identity, self.inner.device.info())
    }
}

/// The prompt of passages as tokens, which goes before those of a passage; so it must end where a word does.
fn prompt_tokens(files: &ModelFiles, prompt: &str) -> Result<Vec<u32>, ModelError> {
    let ids = |text: &str| files.tokenizer.ids(text);
    let prompt_ids = ids(prompt);
    // A bracket may open a special token.
    if !prompt.ends_with('[') && ids(&format!("{prompt}a")) == [prompt_ids.as_slice(), &ids("a")].concat() {
        return Ok(prompt_ids);
    }
    Err(ModelError::Unsupported {
        path: files.directory.join("config_sentence_transformers.json"),
        feature: "the prompt for passages",
        found: format!("{prompt:?}"),
        supported: "prompts that end with a space or a mark",
    })
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `modules.json`: a transformer, a pooling, perhaps a normalisation; anything else would change the vectors.
fn read_modules(files: &ModelFiles) -> Result<(Pooling, bool), ModelError> {
    let path = files.directory.join("modules.json");
    let modules: Vec<Module> = json(&path)?;
    let (mut pooling, mut normalize) = (None, false);
    for module in modules {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" => {
                pooling = Some(read_pooling(&files.directory.join(&module.path).join("config.json"), files.config.hidden)?)
            }
            "Normalize" => normalize = true,
            _ => {
                return Err(ModelError::Unsupported {
                    path,
                    feature: "a module",
                    found: format!("{:?}", module.kind),
                    supported: "Transformer, Pooling and Normalize",
                });
            }
        }
    }
    let pooling =
        pooling.ok_or_else(|| ModelError::content(&path, "names no Pooling module, so how vectors are made is not stated"))?;
    Ok((pooling, normalize))
}

fn read_pooling(path: &Path, hidden: usize) -> Result<Pooling, ModelError> {
    let settings: serde_json::Map<String, serde_json::Value> = json(path)?;
    if let Some(stated) = settings.get("word_embedding_dimension").and_then(serde_json::Value::as_u64)
        && stated != hidden as u64
    {
        return Err(ModelError::content(
            path,
            format!("word_embedding_dimension is {stated}; config.json says hidden_size {hidden}"),
        ));
    }
    let on = settings.iter().filter(|(name, value)| name.starts_with("pooling_mode_") && value.as_bool() == Some(true));
    let modes: Vec<&str> = on.map(|(name, _)| name.as_str()).collect();
    match modes.as_slice() {
        ["pooling_mode_cls_token"] => Ok(Pooling::First),
        ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
        _ => Err(ModelError::Unsupported {
            path: path.to_path_buf(),
            feature: "the pooling",
            found: format!("{modes:?}"),
            supported: "exactly one of pooling_mode_cls_token and pooling_mode_mean_tokens",
        }),
    }
}

/// What is put before queries and passages.
struct Prompts {
    query: String,
    passage: String,
}

impl Prompts {
    fn read(files: &ModelFiles) -> Result<Self, ModelError> {
        #[derive(Default, Deserialize)]
        struct Stated {
            #[serde(default)]
            prompts: HashMap<String, String>,
            default_prompt_name: Option<String>,
        }
        let path = files.directory.join("config_sentence_transformers.json");
        let stated: Stated = optional(&path)?.unwrap_or_default();
        let default = match &stated.default_prompt_name {
            None => String::new(),
            Some(name) => stated.prompts.get(name).cloned().ok_or_else(|| {
                ModelError::content(&path, format!("default_prompt_name is {name:?}, which is not among its prompts"))
            })?,
        };
        let prompt = |names: &[&str]| names.iter().find_map(|name| stated.prompts.get(*name)).unwrap_or(&default).clone();
        Ok(Self { query: prompt(&["query"]), passage: prompt(&["passage", "document", "corpus"]) })
    }
}
