//! A few lines of a passage for a list of hits.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::Passage;

/// A stretch of a passage, of whole words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snippet {
    /// The text.
    pub text: String,
    /// Where it has words of the query; byte ranges of `text`, ascending.
    pub highlights: Vec<Range<usize>>,
    /// Whether the passage has text before it.
    pub cut_before: bool,
    /// Whether it has text behind it.
    pub cut_after: bool,
}

impl Passage {
    /// Characters of the snippet in [`Response::to_json`](super::Response::to_json): two lines or three.
    pub const SNIPPET: usize = 240;

    /// The stretch of at most so many characters that has most of the query's words, the first such one, with some words before the first of
    /// them. A word that alone is longer is given whole.
    pub fn snippet(&self, characters: usize) -> Snippet {
        let words: Vec<(usize, &str)> = self.text.split_word_bound_indices().collect();
        // Characters before each word, to find where a stretch ends.
        let mut before = Vec::with_capacity(words.len() + 1);
        let mut count = 0;
        for (_, word) in &words {
            before.push(count);
            count += word.chars().count();
        }
        before.push(count);
        if count <= characters || words.is_empty() {
            return self.stretch(0..self.text.len());
        }
        let end_of =
            |first: usize| before.partition_point(|at| *at <= before[first] + characters).saturating_sub(1).max(first + 1);
        let place = |word: usize| words.get(word).map_or(self.text.len(), |(at, _)| *at);
        let is_space = |word: usize| words.get(word).is_some_and(|(_, word)| word.trim().is_empty());
        // A quarter of it for what stands before.
        let begin_at = |highlight: &Range<usize>| {
            let word = words.partition_point(|(at, _)| *at <= highlight.start).saturating_sub(1);
            let lead = before[word].saturating_sub(characters / 4);
            let first = before.partition_point(|at| *at < lead).min(word);
            if first < word && is_space(first) { first + 1 } else { first }
        };
        // They ascend, so those between two places are next to each other.
        let held = |first: usize| {
            let (start, end) = (place(first), place(end_of(first)));
            let up_to = self.highlights.partition_point(|highlight| highlight.end <= end);
            up_to.saturating_sub(self.highlights.partition_point(|highlight| highlight.start < start))
        };
        let starts = self.highlights.iter().map(begin_at);
        let best = starts.map(|first| (held(first), first)).reduce(|best, next| if next.0 > best.0 { next } else { best });
        let first = best.map_or(0, |(_, first)| first);
        self.stretch(place(first)..place(end_of(first)))
    }

    /// A range without the white space around it.
    fn stretch(&self, range: Range<usize>) -> Snippet {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let start = range.start + (text.len() - text.trim_start().len());
        let text = text.trim();
        let end = start + text.len();
        let inside = self.highlights.iter().filter(|highlight| start <= highlight.start && highlight.end <= end);
        Snippet {
            text: text.to_owned(),
            highlights: inside.map(|highlight| highlight.start - start..highlight.end - start).collect(),
            cut_before: !self.text.get(..start).unwrap_or_default().trim().is_empty(),
            cut_after: !self.text.get(end..).unwrap_or_default().trim().is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passage(text: &str, word: &str) -> Passage {
        let highlights = text.match_indices(word).map(|(at, word)| at..at + word.len()).collect();
        Passage { text: text.to_owned(), field: "body".to_owned(), start: 0, end: text.len(), highlights }
    }

    #[test]
    fn the_stretch_with_most_of_the_words_is_shown() {
        let text =
            format!("gold once. {} gold and gold, then gold again. {}", "nothing here ".repeat(20), "nor here ".repeat(20));
        let snippet = passage(&text, "gold").snippet(60);
        assert_eq!(snippet.highlights.len(), 3, "{snippet:?}");
        assert!(snippet.text.starts_with("nothing") || snippet.text.starts_with("here"), "{snippet:?}");
        assert!(snippet.cut_before && snippet.cut_after);
    }

    #[test]
    fn a_short_passage_is_shown_whole_and_one_without_words_from_its_beginning() {
        let short = passage("a gold coin", "gold").snippet(80);
        assert_eq!((short.text.as_str(), short.cut_before, short.cut_after), ("a gold coin", false, false));
        let none = passage(&"some words ".repeat(30), "gold").snippet(25);
        assert_eq!((none.text.as_str(), none.cut_before, none.cut_after), ("some words some words", false, true));
    }

    #[test]
    fn of_a_passage_that_is_all_words_of_the_query_the_beginning_is_found_in_a_moment() {
        let passage = passage(&"gold ".repeat(200_000), "gold");
        let begun = std::time::Instant::now();
        let snippet = passage.snippet(240);
        assert_eq!((snippet.highlights.len(), snippet.cut_before), (48, false));
        assert!(begun.elapsed().as_secs() < 5, "not each highlight against each other: {:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn no_shorter_stretch_that_begins_at_a_mark_has_more_of_them(
            text in "([a-b]{1,3} ){0,40}", characters in 8usize..40,
        ) {
            let passage = passage(&text, "a");
            let snippet = passage.snippet(characters);
            // A quarter of it may stand before the first mark, and part of a word is left out at either end.
            let most = passage.highlights.iter().map(|first| {
                let end = first.start + characters * 3 / 4;
                passage.highlights.iter().filter(|other| first.start <= other.start && other.end < end.saturating_sub(6)).count()
            }).max().unwrap_or(0);
            prop_assert!(snippet.highlights.len() >= most, "{} of {}: {:?}", snippet.highlights.len(), most, snippet);
        }

        #[test]
        fn it_is_a_piece_of_the_passage_with_its_marks_on_the_words(
            text in "([a-zé中]{1,8}[ ,.\n]{1,2}){0,40}", word in "[a-zé]{1,2}", characters in 0usize..80,
        ) {
            let passage = passage(&text, &word);
            let snippet = passage.snippet(characters);
            prop_assert!(text.contains(&snippet.text));
            for highlight in &snippet.highlights {
                prop_assert_eq!(&snippet.text[highlight.clone()], word.as_str());
            }
            let one_word = snippet.text.split_word_bounds().count() <= 1;
            prop_assert!(snippet.text.chars().count() <= characters || one_word);
        }
    }
}
