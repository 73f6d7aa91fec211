//! Every way in which fossick can refuse, as types.
//!
//! One enum for each operation, all gathered in [`Error`]. Each message names the place (file, field, key, version), what
//! was expected, what was found, and ends with what to do. What merely weakens an answer, such as a GPU that could not be
//! opened, is no error: it is a field of the response.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::schema::FieldType;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error of this crate, by the operation that failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A schema that cannot be built, or a document that contradicts it.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A model or a device that cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An index that cannot be created or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A document that cannot be taken in.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// A query or a filter that cannot be understood, or that does not fit the schema.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A search that cannot be answered.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Queries, judgements or runs that cannot be used.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The disk, or one of the storage libraries, refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A schema that cannot be built, or a document that contradicts it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A field name outside the permitted form.
    #[error(
        "field name {name:?} is not usable: expected a letter followed by letters, digits, '_' or '-', at most 64 characters; rename the field"
    )]
    FieldName {
        /// The name as given.
        name: String,
    },
    /// The same field name twice.
    #[error("field {name:?} is declared twice; give each field one declaration")]
    DuplicateField {
        /// The name as given.
        name: String,
    },
    /// A schema in which nothing can be searched.
    #[error("the schema has no text field, so nothing could be searched; declare at least one with `.text(NAME)`")]
    NoTextField,
    /// A document sets a field that the schema does not have.
    #[error("document {key:?}: field {field:?} is not in the schema (it has {known}); declare it or drop the value")]
    UnknownField {
        /// The document's key.
        key: String,
        /// The field as given.
        field: String,
        /// The fields that the schema has.
        known: String,
    },
    /// A value of another type than the field's.
    #[error("document {key:?}: field {field:?} expects {expected}, found {found}; convert the value before adding the document")]
    WrongType {
        /// The document's key.
        key: String,
        /// The field.
        field: String,
        /// The declared type.
        expected: FieldType,
        /// What was found, described.
        found: String,
    },
    /// A document key outside the permitted form.
    #[error("document key {key:?} is not usable: {reason}; keys are 1 to 1024 bytes without NUL")]
    Key {
        /// The key, shortened when long.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Text that is not a date.
    #[error("{text:?} is not a date: expected YYYY-MM-DD or an RFC 3339 time such as 1976-04-27T10:00:00Z")]
    Date {
        /// The text as given.
        text: String,
    },
    /// A vector that cannot be compared.
    #[error("{what}: the vector {problem}; bring vectors of {expected} finite numbers that are not all zero")]
    Vector {
        /// Whose vector: a document's key or the query.
        what: String,
        /// What is wrong, with the position where there is one.
        problem: String,
        /// The number of components that it should have.
        expected: usize,
    },
}

/// A model or a device that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A model file that cannot be read.
    #[error("{}: cannot be read: {source}; check the path and its permissions, a model directory holds config.json, tokenizer.json and model.safetensors", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A model file whose content contradicts itself or its neighbours.
    #[error("{}: {fact}; fetch the file again, or correct it", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong: where, what was expected, what was found.
        fact: String,
    },
    /// A model that this crate cannot run.
    #[error("{}: {feature} is {found}, which fossick does not run (it runs {supported}); use another model", path.display())]
    Unsupported {
        /// The file that says so.
        path: PathBuf,
        /// The setting.
        feature: &'static str,
        /// Its value.
        found: String,
        /// What would be accepted.
        supported: &'static str,
    },
    /// A device of that name does not exist.
    #[error("no device is called {name:?}; available: {available}; choose one of them, `auto` or `cpu`")]
    NoSuchDevice {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        available: String,
    },
    /// No device satisfies a rule.
    #[error("no device satisfies the rule; available: {available}; loosen the rule, or choose one of them by name")]
    NoSuitableDevice {
        /// The names that exist.
        available: String,
    },
    /// A device whose buffers are too small for a model.
    #[error(
        "{device}: {what} takes {needed} bytes, and one buffer of this device has at most {limit}; choose another device, `cpu` always exists, or a smaller model"
    )]
    DeviceTooSmall {
        /// The device's name.
        device: String,
        /// What does not fit.
        what: &'static str,
        /// Its bytes.
        needed: u64,
        /// The bytes that the device allows.
        limit: u64,
    },
    /// A device that does not compute in that precision.
    #[error("{device} does not compute in {precision}; available: {available}; choose one of them, or another device")]
    NoSuchPrecision {
        /// The device's name.
        device: String,
        /// The precision that was asked for.
        precision: String,
        /// The precisions that it has.
        available: String,
    },
    /// A query so long that no passage fits beside it.
    #[error(
        "the query is {tokens} tokens long and the cross-encoder reads {limit} with the passage; shorten the query to at most {most} tokens"
    )]
    QueryTooLong {
        /// Tokens of the query.
        tokens: usize,
        /// Tokens that the model reads.
        limit: usize,
        /// The longest query that leaves room for a passage.
        most: usize,
    },
    /// The device failed during a computation.
    #[error("{device}: the computation failed: {reason}; choose another device, `cpu` always exists")]
    Compute {
        /// The device's name.
        device: String,
        /// What the device reported.
        reason: String,
    },
    /// The model produced numbers that are not finite.
    #[error("{device}: the model {model} produced a value that is not finite; the weights or the device are damaged, try `cpu`")]
    NotFinite {
        /// The model's name.
        model: String,
        /// The device's name.
        device: String,
    },
}

/// An index that cannot be created or opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no index.
    #[error("{}: there is no index here (no file CURRENT); create one with `Index::open_or_create`", path.display())]
    NotFound {
        /// The directory.
        path: PathBuf,
    },
    /// The directory has content, and it is not an index.
    #[error("{}: is not an index directory: {fact}; choose an empty or new directory", path.display())]
    NotAnIndex {
        /// The path.
        path: PathBuf,
        /// What was found instead.
        fact: String,
    },
    /// An index of a format that this version does not know.
    #[error(
        "{}: has format version {found} with unknown feature bits {features:#x}, this version of fossick knows versions up to {known}, so the index may {may}; use fossick {needs} or newer",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// Those of its feature bits that are not known here.
        features: u64,
        /// The newest version known here.
        known: u32,
        /// The first version of fossick that understands it.
        needs: String,
        /// What may be done here: "not be read", or "be read and not changed".
        may: &'static str,
    },
    /// An index of a format that was given up before the first release.
    #[error(
        "{}: has format version {found}, this version of fossick reads version {known}; make the index again from its documents",
        path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The version known here.
        known: u32,
    },
    /// A file of the index is damaged.
    #[error("{}: is damaged: expected {expected}, found {found}; `fossick repair` brings back what can be brought back, or restore the directory from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What a sound file would have.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// Another encoder than the one the index was made with.
    #[error(
        "{}: was made with {expected}, and {found} was given; open it with the same encoder, or make a new index for the new one",
        path.display()
    )]
    OtherEncoder {
        /// The directory.
        path: PathBuf,
        /// What the index was made with.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A field whose vectors are to have a size of their own, and that the schema does not have.
    #[error("{}: vectors of field {field:?} were given a size, and the schema has no such field (it has {known}); declare it, or name one of those", path.display())]
    VectorField {
        /// The directory.
        path: PathBuf,
        /// The field's name.
        field: String,
        /// The fields that the schema has.
        known: String,
    },
    /// Another schema than the one the index was made with.
    #[error("{}: has another schema: {difference}; open it without a schema to use its own, or make a new index", path.display())]
    OtherSchema {
        /// The directory.
        path: PathBuf,
        /// The first difference.
        difference: String,
    },
    /// Creating an index needs a schema.
    #[error("{}: a new index needs a schema; give one with `Options::schema`", path.display())]
    SchemaRequired {
        /// The directory.
        path: PathBuf,
    },
    /// A generation that is not there.
    #[error("{}: generation {generation} is not kept; there are {available}; choose one of them, and tag or keep a history of those that will be wanted", path.display())]
    NoSuchGeneration {
        /// The directory.
        path: PathBuf,
        /// The number that was asked for.
        generation: u64,
        /// The generations that there are.
        available: String,
    },
    /// A second writer.
    #[error("{}: another writer has this index open (process {holder}); wait until it is dropped, readers need no lock", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that wrote itself into the lock file.
        holder: String,
    },
}

/// A document that cannot be taken in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The index was made with an encoder and none was given.
    #[error("the index was made with {expected} and was opened without an encoder; open it with `Options::encoder` to write")]
    EncoderRequired {
        /// The encoder's name.
        expected: String,
    },
    /// A document without a vector in an index whose vectors the application brings.
    #[error(
        "document {key:?}: has no vector; this index takes vectors from the application, set one with `Document::vector` or `Document::vector_of`"
    )]
    VectorRequired {
        /// The document's key.
        key: String,
    },
    /// A vector in an index that makes its own or keeps none.
    #[error("document {key:?}: brings a vector, and this index {makes}; leave the vector out")]
    VectorRefused {
        /// The document's key.
        key: String,
        /// What the index does about vectors.
        makes: &'static str,
    },
    /// A name that no generation can have.
    #[error("{name:?} cannot be the name of a generation: expected 1 to 200 bytes without control characters; choose another")]
    Tag {
        /// The name, shortened when long.
        name: String,
    },
    /// Something that is done between commits.
    #[error("there are changes that are not committed, and {doing} would lose them; commit first, or drop the writer")]
    Uncommitted {
        /// What was to be done.
        doing: &'static str,
    },
    /// Cancelled through the token.
    #[error("indexing was cancelled; nothing since the last commit is kept, take a new writer to go on")]
    Cancelled,
    /// An earlier call failed and the writer is no longer to be trusted.
    #[error(
        "an earlier call on this writer failed ({cause}); drop it and take a new one, everything up to the last commit is kept"
    )]
    Stopped {
        /// The first failure.
        cause: String,
    },
}

/// A query or a filter that cannot be understood, or that does not fit the schema.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A text that breaks the rules of its language.
    #[error("{place}: expected {expected}, found {found}; {remedy}")]
    Syntax {
        /// The byte at which it is wrong.
        at: usize,
        /// That byte, and what stands there.
        place: String,
        /// What the language has there.
        expected: String,
        /// What was found.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A field that the schema does not have.
    #[error("{place}: field {field:?} is not in the schema (it has {known}); {remedy}")]
    UnknownField {
        /// The byte at which the name stands; `None` in what was not parsed.
        at: Option<usize>,
        /// That byte, or the clause.
        place: String,
        /// The name as given.
        field: String,
        /// The fields that the schema has.
        known: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A value or an operation that a field of that type does not take.
    #[error("{place}: field {field:?} is {kind}: expected {expected}, found {found}; {remedy}")]
    Unfit {
        /// The byte at which it stands; `None` in what was not parsed.
        at: Option<usize>,
        /// That byte, or the clause.
        place: String,
        /// The field.
        field: Box<str>,
        /// Its type.
        kind: FieldType,
        /// What such a field takes.
        expected: &'static str,
        /// What was found.
        found: Box<str>,
        /// What to do.
        remedy: &'static str,
    },
    /// A number outside its bounds, in a query that was built.
    #[error("{place}: expected {expected}, found {found}; keep it within these bounds")]
    Number {
        /// The clause.
        place: String,
        /// The bounds.
        expected: &'static str,
        /// The number.
        found: String,
    },
    /// A query larger than what is answered.
    #[error(
        "{place}: expected at most {most} {what}, found more; make the query smaller, long lists of values go into one IN (…)"
    )]
    TooLarge {
        /// The byte at which the limit was passed; `None` in what was not parsed.
        at: Option<usize>,
        /// That byte, or the query.
        place: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        most: usize,
    },
}

/// A search that cannot be answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A fusion with numbers that make no order.
    #[error("the fusion {fusion} cannot be used: {reason}; `Fusion::default()` is one that can")]
    Fusion {
        /// The fusion.
        fusion: String,
        /// Why.
        reason: &'static str,
    },
    /// A field whose vectors are to be compared, and that the schema does not have.
    #[error("field {field:?} is not in the schema (it has {known}); name fields that have vectors")]
    VectorField {
        /// Its name.
        field: String,
        /// The fields that the schema has.
        known: String,
    },
    /// Fields whose vectors cannot be compared with one query.
    #[error(
        "vectors of field {first:?} are of {of_first}, those of field {second:?} of {of_second}, so no query vector can be compared with both; name fields of one kind in a search, and search twice for both"
    )]
    VectorFields {
        /// A field that was named.
        first: String,
        /// Size and metric of its vectors.
        of_first: String,
        /// Another one.
        second: String,
        /// Size and metric of that one's vectors.
        of_second: String,
    },
    /// A field that cannot be sorted by or counted.
    #[error(
        "field {field:?}: expected a keyword, an integer, a float, a date or a boolean to sort by or to count, found {found}; name another field"
    )]
    Field {
        /// Its name.
        field: String,
        /// What the schema has.
        found: String,
    },
    /// Vectors were asked for, and nothing can turn the query into one.
    #[error("this search needs the query as a vector, and {why}; {remedy}, or search with `Mode::Lexical`")]
    NoQueryVector {
        /// Why there is none.
        why: String,
        /// What would provide one.
        remedy: &'static str,
    },
    /// A check of the recall that looks for nothing.
    #[error(
        "a check of the recall was asked to look for {k} documents with {sample} vectors, which tells nothing; give it 1 or more of each"
    )]
    EmptyCheck {
        /// How many nearest documents it was to look for.
        k: usize,
        /// For how many vectors.
        sample: usize,
    },
    /// A query vector was given to an index that makes its own.
    #[error("a query vector was given, and this index {makes}; leave it out")]
    QueryVectorRefused {
        /// What the index does about vectors.
        makes: &'static str,
    },
}

/// Queries, judgements or runs that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// A file that cannot be read.
    #[error("{file}: cannot be read: {source}; check the path, its permissions and that it is what its name says")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A line that is not what the file's format has.
    #[error("{file}, line {line}: expected {expected}, found {found}; correct the line or remove it")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What the format has there.
        expected: String,
        /// What was found, shortened.
        found: String,
    },
    /// No query can be measured.
    #[error(
        "none of the {queries} queries has a relevant judgement ({judged} queries are judged); check that both files are of the same collection and use the same identifiers"
    )]
    NothingToMeasure {
        /// How many queries were given.
        queries: usize,
        /// How many queries have judgements.
        judged: usize,
    },
    /// The baseline is of other queries.
    #[error("{baseline}: answers none of the {queries} queries that are measured; compare with a run over the same queries")]
    OtherBaseline {
        /// The baseline.
        baseline: String,
        /// How many queries are measured.
        queries: usize,
    },
    /// The baseline is about other documents.
    #[error(
        "{baseline}: expected documents of the index, with keys such as {indexed:?}, found none, and others such as {found:?}; compare with a run over the same collection"
    )]
    ForeignBaseline {
        /// The baseline.
        baseline: String,
        /// A document that it names.
        found: String,
        /// A key of the index.
        indexed: String,
    },
    /// The judgements are about other documents.
    #[error(
        "none of the {judgements} judged documents is in the index: the judgements name documents such as {judged:?}, the index has keys such as {indexed:?}; use the judgements of the collection that was indexed"
    )]
    NoneIndexed {
        /// How many judgements there are.
        judgements: usize,
        /// A document that the judgements name.
        judged: String,
        /// A key that the index has; empty where it has none.
        indexed: String,
    },
}

/// The disk, or one of the storage libraries, refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused.
    #[error("{}: {doing} failed: {source}; check space and permissions, what was committed before is kept", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Lance refused.
    #[error("{}: {doing} failed in Lance: {reason}; what was committed before is kept", path.display())]
    Table {
        /// The table's directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What Lance said.
        reason: String,
    },
    /// Tantivy refused.
    #[error("{}: {doing} failed in tantivy: {reason}; what was committed before is kept", path.display())]
    Words {
        /// The directory of the words.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What tantivy said.
        reason: String,
    },
    /// The threads that read and write tables could not be started.
    #[error(
        "threads for reading and writing could not be started: {reason}; raise the limit of threads or end other programs, what was committed before is kept"
    )]
    Threads {
        /// What was found.
        reason: String,
    },
    /// A writer keeps readers from beginning.
    #[error("{}: expected the file to be free within moments, a writer has held it for {seconds} s; end the process that was stopped in the middle of a commit", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// More rows than an index can have.
    #[error("{}: expected at most {most} {what}, found more; begin another index, what was committed before is kept", path.display())]
    Full {
        /// The table's directory.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// A file was replaced, and the system could not promise that a power cut leaves it so.
    #[error(
        "{}: is in place, but flushing its directory failed: {source}; what it says is valid now, a power cut may bring back the state before",
        path.display()
    )]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is not what the generation says.
    #[error("{}: is damaged: expected {expected}, found {found}; `fossick repair` brings back what can be brought back, or restore the directory from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its length or checksum when it was written.
        expected: String,
        /// What is there now.
        found: String,
    },
    /// The parts of an index contradict each other.
    #[error("{}: {fact}; `fossick verify` tells what is wrong and `fossick repair` brings back what can be brought back", path.display())]
    Inconsistent {
        /// The part.
        path: PathBuf,
        /// What was expected and what was found.
        fact: String,
    },
}

impl StorageError {
    /// An `io::Error` with its place, for `map_err`.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, doing, source }
    }
}

impl ModelError {
    pub(crate) fn content(path: &Path, fact: impl Into<String>) -> Self {
        Self::Content { path: path.to_path_buf(), fact: fact.into() }
    }
}
