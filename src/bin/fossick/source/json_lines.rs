//! One JSON object a line.

use std::io::{self, BufRead};
use std::sync::Arc;

use serde_json::Value;

use super::{Place, Record, Records, Refused, refusal, unreadable};

pub fn records<'a>(file: Arc<str>, reader: io::Result<Box<dyn BufRead + Send>>) -> Records<'a> {
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return refusal(Place::file(&file), unreadable(&error)),
    };
    let (mut line, mut bytes, mut ended) = (0, Vec::new(), false);
    Box::new(std::iter::from_fn(move || {
        loop {
            if ended {
                return None;
            }
            bytes.clear();
            line += 1;
            let place = Place::line(&file, line);
            match reader.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(_) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
                Ok(_) => return Some(record(place, bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes))),
                Err(error) => {
                    ended = true;
                    return Some(Err(Refused { place, reason: unreadable(&error) }));
                }
            }
        }
    }))
}

fn record(place: Place, line: &[u8]) -> Result<Record, Refused> {
    // With its end, what is missing at the end of the line would be missing at the beginning of the next.
    let line = line.trim_ascii_end();
    match serde_json::from_slice(line) {
        Ok(Value::Object(values)) => Ok(Record { place, key: None, values }),
        Ok(other) => {
            Err(Refused { place, reason: format!("expected a JSON object, found {}; write one object a line", name(&other)) })
        }
        Err(error) => {
            // The message ends with a position, whose line is always the first.
            let position = format!(" at line {} column {}", error.line(), error.column());
            let (told, column) = (error.to_string(), error.column());
            let what = told.strip_suffix(&position).unwrap_or(&told);
            let reason =
                format!("is not JSON ({what}, at byte {column}), it begins with {}; write one object a line", beginning(line));
            Err(Refused { place, reason })
        }
    }
}

/// What a value is, for messages.
pub fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn beginning(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    format!("{:?}", text.trim_end().chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines_are_read_around_a_bad_one_that_is_named() {
        let text: &[u8] = b"\xef\xbb\xbf{\"a\": 1}\n\nnot json\n[1]\n{\"a\": 2}";
        let found: Vec<_> = records("x.jsonl".into(), Ok(Box::new(text))).collect();
        assert_eq!(found.iter().filter(|record| record.is_ok()).count(), 2);
        let bad: Vec<String> = found.iter().filter_map(|record| record.as_ref().err()).map(ToString::to_string).collect();
        assert!(
            bad[0].starts_with("x.jsonl, line 3: is not JSON (expected ident, at byte 2)") && bad[0].contains("\"not json\""),
            "{}",
            bad[0]
        );
        assert!(bad[1].starts_with("x.jsonl, line 4: expected a JSON object, found a list"), "{}", bad[1]);
        for text in [&b"{\"a\": \"b\n"[..], b"{\"a\": \"b\r\n", b"{\"a\": \"b"] {
            let found = records("x.jsonl".into(), Ok(Box::new(text))).next().unwrap().unwrap_err().to_string();
            assert!(found.starts_with("x.jsonl, line 1: is not JSON (EOF while parsing a string, at byte 8)"), "{found}");
        }
    }
}
