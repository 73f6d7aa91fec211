//! A question, and how it is to be answered.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use super::explain::Explainer;
use super::first_stage::FirstStage;
use super::judge::{DocumentLogit, Verdict};
use super::passages::winning_passages;
use super::progress::{CancelToken, Progressive, Running};
use super::question::{Question, Reading};
use super::response::{Hit, Judged, Passage, Response, Timings};
use super::{Snapshot, StageRank};
use crate::error::{Error, SearchError};
use crate::model::CrossEncoder;
use crate::query::{Filter, Query};
use crate::rank::{FinalOrder, Fusion};
use crate::schema::{Space, check_vector};
use crate::store::VectorSource;

/// Passages of a document that are judged, unless a search says otherwise.
pub(crate) const PASSAGES: usize = 2;

/// Which legs the first stage has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// BM25 over the words alone.
    Lexical,
    /// The vectors alone.
    Semantic,
    /// Both, joined by [`Search::fusion`].
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
/// Three numbers: each leg finds `candidates` documents, and as many are kept after fusion; the first `rerank` of them are judged
/// by the cross-encoder; the first `limit` of the final order are shown. A larger `limit` shows more of the same order, never
/// another, so it shows at most `candidates`. Where words alone decide, or a field to sort by, that order does not depend on how
/// many were found, and as many are found as are shown.
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
    pub(super) reading: Reading,
    pub(super) filter: Option<Filter>,
    pub(super) fusion: Fusion,
    /// Documents that the words' leg finds, and the vectors', where that is not `candidates`.
    pub(super) depths: (Option<usize>, Option<usize>),
    pub(super) facets: Vec<(String, usize)>,
    pub(super) total: bool,
    pub(super) sort: Option<(String, bool)>,
    pub(super) explain: bool,
    pub(super) mode: Option<Mode>,
    pub(super) vector: Option<Vec<f32>>,
    /// The fields of whose passages the vectors' leg goes by; all where none are named.
    pub(super) vector_fields: Option<Vec<String>>,
    /// The document whose vectors' mean is looked for, whatever the text says.
    pub(super) like: Option<u64>,
    pub(super) candidates: usize,
    pub(super) rerank: usize,
    pub(super) judge: Option<&'a CrossEncoder>,
    pub(super) passages: usize,
    pub(super) document_logit: DocumentLogit,
    pub(super) deadline: Option<Duration>,
    pub(super) cancel: Option<CancelToken>,
    pub(super) cache: bool,
    limit: usize,
    offset: usize,
    fields: Option<Vec<String>>,
    with_passages: bool,
    pub(super) order: FinalOrder,
}

impl<'a> Search<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, query: &str) -> Self {
        Self {
            snapshot,
            query: query.to_owned(),
            reading: Reading::default(),
            filter: None,
            fusion: Fusion::default(),
            depths: (None, None),
            facets: Vec::new(),
            total: false,
            sort: None,
            explain: false,
            offset: 0,
            mode: None,
            vector: None,
            vector_fields: None,
            like: None,
            candidates: 100,
            rerank: 0,
            judge: None,
            passages: PASSAGES,
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

    /// The query as a vector, for an index whose vectors the application brings; of the size of the vectors that are compared ([`Search::vector_fields`]).
    #[must_use]
    pub fn vector(mut self, vector: impl Into<Vec<f32>>) -> Self {
        self.vector = Some(vector.into());
        self
    }

    /// The fields whose vectors are compared with the query: those that documents brought for them ([`Document::vector_of`](crate::Document::vector_of)), or
    /// those of their passages. All unless set, or all but those with a size or a metric of their own ([`Options::own_vectors_of`](crate::Options::own_vectors_of)),
    /// of which one search can name those of one kind.
    #[must_use]
    pub fn vector_fields<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.vector_fields = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// How many documents each leg finds, and how many go on after fusion; 100 unless set. 0 finds nothing. See
    /// [`Search::offset`] for more than these.
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
    /// a thread at least. After the first one, none is begun that is not expected to end in time; one that is not done 30 ms after it should be is
    /// given up, where the CPU computes.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Ends judging, between two batches or, on the CPU, two layers of the network, once the token is cancelled, by whatever thread; the response
    /// is as after a deadline.
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

    /// Takes the text as words and nothing else: quotes, signs and capital letters are no operators. For texts that nobody has typed into a
    /// search box.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.reading = Reading::Plain;
        self
    }

    /// Refuses a text that is not wholly in the language of [`Query::parse`], with the place of what is wrong. Otherwise whatever is typed
    /// finds something, and [`Response::notes`] says what was left out.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.reading = Reading::Strict;
        self
    }

    pub(super) fn tree(mut self, tree: Query) -> Self {
        self.reading = Reading::Tree(tree);
        self
    }

    /// The text is for the judge, the tree for the words.
    pub(super) fn beside(mut self, tree: Query) -> Self {
        self.reading = Reading::Beside(tree);
        self
    }

    /// What every document that is found has to meet, whichever leg finds it; applied before the best are chosen. What the query
    /// itself requires or excludes (`+word`, `-word`, `AND`, `year:1990`) restricts both legs as well.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(match self.filter {
            Some(other) => other.and(filter),
            None => filter,
        });
        self
    }

    /// How the two lists become one; see [`Fusion`].
    #[must_use]
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// How many documents the words' leg finds, and how many the vectors'; as many as go on after fusion unless set.
    #[must_use]
    pub fn depths(mut self, words: usize, vectors: usize) -> Self {
        self.depths = (Some(words), Some(vectors));
        self
    }

    /// Counts the values of a field among all documents that match the words and the filter, the `most` most frequent ones, into
    /// [`Response::facets`]. A keyword, an integer, a float, a date or a boolean.
    #[must_use]
    pub fn facet(mut self, field: impl Into<String>, most: usize) -> Self {
        self.facets.push((field.into(), most));
        self
    }

    /// Counts the documents that match the words and the filter, into [`Response::total`].
    #[must_use]
    pub fn count_total(mut self) -> Self {
        self.total = true;
        self
    }

    /// Orders by the values of a field instead of by relevance, the least first: all documents that match the words and the filter, no
    /// vectors and no judge. Those without a value come last, equal ones in the order of their keys.
    #[must_use]
    pub fn sort_by(mut self, field: impl Into<String>) -> Self {
        self.sort = Some((field.into(), false));
        self
    }

    /// As [`Search::sort_by`], the greatest first.
    #[must_use]
    pub fn sort_by_descending(mut self, field: impl Into<String>) -> Self {
        self.sort = Some((field.into(), true));
        self
    }

    /// Has each hit say where its score comes from, in [`Hit::explanation`](super::Hit::explanation): costs about as much as finding it.
    #[must_use]
    pub fn explain(mut self) -> Self {
        self.explain = true;
        self
    }

    /// How many hits are left out before those that are shown. The order of a snapshot's answer to one question is always the
    /// same, so pages of it do not overlap and leave nothing out, unless judging was ended by a [`Search::deadline`] or a
    /// [`Search::cancel`]: how far it came decides the order then.
    ///
    /// In [`Mode::Lexical`] without a judge, and under [`Search::sort_by`], pages go on until there is nothing more that matches.
    /// All others end with the candidates, which are part of the question: what a score is worth is measured by the others of its
    /// list, and a judge is weighed by all that it judged. So [`Search::candidates`], [`Search::depths`] and [`Search::rerank`]
    /// have to be the same for all pages, and enough for the last of them.
    #[must_use]
    pub fn offset(mut self, hits: usize) -> Self {
        self.offset = hits;
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
    /// [`crate::QueryError`] for a filter or a tree that does not fit the schema, and for a text in [`Search::strict`];
    /// [`SearchError::Fusion`], [`SearchError::NoQueryVector`], [`SearchError::QueryVectorRefused`], [`SearchError::Field`],
    /// [`crate::SchemaError::Vector`]; [`crate::ModelError`]
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

    /// That fields to sort by and to count have values, and that the fusion is one.
    pub(super) fn check(&self) -> Result<(), SearchError> {
        self.fusion.check().map_err(|reason| SearchError::Fusion { fusion: format!("{:?}", self.fusion), reason })?;
        let named = self.sort.iter().map(|(field, _)| field).chain(self.facets.iter().map(|(field, _)| field));
        for name in named {
            let field = self.snapshot.schema().field(name);
            let found = field.map_or_else(|| "no field of that name".to_owned(), |field| field.kind().to_string());
            if !field.is_some_and(|field| field.kind().has_values()) {
                return Err(SearchError::Field { field: name.clone(), found });
            }
        }
        let schema = self.snapshot.schema();
        let mut fields = self.vector_fields.iter().flatten();
        if let Some(name) = fields.clone().find(|name| schema.field(name).is_none()) {
            return Err(SearchError::VectorField { field: name.clone(), known: schema.known() });
        }
        let source = &self.snapshot.store().header.vectors;
        let Some((first, space)) = fields.next().and_then(|first| Some((first, source.space_of(Some(first))?))) else {
            return Ok(());
        };
        match fields.find_map(|name| Some((name, source.space_of(Some(name)).filter(|other| *other != space)?))) {
            Some((second, other)) => Err(SearchError::VectorFields {
                first: first.clone(),
                of_first: space.to_string(),
                second: second.clone(),
                of_second: other.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// That of the vectors that are compared; `None` in an index without any.
    pub(super) fn vector_space(&self) -> Option<Space> {
        let named = self.vector_fields.iter().flatten().next();
        self.snapshot.store().header.vectors.space_of(named.map(String::as_str))
    }

    /// How many documents the first stage keeps: the candidates, or where more of them change nothing, as many as are shown.
    pub(super) fn kept(&self, mode: Mode, text: &str) -> usize {
        let judges = self.judge.is_some() && self.rerank > 0 && !text.is_empty();
        match self.sort.is_some() || mode == Mode::Lexical && !judges {
            true => self.candidates.max(self.offset.saturating_add(self.limit)),
            false => self.candidates,
        }
    }

    /// The places in the schema of the fields whose vectors are compared; `None` for all.
    pub(super) fn vector_places(&self) -> Option<Vec<u64>> {
        let Some(names) = &self.vector_fields else {
            let spaces = self.snapshot.store().header.spaces()?;
            return spaces.fields_of(spaces.all()[0]);
        };
        let fields = self.snapshot.schema().fields().iter().zip(0..);
        Some(fields.filter(|(field, _)| names.iter().any(|name| name == field.name())).map(|(_, place)| place).collect())
    }

    /// The mode, with everything that it needs present.
    pub(super) fn checked_mode(&self) -> Result<Mode, Error> {
        let source = &self.snapshot.store().header.vectors;
        let mode = self.mode.unwrap_or(if *source == VectorSource::Nothing { Mode::Lexical } else { Mode::Hybrid });
        let missing = |why: String, remedy| SearchError::NoQueryVector { why, remedy };
        match (source, &self.vector) {
            (VectorSource::Application(space) | VectorSource::Fields(space, _), Some(vector)) => {
                let own: Vec<&str> = source.fields().iter().map(|(field, _)| field.as_str()).collect();
                let what = match &self.vector_fields {
                    None if !own.is_empty() => {
                        format!("the query, for no field of {} as `Search::vector_fields` names none", own.join(", "))
                    }
                    _ => "the query".to_owned(),
                };
                check_vector(&what, vector, self.vector_space().unwrap_or(*space))?;
            }
            (VectorSource::Encoder(_), Some(_)) => {
                return Err(SearchError::QueryVectorRefused { makes: "makes its own vectors" }.into());
            }
            (VectorSource::Nothing, Some(_)) => return Err(SearchError::QueryVectorRefused { makes: "keeps no vectors" }.into()),
            (_, None) if mode == Mode::Lexical || self.like.is_some() => {}
            (VectorSource::Nothing, None) => {
                return Err(
                    missing("the index was made without vectors".to_owned(), "make an index with `Options::encoder`").into()
                );
            }
            (VectorSource::Application(_) | VectorSource::Fields(..), None) => {
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

    /// The positions that are shown, in the final order, with their scores.
    pub(super) fn shown(&self, stage: &FirstStage, verdicts: &[Verdict]) -> Vec<(usize, f32)> {
        let mut order = self.order.arrange(&stage.judged(verdicts));
        order.drain(..self.offset.min(order.len()));
        order.truncate(self.limit);
        order
    }

    /// What is shown, with everything that is known of it.
    pub(super) fn hits(
        &self,
        question: &Question,
        stage: &FirstStage,
        verdicts: &[Verdict],
        shown: &[(usize, f32)],
        timings: &mut Timings,
    ) -> Result<Vec<Hit>, Error> {
        if shown.is_empty() {
            return Ok(Vec::new());
        }
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
        let read = || self.snapshot.store().read_documents(documents, &numbers, &names);
        let winners = |fields| match self.with_passages {
            true => winning_passages(self, &question.text, stage, verdicts, &shown, fields),
            false => Ok(vec![None; shown.len()]),
        };
        // Passages are parts of texts; of texts that are read anyway they need not be read once more.
        let has_texts = self.snapshot.schema().fields().iter().all(|field| !field.kind().is_searched() || wanted(&field.name()));
        let (fields, winners) = if has_texts {
            let fields = read()?;
            let winners = winners(Some(&fields))?;
            (fields, winners)
        } else {
            std::thread::scope(|scope| {
                let fields = scope.spawn(read);
                let winners = winners(None);
                Ok::<_, Error>((fields.join().unwrap_or_else(|panic| resume_unwind(panic))?, winners?))
            })?
        };
        timings.read += begun.elapsed();

        let explanations = match self.explain {
            true => {
                let explainer = Explainer::new(self, question, stage, verdicts);
                let explain = |(&at, &score)| explainer.explain(at, verdicts.get(at), score).map(Some);
                shown.iter().zip(&scores).map(explain).collect::<Result<Vec<_>, Error>>()?
            }
            false => vec![None; shown.len()],
        };

        let hit = |(at, ((position, fields), passage)): (usize, ((usize, _), Option<Passage>))| {
            let (number, fused) = stage.order[position];
            let logits = || verdicts.get(position).map_or_else(Vec::new, Verdict::logits);
            let judged = judgement(position).zip(rerank_rank(position));
            let judged = judged.map(|(logit, rank)| Judged { rank, logit, logits: logits() });
            Hit {
                key: documents.key(number).unwrap_or_default().to_owned(),
                rank: self.offset + at + 1,
                score: scores[at],
                lexical: stage.lexical.get(&number).copied(),
                semantic: stage.semantic.get(&number).copied(),
                fused: (stage.mode == Mode::Hybrid).then_some(StageRank { rank: position + 1, score: fused }),
                rerank: judged,
                passage,
                fields,
                explanation: explanations[at].clone(),
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
