//! The languages in which words are brought to their stems.

use std::fmt;

use bincode::{Decode, Encode};

/// The language of a field's text: how its words are stemmed, and which of them say too little to be kept.
///
/// Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces; whatever the language, their text is indexed by
/// overlapping pairs of characters.
// The order of the variants is part of the file format: add at the end only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Language {
    #[default]
    English,
    /// No stemming and no stop words: for names, code, and languages that are not here.
    Neutral,
    /// Stemmed; no list of stop words.
    Arabic,
    Danish,
    Dutch,
    Finnish,
    French,
    German,
    /// Stemmed; no list of stop words.
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    /// Stemmed; no list of stop words.
    Romanian,
    Russian,
    Spanish,
    Swedish,
    /// Stemmed; no list of stop words.
    Tamil,
    /// Stemmed; no list of stop words.
    Turkish,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neutral => f.write_str("no language"),
            other => write!(f, "{other:?}"),
        }
    }
}
