//! A search while it is being answered: how far it is, when it has to end, and the lists that it shows on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Search;
use super::first_stage::FirstStage;
use super::judge::Judging;
use super::response::{Note, Response, Timings};
use crate::error::Error;

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

/// A search that has begun.
pub(super) struct Running<'a> {
    search: Search<'a>,
    begun: Instant,
    text: String,
    response: Response,
    /// What the first stage found; `None` where there was nothing to search or to search for.
    stage: Option<FirstStage>,
    judging: Option<Judging>,
    /// Why judging ended early.
    ended: Option<Note>,
    /// Whether to judge in batches although nothing may end the search.
    batches: bool,
}

impl<'a> Running<'a> {
    /// Runs the first stage, and reads what is to be judged.
    pub(super) fn start(search: Search<'a>) -> Result<Self, Error> {
        let begun = Instant::now();
        let mode = search.checked_mode()?;
        let mut response = Response {
            query: search.query.clone(),
            mode,
            device: None,
            generation: search.snapshot.generation(),
            timings: Timings::default(),
            candidates: 0,
            to_judge: 0,
            judged: 0,
            notes: Vec::new(),
            hits: Vec::new(),
        };
        // Control characters are neither words nor tokens; as spaces they also separate what they stood between.
        let text = search.query.replace(char::is_control, " ").trim().to_owned();
        let (mut stage, mut judging) = (None, None);
        if !text.is_empty() && search.candidates > 0 && search.snapshot.document_count() > 0 {
            let found = FirstStage::run(&search, &text, mode, &mut response)?;
            judging = Judging::begin(&search, &text, &found, &mut response)?;
            stage = Some(found);
        }
        Ok(Self { search, begun, text, response, stage, judging, ended: None, batches: false })
    }

    /// Judges a batch, or everything where nothing can end the search before; false when there was nothing left to do.
    pub(super) fn step(&mut self) -> Result<bool, Error> {
        let Some(judging) = self.judging.as_mut().filter(|judging| !judging.finished() && self.ended.is_none()) else {
            return Ok(false);
        };
        let (judged, of) = (judging.judged(), judging.wanted);
        if self.search.cancel.as_ref().is_some_and(CancelToken::check) {
            self.ended = Some(Note::Cancelled { judged, of });
            return Ok(false);
        }
        let left = self.search.deadline.map(|deadline| deadline.saturating_sub(self.begun.elapsed()));
        if left.is_some_and(|left| left.is_zero() || left < judging.next_takes()) {
            self.ended = Some(Note::DeadlineReached { judged, of });
            return Ok(false);
        }
        let in_batches = self.batches || left.is_some() || self.search.cancel.is_some();
        let time = in_batches.then(|| left.map_or(BATCH, |left| left.min(BATCH)));
        judging.step(time, &mut self.response.timings)?;
        Ok(true)
    }

    /// The positions that are shown as things stand.
    fn shown(&self) -> Vec<(usize, f32)> {
        let verdicts = self.judging.as_ref().map_or(&[][..], |judging| &judging.verdicts);
        self.stage.as_ref().map_or_else(Vec::new, |stage| self.search.shown(stage, verdicts))
    }

    /// The answer as things stand.
    pub(super) fn response(&mut self) -> Result<Response, Error> {
        let mut response = self.response.clone();
        if let Some(stage) = &self.stage {
            let verdicts = self.judging.as_ref().map_or(&[][..], |judging| &judging.verdicts);
            let shown = self.search.shown(stage, verdicts);
            response.hits = self.search.hits(&self.text, stage, verdicts, &shown, &mut response.timings)?;
        }
        if let Some(judging) = &self.judging {
            response.judged = judging.judged();
            response.notes.extend(judging.note());
        }
        response.notes.extend(self.ended.clone());
        response.timings.total = self.begun.elapsed();
        Ok(response)
    }
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

    /// The answer as things stand, for whoever wants it without another batch.
    ///
    /// # Errors
    /// [`crate::StorageError`] from the disk.
    pub fn into_response(mut self) -> Result<Response, Error> {
        self.running.response()
    }

    fn advance(&mut self) -> Result<Option<Response>, Error> {
        if self.done {
            return Ok(None);
        }
        let positions = |running: &Running<'_>| running.shown().into_iter().map(|(position, _)| position).collect::<Vec<_>>();
        if let Some(last) = &self.last {
            while self.running.step()? {
                if positions(&self.running) != *last {
                    break;
                }
            }
            let judging = self.running.judging.as_ref();
            self.done = self.running.ended.is_some() || judging.is_none_or(Judging::finished);
        } else {
            // Nothing to judge makes the first list the final one.
            self.done = self.running.judging.as_ref().is_none_or(Judging::finished);
        }
        self.last = Some(positions(&self.running));
        self.running.response().map(Some)
    }
}

impl Iterator for Progressive<'_> {
    type Item = Result<Response, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let advanced = self.advance();
        // An error is the end.
        self.done |= advanced.is_err();
        advanced.transpose()
    }
}

impl std::iter::FusedIterator for Progressive<'_> {}

impl std::fmt::Debug for Progressive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (judged, of) = self.running.judging.as_ref().map_or((0, 0), |judging| (judging.judged(), judging.wanted));
        write!(f, "Progressive({:?}, {judged} of {of} judged)", self.running.search)
    }
}
