//! Step 6 of a commit: what nobody needs any more is removed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use super::super::files::FileRecord;
use super::super::lock::ReaderPin;
use super::super::table::Table;
use super::super::{Durability, Header};
use super::StoreWriter;
use crate::crash;

impl StoreWriter {
    /// Step 6: removes what only older generations use, unless one is kept or read. Gives the files of the current words'
    /// directory that are needed, or nothing where that cannot be told.
    /// A failure is logged and left for the next commit: the commit has happened.
    pub(crate) fn clean(&mut self) -> Option<HashSet<String>> {
        if let Some(there) = &self.there {
            self.forgetting.forget(&self.layout, |number| there.contains(number));
        }
        let read = ReaderPin::older(&self.layout, self.header.generation)?;
        let mut kept = self.header.kept.clone();
        // The generation to fall back to when the system has not flushed yet.
        kept.extend(self.header.fallback);
        self.superseded.retain(|generation, _| kept.contains(generation) || read.contains(generation));
        for generation in kept.iter().chain(&read) {
            if self.superseded.contains_key(generation) {
                continue;
            }
            match Header::read_file(&self.layout, &self.layout.kept(*generation)) {
                Ok(header) => drop(self.superseded.insert(*generation, header)),
                Err(error) => {
                    tracing::warn!(generation, %error, "nothing is cleaned up while it is not known what this generation needs");
                    return None;
                }
            }
        }
        let mut needed = Needed::default();
        needed.add(&self.header);
        for header in self.superseded.values() {
            needed.add(header);
            // So that a later writer knows what a reader needs.
            if !self.layout.kept(header.generation).exists() {
                header.keep(&self.layout, Durability::System).ok()?;
            }
        }
        crash::abort_at("clean: before");
        Table::remove_all_but(self.documents.path(), &needed.documents);
        crash::abort_at("clean: between");
        Table::remove_all_but(self.passages.path(), &needed.passages);
        self.clean_codes(&needed.passages);
        self.sound.keep(self.documents.path(), &needed.documents);
        self.sound.keep(self.passages.path(), &needed.passages);
        for epoch in self.layout.words_epochs() {
            if !needed.words.contains_key(&epoch) {
                remove_tree(&self.layout.words(epoch));
            }
        }
        for entry in fs::read_dir(self.layout.kept_directory()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let generation = name.to_str().and_then(|name| name.parse::<u64>().ok());
            if !generation.is_some_and(|generation| kept.contains(&generation) || read.contains(&generation)) {
                remove_file(&entry.path());
            }
        }
        crash::abort_at("clean: after");
        needed.words.remove(&self.header.words.epoch)
    }
}

/// The files that some generations need, by part; of the words by epoch.
#[derive(Default)]
struct Needed {
    documents: HashSet<String>,
    passages: HashSet<String>,
    words: HashMap<u64, HashSet<String>>,
}

impl Needed {
    fn add(&mut self, header: &Header) {
        let paths = |files: &[FileRecord]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        self.documents.extend(paths(&header.files.documents));
        self.passages.extend(paths(&header.files.passages));
        self.words.entry(header.words.epoch).or_default().extend(paths(&header.files.words));
    }
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(%error, file = %path.display(), "left for the next clean-up");
    }
}

fn remove_tree(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::debug!(%error, directory = %path.display(), "left for the next clean-up");
    }
}
