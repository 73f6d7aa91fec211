//! Where documents come from: JSON lines, CSV, Parquet, Arrow, and folders of text, Markdown and HTML.
//!
//! Every source gives records, one after the other, each with its place for messages; `shape` makes documents of them.

mod columns;
mod csv;
mod folder;
mod json_lines;
pub mod shape;
mod text;

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Where a record is.
#[derive(Clone, Debug)]
pub struct Place {
    file: Arc<str>,
    /// `line` or `row`, and its number from 1; none for a file that is one record.
    at: Option<(&'static str, u64)>,
}

impl Place {
    fn line(file: &Arc<str>, line: u64) -> Self {
        Self { file: file.clone(), at: Some(("line", line)) }
    }

    fn row(file: &Arc<str>, row: u64) -> Self {
        Self { file: file.clone(), at: Some(("row", row)) }
    }

    fn file(file: &Arc<str>) -> Self {
        Self { file: file.clone(), at: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((what, number)) => write!(f, "{}, {what} {number}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// A record: columns with their values.
#[derive(Debug)]
pub struct Record {
    pub place: Place,
    /// The key, where the record is a file; else it is in one of the columns.
    pub key: Option<String>,
    pub values: Map<String, Value>,
}

/// A record that cannot be taken, and why.
#[derive(Debug)]
pub struct Refused {
    pub place: Place,
    /// What was expected, what was found, what to do.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

pub type Records<'a> = Box<dyn Iterator<Item = Result<Record, Refused>> + 'a>;

/// A file or folder that was named on the command line.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    kind: Kind,
    /// What goes before the keys of files: one of several inputs needs a name.
    prefix: String,
    /// What a folder has and is not taken.
    passed_over: RefCell<folder::Endings>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    JsonLines,
    /// With its separator.
    Csv(u8),
    Parquet,
    Arrow,
    Folder,
    Text,
}

impl Source {
    /// Looks at the path and its ending; reads nothing yet. `alone` where it is the only input.
    pub fn new(path: &Path, alone: bool) -> Result<Self, Failure> {
        if !path.exists() {
            return Err(Failure::new(format_args!("{}: there is no such file or folder; check the path", path.display())));
        }
        if path.is_dir() {
            let prefix = if alone { String::new() } else { folder::key(path) + "/" };
            return Ok(Self { path: path.to_path_buf(), kind: Kind::Folder, prefix, passed_over: RefCell::default() });
        }
        if !path.is_file() {
            return Err(Failure::new(format_args!(
                "{}: is no regular file, and inputs are read several times; write what it gives into a file first",
                path.display()
            )));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let ending = name.strip_suffix(".gz").unwrap_or(&name).rsplit('.').next().unwrap_or_default().to_owned();
        let packed = name.ends_with(".gz");
        let kind = match (ending.as_str(), packed) {
            ("jsonl" | "ndjson" | "json", _) => Kind::JsonLines,
            ("csv", _) => Kind::Csv(b','),
            ("tsv", _) => Kind::Csv(b'\t'),
            ("parquet", false) => Kind::Parquet,
            ("arrow" | "feather" | "ipc", false) => Kind::Arrow,
            (ending, false) if text::is_text(ending) => Kind::Text,
            _ => {
                return Err(Failure::new(format_args!(
                    "{}: its ending says nothing that fossick reads; expected .jsonl, .ndjson, .json, .csv, .tsv (each also with .gz), .parquet, .arrow, .feather, .txt, .md, .html or a folder",
                    path.display()
                )));
            }
        };
        Ok(Self { path: path.to_path_buf(), kind, prefix: String::new(), passed_over: RefCell::default() })
    }

    /// Whether every value is text, to be understood as the column's type.
    pub fn is_untyped(&self) -> bool {
        matches!(self.kind, Kind::Csv(_))
    }

    /// What was in a folder when it was last read and was not taken, for a person.
    pub fn passed_over(&self) -> Option<String> {
        folder::told(&self.path, &self.passed_over.borrow())
    }

    /// Reads from the beginning. A file that cannot be opened, or that is broken as a whole, is one refused record.
    pub fn records(&self) -> Records<'_> {
        let file: Arc<str> = self.path.display().to_string().into();
        match self.kind {
            Kind::JsonLines => json_lines::records(file, unpacked(&self.path)),
            Kind::Csv(separator) => csv::records(file, unpacked(&self.path), separator),
            Kind::Parquet => columns::parquet(file, &self.path),
            Kind::Arrow => columns::arrow(file, &self.path),
            Kind::Folder => folder::records(&self.path, &self.prefix, &self.passed_over),
            Kind::Text => Box::new(std::iter::once(folder::one(&self.path, folder::key(&self.path)))),
        }
    }
}

/// A file's content, without its packing.
pub fn unpacked(path: &Path) -> std::io::Result<Box<dyn BufRead + Send>> {
    let file = File::open(path)?;
    let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let read: Box<dyn Read + Send> = if packed { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) };
    Ok(Box::new(BufReader::with_capacity(1 << 16, read)))
}

/// The iterator over nothing but one refusal.
fn refusal<'a>(place: Place, reason: String) -> Records<'a> {
    Box::new(std::iter::once(Err(Refused { place, reason })))
}

fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read: {error}; check its permissions and that it is what its name says")
}
