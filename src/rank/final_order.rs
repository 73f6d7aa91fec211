//! The order in which hits are shown.

/// A candidate of the first stage, at its place in that stage's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// The cross-encoder's logit for its best passage; `None` where it was not judged.
    pub(crate) logit: Option<f32>,
}

/// How logits decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum FinalOrder {
    /// By logit alone; what was not judged follows in the first stage's order.
    #[default]
    Logit,
}

impl FinalOrder {
    /// The positions of the candidates in their final order. Equal logits keep the first stage's order.
    pub(crate) fn arrange(self, candidates: &[Candidate]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        match self {
            Self::Logit => order.sort_by(|&a, &b| match (candidates[a].logit, candidates[b].logit) {
                (Some(a), Some(b)) => b.total_cmp(&a),
                (judged, other) => other.is_some().cmp(&judged.is_some()),
            }),
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrange(logits: &[Option<f32>]) -> Vec<usize> {
        let candidates: Vec<Candidate> = logits.iter().map(|&logit| Candidate { logit }).collect();
        FinalOrder::Logit.arrange(&candidates)
    }

    #[test]
    fn judged_candidates_come_first_by_logit() {
        assert_eq!(arrange(&[None, Some(-3.0), Some(4.0), None]), [2, 1, 0, 3]);
    }

    #[test]
    fn without_judgements_the_first_stage_decides() {
        assert_eq!(arrange(&[None, None, None]), [0, 1, 2]);
        assert_eq!(arrange(&[Some(1.0), Some(1.0)]), [0, 1]);
    }
}
