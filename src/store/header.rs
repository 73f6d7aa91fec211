//! `CURRENT`: the small file that says what the index is and which generation of it is valid.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};

use super::files::{FileList, FileRecord};
use super::layout::{replace_file, sync_directory};
use super::{Durability, Layout, Spaces, copies};
use crate::error::{Error, OpenError, StorageError};
use crate::model::ModelIdentity;
use crate::passage::PassageOptions;
use crate::schema::{Metric, Schema, Space};

const MAGIC: [u8; 8] = *b"fossick\n";
/// The format that this code reads and writes.
const VERSION: u32 = 5;
/// That vectors of some fields have a size or a metric of their own.
const FIELDS_OF_THEIR_OWN: u64 = 1;
/// Feature bits that this code understands when it reads; an index with any other must not be read.
const READ_FEATURES: u64 = FIELDS_OF_THEIR_OWN;
/// Feature bits that this code understands when it writes; an index with any other may be read and must not be changed.
const WRITE_FEATURES: u64 = 0;
/// The first version of fossick that reads what this code writes: major, minor, patch.
const READ_BY: [u16; 3] = [0, 1, 0];
/// Magic, format version, the version of fossick that reads it, two sets of feature bits, length of the body.
const PREAMBLE: usize = 8 + 4 + 6 + 8 + 8 + 8;

/// Where the passages' vectors come from; fixed when the index is created.
// The order of the variants is part of the file format: add at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum VectorSource {
    /// There are none.
    Nothing,
    /// From this encoder.
    Encoder(ModelIdentity),
    /// From the application, all in one space.
    Application(Space),
    /// From the application, those of some fields in spaces of their own; by the names of the fields.
    Fields(Space, Vec<(String, Space)>),
}

impl VectorSource {
    /// From the application; of several statements about a field the last one counts.
    pub(crate) fn application(space: Space, fields: Vec<(String, Space)>) -> Self {
        let mut of_their_own: Vec<(String, Space)> = fields.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        of_their_own.retain(|(_, own)| *own != space);
        if of_their_own.is_empty() { Self::Application(space) } else { Self::Fields(space, of_their_own) }
    }

    pub(crate) fn is_application(&self) -> bool {
        matches!(self, Self::Application(_) | Self::Fields(..))
    }

    /// That of vectors of no field, and of fields that have none of their own; `None` without vectors.
    pub(crate) fn space(&self) -> Option<Space> {
        match self {
            Self::Nothing => None,
            Self::Encoder(identity) => Some(Space::new(identity.dimension(), Metric::Cosine)),
            Self::Application(space) | Self::Fields(space, _) => Some(*space),
        }
    }

    /// The fields with spaces of their own.
    pub(crate) fn fields(&self) -> &[(String, Space)] {
        if let Self::Fields(_, fields) = self { fields } else { &[] }
    }

    /// That of a field's vectors, or of vectors of none.
    pub(crate) fn space_of(&self, field: Option<&str>) -> Option<Space> {
        let own = self.fields().iter().find(|(name, _)| field == Some(name));
        own.map(|(_, space)| *space).or_else(|| self.space())
    }

    /// That of most vectors, and those of fields of their own.
    fn spaces(&self) -> impl Iterator<Item = Space> {
        self.space().into_iter().chain(self.fields().iter().map(|(_, space)| *space))
    }

    /// Components of each vector of the table: of the widest space.
    pub(crate) fn width(&self) -> Option<usize> {
        self.spaces().map(Space::dimension).max()
    }

    /// Whether an index can have such vectors.
    fn is_possible(&self) -> bool {
        self.spaces().all(|space| space == Space::new(space.dimension(), space.metric()))
    }

    /// For messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Nothing => "no vectors".to_owned(),
            Self::Encoder(identity) => format!("the encoder {identity}"),
            Self::Application(space) => format!("vectors brought by the application, of {space}"),
            Self::Fields(space, fields) => {
                let own: String = fields.iter().map(|(field, space)| format!("; those of field {field:?} of {space}")).collect();
                format!("vectors brought by the application, of {space}{own}")
            }
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

/// A name that keeps a generation.
// The order of the fields is the file format.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) generation: u64,
}

/// The body of `CURRENT`.
// The order of the fields is the file format.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Header {
    /// Counts what was published; 0 for a new, empty index.
    pub(crate) generation: u64,
    /// When it was published: microseconds since 1970.
    pub(crate) published: i64,
    /// Whether everything of it was flushed to the disk before it was published.
    pub(crate) durable: bool,
    /// The last generation that was flushed, where this one was not; it is kept until one is.
    pub(crate) fallback: Option<u64>,
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
    /// Earlier generations that are kept, ascending; each has a file in `kept`.
    pub(crate) kept: Vec<u64>,
    /// Names of generations, this one's or kept ones, ascending by name.
    pub(crate) tags: Vec<Tag>,
    /// The files of this generation.
    pub(crate) files: FileList,
}

/// A header as a file holds it, with what may be done to it.
pub(crate) struct StoredHeader {
    pub(crate) header: Header,
    /// Feature bits that must be understood before anything is changed, and are not.
    unknown: u64,
    /// The version of fossick that understands them.
    needs: [u16; 3],
    version: u32,
}

impl StoredHeader {
    /// That this code may change the index.
    pub(crate) fn check_writable(&self, layout: &Layout) -> Result<(), OpenError> {
        if self.unknown == 0 {
            return Ok(());
        }
        Err(OpenError::NewerFormat {
            path: layout.current(),
            found: self.version,
            features: self.unknown,
            known: VERSION,
            needs: dotted(self.needs),
            may: "be read and not changed",
        })
    }
}

impl Header {
    /// Which vectors are compared with which; `None` in an index without vectors.
    pub(crate) fn spaces(&self) -> Option<Spaces> {
        Spaces::new(&self.vectors, &self.schema)
    }

    /// Each part's directory with its files: documents, passages, words.
    pub(crate) fn parts(&self, layout: &Layout) -> [(PathBuf, &[FileRecord]); 3] {
        [
            (layout.documents(), &self.files.documents),
            (layout.passages(), &self.files.passages),
            (layout.words(self.words.epoch), &self.files.words),
        ]
    }

    /// Reads and checks `CURRENT`.
    pub(crate) fn read(layout: &Layout) -> Result<Self, Error> {
        Ok(Self::read_stored(layout)?.header)
    }

    /// Reads and checks `CURRENT`, for somebody who wants to change the index.
    pub(crate) fn read_stored(layout: &Layout) -> Result<StoredHeader, Error> {
        let path = layout.current();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                layout.check_free()?;
                return Err(OpenError::NotFound { path: layout.root().to_path_buf() }.into());
            }
            Err(e) => return Err(StorageError::io(&path, "reading")(e).into()),
        };
        Ok(Self::decode(layout.root(), &path, &bytes)?)
    }

    /// Reads and checks another file of the same form: a kept generation, or the copy of `CURRENT`.
    pub(crate) fn read_file(layout: &Layout, path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(StorageError::io(path, "reading"))?;
        Ok(Self::decode(layout.root(), path, &bytes)?.header)
    }

    /// Makes this the generation that everybody sees: the commit point.
    pub(crate) fn publish(&self, layout: &Layout, durability: Durability) -> Result<(), StorageError> {
        let bytes = self.encode(&layout.current())?;
        let published = replace_file(&layout.current(), &bytes, durability);
        if !is_in_place(&published) {
            return published;
        }
        // For repair alone, so nobody waits for it and a failure is nobody's loss.
        if let Err(error) = fs::write(layout.copy_of_current(), &bytes) {
            tracing::warn!(%error, "the copy of CURRENT was not written");
        }
        copies::write(layout, &self.files);
        published
    }

    /// Writes this as the file of a kept generation.
    pub(crate) fn keep(&self, layout: &Layout, durability: Durability) -> Result<(), StorageError> {
        let (directory, path) = (layout.kept_directory(), layout.kept(self.generation));
        if !directory.is_dir() {
            fs::create_dir_all(&directory).map_err(StorageError::io(&directory, "creating the directory"))?;
            sync_directory(layout.root())?;
        }
        match replace_file(&path, &self.encode(&path)?, durability) {
            // It is not the commit: the caller has to stop before that.
            Err(StorageError::NotDurable { path, source }) => {
                Err(StorageError::Io { path, doing: "making the directory durable", source })
            }
            other => other,
        }
    }

    fn encode(&self, path: &Path) -> Result<Vec<u8>, StorageError> {
        let body = bincode::encode_to_vec(self, bincode::config::standard());
        let body = body.map_err(|e| StorageError::io(path, "encoding")(io::Error::other(e)))?;
        let mut bytes = Vec::with_capacity(PREAMBLE + body.len() + 4);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(READ_BY.iter().flat_map(|part| part.to_le_bytes()));
        // Of what not every reader understands, what this header has.
        let features = if self.vectors.fields().is_empty() { 0 } else { FIELDS_OF_THEIR_OWN };
        bytes.extend(features.to_le_bytes());
        bytes.extend(WRITE_FEATURES.to_le_bytes());
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(body);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        Ok(bytes)
    }

    fn decode(root: &Path, path: &Path, bytes: &[u8]) -> Result<StoredHeader, OpenError> {
        let damaged = |expected: String, found: String| OpenError::Damaged { path: path.to_path_buf(), expected, found };
        let short = || damaged(format!("at least {} bytes", PREAMBLE + 4), format!("{} bytes", bytes.len()));
        let Some((&magic, mut rest)) = bytes.split_first_chunk::<8>() else { return Err(short()) };
        if magic != MAGIC {
            let fact = format!(
                "CURRENT begins with {:?}, not with {:?}",
                String::from_utf8_lossy(&magic),
                String::from_utf8_lossy(&MAGIC)
            );
            return Err(OpenError::NotAnIndex { path: root.to_path_buf(), fact });
        }
        let version = u32::from_le_bytes(take(&mut rest).ok_or_else(short)?);
        // The checksum first: a flipped bit in the version must not be taken for a newer format.
        let Some((covered, &stored)) = bytes.split_last_chunk::<4>() else { return Err(short()) };
        let (stored, computed) = (u32::from_le_bytes(stored), crc32c::crc32c(covered));
        if stored != computed {
            return Err(damaged(format!("crc32c {stored:#010x}"), format!("{computed:#010x}")));
        }
        if version < VERSION {
            return Err(OpenError::OlderFormat { path: path.to_path_buf(), found: version, known: VERSION });
        }
        // Every later format has these three at this place, so that this message can be written.
        let needs: [u8; 6] = take(&mut rest).ok_or_else(short)?;
        let needs = [0, 2, 4].map(|at| u16::from_le_bytes([needs[at], needs[at + 1]]));
        let to_read = u64::from_le_bytes(take(&mut rest).ok_or_else(short)?) & !READ_FEATURES;
        let to_write = u64::from_le_bytes(take(&mut rest).ok_or_else(short)?) & !WRITE_FEATURES;
        if version > VERSION || to_read != 0 {
            return Err(OpenError::NewerFormat {
                path: path.to_path_buf(),
                found: version,
                features: to_read,
                known: VERSION,
                needs: dotted(needs),
                may: "not be read",
            });
        }
        let length = u64::from_le_bytes(take(&mut rest).ok_or_else(short)?);
        let body = rest.get(..rest.len().saturating_sub(4)).unwrap_or_default();
        if body.len() as u64 != length {
            return Err(damaged(format!("a body of {length} bytes"), format!("{} bytes", body.len())));
        }
        // The limit keeps a lying length inside the body from asking for memory.
        let config = bincode::config::standard().with_limit::<{ 1 << 30 }>();
        match bincode::decode_from_slice::<Self, _>(body, config) {
            Ok((header, _)) if header.files.leads_outside() => {
                Err(damaged("files of the index".to_owned(), "a path that leads out of it".to_owned()))
            }
            Ok((header, _)) if !header.vectors.is_possible() => {
                Err(damaged("vectors of 1 to 65,536 components".to_owned(), header.vectors.describe()))
            }
            Ok((header, used)) if used == body.len() => Ok(StoredHeader { header, unknown: to_write, needs, version }),
            Ok((_, used)) => Err(damaged(format!("{} bytes of content", body.len()), format!("{used}"))),
            Err(e) => Err(damaged("a header".to_owned(), e.to_string())),
        }
    }
}

impl OpenError {
    pub(super) fn no_such_generation(layout: &Layout, current: &Header, generation: u64) -> Self {
        let all: Vec<String> = current.kept.iter().chain([&current.generation]).map(u64::to_string).collect();
        Self::NoSuchGeneration { path: layout.root().to_path_buf(), generation, available: all.join(", ") }
    }
}

/// Whether a header is `CURRENT` now, be it durable or not.
pub(super) fn is_in_place(published: &Result<(), StorageError>) -> bool {
    matches!(published, Ok(()) | Err(StorageError::NotDurable { .. }))
}

/// The next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (&first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(first)
}

fn dotted([major, minor, patch]: [u16; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            generation: 7,
            published: 1_700_000_000_000_000,
            durable: true,
            fallback: None,
            documents_version: 12,
            passages_version: 13,
            next_document: 99,
            documents: 40,
            passages: 80,
            words: WordsState { epoch: 0, opstamp: 55, meta: b"{}".to_vec() },
            vectors: VectorSource::Application(Space::new(384, Metric::Cosine)),
            vocabulary: Some("abc".to_owned()),
            passage_options: PassageOptions::default(),
            schema: Schema::builder().heading("title").text("body").build().unwrap(),
            kept: vec![3],
            tags: vec![Tag { name: "before the move".to_owned(), generation: 3 }],
            files: FileList {
                documents: vec![FileRecord { path: "data/a.lance".to_owned(), length: 5, checksum: 6 }],
                ..FileList::default()
            },
        }
    }

    fn encoded() -> Vec<u8> {
        header().encode(Path::new("CURRENT")).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<StoredHeader, OpenError> {
        Header::decode(Path::new("somewhere"), Path::new("CURRENT"), bytes)
    }

    /// With the checksum made right again.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let end = bytes.len() - 4;
        let checksum = crc32c::crc32c(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&checksum);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(decode(&encoded()).unwrap().header, header());
    }

    #[test]
    fn fields_with_vectors_of_their_own_kind_are_told_to_readers_that_do_not_know_them() {
        let feature = |header: &Header| header.encode(Path::new("CURRENT")).unwrap()[18];
        let mut other = header();
        other.vectors = VectorSource::application(
            Space::new(384, Metric::Cosine),
            vec![("title".to_owned(), Space::new(2, Metric::Dot)), ("title".to_owned(), Space::new(3, Metric::Dot))],
        );
        assert_eq!([feature(&header()), feature(&other)], [0, 1]);
        let found = decode(&other.encode(Path::new("CURRENT")).unwrap()).unwrap().header;
        assert_eq!(found, other);
        assert_eq!(found.vectors.space_of(Some("title")), Some(Space::new(3, Metric::Dot)));
        let said = found.vectors.describe();
        assert!(said.contains("384 dimensions, compared by cosine; those of field \"title\" of 3 dimensions"), "{said}");
    }

    #[test]
    fn a_newer_format_is_refused_with_the_version_that_reads_it() {
        let mut bytes = encoded();
        bytes[8] = 9;
        bytes[12..18].copy_from_slice(&[2, 0, 7, 0, 1, 0]);
        let message = decode(&sealed(bytes)).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("version 9") && message.contains("up to 5") && message.contains("2.7.1"), "{message}");
    }

    #[test]
    fn what_must_be_understood_to_read_and_what_to_write_are_told_apart() {
        let mut to_read = encoded();
        to_read[18] = 4;
        assert!(matches!(decode(&sealed(to_read)), Err(OpenError::NewerFormat { features: 4, .. })));
        let mut to_write = encoded();
        to_write[26] = 2;
        let stored = decode(&sealed(to_write)).unwrap();
        assert_eq!(stored.header, header());
        let refused = stored.check_writable(&Layout::new(Path::new("somewhere")).unwrap()).unwrap_err();
        assert!(refused.to_string().contains("be read and not changed"), "{refused}");
    }

    #[test]
    fn a_path_that_leads_out_of_the_index_is_refused() {
        for path in ["../data", "/etc/passwd", "a/../../b", ""] {
            let mut header = header();
            header.files.words = vec![FileRecord { path: path.to_owned(), length: 1, checksum: 1 }];
            let bytes = header.encode(Path::new("CURRENT")).unwrap();
            assert!(matches!(decode(&bytes), Err(OpenError::Damaged { .. })), "{path:?}");
        }
    }

    #[test]
    fn vectors_without_components_are_damage() {
        let mut header = header();
        // The third variant, the dimension, and the first metric.
        header.vectors = VectorSource::Application(Space::new(1, Metric::Cosine));
        let mut bytes = header.encode(Path::new("CURRENT")).unwrap();
        let end = bytes.len() - 4;
        let found = bytes[PREAMBLE..end].windows(3).position(|part| part == [2, 1, 0]).unwrap();
        bytes[PREAMBLE + found + 1] = 0;
        let refused = decode(&sealed(bytes)).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("1 to 65,536 components"), "{refused}");
    }

    #[test]
    fn another_programs_file_is_told_from_a_damaged_one() {
        assert!(matches!(decode(b"SQLite format 3\0 and so on"), Err(OpenError::NotAnIndex { .. })));
        assert!(matches!(decode(b"fos"), Err(OpenError::Damaged { .. })));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_and_no_cut_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
            let bytes = encoded();
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(decode(&flipped).is_err());
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }
}
