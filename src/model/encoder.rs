//! The encoder: text to vectors.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::batch::Sequence;
use super::bert::Positions;
use super::files::{ModelFiles, json, optional};
use super::network::Network;
use super::tokenize::Tokenizer;
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
    passage_prompt: String,
    network: Network,
}

impl Encoder {
    /// Loads a directory with `config.json`, `tokenizer.json`, `model.safetensors`, `modules.json` and the pooling's
    /// `config.json`; `sentence_bert_config.json` and `config_sentence_transformers.json` are obeyed where they exist.
    ///
    /// # Errors
    /// [`ModelError::File`], [`ModelError::Content`] and [`ModelError::Unsupported`] name the file and the fact.
    pub fn load(directory: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        let files = ModelFiles::open(directory.as_ref())?;
        let (pooling, normalize) = read_modules(&files)?;
        let prompts = Prompts::read(&files)?;
        let network = Network::read(&files.weights, &files.config, device)?;
        let settings = format!("{pooling:?} {normalize} {:?} {:?} {}", prompts.query, prompts.passage, files.max_tokens()?);
        let [weights, config, tokenizer] = files.parts();
        let identity =
            ModelIdentity::new(files.name(), files.config.hidden as u32, &[weights, config, tokenizer, settings.as_bytes()]);
        Ok(Self {
            inner: Arc::new(Inner {
                identity,
                device: device.clone(),
                max_tokens: files.max_tokens()?,
                pooling,
                normalize,
                query_prompt: prompts.query,
                passage_prompt: prompts.passage,
                network,
                tokenizer: files.tokenizer,
            }),
        })
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

    /// A query's vector; the model's prompt for queries is put before it.
    ///
    /// # Errors
    /// [`ModelError::Compute`] and [`ModelError::NotFinite`].
    pub fn encode_query(&self, query: &str) -> Result<Embedding, ModelError> {
        let text = format!("{}{query}", self.inner.query_prompt);
        let mut found = self.encode_sequences(&[self.inner.tokenizer.single(&text, self.inner.max_tokens)])?;
        found.pop().ok_or_else(|| self.failed("no vector came back".to_owned()))
    }

    /// The passages' vectors, in their order; the model's prompt for passages is put before each. Batches are packed by
    /// length, so the order of the passages does not matter for speed.
    ///
    /// # Errors
    /// [`ModelError::Compute`] and [`ModelError::NotFinite`].
    pub fn encode_passages<S: AsRef<str>>(&self, passages: &[S]) -> Result<Vec<Embedding>, ModelError> {
        let inner = &self.inner;
        let sequence = |text: &S| inner.tokenizer.single(&format!("{}{}", inner.passage_prompt, text.as_ref()), inner.max_tokens);
        self.encode_sequences(&passages.iter().map(sequence).collect::<Vec<_>>())
    }

    /// Counts tokens as this encoder reads them.
    pub(crate) fn counter(&self) -> &dyn TokenCounter {
        &self.inner.tokenizer
    }

    fn encode_sequences(&self, sequences: &[Sequence]) -> Result<Vec<Embedding>, ModelError> {
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        let mut embeddings = vec![None; sequences.len()];
        let batches = self.inner.device.pack(&lengths);
        let members = |batch: &Vec<usize>| batch.iter().map(|&index| &sequences[index]).collect::<Vec<_>>();
        let vectors = self.inner.device.run_batches(&batches, |batch| self.run(&members(batch)))?;
        for (index, vector) in batches.into_iter().flatten().zip(vectors.into_iter().flatten()) {
            embeddings[index] = Some(Embedding { vector, tokens: lengths[index], truncated: sequences[index].truncated });
        }
        embeddings.into_iter().map(|found| found.ok_or_else(|| self.failed("a vector is missing".to_owned()))).collect()
    }

    fn run(&self, batch: &[&Sequence]) -> Result<Vec<Vec<f32>>, ModelError> {
        let inner = &self.inner;
        let dimension = self.dimension();
        let wanted = if inner.pooling == Pooling::First { Positions::First } else { Positions::All };
        let output = inner.network.forward(batch, inner.tokenizer.pad(), wanted).map_err(|reason| self.failed(reason))?;
        let pool = |tokens: &[f32]| {
            let mut vector = vec![0.0_f32; dimension];
            for token in tokens.chunks_exact(dimension) {
                vector.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
            }
            let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            let scale = if inner.normalize { norm.max(1e-12) } else { (tokens.len() / dimension) as f32 };
            vector.iter_mut().for_each(|value| *value /= scale);
            vector
        };
        let vectors: Vec<Vec<f32>> = output.sequences().map(pool).collect();
        match vectors.iter().flatten().all(|value| value.is_finite()) && vectors.len() == batch.len() {
            true => Ok(vectors),
            false => {
                Err(ModelError::NotFinite { model: inner.identity.name().to_owned(), device: inner.device.info().to_string() })
            }
        }
    }

    fn failed(&self, reason: String) -> ModelError {
        ModelError::Compute { device: self.inner.device.info().to_string(), reason }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} on {})", self.inner.identity, self.inner.device.info())
    }
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
