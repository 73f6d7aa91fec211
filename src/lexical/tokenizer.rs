//! Where words begin and end.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Splits at what is neither letter nor digit. Of scripts that are written without spaces, each two neighbouring characters are a word, as
/// in Lucene's CJK analysis: no dictionary, and a phrase finds what it should.
#[derive(Clone, Default)]
pub(super) struct WordsAndPairs;

pub(super) struct Stream<'a> {
    text: &'a str,
    /// Where to go on.
    at: usize,
    token: Token,
}

/// Whether words of this character's script are written without spaces between them.
fn is_spaceless(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff // Thai, Lao
        | 0x1000..=0x109f | 0x1780..=0x17ff // Burmese, Khmer
        | 0x3005 | 0x3040..=0x30ff | 0x31f0..=0x31ff | 0xff66..=0xff9f // kana
        | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff) // Han
}

/// The character that a word is, if it is one of a script without spaces: beside others of its kind it is in the index only as a
/// part of pairs.
pub(super) fn lone(word: &str) -> Option<char> {
    let mut characters = word.chars();
    characters.next().filter(|first| characters.next().is_none() && is_spaceless(*first))
}

/// Letters and digits; and the vowel signs of scripts without spaces, which are neither.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || is_spaceless(c)
}

impl Tokenizer for WordsAndPairs {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        Stream { text, at: 0, token: Token::default() }
    }
}

impl Stream<'_> {
    fn set(&mut self, from: usize, to: usize) {
        self.token.offset_from = from;
        self.token.offset_to = to;
        self.token.text.clear();
        self.token.text.push_str(&self.text[from..to]);
        self.token.position = self.token.position.wrapping_add(1);
    }
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some((start, first)) = rest.char_indices().find(|(_, c)| is_part(*c)) else { return false };
        let from = self.at + start;
        let after_first = from + first.len_utf8();
        if !is_spaceless(first) {
            let ends = |c: char| !c.is_alphanumeric() || is_spaceless(c);
            let to = self.text[from..].find(ends).map_or(self.text.len(), |length| from + length);
            self.set(from, to);
            self.at = to;
            return true;
        }
        match self.text[after_first..].chars().next().filter(|c| is_spaceless(*c)) {
            Some(second) => {
                let to = after_first + second.len_utf8();
                self.set(from, to);
                // The last character of a run begins no pair.
                let goes_on = self.text[to..].chars().next().is_some_and(is_spaceless);
                self.at = if goes_on { after_first } else { to };
            }
            None => {
                self.set(from, after_first);
                self.at = after_first;
            }
        }
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tantivy::tokenizer::{SimpleTokenizer, TextAnalyzer};

    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        WordsAndPairs.token_stream(text).process(&mut |token| found.push(token.text.clone()));
        found
    }

    #[test]
    fn text_without_spaces_becomes_pairs() {
        assert_eq!(split("全文検索 engine"), ["全文", "文検", "検索", "engine"]);
        assert_eq!(split("Lance表"), ["Lance", "表"]);
        assert_eq!(split("ค้นหา"), ["ค้", "้น", "นห", "หา"]);
        assert_eq!(split("中"), ["中"]);
    }

    proptest! {
        #[test]
        fn other_text_is_split_as_before(text in "[a-zA-Z0-9é ß.,'\\-\u{301}Ж]{0,40}") {
            let mut expected = Vec::new();
            let mut simple = TextAnalyzer::from(SimpleTokenizer::default());
            simple.token_stream(&text).process(&mut |token| expected.push((token.text.clone(), token.position)));
            let mut found = Vec::new();
            WordsAndPairs.token_stream(&text).process(&mut |token| found.push((token.text.clone(), token.position)));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn places_are_places_of_the_text(text in any::<String>()) {
            let mut last = 0;
            WordsAndPairs.token_stream(&text).process(&mut |token| {
                assert_eq!(text.get(token.offset_from..token.offset_to), Some(token.text.as_str()));
                assert!(token.offset_from >= last);
                last = token.offset_from;
            });
        }
    }
}
