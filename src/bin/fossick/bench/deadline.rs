//! Whether searches with a deadline keep it, and how much they judge until then.

use std::time::{Duration, Instant};

use fossick::{CrossEncoder, Index};
use serde_json::{Value as Json, json};

use super::search::percentile;
use super::{Arguments, milliseconds, rounded};
use crate::failure::Failure;

/// Questions for an index of law, such as the example's.
pub(super) const QUESTIONS: [&str; 12] = [
    "software patent obviousness standard",
    "can the police search a phone without a warrant",
    "principal place of business of a corporation",
    "is burning a flag protected expression",
    "what counts as gross income",
    "when is a computer program obvious over the prior art",
    "may a state tax a seller that has no shop there",
    "can genes be patented",
    "is a confession without a warning admissible",
    "who may copy parts of a work for a parody",
    "when does a federal court have jurisdiction over citizens of different states",
    "do schools have to let pupils protest",
];
/// Candidates that are to be judged, as `fossick search` has it.
const RERANK: usize = 50;

/// A line for each deadline: each question is asked in each round, and judged anew.
pub(super) fn deadlines(
    index: &Index,
    judge: &CrossEncoder,
    questions: &[&str],
    arguments: &Arguments,
) -> Result<Vec<Json>, Failure> {
    let snapshot = index.snapshot()?;
    let search = |question: &str| snapshot.search(question).plain().rerank(RERANK, judge).logit_cache(false).limit(10);
    // Reads what is searched, and measures the judge's pace.
    for question in questions.iter().take(2) {
        search(question).run()?;
    }
    let mut rows = Vec::new();
    for &limit in &arguments.deadline {
        let deadline = Duration::from_millis(limit);
        let (mut times, mut judged, mut of) = (Vec::new(), 0, 0);
        for question in questions.iter().cycle().take(questions.len() * arguments.rounds) {
            let asked = Instant::now();
            let response = search(question).deadline(deadline).run()?;
            times.push(asked.elapsed());
            (judged, of) = (judged + response.judged, of + response.to_judge);
        }
        let worst = times.iter().max().copied().unwrap_or_default();
        rows.push(json!({
            "device": judge.device().info().to_string(),
            "precision": judge.device().precision().to_string(),
            "deadline_ms": limit,
            "searches": times.len(),
            "p50_ms": rounded(percentile(&mut times, 0.5)),
            "worst_ms": rounded(milliseconds(worst)),
            "overrun_ms": rounded(milliseconds(worst.saturating_sub(deadline))),
            "judged": judged,
            "to_judge": of,
        }));
    }
    Ok(rows)
}
