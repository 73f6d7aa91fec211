//! `CURRENT`: the small file that says what the index is and which generation of it is valid.

use std::fs;
use std::io;

use bincode::{Decode, Encode};

use super::Layout;
use super::layout::write_durably;
use crate::error::{Error, OpenError, StorageError};
use crate::model::ModelIdentity;
use crate::passage::PassageOptions;
use crate::schema::Schema;

const MAGIC: [u8; 8] = *b"fossick\n";
/// The newest format that this code reads, and the one that it writes.
const VERSION: u32 = 3;
/// Feature bits that this code understands; an index with any other must not be touched.
const FEATURES: u64 = 0;
/// Magic, version, feature bits, length of the body.
const PREAMBLE: usize = 8 + 4 + 8 + 8;

/// Where the passages' vectors come from; fixed when the index is created.
// The order of the variants is part of the file format: add at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum VectorSource {
    /// There are none.
    Nothing,
    /// From this encoder.
    Encoder(ModelIdentity),
    /// From the application, with so many components.
    Application(u32),
}

impl VectorSource {
    pub(crate) fn dimension(&self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Encoder(identity) => Some(identity.dimension()),
            Self::Application(dimension) => Some(*dimension as usize),
        }
    }

    /// For messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Nothing => "no vectors".to_owned(),
            Self::Encoder(identity) => format!("the encoder {identity}"),
            Self::Application(dimension) => format!("vectors of {dimension} dimensions brought by the application"),
        }
    }
}

/// One state of the words: which directory, and the bytes of tantivy's `meta.json`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct WordsState {
    pub(crate) epoch: u64,
    pub(crate) opstamp: u64,
    pub(crate) meta: Vec<u8>,
}

/// The body of `CURRENT`.
// The order of the fields is the file format.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Header {
    /// Counts commits; 0 for a new, empty index.
    pub(crate) generation: u64,
    /// Lance's version of the documents table.
    pub(crate) documents_version: u64,
    /// Lance's version of the passages table.
    pub(crate) passages_version: u64,
    /// The number that the next document gets; numbers are never used again.
    pub(crate) next_document: u64,
    pub(crate) documents: u64,
    pub(crate) passages: u64,
    pub(crate) words: WordsState,
    pub(crate) vectors: VectorSource,
    /// What the passages' tokens are tokens of, a hash; `None` where none are kept.
    pub(crate) vocabulary: Option<String>,
    pub(crate) passage_options: PassageOptions,
    pub(crate) schema: Schema,
}

impl Header {
    /// Reads and checks `CURRENT`.
    pub(crate) fn read(layout: &Layout) -> Result<Self, Error> {
        let path = layout.current();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                layout.check_free()?;
                return Err(OpenError::NotFound { path: layout.root().to_path_buf() }.into());
            }
            Err(e) => return Err(StorageError::io(&path, "reading")(e).into()),
        };
        Ok(Self::decode(layout, &bytes)?)
    }

    /// Makes this the generation that everybody sees: the commit point.
    pub(crate) fn publish(&self, layout: &Layout) -> Result<(), Error> {
        Ok(write_durably(&layout.current(), &self.encode(layout)?)?)
    }

    fn encode(&self, layout: &Layout) -> Result<Vec<u8>, StorageError> {
        let body = bincode::encode_to_vec(self, bincode::config::standard());
        let body = body.map_err(|e| StorageError::io(&layout.current(), "encoding")(io::Error::other(e)))?;
        let mut bytes = Vec::with_capacity(PREAMBLE + body.len() + 4);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(FEATURES.to_le_bytes());
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(body);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        Ok(bytes)
    }

    fn decode(layout: &Layout, bytes: &[u8]) -> Result<Self, OpenError> {
        let path = layout.current();
        let damaged = |expected: String, found: String| OpenError::Damaged { path: path.clone(), expected, found };
        let Some((&magic, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(damaged(format!("at least {} bytes", PREAMBLE + 4), format!("{} bytes", bytes.len())));
        };
        if magic != MAGIC {
            let fact = format!(
                "CURRENT begins with {:?}, not with {:?}",
                String::from_utf8_lossy(&magic),
                String::from_utf8_lossy(&MAGIC)
            );
            return Err(OpenError::NotAnIndex { path: layout.root().to_path_buf(), fact });
        }
        let preamble = rest.split_first_chunk::<4>().and_then(|(version, rest)| {
            let (features, rest) = rest.split_first_chunk::<8>()?;
            let (length, rest) = rest.split_first_chunk::<8>()?;
            Some((u32::from_le_bytes(*version), u64::from_le_bytes(*features), u64::from_le_bytes(*length), rest))
        });
        let Some((version, features, length, rest)) = preamble else {
            return Err(damaged(format!("at least {} bytes", PREAMBLE + 4), format!("{} bytes", bytes.len())));
        };
        // The checksum first: a flipped bit in the version must not be taken for a newer format.
        let Some((covered, &stored)) = bytes.split_last_chunk::<4>() else {
            return Err(damaged("a checksum at the end".to_owned(), "none".to_owned()));
        };
        let (stored, computed) = (u32::from_le_bytes(stored), crc32c::crc32c(covered));
        if stored != computed {
            return Err(damaged(format!("crc32c {stored:#010x}"), format!("{computed:#010x}")));
        }
        if version < VERSION {
            return Err(OpenError::OlderFormat { path, found: version, known: VERSION });
        }
        if version > VERSION || features & !FEATURES != 0 {
            return Err(OpenError::NewerFormat { path, found: version, features, known: VERSION });
        }
        let body = rest.get(..rest.len().saturating_sub(4)).unwrap_or_default();
        if body.len() as u64 != length {
            return Err(damaged(format!("a body of {length} bytes"), format!("{} bytes", body.len())));
        }
        // The limit keeps a lying length inside the body from asking for memory.
        let config = bincode::config::standard().with_limit::<{ 1 << 30 }>();
        match bincode::decode_from_slice::<Self, _>(body, config) {
            Ok((header, used)) if used == body.len() => Ok(header),
            Ok((_, used)) => Err(damaged(format!("{} bytes of content", body.len()), format!("{used}"))),
            Err(e) => Err(damaged("a header".to_owned(), e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            generation: 7,
            documents_version: 12,
            passages_version: 13,
            next_document: 99,
            documents: 40,
            passages: 80,
            words: WordsState { epoch: 0, opstamp: 55, meta: b"{}".to_vec() },
            vectors: VectorSource::Application(384),
            vocabulary: Some("abc".to_owned()),
            passage_options: PassageOptions::default(),
            schema: Schema::builder().heading("title").text("body").build().unwrap(),
        }
    }

    fn layout() -> Layout {
        Layout::new(Path::new("somewhere")).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = header().encode(&layout()).unwrap();
        assert_eq!(Header::decode(&layout(), &bytes).unwrap(), header());
    }

    #[test]
    fn a_newer_format_is_refused_with_both_versions() {
        let mut bytes = header().encode(&layout()).unwrap();
        bytes[8] = 9;
        let end = bytes.len() - 4;
        let checksum = crc32c::crc32c(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&checksum);
        let message = Header::decode(&layout(), &bytes).unwrap_err().to_string();
        assert!(message.contains("version 9") && message.contains("up to 3"), "{message}");
    }

    #[test]
    fn another_programs_file_is_told_from_a_damaged_one() {
        assert!(matches!(Header::decode(&layout(), b"SQLite format 3\0 and so on"), Err(OpenError::NotAnIndex { .. })));
        assert!(matches!(Header::decode(&layout(), b"fos"), Err(OpenError::Damaged { .. })));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_and_no_cut_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
            let bytes = header().encode(&layout()).unwrap();
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(Header::decode(&layout(), &flipped).is_err());
            prop_assert!(Header::decode(&layout(), &bytes[..cut.index(bytes.len())]).is_err());
        }
    }
}
