//! What is asked, made out: the tree for the words, the text for the models, and what restricts both.

use super::pattern::Pattern;
use super::{Mode, Note, Search};
use crate::error::Error;
use crate::lexical::MOST_WORDS;
use crate::query::{Demand, Filter, Ignored, Query};

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
    /// Words that the tree asks for without naming them.
    pub(super) patterns: Vec<Pattern>,
    /// What a document has to meet, whichever leg finds it.
    pub(super) filter: Option<Filter>,
    /// What the tree requires and excludes outright, and what the vectors' leg has to be told therefore; what the tree matches
    /// meets it.
    pub(super) required: Option<Filter>,
}

impl Question {
    pub(super) fn of(search: &Search<'_>, notes: &mut Vec<Note>) -> Result<Self, Error> {
        let schema = search.snapshot.schema();
        // Control characters are neither words nor tokens; as spaces they also separate what they stood between. Places stay.
        let spaced = |c: char| if c.is_control() { " ".repeat(c.len_utf8()) } else { c.to_string() };
        let typed: String = search.query.chars().map(spaced).collect();
        let mut understood = true;
        let mut demands = Vec::new();
        let tree = match &search.reading {
            Reading::Plain => Query::words(typed.trim()),
            Reading::Strict if typed.trim().is_empty() => Query::words(""),
            Reading::Strict => {
                let read = Query::read_strictly(&typed, schema)?;
                demands = read.demands;
                read.query
            }
            Reading::Forgiving => {
                let read = Query::read(&typed, schema);
                understood = read.ignored.is_empty();
                notes.extend(read.ignored.into_iter().map(Note::QueryIgnored));
                demands = read.demands;
                read.query
            }
            Reading::Tree(tree) | Reading::Beside(tree) => {
                tree.check(schema)?;
                tree.clone()
            }
        };
        for Demand { at, words } in demands {
            if search.snapshot.words()?.says_nothing(&words) {
                notes.push(Note::QueryIgnored(Ignored::new(&typed, at, UNINDEXED.to_owned())));
            }
        }
        notes.extend(unread(search, &tree, &typed)?.map(Note::QueryIgnored));
        // Marks that are no operators say something to a model.
        let text = match &tree {
            _ if matches!(search.reading, Reading::Beside(_)) => typed.trim().to_owned(),
            Query::Words { field: None, .. } if understood && !matches!(search.reading, Reading::Tree(_)) => {
                typed.trim().to_owned()
            }
            other => other.plain_text(),
        };
        if let Some(filter) = &search.filter {
            filter.check(schema)?;
        }
        let patterns = Pattern::all_of(&tree);
        Ok(Self { required: required(&tree), filter: search.filter.clone(), tree, text, patterns })
    }
}

const UNINDEXED: &str = "its words are stop words, which are not in the index, so it restricts nothing";

/// The end of a text that BM25 does not look for, where the text is nothing but words.
fn unread(search: &Search<'_>, tree: &Query, typed: &str) -> Result<Option<Ignored>, Error> {
    let Query::Words { field, text } = tree else { return Ok(None) };
    // Shorter ones have fewer words.
    if search.mode == Some(Mode::Semantic) || text.len() <= MOST_WORDS {
        return Ok(None);
    }
    let Some(unread) = search.snapshot.words()?.unread(field.as_deref(), text) else { return Ok(None) };
    // Only white space may be another one.
    let letters = text.get(..unread).unwrap_or_default().chars().filter(|c| !c.is_whitespace()).count();
    let at = typed.char_indices().filter(|(_, c)| !c.is_whitespace()).nth(letters).map_or(0, |(at, _)| at);
    let why = format!("of the different words of a query the first {MOST_WORDS} are looked for, found more");
    Ok(Some(Ignored::new(typed, at..typed.len(), why)))
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
