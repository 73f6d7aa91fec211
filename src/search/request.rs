//! A question, and how it is to be answered.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::first_stage::FirstStage;
use super::judge::{self, DocumentLogit, Verdict};
use super::progress::{CancelToken, Progressive, Running};
use super::response::{Hit, Judged, Passage, Response, Timings};
use super::{Snapshot, StageRank};
use crate::error::{Error, SearchError};
use crate::model::CrossEncoder;
use crate::rank::{Candidate, FinalOrder};
use crate::schema::check_vector;
use crate::store::VectorSource;

/// Which legs the first stage has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// BM25 over the words alone.
    Lexical,
    /// The vectors alone.
    Semantic,
    /// Both, joined by reciprocal rank fusion.
    Hybrid,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lexical => "lexical",
            Self::Semantic => "semantic",
            Self::Hybrid => "hybrid",
        }
    }
}

/// A search that is being put together; [`Search::run`] answers it.
///
/// Three numbers: each leg finds `candidates` documents, and as many are kept after fusion; the first `rerank` of them are
/// judged by the cross-encoder; the first `limit` of the final order are shown. A larger `limit` shows more of the same order,
/// never another, so it shows at most `candidates`.
///
/// ```
/// use fossick::{Document, Index, Mode, Options, Schema};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("notes");
/// let schema = Schema::builder().heading("title").text("body").build()?;
/// let index = Index::open_or_create(&path, Options::new().schema(schema))?;
/// let mut writer = index.writer()?;
/// writer.add(Document::new("a").set("title", "Wells").set("body", "How to dig a well by hand."))?;
/// writer.add(Document::new("b").set("title", "Roofs").set("body", "How to thatch a roof."))?;
/// writer.commit()?;
/// let response = index.snapshot()?.search("digging wells").mode(Mode::Lexical).limit(5).run()?;
/// assert_eq!(response.hits[0].key, "a");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Search<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) query: String,
    pub(super) mode: Option<Mode>,
    pub(super) vector: Option<Vec<f32>>,
    pub(super) candidates: usize,
    pub(super) rerank: usize,
    pub(super) judge: Option<&'a CrossEncoder>,
    pub(super) passages: usize,
    pub(super) document_logit: DocumentLogit,
    pub(super) deadline: Option<Duration>,
    pub(super) cancel: Option<CancelToken>,
    pub(super) cache: bool,
    limit: usize,
    fields: Option<Vec<String>>,
    with_passages: bool,
    order: FinalOrder,
}

impl<'a> Search<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, query: &str) -> Self {
        Self {
            snapshot,
            query: query.to_owned(),
            mode: None,
            vector: None,
            candidates: 100,
            rerank: 0,
            judge: None,
            passages: 2,
            document_logit: DocumentLogit::default(),
            deadline: None,
            cancel: None,
            cache: true,
            limit: 10,
            fields: None,
            with_passages: true,
            order: FinalOrder::default(),
        }
    }

    /// Which legs to use; [`Mode::Hybrid`] unless set, or [`Mode::Lexical`] in an index without vectors.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// The query as a vector, for an index whose vectors the application brings.
    #[must_use]
    pub fn vector(mut self, vector: impl Into<Vec<f32>>) -> Self {
        self.vector = Some(vector.into());
        self
    }

    /// How many documents each leg finds, and how many go on after fusion; 100 unless set.
    #[must_use]
    pub fn candidates(mut self, candidates: usize) -> Self {
        self.candidates = candidates;
        self
    }

    /// Has the first `candidates` documents of the first stage judged; none unless set.
    #[must_use]
    pub fn rerank(mut self, candidates: usize, judge: &'a CrossEncoder) -> Self {
        self.rerank = candidates;
        self.judge = Some(judge);
        self
    }

    /// How many of a document's passages are judged, the most promising ones; 2 unless set, at least 1. Of a passage that is longer
    /// than the cross-encoder reads, overlapping windows count as passages, those with most of the query's words first. See
    /// [`Search::document_logit`].
    #[must_use]
    pub fn passages_per_document(mut self, passages: usize) -> Self {
        self.passages = passages.max(1);
        self
    }

    /// How the logits of a document's passages make the document's; its best passage's unless set.
    #[must_use]
    pub fn document_logit(mut self, logit: DocumentLogit) -> Self {
        self.document_logit = logit;
        self
    }

    /// How the judge's word and the first stage's make the final order; see [`FinalOrder`].
    #[must_use]
    pub fn final_order(mut self, order: FinalOrder) -> Self {
        self.order = order;
        self
    }

    /// Ends judging when so much time has passed since [`Search::run`] began; without end unless set. What was judged by then is
    /// ordered by the judge's word, the rest follows as the first stage ordered it, and the response says how far judging came.
    /// The first stage is never cut short. Judging is done in batches of at most 30 ms by the pace measured so far, but of one passage
    /// a thread at least; none is begun that is not expected to end in time.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Ends judging, between two batches, once the token is cancelled, by whatever thread; the response is as after a deadline.
    #[must_use]
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = Some(token.clone());
        self
    }

    /// Whether logits that an earlier search paid for are used, and new ones kept; yes unless set. Without, every candidate is judged:
    /// for measuring. [`Options::logit_cache`](crate::Options::logit_cache) switches it off for all searches of an index.
    #[must_use]
    pub fn logit_cache(mut self, used: bool) -> Self {
        self.cache = used;
        self
    }

    /// How many hits are shown; 10 unless set.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The fields that hits carry; all unless set. A list of hits rarely needs their whole text: leaving it out saves reading it.
    /// Names that the schema does not have are passed over.
    #[must_use]
    pub fn fields<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.fields = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Hits with their keys and scores, without fields and passages: for whoever looks at orders only.
    pub(crate) fn keys_only(self) -> Self {
        Self { with_passages: false, ..self.fields([""; 0]) }
    }

    /// Answers.
    ///
    /// A query without a letter, digit or sign (empty, white space, control characters) finds nothing, and no stage runs. Of
    /// a very long query, BM25 takes the first 1,024 different words and the encoder the tokens that it reads; where it
    /// leaves the cross-encoder no room, nothing is judged. [`Response::notes`] tells both.
    ///
    /// # Errors
    /// [`SearchError::NoQueryVector`], [`SearchError::QueryVectorRefused`], [`crate::SchemaError::Vector`]; [`crate::ModelError`]
    /// from the models and [`crate::StorageError`] from the disk.
    pub fn run(self) -> Result<Response, Error> {
        let mut running = Running::start(self)?;
        while running.step()? {}
        running.response()
    }

    /// Answers at once with what the first stage found, and then with better lists while candidates are judged: an iterator whose
    /// every response is whole, the last one being what [`Search::run`] would give. Each call of `next` works until the list that is
    /// shown has changed or all is done; between calls, and once it is dropped, nothing works.
    ///
    /// ```
    /// # use fossick::{CrossEncoder, Device, Document, Index, Mode, Options, Schema};
    /// # let directory = tempfile::tempdir()?;
    /// # let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(Schema::builder().text("body").build()?))?;
    /// # let mut writer = index.writer()?;
    /// # writer.add(Document::new("a").set("body", "Rome is the capital of Italy."))?;
    /// # writer.add(Document::new("b").set("body", "Italy has a capital, and Rome has ruins."))?;
    /// # writer.commit()?;
    /// let judge = CrossEncoder::load("models/ms-marco-minilm-l-12-v2", &Device::cpu())?;
    /// let snapshot = index.snapshot()?;
    /// for response in snapshot.search("what is the capital of Italy").rerank(50, &judge).progressive()? {
    ///     let response = response?;
    ///     println!("{} of {} judged", response.judged, response.to_judge);
    ///     // Show response.hits in place of the list before; break to stop.
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Search::run`]; what happens while candidates are judged is the iterator's.
    pub fn progressive(self) -> Result<Progressive<'a>, Error> {
        Running::start(self).map(Progressive::new)
    }

    /// As [`Search::progressive`], by a function that is called with every list; [`ControlFlow::Break`] ends the search with that list.
    ///
    /// # Errors
    /// As [`Search::run`].
    pub fn run_with(self, mut show: impl FnMut(&Response) -> ControlFlow<()>) -> Result<Response, Error> {
        let mut lists = self.progressive()?;
        loop {
            let response = lists.advance()?;
            if show(&response).is_break() || lists.done() {
                return Ok(response);
            }
        }
    }

    /// The mode, with everything that it needs present.
    pub(super) fn checked_mode(&self) -> Result<Mode, Error> {
        let source = &self.snapshot.store().header.vectors;
        let mode = self.mode.unwrap_or(if *source == VectorSource::Nothing { Mode::Lexical } else { Mode::Hybrid });
        let missing = |why: String, remedy| SearchError::NoQueryVector { why, remedy };
        match (source, &self.vector) {
            (VectorSource::Application(dimension), Some(vector)) => check_vector("the query", vector, *dimension as usize)?,
            (VectorSource::Encoder(_), Some(_)) => {
                return Err(SearchError::QueryVectorRefused { makes: "makes its own vectors" }.into());
            }
            (VectorSource::Nothing, Some(_)) => return Err(SearchError::QueryVectorRefused { makes: "keeps no vectors" }.into()),
            (_, None) if mode == Mode::Lexical => {}
            (VectorSource::Nothing, None) => {
                return Err(
                    missing("the index was made without vectors".to_owned(), "make an index with `Options::encoder`").into()
                );
            }
            (VectorSource::Application(_), None) => {
                return Err(missing(
                    "the application brings the vectors of this index".to_owned(),
                    "give it with `Search::vector`",
                )
                .into());
            }
            (VectorSource::Encoder(identity), None) if self.snapshot.encoder().is_none() => {
                let why = format!("the index was opened without its encoder, {identity}");
                return Err(missing(why, "open the index with `Options::encoder`").into());
            }
            (VectorSource::Encoder(_), None) => {}
        }
        Ok(mode)
    }

    /// The first `limit` positions of the final order, with their scores.
    pub(super) fn shown(&self, stage: &FirstStage, verdicts: &[Verdict]) -> Vec<(usize, f32)> {
        let judgement = |position: usize| verdicts.get(position).and_then(|verdict| verdict.logit);
        let candidates: Vec<Candidate> =
            stage.order.iter().enumerate().map(|(at, &(_, score))| Candidate { score, logit: judgement(at) }).collect();
        let mut order = self.order.arrange(&candidates);
        order.truncate(self.limit);
        order
    }

    /// What is shown, with everything that is known of it.
    pub(super) fn hits(
        &self,
        text: &str,
        stage: &FirstStage,
        verdicts: &[Verdict],
        shown: &[(usize, f32)],
        timings: &mut Timings,
    ) -> Result<Vec<Hit>, Error> {
        let judgement = |position: usize| verdicts.get(position).and_then(|verdict| verdict.logit);
        let rerank_rank = |position: usize| {
            let mine = judgement(position)?;
            let better = |(other, logit): (usize, Option<f32>)| {
                logit.is_some_and(|logit| logit > mine || logit == mine && other < position)
            };
            Some((0..verdicts.len()).map(|other| (other, judgement(other))).filter(|&pair| better(pair)).count() + 1)
        };

        let begun = Instant::now();
        let (shown, scores): (Vec<usize>, Vec<f32>) = shown.iter().copied().unzip();
        let numbers: Vec<u64> = shown.iter().map(|&position| stage.order[position].0).collect();
        let documents = self.snapshot.documents()?;
        let wanted = |name: &&str| self.fields.as_ref().is_none_or(|names| names.iter().any(|other| other == name));
        let names: Vec<&str> = self.snapshot.schema().fields().iter().map(|field| field.name()).filter(wanted).collect();
        let fields = self.snapshot.store().read_documents(documents, &numbers, &names)?;
        let winners = match self.with_passages {
            true => judge::winning_passages(self, text, stage, verdicts, &shown)?,
            false => vec![None; shown.len()],
        };
        timings.read += begun.elapsed();

        let hit = |(at, ((position, fields), passage)): (usize, ((usize, _), Option<Passage>))| {
            let (number, fused) = stage.order[position];
            let logits = || verdicts.get(position).map_or_else(Vec::new, Verdict::logits);
            let judged = judgement(position).zip(rerank_rank(position));
            let judged = judged.map(|(logit, rank)| Judged { rank, logit, logits: logits() });
            Hit {
                key: documents.key(number).unwrap_or_default().to_owned(),
                rank: at + 1,
                score: scores[at],
                lexical: stage.lexical.get(&number).copied(),
                semantic: stage.semantic.get(&number).copied(),
                fused: (stage.mode == Mode::Hybrid).then_some(StageRank { rank: position + 1, score: fused }),
                rerank: judged,
                passage,
                fields,
            }
        };
        Ok(shown.iter().copied().zip(fields).zip(winners).enumerate().map(hit).collect())
    }
}

impl std::fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Search({:?}, {:?}, {} candidates, {} judged, {} shown)",
            self.query, self.mode, self.candidates, self.rerank, self.limit
        )
    }
}
