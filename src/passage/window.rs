//! Cuts text that is longer than a model reads into windows that overlap wherever they meet.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::sentence::sentences;
use super::{PassageOptions, TokenCounter, WordCounter, cut};

/// The byte ranges of the windows of `text`, in order, each of at most `most` words, which is brought into 20 to 480.
///
/// Together they cover everything but the white space between sentences. Each but the first begins before the one before it ends: with the
/// whole sentences that an eighth of `most` words holds, or, where not even one fits, with that many words.
pub(crate) fn windows(text: &str, most: usize) -> Vec<Range<usize>> {
    // Less an eighth would be less than what `cut` takes, which takes no more either.
    let most = most.clamp(20, 480);
    let repeated = most / 8;
    let whole = WordCounter.count(text) <= most;
    let max_tokens = if whole { most } else { most - repeated } as u32;
    let options = PassageOptions { max_tokens, overlap_tokens: 0, ..PassageOptions::default() };
    let begins: Vec<usize> = if whole { Vec::new() } else { sentences(text).iter().map(|sentence| sentence.start).collect() };
    let mut windows: Vec<Range<usize>> = Vec::new();
    for piece in cut(text, options, &WordCounter) {
        let start = if windows.is_empty() { piece.start } else { earlier(text, piece.start, repeated, &begins) };
        // One that the next one has whole says nothing of its own.
        while windows.last().is_some_and(|before| before.start >= start) {
            windows.pop();
        }
        windows.push(start..piece.end);
    }
    windows
}

/// Where a window begins that repeats up to so many words before `at`: with a sentence, if one begins there.
fn earlier(text: &str, at: usize, words: usize, begins: &[usize]) -> usize {
    let before = text[..at].split_word_bound_indices().rev().filter(|(_, word)| !word.trim().is_empty());
    let first = before.take(words).last().map_or(at, |(start, _)| start);
    begins.get(begins.partition_point(|&begin| begin < first)).copied().filter(|&begin| begin < at).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts<'a>(text: &'a str, windows: &[Range<usize>]) -> Vec<&'a str> {
        windows.iter().map(|range| &text[range.clone()]).collect()
    }

    #[test]
    fn a_text_that_is_short_enough_is_one_window() {
        let text = format!("  {}", "Seven words are in each such sentence. ".repeat(8));
        assert_eq!(texts(&text, &windows(&text, 64)), [text.trim()]);
        assert!(windows(" \n", 64).is_empty());
    }

    #[test]
    fn neighbours_share_whole_sentences_where_one_fits() {
        let text: String = (0..40).map(|i| format!("Sentence number {i} has seven words. ")).collect();
        let windows = windows(&text, 64);
        assert!(windows.len() > 3);
        for pair in windows.windows(2) {
            let shared = &text[pair[1].start..pair[0].end];
            assert!(shared.starts_with("Sentence") && shared.ends_with("words."), "{shared:?}");
        }
    }

    #[test]
    fn neighbours_share_words_where_no_sentence_fits() {
        let sentence = |number: usize| format!("Clause {number} {}ends here. ", "goes on and ".repeat(8));
        let text: String = (0..12).map(sentence).collect();
        let windows = windows(&text, 64);
        assert!(windows.len() > 5);
        for pair in windows.windows(2) {
            let shared = &text[pair[1].start..pair[0].end];
            assert_eq!(WordCounter.count(shared), 8, "{shared:?}");
            assert!(!text[..pair[1].start].ends_with(char::is_alphanumeric), "cut in a word: {shared:?}");
        }
    }

    #[test]
    fn a_scrap_before_a_long_sentence_goes_into_its_window() {
        // Of 55 words; pieces have 56, and windows 64.
        let long = format!("Word {}end.", "word ".repeat(52));
        let text = format!("Yes. {long} {long}");
        let found = windows(&text, 64);
        let found = texts(&text, &found);
        assert!(found.len() == 2 && found[0].starts_with("Yes. Word") && found[1].ends_with("end."), "{found:?}");
    }

    proptest! {
        #[test]
        fn windows_overlap_cover_everything_and_are_not_too_long(
            text in "([a-zé.!?#中,;\u{0}]{1,9}[ \n]{1,2}){0,250}|([a-zé中]{1,7}[ ,]){0,250}|[a-z中é\u{301}🇦🇧]{0,400}", most in 20usize..80,
        ) {
            let windows = windows(&text, most);
            prop_assert_eq!(windows.is_empty(), text.trim().is_empty());
            if WordCounter.count(&text) > most {
                prop_assert!(windows.len() > 1);
            }
            let mut covered = vec![false; text.len()];
            for (at, range) in windows.iter().enumerate() {
                let window = text.get(range.clone());
                prop_assert!(window.is_some_and(|window| WordCounter.count(window) <= most), "{range:?}: {window:?}");
                if let Some(before) = at.checked_sub(1).map(|before| &windows[before]) {
                    prop_assert!(before.start < range.start && range.start < before.end && before.end < range.end, "{before:?} {range:?}");
                }
                covered[range.clone()].fill(true);
            }
            for (start, word) in text.split_word_bound_indices() {
                prop_assert!(covered[start] || word.trim().is_empty(), "{word:?} at {start} is lost");
            }
        }
    }
}
