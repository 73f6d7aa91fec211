//! Packs sentences into passages.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::sentence::sentences;
use super::{Boundary, PassageOptions, TokenCounter};

/// A stretch of text that is not divided further, and its tokens.
struct Unit {
    range: Range<usize>,
    tokens: usize,
    /// Whether a paragraph begins here.
    begins: bool,
    /// Whether it is a heading of what follows.
    heading: bool,
}

/// The byte ranges of the passages of `text`, in order.
///
/// Together they cover everything but the white space between sentences. None is empty. Each has at most
/// `options.max_tokens` tokens, unless a single word has more.
pub(crate) fn cut(text: &str, options: PassageOptions, counter: &dyn TokenCounter) -> Vec<Range<usize>> {
    let options = options.clamped();
    let most = options.max_tokens as usize;
    let units = units(text, most, counter);
    let total: usize = units.iter().map(|unit| unit.tokens).sum();
    // What each passage adds to the one before it, evened out over as many passages as the text needs.
    let overlap = options.overlap_tokens as usize;
    let count = if total <= most { 1 } else { (total - overlap).div_ceil(most - overlap) };
    let share = if count == 1 { total } else { (total - overlap).div_ceil(count) + overlap };

    let mut passages = Vec::with_capacity(count);
    let mut previous = 0..0;
    while let Some(unit) = units.get(previous.end) {
        let begin = previous.end;
        let at_paragraph = options.boundary == Boundary::Paragraph && unit.begins;
        let mut first = begin - if at_paragraph { 0 } else { repeated(&units[previous], overlap) };
        let mut tokens: usize = units[first..begin].iter().map(|unit| unit.tokens).sum();
        while first < begin && tokens + unit.tokens > most {
            tokens -= units[first].tokens;
            first += 1;
        }
        let mut end = begin;
        while let Some(unit) = units.get(end)
            && (end == begin || tokens < share && tokens + unit.tokens <= most)
        {
            tokens += unit.tokens;
            end += 1;
        }
        if options.boundary == Boundary::Paragraph {
            end = paragraph_end(&units, first, begin, end);
        }
        passages.push(units[first].range.start..units[end - 1].range.end);
        previous = first..end;
    }
    passages
}

/// Where a passage from `first` that could go on to `end` ends with a paragraph, if one ends in its second half; never behind a heading. It has
/// the unit at `begin`, which the passage before it does not have.
fn paragraph_end(units: &[Unit], first: usize, begin: usize, end: usize) -> usize {
    let all: usize = units[first..end].iter().map(|unit| unit.tokens).sum();
    let mut tokens = all;
    for at in (begin + 1..=end).rev() {
        let ends = units.get(at).is_none_or(|next| next.begins);
        if ends && !units[at - 1].heading && 2 * tokens >= all {
            return at;
        }
        tokens -= units[at - 1].tokens;
    }
    // A heading at the end goes with what follows, unless there is nothing before it.
    if end > begin + 1 && end < units.len() && units[end - 1].heading { end - 1 } else { end }
}

/// Whether a paragraph of one line is the heading of the next: marked as one, or short and without the end of a sentence.
fn is_heading(line: &str) -> bool {
    line.starts_with('#')
        || line.chars().count() <= 80 && !line.contains('\n') && !line.ends_with(['.', '!', '?', ':', ';', ',', '"', '”', ')'])
}

/// How many units at the end of a passage the next one repeats: as many as `overlap` tokens hold, never all.
fn repeated(passage: &[Unit], overlap: usize) -> usize {
    let mut tokens = 0;
    let fits = |unit: &&Unit| {
        tokens += unit.tokens;
        tokens <= overlap
    };
    passage.iter().skip(1).rev().take_while(fits).count()
}

/// Sentences, and pieces of those that alone are longer than a passage.
fn units(text: &str, most: usize, counter: &dyn TokenCounter) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for range in sentences(text) {
        let tokens = counter.count(&text[range.clone()]);
        let before = units.last().map_or(0, |unit| unit.range.end);
        let begins = units.is_empty() || is_break(&text[before..range.start]) || text[range.clone()].starts_with('#');
        let first = units.len();
        match tokens {
            // Control characters and the like: nothing that a model would see.
            0 => {}
            _ if tokens <= most => units.push(Unit { range, tokens, begins, heading: false }),
            _ => pieces(text, range, most, counter, &mut units),
        }
        if let Some(unit) = units.get_mut(first) {
            unit.begins = begins;
        }
    }
    for at in 1..units.len() {
        let line = &text[units[at - 1].range.clone()];
        let stands_alone = units[at].begins || line.starts_with('#');
        units[at - 1].heading = units[at - 1].begins && stands_alone && is_heading(line);
    }
    units
}

/// Whether there is a blank line in the white space between two sentences.
fn is_break(between: &str) -> bool {
    between.matches('\n').count() > 1 || between.contains('\u{2029}')
}

fn pieces(text: &str, sentence: Range<usize>, most: usize, counter: &dyn TokenCounter, units: &mut Vec<Unit>) {
    // A quarter of a passage, so that pieces pack like sentences do.
    let target = (most / 4).max(1);
    let mut open: Option<Unit> = None;
    for (offset, word) in text[sentence.clone()].split_word_bound_indices() {
        let tokens = counter.count(word);
        if tokens == 0 {
            continue;
        }
        let range = sentence.start + offset..sentence.start + offset + word.len();
        let piece = |range| Unit { range, tokens, begins: false, heading: false };
        match &mut open {
            Some(unit) if unit.tokens + tokens <= target => {
                unit.range.end = range.end;
                unit.tokens += tokens;
            }
            _ => units.extend(open.replace(piece(range))),
        }
    }
    units.extend(open);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::WordCounter;
    use super::*;

    fn options(max_tokens: u32, overlap_tokens: u32) -> PassageOptions {
        PassageOptions { max_tokens, overlap_tokens, ..PassageOptions::default() }
    }

    fn by_paragraphs(max_tokens: u32, overlap_tokens: u32) -> PassageOptions {
        PassageOptions { boundary: Boundary::Paragraph, ..options(max_tokens, overlap_tokens) }
    }

    fn sentence_of(words: usize) -> String {
        format!("{}end. ", "Word ".repeat(words - 2))
    }

    #[test]
    fn a_short_text_is_one_passage() {
        let text = "  One sentence. And another.  ";
        let passages = cut(text, options(64, 8), &WordCounter);
        assert_eq!((passages.len(), &text[passages[0].clone()]), (1, "One sentence. And another."));
    }

    #[test]
    fn text_without_content_has_no_passage() {
        for text in ["", "   ", "\n\n\t"] {
            assert!(cut(text, options(64, 8), &WordCounter).is_empty());
        }
    }

    #[test]
    fn a_text_a_little_too_long_is_halved_rather_than_docked() {
        let text = sentence_of(10).repeat(8);
        let passages = cut(&text, options(72, 0), &WordCounter);
        assert_eq!(passages.len(), 2);
        let sizes: Vec<_> = passages.iter().map(|range| WordCounter.count(&text[range.clone()])).collect();
        assert_eq!(sizes, [40, 40]);
    }

    #[test]
    fn neighbours_share_whole_sentences() {
        let text: String = (0..12).map(|i| format!("Sentence number {i} has seven words. ")).collect();
        let passages = cut(&text, options(32, 8), &WordCounter);
        assert!(passages.len() > 2);
        for pair in passages.windows(2) {
            let shared = &text[pair[1].start..pair[0].end];
            assert!(shared.starts_with("Sentence") && shared.ends_with("words."), "{shared:?}");
        }
    }

    #[test]
    fn a_sentence_longer_than_a_passage_is_cut_between_words() {
        let text = "word ".repeat(500);
        for range in cut(&text, options(64, 8), &WordCounter) {
            let passage = &text[range];
            assert!(WordCounter.count(passage) <= 64);
            assert!(passage.starts_with("word") && passage.ends_with("word"));
        }
    }

    #[test]
    fn a_passage_ends_with_a_paragraph_and_a_heading_goes_with_what_follows() {
        let paragraph = |topic: &str| format!("This is a sentence about {topic}. ").repeat(4).trim().to_owned();
        let text = format!(
            "{}\n\n{}\n\nA heading\n\n{}\n\n## Another\n{}",
            paragraph("wells"),
            paragraph("roofs"),
            paragraph("walls"),
            paragraph("doors")
        );
        let passages =
            |most| cut(&text, by_paragraphs(most, 8), &WordCounter).into_iter().map(|range| &text[range]).collect::<Vec<_>>();
        let begins = |passages: &[&str]| passages.iter().map(|passage| passage[..9].to_owned()).collect::<Vec<_>>();
        let short = passages(44);
        assert_eq!(begins(&short), ["This is a", "This is a", "A heading", "## Anothe"], "{short:#?}");
        assert!(
            short.iter().zip(["wells.", "roofs.", "walls.", "doors."]).all(|(passage, end)| passage.ends_with(end)),
            "{short:#?}"
        );
        let long = passages(64);
        assert_eq!(begins(&long), ["This is a", "A heading"], "{long:#?}");
    }

    #[test]
    fn a_paragraph_longer_than_a_passage_is_cut_by_sentences() {
        let text = format!("{}\n\nShort.", sentence_of(10).repeat(12));
        let passages = cut(&text, by_paragraphs(40, 0), &WordCounter);
        assert!(passages.len() >= 3 && passages.iter().all(|range| WordCounter.count(&text[range.clone()]) <= 40));
    }

    proptest! {
        #[test]
        fn every_word_is_in_a_passage_and_no_passage_is_too_long(
            text in "([a-zé.!?#中\u{0}]{1,9}[ \n]{1,2}){0,120}", max in 16u32..60, overlap in 0u32..40, paragraphs in any::<bool>(),
        ) {
            let options = if paragraphs { by_paragraphs(max, overlap) } else { options(max, overlap) };
            let passages = cut(&text, options, &WordCounter);
            let mut covered = vec![false; text.len()];
            for (position, range) in passages.iter().enumerate() {
                prop_assert!(!text[range.clone()].trim().is_empty());
                prop_assert!(WordCounter.count(&text[range.clone()]) <= max as usize);
                if position > 0 {
                    prop_assert!(range.start > passages[position - 1].start && range.end > passages[position - 1].end);
                }
                covered[range.clone()].fill(true);
            }
            for (start, word) in text.split_word_bound_indices() {
                prop_assert!(covered[start] || word.trim().is_empty(), "{word:?} at {start} is lost");
            }
        }
    }
}
