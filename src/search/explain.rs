//! Why a hit is where it is: one tree from the final score down to words, ranks and logits.

use super::first_stage::FirstStage;
use super::judge::{DocumentLogit, Verdict};
use super::question::Question;
use super::{Mode, Search};
use crate::error::Error;
use crate::rank::{Combination, Explanation, Fusion, Leg, NOISE, Tempering, Term};
use crate::schema::Metric;

/// What is the same for all hits of a search.
pub(super) struct Explainer<'a> {
    search: &'a Search<'a>,
    question: &'a Question,
    stage: &'a FirstStage,
    tempering: Option<Tempering>,
}

impl<'a> Explainer<'a> {
    pub(super) fn new(search: &'a Search<'a>, question: &'a Question, stage: &'a FirstStage, verdicts: &[Verdict]) -> Self {
        Self { search, question, stage, tempering: search.order.tempering(&stage.judged(verdicts)) }
    }

    /// The tree of the candidate at a position.
    pub(super) fn explain(&self, position: usize, verdict: Option<&Verdict>, score: f32) -> Result<Explanation, Error> {
        let (number, first) = self.stage.order[position];
        let found = self.first_stage(number, first)?;
        let judged = verdict.filter(|verdict| verdict.logit.is_some());
        let decided = match (judged.map(|verdict| self.logit(verdict)), &self.tempering) {
            (None, _) => Explanation::of("not judged: the first stage's score", Combination::Sum, vec![found]),
            (Some(logit), None) => Explanation::of("judged: the logit", Combination::Sum, vec![logit]).with_source(found),
            (Some(logit), Some(Tempering { mean, deviation, share })) => {
                let above = Explanation::of(
                    "the first stage's score less the mean of the judged",
                    Combination::Sum,
                    vec![found, Explanation::given("the mean, taken away", -*mean as f32)],
                );
                let z = Explanation::of(
                    "in standard deviations of the judged",
                    Combination::Product,
                    vec![above, Explanation::given("1 / standard deviation", (1.0 / deviation) as f32)],
                );
                let tempered = Explanation::of(
                    "what the first stage adds",
                    Combination::Product,
                    vec![Explanation::given(format!("{NOISE} / standard deviation of the logits"), *share as f32), z],
                );
                Explanation::of("judged: the logit, tempered by the first stage", Combination::Sum, vec![logit, tempered])
            }
        };
        let conditions = self.question.filter.iter().chain(&self.question.required).map(meets);
        Ok(decided.with(conditions).valued(score))
    }

    fn logit(&self, verdict: &Verdict) -> Explanation {
        let (combination, what) = match self.search.document_logit {
            DocumentLogit::Mean => (Combination::Mean, "the mean logit of the judged passages"),
            DocumentLogit::Best | DocumentLogit::First => (Combination::Greatest, "the logit of the best passage"),
        };
        let passage = |(at, logit): (usize, f32)| Explanation::given(format!("logit of passage {}", at + 1), logit);
        Explanation::of(what, combination, verdict.logits().into_iter().enumerate().map(passage).collect())
    }

    fn first_stage(&self, number: u64, score: f32) -> Result<Explanation, Error> {
        Ok(match self.stage.mode {
            Mode::Lexical => self.words(number, score)?,
            Mode::Semantic => self.similarity(score),
            Mode::Hybrid => {
                let fused = self.stage.fused.get(&number);
                let mut shares = Vec::new();
                if let Some(term) = fused.and_then(|fused| fused.words.as_ref()) {
                    shares.push(self.share(Leg::Words, term, self.words(number, term.score)?));
                }
                if let Some(term) = fused.and_then(|fused| fused.vectors.as_ref()) {
                    shares.push(self.share(Leg::Vectors, term, self.similarity(term.score)));
                }
                Explanation::of("the fused score", Combination::Sum, shares).valued(score)
            }
        })
    }

    fn share(&self, leg: Leg, term: &Term, source: Explanation) -> Explanation {
        let value = match self.search.fusion {
            Fusion::ReciprocalRank { k, .. } => format!("1 / ({k} + rank)"),
            Fusion::Convex { .. } if leg == Leg::Words => "the score's share of the greatest of its list".to_owned(),
            Fusion::Convex { .. } | Fusion::MinMax { .. } => {
                "the score between the least and the greatest of its list".to_owned()
            }
            Fusion::Distribution { .. } => "the score between three deviations below and above the mean of its list".to_owned(),
        };
        let rank = Explanation::given("rank in its list", term.rank as f32);
        let value = Explanation::given(value, term.value).with([rank, source]);
        let what = match leg {
            Leg::Words => "the words' share",
            Leg::Vectors => "the vectors' share",
        };
        Explanation::of(what, Combination::Product, vec![Explanation::given("weight", term.weight), value])
    }

    fn words(&self, number: u64, score: f32) -> Result<Explanation, Error> {
        if let Some((field, descending)) = &self.search.sort {
            let order = if *descending { "greatest" } else { "least" };
            return Ok(Explanation::given(format!("ordered by {field}, the {order} first"), score));
        }
        let snapshot = self.search.snapshot;
        let documents = snapshot.documents()?;
        let tree = snapshot.words()?.explain(&self.question.tree, number, &|key| documents.number(key))?;
        Ok(tree.unwrap_or_else(|| Explanation::given("no word matches", 0.0)).valued(score))
    }

    fn similarity(&self, score: f32) -> Explanation {
        let how = if self.stage.compared_all { "all were compared" } else { "those that codes named were compared" };
        let measure = match self.search.snapshot.metric() {
            Metric::Cosine => "cosine with",
            Metric::Dot => "inner product with",
            Metric::Euclidean => "square of the distance, with a minus, to",
        };
        Explanation::given(format!("{measure} the nearest passage, exact; {how}"), score)
    }
}

fn meets(restriction: &crate::query::Filter) -> Explanation {
    Explanation::given(format!("meets {restriction}"), 0.0)
}

impl Explanation {
    /// What was known before the judge, which its logit takes the place of.
    fn with_source(mut self, source: Self) -> Self {
        if let Some(first) = self.details.first_mut() {
            let weight = Self::given("no weight", 0.0);
            let none = Self::of("the first stage, which does not count here", Combination::Product, vec![weight, source]);
            let logit = std::mem::replace(first, none);
            self.details.insert(0, logit);
        }
        self
    }
}
