//! The second stage: the best passages of the first candidates, read with the query by the cross-encoder.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Search;
use super::first_stage::FirstStage;
use super::response::{Note, Passage, Response, Timings};
use crate::error::{Error, ModelError};
use crate::lexical::Analyzer;
use crate::model::{CrossEncoder, Pairs};
use crate::passage::{heading_for_models, with_heading};
use crate::schema::{FieldType, Value};
use crate::store::StoredPassage;

/// How the logits of a document's passages make the document's (Dai and Callan 2019, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DocumentLogit {
    /// The greatest, of the most promising passages (their MaxP).
    #[default]
    Best,
    /// The mean, of the most promising passages: for documents that should be about the matter throughout.
    Mean,
    /// That of the passage that the document begins with (their FirstP), which alone is then judged.
    First,
}

/// What became of one candidate.
#[derive(Clone, Default)]
pub(super) struct Verdict {
    /// The document's, made of `logits`.
    pub(super) logit: Option<f32>,
    /// The logit of each passage that was judged, the most promising passage first.
    pub(super) logits: Vec<f32>,
    /// The passage with the greatest logit, and that logit.
    winner: Option<(StoredPassage, f32)>,
}

/// The judging of the first `rerank` candidates, some passages at a time.
pub(super) struct Judging {
    pairs: Pairs,
    /// The candidate, and the place among its chosen passages, of each pair.
    owners: Vec<(usize, usize)>,
    chosen: Vec<Vec<StoredPassage>>,
    /// One for each candidate, in their order.
    pub(super) verdicts: Vec<Verdict>,
    document_logit: DocumentLogit,
    /// Passages that were judged, and those that were cut for it.
    judged: usize,
    truncated: usize,
}

impl Judging {
    /// Reads what is to be judged. What is most likely to matter comes first: the candidates' best passages in the first stage's
    /// order, then their second passages, and so on. `None` where there is nothing to judge.
    pub(super) fn begin(
        search: &Search<'_>,
        text: &str,
        stage: &FirstStage,
        response: &mut Response,
    ) -> Result<Option<Self>, Error> {
        let Some(judge) = search.judge.filter(|_| search.rerank > 0 && !stage.order.is_empty()) else { return Ok(None) };
        response.used(judge.device(), judge.identity().name());
        let begun = Instant::now();
        let numbers: Vec<u64> = stage.order.iter().take(search.rerank).map(|(number, _)| *number).collect();
        let headings = headings(search, judge, &numbers)?;
        let chosen = match search.document_logit {
            DocumentLogit::First => beginnings(search, &numbers)?,
            DocumentLogit::Best | DocumentLogit::Mean => choose(search, text, stage, &numbers, search.passages)?,
        };
        response.timings.read += begun.elapsed();

        let begun = Instant::now();
        let mut owners = Vec::new();
        for (candidate, passages) in chosen.iter().enumerate() {
            let filled = passages.iter().enumerate().filter(|(_, passage)| !passage.text.trim().is_empty());
            owners.extend(filled.map(|(at, _)| (candidate, at)));
        }
        let to_judge = owners.iter().map(|(candidate, _)| candidate).collect::<HashSet<_>>().len();
        owners.sort_by_key(|&(candidate, at)| (at, candidate));
        let input = |&(candidate, at): &(usize, usize)| {
            let passage: &StoredPassage = &chosen[candidate][at];
            let is_heading =
                search.snapshot.schema().field(&passage.field).is_some_and(|field| field.kind() == FieldType::Heading);
            let heading = if is_heading { "" } else { headings.get(candidate).map_or("", String::as_str) };
            with_heading(heading, &passage.text)
        };
        let pairs = match judge.pairs(text, owners.iter().map(input).collect()) {
            Ok(pairs) => pairs,
            Err(ModelError::QueryTooLong { tokens, most, .. }) => {
                response.notes.push(Note::NotJudged { tokens, most });
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        response.to_judge = to_judge;
        response.timings.judge += begun.elapsed();
        let verdicts = vec![Verdict::default(); numbers.len()];
        let document_logit = search.document_logit;
        Ok(Some(Self { pairs, owners, chosen, verdicts, document_logit, judged: 0, truncated: 0 }))
    }

    pub(super) fn finished(&self) -> bool {
        self.pairs.finished()
    }

    /// How long the next passage will take, as far as that is known.
    pub(super) fn next_takes(&self) -> Duration {
        self.pairs.next_takes()
    }

    /// Judges what `time` is enough for, or all that is left.
    pub(super) fn step(&mut self, time: Option<Duration>, timings: &mut Timings) -> Result<(), Error> {
        let begun = Instant::now();
        let judgements = self.pairs.judge(time)?;
        for (&(candidate, at), judgement) in self.owners[self.judged..].iter().zip(&judgements) {
            let verdict = &mut self.verdicts[candidate];
            verdict.logits.push(judgement.logit);
            if verdict.winner.as_ref().is_none_or(|(_, best)| judgement.logit > *best) {
                verdict.winner = Some((self.chosen[candidate][at].clone(), judgement.logit));
            }
            verdict.logit = match self.document_logit {
                DocumentLogit::Best | DocumentLogit::First => verdict.winner.as_ref().map(|(_, best)| *best),
                DocumentLogit::Mean => Some(verdict.logits.iter().sum::<f32>() / verdict.logits.len() as f32),
            };
        }
        self.judged += judgements.len();
        self.truncated += judgements.iter().filter(|judgement| judgement.truncated).count();
        timings.judge += begun.elapsed();
        Ok(())
    }

    /// Candidates that were judged, by one passage at least.
    pub(super) fn judged(&self) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.logit.is_some()).count()
    }

    /// That passages were cut, where some were.
    pub(super) fn note(&self) -> Option<Note> {
        (self.truncated > 0).then_some(Note::PassagesTruncated { count: self.truncated, of: self.judged })
    }
}

/// For each candidate to be shown, its best passage: by logit where it was judged, else by what the first stage knows.
pub(super) fn winning_passages(
    search: &Search<'_>,
    text: &str,
    stage: &FirstStage,
    verdicts: &[Verdict],
    shown: &[usize],
) -> Result<Vec<Option<Passage>>, Error> {
    let winner = |position: usize| verdicts.get(position).and_then(|verdict| Some(verdict.winner.as_ref()?.0.clone()));
    let open: Vec<u64> =
        shown.iter().filter(|&&position| winner(position).is_none()).map(|&position| stage.order[position].0).collect();
    let mut rest = choose(search, text, stage, &open, 1)?.into_iter();
    let mut analyzer = Analyzer::new();
    let words = analyzer.set(text);
    let passage = |position: &usize| {
        let stored = winner(*position).or_else(|| rest.next().and_then(|passages| passages.into_iter().next()));
        stored.filter(|stored| !stored.text.is_empty()).map(|stored| Passage {
            highlights: analyzer.places(&stored.text, &words),
            text: stored.text,
            field: stored.field,
            start: stored.start as usize,
            end: stored.end as usize,
        })
    };
    Ok(shown.iter().map(passage).collect())
}

/// The `most` most promising passages of each document, best first: by similarity where the query is a vector, else by how
/// many of its words they hold.
fn choose(
    search: &Search<'_>,
    text: &str,
    stage: &FirstStage,
    documents: &[u64],
    most: usize,
) -> Result<Vec<Vec<StoredPassage>>, Error> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let table = search.snapshot.passages()?;
    let read = |positions: &[usize]| -> Result<HashMap<usize, StoredPassage>, Error> {
        let passages = search.snapshot.store().read_passages(&table.index, positions)?;
        Ok(positions.iter().copied().zip(passages).collect())
    };
    let (chosen, texts) = match &stage.similarities {
        Some(similarities) => {
            let score = |position: usize| similarities.get(position).copied().unwrap_or(f32::MIN);
            let chosen: Vec<Vec<usize>> = documents.iter().map(|&document| table.best_of(document, most, score)).collect();
            let texts = read(&chosen.concat())?;
            (chosen, texts)
        }
        None => {
            let texts = read(&documents.iter().flat_map(|&document| table.of_document(document)).collect::<Vec<_>>())?;
            let overlaps = overlaps(text, &texts);
            let score = |position: usize| overlaps.get(&position).copied().unwrap_or(0.0);
            (documents.iter().map(|&document| table.best_of(document, most, score)).collect(), texts)
        }
    };
    let passage = |position: &usize| texts.get(position).cloned();
    Ok(chosen.iter().map(|positions| positions.iter().filter_map(passage).collect()).collect())
}

/// The passage that each document begins with.
fn beginnings(search: &Search<'_>, documents: &[u64]) -> Result<Vec<Vec<StoredPassage>>, Error> {
    let table = search.snapshot.passages()?;
    let first: Vec<Option<usize>> = documents.iter().map(|&document| table.of_document(document).next()).collect();
    let found: Vec<usize> = first.iter().flatten().copied().collect();
    let mut texts = search.snapshot.store().read_passages(&table.index, &found)?.into_iter();
    Ok(first.iter().map(|position| position.and_then(|_| texts.next()).into_iter().collect()).collect())
}

/// How many different words of the query each passage holds.
fn overlaps(query: &str, passages: &HashMap<usize, StoredPassage>) -> HashMap<usize, f32> {
    let mut analyzer = Analyzer::new();
    let wanted = analyzer.set(query);
    let mut overlap = |text: &str| {
        let mut found = HashSet::new();
        analyzer.words(text, |word| {
            if let Some(word) = wanted.get(word) {
                found.insert(word.clone());
            }
        });
        found.len() as f32
    };
    passages.iter().map(|(&position, passage)| (position, overlap(&passage.text))).collect()
}

/// The headings of documents, joined as they were for the encoder.
fn headings(search: &Search<'_>, judge: &CrossEncoder, numbers: &[u64]) -> Result<Vec<String>, Error> {
    let names: Vec<&str> = search.snapshot.schema().names_of(FieldType::Heading).collect();
    let rows = search.snapshot.store().read_documents(search.snapshot.documents()?, numbers, &names)?;
    let join = |values: Vec<(String, Value)>| {
        values
            .iter()
            .filter_map(|(_, value)| value.as_text())
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let join = |values| heading_for_models(&join(values), judge.counter()).to_owned();
    Ok(rows.into_iter().map(join).collect())
}
