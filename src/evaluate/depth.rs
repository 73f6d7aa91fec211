//! What judging fewer candidates would have given: read off searches that judged more.

use std::time::Duration;

use super::{Interval, Metric, Qrels, bootstrap};
use crate::rank::{Candidate, FinalOrder};
use crate::search::Response;

/// The depths that are told, as far as candidates were judged.
const DEPTHS: [usize; 9] = [5, 10, 15, 20, 30, 40, 50, 75, 100];

/// The final order, had only so many candidates been judged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Depth {
    /// Candidates judged.
    pub rerank: usize,
    /// The mean nDCG@10 with its interval.
    pub ndcg_at_10: Interval,
    /// Passages that were judged of them, the mean over queries.
    pub passages: f64,
    /// The mean time, estimated: the search's without judging, and of judging the share that these passages are of all.
    pub time: Duration,
}

/// Collects what depths need from one response after the other.
pub(super) struct Depths {
    order: FinalOrder,
    depths: Vec<usize>,
    ndcg: Vec<Vec<f64>>,
    passages: Vec<usize>,
    time: Vec<Duration>,
}

impl Depths {
    pub(super) fn new(order: FinalOrder, rerank: usize) -> Self {
        let mut depths: Vec<usize> = DEPTHS.into_iter().filter(|&depth| depth < rerank).collect();
        depths.push(rerank);
        let count = depths.len();
        Self { order, depths, ndcg: vec![Vec::new(); count], passages: vec![0; count], time: vec![Duration::ZERO; count] }
    }

    /// Takes a response with all its candidates.
    pub(super) fn add(&mut self, response: &Response, query: &str, qrels: &Qrels) {
        let mut found: Vec<_> = response.hits.iter().collect();
        found.sort_by_key(|hit| hit.first_stage().map(|stage| stage.rank));
        let count = |depth: usize| -> usize {
            let judged = found.iter().take(depth).filter_map(|hit| hit.rerank.as_ref());
            judged.map(|judged| judged.logits.len()).sum()
        };
        let all = count(usize::MAX);
        let judging = response.timings.judge;
        for (at, &depth) in self.depths.iter().enumerate() {
            let candidates: Vec<Candidate> = found
                .iter()
                .enumerate()
                .map(|(place, hit)| Candidate {
                    score: hit.first_stage().map_or(0.0, |stage| stage.score),
                    logit: hit.rerank.as_ref().filter(|_| place < depth).map(|judged| judged.logit),
                })
                .collect();
            let keys: Vec<&str> =
                self.order.arrange(&candidates).into_iter().map(|(position, _)| found[position].key.as_str()).collect();
            let ndcg = qrels.grades(query).map_or(0.0, |grades| Metric::Ndcg(10).of(&keys, grades));
            let passages = count(depth);
            self.ndcg[at].push(ndcg);
            self.passages[at] += passages;
            self.time[at] +=
                response.timings.total.saturating_sub(judging) + judging.mul_f64(passages as f64 / all.max(1) as f64);
        }
    }

    pub(super) fn finish(self) -> Vec<Depth> {
        let each = self.depths.into_iter().zip(self.ndcg).zip(self.passages.into_iter().zip(self.time));
        each.filter(|((_, ndcg), _)| !ndcg.is_empty())
            .map(|((rerank, ndcg), (passages, time))| Depth {
                rerank,
                passages: passages as f64 / ndcg.len() as f64,
                time: time.div_f64(ndcg.len() as f64),
                ndcg_at_10: bootstrap(&ndcg),
            })
            .collect()
    }
}
