//! Two runs over the same queries, held against each other.

use std::collections::HashMap;

use super::report::measure;
use super::significance::{mean, randomization_test};
use super::{Interval, Metric, Qrels, Queries, Run, bootstrap};

/// How many hits a move is looked for in: those that a person sees.
const SEEN: usize = 10;

/// A run against a baseline, by nDCG@10.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// What the run was compared with.
    pub baseline: String,
    /// Queries that the baseline does not answer; they count as worth nothing there.
    pub missing: usize,
    /// The baseline's mean.
    pub baseline_mean: f64,
    /// The mean difference, run less baseline, with its interval.
    pub difference: Interval,
    /// The p-value of the difference; see [`randomization_test`](super::randomization_test).
    pub p_value: f64,
    /// Queries that are better than in the baseline.
    pub better: usize,
    /// Queries that are worse.
    pub worse: usize,
    /// Queries that are the same.
    pub equal: usize,
    /// The queries that gained most, the largest gain first.
    pub gained: Vec<Change>,
    /// The queries that lost most, the largest loss first.
    pub lost: Vec<Change>,
}

/// What became of one query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The query's identifier.
    pub query: String,
    /// What it asks.
    pub text: String,
    /// nDCG@10 in the baseline.
    pub before: f64,
    /// nDCG@10 in the run.
    pub after: f64,
    /// The documents of either top ten whose place is another, in the order of the run.
    pub moves: Vec<Move>,
}

/// A document that changed its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Move {
    /// The document's key.
    pub key: String,
    /// Its grade, where it was judged.
    pub grade: Option<i64>,
    /// Its rank in the baseline; `None` where that does not have it.
    pub from: Option<usize>,
    /// Its rank in the run.
    pub to: Option<usize>,
}

impl Comparison {
    /// Compares a run with a baseline over some queries; the `most` largest gains and losses are told one by one.
    pub fn new(run: &Run, baseline: (&str, &Run), ids: &[String], queries: &Queries, qrels: &Qrels, most: usize) -> Self {
        let (name, base) = baseline;
        let ndcg = |run: &Run, query: &String| measure(run, query, qrels)[0];
        debug_assert_eq!(Metric::STANDARD[0], Metric::Ndcg(10));
        let scored: Vec<(f64, f64)> = ids.iter().map(|query| (ndcg(base, query), ndcg(run, query))).collect();
        let differences: Vec<f64> = scored.iter().map(|(before, after)| after - before).collect();
        let texts: HashMap<&str, &str> = queries.iter().map(|query| (query.id.as_str(), query.text.as_str())).collect();
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by(|&a, &b| differences[b].total_cmp(&differences[a]));
        let change = |&at: &usize| Change {
            query: ids[at].clone(),
            text: texts.get(ids[at].as_str()).map_or_else(String::new, |text| (*text).to_owned()),
            before: scored[at].0,
            after: scored[at].1,
            moves: moves(base.ranking(&ids[at]), run.ranking(&ids[at]), qrels.grades(&ids[at])),
        };
        let count = |holds: fn(f64) -> bool| differences.iter().filter(|&&difference| holds(difference)).count();
        Self {
            baseline: name.to_owned(),
            missing: ids.iter().filter(|query| base.ranking(query).is_empty()).count(),
            baseline_mean: mean(&scored.iter().map(|(before, _)| *before).collect::<Vec<_>>()),
            difference: bootstrap(&differences),
            p_value: randomization_test(&differences),
            better: count(|difference| difference > 0.0),
            worse: count(|difference| difference < 0.0),
            equal: count(|difference| difference == 0.0),
            gained: order.iter().take_while(|&&at| differences[at] > 0.0).take(most).map(change).collect(),
            lost: order.iter().rev().take_while(|&&at| differences[at] < 0.0).take(most).map(change).collect(),
        }
    }
}

fn moves(before: &[String], after: &[String], grades: Option<&HashMap<String, i64>>) -> Vec<Move> {
    let rank = |list: &[String], key: &String| list.iter().position(|other| other == key).map(|at| at + 1);
    let gone = before.iter().take(SEEN).filter(|key| !after.iter().take(SEEN).any(|other| other == *key));
    let all = after.iter().take(SEEN).chain(gone);
    let all = all.map(|key| Move {
        key: key.clone(),
        grade: grades.and_then(|grades| grades.get(key)).copied(),
        from: rank(before, key),
        to: rank(after, key),
    });
    all.filter(|step| step.from != step.to).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Query;
    use super::*;

    fn list(keys: &str) -> Vec<String> {
        keys.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn gains_and_losses_are_told_with_the_documents_that_moved() {
        let (mut before, mut after, mut qrels) = (Run::default(), Run::default(), Qrels::default());
        for (query, was, is) in [("up", "x a", "a x"), ("down", "a b", "b c a"), ("same", "a", "a")] {
            before.insert(query, list(was));
            after.insert(query, list(is));
            qrels.insert(query, "a", 1);
        }
        let ids = list("up down same");
        let queries: Queries = ids.iter().map(|id| Query { id: id.clone(), text: format!("the query {id}") }).collect();
        let comparison = Comparison::new(&after, ("before", &before), &ids, &queries, &qrels, 5);
        assert_eq!((comparison.better, comparison.worse, comparison.equal), (1, 1, 1));
        assert_eq!((comparison.gained.len(), comparison.lost.len()), (1, 1));
        let gained = &comparison.gained[0];
        assert_eq!((gained.query.as_str(), gained.text.as_str(), gained.after), ("up", "the query up", 1.0));
        let step = |key: &str, grade, from, to| Move { key: key.to_owned(), grade, from, to };
        assert_eq!(gained.moves, [step("a", Some(1), Some(2), Some(1)), step("x", None, Some(1), Some(2))]);
        let lost = &comparison.lost[0].moves;
        assert_eq!(lost[1], step("c", None, None, Some(2)));
        assert!(comparison.p_value > 0.3 && comparison.baseline == "before");
    }
}
