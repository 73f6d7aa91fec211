//! What a power cut under [`Durability::System`] and a repair need.

use std::collections::HashSet;
use std::path::PathBuf;

use super::super::columns::NUMBER;
use super::super::files::{FileList, damaged};
use super::super::table::Table;
use super::super::{Durability, Generation, Header, Layout, WordsState};
use super::between::Keep;
use super::{StoreWriter, now};
use crate::error::{Error, StorageError};

/// Goes back to the last flushed generation where a power cut has taken rows of the newest, which was not flushed; tells whether it
/// did. Only under the writer's lock. (Words can be made again, so they are no reason.)
pub(in crate::store) fn fall_back(layout: &Layout) -> Result<bool, Error> {
    let header = Header::read(layout)?;
    let (false, Some(fallback)) = (header.durable, header.fallback) else { return Ok(false) };
    let mut lost = false;
    for (root, files) in header.parts(layout).into_iter().take(2) {
        lost |= !damaged(&root, files)?.is_empty();
    }
    if !lost {
        return Ok(false);
    }
    tracing::warn!(generation = header.generation, fallback, "files were not flushed before a power cut; going back");
    let earlier = Header::read_file(layout, &layout.kept(fallback))?;
    let header = Header {
        // Neither number has been seen with another content.
        generation: header.generation + 1,
        next_document: header.next_document,
        published: now(),
        kept: header.kept.into_iter().filter(|generation| *generation <= fallback).collect(),
        tags: header.tags.into_iter().filter(|tag| tag.generation <= fallback).collect(),
        ..earlier
    };
    header.publish(layout, Durability::EveryCommit)?;
    Ok(true)
}

impl StoreWriter {
    /// The tables as they are now, committed or not, with nothing held against a checksum.
    pub(crate) fn view(&self) -> Result<Generation, StorageError> {
        let header = Header {
            documents: self.documents.count()?,
            passages: self.passages.count()?,
            files: FileList::default(),
            ..self.header.clone()
        };
        Ok(Generation::unchecked(self.layout.clone(), header, self.documents.clone(), self.passages.clone()))
    }

    /// Leaves out the fragments whose files cannot be trusted; the next commit makes it so. For repair.
    pub(in crate::store) fn drop_damaged(
        &mut self,
        documents: &HashSet<String>,
        passages: &HashSet<String>,
    ) -> Result<(), StorageError> {
        for (table, files) in [(&mut self.documents, documents), (&mut self.passages, passages)] {
            let lost = table.fragments_of(files);
            if !lost.is_empty() {
                table.drop_fragments(&lost)?;
            }
        }
        Ok(())
    }

    /// The files of the fragments to which any of these files belongs, by their full paths. For repair.
    pub(in crate::store) fn files_beside(&self, documents: &HashSet<String>, passages: &HashSet<String>) -> Vec<PathBuf> {
        let of = |table: &Table, files| -> Vec<PathBuf> {
            let lost = table.fragments_of(files);
            table.files_of(&lost).into_iter().map(|file| table.path().join(file)).collect()
        };
        [of(&self.documents, documents), of(&self.passages, passages)].concat()
    }

    /// Deletes documents and passages by their numbers, whether or not both tables have them. For repair.
    pub(crate) fn remove(&mut self, gone: &[u64]) -> Result<(), StorageError> {
        self.documents.delete(NUMBER, gone)?;
        self.passages.delete(NUMBER, gone)
    }

    /// Publishes the tables as they are, whatever was counted before, with these words. For repair.
    pub(crate) fn publish_rest(&mut self, words: WordsState, word_files: &[String]) -> Result<(), StorageError> {
        self.flushes = true;
        let (documents, passages) = (self.documents.count()?, self.passages.count()?);
        let changed = Header { documents, passages, words, ..self.header.clone() };
        self.publish_changed(changed, word_files, Keep::No)
    }
}
