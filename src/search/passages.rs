//! Which of a document's passages are judged and shown, and where their texts are.

use std::collections::{HashMap, HashSet};

use super::first_stage::FirstStage;
use super::judge::Verdict;
use super::pattern::Pattern;
use super::response::Passage;
use super::{Search, Snapshot};
use crate::error::Error;
use crate::lexical::{Analyzer, Spare};
use crate::schema::{Language, Value};
use crate::store::StoredPassage;

/// Where the texts of passages are.
pub(super) enum Texts<'a> {
    /// In their table; with their tokens where those are of that vocabulary.
    Stored(Option<&'a str>),
    /// In the fields of their documents, which were read; one list for each document.
    Within(Vec<&'a [(String, Value)]>),
}

impl Texts<'_> {
    /// Passages of documents, each with the place of its document in the list.
    fn read(&self, snapshot: &Snapshot, wanted: &[(usize, usize)]) -> Result<Vec<StoredPassage>, Error> {
        let table = snapshot.passages()?;
        let stored = |vocabulary| {
            let places: Vec<_> = wanted.iter().map(|&(_, position)| table.place(position)).collect();
            Ok(snapshot.store().read_texts(&places, vocabulary)?)
        };
        match self {
            Self::Stored(vocabulary) => stored(*vocabulary),
            Self::Within(documents) => {
                let schema = snapshot.schema();
                let slice = |&(document, position): &(usize, usize)| {
                    let (_, span) = table.place(position);
                    // Of a vector without a text.
                    if span.is_empty() {
                        return Some(StoredPassage::default());
                    }
                    let field = schema.fields().get(span.field as usize)?;
                    let (_, value) = documents.get(document)?.iter().find(|(name, _)| name == field.name())?;
                    let text = value.as_text()?.get(span.start as usize..span.end as usize)?.to_owned();
                    Some(StoredPassage { field: field.name().to_owned(), start: span.start, end: span.end, text, tokens: None })
                };
                // What is not in the text that should have it is for the table to tell.
                wanted.iter().map(slice).collect::<Option<Vec<_>>>().map_or_else(|| stored(None), Ok)
            }
        }
    }
}

/// For each candidate to be shown, its best passage: by logit where it was judged, else by what the first stage knows. `fields` has all texts of
/// each of them, where those were read.
pub(super) fn winning_passages(
    search: &Search<'_>,
    text: &str,
    stage: &FirstStage,
    verdicts: &[Verdict],
    shown: &[usize],
    fields: Option<&[Vec<(String, Value)>]>,
) -> Result<Vec<Option<Passage>>, Error> {
    let winner = |position: usize| verdicts.get(position).and_then(|verdict| verdict.winner.clone());
    let open: Vec<usize> = (0..shown.len()).filter(|&at| winner(shown[at]).is_none()).collect();
    let numbers: Vec<u64> = open.iter().map(|&at| stage.order[shown[at]].0).collect();
    let texts = match fields {
        Some(fields) => Texts::Within(open.iter().filter_map(|&at| fields.get(at)).map(Vec::as_slice).collect()),
        None => Texts::Stored(None),
    };
    let mut rest = choose(search, text, stage, &numbers, 1, &texts)?.into_iter();
    let mut analyzer = search.snapshot.analyzer();
    let words = analyzer.set(text);
    let is_met = |word: &str| stage.patterns.iter().any(|pattern| pattern.is_met(word));
    let as_written: Option<&dyn Fn(&str) -> bool> = if stage.patterns.is_empty() { None } else { Some(&is_met) };
    let passage = |position: &usize| {
        let stored = winner(*position).or_else(|| rest.next().and_then(|passages| passages.into_iter().next()));
        stored.filter(|stored| !stored.text.is_empty()).map(|stored| Passage {
            highlights: analyzer.places(&stored.text, &words, as_written),
            text: stored.text,
            field: stored.field,
            start: stored.start as usize,
            end: stored.end as usize,
        })
    };
    Ok(shown.iter().map(passage).collect())
}

/// The `most` most promising passages of each document, best first: by similarity where the query is a vector, else by how
/// many of its words, beginnings and words that are nearly another they hold.
pub(super) fn choose(
    search: &Search<'_>,
    text: &str,
    stage: &FirstStage,
    documents: &[u64],
    most: usize,
    texts: &Texts<'_>,
) -> Result<Vec<Vec<StoredPassage>>, Error> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let table = search.snapshot.passages()?;
    let read = |chosen: &[Vec<usize>]| -> Result<HashMap<usize, StoredPassage>, Error> {
        let of_document =
            |(document, positions): (usize, &Vec<usize>)| positions.iter().map(move |&at| (document, at)).collect::<Vec<_>>();
        let wanted: Vec<(usize, usize)> = chosen.iter().enumerate().flat_map(of_document).collect();
        let passages = texts.read(search.snapshot, &wanted)?;
        Ok(wanted.into_iter().map(|(_, position)| position).zip(passages).collect())
    };
    let (chosen, texts) = match &stage.direction {
        Some(direction) => {
            let fields = search.vector_places();
            let score = |position: usize| {
                let (_, span) = table.place(position);
                let has_text = !span.is_empty();
                // One from another field is not what the question is about, but better than nothing to read.
                let asked = fields.as_ref().is_none_or(|fields| fields.contains(&span.field));
                (u8::from(has_text) + u8::from(has_text && asked), table.similarity(position, direction))
            };
            let chosen: Vec<Vec<usize>> = documents.iter().map(|&document| table.best_of(document, most, score)).collect();
            let texts = read(&chosen)?;
            (chosen, texts)
        }
        None => {
            let all: Vec<Vec<usize>> = documents.iter().map(|&document| table.of_document(document).collect()).collect();
            let texts = read(&all)?;
            let mut overlap = Overlap::new(search.snapshot, text, &stage.patterns);
            let overlaps: HashMap<usize, f32> =
                texts.iter().map(|(&position, passage)| (position, overlap.with(&passage.text))).collect();
            let score = |position: usize| (0, overlaps.get(&position).copied().unwrap_or(0.0));
            (documents.iter().map(|&document| table.best_of(document, most, score)).collect(), texts)
        }
    };
    let passage = |position: &usize| texts.get(position).cloned();
    Ok(chosen.iter().map(|positions| positions.iter().filter_map(passage).collect()).collect())
}

/// The passage that each document begins with.
pub(super) fn beginnings(search: &Search<'_>, documents: &[u64], vocabulary: &str) -> Result<Vec<Vec<StoredPassage>>, Error> {
    let table = search.snapshot.passages()?;
    let has_text = |position: &usize| !table.place(*position).1.is_empty();
    let first: Vec<Option<usize>> = documents.iter().map(|&document| table.of_document(document).find(has_text)).collect();
    let found: Vec<_> = first.iter().flatten().map(|&position| table.place(position)).collect();
    let mut texts = search.snapshot.store().read_texts(&found, Some(vocabulary))?.into_iter();
    Ok(first.iter().map(|position| position.and_then(|_| texts.next()).into_iter().collect()).collect())
}

/// How many different words of a query a text holds, and how many of its patterns.
pub(super) struct Overlap<'a> {
    analyzer: Spare<'a, Analyzer>,
    wanted: HashSet<String>,
    patterns: &'a [Pattern],
}

impl<'a> Overlap<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, query: &str, patterns: &'a [Pattern]) -> Self {
        let mut analyzer = snapshot.analyzer();
        Self { wanted: analyzer.set(query), analyzer, patterns }
    }

    pub(super) fn with(&mut self, text: &str) -> f32 {
        let mut found = HashSet::new();
        let mut met = vec![false; self.patterns.len()];
        self.analyzer.words(text, |word| {
            if let Some(word) = self.wanted.get(word) {
                found.insert(word.as_str());
            }
        });
        if !self.patterns.is_empty() {
            Analyzer::in_language(Language::Neutral).words(text, |word| {
                self.patterns.iter().zip(&mut met).for_each(|(pattern, met)| *met = *met || pattern.is_met(word));
            });
        }
        (found.len() + met.into_iter().filter(|met| *met).count()) as f32
    }
}
