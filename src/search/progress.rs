//! A search while it is being answered: how far it is, when it has to end, and the lists that it shows on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::first_stage::FirstStage;
use super::judge::{Judging, Verdict};
use super::question::Question;
use super::response::{Note, Response};
use super::{Mode, Search};
use crate::error::Error;
use crate::model::Until;

/// The longest that one batch of several passages a thread takes, by the pace measured so far, where a search may have to end or to
/// show something.
const BATCH: Duration = Duration::from_millis(30);

/// Cancels searches from another thread; clones cancel the same ones.
///
/// ```
/// use fossick::CancelToken;
/// let token = CancelToken::new();
/// let for_the_search = token.clone();
/// token.cancel();
/// assert!(for_the_search.is_cancelled());
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    checks: AtomicUsize,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels, for good.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// How often searches have asked: once before each batch of passages.
    pub fn checks(&self) -> usize {
        self.0.checks.load(Ordering::Relaxed)
    }

    fn check(&self) -> bool {
        self.0.checks.fetch_add(1, Ordering::Relaxed);
        self.is_cancelled()
    }
}

/// Why judging ended before all was judged.
#[derive(Clone, Copy)]
enum Ended {
    Late,
    Cancelled,
}

/// A search that has begun.
pub(super) struct Running<'a> {
    search: Search<'a>,
    begun: Instant,
    question: Question,
    response: Response,
    /// What the first stage found; `None` where there was nothing to search or to search for.
    stage: Option<FirstStage>,
    judging: Option<Judging<'a>>,
    /// Why judging ended early.
    ended: Option<Ended>,
    /// Whether to judge in batches although nothing may end the search.
    batches: bool,
}

impl<'a> Running<'a> {
    /// Runs the first stage, and reads what is to be judged.
    pub(super) fn start(search: Search<'a>) -> Result<Self, Error> {
        let begun = Instant::now();
        search.check()?;
        let mut notes = Vec::new();
        let question = Question::of(&search, &mut notes)?;
        let by_vector = search.vector.is_some() || search.like.is_some();
        // Without words there is nothing for the models to read: all that meets the conditions is shown, and no vector is needed for that.
        let by_condition = search.sort.is_some() || question.text.is_empty() && !by_vector;
        let mode = match by_condition && search.vector.is_none() {
            true => Mode::Lexical,
            false => match search.checked_mode()? {
                _ if by_condition => Mode::Lexical,
                Mode::Hybrid if question.text.is_empty() => Mode::Semantic,
                mode => mode,
            },
        };
        let mut response = Response { notes, ..Response::new(&search.query, mode, search.snapshot.generation()) };
        let (mut stage, mut judging) = (None, None);
        let asks = !question.tree.is_empty() || mode == Mode::Semantic && (by_vector || !question.text.is_empty());
        if asks && search.candidates > 0 && search.snapshot.document_count() > 0 {
            let found = FirstStage::run(&search, &question, mode, &mut response)?;
            if !question.text.is_empty() && search.sort.is_none() {
                judging = Judging::begin(&search, &question.text, &found, &mut response)?;
            }
            stage = Some(found);
        }
        Ok(Self { search, begun, question, response, stage, judging, ended: None, batches: false })
    }

    /// Judges a batch, or everything where nothing can end the search before; false when there was nothing left to do.
    pub(super) fn step(&mut self) -> Result<bool, Error> {
        if self.finished() {
            return Ok(false);
        }
        let Some(judging) = &mut self.judging else { return Ok(false) };
        if self.search.cancel.as_ref().is_some_and(CancelToken::check) {
            self.ended = Some(Ended::Cancelled);
            return Ok(false);
        }
        let left = self.search.deadline.map(|deadline| deadline.saturating_sub(self.begun.elapsed()));
        // The first batch is begun whatever the pace was before: what is measured under load, or while shaders were compiled, would otherwise hold
        // for ever.
        if left.is_some_and(|left| left.is_zero() || judging.is_begun() && left < judging.next_takes()) {
            self.ended = Some(Ended::Late);
            return Ok(false);
        }
        let in_batches = self.batches || left.is_some() || self.search.cancel.is_some();
        let time = in_batches.then(|| left.map_or(BATCH, |left| left.min(BATCH)));
        judging.step(time, until(&self.search, self.begun), &mut self.response.timings)?;
        if judging.gave_up() {
            let cancelled = self.search.cancel.as_ref().is_some_and(CancelToken::is_cancelled);
            self.ended = Some(if cancelled { Ended::Cancelled } else { Ended::Late });
        }
        Ok(true)
    }

    /// Whether nothing is left to be judged, or judging was ended.
    fn finished(&self) -> bool {
        self.ended.is_some() || self.judging.as_ref().is_none_or(Judging::finished)
    }

    fn verdicts(&self) -> &[Verdict] {
        self.judging.as_ref().map_or(&[], |judging| &judging.verdicts)
    }

    /// The positions that are shown as things stand, with their scores.
    fn shown(&self) -> Vec<(usize, f32)> {
        self.stage.as_ref().map_or_else(Vec::new, |stage| self.search.shown(stage, self.verdicts()))
    }

    /// The answer as things stand.
    pub(super) fn response(&self) -> Result<Response, Error> {
        let mut response = self.response.clone();
        if let Some(stage) = &self.stage {
            response.hits = self.search.hits(&self.question, stage, self.verdicts(), &self.shown(), &mut response.timings)?;
        }
        if let (Some(judging), Some(judge)) = (&self.judging, self.search.judge) {
            // A device may have been lost since.
            response.used(judge.device(), judge.identity().name(), judge.fallback());
            (response.judged, response.passages_judged) = (judging.judged(), judging.passages_judged());
            response.notes.extend(judging.note());
            if self.finished() {
                judging.keep();
            }
        }
        let (judged, of) = (response.judged, response.to_judge);
        let (passages, of_passages) = (response.passages_judged, response.passages_to_judge);
        response.notes.extend(self.ended.map(|ended| match ended {
            Ended::Late => Note::DeadlineReached { judged, of, passages, of_passages },
            Ended::Cancelled => Note::Cancelled { judged, of, passages, of_passages },
        }));
        response.timings.total = self.begun.elapsed();
        Ok(response)
    }
}

/// When a batch that is under way is given up: one that takes longer than it was sized for, as those of long passages do in f32, must not hold
/// the search.
fn until(search: &Search<'_>, begun: Instant) -> Option<Until> {
    let end = search.deadline.and_then(|deadline| begun.checked_add(deadline)?.checked_add(BATCH));
    let cancel = search.cancel.clone();
    if end.is_none() && cancel.is_none() {
        return None;
    }
    Some(Arc::new(move || end.is_some_and(|end| Instant::now() > end) || cancel.as_ref().is_some_and(CancelToken::is_cancelled)))
}

/// The lists of a search, from the first stage's to the final one; made by [`Search::progressive`].
pub struct Progressive<'a> {
    running: Running<'a>,
    /// The positions that were shown last; `None` before the first list.
    last: Option<Vec<usize>>,
    /// Whether the final list was given.
    done: bool,
}

impl<'a> Progressive<'a> {
    pub(super) fn new(running: Running<'a>) -> Self {
        Self { running: Running { batches: true, ..running }, last: None, done: false }
    }

    /// The next list; [`Progressive::done`] says whether it is the last.
    pub(super) fn advance(&mut self) -> Result<Response, Error> {
        let positions = |running: &Running<'_>| running.shown().into_iter().map(|(position, _)| position).collect::<Vec<_>>();
        if let Some(last) = &self.last {
            while self.running.step()? && positions(&self.running) == *last {}
        }
        self.done = self.running.finished();
        self.last = Some(positions(&self.running));
        self.running.response()
    }

    pub(super) fn done(&self) -> bool {
        self.done
    }
}

impl Iterator for Progressive<'_> {
    type Item = Result<Response, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let list = self.advance();
        // An error is the end.
        self.done |= list.is_err();
        Some(list)
    }
}

impl std::iter::FusedIterator for Progressive<'_> {}

impl std::fmt::Debug for Progressive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let judged = self.running.judging.as_ref().map_or(0, Judging::judged);
        let of = self.running.response.to_judge;
        write!(f, "Progressive({:?}, {judged} of {of} judged)", self.running.search)
    }
}
