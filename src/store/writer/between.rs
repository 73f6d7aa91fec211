//! What a writer does between commits: compaction, names, going back, fields that are added. Each publishes a generation of its own, but
//! for names.

use super::super::columns::new_columns;
use super::super::compaction::CompactionLimits;
use super::super::files::damaged;
use super::super::header::is_in_place;
use super::super::table::Table;
use super::super::{Durability, Generation, Header, Tag, WordsState};
use super::StoreWriter;
use crate::crash;
use crate::error::{Error, OpenError, StorageError};
use crate::schema::Schema;

/// Whether the generation that a new one takes the place of is kept; a tag keeps it in any case.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep {
    AsSet,
    Yes,
    No,
}

impl StoreWriter {
    /// Whether the tables are worth compacting.
    pub(crate) fn wants_compaction(&self) -> bool {
        let limits = CompactionLimits::automatic(&self.housekeeping);
        self.housekeeping.automatic && (self.documents.could_gain(&limits) || self.passages.could_gain(&limits))
    }

    /// Compacts the tables and publishes that as a generation with the same content; `all` takes everything that can be gained.
    /// Between commits only. When it fails, the tables are what they were.
    pub(crate) fn compact(&mut self, all: bool, words: WordsState, word_files: &[String]) -> Result<bool, StorageError> {
        let limits = if all { CompactionLimits::everything() } else { CompactionLimits::automatic(&self.housekeeping) };
        let changed = words != self.header.words;
        let result = self.try_compact(&limits, changed, words, word_files);
        self.go_back_unless_done(&result)?;
        result
    }

    fn try_compact(
        &mut self,
        limits: &CompactionLimits,
        words_changed: bool,
        words: WordsState,
        word_files: &[String],
    ) -> Result<bool, StorageError> {
        self.check_usable()?;
        // What is damaged must not be copied into a file that looks sound.
        for (table, files) in [(&self.documents, &self.header.files.documents), (&self.passages, &self.header.files.passages)] {
            let read = table.files_to_compact(limits);
            let read = files.iter().filter(|file| read.contains(&file.path));
            if let Some(fault) = damaged(table.path(), read)?.into_iter().next() {
                return Err(fault.into());
            }
        }
        let documents = self.documents.compact(limits)?;
        crash::point("compact: the documents")?;
        let passages = self.passages.compact(limits)?;
        crash::point("compact: the passages")?;
        if !(documents || passages || words_changed) {
            return Ok(false);
        }
        self.flushes = self.durability == Durability::EveryCommit;
        let changed = Header { words, ..self.header.clone() };
        // The content is the same: it takes no place in the history.
        self.publish_changed(changed, word_files, Keep::No)?;
        Ok(true)
    }

    /// Adds fields without values to the schema, and publishes that. Between commits only.
    /// `words` makes those of a generation again, for the fields that it has then.
    pub(crate) fn extend_schema(
        &mut self,
        schema: &Schema,
        words: impl FnOnce(&Generation) -> Result<(WordsState, Vec<String>), Error>,
    ) -> Result<(), Error> {
        let added = new_columns(&self.header.schema, schema);
        // Another process may have done it since the caller looked.
        if added.fields().is_empty() {
            return Ok(());
        }
        self.documents.add_columns(added)?;
        self.flushes = true;
        let mut view = self.view()?;
        view.header.schema = self.header.schema.extended(schema);
        let (words, files) = words(&view)?;
        let changed = Header { schema: view.header.schema.clone(), words, ..self.header.clone() };
        drop(view);
        Ok(self.publish_changed(changed, &files, Keep::AsSet)?)
    }

    /// Publishes the newest generation once more, flushed, where it was not; for the end of a writer. Only with nothing uncommitted.
    pub(crate) fn flush(&mut self) -> Result<(), StorageError> {
        if self.header.durable || self.is_changed() || self.broken {
            return Ok(());
        }
        self.flushes = true;
        let words = self.header.files.word_files();
        self.publish_changed(self.header.clone(), &words, Keep::No)
    }

    /// Gives a name to the newest generation, so that it is kept; takes it away from the one that had it. Between commits only.
    pub(crate) fn tag(&mut self, name: &str) -> Result<(), StorageError> {
        let mut tags: Vec<Tag> = self.header.tags.iter().filter(|tag| tag.name != name).cloned().collect();
        tags.push(Tag { name: name.to_owned(), generation: self.header.generation });
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        self.retag(tags)
    }

    /// Takes a name away; false where there is none.
    pub(crate) fn untag(&mut self, name: &str) -> Result<bool, StorageError> {
        let tags: Vec<Tag> = self.header.tags.iter().filter(|tag| tag.name != name).cloned().collect();
        if tags.len() == self.header.tags.len() {
            return Ok(false);
        }
        self.retag(tags)?;
        Ok(true)
    }

    /// The content does not change, so neither does the generation.
    fn retag(&mut self, tags: Vec<Tag>) -> Result<(), StorageError> {
        self.check_usable()?;
        let mut kept = self.still_kept(&tags, None);
        if self.housekeeping.history.is_none() {
            // Who takes the last name away means the generation, too.
            let named = |tags: &[Tag], generation: u64| tags.iter().any(|tag| tag.generation == generation);
            kept.retain(|generation| named(&tags, *generation) || !named(&self.header.tags, *generation));
        }
        let header = Header { tags, kept, ..self.header.clone() };
        let published = header.publish(&self.layout, Durability::EveryCommit);
        if is_in_place(&published) {
            self.header = header;
        }
        published
    }

    /// Makes the content of a kept generation that of a new one. The words are copied by the caller, to the epoch in `words`.
    /// Between commits only.
    pub(crate) fn restore(&mut self, earlier: &Header, words: WordsState, word_files: &[String]) -> Result<(), StorageError> {
        let result = self.try_restore(earlier, words, word_files);
        self.go_back_unless_done(&result)?;
        result
    }

    fn try_restore(&mut self, earlier: &Header, words: WordsState, word_files: &[String]) -> Result<(), StorageError> {
        self.check_usable()?;
        self.sound.check(self.documents.path(), &earlier.files.documents)?;
        self.sound.check(self.passages.path(), &earlier.files.passages)?;
        self.documents.restore(earlier.documents_version)?;
        crash::point("restore: the documents")?;
        self.passages.restore(earlier.passages_version)?;
        crash::point("restore: the passages")?;
        self.flushes = true;
        // Who restores says what is there then.
        self.there = None;
        let changed = Header {
            documents: earlier.documents,
            passages: earlier.passages,
            words,
            schema: earlier.schema.clone(),
            ..self.header.clone()
        };
        // Whoever goes back may want to come back.
        self.publish_changed(changed, word_files, Keep::Yes)
    }

    /// The header of a kept generation, or of the newest.
    pub(crate) fn kept(&self, generation: u64) -> Result<Header, Error> {
        if generation == self.header.generation {
            return Ok(self.header.clone());
        }
        if !self.header.kept.contains(&generation) {
            return Err(OpenError::no_such_generation(&self.layout, &self.header, generation).into());
        }
        Header::read_file(&self.layout, &self.layout.kept(generation))
    }

    /// The earlier generations that are kept beside the newest one, or, where one is about to take its place, beside that.
    pub(super) fn still_kept(&self, tags: &[Tag], superseded: Option<Keep>) -> Vec<u64> {
        let tagged = |generation: &u64| tags.iter().any(|tag| tag.generation == *generation);
        let newest = self.header.generation;
        let mut untagged: Vec<u64> = self.header.kept.iter().copied().filter(|generation| !tagged(generation)).collect();
        let adds = match superseded {
            None | Some(Keep::No) => false,
            Some(Keep::AsSet) => self.housekeeping.history.is_some(),
            Some(Keep::Yes) => true,
        };
        if adds && !tagged(&newest) {
            untagged.push(newest);
        }
        if let (Some(history), false) = (self.housekeeping.history, matches!(superseded, Some(Keep::Yes))) {
            untagged.drain(..untagged.len().saturating_sub(history as usize));
        }
        let named = self.header.kept.iter().copied().chain(superseded.map(|_| newest)).filter(tagged);
        let mut kept: Vec<u64> = untagged.into_iter().chain(named).collect();
        kept.sort_unstable();
        kept
    }

    /// After something between commits that failed: the tables as they were.
    fn go_back_unless_done<T>(&mut self, result: &Result<T, StorageError>) -> Result<(), StorageError> {
        if result.is_ok() {
            return Ok(());
        }
        let gone_back = self.go_back();
        self.broken |= gone_back.is_err();
        gone_back
    }

    /// Drops what was done to the tables and not published.
    fn go_back(&mut self) -> Result<(), StorageError> {
        Table::forget_uncommitted(self.documents.path(), self.header.documents_version)?;
        Table::forget_uncommitted(self.passages.path(), self.header.passages_version)?;
        self.documents = Table::open(self.layout.documents(), self.header.documents_version, &self.thread)?;
        self.passages = Table::open(self.layout.passages(), self.header.passages_version, &self.thread)?;
        Ok(())
    }
}
