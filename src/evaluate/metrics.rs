//! Measures of one ranking against the grades of one query, as trec_eval computes them.

use std::collections::HashMap;
use std::fmt;

use super::significance::sum;

/// A measure. A document with a grade of 1 or more is relevant; one without a grade is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// Normalised discounted cumulative gain of the first k: the sum of grade / log2(rank + 1), over that of the best possible
    /// order (Järvelin and Kekäläinen 2002, with the discount that trec_eval's `ndcg_cut` has).
    Ndcg(usize),
    /// The part of the relevant documents that is among the first k (trec_eval's `recall`).
    Recall(usize),
    /// 1 / rank of the first relevant document, 0 where none is among the first k (trec_eval's `recip_rank`, cut at k).
    ReciprocalRank(usize),
    /// The mean, over all relevant documents, of the precision at the rank of each; 0 for one that was not found (trec_eval's
    /// `map`).
    AveragePrecision,
    /// 1 where a relevant document is among the first k, else 0 (trec_eval's `success`).
    Success(usize),
}

impl Metric {
    /// The five that reports have.
    pub const STANDARD: [Self; 5] =
        [Self::Ndcg(10), Self::Recall(100), Self::ReciprocalRank(10), Self::AveragePrecision, Self::Success(5)];

    /// The measure of a ranking, best first, without repetition. 0 to 1; 0 where nothing is relevant.
    pub fn of(self, ranking: &[impl AsRef<str>], grades: &HashMap<String, i64>) -> f64 {
        let grade = |document: &str| grades.get(document).copied().unwrap_or(0).max(0);
        let relevant = grades.values().filter(|&&grade| grade > 0).count() as f64;
        if relevant == 0.0 || self == Self::Ndcg(0) {
            return 0.0;
        }
        let first = |k: usize| ranking.iter().take(k).map(|document| grade(document.as_ref()));
        match self {
            Self::Ndcg(k) => {
                let mut ideal: Vec<i64> = grades.values().copied().filter(|&grade| grade > 0).collect();
                ideal.sort_unstable_by(|a, b| b.cmp(a));
                discounted(first(k)) / discounted(ideal.into_iter().take(k))
            }
            Self::Recall(k) => first(k).filter(|&grade| grade > 0).count() as f64 / relevant,
            Self::ReciprocalRank(k) => first(k).position(|grade| grade > 0).map_or(0.0, |at| 1.0 / (at + 1) as f64),
            Self::AveragePrecision => {
                let found = first(usize::MAX).enumerate().filter(|(_, grade)| *grade > 0);
                let precision = |(before, (at, _)): (usize, (usize, i64))| (before + 1) as f64 / (at + 1) as f64;
                sum(found.enumerate().map(precision)) / relevant
            }
            Self::Success(k) => f64::from(u8::from(first(k).any(|grade| grade > 0))),
        }
    }
}

/// The sum of gains, each divided by the logarithm of its rank plus one.
fn discounted(grades: impl Iterator<Item = i64>) -> f64 {
    sum(grades.enumerate().map(|(at, grade)| grade as f64 / (at as f64 + 2.0).log2()))
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ndcg(k) => write!(f, "ndcg@{k}"),
            Self::Recall(k) => write!(f, "recall@{k}"),
            Self::ReciprocalRank(k) => write!(f, "mrr@{k}"),
            Self::AveragePrecision => f.write_str("map"),
            Self::Success(k) => write!(f, "success@{k}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grades(pairs: &[(&str, i64)]) -> HashMap<String, i64> {
        pairs.iter().map(|&(document, grade)| (document.to_owned(), grade)).collect()
    }

    #[test]
    fn values_worked_out_by_hand() {
        let grades = grades(&[("a", 2), ("b", 1), ("c", 0), ("d", -1), ("e", 1)]);
        let ranking = ["x", "b", "d", "a"];
        let close = |metric: Metric, expected: f64| {
            let found = metric.of(&ranking, &grades);
            assert!((found - expected).abs() < 1e-12, "{metric}: {found}, expected {expected}");
        };
        let ideal = 2.0 + 1.0 / 3f64.log2() + 1.0 / 2.0;
        close(Metric::Ndcg(10), (1.0 / 3f64.log2() + 2.0 / 5f64.log2()) / ideal);
        close(Metric::Ndcg(2), 1.0 / 3f64.log2() / (2.0 + 1.0 / 3f64.log2()));
        close(Metric::Recall(100), 2.0 / 3.0);
        close(Metric::Recall(2), 1.0 / 3.0);
        close(Metric::ReciprocalRank(10), 0.5);
        close(Metric::ReciprocalRank(1), 0.0);
        close(Metric::AveragePrecision, (0.5 + 0.5) / 3.0);
        close(Metric::Success(5), 1.0);
        close(Metric::Success(1), 0.0);
    }

    #[test]
    fn an_empty_ranking_and_a_query_without_a_relevant_document_are_worth_nothing() {
        for metric in Metric::STANDARD {
            assert_eq!(metric.of(&[] as &[&str], &grades(&[("a", 1)])), 0.0);
            assert_eq!(metric.of(&["a"], &grades(&[("a", 0)])), 0.0);
        }
    }
}
