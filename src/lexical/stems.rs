//! Stems that are remembered.
//!
//! Working stems out takes most of the time of writing words, and texts repeat theirs (`cargo bench --profile dev --bench ingest` has the
//! rate). The stems are tantivy's own.

use std::collections::HashMap;

use tantivy::tokenizer::{Language, RawTokenizer, Stemmer, TextAnalyzer, Token, TokenFilter, TokenStream, Tokenizer};

/// Words that one analysis remembers; when there are more, it begins anew.
const MOST: usize = 1 << 15;

/// [`Stemmer`], with a memory.
pub(super) struct Stems(Language);

impl Stems {
    pub(super) fn new(language: Language) -> Self {
        Self(language)
    }
}

impl TokenFilter for Stems {
    type Tokenizer<T: Tokenizer> = StemsFilter<T>;

    fn transform<T: Tokenizer>(self, inner: T) -> StemsFilter<T> {
        let stemmer = TextAnalyzer::builder(RawTokenizer::default()).filter(Stemmer::new(self.0)).build();
        StemsFilter { inner, stemmer, known: HashMap::new() }
    }
}

pub(super) struct StemsFilter<T> {
    inner: T,
    stemmer: TextAnalyzer,
    known: HashMap<Box<str>, Box<str>>,
}

impl<T: Clone> Clone for StemsFilter<T> {
    /// Without the memory, which a copy makes for itself.
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), stemmer: self.stemmer.clone(), known: HashMap::new() }
    }
}

impl<T: Tokenizer> Tokenizer for StemsFilter<T> {
    type TokenStream<'a> = StemsStream<'a, T::TokenStream<'a>>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Self::TokenStream<'a> {
        StemsStream { tail: self.inner.token_stream(text), stemmer: &mut self.stemmer, known: &mut self.known }
    }
}

pub(super) struct StemsStream<'a, T> {
    tail: T,
    stemmer: &'a mut TextAnalyzer,
    known: &'a mut HashMap<Box<str>, Box<str>>,
}

impl<T: TokenStream> TokenStream for StemsStream<'_, T> {
    fn advance(&mut self) -> bool {
        if !self.tail.advance() {
            return false;
        }
        let word = &mut self.tail.token_mut().text;
        if let Some(stem) = self.known.get(word.as_str()) {
            word.clear();
            word.push_str(stem);
            return true;
        }
        let mut stem = String::new();
        self.stemmer.token_stream(word).process(&mut |token| stem.push_str(&token.text));
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(word.as_str().into(), stem.as_str().into());
        *word = stem;
        true
    }

    fn token(&self) -> &Token {
        self.tail.token()
    }

    fn token_mut(&mut self) -> &mut Token {
        self.tail.token_mut()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tantivy::tokenizer::SimpleTokenizer;

    use super::*;

    proptest! {
        #[test]
        fn stems_are_those_of_the_stemmer_the_first_time_and_later(text in "([a-zäéß]{1,12} ){0,20}") {
            for language in [Language::English, Language::German, Language::French] {
                let mut plain = TextAnalyzer::builder(SimpleTokenizer::default()).filter(Stemmer::new(language)).build();
                let mut remembered = TextAnalyzer::builder(SimpleTokenizer::default()).filter(Stems::new(language)).build();
                let mut expected = Vec::new();
                plain.token_stream(&text).process(&mut |token| expected.push(token.clone()));
                for _ in 0..2 {
                    let mut found = Vec::new();
                    remembered.token_stream(&text).process(&mut |token| found.push(token.clone()));
                    prop_assert_eq!(&found, &expected);
                }
            }
        }
    }
}
