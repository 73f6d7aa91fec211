//! A Hugging Face model directory: its files, read and held against each other.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::config::Config;
use super::tokenize::Tokenizer;
use super::weights::Weights;
use crate::error::ModelError;
use crate::mapped::Mapped;

/// What an encoder and a cross-encoder have in common.
pub(super) struct ModelFiles {
    pub(super) directory: PathBuf,
    pub(super) config: Config,
    pub(super) tokenizer: Tokenizer,
    pub(super) weights: Weights,
    config_bytes: Vec<u8>,
    tokenizer_bytes: Vec<u8>,
}

impl ModelFiles {
    pub(super) fn open(directory: &Path) -> Result<Self, ModelError> {
        let config_path = directory.join("config.json");
        let config_bytes = read(&config_path)?;
        let config = Config::parse(&config_path, &config_bytes)?;
        let tokenizer_path = directory.join("tokenizer.json");
        let tokenizer_bytes = read(&tokenizer_path)?;
        let tokenizer = Tokenizer::parse(&tokenizer_path, &tokenizer_bytes, config.vocabulary)?;
        let weights_path = directory.join("model.safetensors");
        let weights = Weights::new(
            &weights_path,
            Mapped::open(&weights_path).map_err(|source| ModelError::File { path: weights_path.clone(), source })?,
        )?;
        Ok(Self { directory: directory.to_path_buf(), config, tokenizer, weights, config_bytes, tokenizer_bytes })
    }

    /// The directory's own name.
    pub(super) fn name(&self) -> String {
        let full = std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone());
        full.file_name().map_or_else(|| full.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// The bytes that decide the outputs.
    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [self.weights.bytes(), &self.config_bytes, &self.tokenizer_bytes]
    }

    /// The most tokens that the model reads: what the positions allow, and `max_seq_length` where it is stated.
    pub(super) fn max_tokens(&self) -> Result<usize, ModelError> {
        #[derive(Deserialize)]
        struct SentenceBert {
            max_seq_length: Option<usize>,
        }
        let path = self.directory.join("sentence_bert_config.json");
        let stated = optional::<SentenceBert>(&path)?.and_then(|file| file.max_seq_length);
        match stated {
            Some(length) if length < 8 || length > self.config.positions => Err(ModelError::content(
                &path,
                format!(
                    "max_seq_length is {length}; expected 8 to {}, the max_position_embeddings of config.json",
                    self.config.positions
                ),
            )),
            Some(length) => Ok(length),
            None => Ok(self.config.positions),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| ModelError::File { path: path.to_path_buf(), source })
}

pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ModelError> {
    serde_json::from_slice(&read(path)?).map_err(|e| ModelError::content(path, format!("cannot be understood: {e}")))
}

/// Like [`json`], `None` where there is no such file.
pub(super) fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ModelError> {
    match json(path) {
        Ok(value) => Ok(Some(value)),
        Err(ModelError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
