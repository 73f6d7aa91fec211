//! The search-box language's letters: words with their escapes and endings, quotations, keywords.

use std::ops::Range;

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// An operator that is a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Or,
    Not,
}

impl Keyword {
    pub(super) const ALL: [(Self, &'static str); 3] = [(Self::And, "AND"), (Self::Or, "OR"), (Self::Not, "NOT")];
}

/// What the end of a word says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing.
    Plain,
    /// `begin*`
    Prefix,
    /// `word~` or `word~1`; the bytes from `~` on.
    Fuzzy(Range<usize>),
    /// A `*` by itself.
    Star,
}

/// A word with its ending.
#[derive(Debug, PartialEq)]
pub(super) struct Term {
    /// The word, escapes taken out.
    pub(super) text: String,
    pub(super) ending: Ending,
    /// The bytes of `^2.5`.
    pub(super) boost: Option<Range<usize>>,
    /// The first byte that has a meaning elsewhere and none here.
    pub(super) stray: Option<usize>,
}

/// An unescaped `*`, `~` or `^`.
struct Sign {
    which: char,
    in_word: usize,
    in_text: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn before(&self) -> Option<char> {
        self.text.get(..self.at).and_then(|before| before.chars().next_back())
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    pub(super) fn eat(&mut self, wanted: &str) -> bool {
        let eats = self.rest().starts_with(wanted);
        if eats {
            self.at += wanted.len();
        }
        eats
    }

    /// Steps over so many bytes, which must be whole characters.
    pub(super) fn step(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Steps over whatever satisfies the condition.
    pub(super) fn eat_while(&mut self, condition: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let eaten = &rest[..rest.find(|c| !condition(c)).unwrap_or(rest.len())];
        self.at += eaten.len();
        eaten
    }

    pub(super) fn skip_space(&mut self) {
        self.eat_while(char::is_whitespace);
    }

    /// AND, OR or NOT here, as a whole word, with its length.
    pub(super) fn keyword(&self) -> Option<(Keyword, usize)> {
        Keyword::ALL.into_iter().find_map(|(keyword, name)| {
            let rest = self.rest().strip_prefix(name)?;
            rest.chars().next().is_none_or(ends_word).then_some((keyword, name.len()))
        })
    }

    /// Whether a `+` or `-` here marks a clause: at the beginning of a term, directly before a letter, a quotation or a
    /// parenthesis; or before a digit, where it stands after a space and is not all that was typed: `-5` is a number.
    pub(super) fn marks_clause(&self, of_values: bool) -> bool {
        let mut after = *self;
        let begins = self.before().is_none_or(|before| before.is_whitespace() || before == '(');
        after.next();
        // A Roman numeral of one character is both.
        if after.peek().is_some_and(|c| c.is_numeric() && !c.is_alphabetic()) {
            let is_all = || {
                let before = self.text.get(..self.at).unwrap_or_default();
                before.chars().all(char::is_whitespace) && self.rest().split_whitespace().nth(1).is_none()
            };
            return !of_values && self.before() != Some('(') && begins && !is_all();
        }
        begins
            && after.keyword().is_none()
            && (after.rest().starts_with("*:*")
                || after.peek().is_some_and(|c| c.is_alphabetic() || matches!(c, '"' | '(' | '_')))
    }

    /// The next character of a word or quotation. A backslash takes away the meaning of what follows it, and is an ordinary
    /// character before a letter, a digit or the end, which have none.
    fn next_unescaped(&mut self) -> Option<(char, bool)> {
        let first = self.next()?;
        match self.peek() {
            Some(escaped) if first == '\\' && !escaped.is_alphanumeric() => {
                self.next();
                Some((escaped, true))
            }
            _ => Some((first, false)),
        }
    }

    /// The quotation that begins here, without its marks; `None` where it does not end, and then only the mark is stepped over.
    pub(super) fn quotation(&mut self) -> Option<String> {
        self.next();
        let mut inside = *self;
        let mut text = String::new();
        while let Some((c, escaped)) = inside.next_unescaped() {
            if c == '"' && !escaped {
                *self = inside;
                return Some(text);
            }
            text.push(c);
        }
        None
    }

    /// Characters up to where `ends` says, escapes taken out.
    pub(super) fn until(&mut self, ends: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while self.peek().is_some_and(|c| !ends(c)) {
            text.extend(self.next_unescaped().map(|(c, _)| c));
        }
        text
    }

    /// The word that begins here, with its ending.
    pub(super) fn term(&mut self) -> Term {
        let start = self.at;
        let (mut text, mut signs, mut stray) = (String::new(), Vec::new(), None);
        if let Some(after) = self.rest().strip_prefix('\\') {
            // `\AND` is a word, though a backslash before a letter is otherwise one.
            let keyword = |(_, name): &(Keyword, &str)| {
                after.strip_prefix(name).is_some_and(|rest| !rest.chars().next().is_some_and(char::is_alphanumeric))
            };
            self.at += usize::from(Keyword::ALL.iter().any(keyword));
        }
        while self.peek().is_some_and(|c| !ends_word(c)) {
            let (in_word, in_text) = (text.len(), self.at);
            let Some((c, escaped)) = self.next_unescaped() else { break };
            match c {
                '*' | '~' | '^' if !escaped => signs.push(Sign { which: c, in_word, in_text }),
                '"' if !escaped => stray = stray.or(Some(in_text)),
                '\\' if !escaped && self.peek().is_none() => stray = stray.or(Some(in_text)),
                _ => {}
            }
            text.push(c);
        }
        let mut boost = None;
        if let Some(sign) = signs.pop_if(|sign| sign.which == '^' && is_factor(&text[sign.in_word + 1..])) {
            text.truncate(sign.in_word);
            boost = Some(sign.in_text..self.at);
        }
        let end = boost.as_ref().map_or(self.at, |boost: &Range<usize>| boost.start);
        let ending = match (signs.as_slice(), signs.last()) {
            ([Sign { which: '*', .. }], _) if text.len() == 1 => Ending::Star,
            ([Sign { which: '*', in_word, .. }], _) if *in_word > 0 && in_word + 1 == text.len() => Ending::Prefix,
            ([Sign { which: '~', in_word, in_text }], _)
                if *in_word > 0 && text[in_word + 1..].bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Ending::Fuzzy(*in_text..end)
            }
            (_, Some(_)) => {
                stray = signs.first().map(|sign| sign.in_text).into_iter().chain(stray).min();
                Ending::Plain
            }
            _ => Ending::Plain,
        };
        if matches!(ending, Ending::Prefix | Ending::Fuzzy(_)) {
            text.truncate(signs.first().map_or(text.len(), |sign| sign.in_word));
        }
        if text.is_empty() {
            // An ending of nothing is a word of odd letters.
            self.text.get(start..self.at).unwrap_or_default().clone_into(&mut text);
            (boost, stray) = (None, stray.or(Some(start)));
        }
        Term { text, ending, boost, stray }
    }
}

/// Whether a word ends before this character.
pub(super) fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')')
}

/// Whether this is a number as it follows a `^`: digits, and perhaps a point and digits.
pub(super) fn is_factor(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(text: &str) -> (String, Ending, bool, bool) {
        let term = Cursor::new(text).term();
        (term.text, term.ending, term.boost.is_some(), term.stray.is_some())
    }

    #[test]
    fn endings_are_told_from_letters() {
        assert_eq!(term("well-known rest"), ("well-known".into(), Ending::Plain, false, false));
        assert_eq!(term("comput*^2.5"), ("comput".into(), Ending::Prefix, true, false));
        assert_eq!(term("word~2)"), ("word".into(), Ending::Fuzzy(4..6), false, false));
        assert_eq!(term("*^2"), ("*".into(), Ending::Star, true, false));
        for odd in ["*bold*", "a*b", "~", "^2", "a^b", "a~b", "a**", "6\"", "a\\"] {
            assert_eq!(term(odd), (odd.to_owned(), Ending::Plain, false, true), "{odd}");
        }
    }

    #[test]
    fn a_backslash_takes_away_a_meaning_and_is_a_letter_where_there_is_none() {
        for (written, read) in
            [(r"a\*", "a*"), (r"\(a\ b\)", "(a b)"), (r"C:\Users", r"C:\Users"), (r"\\a", r"\a"), (r"\AND", "AND")]
        {
            assert_eq!(term(written), (read.to_owned(), Ending::Plain, false, false), "{written}");
        }
        assert_eq!(term(r"\ANDROID").0, r"\ANDROID");
        assert_eq!(Cursor::new(r#""a \"b\" \\ c" d"#).quotation().unwrap(), r#"a "b" \ c"#);
        assert_eq!(Cursor::new(r#""a \""#).quotation(), None);
    }
}
