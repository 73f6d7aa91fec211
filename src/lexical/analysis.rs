//! Text to words: split at what is neither letter nor digit, lower case, without stop words, stemmed (Porter2, English).

use std::collections::HashSet;
use std::ops::Range;

use tantivy::tokenizer::{Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer};

/// The name under which tantivy's schema knows this analysis. Another analysis needs another name, and the words a rebuild.
pub(super) const NAME: &str = "fossick_english_1";

/// Longer ones are no words, and tantivy stores none longer than 64 KiB.
const LONGEST_WORD: usize = 255;

/// Turns text into the words that are indexed and searched.
#[derive(Clone)]
pub(crate) struct Analyzer {
    inner: TextAnalyzer,
}

impl Analyzer {
    pub(crate) fn new() -> Self {
        let words =
            TextAnalyzer::builder(SimpleTokenizer::default()).filter(RemoveLongFilter::limit(LONGEST_WORD)).filter(LowerCaser);
        let inner = match StopWordFilter::new(Language::English) {
            Some(stop) => words.filter(stop).filter(Stemmer::new(Language::English)).build(),
            None => words.filter(Stemmer::new(Language::English)).build(),
        };
        Self { inner }
    }

    pub(super) fn inner(&self) -> TextAnalyzer {
        self.inner.clone()
    }

    /// Calls `each` with every word, in order, repeated where the text repeats it.
    pub(crate) fn words(&mut self, text: &str, mut each: impl FnMut(&str)) {
        self.inner.token_stream(text).process(&mut |token| each(&token.text));
    }

    /// The different words of a text.
    pub(crate) fn set(&mut self, text: &str) -> HashSet<String> {
        let mut words = HashSet::new();
        self.words(text, |word| {
            if !words.contains(word) {
                words.insert(word.to_owned());
            }
        });
        words
    }

    /// Where a text has one of the words, in bytes.
    pub(crate) fn places(&mut self, text: &str, wanted: &HashSet<String>) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        self.inner.token_stream(text).process(&mut |token| {
            if wanted.contains(&token.text) {
                places.push(token.offset_from..token.offset_to);
            }
        });
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_case_stop_words_and_endings() {
        let mut found = Vec::new();
        Analyzer::new().words("The Patents, of a Patent-holder; été", |word| found.push(word.to_owned()));
        assert_eq!(found, ["patent", "patent", "holder", "été"]);
    }

    #[test]
    fn words_are_found_where_they_stand_in_any_form() {
        let text = "Été: patents, and the PATENTED thing";
        let mut analyzer = Analyzer::new();
        let wanted = analyzer.set("patent été the");
        let found: Vec<&str> = analyzer.places(text, &wanted).into_iter().map(|place| &text[place]).collect();
        assert_eq!(found, ["Été", "patents", "PATENTED"]);
    }

    #[test]
    fn a_word_without_end_is_dropped() {
        let mut found = 0;
        Analyzer::new().words(&"x".repeat(100_000), |_| found += 1);
        assert_eq!(found, 0);
    }
}
