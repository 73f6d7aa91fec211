//! What is asked, made out: the tree for the words, the text for the models, and what restricts both.

use super::{Note, Search};
use crate::error::Error;
use crate::query::{Filter, Query};

/// How the text of a search is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Reading {
    /// As the language of a search box; what cannot be understood is left out.
    #[default]
    Forgiving,
    /// As the same language; what cannot be understood is an error.
    Strict,
    /// As words, without operators.
    Plain,
    /// Not at all: the tree was given.
    Tree(Query),
    /// For the models as it is; the tree for the words was given.
    Beside(Query),
}

/// A question that was understood.
pub(super) struct Question {
    /// What the words' leg looks for.
    pub(super) tree: Query,
    /// What the models read; empty where there is nothing for them.
    pub(super) text: String,
    /// What a document has to meet, whichever leg finds it.
    pub(super) restriction: Option<Filter>,
}

impl Question {
    pub(super) fn of(search: &Search<'_>, notes: &mut Vec<Note>) -> Result<Self, Error> {
        let schema = search.snapshot.schema();
        // Control characters are neither words nor tokens; as spaces they also separate what they stood between. Places stay.
        let spaced = |c: char| if c.is_control() { " ".repeat(c.len_utf8()) } else { c.to_string() };
        let typed: String = search.query.chars().map(spaced).collect();
        let mut understood = true;
        let tree = match &search.reading {
            Reading::Plain => Query::words(typed.trim()),
            Reading::Strict if typed.trim().is_empty() => Query::words(""),
            Reading::Strict => Query::parse(&typed, schema)?,
            Reading::Forgiving => {
                let (tree, ignored) = Query::forgiving(&typed, schema);
                understood = ignored.is_empty();
                notes.extend(ignored.into_iter().map(Note::QueryIgnored));
                tree
            }
            Reading::Tree(tree) | Reading::Beside(tree) => {
                tree.check(schema)?;
                tree.clone()
            }
        };
        // Marks that are no operators say something to a model.
        let text = match &tree {
            _ if matches!(search.reading, Reading::Beside(_)) => typed.trim().to_owned(),
            Query::Words { field: None, .. } if understood && !matches!(search.reading, Reading::Tree(_)) => {
                typed.trim().to_owned()
            }
            other => other.plain_text(),
        };
        let mut conditions: Vec<Filter> = Vec::new();
        if let Some(filter) = &search.filter {
            filter.check(schema)?;
            conditions.push(filter.clone());
        }
        conditions.extend(required(&tree));
        let restriction = match conditions.len() {
            0 => None,
            1 => conditions.pop(),
            _ => Some(Filter::And(conditions)),
        };
        Ok(Self { tree, text, restriction })
    }
}

/// What a query requires and excludes outright: of an operator, people expect that it holds for everything that is shown.
fn required(tree: &Query) -> Option<Filter> {
    match tree {
        Query::Filter(filter) => Some(filter.clone()),
        Query::Boost { query, .. } => required(query),
        Query::Boolean { must, must_not, .. } if !(must.is_empty() && must_not.is_empty()) => {
            let outright = Query::Boolean { must: must.clone(), should: Vec::new(), must_not: must_not.clone() };
            Some(Filter::Matches(Box::new(outright)))
        }
        _ => None,
    }
}
