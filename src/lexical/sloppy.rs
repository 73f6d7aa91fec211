//! Phrases whose words may be moved.

use std::sync::Arc;

use tantivy::Term;
use tantivy::query::{EnableScoring, Query, Weight};

/// A phrase with a slop, which matches the same whether its scores are wanted or not. Tantivy has the moves of all words add up where it scores; where it
/// does not, each word may be moved so far.
#[derive(Clone, Debug)]
pub(super) struct SloppyPhraseQuery(pub(super) Arc<dyn Query>);

impl Query for SloppyPhraseQuery {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let scoring = match scoring.searcher() {
            Some(searcher) if !scoring.is_scoring_enabled() => EnableScoring::enabled_from_searcher(searcher),
            _ => scoring,
        };
        self.0.weight(scoring)
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        self.0.query_terms(visitor);
    }
}
