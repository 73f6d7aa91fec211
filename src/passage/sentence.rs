//! Where sentences end: Unicode's rule (UAX #29), mended where an abbreviation ends in a full stop.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Abbreviations after which a sentence goes on, as they stand before their last full stop, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "adm", "app", "art", "assn", "bros", "cf", "ch", "cir", "cl", "co", "corp", "ct", "dept", "dist", "dr", "ed", "ex", "fed",
    "fig", "gen", "gov", "id", "inc", "jr", "ltd", "mfg", "mr", "mrs", "ms", "no", "nos", "op", "para", "pp", "prof", "rep",
    "rev", "sec", "sen", "sr", "st", "stat", "supp", "univ", "v", "vol", "vs",
];

/// The byte ranges of the sentences of `text`, without the white space around them, in order.
pub(super) fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut goes_on = false;
    for (start, piece) in text.split_sentence_bound_indices() {
        let trimmed = piece.trim_end();
        let lead = trimmed.len() - trimmed.trim_start().len();
        let range = start + lead..start + trimmed.len();
        let ends_line = piece.ends_with(['\n', '\r', '\u{2029}', '\u{2028}']);
        if !range.is_empty() {
            match found.last_mut() {
                Some(last) if goes_on => last.end = range.end,
                _ => found.push(range),
            }
            goes_on = ends_in_abbreviation(trimmed);
        }
        goes_on &= !ends_line;
    }
    found
}

fn ends_in_abbreviation(sentence: &str) -> bool {
    let Some(body) = sentence.strip_suffix('.') else { return false };
    let word = body.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '“' | '\'')).next().unwrap_or_default();
    let mut characters = word.chars();
    match (characters.next(), characters.next()) {
        (None, _) => false,
        // An initial, as in "John F. Kennedy"; "I." ends a sentence more often than not.
        (Some(only), None) => only.is_uppercase() && only != 'I' || only == 'v',
        _ => word.contains('.') && word.chars().any(char::is_alphabetic) || ABBREVIATIONS.contains(&word.to_lowercase().as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn a_sentence_ends_at_its_full_stop() {
        assert_eq!(split("One thing. Another!  A third?"), ["One thing.", "Another!", "A third?"]);
    }

    #[test]
    fn a_case_name_does_not_end_a_sentence() {
        assert_eq!(
            split("The rule of Dann v. Johnston, 425 U.S. 219, applies. Smith Co. Ltd. lost."),
            ["The rule of Dann v. Johnston, 425 U.S. 219, applies.", "Smith Co. Ltd. lost."]
        );
        assert_eq!(split("See No. 4. It is short."), ["See No. 4.", "It is short."]);
    }

    #[test]
    fn a_blank_line_ends_a_sentence_whatever_stands_before_it() {
        assert_eq!(split("Acme Inc.\n\nNext"), ["Acme Inc.", "Next"]);
    }

    #[test]
    fn text_of_spaces_has_no_sentence() {
        assert!(split(" \n\t ").is_empty());
    }
}
