//! Cuts text into passages: stretches of whole sentences, measured in the tokens of the model that will read them.
//!
//! A passage is a byte range of one field's text; nothing is rewritten. Passages overlap by a sentence or two so that a
//! thought that crosses a boundary is whole in one of them, and a text that is a little longer than one passage becomes two
//! of like size rather than a long one and a scrap. Knows nothing of models: whoever cuts brings a [`TokenCounter`].

mod cut;
mod sentence;
mod window;

pub(crate) use cut::cut;
pub(crate) use window::windows;

use bincode::{Decode, Encode};

/// Counts tokens as the reader of the passages will.
pub(crate) trait TokenCounter: Send + Sync {
    /// Tokens of the text, special tokens not included.
    fn count(&self, text: &str) -> usize;
}

/// Counts words and marks, for an index without an encoder; a BERT tokenizer finds about a quarter more.
pub(crate) struct WordCounter;

impl TokenCounter for WordCounter {
    fn count(&self, text: &str) -> usize {
        use unicode_segmentation::UnicodeSegmentation;
        text.split_word_bounds().filter(|word| !word.trim().is_empty()).count()
    }
}

/// The most tokens of a heading that are put before a passage: room for a long title, and most of what a model reads is left
/// to the passage.
pub(crate) const HEADING_TOKENS: usize = 96;

/// The beginning of a heading, in whole words, that goes before a passage; nothing of one that begins with a word longer than that. Where it
/// is shorter than the heading without the white space around it, that was cut.
pub(crate) fn heading_for_models<'a>(heading: &'a str, counter: &dyn TokenCounter) -> &'a str {
    let heading = heading.trim();
    // A token is a byte at least.
    if heading.len() <= HEADING_TOKENS || counter.count(heading) <= HEADING_TOKENS {
        return heading;
    }
    let spaces: Vec<usize> = heading.match_indices(char::is_whitespace).map(|(at, _)| at).collect();
    let fits = |&at: &usize| counter.count(&heading[..at]) <= HEADING_TOKENS;
    match spaces.partition_point(fits) {
        0 => "",
        count => heading[..spaces[count - 1]].trim_end(),
    }
}

/// A passage as a model reads it: after the headings of its document, which say what it is about.
pub(crate) fn with_heading(heading: &str, passage: &str) -> String {
    match heading.trim() {
        "" => passage.to_owned(),
        heading => format!("{heading}\n{passage}"),
    }
}

/// How passages are cut; fixed when an index is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PassageOptions {
    /// The most tokens of text in a passage, the document's heading not counted. 16 to 480; 96 unless set, near the length that
    /// passage-ranking models were trained on; at most three quarters of what the encoder reads.
    pub max_tokens: u32,
    /// About how many tokens a passage repeats from the end of the one before it, in whole sentences. At most half of
    /// `max_tokens`; 24 unless set. Nothing is repeated over the beginning of a paragraph at which a passage was cut.
    pub overlap_tokens: u32,
    /// Where a passage ends; [`Boundary::Sentence`] unless set.
    pub boundary: Boundary,
    /// Whether the models read the document's headings before each passage; yes unless set.
    pub with_heading: bool,
}

/// Where passages end.
// The order of the variants is part of the file format: add at the end only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[non_exhaustive]
pub enum Boundary {
    /// With any sentence: passages of one text are of like size.
    #[default]
    Sentence,
    /// With a paragraph, where one ends in the second half of a passage, and else with a sentence. A heading inside the text (a line that
    /// begins with `#`, or a short one between blank lines that does not end like a sentence) goes with what follows it.
    Paragraph,
}

impl Default for PassageOptions {
    fn default() -> Self {
        Self { max_tokens: 96, overlap_tokens: 24, boundary: Boundary::Sentence, with_heading: true }
    }
}

impl PassageOptions {
    /// The options with both numbers brought into their ranges.
    pub(crate) fn clamped(self) -> Self {
        let max_tokens = self.max_tokens.clamp(16, 480);
        Self { max_tokens, overlap_tokens: self.overlap_tokens.min(max_tokens / 2), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_goes_before_its_passage_and_an_endless_one_leaves_it_room() {
        assert_eq!(with_heading(heading_for_models("  Title ", &WordCounter), "text"), "Title\ntext");
        assert_eq!(with_heading(heading_for_models(" ", &WordCounter), "text"), "text");
        let endless = "word ".repeat(500);
        let kept = heading_for_models(&endless, &WordCounter);
        assert_eq!(WordCounter.count(kept), HEADING_TOKENS);
        assert!(endless.starts_with(kept) && kept.ends_with("word"));
        // One word without end is no heading that a model could use.
        let one_word = "é".repeat(2 * HEADING_TOKENS);
        struct Letters;
        impl TokenCounter for Letters {
            fn count(&self, text: &str) -> usize {
                text.chars().count()
            }
        }
        assert_eq!(heading_for_models(&one_word, &Letters), "");
    }
}
