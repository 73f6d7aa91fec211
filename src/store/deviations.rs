//! How far above what codes say searches look, where a check of the recall has found that the usual does not do: a small file beside the codes.
//!
//! Derived, as they are, and no part of any generation: whoever finds none, or one that is damaged, goes by the usual.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::layout::replace_file;
use super::{Durability, Generation};
use crate::error::StorageError;

const MAGIC: [u8; 16] = *b"fossick widen 1\n";
/// Magic, the number, and the crc32c of both, 4 bytes each.
const LENGTH: usize = MAGIC.len() + 4 + 4;

impl Generation {
    /// How many standard deviations a check has left, if one did. Whether that many are of use the caller knows.
    pub(crate) fn deviations(&self) -> Option<u32> {
        let path = path_of(&self.layout.codes());
        match read(&path) {
            Ok(kept) => {
                if kept.is_none() {
                    tracing::warn!(file = %path.display(), "not what a check of the recall leaves; passed over");
                }
                kept
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %path.display(), %error, "passed over");
                }
                None
            }
        }
    }

    /// Leaves them to snapshots that are opened later; more that another check has left stay.
    ///
    /// # Errors
    /// [`StorageError::Io`] where nothing can be written.
    pub(crate) fn keep_deviations(&self, deviations: u32) -> Result<(), StorageError> {
        let directory = self.layout.codes();
        if self.deviations().is_some_and(|kept| kept >= deviations) {
            return Ok(());
        }
        fs::create_dir_all(&directory).map_err(StorageError::io(&directory, "creating the directory"))?;
        let mut content = [&MAGIC[..], &deviations.to_le_bytes()].concat();
        content.extend(crc32c::crc32c(&content).to_le_bytes());
        replace_file(&path_of(&directory), &content, Durability::System)
    }
}

/// The file, in the directory of the codes.
pub(super) fn path_of(directory: &Path) -> PathBuf {
    directory.join("deviations")
}

/// `None` where the file is something else.
fn read(path: &Path) -> io::Result<Option<u32>> {
    let mut content = Vec::with_capacity(LENGTH + 1);
    File::open(path)?.take(LENGTH as u64 + 1).read_to_end(&mut content)?;
    Ok(parse(&content))
}

fn parse(content: &[u8]) -> Option<u32> {
    let (stated, checksum) = content.split_last_chunk::<4>()?;
    let number = stated.strip_prefix(&MAGIC)?;
    let sound = crc32c::crc32c(stated) == u32::from_le_bytes(*checksum);
    number.try_into().ok().filter(|_| sound).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_has_left_is_read_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(directory.path());
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut content = [&MAGIC[..], &7_u32.to_le_bytes()].concat();
        content.extend(crc32c::crc32c(&content).to_le_bytes());
        assert_eq!(content.len(), LENGTH);
        fs::write(&path, &content).unwrap();
        assert_eq!(read(&path).unwrap(), Some(7));
        for length in 0..LENGTH {
            assert_eq!(parse(&content[..length]), None, "{length} bytes");
        }
        for bit in 0..8 * LENGTH {
            let mut other = content.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&other), None, "bit {bit}");
        }
        fs::write(&path, [&content[..], b"more"].concat()).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
