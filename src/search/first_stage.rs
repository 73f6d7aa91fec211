//! Candidates: BM25 and vectors, side by side, and their fusion.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::judge::Verdict;
use super::question::Question;
use super::{Facet, Mode, Note, Response, Search, StageRank};
use crate::error::Error;
use crate::lexical::{Counts, WordsReader};
use crate::numbers::NumberSet;
use crate::parallel;
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
}

impl FirstStage {
    /// The candidates in this stage's order, with what the judge has said of them.
    pub(super) fn judged(&self, verdicts: &[Verdict]) -> Vec<Candidate> {
        let logit = |at: usize| verdicts.get(at).and_then(|verdict| verdict.logit);
        self.order.iter().enumerate().map(|(at, &(_, score))| Candidate { score, logit: logit(at) }).collect()
    }

    pub(super) fn run(search: &Search<'_>, question: &Question, mode: Mode, response: &mut Response) -> Result<Self, Error> {
        let snapshot = search.snapshot;
        let begun = Instant::now();
        let documents = snapshot.documents()?;
        response.timings.read += begun.elapsed();
        let key = |number: u64| documents.key(number).unwrap_or_default();
        let number_of = |key: &str| documents.number(key);

        let begun = Instant::now();
        let among = match &question.restriction {
            Some(filter) => Some(snapshot.words()?.filtered(filter, &number_of)?),
            None => None,
        };
        let among = among.as_ref();
        response.timings.filter = begun.elapsed();

        // Opened here, since what runs on the pool must not wait for who reads with its help.
        let words = if mode == Mode::Semantic { None } else { Some(snapshot.words()?) };
        let by_words = |words: &WordsReader| {
            let (begun, tree) = (Instant::now(), &question.tree);
            let found = match &search.sort {
                Some((field, descending)) => {
                    let limit = search.candidates;
                    let sorted = words.sorted(tree, among, &number_of, (field, *descending), limit, key)?;
                    sorted.into_iter().map(|number| (number, 0.0)).collect()
                }
                None => {
                    let depth = search.depths.0.unwrap_or(search.candidates);
                    words.search(tree, depth, among, &number_of, key)?
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
            let (total, counts) = snapshot.words()?.count_values(&question.tree, among, &number_of, &fields)?;
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
        order.truncate(search.candidates);
        let (lexical, semantic) = (ranks(&lexical), ranks(semantic));
        response.timings.fuse = begun.elapsed();
        response.candidates = order.len();
        let compared_all = mode == Mode::Lexical || snapshot.passages()?.compares_all(among);
        Ok(Self { mode, order, lexical, semantic, fused, compared_all, direction: nearness.map(|(_, direction)| direction) })
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
    let fields = search.vector_places();
    let begun = Instant::now();
    let passages = snapshot.passages()?;
    response.timings.read += begun.elapsed();
    let begun = Instant::now();
    let vector = match (&search.vector, search.like, snapshot.encoder()) {
        (Some(vector), _, _) => vector.clone(),
        (None, Some(document), _) => match passages.mean_of(document, fields.as_deref()) {
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
    let direction = passages.direction(vector);
    let near = match mode {
        // The candidates are the words'; their passages are compared when they are chosen from.
        Mode::Lexical => Vec::new(),
        _ => {
            let eligible = Eligible { documents: among, fields: fields.as_deref() };
            let depth = search.depths.1.unwrap_or(search.candidates);
            passages.nearest(&direction, depth, eligible, |number| documents.key(number).unwrap_or_default())
        }
    };
    response.timings.semantic = begun.elapsed();
    Ok(Some((near, direction)))
}

fn ranks(list: &[(u64, f32)]) -> HashMap<u64, StageRank> {
    list.iter().enumerate().map(|(position, &(document, score))| (document, StageRank { rank: position + 1, score })).collect()
}
