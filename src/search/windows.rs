//! What the cross-encoder reads of a document: its most promising passages, and of a passage that is longer than it reads, windows.

use crate::passage::{TokenCounter, WordCounter, windows};
use crate::store::StoredPassage;

/// Tokens that a BERT tokenizer makes of so many words and marks of plain text, and the other way round. A window that has more
/// tokens all the same is cut by the model, which is reported.
fn tokens(words: usize) -> usize {
    words * 4 / 3
}

fn words(tokens: usize) -> usize {
    tokens * 3 / 4
}

/// Cuts what is longer than the cross-encoder reads.
pub(super) struct Windows<F> {
    /// Tokens that it reads beside the query.
    pub(super) room: usize,
    /// The most passages and windows of one document.
    pub(super) most: usize,
    /// How much a window promises; equal ones in the document's order.
    pub(super) promise: F,
    /// Windows that were read, and those that a document had beyond `most`.
    pub(super) read: usize,
    pub(super) left: usize,
}

impl<F: FnMut(&str) -> f32> Windows<F> {
    /// What is read of a document's passages, which come in the order of their promise: the best window of each, then the second, and
    /// so on, as many as it may spend. `heading` is what the model reads before a passage.
    pub(super) fn of<'h>(
        &mut self,
        passages: Vec<StoredPassage>,
        heading: impl Fn(&StoredPassage) -> &'h str,
    ) -> Vec<StoredPassage> {
        if passages.iter().all(|passage| self.fits(passage, heading(passage))) {
            return passages;
        }
        let mut windows: Vec<(usize, StoredPassage)> = Vec::new();
        let mut whole = 0;
        for passage in passages {
            let heading = heading(&passage);
            if self.fits(&passage, heading) {
                whole += 1;
                windows.push((0, passage));
            } else {
                windows.extend(self.cut(&passage, heading).into_iter().enumerate());
            }
        }
        // Stable: of equal place, the more promising passage first.
        windows.sort_by_key(|(place, _)| *place);
        let kept = windows.len().min(self.most);
        self.left += windows.len() - kept;
        self.read += kept.saturating_sub(whole);
        windows.truncate(kept);
        windows.into_iter().map(|(_, window)| window).collect()
    }

    fn fits(&self, passage: &StoredPassage, heading: &str) -> bool {
        match &passage.tokens {
            Some(ids) => ids.len() <= self.room,
            // A token is a byte at least.
            None => {
                heading.len() + passage.text.len() < self.room
                    || tokens(WordCounter.count(heading) + WordCounter.count(&passage.text)) <= self.room
            }
        }
    }

    /// The windows of a passage, the most promising first.
    fn cut(&mut self, passage: &StoredPassage, heading: &str) -> Vec<StoredPassage> {
        let ranges = windows(&passage.text, words(self.room).saturating_sub(WordCounter.count(heading)));
        let mut windows: Vec<(f32, StoredPassage)> = Vec::with_capacity(ranges.len());
        for range in ranges {
            let start = passage.start + range.start as u64;
            let (end, text) = (passage.start + range.end as u64, passage.text[range].to_owned());
            let promise = (self.promise)(&text);
            windows.push((promise, StoredPassage { field: passage.field.clone(), start, end, text, tokens: None }));
        }
        windows.sort_by(|a, b| b.0.total_cmp(&a.0));
        windows.into_iter().map(|(_, window)| window).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(text: &str) -> StoredPassage {
        StoredPassage { field: "body".to_owned(), start: 100, end: 100 + text.len() as u64, text: text.to_owned(), tokens: None }
    }

    fn windows(room: usize, most: usize) -> Windows<impl FnMut(&str) -> f32> {
        Windows { room, most, promise: |text: &str| text.matches("gold").count() as f32, read: 0, left: 0 }
    }

    #[test]
    fn what_the_model_reads_whole_stays_whole() {
        let (short, mut windows) = (passage("A short passage of gold."), windows(64, 2));
        assert_eq!(windows.of(vec![short.clone(), short.clone()], |_| "A heading"), [short.clone(), short]);
        // Known tokens decide, whatever the words say.
        let known = StoredPassage { tokens: Some(vec![7; 64]), ..passage(&"word ".repeat(300)) };
        assert_eq!(windows.of(vec![known.clone()], |_| ""), [known]);
        assert_eq!((windows.read, windows.left), (0, 0));
    }

    #[test]
    fn the_windows_that_promise_most_are_read_and_the_others_counted() {
        let text = format!("{}There is gold here. {}", "This says nothing. ".repeat(60), "Nor does this. ".repeat(60));
        let mut windows = windows(64, 3);
        let found = windows.of(vec![passage(&text)], |_| "A heading");
        assert_eq!(found.len(), 3);
        assert!(found[0].text.contains("gold"));
        assert!(found[2].text.starts_with("This says"), "equal ones in the document's order: {}", found[2].text);
        for window in &found {
            let span = (window.start - 100) as usize..(window.end - 100) as usize;
            assert_eq!(text[span], window.text);
            assert!(tokens(WordCounter.count(&window.text) + 2) <= 64);
        }
        assert_eq!(windows.read, 3);
        assert!(windows.left > 5, "{}", windows.left);
    }

    #[test]
    fn each_passage_has_its_best_window_read_before_any_has_its_second() {
        let long = |word: &str| passage(&format!("{word} is here. ").repeat(60));
        let mut windows = windows(64, 3);
        let found = windows.of(vec![long("iron"), long("gold"), passage("tin")], |_| "");
        assert_eq!(found.len(), 3);
        assert!(found.iter().zip(["iron", "gold", "tin"]).all(|(window, word)| window.text.contains(word)), "{found:?}");
    }

    #[test]
    fn each_passage_is_measured_with_its_own_heading() {
        let heading = "word ".repeat(20);
        let of_title = StoredPassage { field: "title".to_owned(), ..passage(&heading) };
        // 45 words, 60 tokens: whole without a heading, too long with it.
        let body = passage(&"word ".repeat(45));
        let own = |passage: &StoredPassage| if passage.field == "title" { "" } else { heading.as_str() };
        let mut windows = windows(64, 9);
        let found = windows.of(vec![of_title.clone(), body], own);
        assert_eq!(found[0], of_title);
        assert!(found.len() > 2, "{found:?}");
        for window in &found[1..] {
            assert!(tokens(WordCounter.count(&window.text) + 20) <= 64, "{window:?}");
        }
        assert_eq!((windows.read, windows.left), (found.len() - 1, 0));
    }
}
