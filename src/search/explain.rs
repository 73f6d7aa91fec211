//! Why a hit is where it is: one tree from the final score down to words, ranks and logits.

use std::collections::HashMap;
use std::fmt::{self, Display, Write};

use super::first_stage::FirstStage;
use super::judge::{DocumentLogit, Said, Verdict};
use super::question::Question;
use super::{Mode, Search, StageRank};
use crate::error::Error;
use crate::query::Filter;
use crate::rank::{Combination, Explanation, Leg, NOISE, Scale, Tempering, Term};
use crate::schema::{Metric, Space};

/// Bytes of a condition or a value that an explanation shows: a filter may name a hundred thousand keys.
const LONGEST: usize = 200;

/// What is the same for all hits of a search.
pub(super) struct Explainer<'a> {
    search: &'a Search<'a>,
    question: &'a Question,
    stage: &'a FirstStage,
    tempering: Option<Tempering>,
    /// By what each leg's scores were measured, where they were fused.
    scales: Option<(Scale, Scale)>,
    /// What every hit meets.
    conditions: Vec<Explanation>,
}

impl<'a> Explainer<'a> {
    pub(super) fn new(search: &'a Search<'a>, question: &'a Question, stage: &'a FirstStage, verdicts: &[Verdict]) -> Self {
        let scale = |leg, list| search.fusion.scale(leg, &scores(list));
        let scales = || (scale(Leg::Words, &stage.lexical), scale(Leg::Vectors, &stage.semantic));
        let meets = |filter: &Filter| Explanation::aside(format!("meets {}", brief(filter)), 1.0);
        Self {
            search,
            question,
            stage,
            tempering: search.order.tempering(&stage.judged(verdicts)),
            scales: (stage.mode == Mode::Hybrid).then(scales),
            conditions: question.filter.iter().chain(&question.required).map(meets).collect(),
        }
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
        Ok(decided.with(self.conditions.iter().cloned()).valued(score))
    }

    fn logit(&self, verdict: &Verdict) -> Explanation {
        let (combination, what) = match self.search.document_logit {
            DocumentLogit::Mean => (Combination::Mean, "the mean logit of the judged passages"),
            DocumentLogit::Best | DocumentLogit::First => (Combination::Greatest, "the logit of the best passage"),
        };
        let passage = |Said { at, logit, field, bytes }: &Said| {
            let (start, end) = (bytes.start, bytes.end);
            Explanation::given(format!("logit of passage {}, bytes {start} to {end} of {field}", at + 1), *logit)
        };
        Explanation::of(what, combination, verdict.said.iter().map(passage).collect())
    }

    fn first_stage(&self, number: u64, score: f32) -> Result<Explanation, Error> {
        let place = |list: &HashMap<u64, StageRank>| list.get(&number).map(|place| rank(place.rank));
        Ok(match self.stage.mode {
            Mode::Lexical => self.words(number, score)?.with(place(&self.stage.lexical)),
            Mode::Semantic => self.similarity(score).with(place(&self.stage.semantic)),
            Mode::Hybrid => {
                let fused = self.stage.fused.get(&number);
                let mut shares = Vec::new();
                if let Some((of_words, of_vectors)) = &self.scales {
                    if let Some(term) = fused.and_then(|fused| fused.words.as_ref()) {
                        shares.push(share("the words' share", of_words, term, self.words(number, term.score)?));
                    }
                    if let Some(term) = fused.and_then(|fused| fused.vectors.as_ref()) {
                        shares.push(share("the vectors' share", of_vectors, term, self.similarity(term.score)));
                    }
                }
                Explanation::of("the fused score", Combination::Sum, shares).valued(score)
            }
        })
    }

    fn words(&self, number: u64, score: f32) -> Result<Explanation, Error> {
        let snapshot = self.search.snapshot;
        let documents = snapshot.documents()?;
        if let Some((field, descending)) = &self.search.sort {
            let order = if *descending { "greatest" } else { "least" };
            let rows = snapshot.store().read_documents(documents, &[number], &[field.as_str()])?;
            let value = rows.into_iter().flatten().find(|(name, _)| name == field);
            let value = value.map_or_else(|| "it has none".to_owned(), |(_, value)| format!("its value is {}", brief(value)));
            return Ok(Explanation::given(format!("ordered by {field}, the {order} first; {value}"), score));
        }
        let tree = snapshot.words()?.explain(&self.question.tree, number, &|key| documents.number(key))?;
        Ok(tree.unwrap_or_else(|| Explanation::given("no word matches", 0.0)).valued(score))
    }

    fn similarity(&self, score: f32) -> Explanation {
        let how = if self.stage.compared_all { "all were compared" } else { "those that codes named were compared" };
        let metric = self.search.vector_space().map_or(Metric::Cosine, Space::metric);
        let measure = match metric {
            Metric::Cosine => "cosine with",
            Metric::Dot => "inner product with",
            Metric::Euclidean => "square of the distance, with a minus, to",
        };
        Explanation::given(format!("{measure} the nearest passage, exact; {how}"), score)
    }
}

fn rank(rank: usize) -> Explanation {
    Explanation::aside("rank in its list", rank as f32)
}

/// The scores of a list, in its order.
fn scores(list: &HashMap<u64, StageRank>) -> Vec<f32> {
    let mut places: Vec<&StageRank> = list.values().collect();
    places.sort_unstable_by_key(|place| place.rank);
    places.into_iter().map(|place| place.score).collect()
}

/// What one list adds to a fused score: its weight, and how the score there became a value.
fn share(what: &str, scale: &Scale, term: &Term, score: Explanation) -> Explanation {
    let given = |what: &str, value: f64| Explanation::given(what, value as f32);
    let of = |what: &str, combination, details| Explanation::of(what, combination, details);
    let beside = |score| vec![rank(term.rank), Explanation::aside("its score there", term.score).with([score])];
    let value = match *scale {
        Scale::Ranks { k } => {
            let places =
                of("k and the rank", Combination::Sum, vec![given("k", k.into()), given("rank in its list", term.rank as f64)]);
            let value = of("1 / (k + rank)", Combination::Quotient, vec![given("one", 1.0), places]);
            value.with([Explanation::aside("its score there", term.score).with([score])])
        }
        _ if !term.score.is_finite() => given("what a score that is not finite is worth", 0.0).with(beside(score)),
        _ if !scale.tells_apart() => {
            given("what each is worth where all scores of a list are equal", term.value.into()).with(beside(score))
        }
        Scale::Between { low: 0.0, high } => {
            let value = vec![score, given("the greatest score of its list", high)];
            of("the score's share of the greatest of its list", Combination::Quotient, value).with([rank(term.rank)])
        }
        Scale::Between { low, high } => {
            let least = || given("the least score of its list, taken away", -low);
            let above = of("above the least of its list", Combination::Sum, vec![score, least()]);
            let range = vec![given("the greatest score of its list", high), least()];
            let range = of("from the least of its list to the greatest", Combination::Sum, range);
            let value = vec![above, range];
            of("the score between the least and the greatest of its list", Combination::Quotient, value).with([rank(term.rank)])
        }
        Scale::Spread { mean, deviation } => {
            let deviations = |count: f64| {
                let parts = vec![given("so many", count), given("the standard deviation of its list", deviation)];
                of("standard deviations", Combination::Product, parts)
            };
            let above = vec![score, given("the mean of its list, taken away", -mean), deviations(3.0)];
            let above = of("above three deviations below the mean", Combination::Sum, above);
            let value = "the score between three deviations below and above the mean of its list";
            let value = of(value, Combination::Quotient, vec![above, deviations(6.0)]);
            of("that, or nothing", Combination::Greatest, vec![given("nothing", 0.0), value]).with([rank(term.rank)])
        }
    };
    let value = value.valued(term.value);
    Explanation::of(what, Combination::Product, vec![Explanation::given("weight", term.weight), value])
}

/// The beginning of what may be long, with an ellipsis where it was cut.
fn brief(shown: impl Display) -> String {
    let mut brief = Brief(String::new());
    // An error says that it was cut.
    let _ = write!(brief, "{shown}");
    brief.0
}

struct Brief(String);

impl Write for Brief {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let left = LONGEST.saturating_sub(self.0.len());
        if piece.len() <= left {
            self.0.push_str(piece);
            return Ok(());
        }
        self.0.push_str(piece.get(..piece.floor_char_boundary(left)).unwrap_or_default());
        self.0.push('…');
        Err(fmt::Error)
    }
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
