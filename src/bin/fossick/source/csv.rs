//! Comma- and tab-separated values under a heading; in the latter a quotation mark is a character like any other.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::{Place, Record, Records, Refused, refusal, unreadable};

pub fn records<'a>(file: Arc<str>, reader: io::Result<Box<dyn BufRead + Send>>, separator: u8) -> Records<'a> {
    let reader = match reader {
        Ok(reader) => reader,
        Err(error) => return refusal(Place::file(&file), unreadable(&error)),
    };
    let quotes = Arc::new(AtomicU64::new(0));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .quoting(separator == b',')
        .from_reader(Counting { inner: reader, quotes: quotes.clone() });
    let heading = match reader.headers() {
        Ok(heading) => heading.clone(),
        Err(error) => {
            return refusal(Place::line(&file, 1), format!("is no heading: {error}; name the columns in the first line"));
        }
    };
    let names: Vec<String> = heading.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        let reason = format!("the column {:?} is there twice; give each column a name of its own", twice.1);
        return refusal(Place::line(&file, 1), reason);
    }
    let mut rows = Rows { file, names, reader, row: csv::StringRecord::new(), ended: false };
    let mut held = rows.next();
    Box::new(std::iter::from_fn(move || {
        let record = held.take()?;
        held = rows.next();
        // The last row goes on to the end of the file where a quotation mark was opened and never closed.
        match record {
            Ok(record) if held.is_none() && separator == b',' && quotes.load(Ordering::Relaxed) % 2 == 1 => {
                let reason = "a quotation mark that is opened here, or in a row before, is never closed; close it, or double it";
                Some(Err(Refused { place: record.place, reason: reason.to_owned() }))
            }
            other => Some(other),
        }
    }))
}

/// Rows as records.
struct Rows<R> {
    file: Arc<str>,
    names: Vec<String>,
    reader: csv::Reader<R>,
    row: csv::StringRecord,
    ended: bool,
}

impl<R: io::Read> Rows<R> {
    fn next(&mut self) -> Option<Result<Record, Refused>> {
        if self.ended {
            return None;
        }
        let read = self.reader.read_record(&mut self.row);
        let line = match &read {
            Ok(_) => self.row.position().map_or(0, csv::Position::line),
            Err(error) => error.position().map_or(0, csv::Position::line),
        };
        let place = Place::line(&self.file, line);
        match read {
            Ok(false) => None,
            Ok(true) => {
                let value = |text: &str| if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) };
                let values: Map<String, Value> = self.names.iter().cloned().zip(self.row.iter().map(value)).collect();
                Some(Ok(Record { place, key: None, values }))
            }
            Err(error) => {
                let reason = match error.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        format!("has {len} columns, the heading has {expected_len}; put text with commas into quotation marks")
                    }
                    csv::ErrorKind::Utf8 { .. } => "is not text in UTF-8; convert the file".to_owned(),
                    _ => {
                        self.ended = true;
                        format!("cannot be read: {error}")
                    }
                };
                Some(Err(Refused { place, reason }))
            }
        }
    }
}

/// Counts quotation marks on their way through.
struct Counting<R> {
    inner: R,
    quotes: Arc<AtomicU64>,
}

impl<R: io::Read> io::Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let quotes = buffer.iter().take(count).filter(|&&byte| byte == b'"').count();
        self.quotes.fetch_add(quotes as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_another_length_is_refused_and_the_next_is_read() {
        let text: &[u8] = b"id,title\na,\"one, two\"\nb,c,d\n\"e\",\n";
        let found: Vec<_> = records("x.csv".into(), Ok(Box::new(text)), b',').collect();
        assert_eq!(found[0].as_ref().unwrap().values["title"], "one, two");
        let error = found[1].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("x.csv, line 3: has 3 columns, the heading has 2"), "{error}");
        assert_eq!(found[2].as_ref().unwrap().values["title"], Value::Null);
    }

    #[test]
    fn a_quotation_mark_that_is_never_closed_is_told() {
        let text: &[u8] = b"id,title\na,one\nb,\"five inch\nc,three\nd,four\n";
        let found: Vec<_> = records("x.csv".into(), Ok(Box::new(text)), b',').collect();
        assert_eq!(found.len(), 2);
        let error = found[1].as_ref().unwrap_err().to_string();
        assert!(error.starts_with("x.csv, line 3: a quotation mark"), "{error}");
    }
}
