//! `tokenizer.json`, and how texts and pairs become token ids.

use std::path::Path;

use tokenizers::Tokenizer as Inner;

use super::batch::Sequence;
use super::identity::sha256;
use crate::error::ModelError;
use crate::passage::TokenCounter;

/// A BERT tokenizer: `[CLS] text [SEP]`, `[CLS] query [SEP] passage [SEP]`.
#[derive(Clone)]
pub(crate) struct Tokenizer {
    inner: Inner,
    cls: u32,
    sep: u32,
    pad: u32,
    /// Every id is below.
    size: usize,
    /// SHA-256 of `tokenizer.json`, in hexadecimal: what has the same gives the same tokens.
    vocabulary: String,
}

impl Tokenizer {
    /// `vocabulary` is the number of rows of the embedding table.
    pub(super) fn parse(path: &Path, bytes: &[u8], vocabulary: usize) -> Result<Self, ModelError> {
        let failed = |e: tokenizers::Error| ModelError::content(path, format!("is not a tokenizer: {e}"));
        let mut inner = Inner::from_bytes(bytes).map_err(failed)?;
        inner.with_padding(None).with_truncation(None).map_err(failed)?;
        let special = |token: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| ModelError::content(path, format!("has no token {token}; a BERT tokenizer has it")))
        };
        let (cls, sep, pad) = (special("[CLS]")?, special("[SEP]")?, special("[PAD]")?);
        let size = inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1);
        let tokenizer = Self { cls, sep, pad, size, vocabulary: sha256(&[bytes]), inner };
        tokenizer.check_vocabulary(path, vocabulary)?;
        tokenizer.check_template(path)?;
        Ok(tokenizer)
    }

    /// Tables are sometimes padded to a multiple of up to 128 rows; more than that is another model's vocabulary.
    fn check_vocabulary(&self, path: &Path, vocabulary: usize) -> Result<(), ModelError> {
        let tokens = self.size;
        if tokens > vocabulary || vocabulary - tokens >= 128 {
            let fact =
                format!("has {tokens} tokens, and config.json says vocab_size {vocabulary}: the vocabulary is another model's");
            return Err(ModelError::content(path, fact));
        }
        Ok(())
    }

    /// The pieces are joined here rather than by the tokenizer, so its own idea of it must be the same.
    fn check_template(&self, path: &Path) -> Result<(), ModelError> {
        let failed = |e: tokenizers::Error| ModelError::content(path, format!("cannot tokenize a pair: {e}"));
        let own = self.inner.encode(("one", "two words"), true).map_err(failed)?;
        let ours = self.pair(&self.ids("one"), &self.ids("two words"), usize::MAX);
        let second = own.get_type_ids().iter().position(|&kind| kind == 1).unwrap_or(own.get_ids().len());
        if own.get_ids() != ours.ids || second != ours.second {
            let fact =
                format!("joins a pair as {:?}; expected BERT's [CLS] query [SEP] passage [SEP], {:?}", own.get_ids(), ours.ids);
            return Err(ModelError::content(path, fact));
        }
        Ok(())
    }

    /// The ids of a text without special tokens. BERT's normaliser drops control characters.
    pub(super) fn ids(&self, text: &str) -> Vec<u32> {
        #[cfg(test)]
        watched::note(text);
        // A BERT tokenizer fails on no text: what it does not know becomes [UNK].
        self.inner.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// `[CLS] prompt text [SEP]`, cut on the right to `limit` tokens.
    pub(super) fn single(&self, prompt: &[u32], text: &[u32], limit: usize) -> Sequence {
        let tokens = prompt.iter().chain(text);
        let count = prompt.len() + text.len();
        let kept = count.min(limit.saturating_sub(2));
        let mut ids = Vec::with_capacity(kept + 2);
        ids.push(self.cls);
        ids.extend(tokens.take(kept));
        ids.push(self.sep);
        Sequence { second: ids.len(), ids, truncated: kept < count }
    }

    /// `[CLS] query [SEP] passage [SEP]`, the passage cut on the right to `limit` tokens in all. The caller has seen to it
    /// that the query leaves room.
    pub(super) fn pair(&self, query: &[u32], passage: &[u32], limit: usize) -> Sequence {
        let room = limit.saturating_sub(query.len() + 3);
        let kept = passage.len().min(room);
        let mut ids = Vec::with_capacity(query.len() + kept + 3);
        ids.push(self.cls);
        ids.extend(query);
        ids.push(self.sep);
        let second = ids.len();
        ids.extend(passage.iter().take(kept));
        ids.push(self.sep);
        Sequence { ids, second, truncated: kept < passage.len() }
    }

    /// Every id is below.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn vocabulary(&self) -> &str {
        &self.vocabulary
    }

    /// The id that fills up a batch.
    pub(super) fn pad(&self) -> u32 {
        self.pad
    }
}

impl TokenCounter for Tokenizer {
    fn count(&self, text: &str) -> usize {
        #[cfg(test)]
        watched::note(text);
        self.inner.encode_fast(text, false).map_or(0, |encoding| encoding.len())
    }
}

/// Which texts are tokenised: of those with a word that one test alone uses, since others run at the same time.
#[cfg(test)]
pub(crate) mod watched {
    use std::sync::{Mutex, PoisonError};

    pub(crate) const WORD: &str = "quagga";

    static TEXTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

    pub(super) fn note(text: &str) {
        if text.contains(WORD) {
            TEXTS.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
    }

    /// Those since the last call.
    pub(crate) fn take() -> Vec<String> {
        std::mem::take(&mut *TEXTS.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
