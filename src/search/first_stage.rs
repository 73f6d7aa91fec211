//! Candidates: BM25 and vectors, side by side, and their fusion.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::judge::Verdict;
use super::pattern::Pattern;
use super::question::Question;
use super::{Facet, Mode, Note, Response, Search, StageRank};
use crate::error::{Error, StorageError};
use crate::lexical::{Counts, WordsReader};
use crate::numbers::NumberSet;
use crate::parallel;
use crate::query::Filter;
use crate::rank::{Candidate, Fused, fuse};
use crate::semantic::{Direction, Eligible};

/// What the first stage found.
pub(super) struct FirstStage {
    pub(super) mode: Mode,
    /// The candidates with their scores, best first.
    pub(super) order: Vec<(u64, f32)>,
    pub(super) lexical: HashMap<u64, StageRank>,
    pub(super) semantic: HashMap<u64, StageRank>,
    /// What each list added to a document's score, where that is to be explained.
    pub(super) fused: HashMap<u64, Fused>,
    /// Whether all passages that meet the question's restriction were compared with the query.
    pub(super) compared_all: bool,
    /// The query's vector, where it is known.
    pub(super) direction: Option<Direction>,
    /// Words that the query asks for without naming them.
    pub(super) patterns: Vec<Pattern>,
}

impl FirstStage {
    /// The candidates in this stage's order, with what the judge has said of them.
    pub(super) fn judged(&self, verdicts: &[Verdict]) -> Vec<Candidate> {
        let logit = |at: usize| verdicts.get(at).and_then(|verdict| verdict.logit);
        self.order.iter().enumerate().map(|(at, &(_, score))| Candidate { score, logit: logit(at) }).collect()
    }

    /// What is found where no document may be: nothing is read or encoded for it.
    fn nothing(search: &Search<'_>, mode: Mode, response: &mut Response) -> Self {
        let facet = |(field, _): &(String, usize)| Facet { field: field.clone(), values: Vec::new(), without: 0 };
        response.facets = search.facets.iter().map(facet).collect();
        response.total = (search.total || !search.facets.is_empty()).then_some(0);
        Self {
            mode,
            order: Vec::new(),
            lexical: HashMap::new(),
            semantic: HashMap::new(),
            fused: HashMap::new(),
            compared_all: true,
            direction: None,
            patterns: Vec::new(),
        }
    }

    pub(super) fn run(search: &Search<'_>, question: &Question, mode: Mode, response: &mut Response) -> Result<Self, Error> {
        let snapshot = search.snapshot;
        let begun = Instant::now();
        let restricted = Restricted::of(search, question, mode)?;
        response.timings.filter = begun.elapsed();
        if restricted.is_empty() {
            return Ok(Self::nothing(search, mode, response));
        }
        let (filtered, among) = (restricted.filtered.as_ref(), restricted.for_vectors());

        let begun = Instant::now();
        let documents = snapshot.documents()?;
        response.timings.read += begun.elapsed();
        let key = |number: u64| documents.ordered_key(number);
        let number_of = |key: &str| documents.number(key);

        let kept = search.kept(mode, &question.text);
        // Opened here, since what runs on the pool must not wait for who reads with its help.
        let words = if mode == Mode::Semantic { None } else { Some(snapshot.words()?) };
        let by_words = |words: &WordsReader| {
            let (begun, tree) = (Instant::now(), &question.tree);
            let found = match &search.sort {
                Some((field, descending)) => {
                    let sorted = words.sorted(tree, filtered, &number_of, (field, *descending), kept, key)?;
                    sorted.into_iter().map(|number| (number, 0.0)).collect()
                }
                None => {
                    let depth = search.depths.0.unwrap_or(kept);
                    words.search(tree, depth, filtered, &number_of, key)?
                }
            };
            Ok::<_, Error>((found, begun.elapsed()))
        };
        let by_vector = |response: &mut Response| by_vector(search, &question.text, mode, among, response);
        let mut lexical = Ok((Vec::new(), Duration::ZERO));
        let semantic = match (words, uses_vector(search, &question.text, mode)) {
            (Some(words), true) => parallel::beside(|| lexical = by_words(words), || by_vector(response)),
            (words, uses_vector) => {
                lexical = words.map_or(lexical, by_words);
                if uses_vector { by_vector(response) } else { Ok(None) }
            }
        };
        let (lexical, took) = lexical?;
        response.timings.lexical = took;
        let nearness = semantic?;

        if search.total || !search.facets.is_empty() {
            let begun = Instant::now();
            let fields: Vec<(&str, usize)> = search.facets.iter().map(|(field, most)| (field.as_str(), *most)).collect();
            let (total, counts) = snapshot.words()?.count_values(&question.tree, filtered, &number_of, &fields)?;
            response.total = Some(total);
            let facet = |((field, _), counts): (&(String, usize), Counts)| Facet {
                field: field.clone(),
                values: counts.values,
                without: counts.without,
            };
            response.facets = search.facets.iter().zip(counts).map(facet).collect();
            response.timings.count = begun.elapsed();
        }

        let begun = Instant::now();
        let near = nearness.as_ref().map_or(&[][..], |(near, _)| near);
        let semantic = if mode == Mode::Lexical { &[] } else { near };
        let mut fused = HashMap::new();
        let mut order = match mode {
            Mode::Lexical => lexical.clone(),
            Mode::Semantic => semantic.to_vec(),
            Mode::Hybrid => {
                let joined = fuse(&search.fusion, &lexical, semantic, key);
                let order = joined.iter().map(|hit| (hit.document, hit.score)).collect();
                if search.explain {
                    fused.extend(joined.into_iter().map(|hit| (hit.document, hit)));
                }
                order
            }
        };
        order.truncate(kept);
        let (lexical, semantic) = (ranks(&lexical), ranks(semantic));
        response.timings.fuse = begun.elapsed();
        response.candidates = order.len();
        let compared_all = mode == Mode::Lexical || snapshot.passages()?.compares_all(among);
        let (direction, patterns) = (nearness.map(|(_, direction)| direction), question.patterns.clone());
        Ok(Self { mode, order, lexical, semantic, fused, compared_all, direction, patterns })
    }
}

/// The documents that may be found; all where there is no set.
struct Restricted {
    /// Those that meet the filter.
    filtered: Option<NumberSet>,
    /// Those of them that have what the query requires, where that has to be known: of what the words' leg finds it holds anyway.
    required: Option<NumberSet>,
}

impl Restricted {
    fn of(search: &Search<'_>, question: &Question, mode: Mode) -> Result<Self, Error> {
        let snapshot = search.snapshot;
        // Only conditions on keys ask for numbers, and where nothing meets a filter nothing else does.
        let unread: RefCell<Option<StorageError>> = RefCell::new(None);
        let number_of = |key: &str| {
            if unread.borrow().is_some() {
                return None;
            }
            match snapshot.documents() {
                Ok(documents) => documents.number(key),
                Err(error) => {
                    unread.replace(Some(error));
                    None
                }
            }
        };
        let numbers =
            |filter: &Option<Filter>| filter.as_ref().map(|filter| snapshot.words()?.filtered(filter, &number_of)).transpose();
        let filtered = numbers(&question.filter)?;
        let nothing_is_left = filtered.as_ref().is_some_and(|numbers| numbers.len() == 0);
        let met = if mode == Mode::Lexical || nothing_is_left { None } else { numbers(&question.required)? };
        let required = match (met, &filtered) {
            (Some(met), Some(filtered)) => Some(met.iter().filter(|number| filtered.contains(*number)).collect()),
            (met, _) => met,
        };
        match unread.into_inner() {
            Some(error) => Err(error.into()),
            None => Ok(Self { filtered, required }),
        }
    }

    fn for_vectors(&self) -> Option<&NumberSet> {
        self.required.as_ref().or(self.filtered.as_ref())
    }

    /// Whether no document may be found.
    fn is_empty(&self) -> bool {
        self.for_vectors().is_some_and(|numbers| numbers.len() == 0)
    }
}

/// The documents that are near, and the query's vector.
type Near = (Vec<(u64, f32)>, Direction);

/// Whether there is anything for the vectors' leg to do. Also for a lexical search that will be judged: it tells which passages to judge.
fn uses_vector(search: &Search<'_>, text: &str, mode: Mode) -> bool {
    let known = search.vector.is_some() || search.like.is_some();
    let helps = search.judge.is_some() && search.rerank > 0 && (known || search.snapshot.encoder().is_some());
    search.sort.is_none() && (mode != Mode::Lexical || !text.is_empty() && helps)
}

/// The vectors' leg; `None` where there is nothing to look for.
fn by_vector(
    search: &Search<'_>,
    text: &str,
    mode: Mode,
    among: Option<&NumberSet>,
    response: &mut Response,
) -> Result<Option<Near>, Error> {
    let snapshot = search.snapshot;
    let (fields, Some(space)) = (search.vector_places(), search.vector_space()) else { return Ok(None) };
    let begun = Instant::now();
    let passages = snapshot.passages()?;
    response.timings.read += begun.elapsed();
    let begun = Instant::now();
    let vector = match (&search.vector, search.like, snapshot.encoder()) {
        (Some(vector), _, _) => vector.clone(),
        (None, Some(document), _) => match passages.mean_of(document, fields.as_deref(), space.metric()) {
            Some(vector) => vector,
            None => return Ok(None),
        },
        (None, None, Some(encoder)) => {
            let encoded = encoder.encode_query(text)?;
            if encoded.truncated {
                response.notes.push(Note::QueryTruncated { most: encoder.max_tokens() });
            }
            response.used(encoder.device(), encoder.identity().name(), encoder.fallback());
            encoded.vector
        }
        (None, None, None) => return Ok(None),
    };
    response.timings.encode = begun.elapsed();
    let begun = Instant::now();
    let documents = snapshot.documents()?;
    let direction = passages.direction(vector, space);
    let near = match mode {
        // The candidates are the words'; their passages are compared when they are chosen from.
        Mode::Lexical => Vec::new(),
        _ => {
            let eligible = Eligible { documents: among, fields: fields.as_deref() };
            let depth = search.depths.1.unwrap_or(search.candidates);
            passages.nearest(&direction, depth, eligible, |number| documents.ordered_key(number))
        }
    };
    response.timings.semantic = begun.elapsed();
    Ok(Some((near, direction)))
}

fn ranks(list: &[(u64, f32)]) -> HashMap<u64, StageRank> {
    list.iter().enumerate().map(|(position, &(document, score))| (document, StageRank { rank: position + 1, score })).collect()
}
