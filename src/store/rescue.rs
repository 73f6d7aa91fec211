//! The parts of repair that touch the directory: a header to go by, small files from their copies, and a place for what is taken away.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::files::{FileRecord, faults};
use super::lock::WriterLock;
use super::writer::WriterSettings;
use super::{Durability, Header, Layout, StoreWriter, copies};
use crate::error::{Error, OpenError, StorageError};

/// A directory that is being repaired, under the writer's lock.
pub(crate) struct Rescue {
    layout: Layout,
    header: Header,
    lock: WriterLock,
    aside: PathBuf,
    /// What was done, in words.
    pub(crate) done: Vec<String>,
}

impl Rescue {
    /// Takes the lock and finds the newest header that can be read.
    ///
    /// # Errors
    /// [`OpenError::Locked`] while somebody writes; [`OpenError`] where there is nothing to go by.
    pub(crate) fn begin(root: &Path) -> Result<Self, Error> {
        let layout = Layout::new(root)?;
        let looks_like_one = layout.documents().is_dir() && layout.passages().is_dir();
        let found = Header::read_stored(&layout);
        match &found {
            Ok(stored) => stored.check_writable(&layout)?,
            Err(Error::Open(OpenError::Damaged { .. } | OpenError::NotAnIndex { .. } | OpenError::NotFound { .. }))
                if looks_like_one => {}
            Err(_) => {
                return Err(found.map(|_| ()).err().unwrap_or_else(|| OpenError::NotFound { path: root.to_path_buf() }.into()));
            }
        }
        let lock = WriterLock::take(&layout)?;
        let mut rescue = match found {
            Ok(stored) => Self { aside: layout.set_aside(), header: stored.header, layout, lock, done: Vec::new() },
            Err(error) => {
                let Some((path, header)) = newest_copy(&layout) else { return Err(error) };
                let mut rescue = Self { aside: layout.set_aside(), header, layout, lock, done: Vec::new() };
                let current = rescue.layout.current();
                rescue.set_aside(&current)?;
                rescue.header.publish(&rescue.layout, Durability::EveryCommit)?;
                let name = path.strip_prefix(rescue.layout.root()).unwrap_or(&path).display().to_string();
                rescue
                    .done
                    .push(format!("CURRENT was not readable; generation {} is taken from {name}", rescue.header.generation));
                rescue
            }
        };
        rescue.restore_small_files()?;
        rescue.let_go_of_damaged_generations()?;
        Ok(rescue)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where things were put, if any were.
    pub(crate) fn aside(&self) -> Option<PathBuf> {
        self.aside.is_dir().then(|| self.aside.clone())
    }

    /// The files of the words that are not what they were.
    pub(crate) fn damaged_words(&self) -> Vec<PathBuf> {
        damaged(&self.layout.words(self.header.words.epoch), &self.header.files.words).into_iter().map(|(path, _)| path).collect()
    }

    /// A writer over what can be read: fragments with damaged files are left out, and those files set aside. What was left out is in
    /// `done`.
    pub(crate) fn into_writer(mut self) -> Result<(StoreWriter, Vec<String>, Option<PathBuf>), Error> {
        let mut lost = Vec::new();
        for (name, root, files) in [
            ("documents", self.layout.documents(), &self.header.files.documents),
            ("passages", self.layout.passages(), &self.header.files.passages),
        ] {
            let found = damaged(&root, files);
            if let Some((path, _)) = found.iter().find(|(_, relative)| relative.starts_with("_versions")) {
                return Err(StorageError::Damaged {
                    path: path.clone(),
                    expected: format!("the list of what the table of {name} consists of"),
                    found: "another content, and no copy of it".to_owned(),
                }
                .into());
            }
            lost.push((name, found));
        }
        for (path, _) in lost.iter().flat_map(|(_, found)| found) {
            set_aside(&self.layout, &self.aside, path)?;
        }
        for (name, found) in &lost {
            self.done.extend(found.iter().map(|(_, file)| format!("{name}: {file} is damaged and was set aside with its rows")));
        }
        let aside = self.aside();
        let relative = |at: usize| -> HashSet<String> {
            lost.get(at).into_iter().flat_map(|(_, found)| found).map(|(_, relative)| relative.clone()).collect()
        };
        let mut store = StoreWriter::with_lock(self.layout, self.header, self.lock, &WriterSettings::default())?;
        store.drop_damaged(&relative(0), &relative(1))?;
        Ok((store, self.done, aside))
    }

    /// Moves a file to where it is out of the way.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<(), StorageError> {
        set_aside(&self.layout, &self.aside, path)
    }

    /// Kept generations that cannot be opened any more are not kept any more.
    fn let_go_of_damaged_generations(&mut self) -> Result<(), StorageError> {
        for generation in self.header.kept.clone() {
            let file = self.layout.kept(generation);
            let sound = Header::read_file(&self.layout, &file).is_ok_and(|kept| {
                damaged(&self.layout.documents(), &kept.files.documents).is_empty()
                    && damaged(&self.layout.passages(), &kept.files.passages).is_empty()
                    && damaged(&self.layout.words(kept.words.epoch), &kept.files.words).is_empty()
            });
            if !sound {
                self.set_aside(&file)?;
                self.header.kept.retain(|other| *other != generation);
                self.header.tags.retain(|tag| tag.generation != generation);
                self.done.push(format!("generation {generation} was damaged and is not kept any more"));
            }
        }
        Ok(())
    }

    /// Puts small files of the tables back that are damaged and of which there is a sound copy.
    fn restore_small_files(&mut self) -> Result<(), StorageError> {
        let copies = copies::read(&self.layout);
        for (part, root, files) in [
            ("documents.lance", self.layout.documents(), self.header.files.documents.clone()),
            ("passages.lance", self.layout.passages(), self.header.files.passages.clone()),
        ] {
            for (path, relative) in damaged(&root, &files) {
                let name = format!("{part}/{relative}");
                let Some(record) = files.iter().find(|file| file.path == relative) else { continue };
                let sound = |bytes: &&Vec<u8>| bytes.len() as u64 == record.length && crc32c::crc32c(bytes) == record.checksum;
                let Some(copy) = copies.iter().find(|(copied, _)| *copied == name).map(|(_, bytes)| bytes).filter(sound) else {
                    continue;
                };
                self.set_aside(&path)?;
                fs::write(&path, copy).map_err(StorageError::io(&path, "writing"))?;
                self.done.push(format!("{name} was damaged and is back from its copy"));
            }
        }
        Ok(())
    }
}

/// The newest header among the copies, with its file.
fn newest_copy(layout: &Layout) -> Option<(PathBuf, Header)> {
    let kept = fs::read_dir(layout.kept_directory()).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = [layout.copy_of_current()].into_iter().chain(kept);
    let headers = files.filter_map(|path| Header::read_file(layout, &path).ok().map(|header| (path, header)));
    headers.max_by_key(|(_, header)| header.generation)
}

/// The damaged ones of a part's files, with their paths from its directory.
fn damaged(root: &Path, files: &[FileRecord]) -> Vec<(PathBuf, String)> {
    let all: Vec<&FileRecord> = files.iter().collect();
    let relative = |path: &Path| path.strip_prefix(root).ok().and_then(super::files::slashed);
    faults(root, &all).into_iter().filter_map(|fault| relative(&fault.path).map(|relative| (fault.path, relative))).collect()
}

fn set_aside(layout: &Layout, aside: &Path, path: &Path) -> Result<(), StorageError> {
    if !path.exists() {
        return Ok(());
    }
    let target = aside.join(path.strip_prefix(layout.root()).unwrap_or(path));
    let parent = target.parent().unwrap_or(aside);
    fs::create_dir_all(parent).map_err(StorageError::io(parent, "creating the directory"))?;
    fs::rename(path, &target).map_err(StorageError::io(path, "setting the file aside"))
}
