//! Folders of text, Markdown and HTML files; a file is a document whose key is its path in the folder.

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

/// The files in the order of their names; hidden ones, and those of other endings, are passed over.
pub fn records<'a>(root: &'a Path, prefix: &'a str) -> Records<'a> {
    let entries = WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(is_shown);
    Box::new(entries.filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let place = error.path().unwrap_or(root).display().to_string().into();
                return Some(Err(Refused { place: Place::file(&place), reason: format!("cannot be read: {error}") }));
            }
        };
        if !entry.file_type().is_file() || !is_text(&ending(entry.path())) {
            return None;
        }
        let inside = entry.path().strip_prefix(root).unwrap_or(entry.path());
        Some(one(entry.path(), prefix.to_owned() + &key(inside)))
    }))
}

fn is_shown(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
}

/// What is in a folder and not taken, for a person; hidden files aside.
pub fn passed_over(root: &Path) -> Option<String> {
    let mut endings: BTreeMap<String, u64> = BTreeMap::new();
    let files = WalkDir::new(root).into_iter().filter_entry(is_shown).flatten().filter(|entry| entry.file_type().is_file());
    files.map(|entry| ending(entry.path())).filter(|ending| !is_text(ending)).for_each(|ending| {
        *endings.entry(ending).or_default() += 1;
    });
    let all: u64 = endings.values().sum();
    let mut named: Vec<(String, u64)> = endings.into_iter().collect();
    named.sort_by_key(|(_, count)| Reverse(*count));
    let more = named.len().saturating_sub(NAMED);
    let name = |(ending, count): &(String, u64)| match ending.as_str() {
        "" => format!("{count} without an ending"),
        ending => format!("{count} .{}", plain(ending)),
    };
    let mut told: Vec<String> = named.iter().take(NAMED).map(name).collect();
    if more > 0 {
        told.push(format!("{more} other endings"));
    }
    let told = told.join(", ");
    (all > 0).then(|| {
        format!("{}: passed over {} that fossick does not read in a folder ({told})", root.display(), counted(all, "file"))
    })
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
