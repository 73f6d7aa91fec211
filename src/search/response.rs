//! An answer, and what is known about it.

use std::fmt;
use std::time::Duration;

use super::{Mode, json};
use crate::model::Device;
use crate::query::Ignored;
use crate::rank::Explanation;
use crate::schema::Value;

/// The answer to a search.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response {
    /// The query as it was asked.
    pub query: String,
    /// Which legs the first stage had.
    pub mode: Mode,
    /// Where the models ran, the cross-encoder where it judged and else the encoder; `None` when no model ran.
    pub device: Option<String>,
    /// The generation that was searched.
    pub generation: u64,
    /// What each step took.
    pub timings: Timings,
    /// How many documents the first stage kept; see [`Search::candidates`](super::Search::candidates).
    pub candidates: usize,
    /// How many of them the cross-encoder was to judge: the first `rerank` that have text.
    pub to_judge: usize,
    /// How many of them it judged, by one passage at least; fewer where time ran out or the search was cancelled.
    pub judged: usize,
    /// How many passages of theirs it was to judge ([`Search::passages_per_document`](super::Search::passages_per_document)).
    pub passages_to_judge: usize,
    /// How many of them it judged, or had judged before; fewer where time ran out or the search was cancelled.
    pub passages_judged: usize,
    /// How many passages' logits were known from earlier searches ([`Search::logit_cache`](super::Search::logit_cache)).
    pub from_cache: usize,
    /// How many documents match the words and the filter, where [`Search::count_total`](super::Search::count_total) or a facet asked for it. Of a
    /// search with vectors that is no total of what could be shown: by meaning, every document that meets the filter is
    /// near, more or less.
    pub total: Option<u64>,
    /// The counts that [`Search::facet`](super::Search::facet) asked for, in that order.
    pub facets: Vec<Facet>,
    /// What weakened the answer, if anything did.
    pub notes: Vec<Note>,
    /// The hits, best first.
    pub hits: Vec<Hit>,
}

/// How often each value of a field is there among the documents that match the words and the filter.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Facet {
    /// The field.
    pub field: String,
    /// Values with the number of documents that have them, most frequent first, equally frequent ones ascending.
    pub values: Vec<(Value, u64)>,
    /// Documents without a value.
    pub without: u64,
}

/// What each step of a search took. Words and vectors run at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Which documents meet the filter.
    pub filter: Duration,
    /// The query's vector.
    pub encode: Duration,
    /// BM25.
    pub lexical: Duration,
    /// The vectors.
    pub semantic: Duration,
    /// Joining the two lists.
    pub fuse: Duration,
    /// Counting matches and their values.
    pub count: Duration,
    /// Reading keys, passages and fields; the first search of a snapshot reads most.
    pub read: Duration,
    /// The cross-encoder.
    pub judge: Duration,
    /// All of it.
    pub total: Duration,
}

/// Something that weakened an answer without making it wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A model ran on the CPU because its device could not be opened, or failed.
    DeviceFallback {
        /// The model.
        model: String,
        /// Why.
        reason: String,
    },
    /// The encoder read only the beginning of the query.
    QueryTruncated {
        /// The tokens that it reads.
        most: usize,
    },
    /// A piece of the query could not be taken as it stands: an operator that is none, a required stop word, words beyond the
    /// most that are looked for.
    QueryIgnored(Ignored),
    /// The query leaves the cross-encoder no room for a passage, so nothing was judged.
    NotJudged {
        /// The query's tokens.
        tokens: usize,
        /// The most that can be judged.
        most: usize,
    },
    /// The deadline came before everything was judged.
    DeadlineReached {
        /// Candidates that were judged, by one passage at least.
        judged: usize,
        /// Of how many.
        of: usize,
        /// Passages of theirs that were judged.
        passages: usize,
        /// Of how many.
        of_passages: usize,
    },
    /// The search was cancelled before everything was judged.
    Cancelled {
        /// Candidates that were judged, by one passage at least.
        judged: usize,
        /// Of how many.
        of: usize,
        /// Passages of theirs that were judged.
        passages: usize,
        /// Of how many.
        of_passages: usize,
    },
    /// Some passages are longer than the cross-encoder reads, and of their windows not all were to be judged
    /// ([`Search::passages_per_document`](super::Search::passages_per_document)).
    WindowsLeft {
        /// Windows that were.
        read: usize,
        /// Of how many.
        of: usize,
    },
    /// The cross-encoder read only the beginning of some passages.
    PassagesTruncated {
        /// How many.
        count: usize,
        /// Of how many that were judged.
        of: usize,
    },
    /// Some documents' headings are longer than models read them before a passage: the cross-encoder reads their beginning, or, where that
    /// is one endless word, none of it.
    HeadingsCut {
        /// The documents.
        count: usize,
        /// Of how many that were to be judged.
        of: usize,
        /// The tokens of a heading that are read.
        most: usize,
    },
}

impl Note {
    /// What sort of note it is, without its figures.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DeviceFallback { .. } => "a model ran on the CPU in place of its device",
            Self::QueryTruncated { .. } => "the encoder read only the beginning of the query",
            Self::QueryIgnored(_) => "a piece of the query could not be taken as it stands",
            Self::NotJudged { .. } => "the query was too long to be judged",
            Self::DeadlineReached { .. } => "the deadline came before everything was judged",
            Self::Cancelled { .. } => "the search was cancelled before everything was judged",
            Self::WindowsLeft { .. } => "passages longer than the cross-encoder reads were not judged throughout",
            Self::PassagesTruncated { .. } => "the cross-encoder read only the beginning of some passages",
            Self::HeadingsCut { .. } => "the cross-encoder read only the beginning of some headings",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceFallback { model, reason } => write!(f, "{model} runs on the CPU: {reason}"),
            Self::QueryTruncated { most } => {
                write!(f, "the query is longer than the {most} tokens that the encoder reads; it read the beginning")
            }
            Self::QueryIgnored(ignored) => ignored.fmt(f),
            Self::NotJudged { tokens, most } => {
                write!(
                    f,
                    "the query has {tokens} tokens and the cross-encoder judges with queries of up to {most}; nothing was judged"
                )
            }
            Self::DeadlineReached { judged, of, passages, of_passages } => {
                write!(
                    f,
                    "the deadline came when {judged} of {of} candidates were judged, by {passages} of {of_passages} passages"
                )
            }
            Self::Cancelled { judged, of, passages, of_passages } => {
                write!(
                    f,
                    "the search was cancelled when {judged} of {of} candidates were judged, by {passages} of {of_passages} passages"
                )
            }
            Self::WindowsLeft { read, of } => {
                write!(f, "of passages longer than the cross-encoder reads, {read} of {of} windows were to be judged")
            }
            Self::PassagesTruncated { count, of } => {
                write!(f, "the cross-encoder read only the beginning of {count} of {of} passages")
            }
            Self::HeadingsCut { count, of, most } => {
                write!(f, "of the headings of {count} of {of} documents the cross-encoder reads at most the first {most} tokens")
            }
        }
    }
}

/// The place and score that one stage gave a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageRank {
    /// From 1.
    pub rank: usize,
    /// BM25 for words, the best passage's nearness by their metric for vectors, the fusion's score for both.
    pub score: f32,
}

/// What the cross-encoder said of a document.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Judged {
    /// The place among the judged, from 1.
    pub rank: usize,
    /// The document's logit: its best passage's, unless [`Search::document_logit`](super::Search::document_logit) says otherwise.
    pub logit: f32,
    /// The logit of each passage that was judged, the most promising passage of the first stage first.
    pub logits: Vec<f32>,
}

/// A stretch of a document's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The text.
    pub text: String,
    /// The field that it is from.
    pub field: String,
    /// Where it begins in that field's text, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
    /// Where `text` has words of the query, in any of their forms, and words that its beginnings (`obvi*`) and its words with
    /// errors (`obvios~`) ask for; byte ranges of `text`, ascending.
    pub highlights: Vec<std::ops::Range<usize>>,
}

/// A document that was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// The document's key.
    pub key: String,
    /// The place in the final order, from 1.
    pub rank: usize,
    /// What decided the place: the final order's score where the document was judged (see [`FinalOrder`](super::FinalOrder)), and
    /// else the first stage's. The two are not comparable.
    pub score: f32,
    /// BM25's word; `None` where that leg did not find it.
    pub lexical: Option<StageRank>,
    /// The vectors' word; `None` where that leg did not find it.
    pub semantic: Option<StageRank>,
    /// The place after fusion; `None` where there was but one leg.
    pub fused: Option<StageRank>,
    /// The cross-encoder's word; `None` where it was not asked.
    pub rerank: Option<Judged>,
    /// The passage with the best logit, or the one nearest to the query where none was judged; `None` for a document without
    /// text.
    pub passage: Option<Passage>,
    /// The document's values, in the order of the schema.
    pub fields: Vec<(String, Value)>,
    /// Where `score` comes from, where [`Search::explain`](super::Search::explain) asked for it.
    pub explanation: Option<Explanation>,
}

impl Hit {
    /// The place and score before the judge: of the fusion, or of the one leg that there was.
    pub fn first_stage(&self) -> Option<StageRank> {
        self.fused.or(self.lexical).or(self.semantic)
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The text of a field; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.field(name).and_then(Value::as_text).unwrap_or_default()
    }
}

impl Response {
    /// An answer without hits yet.
    pub(super) fn new(query: &str, mode: Mode, generation: u64) -> Self {
        Self {
            query: query.to_owned(),
            mode,
            device: None,
            generation,
            timings: Timings::default(),
            candidates: 0,
            to_judge: 0,
            judged: 0,
            passages_to_judge: 0,
            passages_judged: 0,
            from_cache: 0,
            total: None,
            facets: Vec::new(),
            notes: Vec::new(),
            hits: Vec::new(),
        }
    }

    /// The response as one JSON object, the same that the command line prints:
    ///
    /// `{"query", "mode", "device", "generation", "timings_ms": {..}, "candidates", "to_judge", "judged", "from_cache", "total":
    /// n or null, "facets": [{"field", "values": [{"value", "count"}], "without"}], "notes": [..], "hits": [{"key", "rank",
    /// "score", "lexical": {"rank", "score"} or null, "semantic": .., "fused": .., "rerank": {"rank", "logit", "logits": [..]} or
    /// null, "passage": {"text", "field", "start", "end", "highlights": [[start, end], ..], "snippet": {"text", "highlights",
    /// "cut_before", "cut_after"}} or null, "fields": {..}}]}`, and in hits that were explained `"explanation": {"what", "value",
    /// "combination", "details": [..]}`. Highlights are bytes of the text beside them, the end excluded; the snippet has at most
    /// [`Passage::SNIPPET`] characters.
    pub fn to_json(&self) -> String {
        json::response(self).to_string()
    }

    /// Notes where a model ran, and why it had to be on the CPU, if it had to.
    pub(super) fn used(&mut self, device: &Device, model: &str, fallback: Option<&str>) {
        let Some(reason) = fallback else {
            self.device = Some(device.info().to_string());
            return;
        };
        self.device = Some(Device::cpu().info().to_string());
        let note = Note::DeviceFallback { model: model.to_owned(), reason: reason.to_owned() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_says_that_the_cpu_stood_in_for_a_gpu() {
        let mut response = Response::new("", Mode::Hybrid, 0);
        let device = Device::in_place_of("Radeon", "no memory");
        response.used(&device, "the judge", device.fallback());
        response.used(&device, "the judge", device.fallback());
        assert_eq!(response.device.as_deref(), Some("cpu"));
        assert!(
            matches!(&response.notes[..], [Note::DeviceFallback { model, reason }] if model == "the judge" && reason.contains("Radeon"))
        );
        let json = response.to_json();
        assert!(json.contains("the judge runs on the CPU") && json.contains("no memory"), "{json}");
    }
}
