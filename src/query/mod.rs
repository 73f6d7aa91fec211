//! What is asked: a tree of words, phrases and conditions, the two languages in which people and programs write it, and the
//! check of it against the schema.
//!
//! Knows no index: it says what a query means, the rooms above find out what matches. Whatever has passed [`Query::check`]
//! or [`Filter::check`] has known fields, values of their types and a bounded size; both parsers give only that. `accept`
//! evaluates a filter on one document, in the plainest way, and is what any faster evaluation is held against.

mod accept;
mod check;
mod clauses;
mod condition;
mod cursor;
mod dates;
mod filter;
mod filter_lexer;
mod filter_parser;
mod filter_text;
mod ignored;
mod operand;
mod parser;
mod text;
mod tree;
mod trouble;

#[cfg(test)]
mod filter_language;
#[cfg(test)]
mod language;
#[cfg(test)]
mod properties;

pub use filter::{Comparison, Filter};
pub use ignored::Ignored;
pub use tree::Query;

pub(crate) use parser::Demand;

/// How deep a query may be nested, so that no query overflows a stack.
const MOST_DEEP: usize = 64;

/// By how many places the words of a phrase may be moved altogether: tantivy counts them in 8 bits.
pub(crate) const MOST_SLOP: u32 = 255;

/// How many clauses without clauses of their own a query may have.
const MOST_LEAVES: usize = 1024;

/// The name by which both languages call a document's key. No field can have it: a field's name begins with a letter.
const KEY: &str = "_key";
