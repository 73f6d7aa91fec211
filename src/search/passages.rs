//! The passages of a snapshot, by document.

use crate::semantic::VectorTable;
use crate::store::PassageIndex;

/// Where passages are, whose they are, and their vectors.
pub(super) struct PassageTable {
    pub(super) index: PassageIndex,
    pub(super) vectors: Option<VectorTable>,
    /// (document, position in the index), sorted.
    by_document: Vec<(u64, u32)>,
}

/// How near a query is to the best passage of each document, and to each passage.
pub(super) struct Nearness {
    /// Documents by their best passage, best first.
    pub(super) documents: Vec<(u64, f32)>,
    /// The similarity of each passage, by position.
    pub(super) passages: Vec<f32>,
}

impl PassageTable {
    pub(super) fn new(mut index: PassageIndex, dimension: Option<usize>) -> Self {
        let vectors = std::mem::take(&mut index.vectors);
        let mut by_document: Vec<(u64, u32)> = index.documents.iter().copied().zip(0..).collect();
        // Nearly always sorted already: passages are written document by document.
        by_document.sort_unstable();
        Self { vectors: dimension.map(|dimension| VectorTable::new(vectors, dimension)), index, by_document }
    }

    /// The positions of a document's passages, in their order in the document.
    pub(super) fn of_document(&self, document: u64) -> impl Iterator<Item = usize> {
        let start = self.by_document.partition_point(|(number, _)| *number < document);
        self.by_document[start..]
            .iter()
            .take_while(move |(number, _)| *number == document)
            .map(|(_, position)| *position as usize)
    }

    /// The similarity of each passage to a query's vector, and the `limit` nearest documents; equal ones in the order of
    /// `rank_of_equals`.
    pub(super) fn nearest<K: Ord>(&self, query: &[f32], limit: usize, rank_of_equals: impl Fn(u64) -> K) -> Nearness {
        let passages = self.vectors.as_ref().map_or_else(Vec::new, |vectors| vectors.similarities(query));
        let mut documents: Vec<(u64, f32)> = Vec::new();
        for (document, position) in &self.by_document {
            let similarity = passages.get(*position as usize).copied().unwrap_or(f32::MIN);
            match documents.last_mut() {
                Some((last, best)) if last == document => *best = best.max(similarity),
                _ => documents.push((*document, similarity)),
            }
        }
        let better =
            |a: &(u64, f32), b: &(u64, f32)| b.1.total_cmp(&a.1).then_with(|| rank_of_equals(a.0).cmp(&rank_of_equals(b.0)));
        if limit < documents.len() {
            documents.select_nth_unstable_by(limit, better);
            documents.truncate(limit);
        }
        documents.sort_by(better);
        Nearness { documents, passages }
    }

    /// The positions of a document's `most` best passages by `score`, best first; equal ones in the document's order.
    pub(super) fn best_of(&self, document: u64, most: usize, score: impl Fn(usize) -> f32) -> Vec<usize> {
        let mut positions: Vec<usize> = self.of_document(document).collect();
        positions.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        positions.truncate(most);
        positions
    }
}
