//! Candidates: BM25 and vectors, each on its own thread, and their fusion.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use super::passages::Nearness;
use super::{Mode, Note, Response, Search, StageRank};
use crate::error::Error;
use crate::rank::reciprocal_rank_fusion;

/// What the first stage found.
pub(super) struct FirstStage {
    pub(super) mode: Mode,
    /// The candidates with their scores, best first.
    pub(super) order: Vec<(u64, f32)>,
    pub(super) lexical: HashMap<u64, StageRank>,
    pub(super) semantic: HashMap<u64, StageRank>,
    /// The similarity of each passage to the query, by position, where the query is known as a vector.
    pub(super) similarities: Option<Vec<f32>>,
}

impl FirstStage {
    pub(super) fn run(search: &Search<'_>, text: &str, mode: Mode, response: &mut Response) -> Result<Self, Error> {
        let snapshot = search.snapshot;
        let begun = Instant::now();
        let documents = snapshot.documents()?;
        response.timings.read += begun.elapsed();
        let key = |number: u64| documents.key(number).unwrap_or_default();

        let (lexical, semantic) = std::thread::scope(|scope| {
            let words = (mode != Mode::Semantic).then(|| {
                scope.spawn(move || {
                    let begun = Instant::now();
                    let found = snapshot.words()?.search(text, search.candidates, key)?;
                    Ok::<_, Error>((found, begun.elapsed()))
                })
            });
            let semantic = by_vector(search, text, mode, response);
            let words = words.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            (words.transpose(), semantic)
        });
        let (lexical, took) = lexical?.unwrap_or((Vec::new(), Duration::ZERO));
        response.timings.lexical = took;
        let nearness = semantic?;

        let begun = Instant::now();
        let near = nearness.as_ref().map_or(&[][..], |nearness| &nearness.documents);
        let semantic = if mode == Mode::Lexical { &[] } else { near };
        let mut order = match mode {
            Mode::Lexical => lexical.clone(),
            Mode::Semantic => semantic.to_vec(),
            Mode::Hybrid => reciprocal_rank_fusion(&[&lexical, semantic], key),
        };
        order.truncate(search.candidates);
        let (lexical, semantic) = (ranks(&lexical), ranks(semantic));
        response.timings.fuse = begun.elapsed();
        response.candidates = order.len();
        Ok(Self { mode, order, lexical, semantic, similarities: nearness.map(|nearness| nearness.passages) })
    }
}

/// The vectors' leg. Also runs for a lexical search that will be judged, where it can: it tells which passages to judge.
fn by_vector(search: &Search<'_>, text: &str, mode: Mode, response: &mut Response) -> Result<Option<Nearness>, Error> {
    let snapshot = search.snapshot;
    let helps = search.judge.is_some() && search.rerank > 0 && (search.vector.is_some() || snapshot.encoder().is_some());
    if mode == Mode::Lexical && !helps {
        return Ok(None);
    }
    let begun = Instant::now();
    let encoded;
    let vector = match (&search.vector, snapshot.encoder()) {
        (Some(vector), _) => vector,
        (None, Some(encoder)) => {
            encoded = encoder.encode_query(text)?;
            if encoded.truncated {
                response.notes.push(Note::QueryTruncated { most: encoder.max_tokens() });
            }
            response.used(encoder.device(), encoder.identity().name(), encoder.fallback());
            &encoded.vector
        }
        (None, None) => return Ok(None),
    };
    response.timings.encode = begun.elapsed();
    let begun = Instant::now();
    let passages = snapshot.passages()?;
    response.timings.read += begun.elapsed();
    let begun = Instant::now();
    let documents = snapshot.documents()?;
    let nearness = passages.nearest(vector, search.candidates, |number| documents.key(number).unwrap_or_default());
    response.timings.semantic = begun.elapsed();
    Ok(Some(nearness))
}

fn ranks(list: &[(u64, f32)]) -> HashMap<u64, StageRank> {
    list.iter().enumerate().map(|(position, &(document, score))| (document, StageRank { rank: position + 1, score })).collect()
}
