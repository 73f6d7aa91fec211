//! Reading text files line by line, with errors that name file and line.

use std::io::BufRead;

use crate::error::EvaluateError;

/// Calls `each` with every line that is not blank, and its number from 1.
pub(super) fn each_line(
    source: &str,
    mut reader: impl BufRead,
    mut each: impl FnMut(usize, &str) -> Result<(), EvaluateError>,
) -> Result<(), EvaluateError> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes);
        if read.map_err(|reason| EvaluateError::Read { file: source.to_owned(), source: reason })? == 0 {
            break;
        }
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let found = format!("bytes that are not UTF-8 at byte {} of the line", e.valid_up_to());
            refuse(source, number, "text in UTF-8", found)
        })?;
        // A byte order mark is no content.
        let text = text.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(text).trim_end_matches(['\n', '\r']);
        if !text.trim().is_empty() {
            each(number, text)?;
        }
    }
    Ok(())
}

/// The error for a line that is not what it should be.
pub(super) fn refuse(source: &str, line: usize, expected: &str, found: impl Into<String>) -> EvaluateError {
    EvaluateError::Line { file: source.to_owned(), line, expected: expected.to_owned(), found: found.into() }
}

/// At most 60 characters of a line, for messages.
pub(super) fn excerpt(line: &str) -> String {
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &line[..end]),
        None => format!("{line:?}"),
    }
}
