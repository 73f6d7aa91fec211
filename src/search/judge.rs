//! The second stage: the best passages of the first candidates, read with the query by the cross-encoder.

use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::Search;
use super::first_stage::FirstStage;
use super::passages::{Overlap, Texts, beginnings, choose};
use super::response::{Note, Response, Timings};
use super::windows::Windows;
use crate::error::{Error, ModelError};
use crate::model::{CrossEncoder, Input, Pairs, Precision, Until};
use crate::passage::{HEADING_TOKENS, heading_for_models, with_heading};
use crate::schema::{FieldType, Value};
use crate::store::{LogitCache, LogitKey, LogitKeys, StoredPassage};

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

/// What the judge said of one passage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// Its place among those that were chosen of its document, the most promising one's being 0.
    pub(super) at: usize,
    pub(super) logit: f32,
    /// Where it is in the document.
    pub(super) field: String,
    pub(super) bytes: Range<u64>,
}

/// What became of one candidate.
#[derive(Clone, Default)]
pub(super) struct Verdict {
    /// The document's, made of those of its passages.
    pub(super) logit: Option<f32>,
    /// The passages that were judged, in the order of their promise.
    pub(super) said: Vec<Said>,
    /// The passage with the greatest logit.
    pub(super) winner: Option<StoredPassage>,
}

impl Verdict {
    fn add(&mut self, at: usize, logit: f32, passage: &StoredPassage, document_logit: DocumentLogit) {
        let before = self.said.partition_point(|said| said.at < at);
        // Of equal ones the more promising, whichever is known first.
        let better = |said: &Said| if said.at < at { said.logit < logit } else { said.logit <= logit };
        if self.said.iter().all(better) {
            self.winner = Some(passage.clone());
        }
        self.said.insert(before, Said { at, logit, field: passage.field.clone(), bytes: passage.start..passage.end });
        let logits = || self.said.iter().map(|said| said.logit);
        self.logit = match document_logit {
            DocumentLogit::Best | DocumentLogit::First => logits().reduce(f32::max),
            DocumentLogit::Mean => Some(logits().sum::<f32>() / self.said.len() as f32),
        };
    }

    /// The logit of each passage that was judged, the most promising passage first.
    pub(super) fn logits(&self) -> Vec<f32> {
        self.said.iter().map(|said| said.logit).collect()
    }
}

/// The judging of the first `rerank` candidates, some passages at a time.
pub(super) struct Judging<'a> {
    pairs: Pairs,
    judge: &'a CrossEncoder,
    /// Whether the judge's GPU had failed when this began.
    lost: bool,
    /// The candidate, and the place among its chosen passages, of each pair; and under what its logit is kept.
    owners: Vec<(usize, usize, Option<LogitKey>)>,
    numbers: Vec<u64>,
    cache: &'a LogitCache,
    chosen: Vec<Vec<StoredPassage>>,
    /// One for each candidate, in their order.
    pub(super) verdicts: Vec<Verdict>,
    document_logit: DocumentLogit,
    /// Passages that were begun, those of them that were judged, and those that were cut for it.
    begun: usize,
    judged: usize,
    truncated: usize,
    /// Passages whose logits were known.
    known: usize,
}

impl<'a> Judging<'a> {
    /// Reads what is to be judged. What is most likely to matter comes first: the candidates' best passages in the first stage's
    /// order, then their second passages, and so on. `None` where there is nothing to judge.
    pub(super) fn begin(
        search: &Search<'a>,
        text: &str,
        stage: &FirstStage,
        response: &mut Response,
    ) -> Result<Option<Self>, Error> {
        let Some(judge) = search.judge.filter(|_| search.rerank > 0 && !stage.order.is_empty()) else { return Ok(None) };
        response.used(judge.device(), judge.identity().name(), judge.fallback());
        let begun = Instant::now();
        let numbers: Vec<u64> = stage.order.iter().take(search.rerank).map(|(number, _)| *number).collect();
        let headings = match search.snapshot.passage_options().with_heading {
            true => headings(search, judge, &numbers)?,
            false => Vec::new(),
        };
        let chosen = match search.document_logit {
            DocumentLogit::First => beginnings(search, &numbers, judge.vocabulary())?,
            DocumentLogit::Best | DocumentLogit::Mean => {
                choose(search, text, stage, &numbers, search.passages, &Texts::Stored(Some(judge.vocabulary())))?
            }
        };
        response.timings.read += begun.elapsed();

        let begun = Instant::now();
        let mut pairs = match judge.pairs(text) {
            Ok(pairs) => pairs,
            Err(ModelError::QueryTooLong { tokens, most, .. }) => {
                response.notes.push(Note::NotJudged { tokens, most });
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let is_heading = |passage: &StoredPassage| {
            search.snapshot.schema().field(&passage.field).is_some_and(|field| field.kind() == FieldType::Heading)
        };
        let heading = |candidate: usize, passage: &StoredPassage| {
            if is_heading(passage) { "" } else { headings.get(candidate).map_or("", |heading| heading.text.as_str()) }
        };
        let chosen = readable(search, text, stage, chosen, heading, pairs.room(), response);

        let mut owners = Vec::new();
        for (candidate, passages) in chosen.iter().enumerate() {
            let filled = passages.iter().enumerate().filter(|(_, passage)| !passage.text.trim().is_empty());
            owners.extend(filled.map(|(at, _)| (candidate, at)));
        }
        let to_judge = owners.iter().map(|(candidate, _)| candidate).collect::<HashSet<_>>().len();
        response.passages_to_judge = owners.len();
        let in_part = |&&(candidate, at): &&(usize, usize)| {
            headings.get(candidate).is_some_and(|heading| heading.is_cut) && !is_heading(&chosen[candidate][at])
        };
        let cut = owners.iter().filter(in_part).map(|(candidate, _)| candidate).collect::<HashSet<_>>().len();
        if cut > 0 {
            response.notes.push(Note::HeadingsCut { count: cut, of: to_judge, most: HEADING_TOKENS });
        }
        owners.sort_by_key(|&(candidate, at)| (at, candidate));
        let cache = search.snapshot.logits();
        let lost = judge.is_lost();
        let precision = if lost { Precision::Int8 } else { judge.device().precision() };
        let keys = search.cache.then(|| LogitKeys::new(judge.identity(), &precision.arithmetic(), text));
        let mut verdicts = vec![Verdict::default(); numbers.len()];
        let (mut open, mut inputs) = (Vec::new(), Vec::new());
        for (candidate, at) in owners {
            let passage: &StoredPassage = &chosen[candidate][at];
            let read = || with_heading(heading(candidate, passage), &passage.text);
            let key = keys.as_ref().map(|keys| keys.key(&read()));
            if let Some(logit) = key.as_ref().and_then(|key| cache.get(key)) {
                verdicts[candidate].add(at, logit, passage, search.document_logit);
                response.from_cache += 1;
                continue;
            }
            open.push((candidate, at, key));
            inputs.push(match &passage.tokens {
                Some(tokens) if judge.knows(tokens) => Input::Tokens(tokens.clone()),
                _ => Input::Text(read()),
            });
        }
        pairs.add(inputs);
        response.to_judge = to_judge;
        response.timings.judge += begun.elapsed();
        let (owners, document_logit, known) = (open, search.document_logit, response.from_cache);
        let judging = Self {
            pairs,
            judge,
            lost,
            owners,
            numbers,
            cache,
            chosen,
            verdicts,
            document_logit,
            begun: 0,
            judged: 0,
            truncated: 0,
            known,
        };
        Ok(Some(judging))
    }

    pub(super) fn finished(&self) -> bool {
        self.pairs.finished()
    }

    /// Whether a batch was begun.
    pub(super) fn is_begun(&self) -> bool {
        self.begun > 0
    }

    /// Whether a batch was given up before it was done.
    pub(super) fn gave_up(&self) -> bool {
        self.judged < self.begun
    }

    /// How long the next passages will take, as far as that is known.
    pub(super) fn next_takes(&self) -> Duration {
        self.pairs.next_takes()
    }

    /// Judges what `time` is enough for, or all that is left; `until` says when what is not done is given up.
    pub(super) fn step(&mut self, time: Option<Duration>, until: Option<Until>, timings: &mut Timings) -> Result<(), Error> {
        let begun = Instant::now();
        let judgements = self.pairs.judge(time, until)?;
        // Keys name what the judge computed in when this began.
        let still = self.judge.is_lost() == self.lost;
        for ((candidate, at, key), judgement) in self.owners[self.begun..].iter().zip(&judgements) {
            let Some(judgement) = judgement else { continue };
            let passage = &self.chosen[*candidate][*at];
            self.verdicts[*candidate].add(*at, judgement.logit, passage, self.document_logit);
            self.judged += 1;
            self.truncated += usize::from(judgement.truncated);
            // One that was cut would have to be reported again.
            if let Some(key) = key.filter(|_| still && !judgement.truncated) {
                self.cache.put(self.numbers[*candidate], key, judgement.logit);
            }
        }
        self.begun += judgements.len();
        timings.judge += begun.elapsed();
        Ok(())
    }

    /// Keeps what was judged for later searches.
    pub(super) fn keep(&self) {
        self.cache.flush();
    }

    /// Candidates that were judged, by one passage at least.
    pub(super) fn judged(&self) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.logit.is_some()).count()
    }

    /// Passages that were judged, or whose logits were known.
    pub(super) fn passages_judged(&self) -> usize {
        self.known + self.judged
    }

    /// That passages were cut, where some were.
    pub(super) fn note(&self) -> Option<Note> {
        (self.truncated > 0).then_some(Note::PassagesTruncated { count: self.truncated, of: self.judged })
    }
}

/// What a progressive search has judged when it is left is paid for as well.
impl Drop for Judging<'_> {
    fn drop(&mut self) {
        self.keep();
    }
}

/// Passages as the judge can read them: those longer than `room` tokens by windows, as many as a document may spend.
fn readable<'h>(
    search: &Search<'_>,
    text: &str,
    stage: &FirstStage,
    chosen: Vec<Vec<StoredPassage>>,
    heading: impl Fn(usize, &StoredPassage) -> &'h str,
    room: usize,
    response: &mut Response,
) -> Vec<Vec<StoredPassage>> {
    let first = search.document_logit == DocumentLogit::First;
    let mut overlap = Overlap::new(search.snapshot, text, &stage.patterns);
    let promise = |window: &str| if first { 0.0 } else { overlap.with(window) };
    let mut windows = Windows { room, most: if first { 1 } else { search.passages }, promise, read: 0, left: 0 };
    let of_document =
        |(candidate, passages): (usize, Vec<StoredPassage>)| windows.of(passages, |passage| heading(candidate, passage));
    let readable = chosen.into_iter().enumerate().map(of_document).collect();
    if windows.left > 0 {
        response.notes.push(Note::WindowsLeft { read: windows.read, of: windows.read + windows.left });
    }
    readable
}

/// What of a document's headings is read before its passages.
struct ReadHeading {
    text: String,
    /// Whether that is the beginning only, or nothing of it.
    is_cut: bool,
}

/// The headings of documents, joined as they were for the encoder.
fn headings(search: &Search<'_>, judge: &CrossEncoder, numbers: &[u64]) -> Result<Vec<ReadHeading>, Error> {
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
    let read = |values| {
        let joined = join(values);
        let text = heading_for_models(&joined, judge.counter()).to_owned();
        ReadHeading { is_cut: text.len() < joined.len(), text }
    };
    Ok(rows.into_iter().map(read).collect())
}
