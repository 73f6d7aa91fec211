//! The parts of repair that touch the directory: a header to go by, small files from their copies, and a place for what is taken away.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::files::{FileRecord, damaged, slashed};
use super::layout::replace_file;
use super::lock::WriterLock;
use super::writer::{WriterSettings, fall_back};
use super::{Durability, Header, Layout, StoreWriter, copies};
use crate::error::{Error, OpenError, StorageError};

/// A directory that is being repaired, under the writer's lock.
pub(crate) struct Rescue {
    layout: Layout,
    header: Header,
    lock: WriterLock,
    aside: PathBuf,
    /// What was done, in words.
    done: Vec<String>,
}

/// What a repair goes on with.
pub(crate) struct Rescued {
    pub(crate) store: StoreWriter,
    pub(crate) done: Vec<String>,
    /// The folder that things were set aside in, if any were.
    pub(crate) aside: Option<PathBuf>,
}

impl Rescue {
    /// Takes the lock and finds the newest header that can be read.
    ///
    /// # Errors
    /// [`OpenError::Locked`] while somebody writes; [`OpenError`] where there is nothing to go by.
    pub(crate) fn begin(root: &Path) -> Result<Self, Error> {
        let layout = Layout::new(root)?;
        // Before the lock, so that a directory without an index gets no lock file.
        is_readable(&layout)?;
        let lock = WriterLock::take(&layout)?;
        // And again under it: a writer may have published meanwhile.
        let mut done = Vec::new();
        let aside = layout.set_aside();
        let header = if is_readable(&layout)? {
            if fall_back(&layout)? {
                done.push("rows of the newest generation were lost before they were flushed; the one before is back".to_owned());
            }
            Header::read(&layout)?
        } else {
            from_copies(&layout, &aside, &mut done)?
        };
        let mut rescue = Self { layout, header, lock, aside, done };
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

    /// Moves the damaged files of the words out of the way; tells whether there were any.
    pub(crate) fn set_words_aside(&self) -> Result<bool, StorageError> {
        let found = damaged(&self.layout.words(self.header.words.epoch), &self.header.files.words)?;
        found.iter().try_for_each(|fault| set_aside(&self.layout, &self.aside, &fault.path))?;
        Ok(!found.is_empty())
    }

    /// A writer over what can be read: fragments with damaged files are left out, and their files set aside.
    pub(crate) fn into_writer(mut self) -> Result<Rescued, Error> {
        let documents = damaged_paths(&self.layout.documents(), &self.header.files.documents)?;
        let passages = damaged_paths(&self.layout.passages(), &self.header.files.passages)?;
        for (table, found) in [(self.layout.documents(), &documents), (self.layout.passages(), &passages)] {
            if let Some(manifest) = found.iter().find(|file| file.starts_with("_versions")) {
                return Err(StorageError::Damaged {
                    path: table.join(manifest),
                    expected: "the list of what this table consists of".to_owned(),
                    found: "another content, and no copy of it".to_owned(),
                }
                .into());
            }
            let name = table.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.done.extend(found.iter().map(|file| format!("{name}/{file} is damaged; its rows were set aside with it")));
        }
        let (layout, aside) = (self.layout.clone(), self.aside.clone());
        let mut store = StoreWriter::with_lock(self.layout, self.header, self.lock, &WriterSettings::default())?;
        for file in store.files_beside(&documents, &passages) {
            let relative = file.strip_prefix(layout.root()).ok().and_then(slashed).unwrap_or_default();
            let is_damaged = |found: &HashSet<String>| found.iter().any(|damaged| relative.ends_with(damaged.as_str()));
            if is_damaged(&documents) || is_damaged(&passages) {
                set_aside(&layout, &aside, &file)?;
            } else {
                // Another generation may share it.
                copy_aside(&layout, &aside, &file)?;
            }
        }
        store.drop_damaged(&documents, &passages)?;
        Ok(Rescued { store, done: self.done, aside: aside.is_dir().then_some(aside) })
    }

    /// Kept generations that cannot be opened any more are not kept any more.
    fn let_go_of_damaged_generations(&mut self) -> Result<(), StorageError> {
        for generation in self.header.kept.clone() {
            let file = self.layout.kept(generation);
            let mut sound = false;
            if let Ok(kept) = Header::read_file(&self.layout, &file) {
                sound = true;
                for (root, files) in kept.parts(&self.layout) {
                    sound &= damaged(&root, files)?.is_empty();
                }
            }
            if !sound {
                set_aside(&self.layout, &self.aside, &file)?;
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
        let parts = [
            ("documents.lance", self.layout.documents(), &self.header.files.documents),
            ("passages.lance", self.layout.passages(), &self.header.files.passages),
        ];
        for (part, root, files) in parts {
            // Data is never copied, and is read later.
            for relative in damaged_paths(&root, files.iter().filter(|file| !file.path.starts_with("data/")))? {
                let name = format!("{part}/{relative}");
                let record = files.iter().find(|file| file.path == relative);
                let Some(copy) = record.and_then(|record| copies::find(&copies, &name, record)) else { continue };
                let path = root.join(&relative);
                set_aside(&self.layout, &self.aside, &path)?;
                replace_file(&path, copy, Durability::EveryCommit)?;
                self.done.push(format!("{name} was damaged and is back from its copy"));
            }
        }
        Ok(())
    }
}

/// Whether `CURRENT` can be read; not where it is damaged or gone and the tables are there.
fn is_readable(layout: &Layout) -> Result<bool, Error> {
    let there = layout.documents().is_dir() && layout.passages().is_dir();
    match Header::read_stored(layout) {
        Ok(stored) => {
            stored.check_writable(layout)?;
            Ok(true)
        }
        Err(Error::Open(OpenError::Damaged { .. } | OpenError::NotAnIndex { .. } | OpenError::NotFound { .. })) if there => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The newest header that can still be read, made `CURRENT` again.
fn from_copies(layout: &Layout, aside: &Path, done: &mut Vec<String>) -> Result<Header, Error> {
    let current = layout.copy_of_current();
    let kept = fs::read_dir(layout.kept_directory()).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = [current.clone()].into_iter().chain(kept);
    let readable = all.filter_map(|path| Header::read_file(layout, &path).ok().map(|header| (path, header)));
    let Some((path, mut header)) = readable.max_by_key(|(_, header)| header.generation) else {
        Header::read(layout)?;
        return Err(OpenError::NotFound { path: layout.root().to_path_buf() }.into());
    };
    set_aside(layout, aside, &layout.current())?;
    if path != current {
        // What is newer than this header would be taken for uncommitted, and removed.
        set_unlisted_aside(layout, aside, &header)?;
        header.generation = newest_number(layout).max(header.generation) + 1;
    }
    header.publish(layout, Durability::EveryCommit)?;
    let name = path.strip_prefix(layout.root()).unwrap_or(&path).display().to_string();
    done.push(format!("CURRENT was not readable; what it held is taken from {name}"));
    Ok(header)
}

/// Moves the tables' files that neither a header nor the generations that it keeps name.
fn set_unlisted_aside(layout: &Layout, aside: &Path, header: &Header) -> Result<(), StorageError> {
    let kept = header.kept.iter().filter_map(|generation| Header::read_file(layout, &layout.kept(*generation)).ok());
    let headers: Vec<Header> = kept.chain([header.clone()]).collect();
    let listed: HashSet<PathBuf> = headers
        .iter()
        .flat_map(|header| {
            header.parts(layout).map(|(root, files)| files.iter().map(|file| root.join(&file.path)).collect::<Vec<_>>())
        })
        .flatten()
        .collect();
    for table in [layout.documents(), layout.passages()] {
        for directory in ["_versions", "_deletions", "data"] {
            for entry in fs::read_dir(table.join(directory)).into_iter().flatten().flatten() {
                if !listed.contains(&entry.path()) {
                    set_aside(layout, aside, &entry.path())?;
                }
            }
        }
    }
    Ok(())
}

/// The largest number among the files of kept generations and of readers.
fn newest_number(layout: &Layout) -> u64 {
    let directories = [layout.kept_directory(), layout.readers()];
    let entries = directories.into_iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    entries.filter_map(|entry| entry.path().file_stem()?.to_str()?.parse().ok()).max().unwrap_or(0)
}

/// The damaged ones of a part's files, as their records name them.
fn damaged_paths<'a>(root: &Path, files: impl IntoIterator<Item = &'a FileRecord>) -> Result<HashSet<String>, StorageError> {
    let relative = |path: &Path| path.strip_prefix(root).ok().and_then(slashed);
    Ok(damaged(root, files)?.iter().filter_map(|fault| relative(&fault.path)).collect())
}

/// Moves a file to where it is out of the way.
fn set_aside(layout: &Layout, aside: &Path, path: &Path) -> Result<(), StorageError> {
    if !path.exists() {
        return Ok(());
    }
    let target = place_aside(layout, aside, path)?;
    fs::rename(path, &target).map_err(StorageError::io(path, "setting the file aside"))
}

/// Leaves a second name, or a copy, of a file there.
fn copy_aside(layout: &Layout, aside: &Path, path: &Path) -> Result<(), StorageError> {
    if !path.exists() {
        return Ok(());
    }
    let target = place_aside(layout, aside, path)?;
    let linked = fs::hard_link(path, &target).or_else(|_| fs::copy(path, &target).map(|_| ()));
    linked.map_err(StorageError::io(path, "setting the file aside"))
}

fn place_aside(layout: &Layout, aside: &Path, path: &Path) -> Result<PathBuf, StorageError> {
    let target = aside.join(path.strip_prefix(layout.root()).unwrap_or(path));
    let parent = target.parent().unwrap_or(aside);
    fs::create_dir_all(parent).map_err(StorageError::io(parent, "creating the directory"))?;
    Ok(target)
}
