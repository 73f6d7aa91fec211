//! Folders of text, Markdown and HTML files; a file is a document whose key is its path in the folder.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;

use serde_json::{Map, json};
use walkdir::{DirEntry, WalkDir};

use super::text::{is_text, read};
use super::{Place, Record, Records, Refused, unreadable};
use crate::terminal::{counted, plain};

/// Endings that are named one by one.
const NAMED: usize = 5;

/// The columns of these records.
const TITLE: &str = "title";
const TEXT: &str = "text";

/// Of the files that were passed over, how many have each ending.
pub type Endings = BTreeMap<String, u64>;

/// The files in the order of their names; hidden ones and links are passed over, and those of other endings, which are counted.
pub fn records<'a>(root: &'a Path, prefix: &'a str, passed_over: &'a RefCell<Endings>) -> Records<'a> {
    passed_over.borrow_mut().clear();
    let shown = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.');
    let entries = WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(shown);
    Box::new(entries.filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let place = error.path().unwrap_or(root).display().to_string().into();
                return Some(Err(Refused { place: Place::file(&place), reason: format!("cannot be read: {error}") }));
            }
        };
        if !entry.file_type().is_file() {
            return None;
        }
        let ending = ending(entry.path());
        if !is_text(&ending) {
            *passed_over.borrow_mut().entry(ending).or_default() += 1;
            return None;
        }
        let inside = entry.path().strip_prefix(root).unwrap_or(entry.path());
        Some(one(entry.path(), prefix.to_owned() + &key(inside)))
    }))
}

/// Which files were passed over, for a person.
pub fn told(root: &Path, passed_over: &Endings) -> Option<String> {
    let all: u64 = passed_over.values().sum();
    // What is long or has spaces is the rest of a name with a dot in it.
    let is_ending = |ending: &str| (1..=10).contains(&ending.len()) && ending.chars().all(char::is_alphanumeric);
    let mut named: Vec<(&String, u64)> =
        passed_over.iter().filter(|(ending, _)| is_ending(ending)).map(|(e, n)| (e, *n)).collect();
    named.sort_by_key(|(_, count)| Reverse(*count));
    named.truncate(NAMED);
    let mut parts: Vec<String> = named.iter().map(|(ending, count)| format!("{count} .{ending}")).collect();
    let others = all - named.iter().map(|(_, count)| count).sum::<u64>();
    if others > 0 && !named.is_empty() {
        parts.push(format!("{others} of other kinds"));
    }
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let folder = plain(&root.display().to_string());
    (all > 0).then(|| format!("{folder}: passed over {} that fossick does not read in a folder{parts}", counted(all, "file")))
}

/// A path as a key, the same on every system.
pub fn key(path: &Path) -> String {
    let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/").replace("//", "/")
}

/// One file as a record.
pub fn one(path: &Path, key: String) -> Result<Record, Refused> {
    let file: Arc<str> = path.display().to_string().into();
    let refused = |reason| Refused { place: Place::file(&file), reason };
    let bytes = std::fs::read(path).map_err(|e| refused(unreadable(&e)))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text,
        Ok(_) => return Err(refused("holds NUL characters, so it is not text; leave it out or rename it".to_owned())),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            return Err(refused(format!("is not text in UTF-8 (at byte {at}); convert it or leave it out")));
        }
    };
    let content = read(&ending(path), text.trim_start_matches('\u{feff}'));
    let stem = || path.file_stem().unwrap_or_default().to_string_lossy().replace(['_', '-'], " ");
    let mut values = Map::new();
    values.insert(TITLE.to_owned(), json!(content.title.unwrap_or_else(stem)));
    values.insert(TEXT.to_owned(), json!(content.text));
    Ok(Record { place: Place::file(&file), key: Some(key), values })
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_passed_over_are_told_by_their_most_frequent_endings() {
        let told = |endings: &[(&str, u64)]| {
            let endings: Endings = endings.iter().map(|(ending, count)| (String::from(*ending), *count)).collect();
            super::told(Path::new("notes"), &endings)
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("", 1)]).unwrap(), "notes: passed over 1 file that fossick does not read in a folder");
        assert_eq!(
            told(&[("pdf", 3), ("png", 7), (" \rlong name", 1)]).unwrap(),
            "notes: passed over 11 files that fossick does not read in a folder (7 .png, 3 .pdf, 1 of other kinds)"
        );
        let seven = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5), ("f", 6), ("g", 7)];
        assert!(told(&seven).unwrap().ends_with("(7 .g, 6 .f, 5 .e, 4 .d, 3 .c, 3 of other kinds)"), "{:?}", told(&seven));
    }
}
