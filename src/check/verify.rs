//! Every file against its checksum, and every part against the others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, OpenError, StorageError};
use crate::lexical::WordsReader;
use crate::schema::{Document, FieldType, Value, digest};
use crate::store::{Generation, Header, Held, Layout, PassageIndex, SoundFiles, Stated, StoredPassage, faults};

/// Documents that are compared at once.
const CHUNK: usize = 512;
/// Problems of one kind that are told one by one.
const MOST: usize = 20;

/// What [`verify`] found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The generation that was looked at; `None` where `CURRENT` cannot be read.
    pub generation: Option<u64>,
    /// Documents in it.
    pub documents: u64,
    /// Passages in it.
    pub passages: u64,
    /// Files that were read, those of kept generations included.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// What is wrong; empty for a sound index.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file or directory.
    pub path: PathBuf,
    /// What was expected and what was found.
    pub fact: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fact)
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, path: impl Into<PathBuf>, fact: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), fact: fact.into() });
    }

    /// Adds the first few of many alike.
    fn problems_of(&mut self, path: &Path, facts: impl IntoIterator<Item = String>) {
        let mut facts = facts.into_iter();
        for fact in facts.by_ref().take(MOST) {
            self.problem(path, fact);
        }
        let more = facts.count();
        if more > 0 {
            self.problem(path, format!("{more} more of this kind"));
        }
    }
}

/// Reads every file of an index and holds its parts against each other: checksums; keys and numbers unique; the digest of each
/// document; each passage at its place in its document's text; vectors finite and not zero; the words of exactly these documents.
/// Changes nothing. Takes as long as reading everything.
///
/// # Errors
/// [`OpenError`]: there is no index, or one of a newer format. Damage is no error: it is in the report.
pub fn verify(path: impl AsRef<Path>) -> Result<Report, Error> {
    let layout = Layout::new(path.as_ref())?;
    let mut report = Report::default();
    // Held, so that a writer who goes on meanwhile leaves its files alone.
    let held = match Held::take(&layout, None) {
        Ok(held) => held,
        Err(Error::Open(OpenError::Damaged { path, expected, found })) => {
            report.problem(path, format!("expected {expected}, found {found}"));
            return Ok(report);
        }
        Err(other) => return Err(other),
    };
    report.generation = Some(held.header.generation);
    (report.documents, report.passages) = (held.header.documents, held.header.passages);
    for kept in &held.header.kept {
        match Held::take(&layout, Some(*kept)) {
            Ok(kept) => drop(check_files(&mut report, &layout, &kept.header)),
            // A writer has let go of it.
            Err(Error::Open(OpenError::NoSuchGeneration { .. })) => {}
            Err(error) => report.problem(layout.kept(*kept), error.to_string()),
        }
    }
    let [documents, passages, words] = check_files(&mut report, &layout, &held.header);
    if !(documents && passages) {
        return Ok(report);
    }
    // Read above, and not again.
    let sound = SoundFiles::default();
    held.header.parts(&layout).into_iter().take(2).for_each(|(root, files)| sound.note(&root, files));
    let found = match Generation::of(held, sound, false) {
        Ok(generation) => compare(&mut report, &generation, words),
        Err(Error::Storage(error)) => Err(error),
        Err(other) => return Err(other),
    };
    if let Err(error) = found {
        report.problem(layout.root(), error.to_string());
    }
    Ok(report)
}

/// Adds what is wrong with the files of a generation; tells for documents, passages and words whether theirs are sound.
fn check_files(report: &mut Report, layout: &Layout, header: &Header) -> [bool; 3] {
    header.parts(layout).map(|(root, files)| {
        report.files += files.len() as u64;
        report.bytes += files.iter().map(|file| file.length).sum::<u64>();
        let found = faults(&root, files);
        let sound = found.is_empty();
        for fault in found {
            let known = report.problems.iter().any(|problem| problem.path == fault.path);
            if !known {
                report.problem(fault.path, format!("expected {}, found {}", fault.expected, fault.found));
            }
        }
        sound
    })
}

fn compare(report: &mut Report, generation: &Generation, words: bool) -> Result<(), StorageError> {
    let (layout, header) = (&generation.layout, &generation.header);
    let stated = generation.stated()?;
    report.problems_of(&layout.documents(), unique(&stated));
    let index = generation.document_index()?;
    let passages = generation.passage_index()?;
    let ordinals = generation.ordinals()?;
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for (position, (document, _)) in ordinals.iter().enumerate() {
        places.entry(*document).or_default().push(position);
    }
    let orphans = places.keys().filter(|document| index.key(**document).is_none());
    report.problems_of(
        &layout.passages(),
        orphans.map(|document| {
            format!("passages of document number {document}, which {} does not have", layout.documents().display())
        }),
    );
    report.problems_of(&layout.passages(), unusable_vectors(&passages, header.vectors.width()));
    let names: Vec<&str> = header.schema.fields().iter().map(|field| field.name()).collect();
    for chunk in stated.chunks(CHUNK) {
        let numbers: Vec<u64> = chunk.iter().map(|document| document.number).collect();
        let rows = generation.read_documents(&index, &numbers, &names)?;
        let positions: Vec<usize> =
            chunk.iter().flat_map(|document| places.get(&document.number).into_iter().flatten().copied()).collect();
        let mut texts = generation.read_passages(&passages.addresses_at(&positions), header.vocabulary.as_deref())?.into_iter();
        let mut facts = (Vec::new(), Vec::new());
        for (document, values) in chunk.iter().zip(rows) {
            let mine = places.get(&document.number).map_or(&[][..], Vec::as_slice);
            let found: Vec<u32> = mine.iter().filter_map(|&at| ordinals.get(at)).map(|(_, ordinal)| *ordinal).collect();
            if !found.iter().copied().eq(0..document.passages) {
                facts.1.push(format!(
                    "document {:?}: expected {} passages in their order, found {found:?}",
                    document.key, document.passages
                ));
            }
            for passage in texts.by_ref().take(mine.len()) {
                facts.1.extend(misplaced(document, &values, &passage, generation));
            }
            // The application's vectors are in the digest too, and only passages keep them.
            if !header.vectors.is_application() {
                let rebuilt = values.into_iter().fold(Document::new(&document.key), |all, (field, value)| all.set(field, value));
                if digest(&header.schema, &rebuilt) != document.digest {
                    facts.0.push(format!("document {:?}: its values are not those that were added", document.key));
                }
            }
        }
        report.problems_of(&layout.documents(), facts.0);
        report.problems_of(&layout.passages(), facts.1);
    }
    if words {
        let path = layout.words(header.words.epoch);
        let mut found = WordsReader::open(&path, &header.schema, &header.words.meta)?.numbers()?;
        found.sort_unstable();
        let mut expected: Vec<u64> = stated.iter().map(|document| document.number).collect();
        expected.sort_unstable();
        if found != expected {
            let fact =
                format!("expected the words of {} documents, found those of {}, or of others", expected.len(), found.len());
            report.problem(path, fact);
        }
    }
    Ok(())
}

/// Numbers and keys that are there twice, and keys that cannot be.
fn unique(stated: &[Stated]) -> Vec<String> {
    let mut keys: HashMap<&str, u64> = HashMap::new();
    let mut numbers: HashMap<u64, &str> = HashMap::new();
    let mut facts = Vec::new();
    for document in stated {
        if document.key.is_empty() || document.key.len() > 1024 || document.key.contains('\0') {
            facts.push(format!("document number {}: the key {:?} cannot be one", document.number, document.key));
        }
        if let Some(other) = keys.insert(&document.key, document.number) {
            facts.push(format!("key {:?} belongs to documents number {other} and {}", document.key, document.number));
        }
        if let Some(other) = numbers.insert(document.number, &document.key) {
            facts.push(format!("number {} belongs to the keys {other:?} and {:?}", document.number, document.key));
        }
    }
    facts
}

/// Vectors with numbers that are not finite, or all zero.
fn unusable_vectors(passages: &PassageIndex, dimension: Option<usize>) -> Vec<String> {
    let Some(dimension) = dimension.filter(|dimension| *dimension > 0) else { return Vec::new() };
    let unusable = |vector: &[f32]| vector.iter().any(|value| !value.is_finite()) || vector.iter().all(|value| *value == 0.0);
    let vectors = passages.vectors.chunks(dimension).zip(&passages.documents);
    let found = vectors.filter(|(vector, _)| unusable(vector));
    found
        .map(|(_, document)| format!("a passage of document number {document} has a vector that is not finite or all zero"))
        .collect()
}

/// What is wrong with the place of a passage.
fn misplaced(document: &Stated, values: &[(String, Value)], passage: &StoredPassage, generation: &Generation) -> Option<String> {
    let kind = generation.header.schema.field(&passage.field).map(|field| field.kind());
    // Of a vector that the application brought for a field without text, or for none.
    let own = generation.header.vectors.is_application();
    if own && passage.text.is_empty() && passage.start == passage.end {
        return None;
    }
    let searched = kind.is_some_and(FieldType::is_searched);
    let text = values.iter().find(|(name, _)| *name == passage.field).and_then(|(_, value)| value.as_text());
    let there = text.and_then(|text| text.get(usize::try_from(passage.start).ok()?..usize::try_from(passage.end).ok()?));
    if searched && there == Some(passage.text.as_str()) {
        return None;
    }
    Some(format!(
        "document {:?}: a passage is not the text of field {:?} from byte {} to {}",
        document.key, passage.field, passage.start, passage.end
    ))
}
