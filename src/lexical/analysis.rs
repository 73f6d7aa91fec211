//! Text to words: split at what is neither letter nor digit, lower case, without the stop words of its language, stemmed.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use tantivy::tokenizer::{LowerCaser, RemoveLongFilter, StopWordFilter, TextAnalyzer, Token};

use super::stems::Stems;
use super::tokenizer::{WordsAndPairs, lone};
use crate::schema::{Language, Schema};

/// Longer ones are no words, and tantivy stores none longer than 64 KiB.
const LONGEST_WORD: usize = 255;

/// The name under which tantivy's schema knows the analysis of a language. Another analysis needs another name, and the words a rebuild.
pub(super) fn name(language: Language) -> String {
    format!("fossick_2_{language:?}").to_lowercase()
}

/// How a language's words are found.
pub(super) fn analyzer(language: Language) -> TextAnalyzer {
    let words = TextAnalyzer::builder(WordsAndPairs).filter(RemoveLongFilter::limit(LONGEST_WORD)).filter(LowerCaser);
    let Some(language) = of_tantivy(language) else { return words.build() };
    match StopWordFilter::new(language) {
        Some(stop) => words.filter(stop).filter(Stems::new(language)).build(),
        None => words.filter(Stems::new(language)).build(),
    }
}

fn of_tantivy(language: Language) -> Option<tantivy::tokenizer::Language> {
    use tantivy::tokenizer::Language as Tantivy;
    Some(match language {
        Language::Neutral => return None,
        Language::English => Tantivy::English,
        Language::Arabic => Tantivy::Arabic,
        Language::Danish => Tantivy::Danish,
        Language::Dutch => Tantivy::Dutch,
        Language::Finnish => Tantivy::Finnish,
        Language::French => Tantivy::French,
        Language::German => Tantivy::German,
        Language::Greek => Tantivy::Greek,
        Language::Hungarian => Tantivy::Hungarian,
        Language::Italian => Tantivy::Italian,
        Language::Norwegian => Tantivy::Norwegian,
        Language::Portuguese => Tantivy::Portuguese,
        Language::Romanian => Tantivy::Romanian,
        Language::Russian => Tantivy::Russian,
        Language::Spanish => Tantivy::Spanish,
        Language::Swedish => Tantivy::Swedish,
        Language::Tamil => Tantivy::Tamil,
        Language::Turkish => Tantivy::Turkish,
    })
}

/// The languages of the fields that are searched by words.
pub(super) fn languages(schema: &Schema) -> BTreeSet<Language> {
    schema.fields().iter().filter(|field| field.kind().is_searched()).map(|field| field.language()).collect()
}

/// The analyses of some languages, to be used again: their lists of stop words take longer than a query.
#[derive(Default)]
pub(super) struct Analyzers {
    made: Vec<(Language, TextAnalyzer)>,
}

impl Analyzers {
    pub(super) fn new(languages: &[Language]) -> Self {
        Self { made: languages.iter().map(|&language| (language, analyzer(language))).collect() }
    }

    /// The words of a text in a language, in order.
    pub(super) fn tokens(&mut self, language: Language, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        self.each(language, text, |token| tokens.push(token.clone()));
        tokens
    }

    /// Calls `each` with every word of a text in some languages, as [`Analyzer::tokens`] does.
    pub(super) fn in_all(&mut self, languages: &[Language], text: &str, each: impl FnMut(&Token)) {
        let mut each = once_each(languages.len(), each);
        languages.iter().for_each(|language| self.each(*language, text, &mut each));
    }

    fn each(&mut self, language: Language, text: &str, mut each: impl FnMut(&Token)) {
        let at = self.made.iter().position(|(known, _)| *known == language).unwrap_or_else(|| {
            self.made.push((language, analyzer(language)));
            self.made.len() - 1
        });
        self.made[at].1.token_stream(text).process(&mut |token| each(token));
    }
}

/// What the texts of a query are cut into, once in each language while it is compiled: a clause is asked for its words several times.
pub(super) struct Cuts<'a> {
    analyzers: RefCell<Spare<'a, Analyzers>>,
    known: RefCell<HashMap<String, Vec<Cut>>>,
}

/// The words of a text in a language, in order.
type Cut = (Language, Rc<[Token]>);

impl<'a> Cuts<'a> {
    pub(super) fn new(analyzers: Spare<'a, Analyzers>) -> Self {
        Self { analyzers: RefCell::new(analyzers), known: RefCell::default() }
    }

    /// The words of a text in a language, in order.
    pub(super) fn of(&self, language: Language, text: &str) -> Rc<[Token]> {
        let mut known = self.known.borrow_mut();
        if let Some((_, tokens)) = known.get(text).and_then(|known| known.iter().find(|(known, _)| *known == language)) {
            return tokens.clone();
        }
        let tokens: Rc<[Token]> = self.analyzers.borrow_mut().tokens(language, text).into();
        known.entry(text.to_owned()).or_default().push((language, tokens.clone()));
        tokens
    }

    /// Calls `each` with every word of a text in some languages, as [`Analyzer::tokens`] does.
    pub(super) fn in_all(&self, languages: &[Language], text: &str, each: impl FnMut(&Token)) {
        let mut each = once_each(languages.len(), each);
        languages.iter().for_each(|language| self.of(*language, text).iter().for_each(&mut each));
    }
}

/// Passes each word of a text once, where two of several languages make it alike.
fn once_each(languages: usize, mut each: impl FnMut(&Token)) -> impl FnMut(&Token) {
    let mut known: HashSet<(usize, String)> = HashSet::new();
    move |token| {
        if languages < 2 || known.insert((token.offset_from, token.text.clone())) {
            each(token);
        }
    }
}

/// So many are kept, each with a few megabytes of stems for a language; when more were used at once, the rest is made again.
const MOST_SPARES: usize = 4;

/// What is used again, by one at a time: analyses, with the stems that they remember.
pub(crate) struct Spares<T>(Mutex<Vec<T>>);

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Spares<T> {
    /// One that nobody uses; made where there is none.
    pub(crate) fn take(&self, make: impl FnOnce() -> T) -> Spare<'_, T> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Spare { home: self, inner: spare.unwrap_or_else(make) }
    }
}

/// One that goes back when it is let go.
pub(crate) struct Spare<'a, T: Default> {
    home: &'a Spares<T>,
    inner: T,
}

impl<T: Default> Deref for Spare<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Default> DerefMut for Spare<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: Default> Drop for Spare<'_, T> {
    fn drop(&mut self) {
        let inner = std::mem::take(&mut self.inner);
        let mut spares = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < MOST_SPARES {
            spares.push(inner);
        }
    }
}

/// Turns text into the words that are indexed and searched, in one language or in each of several.
#[derive(Clone, Default)]
pub(crate) struct Analyzer {
    inner: Vec<TextAnalyzer>,
}

impl Analyzer {
    /// In the languages of a schema: which one a query is in is not known.
    pub(crate) fn of(schema: &Schema) -> Self {
        Self { inner: languages(schema).into_iter().map(analyzer).collect() }
    }

    pub(crate) fn in_language(language: Language) -> Self {
        Self { inner: vec![analyzer(language)] }
    }

    /// Calls `each` with every word, in order, repeated where the text repeats it. A word that two languages make alike comes once.
    pub(super) fn tokens(&mut self, text: &str, each: impl FnMut(&Token)) {
        let mut each = once_each(self.inner.len(), each);
        for inner in &mut self.inner {
            inner.token_stream(text).process(&mut |token| each(token));
        }
    }

    /// As [`Analyzer::tokens`], the words alone.
    pub(crate) fn words(&mut self, text: &str, mut each: impl FnMut(&str)) {
        self.tokens(text, |token| each(&token.text));
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

    /// Where a text has one of the words, or one that is wanted as it is written, in lower case; in bytes, ascending.
    pub(crate) fn places(
        &mut self,
        text: &str,
        wanted: &HashSet<String>,
        as_written: Option<&dyn Fn(&str) -> bool>,
    ) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        if let Some(is_wanted) = as_written {
            Self::in_language(Language::Neutral).tokens(text, |token| {
                places.extend(is_wanted(&token.text).then_some(token.offset_from..token.offset_to));
            });
        }
        let characters: Vec<char> = wanted.iter().filter_map(|word| lone(word)).collect();
        self.tokens(text, |token| {
            if wanted.contains(&token.text) {
                places.push(token.offset_from..token.offset_to);
            } else if !characters.is_empty() {
                // Of a pair, one may be wanted by itself.
                let written = text.get(token.offset_from..token.offset_to).unwrap_or_default();
                let wanted = written.char_indices().filter(|(_, c)| characters.contains(c));
                places.extend(wanted.map(|(at, c)| token.offset_from + at..token.offset_from + at + c.len_utf8()));
            }
        });
        places.sort_unstable_by_key(|place| (place.start, place.end));
        // Pairs of characters overlap.
        places.dedup_by(|next, last| {
            let touches = next.start < last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn english() -> Analyzer {
        Analyzer::in_language(Language::English)
    }

    #[test]
    fn words_lose_case_stop_words_and_endings() {
        let mut found = Vec::new();
        english().words("The Patents, of a Patent-holder; été", |word| found.push(word.to_owned()));
        assert_eq!(found, ["patent", "patent", "holder", "été"]);
    }

    #[test]
    fn words_are_found_where_they_stand_in_any_form() {
        let text = "Été: patents, and the PATENTED thing";
        let mut analyzer = english();
        let wanted = analyzer.set("patent été the");
        let mut found = |as_written: Option<&dyn Fn(&str) -> bool>| -> Vec<&str> {
            analyzer.places(text, &wanted, as_written).into_iter().map(|place| &text[place]).collect()
        };
        assert_eq!(found(None), ["Été", "patents", "PATENTED"]);
        assert_eq!(found(Some(&|word| word.starts_with("th"))), ["Été", "patents", "the", "PATENTED", "thing"]);
    }

    #[test]
    fn a_word_without_end_is_dropped() {
        let mut found = 0;
        english().words(&"x".repeat(100_000), |_| found += 1);
        assert_eq!(found, 0);
    }

    #[test]
    fn each_language_has_its_stems_and_neutral_text_none() {
        let mut german = Analyzer::in_language(Language::German);
        assert_eq!(german.set("die Häuser"), german.set("Haus Häusern").difference(&HashSet::new()).cloned().collect());
        assert_eq!(Analyzer::in_language(Language::Neutral).set("the Houses"), ["the", "houses"].map(str::to_owned).into());
    }

    #[test]
    fn a_query_is_read_in_every_language_of_the_schema() {
        let schema = Schema::builder().text("body").text_in("text", Language::German).build().unwrap();
        let words = Analyzer::of(&schema).set("Katzen running");
        for word in ["katz", "run"] {
            assert!(words.contains(word), "{words:?}");
        }
    }
}
