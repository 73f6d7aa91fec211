//! One committed generation, for reading.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, ListArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Float32Type, UInt32Type, UInt64Type};

use super::codes::{self, NO_FIELD};
use super::columns::{DIGEST, END, FIELD, KEY, NUMBER, ORDINAL, PASSAGES, START, TEXT, TOKENS, VECTOR, document_values};
use super::compaction::Extent;
use super::contents::{Content, Contents};
use super::files::{FileRecord, SoundFiles};
use super::keys::{Keys, OrderedKey, Texts};
use super::lock::{Announced, ReaderPin};
use super::table::{Table, manifest_name};
use super::thread::LanceThread;
use super::{Header, Layout, Span};
use crate::error::{Error, OpenError, StorageError};
use crate::numbers::NumberSet;
use crate::schema::{Schema, Value};

/// How long writers may keep a reader from announcing itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lance's name for where a row is.
pub(super) const ADDRESS: &str = "_rowaddr";

/// The documents of a generation, by number.
pub(crate) struct DocumentIndex {
    numbers: Vec<u64>,
    /// Whether each number is one more than the one before, as where nothing was deleted.
    gapless: bool,
    addresses: Vec<u64>,
    keys: Keys,
    /// Positions in the order of keys, sorted when a key is first looked up.
    by_key: OnceLock<Vec<u32>>,
}

impl DocumentIndex {
    /// Of numbers in ascending order.
    fn new(numbers: Vec<u64>, addresses: Vec<u64>, keys: Texts) -> Self {
        let gapless = numbers.is_sorted_by(|number, next| number.checked_add(1) == Some(*next));
        Self { numbers, gapless, addresses, keys: keys.into(), by_key: OnceLock::new() }
    }

    fn position(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(*self.numbers.first()?)?).ok()?;
        if self.gapless {
            return (place < self.numbers.len()).then_some(place);
        }
        // A number is before the place that it would have if nothing had been deleted.
        match self.numbers.get(place) {
            Some(found) if *found == number => Some(place),
            _ => self.numbers[..place.min(self.numbers.len())].binary_search(&number).ok(),
        }
    }

    /// The key of a document.
    pub(crate) fn key(&self, number: u64) -> Option<&str> {
        self.position(number).and_then(|at| self.keys.get(at))
    }

    /// The key of a document, to be compared with those of others.
    pub(crate) fn ordered_key(&self, number: u64) -> Option<OrderedKey<'_>> {
        self.position(number).and_then(|at| self.keys.ordered(at))
    }

    /// The number of the document with that key.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        let sorted = self.by_key.get_or_init(|| {
            let mut positions: Vec<u32> = (0..self.keys.len() as u32).collect();
            positions.sort_unstable_by_key(|&at| self.keys.ordered(at as usize));
            positions
        });
        let found = sorted.binary_search_by_key(&Some(key), |&at| self.keys.get(at as usize)).ok()?;
        self.numbers.get(sorted[found] as usize).copied()
    }

    /// Numbers and keys, in order of numbers.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, &str)> {
        self.numbers.iter().copied().zip(self.keys.iter())
    }
}

/// What the documents table says of one document, beside its fields.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    pub(crate) number: u64,
    pub(crate) key: String,
    pub(crate) digest: u64,
    /// How many passages it has.
    pub(crate) passages: u32,
}

/// The passages of a generation, in the order of the table; the passages of one document are neighbours.
pub(crate) struct PassageIndex {
    /// The document of each passage.
    pub(crate) documents: Vec<u64>,
    /// Where each passage is.
    pub(crate) addresses: Vec<u64>,
    /// The vectors, one after the other; empty in an index without vectors.
    pub(crate) vectors: Vec<f32>,
}

impl PassageIndex {
    /// Where the passages at these positions are.
    pub(crate) fn addresses_at(&self, positions: &[usize]) -> Vec<u64> {
        positions.iter().filter_map(|&at| self.addresses.get(at).copied()).collect()
    }
}

/// A passage as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StoredPassage {
    pub(crate) field: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) text: String,
    /// What a model with the index's vocabulary reads of it, headings included, where that was asked for and is kept.
    pub(crate) tokens: Option<Vec<u32>>,
}

/// A generation that stays readable for as long as this lives.
pub(crate) struct Generation {
    pub(crate) layout: Layout,
    pub(crate) header: Header,
    documents: Table,
    pub(super) passages: Table,
    sound: SoundFiles,
    // Last, so that it is let go after the tables.
    _pin: Option<ReaderPin>,
}

impl Generation {
    /// The newest committed one.
    pub(crate) fn open(root: &Path, sound: SoundFiles) -> Result<Self, Error> {
        Self::of(Held::take(&Layout::new(root)?, None)?, sound, true)
    }

    /// The newest committed one, for its writer, who makes the words again if they are not there.
    pub(super) fn open_for_writer(root: &Path, sound: SoundFiles) -> Result<Self, Error> {
        Self::of(Held::take(&Layout::new(root)?, None)?, sound, false)
    }

    /// An earlier one that is kept, or the newest by its number.
    pub(crate) fn open_at(root: &Path, sound: SoundFiles, generation: u64) -> Result<Self, Error> {
        Self::of(Held::take(&Layout::new(root)?, Some(generation))?, sound, true)
    }

    /// One that is held already; `with_words`: whether its words have to be there.
    pub(crate) fn of(held: Held, sound: SoundFiles, with_words: bool) -> Result<Self, Error> {
        let Held { layout, header, pin } = held;
        // What is missing or cut is noticed here; what is inside a file when it is first read.
        let parts = header.parts(&layout).into_iter().take(if with_words { 3 } else { 2 });
        let fault = parts.into_iter().find_map(|(root, files)| files.iter().find_map(|file| file.fault_of_length(&root)));
        if let Some(fault) = fault {
            return Err(StorageError::from(fault).into());
        }
        let manifest = |files: &[FileRecord], version| files.iter().find(|file| file.path == manifest_name(version)).cloned();
        sound.check(&layout.documents(), &manifest(&header.files.documents, header.documents_version))?;
        sound.check(&layout.passages(), &manifest(&header.files.passages, header.passages_version))?;
        // A thread each, so that hits' fields and passages are read at the same time.
        let documents = Table::open(layout.documents(), header.documents_version, &LanceThread::start()?)?;
        let passages = Table::open(layout.passages(), header.passages_version, &LanceThread::start()?)?;
        Ok(Self { layout, header, documents, passages, sound, _pin: pin })
    }

    /// Without a look at any file; no writer is told.
    pub(super) fn unchecked(layout: Layout, header: Header, documents: Table, passages: Table) -> Self {
        Self { layout, header, documents, passages, sound: SoundFiles::default(), _pin: None }
    }

    /// What the documents table says of each document, in its order.
    pub(crate) fn stated(&self) -> Result<Vec<Stated>, StorageError> {
        self.check_documents()?;
        let mut all = Vec::with_capacity(self.header.documents as usize);
        for batch in self.documents.scan(&[NUMBER, KEY, DIGEST, PASSAGES]) {
            let batch = batch?;
            let numbers = self.numbers(&self.documents, &batch, NUMBER)?;
            let digests = self.numbers(&self.documents, &batch, DIGEST)?;
            let passages = primitive::<UInt32Type>(&self.documents, &batch, PASSAGES, "32-bit numbers")?;
            let keys = strings(&self.documents, &batch, KEY)?;
            let counted = digests.iter().zip(passages);
            all.extend(numbers.iter().zip(keys).zip(counted).map(|((&number, key), (&digest, &passages))| Stated {
                number,
                key: key.to_owned(),
                digest,
                passages,
            }));
        }
        Ok(all)
    }

    /// Document and ordinal of each passage, in the order of the table.
    pub(crate) fn ordinals(&self) -> Result<Vec<(u64, u32)>, StorageError> {
        self.sound.check(self.passages.path(), &self.header.files.passages)?;
        let mut all = Vec::with_capacity(self.header.passages as usize);
        for batch in self.passages.scan(&[NUMBER, ORDINAL]) {
            let batch = batch?;
            let numbers = self.numbers(&self.passages, &batch, NUMBER)?;
            let ordinals = primitive::<UInt32Type>(&self.passages, &batch, ORDINAL, "32-bit numbers")?;
            all.extend(numbers.iter().copied().zip(ordinals.iter().copied()));
        }
        Ok(all)
    }

    /// Which files are known to be sound.
    pub(crate) fn sound(&self) -> &SoundFiles {
        &self.sound
    }

    /// How documents and passages lie in their tables.
    pub(crate) fn extents(&self) -> (Extent, Extent) {
        (self.documents.extent(), self.passages.extent())
    }

    /// Rows of passages that have no codes, so that a search by vectors compares them all: those in small files, and those whose codes are not
    /// written yet.
    pub(crate) fn uncoded(&self) -> u64 {
        if self.header.vectors.width().is_none() {
            return 0;
        }
        let directory = self.layout.codes();
        let has_codes = |data: &String| codes::is_there(&codes::path_of(&directory, data));
        let uncoded = self.passages.fragments().into_iter().filter(|fragment| !fragment.data.as_ref().is_some_and(has_codes));
        uncoded.map(|fragment| fragment.rows as u64).sum()
    }

    /// Numbers, keys and places of all documents.
    pub(crate) fn document_index(&self) -> Result<DocumentIndex, StorageError> {
        self.check_documents()?;
        let count = self.header.documents as usize;
        let (mut numbers, mut addresses) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut keys = Texts::with_capacity(count);
        for batch in self.documents.scan(&[NUMBER, KEY]) {
            let batch = batch?;
            numbers.extend_from_slice(self.numbers(&self.documents, &batch, NUMBER)?);
            addresses.extend_from_slice(self.numbers(&self.documents, &batch, ADDRESS)?);
            strings(&self.documents, &batch, KEY)?.into_iter().for_each(|key| keys.push(key));
        }
        self.expect(&self.documents, self.header.documents, numbers.len())?;
        keys.shrink();
        // Documents are written in the order of their numbers, and compaction keeps it.
        if !numbers.is_sorted() {
            let mut places: Vec<usize> = (0..numbers.len()).collect();
            places.sort_unstable_by_key(|place| numbers[*place]);
            addresses = places.iter().map(|place| addresses[*place]).collect();
            keys = places.iter().filter_map(|place| keys.get(*place)).collect();
            numbers.sort_unstable();
        }
        Ok(DocumentIndex::new(numbers, addresses, keys))
    }

    /// Number and digest of each document by its key, and all numbers, for the writer.
    pub(crate) fn contents(&self) -> Result<(Contents, NumberSet), StorageError> {
        self.check_documents()?;
        let (mut contents, mut there) = (Contents::new(self.layout.root()), NumberSet::default());
        let mut rows = 0;
        for batch in self.documents.scan(&[NUMBER, KEY, DIGEST]) {
            let batch = batch?;
            let numbers = self.numbers(&self.documents, &batch, NUMBER)?;
            let digests = self.numbers(&self.documents, &batch, DIGEST)?;
            let keys = strings(&self.documents, &batch, KEY)?;
            rows += keys.len();
            for (key, (&number, &digest)) in keys.into_iter().zip(numbers.iter().zip(digests)) {
                there.insert(number);
                if let Some(earlier) = contents.insert(key, Content { number, digest })? {
                    tracing::warn!(key, earlier.number, number, "a key is twice in the index; the later document has it");
                }
            }
        }
        self.expect(&self.documents, self.header.documents, rows)?;
        Ok((contents, there))
    }

    /// Places and vectors of all passages.
    pub(crate) fn passage_index(&self) -> Result<PassageIndex, StorageError> {
        self.sound.check(self.passages.path(), &self.header.files.passages)?;
        let dimension = self.header.vectors.width();
        let columns: &[&str] = if dimension.is_some() { &[NUMBER, VECTOR] } else { &[NUMBER] };
        let count = self.header.passages as usize;
        let mut index = PassageIndex {
            documents: Vec::with_capacity(count),
            addresses: Vec::with_capacity(count),
            vectors: Vec::with_capacity(count * dimension.unwrap_or(0)),
        };
        for batch in self.passages.scan(columns) {
            let batch = batch?;
            index.documents.extend(self.numbers(&self.passages, &batch, NUMBER)?);
            index.addresses.extend(self.numbers(&self.passages, &batch, ADDRESS)?);
            if let Some(dimension) = dimension {
                index.vectors.extend_from_slice(float_lists(&self.passages, &batch, VECTOR, dimension)?);
            }
        }
        self.expect(&self.passages, self.header.passages, index.documents.len())?;
        Ok(index)
    }

    /// Values of some fields of documents, in the order asked for. Numbers that are not in the index are an error.
    pub(crate) fn read_documents(
        &self,
        index: &DocumentIndex,
        numbers: &[u64],
        fields: &[&str],
    ) -> Result<Vec<Vec<(String, Value)>>, StorageError> {
        if numbers.is_empty() || fields.is_empty() {
            return Ok(vec![Vec::new(); numbers.len()]);
        }
        let place = |number: &u64| {
            index.position(*number).and_then(|at| index.addresses.get(at)).copied().ok_or_else(|| StorageError::Inconsistent {
                path: self.documents.path().to_path_buf(),
                fact: format!("document number {number} is in the words or the vectors, and not in this table"),
            })
        };
        let addresses = numbers.iter().map(place).collect::<Result<Vec<u64>, _>>()?;
        let batch = self.documents.take(&addresses, fields)?;
        let row = |row| {
            document_values(&self.header.schema, fields, &batch, row)
                .ok_or_else(|| self.documents.wrong_column("of a field", "its declared type", None))
        };
        (0..batch.num_rows()).map(row).collect()
    }

    /// Passages by their addresses, in the order asked for, all that is kept of them; with their tokens where those are of that vocabulary.
    /// [`Generation::read_texts`] is quicker where their places are known.
    pub(crate) fn read_passages(&self, addresses: &[u64], vocabulary: Option<&str>) -> Result<Vec<StoredPassage>, StorageError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let with_tokens = vocabulary.is_some() && vocabulary == self.header.vocabulary.as_deref();
        let columns = [FIELD, START, END, TEXT, TOKENS];
        let batch = self.passages.take(addresses, &columns[..columns.len() - usize::from(!with_tokens)])?;
        let (fields, texts) = (strings(&self.passages, &batch, FIELD)?, strings(&self.passages, &batch, TEXT)?);
        let (starts, ends) = (self.numbers(&self.passages, &batch, START)?, self.numbers(&self.passages, &batch, END)?);
        let places = starts.iter().zip(ends);
        let passage = |((field, text), (start, end)): ((&str, &str), (&u64, &u64))| StoredPassage {
            field: field.to_owned(),
            start: *start,
            end: *end,
            text: text.to_owned(),
            tokens: None,
        };
        let mut passages: Vec<StoredPassage> = fields.into_iter().zip(texts).zip(places).map(passage).collect();
        if with_tokens {
            let tokens = self.tokens(&batch)?;
            passages.iter_mut().zip(tokens).for_each(|(passage, tokens)| passage.tokens = Some(tokens));
        }
        Ok(passages)
    }

    /// The texts of passages whose addresses and spans are known, in the order asked for; with their tokens where those are of that
    /// vocabulary.
    pub(crate) fn read_texts(
        &self,
        places: &[(u64, Span)],
        vocabulary: Option<&str>,
    ) -> Result<Vec<StoredPassage>, StorageError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let with_tokens = vocabulary.is_some() && vocabulary == self.header.vocabulary.as_deref();
        let addresses: Vec<u64> = places.iter().map(|(address, _)| *address).collect();
        let columns = [TEXT, TOKENS];
        let batch = self.passages.take(&addresses, &columns[..columns.len() - usize::from(!with_tokens)])?;
        let mut tokens = if with_tokens { self.tokens(&batch)?.into_iter() } else { Vec::new().into_iter() };
        let fields = self.header.schema.fields();
        let passage = |(text, (_, span)): (&str, &(u64, Span))| StoredPassage {
            field: fields.get(span.field as usize).map_or_else(String::new, |field| field.name().to_owned()),
            start: span.start,
            end: span.end,
            text: text.to_owned(),
            tokens: tokens.next(),
        };
        Ok(strings(&self.passages, &batch, TEXT)?.into_iter().zip(places).map(passage).collect())
    }

    fn tokens(&self, batch: &RecordBatch) -> Result<Vec<Vec<u32>>, StorageError> {
        let column = batch.column_by_name(TOKENS);
        let wrong = || self.passages.wrong_column(TOKENS, "lists of 32-bit numbers", column.map(|column| column.data_type()));
        let whole = |lists: &&ListArray| lists.null_count() == 0 && lists.values().null_count() == 0;
        let lists = column.and_then(|column| column.as_list_opt::<i32>()).filter(whole).ok_or_else(wrong)?;
        let row = |row| Some(lists.value(row).as_primitive_opt::<UInt32Type>()?.values().to_vec());
        (0..lists.len()).map(|at| row(at).ok_or_else(wrong)).collect()
    }

    fn check_documents(&self) -> Result<(), StorageError> {
        self.sound.check(self.documents.path(), &self.header.files.documents)
    }

    fn numbers<'a>(&self, table: &Table, batch: &'a RecordBatch, column: &str) -> Result<&'a [u64], StorageError> {
        primitive::<UInt64Type>(table, batch, column, "64-bit numbers")
    }

    pub(super) fn expect_passages(&self, found: usize) -> Result<(), StorageError> {
        self.expect(&self.passages, self.header.passages, found)
    }

    fn expect(&self, table: &Table, stated: u64, found: usize) -> Result<(), StorageError> {
        if stated == found as u64 {
            return Ok(());
        }
        let fact = format!("CURRENT says {stated} rows at generation {}, found {found}", self.header.generation);
        Err(StorageError::Inconsistent { path: table.path().to_path_buf(), fact })
    }
}

/// The header of a generation that writers leave alone for as long as this lives.
pub(crate) struct Held {
    pub(crate) layout: Layout,
    pub(crate) header: Header,
    pin: Option<ReaderPin>,
}

impl Held {
    /// Announces a generation to writers, the newest unless another is named.
    pub(crate) fn take(layout: &Layout, wanted: Option<u64>) -> Result<Self, Error> {
        let begun = Instant::now();
        loop {
            // Writers are at this for microseconds; one that was stopped in the middle may be at it for ever.
            if begun.elapsed() > PATIENCE {
                return Err(StorageError::Held { path: layout.readers(), seconds: PATIENCE.as_secs() }.into());
            }
            let current = Header::read(layout)?;
            let header = match wanted {
                Some(generation) if generation != current.generation => {
                    if !current.kept.contains(&generation) {
                        return Err(OpenError::no_such_generation(layout, &current, generation).into());
                    }
                    Header::read_file(layout, &layout.kept(generation))?
                }
                _ => current,
            };
            let pin = match ReaderPin::take(layout, header.generation)? {
                Announced::Pinned(pin) => Some(pin),
                Announced::ReadOnly => None,
                Announced::Again => {
                    std::thread::sleep(Duration::from_micros(100));
                    continue;
                }
            };
            let current = Header::read(layout)?;
            if current.generation == header.generation || wanted.is_some() && current.kept.contains(&header.generation) {
                return Ok(Self { layout: layout.clone(), header, pin });
            }
        }
    }
}

pub(super) fn primitive<'a, T: ArrowPrimitiveType>(
    table: &Table,
    batch: &'a RecordBatch,
    column: &str,
    expected: &str,
) -> Result<&'a [T::Native], StorageError> {
    let found = batch.column_by_name(column);
    let array = found.and_then(|found| found.as_primitive_opt::<T>());
    array
        .map(|array| array.values().as_ref())
        .ok_or_else(|| table.wrong_column(column, expected, found.map(|found| found.data_type())))
}

/// Where the text of each passage of a batch is from.
pub(super) fn spans_of(table: &Table, schema: &Schema, batch: &RecordBatch) -> Result<Vec<Span>, StorageError> {
    let starts = primitive::<UInt64Type>(table, batch, START, "64-bit numbers")?;
    let ends = primitive::<UInt64Type>(table, batch, END, "64-bit numbers")?;
    let spans = fields_of(table, schema, batch)?.into_iter().zip(starts.iter().zip(ends));
    Ok(spans.map(|(field, (&start, &end))| Span { field, start, end }).collect())
}

/// The field of each passage of a batch, by its place in the schema, or [`NO_FIELD`].
pub(super) fn fields_of(table: &Table, schema: &Schema, batch: &RecordBatch) -> Result<Vec<u64>, StorageError> {
    let place = |name: &str| {
        let place = schema.fields().iter().position(|field| field.name() == name);
        // A document of an application's vectors alone has a passage of no field.
        place.map(|place| place as u64).or(name.is_empty().then_some(NO_FIELD)).ok_or_else(|| {
            let fact = format!("a passage is from field {name:?}, which the schema does not have");
            StorageError::Inconsistent { path: table.path().to_path_buf(), fact }
        })
    };
    strings(table, batch, FIELD)?.into_iter().map(place).collect()
}

/// The values of a column of lists of so many floats, one list after the other.
pub(super) fn float_lists<'a>(
    table: &Table,
    batch: &'a RecordBatch,
    column: &str,
    dimension: usize,
) -> Result<&'a [f32], StorageError> {
    let found = batch.column_by_name(column);
    let lists = found.and_then(|found| found.as_fixed_size_list_opt());
    let lists = lists.filter(|lists| lists.value_length() as usize == dimension);
    let values = lists.and_then(|lists| lists.values().as_primitive_opt::<Float32Type>());
    values
        .map(|values| values.values().as_ref())
        .ok_or_else(|| table.wrong_column(column, "lists of 32-bit floats", found.map(|found| found.data_type())))
}

fn strings<'a>(table: &Table, batch: &'a RecordBatch, column: &str) -> Result<Vec<&'a str>, StorageError> {
    let found = batch.column_by_name(column);
    let array = found.and_then(|found| found.as_string_opt::<i32>());
    let array = array.ok_or_else(|| table.wrong_column(column, "text", found.map(|found| found.data_type())))?;
    Ok((0..array.len()).map(|row| array.value(row)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_found_by_its_number_whatever_was_deleted_before_it() {
        for numbers in [vec![], vec![7], vec![7, 8, 9], vec![3, 4, 7, 8, 20, 1000], vec![7, 9]] {
            let keys = numbers.iter().map(u64::to_string).collect::<Vec<_>>();
            let keys = keys.iter().map(String::as_str).collect();
            let index = DocumentIndex::new(numbers.clone(), numbers.clone(), keys);
            for number in (0..1100).chain([u64::MAX]) {
                let expected = numbers.contains(&number).then(|| number.to_string());
                assert_eq!(index.key(number), expected.as_deref(), "{number} of {numbers:?}");
            }
        }
        // A table that has a number twice is damaged; nothing else is taken for the one that it lacks.
        let keys = ["7", "also 7", "9"].into_iter().collect();
        assert_eq!(DocumentIndex::new(vec![7, 7, 9], vec![0, 1, 2], keys).position(8), None);
    }
}
