//! Asking every query of every stage.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::depth::Depths;
use super::{Comparison, ModelUse, Qrels, Queries, Query, Report, Run, Settings, Stage, StageReport};
use crate::error::{Error, EvaluateError};
use crate::model::CrossEncoder;
use crate::rank::{FinalOrder, Fusion};
use crate::search::{Mode, PASSAGES, Response, Search, Snapshot};

/// Gains and losses that are told one by one.
const TOLD: usize = 5;

/// Called after each query with the stage, how many queries are done and how many there are.
type Observer<'a> = Box<dyn FnMut(Stage, usize, usize) + 'a>;

/// An evaluation that is being put together; [`Evaluation::run`] makes it.
///
/// Each stage is searched by itself, as an application would that stops there: BM25; the vectors; both fused; and the final
/// order after the cross-encoder. Stages that the index or the models do not allow are left out.
pub struct Evaluation<'a> {
    snapshot: &'a Snapshot,
    candidates: usize,
    rerank: usize,
    judge: Option<&'a CrossEncoder>,
    passages: usize,
    fusion: Fusion,
    order: FinalOrder,
    baseline: Option<(String, Run)>,
    indexed_only: bool,
    observer: Option<Observer<'a>>,
}

impl<'a> Evaluation<'a> {
    /// An evaluation of the first stage with 100 candidates.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            candidates: 100,
            rerank: 0,
            judge: None,
            passages: PASSAGES,
            fusion: Fusion::default(),
            order: FinalOrder::default(),
            baseline: None,
            indexed_only: false,
            observer: None,
        }
    }

    /// As [`Search::candidates`]; also the depth of the rankings that are measured.
    #[must_use]
    pub fn candidates(mut self, candidates: usize) -> Self {
        self.candidates = candidates;
        self
    }

    /// As [`Search::rerank`]; adds the stage [`Stage::Reranked`].
    #[must_use]
    pub fn rerank(mut self, candidates: usize, judge: &'a CrossEncoder) -> Self {
        self.rerank = candidates;
        self.judge = Some(judge);
        self
    }

    /// As [`Search::passages_per_document`].
    #[must_use]
    pub fn passages_per_document(mut self, passages: usize) -> Self {
        self.passages = passages.max(1);
        self
    }

    /// As [`Search::fusion`].
    #[must_use]
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// As [`Search::final_order`].
    #[must_use]
    pub fn final_order(mut self, order: FinalOrder) -> Self {
        self.order = order;
        self
    }

    /// Compares the last stage with this run rather than with the stage before it.
    #[must_use]
    pub fn baseline(mut self, name: impl Into<String>, run: Run) -> Self {
        self.baseline = Some((name.into(), run));
        self
    }

    /// Leaves out judgements of documents that the index does not have, for an index of a part of a collection. Without it they
    /// count as not found, as in trec_eval.
    #[must_use]
    pub fn indexed_only(mut self) -> Self {
        self.indexed_only = true;
        self
    }

    /// Calls a function after each query with the stage, the number of queries done in it and their total.
    #[must_use]
    pub fn on_progress(mut self, observer: impl FnMut(Stage, usize, usize) + 'a) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Asks all queries that have a relevant judgement, stage by stage, one after the other. The first query of each stage is
    /// asked once more beforehand, so that times are those of a program that is running.
    ///
    /// # Errors
    /// [`EvaluateError::OtherBaseline`] when the baseline answers none of the queries, [`EvaluateError::ForeignBaseline`] when it answers with none of
    /// the index's documents; [`EvaluateError::NothingToMeasure`] when no query has a relevant judgement, [`EvaluateError::NoneIndexed`] when the index
    /// has none of the judged documents; and those of [`Search::run`].
    pub fn run(mut self, queries: &Queries, qrels: &Qrels) -> Result<Report, Error> {
        let keys: HashSet<String> = self.snapshot.keys()?.into_iter().collect();
        let (indexed, absent_judgements) = qrels.filtered(|document| keys.contains(document));
        if indexed.is_empty() && !qrels.is_empty() {
            return Err(none_indexed(qrels, self.snapshot.keys()?).into());
        }
        let qrels = if self.indexed_only { &indexed } else { qrels };
        let relevant = |query: &str| qrels.grades(query).is_some_and(|grades| grades.values().any(|&grade| grade > 0));
        let given: HashSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
        let asked: Vec<&Query> = queries.iter().filter(|query| relevant(&query.id)).collect();
        if let Some((name, run)) = &self.baseline
            && !asked.is_empty()
            && asked.iter().all(|query| run.ranking(&query.id).is_empty())
        {
            return Err(EvaluateError::OtherBaseline { baseline: name.clone(), queries: asked.len() }.into());
        }
        if let Some((name, run)) = &self.baseline {
            let ranked = || asked.iter().flat_map(|query| run.ranking(&query.id));
            if let Some(found) = ranked().next().filter(|_| !ranked().any(|key| keys.contains(key))) {
                let indexed = keys.iter().min().cloned().unwrap_or_default();
                return Err(EvaluateError::ForeignBaseline { baseline: name.clone(), found: found.clone(), indexed }.into());
            }
        }
        if asked.is_empty() {
            return Err(EvaluateError::NothingToMeasure { queries: queries.len(), judged: qrels.queries().count() }.into());
        }
        let settings = self.settings();
        let ids: Vec<String> = asked.iter().map(|query| query.id.clone()).collect();
        let mut notes = BTreeMap::new();
        let (mut stages, mut by_depth) = (Vec::new(), Vec::new());
        for stage in self.stages() {
            let mut depths = (stage == Stage::Reranked).then(|| Depths::new(self.order, self.rerank.min(self.candidates)));
            let (run, times) = self.ask(stage, &asked, &mut notes, |response, query| {
                if let Some(depths) = &mut depths {
                    depths.add(response, query, qrels);
                }
            })?;
            by_depth.extend(depths.into_iter().flat_map(Depths::finish));
            stages.push(StageReport::new(stage, run, times, &ids, qrels));
        }
        let baseline = match (self.baseline, stages.as_slice()) {
            (Some(baseline), _) => Some(baseline),
            (None, [.., before, _]) => Some((before.stage.to_string(), before.run.clone())),
            (None, _) => None,
        };
        let comparison = baseline
            .zip(stages.last())
            .map(|((name, run), last)| Comparison::new(&last.run, (name.as_str(), &run), &ids, queries, qrels, TOLD));
        Ok(Report {
            without_relevant: queries.iter().filter(|query| !relevant(&query.id) && qrels.grades(&query.id).is_some()).count(),
            without_judgement: queries.iter().filter(|query| qrels.grades(&query.id).is_none()).count(),
            without_text: qrels.queries().filter(|query| !given.contains(query)).count(),
            absent_judgements,
            absent_left_out: self.indexed_only,
            judgements: ids.iter().filter_map(|query| qrels.grades(query)).map(HashMap::len).sum(),
            queries: ids,
            settings,
            stages,
            depths: by_depth,
            comparison,
            notes: notes.into_iter().collect(),
        })
    }

    fn settings(&self) -> Settings {
        let judge = self.judge.filter(|_| self.rerank > 0);
        Settings {
            candidates: self.candidates,
            rerank: judge.map_or(0, |_| self.rerank),
            passages: self.passages,
            fusion: self.fusion,
            order: self.order,
            encoder: self.snapshot.encoder().map(|encoder| ModelUse::new(encoder.identity(), encoder.device())),
            judge: judge.map(|judge| ModelUse::new(judge.identity(), judge.device())),
        }
    }

    /// The stages that can be measured.
    fn stages(&self) -> Vec<Stage> {
        let mut stages = vec![Stage::Lexical];
        if self.snapshot.encoder().is_some() {
            stages.extend([Stage::Semantic, Stage::Fused]);
        }
        if self.judge.is_some() && self.rerank > 0 {
            stages.push(Stage::Reranked);
        }
        stages
    }

    fn ask(
        &mut self,
        stage: Stage,
        queries: &[&Query],
        notes: &mut BTreeMap<String, usize>,
        mut each: impl FnMut(&Response, &str),
    ) -> Result<(Run, Vec<Duration>), Error> {
        let (mut run, mut times) = (Run::default(), Vec::with_capacity(queries.len()));
        if let Some(first) = queries.first() {
            self.search(stage, &first.text).run()?;
        }
        for (at, query) in queries.iter().enumerate() {
            let begun = Instant::now();
            let response = self.search(stage, &query.text).run()?;
            times.push(begun.elapsed());
            for note in &response.notes {
                *notes.entry(note.kind().to_owned()).or_default() += 1;
            }
            each(&response, &query.id);
            run.insert(query.id.as_str(), response.hits.into_iter().map(|hit| hit.key).collect());
            if let Some(observer) = &mut self.observer {
                observer(stage, at + 1, queries.len());
            }
        }
        Ok((run, times))
    }

    fn search(&self, stage: Stage, text: &str) -> Search<'a> {
        // Keys are all that is needed; reading what a page shows of a hundred hits would be most of the time.
        let search = self
            .snapshot
            .search(text)
            .plain()
            .candidates(self.candidates)
            .limit(self.candidates)
            .keys_only()
            .logit_cache(false)
            .fusion(self.fusion)
            .passages_per_document(self.passages);
        match (stage, self.judge) {
            (Stage::Lexical, _) => search.mode(Mode::Lexical),
            (Stage::Semantic, _) => search.mode(Mode::Semantic),
            (Stage::Reranked, Some(judge)) => {
                // Where queries cannot become vectors, the judge has the words' list.
                let search = if self.snapshot.encoder().is_some() { search } else { search.mode(Mode::Lexical) };
                search.rerank(self.rerank, judge).final_order(self.order)
            }
            (Stage::Fused | Stage::Reranked, _) => search,
        }
    }
}

/// Judgements and index that have no key in common, with an example of each.
fn none_indexed(qrels: &Qrels, keys: Vec<String>) -> EvaluateError {
    let judged = qrels.queries().filter_map(|query| qrels.grades(query)).flat_map(|grades| grades.keys()).min();
    EvaluateError::NoneIndexed {
        judgements: qrels.len(),
        judged: judged.cloned().unwrap_or_default(),
        indexed: keys.into_iter().next().unwrap_or_default(),
    }
}

impl std::fmt::Debug for Evaluation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Evaluation({:?}, {} candidates, {} judged)", self.snapshot, self.candidates, self.rerank)
    }
}
