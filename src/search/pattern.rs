//! Words that a query asks for without naming them: beginnings, and words that are nearly another.

use crate::lexical::{Analyzer, most_edits};
use crate::query::Query;
use crate::schema::Language;

/// Words as they are written, in lower case, by what they are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Words that begin so.
    Beginning(String),
    /// Words that so many edits make of this one.
    Near { word: Vec<char>, distance: usize },
}

impl Pattern {
    /// Those of a query, but for what it excludes and for its conditions.
    pub(super) fn all_of(query: &Query) -> Vec<Self> {
        let mut found = Vec::new();
        collect(query, &mut found);
        found
    }

    /// Whether a word is one of these.
    pub(super) fn is_met(&self, word: &str) -> bool {
        match self {
            Self::Beginning(beginning) => word.starts_with(beginning),
            Self::Near { word: near, distance } => is_within(near, &word.chars().collect::<Vec<_>>(), *distance),
        }
    }
}

/// As `lexical/compile.rs` looks for them.
fn collect(query: &Query, found: &mut Vec<Pattern>) {
    match query {
        Query::Prefix { text, .. } => {
            let mut last = None;
            Analyzer::in_language(Language::Neutral).words(text, |word| last = Some(word.to_owned()));
            found.extend(last.map(Pattern::Beginning));
        }
        Query::Fuzzy { text, distance, .. } => {
            Analyzer::in_language(Language::Neutral).words(text, |word| {
                let distance = usize::from((*distance).min(most_edits(word)));
                found.push(Pattern::Near { word: word.chars().collect(), distance });
            });
        }
        Query::Boolean { must, should, .. } => must.iter().chain(should).for_each(|clause| collect(clause, found)),
        Query::Boost { query, .. } => collect(query, found),
        Query::Words { .. } | Query::Phrase { .. } | Query::Filter(_) | Query::All => {}
    }
}

/// Whether at most so many edits make one word of the other: a letter added, dropped, replaced, or exchanged with its neighbour.
fn is_within(a: &[char], b: &[char], most: usize) -> bool {
    if a.len().abs_diff(b.len()) > most {
        return false;
    }
    // Rows of the table of distances between their beginnings: the one before the last, and the last.
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(letter != other)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *other && *letter == b[j - 1] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        // What follows is no less.
        if row.iter().all(|distance| *distance > most) {
            return false;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().is_some_and(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(a: &str, b: &str, most: usize) -> bool {
        is_within(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>(), most)
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in [
            ("", "", 0),
            ("walnut", "walnut", 0),
            ("wallnut", "walnut", 1),
            ("wanlut", "walnut", 1),
            ("lawnut", "walnut", 2),
            ("awlnut", "walnut", 1),
            ("walnit", "walnut", 1),
            ("été", "ete", 2),
            ("", "ab", 2),
        ] {
            for most in 0..3 {
                assert_eq!(near(a, b, most), edits <= most, "{a} {b} {most}");
                assert_eq!(near(b, a, most), edits <= most, "{b} {a} {most}");
            }
        }
    }

    #[test]
    fn beginnings_begin() {
        let pattern = Pattern::Beginning("obvi".to_owned());
        assert!(pattern.is_met("obvious") && pattern.is_met("obvi") && !pattern.is_met("obv") && !pattern.is_met("anobvi"));
    }

    /// All words that one edit makes of this one, by the letters of an alphabet.
    fn edited(word: &[char], alphabet: &[char]) -> Vec<Vec<char>> {
        let mut all = Vec::new();
        for at in 0..=word.len() {
            for letter in alphabet {
                all.push([&word[..at], &[*letter], &word[at..]].concat());
                if at < word.len() {
                    all.push([&word[..at], &[*letter], &word[at + 1..]].concat());
                }
            }
            if at < word.len() {
                all.push([&word[..at], &word[at + 1..]].concat());
            }
            if at + 1 < word.len() {
                all.push([&word[..at], &[word[at + 1], word[at]], &word[at + 2..]].concat());
            }
        }
        all
    }

    proptest! {
        #[test]
        fn one_edit_is_one_and_two_are_none_too_many(a in "[ab]{0,6}", b in "[ab]{0,6}") {
            let chars = |word: &str| word.chars().collect::<Vec<_>>();
            let (word, other) = (chars(&a), chars(&b));
            let by_one = edited(&word, &['a', 'b']);
            let one = word == other || by_one.contains(&other);
            prop_assert_eq!(near(&a, &b, 1), one, "{} {}", a, b);
            // An edited letter is not edited again, so what one edit after the other makes may be farther.
            prop_assert!(!near(&a, &b, 2) || one || by_one.iter().any(|middle| edited(middle, &['a', 'b']).contains(&other)));
        }
    }
}
