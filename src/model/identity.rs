//! What tells one model from another.

use std::fmt;

use bincode::{Decode, Encode};
use sha2::{Digest, Sha256};

/// A model's name and a hash of what decides its outputs; two models with the same hash give the same numbers, to the precision of the
/// device that they run on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ModelIdentity {
    name: String,
    hash: String,
    dimension: u32,
}

impl ModelIdentity {
    /// `parts` are the files (and settings) that decide the outputs, in a fixed order.
    pub(super) fn new(name: String, dimension: u32, parts: &[&[u8]]) -> Self {
        Self { name, hash: sha256(parts), dimension }
    }

    /// The directory's name, or what `config.json` calls the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over weights, tokenizer and the settings that change outputs, in lower-case hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The number of components of the vectors that the model makes; 1 for a cross-encoder.
    pub fn dimension(&self) -> usize {
        self.dimension as usize
    }

    /// Whether both give the same numbers, to the precision of their devices; names do not count.
    pub(crate) fn same_outputs(&self, other: &Self) -> bool {
        self.hash == other.hash && self.dimension == other.dimension
    }
}

/// SHA-256 over parts, each preceded by its length, in lower-case hexadecimal.
pub(super) fn sha256(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for ModelIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (sha256 {}, {} dimensions)", self.name, self.hash.get(..12).unwrap_or(&self.hash), self.dimension)
    }
}
