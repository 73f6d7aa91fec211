//! Names of files and directories, and what makes them durable.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{OpenError, StorageError};

/// The paths of an index directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The path is made absolute, so that a later change of the working directory changes nothing.
    pub(crate) fn new(root: &Path) -> Result<Self, StorageError> {
        let absolute = std::path::absolute(root).map_err(StorageError::io(root, "finding the absolute path"))?;
        Ok(Self { root: absolute })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The commit point.
    pub(crate) fn current(&self) -> PathBuf {
        self.root.join("CURRENT")
    }

    /// Held locked by a writer.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    pub(crate) fn documents(&self) -> PathBuf {
        self.root.join("documents.lance")
    }

    pub(crate) fn passages(&self) -> PathBuf {
        self.root.join("passages.lance")
    }

    /// The words' directory; a rebuild makes a new epoch.
    pub(crate) fn words(&self, epoch: u64) -> PathBuf {
        self.root.join(format!("words-{epoch}"))
    }

    /// What the cross-encoder has said; no part of any generation.
    pub(crate) fn logits(&self) -> PathBuf {
        self.root.join("logits")
    }

    /// One small file for each generation that a reader holds.
    pub(crate) fn readers(&self) -> PathBuf {
        self.root.join("readers")
    }

    /// Refuses a path that is a file, or a directory with content that is no index.
    pub(crate) fn check_free(&self) -> Result<(), OpenError> {
        // Another process may have made the index since the caller looked.
        if self.current().exists() {
            return Ok(());
        }
        let not_an_index = |fact: String| OpenError::NotAnIndex { path: self.root.clone(), fact };
        if self.root.is_file() {
            return Err(not_an_index("it is a file".to_owned()));
        }
        let Ok(entries) = fs::read_dir(&self.root) else { return Ok(()) };
        // What a creation that was cut short, or a desktop, may have left here.
        let known = [
            "LOCK",
            "CURRENT.tmp",
            "documents.lance",
            "passages.lance",
            "words-0",
            "readers",
            "logits",
            ".DS_Store",
            "Thumbs.db",
            "desktop.ini",
        ];
        let stranger = entries.flatten().map(|entry| entry.file_name()).find(|name| !known.iter().any(|known| name == known));
        if let Some(name) = stranger {
            return if self.current().exists() {
                Ok(())
            } else {
                Err(not_an_index(format!("it holds {name:?} and no file CURRENT")))
            };
        }
        // Rows are only written after the first CURRENT: this is an index that lost it, not one that was never finished.
        for table in [self.documents(), self.passages()] {
            if fs::read_dir(table.join("data")).is_ok_and(|mut files| files.next().is_some()) && !self.current().exists() {
                return Err(OpenError::Damaged {
                    path: self.current(),
                    expected: "the commit point of the tables beside it".to_owned(),
                    found: "no such file".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Writes a file so that after a crash either the old content or the new is there, whole.
pub(super) fn write_durably(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(StorageError::io(&temporary, "creating the file"))?;
    file.write_all(content).map_err(StorageError::io(&temporary, "writing"))?;
    file.sync_all().map_err(StorageError::io(&temporary, "making the file durable"))?;
    drop(file);
    fs::rename(&temporary, path).map_err(StorageError::io(path, "renaming CURRENT.tmp over the file"))?;
    match path.parent().map(sync_directory) {
        Some(Err(StorageError::Io { source, .. })) => Err(StorageError::NotDurable { path: path.to_path_buf(), source }),
        Some(other) => other,
        None => Ok(()),
    }
}

/// Makes a directory's entries durable. Windows has no such call and needs none.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StorageError> {
    #[cfg(unix)]
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(StorageError::io(path, "making the directory durable"))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Makes every file below `root` durable that is not in `done` yet, and the directories that hold such files. Lance writes
/// each file once, under a new name, so a name seen once need not be looked at again.
pub(super) fn sync_new_files(root: &Path, done: &mut HashSet<PathBuf>) -> Result<(), StorageError> {
    let entries = fs::read_dir(root).map_err(StorageError::io(root, "listing the directory"))?;
    let mut added = false;
    for entry in entries {
        let path = entry.map_err(StorageError::io(root, "listing the directory"))?.path();
        if path.is_dir() {
            added |= !done.contains(&path);
            sync_new_files(&path, done)?;
            done.insert(path);
        } else if !done.contains(&path) {
            // Windows flushes a file only through a handle that may write.
            let file = File::options().read(true).write(cfg!(windows)).open(&path);
            file.and_then(|file| file.sync_all()).map_err(StorageError::io(&path, "making the file durable"))?;
            done.insert(path);
            added = true;
        }
    }
    if added { sync_directory(root) } else { Ok(()) }
}
