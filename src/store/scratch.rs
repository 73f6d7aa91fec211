//! Records that a writer wants at hand and that need not be in memory.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::StorageError;
use crate::mapped::Mapped;

/// How much is collected in memory before it goes into the file.
const PIECE: usize = if cfg!(test) { 4096 } else { 1 << 20 };

const DOING: &str = "writing records into a file without a name";

/// A log of records. What fills a piece is written once, into a file without a name that ends with the process, and mapped; so what is
/// in memory is the page cache's, which the system takes back when it wants to.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: PathBuf,
    // Before the file, so that none is mapped any more when it is let go.
    pieces: Vec<Mapped>,
    /// None until something is written.
    file: Option<File>,
    last: Vec<u8>,
}

impl Scratch {
    /// An empty one, whose file will be in that directory.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), pieces: Vec::new(), file: None, last: Vec::new() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds a record of at most a piece, given in parts, and says where it begins.
    ///
    /// # Errors
    /// [`StorageError::Io`]; nothing was added then.
    pub(super) fn push(&mut self, record: &[&[u8]]) -> Result<u64, StorageError> {
        let length: usize = record.iter().map(|part| part.len()).sum();
        if self.last.len() + length > PIECE {
            let room = if length > PIECE { Err(io::ErrorKind::InvalidInput.into()) } else { self.put_away() };
            room.map_err(StorageError::io(&self.directory, DOING))?;
        }
        let at = self.pieces.len() * PIECE + self.last.len();
        record.iter().for_each(|part| self.last.extend_from_slice(part));
        Ok(at as u64)
    }

    /// What begins there, and all that follows in the same piece.
    pub(super) fn get(&self, at: u64) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        let piece: &[u8] = match self.pieces.get(at / PIECE) {
            Some(piece) => piece,
            None if at / PIECE == self.pieces.len() => &self.last,
            None => return None,
        };
        piece.get(at % PIECE..)
    }

    /// Leaves nothing in memory. What is added afterwards begins a new piece.
    ///
    /// # Errors
    /// [`StorageError::Io`]; then the last piece stays in memory.
    pub(super) fn finish(&mut self) -> Result<(), StorageError> {
        if !self.last.is_empty() {
            self.put_away().map_err(StorageError::io(&self.directory, DOING))?;
        }
        self.last = Vec::new();
        Ok(())
    }

    /// Writes the last piece.
    fn put_away(&mut self) -> io::Result<()> {
        let mut content = self.last.clone();
        content.resize(PIECE, 0);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.directory)?),
        };
        let start = (self.pieces.len() * PIECE) as u64;
        // An earlier attempt may have stopped in the middle.
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&content)?;
        self.pieces.push(Mapped::written(file, start, PIECE)?);
        self.last.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_where_they_were_put_in_memory_and_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(directory.path());
        let record = |number: u32| format!("{number} {}", "x".repeat(number as usize % 900));
        let places: Vec<u64> = (0..500).map(|number| scratch.push(&[record(number).as_bytes(), b"\n"]).unwrap()).collect();
        assert!(scratch.pieces.len() > 10 && !scratch.last.is_empty());
        for (number, at) in (0..500).zip(places) {
            let expected = record(number) + "\n";
            assert!(scratch.get(at).unwrap().starts_with(expected.as_bytes()), "{number}");
        }
        assert_eq!(scratch.get((scratch.pieces.len() * PIECE + PIECE) as u64), None);
    }

    #[test]
    fn few_records_need_no_file_and_a_directory_that_is_gone_is_an_error_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("gone");
        let mut scratch = Scratch::new(&gone);
        let first = scratch.push(&[&[1; PIECE]]).unwrap();
        let error = scratch.push(&[&[2]]).unwrap_err().to_string();
        assert!(error.contains("gone") && error.contains("check space"), "{error}");
        std::fs::create_dir(&gone).unwrap();
        let second = scratch.push(&[&[2]]).unwrap();
        assert!(scratch.push(&[&[3; PIECE], &[3]]).is_err(), "longer than a piece");
        assert_eq!((scratch.get(first).unwrap(), scratch.get(second).unwrap()), (&[1; PIECE][..], &[2][..]));
    }

    #[test]
    #[cfg(unix)]
    fn the_file_has_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(directory.path());
        scratch.push(&[&[1; PIECE]]).unwrap();
        scratch.push(&[&[2]]).unwrap();
        assert_eq!(scratch.pieces.len(), 1);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
