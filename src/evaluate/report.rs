//! What an evaluation found.

use std::fmt;
use std::time::Duration;

use super::significance::{bootstrap, mean};
use super::{Comparison, Depth, Interval, Metric, Qrels, Run, json};
use crate::model::{Device, ModelIdentity, Precision};
use crate::rank::{FinalOrder, Fusion};

/// A stage of a search, measured as if it were the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// BM25 alone.
    Lexical,
    /// The vectors alone.
    Semantic,
    /// Both, fused.
    Fused,
    /// The final order, after the cross-encoder.
    Reranked,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lexical => "lexical",
            Self::Semantic => "semantic",
            Self::Fused => "fused",
            Self::Reranked => "reranked",
        })
    }
}

/// One stage: its rankings, their worth, and what they cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StageReport {
    /// Which stage.
    pub stage: Stage,
    /// What it found for each query.
    pub run: Run,
    /// The value of each measure of [`Metric::STANDARD`] for each query, in the order of [`Report::queries`].
    pub values: Vec<[f64; Metric::STANDARD.len()]>,
    /// How long each query took from its text to its hits' keys, with every stage before this one.
    pub times: Vec<Duration>,
}

impl StageReport {
    /// Measures a run. `queries` are the identifiers that count; one that the run does not answer is worth nothing.
    pub(super) fn new(stage: Stage, run: Run, times: Vec<Duration>, queries: &[String], qrels: &Qrels) -> Self {
        let values = queries.iter().map(|query| measure(&run, query, qrels)).collect();
        Self { stage, run, values, times }
    }

    /// The mean of a measure over all queries; it must be one of [`Metric::STANDARD`], any other gives NaN.
    pub fn mean(&self, metric: Metric) -> f64 {
        self.column(metric).map_or(f64::NAN, |column| mean(&column))
    }

    /// The same with its confidence interval; `None` for a measure outside [`Metric::STANDARD`].
    pub fn interval(&self, metric: Metric) -> Option<Interval> {
        self.column(metric).map(|column| bootstrap(&column))
    }

    /// The time that so many of a hundred queries stayed within (nearest rank); zero without a query.
    pub fn percentile(&self, percent: f64) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let rank = (percent / 100.0 * times.len() as f64).ceil() as usize;
        times.get(rank.clamp(1, times.len().max(1)) - 1).copied().unwrap_or_default()
    }

    fn column(&self, metric: Metric) -> Option<Vec<f64>> {
        let at = Metric::STANDARD.iter().position(|other| *other == metric)?;
        Some(self.values.iter().map(|values| values[at]).collect())
    }
}

/// The measures of one query's ranking.
pub(super) fn measure(run: &Run, query: &str, qrels: &Qrels) -> [f64; Metric::STANDARD.len()] {
    let grades = qrels.grades(query);
    Metric::STANDARD.map(|metric| grades.map_or(0.0, |grades| metric.of(run.ranking(query), grades)))
}

/// The choices that the figures of a report depend on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Documents that each leg of the first stage found at most, and the depth of the rankings.
    pub candidates: usize,
    /// Documents that were judged at most; 0 where there was no cross-encoder.
    pub rerank: usize,
    /// Passages of a document that were judged at most.
    pub passages: usize,
    /// How the two lists of the first stage became one.
    pub fusion: Fusion,
    /// How the judge's word counted.
    pub order: FinalOrder,
    /// The model of the vectors, and where it ran; `None` where it had no part.
    pub encoder: Option<ModelUse>,
    /// The cross-encoder, and where it ran; `None` where nothing was judged.
    pub judge: Option<ModelUse>,
}

/// A model as it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelUse {
    /// Which model.
    pub model: ModelIdentity,
    /// Where it ran.
    pub device: String,
    /// What it computed in there.
    pub precision: Precision,
}

impl ModelUse {
    pub(super) fn new(model: &ModelIdentity, device: &Device) -> Self {
        Self { model: model.clone(), device: device.info().to_string(), precision: device.precision() }
    }
}

/// What an evaluation found; made by [`Evaluation::run`](super::Evaluation::run).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The identifiers of the queries that count: asked, and with a relevant judgement.
    pub queries: Vec<String>,
    /// Queries that were left out because no judged document of theirs is relevant.
    pub without_relevant: usize,
    /// Queries that were left out because nobody judged anything for them.
    pub without_judgement: usize,
    /// Queries that have judgements and were not given.
    pub without_text: usize,
    /// Judgements, over all queries, of documents that the index does not have. They count as not found, unless they were left out.
    pub absent_judgements: usize,
    /// Whether those were left out.
    pub absent_left_out: bool,
    /// Judgements of the queries that count, as far as they were used.
    pub judgements: usize,
    /// How it was measured.
    pub settings: Settings,
    /// The stages that the index and the models allow, in their order.
    pub stages: Vec<StageReport>,
    /// What fewer judged candidates would have given; empty where none were judged.
    pub depths: Vec<Depth>,
    /// The last stage against the one before it, or against another run.
    pub comparison: Option<Comparison>,
    /// What weakened answers, each with the number of searches, over all stages, that it was said of.
    pub notes: Vec<(String, usize)>,
}

impl Report {
    /// A stage, where it was measured.
    pub fn stage(&self, stage: Stage) -> Option<&StageReport> {
        self.stages.iter().find(|report| report.stage == stage)
    }

    /// The report as one JSON object: `{"queries": n, "settings": {"candidates", "rerank", "passages", "fusion": {"method", "words", "vectors"},
    /// "order", "encoder", "judge"}, "stages": {"lexical": {"ndcg@10", "recall@100", "mrr@10", "map", "success@5",
    /// "p50_ms", "p95_ms", "intervals": {"ndcg@10": [low, high], ..}}, ..}, "depths": [{"rerank", "ndcg@10", "interval",
    /// "passages", "estimated_ms"}, ..], "comparison": {..} or null, ..}`
    pub fn to_json(&self) -> String {
        json::report(self).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_seen() {
        let report = |ms: &[u64]| {
            let times = ms.iter().map(|&ms| Duration::from_millis(ms)).collect();
            StageReport::new(Stage::Fused, Run::default(), times, &[], &Qrels::default())
        };
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(report(&hundred).percentile(50.0), Duration::from_millis(50));
        assert_eq!(report(&hundred).percentile(95.0), Duration::from_millis(95));
        assert_eq!(report(&[7]).percentile(95.0), Duration::from_millis(7));
        assert_eq!(report(&[]).percentile(50.0), Duration::ZERO);
    }
}
