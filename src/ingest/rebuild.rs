//! Words made again from the documents.

use crate::error::{Error, StorageError};
use crate::lexical::{WordsCommit, WordsReader, WordsWriter};
use crate::schema::{FieldType, Schema};
use crate::store::{Generation, StoreWriter};

/// Documents that are read at once.
const CHUNK: usize = 1024;

/// The words of a writer, made again where they are damaged: they are derived, so nothing is lost.
pub(crate) fn open_or_rebuild_words(store: &mut StoreWriter) -> Result<WordsWriter, Error> {
    let error = match open_words(store) {
        Ok(words) => return Ok(words),
        // The disk refuses: that says nothing about the words.
        Err(error @ StorageError::Io { .. }) => return Err(error.into()),
        Err(error) => error,
    };
    tracing::warn!(%error, "the words are made again from the documents");
    let generation = store.view()?;
    store.prepare()?;
    let (epoch, state) = build_words(&generation)?;
    let next = store.header().next_document;
    store.publish(state.state(epoch), &state.files, next)?;
    Ok(WordsWriter::open(&store.layout().words(epoch), &store.header().schema, &state.meta, state.opstamp)?)
}

/// Adds fields without values, and the words for them, unless another process has done it meanwhile.
pub(crate) fn extend_schema(store: &mut StoreWriter, schema: &Schema) -> Result<(), Error> {
    store.extend_schema(schema, |generation| {
        let (epoch, words) = build_words(generation)?;
        Ok((words.state(epoch), words.files))
    })
}

fn open_words(store: &StoreWriter) -> Result<WordsWriter, StorageError> {
    let header = store.header();
    drop(WordsReader::of(store.layout(), header, store.sound())?);
    WordsWriter::open(&store.layout().words(header.words.epoch), &header.schema, &header.words.meta, header.words.opstamp)
}

/// Writes the words of all documents of a generation under a new epoch; gives that and the state.
pub(crate) fn build_words(generation: &Generation) -> Result<(u64, WordsCommit), Error> {
    let epoch = generation.layout.next_epoch();
    let path = generation.layout.words(epoch);
    let schema = &generation.header.schema;
    let empty = WordsWriter::create(&path, schema)?;
    let mut words = WordsWriter::open(&path, schema, &empty.meta, empty.opstamp)?;
    let documents = generation.document_index()?;
    let fields = schema.fields().iter().filter(|field| field.kind() != FieldType::Stored);
    let names: Vec<&str> = fields.map(|field| field.name()).collect();
    let numbers: Vec<u64> = documents.entries().map(|(number, _)| number).collect();
    for chunk in numbers.chunks(CHUNK) {
        let rows = generation.read_documents(&documents, chunk, &names)?;
        for (number, values) in chunk.iter().zip(rows) {
            words.add(*number, |name| values.iter().find(|(field, _)| field == name).map(|(_, value)| value))?;
        }
    }
    Ok((epoch, words.prepare(generation.header.generation + 1)?))
}
