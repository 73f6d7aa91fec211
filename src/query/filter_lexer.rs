//! The filter language's words: names, values, signs.

use std::ops::Range;

use super::trouble::{found, syntax};
use crate::error::QueryError;

/// One word of the filter language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A name or a keyword.
    Word(&'a str),
    /// A name between backticks.
    Name(&'a str),
    /// What is between quotation marks, with its escapes.
    Quoted(&'a str),
    /// Something that begins as a number or a date.
    Bare(&'a str),
    /// Punctuation.
    Sign(&'static str),
    End,
}

/// Longer signs come before those that they begin with.
const SIGNS: [&str; 10] = ["<>", "<=", ">=", "!=", "=", "<", ">", "(", ")", ","];

/// A place in a text, with the token that stands there.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    token: Token<'a>,
    at: Range<usize>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, QueryError> {
        let mut tokens = Self { text, token: Token::End, at: 0..0 };
        tokens.step()?;
        Ok(tokens)
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn peek(&self) -> Token<'a> {
        self.token
    }

    /// Where the token stands.
    pub(super) fn at(&self) -> usize {
        self.at.start
    }

    /// Steps to the next token, and gives this one.
    pub(super) fn step(&mut self) -> Result<Token<'a>, QueryError> {
        let token = self.token;
        let rest = &self.text[self.at.end..];
        let start = self.at.end + rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let (next, length) = match rest.chars().next() {
            None => (Token::End, 0),
            Some(mark @ ('"' | '\'')) => {
                let length = self.quotation(start, rest, mark)?;
                (Token::Quoted(&rest[1..length - 1]), length)
            }
            Some('`') => {
                let name = rest[1..].split_once('`').map(|(name, _)| name);
                let remedy = "close it with a second one";
                let name = name.ok_or_else(|| syntax(self.text, start, "a name between backticks", "one backtick", remedy))?;
                (Token::Name(name), name.len() + 2)
            }
            Some(first) if first.is_alphabetic() || first == '_' => {
                let word = &rest[..rest.find(|c: char| !is_name(c)).unwrap_or(rest.len())];
                (Token::Word(word), word.len())
            }
            Some(first) if first.is_ascii_digit() || matches!(first, '-' | '+') => {
                let part = |c: char| is_name(c) || matches!(c, '.' | ':' | '+');
                let bare = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
                (Token::Bare(bare), bare.len())
            }
            Some(_) => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let remedy = "write conditions such as year >= 1990 AND court = \"Tax Court\"";
                let sign =
                    sign.ok_or_else(|| syntax(self.text, start, "a name, a value or a sign", found(self.text, start), remedy))?;
                (Token::Sign(sign), sign.len())
            }
        };
        (self.token, self.at) = (next, start..start + length);
        Ok(token)
    }

    /// The bytes that a quotation takes, with its marks.
    fn quotation(&self, start: usize, rest: &str, mark: char) -> Result<usize, QueryError> {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            if c == mark && !escaped {
                return Ok(at + 1);
            }
            escaped = c == '\\' && !escaped;
        }
        let remedy = "close the quotation, or write a backslash before a mark inside it";
        Err(syntax(self.text, start, "a second quotation mark", "the end", remedy))
    }
}

/// What stands between quotation marks, escapes taken out. A backslash counts before a mark or another backslash only.
pub(super) fn unescape(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars().peekable();
    while let Some(c) = characters.next() {
        text.push(match c {
            '\\' => characters.next_if(|next| is_escapable(*next)).unwrap_or(c),
            other => other,
        });
    }
    text
}

/// The byte of the quoted text that became that byte of the unescaped one.
pub(super) fn escaped_position(quoted: &str, unescaped_at: usize) -> usize {
    let (mut left, mut escaped) = (unescaped_at, false);
    for (at, c) in quoted.char_indices() {
        // A backslash counts once it is seen not to be an escape.
        let literal = if escaped && !is_escapable(c) { 1 } else { 0 };
        escaped = c == '\\' && !escaped;
        left = left.saturating_sub(literal);
        match (left, escaped) {
            (0, _) => return at,
            (_, false) => left = left.saturating_sub(c.len_utf8()),
            (_, true) => {}
        }
    }
    quoted.len()
}

fn is_escapable(c: char) -> bool {
    matches!(c, '\\' | '"' | '\'')
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_tokens() {
        let mut tokens = Tokens::new(r#"`in`<=-1.5 AND(_key <>'it\'s',"a \"b\"")"#).unwrap();
        let expected = [
            Token::Name("in"),
            Token::Sign("<="),
            Token::Bare("-1.5"),
            Token::Word("AND"),
            Token::Sign("("),
            Token::Word("_key"),
            Token::Sign("<>"),
            Token::Quoted(r"it\'s"),
            Token::Sign(","),
            Token::Quoted(r#"a \"b\""#),
            Token::Sign(")"),
            Token::End,
            Token::End,
        ];
        for token in expected {
            assert_eq!(tokens.step().unwrap(), token);
        }
    }

    #[test]
    fn escapes_are_taken_out_and_positions_found_again() {
        let quoted = r#"a \"b\" \( \\ c"#;
        let text = unescape(quoted);
        assert_eq!(text, r#"a "b" \( \ c"#);
        assert_eq!(&quoted[escaped_position(quoted, text.find('c').unwrap())..], "c");
    }
}
