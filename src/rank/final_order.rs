//! The order in which hits are shown.

use std::fmt;

/// The variance of logits at which judge and first stage count the same. Chosen on development queries; `docs/quality.md`
/// says which, and how flat the choice is.
pub(crate) const NOISE: f64 = 16.0;

/// A candidate of the first stage, at its place in that stage's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// The first stage's score, of whatever scale.
    pub(crate) score: f32,
    /// The cross-encoder's logit for its best passage; `None` where it was not judged.
    pub(crate) logit: Option<f32>,
}

/// How the cross-encoder's logits and the first stage's scores make the final order. What was not judged follows what was, in
/// the first stage's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FinalOrder {
    /// By logit, tempered by the first stage: the judge is trusted as far as its own spread says.
    ///
    /// A judge that is at home tells the candidates far apart, by many logits; where its logits lie close together it knows
    /// little. Both words are taken as standard deviations from their means over the judged candidates and weighed, the
    /// judge's with σ² / (σ² + 16), σ being the standard deviation of its logits, and the first stage's with the rest. In units
    /// of logits, as hits carry it, that is logit + (16 / σ) z, where z is the first stage's score in standard deviations.
    /// Deviations are those of a sample, so that the first stage's places say less where few are judged.
    #[default]
    Tempered,
    /// By logit alone.
    Logit,
}

impl fmt::Display for FinalOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tempered => "tempered",
            Self::Logit => "logit",
        })
    }
}

impl FinalOrder {
    /// The positions of the candidates in their final order, each with the score that put it there: for what was not judged,
    /// the first stage's. Equal scores keep the first stage's order.
    pub(crate) fn arrange(self, candidates: &[Candidate]) -> Vec<(usize, f32)> {
        let tempering = self.tempering(candidates);
        let score = |candidate: &Candidate| match (candidate.logit, &tempering) {
            (Some(logit), Some(tempering)) => tempering.score(candidate.score, logit),
            (Some(logit), None) => logit,
            (None, _) => candidate.score,
        };
        let mut order: Vec<(usize, f32)> = candidates.iter().map(score).enumerate().collect();
        order.sort_by(|a, b| match (candidates[a.0].logit, candidates[b.0].logit) {
            (Some(_), Some(_)) => b.1.total_cmp(&a.1),
            (judged, other) => other.is_some().cmp(&judged.is_some()),
        });
        order
    }
}

/// What the first stage adds to a logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tempering {
    /// The mean of the first stage's scores over the judged.
    pub(crate) mean: f64,
    /// Their standard deviation, of a sample.
    pub(crate) deviation: f64,
    /// 16 / σ, σ being the standard deviation of the logits.
    pub(crate) share: f64,
}

impl Tempering {
    fn score(&self, score: f32, logit: f32) -> f32 {
        (f64::from(logit) + self.share * (f64::from(score) - self.mean) / self.deviation) as f32
    }
}

impl FinalOrder {
    /// How the first stage tempers the judge; `None` where it does not. Without any spread of its own the judge says nothing: equal
    /// logits keep the first stage's order.
    pub(crate) fn tempering(self, candidates: &[Candidate]) -> Option<Tempering> {
        let judged = || candidates.iter().filter_map(|candidate| Some((candidate.score, candidate.logit?)));
        // Of two candidates each is one deviation of the whole from the mean, however near they are: as a sample they tell less.
        let count = judged().count() as f64;
        let of_sample = (count / (count - 1.0).max(1.0)).sqrt();
        let (mean, deviation) = spread(judged().map(|(score, _)| score));
        let (_, sigma) = spread(judged().map(|(_, logit)| logit));
        let (deviation, sigma) = (deviation * of_sample, sigma * of_sample);
        let tempers = self == Self::Tempered && deviation > 0.0 && sigma > 0.0;
        tempers.then(|| Tempering { mean, deviation, share: NOISE / sigma })
    }
}

/// Mean and standard deviation (of the whole, not of a sample); both zero without values.
pub(super) fn spread(values: impl Iterator<Item = f32> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let variance = values.map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrange(order: FinalOrder, candidates: &[(f32, Option<f32>)]) -> Vec<usize> {
        let candidates: Vec<Candidate> = candidates.iter().map(|&(score, logit)| Candidate { score, logit }).collect();
        order.arrange(&candidates).into_iter().map(|(position, _)| position).collect()
    }

    #[test]
    fn judged_candidates_come_first_and_the_rest_keeps_its_order() {
        let candidates = [(0.9, None), (0.8, Some(-3.0)), (0.7, Some(4.0)), (0.6, None)];
        for order in [FinalOrder::Logit, FinalOrder::Tempered] {
            assert_eq!(arrange(order, &candidates), [2, 1, 0, 3], "{order:?}");
        }
    }

    #[test]
    fn without_judgements_the_first_stage_decides() {
        for order in [FinalOrder::Logit, FinalOrder::Tempered] {
            assert_eq!(arrange(order, &[(3.0, None), (2.0, None), (2.0, None)]), [0, 1, 2]);
            assert_eq!(arrange(order, &[(1.0, Some(1.0)), (1.0, Some(1.0))]), [0, 1]);
            assert!(arrange(order, &[]).is_empty());
        }
    }

    #[test]
    fn an_unsure_judge_is_overruled_and_a_sure_one_is_not() {
        let scores = [3.0, 2.0, 1.0, 0.0];
        let judged = |logits: [f32; 4]| -> Vec<_> { scores.into_iter().zip(logits.map(Some)).collect() };
        let unsure = judged([0.1, 0.2, 0.3, 0.4]);
        assert_eq!(arrange(FinalOrder::Logit, &unsure), [3, 2, 1, 0]);
        assert_eq!(arrange(FinalOrder::Tempered, &unsure), [0, 1, 2, 3]);
        let sure = judged([-9.0, -3.0, 3.0, 9.0]);
        assert_eq!(arrange(FinalOrder::Tempered, &sure), [3, 2, 1, 0]);
    }

    #[test]
    fn of_two_candidates_a_judge_that_says_no_and_yes_decides() {
        assert_eq!(arrange(FinalOrder::Tempered, &[(0.9, Some(-3.0)), (0.1, Some(3.0))]), [1, 0]);
        assert_eq!(arrange(FinalOrder::Tempered, &[(0.9, Some(1.0)), (0.1, Some(3.0))]), [0, 1]);
    }

    #[test]
    fn the_first_stages_scale_does_not_matter() {
        let of = |factor: f32| -> Vec<(f32, Option<f32>)> {
            [5.0, 4.5, 1.0, 0.5].into_iter().zip([0.0, 1.5, 1.0, 2.5]).map(|(s, l)| (s * factor + 7.0, Some(l))).collect()
        };
        assert_eq!(arrange(FinalOrder::Tempered, &of(1.0)), arrange(FinalOrder::Tempered, &of(0.001)));
    }
}
