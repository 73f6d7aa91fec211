//! Documents and passages as Arrow columns. Names and types here are the file format.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, FixedSizeListArray, Float32Array, Float64Builder, Int64Builder, ListArray,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema as ArrowSchema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use super::contents::Content;
use crate::schema::{Date, Document, FieldType, Schema, Value};

/// The document's number, in both tables.
pub(super) const NUMBER: &str = "_document";
pub(super) const KEY: &str = "_key";
pub(super) const DIGEST: &str = "_digest";
pub(super) const PASSAGES: &str = "_passages";
pub(super) const ORDINAL: &str = "_ordinal";
pub(super) const FIELD: &str = "_field";
pub(super) const START: &str = "_start";
pub(super) const END: &str = "_end";
pub(super) const TEXT: &str = "_text";
pub(super) const TOKENS: &str = "_tokens";
pub(super) const VECTOR: &str = "_vector";

/// A document on its way to the table.
#[derive(Clone, Debug)]
pub(crate) struct DocumentRow {
    /// Its number, and the digest of its values.
    pub(crate) content: Content,
    pub(crate) document: Document,
    /// How many passages it has.
    pub(crate) passages: u32,
}

/// A passage on its way to the table.
#[derive(Clone, Debug)]
pub(crate) struct PassageRow {
    /// The document's number.
    pub(crate) document: u64,
    /// The position among the document's passages, from 0.
    pub(crate) ordinal: u32,
    /// The field that the text is from.
    pub(crate) field: String,
    /// Byte offsets in that field's text.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) text: String,
    /// What the encoder reads, headings included, without special tokens; empty where there is no encoder.
    pub(crate) tokens: Vec<u32>,
    pub(crate) vector: Option<Vec<f32>>,
}

pub(super) fn documents_schema(schema: &Schema) -> SchemaRef {
    let mut columns = vec![
        Field::new(NUMBER, DataType::UInt64, false),
        Field::new(KEY, DataType::Utf8, false),
        Field::new(DIGEST, DataType::UInt64, false),
        Field::new(PASSAGES, DataType::UInt32, false),
    ];
    columns.extend(schema.fields().iter().map(|field| Field::new(field.name(), column_type(field.kind()), true)));
    Arc::new(ArrowSchema::new(columns))
}

/// The columns of the fields that `extended` has more.
pub(super) fn new_columns(schema: &Schema, extended: &Schema) -> SchemaRef {
    let new = extended.fields().iter().filter(|field| schema.field(field.name()).is_none());
    let columns: Vec<Field> = new.map(|field| Field::new(field.name(), column_type(field.kind()), true)).collect();
    Arc::new(ArrowSchema::new(columns))
}

fn column_type(kind: FieldType) -> DataType {
    match kind {
        FieldType::Heading | FieldType::Text | FieldType::Keyword | FieldType::Stored => DataType::Utf8,
        FieldType::Integer => DataType::Int64,
        FieldType::Float => DataType::Float64,
        FieldType::Date => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        FieldType::Boolean => DataType::Boolean,
    }
}

/// `tokens`: whether they are kept.
pub(super) fn passages_schema(tokens: bool, dimension: Option<usize>) -> SchemaRef {
    let mut columns = vec![
        Field::new(NUMBER, DataType::UInt64, false),
        Field::new(ORDINAL, DataType::UInt32, false),
        Field::new(FIELD, DataType::Utf8, false),
        Field::new(START, DataType::UInt64, false),
        Field::new(END, DataType::UInt64, false),
        Field::new(TEXT, DataType::Utf8, false),
    ];
    columns.extend(tokens.then(|| Field::new(TOKENS, DataType::List(token_item()), false)));
    columns
        .extend(dimension.map(|dimension| Field::new(VECTOR, DataType::FixedSizeList(vector_item(), dimension as i32), false)));
    Arc::new(ArrowSchema::new(columns))
}

fn token_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::UInt32, true))
}

fn vector_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, true))
}

/// Documents as one batch of the documents table.
pub(super) fn documents_batch(schema: &Schema, rows: &[DocumentRow]) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.content.number))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.document.key()))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.content.digest))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.passages))),
    ];
    for field in schema.fields() {
        let values = rows.iter().map(|row| row.document.get(field.name()));
        columns.push(match field.kind() {
            FieldType::Heading | FieldType::Text | FieldType::Keyword | FieldType::Stored => {
                let mut column = StringBuilder::new();
                values.for_each(|value| column.append_option(value.and_then(Value::as_text)));
                Arc::new(column.finish())
            }
            FieldType::Integer => {
                let mut column = Int64Builder::new();
                values.for_each(|value| {
                    column.append_option(if let Some(Value::Integer(number)) = value { Some(*number) } else { None })
                });
                Arc::new(column.finish())
            }
            FieldType::Float => {
                let mut column = Float64Builder::new();
                values.for_each(|value| {
                    column.append_option(if let Some(Value::Float(number)) = value { Some(*number) } else { None })
                });
                Arc::new(column.finish())
            }
            FieldType::Date => {
                let micros = values.map(|value| if let Some(Value::Date(date)) = value { Some(date.micros()) } else { None });
                Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))
            }
            FieldType::Boolean => {
                let mut column = BooleanBuilder::new();
                values.for_each(|value| {
                    column.append_option(if let Some(Value::Boolean(truth)) = value { Some(*truth) } else { None })
                });
                Arc::new(column.finish())
            }
        });
    }
    RecordBatch::try_new(documents_schema(schema), columns)
}

pub(super) fn passages_batch(tokens: bool, dimension: Option<usize>, rows: &[PassageRow]) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.document))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.ordinal))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.field))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.start))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.end))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.text))),
    ];
    if tokens {
        let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.tokens.len()));
        let values = UInt32Array::from_iter_values(rows.iter().flat_map(|row| row.tokens.iter().copied()));
        columns.push(Arc::new(ListArray::try_new(token_item(), offsets, Arc::new(values), None)?));
    }
    if let Some(dimension) = dimension {
        let mut values = Vec::with_capacity(rows.len() * dimension);
        for vector in rows.iter().flat_map(|row| &row.vector) {
            let end = values.len() + dimension;
            values.extend_from_slice(vector);
            // Narrower ones are filled up.
            values.resize(end.max(values.len()), 0.0);
        }
        let values = Arc::new(Float32Array::from(values));
        columns.push(Arc::new(FixedSizeListArray::try_new(vector_item(), dimension as i32, values, None)?));
    }
    RecordBatch::try_new(passages_schema(tokens, dimension), columns)
}

/// The values of one row of the documents table in the given fields; those without a value are left out. `None` where a column is
/// missing or of another type.
pub(super) fn document_values(schema: &Schema, fields: &[&str], batch: &RecordBatch, row: usize) -> Option<Vec<(String, Value)>> {
    let mut values = Vec::new();
    for field in fields.iter().map(|name| schema.field(name)) {
        let field = field?;
        let column = batch.column_by_name(field.name())?;
        if *column.data_type() != column_type(field.kind()) {
            return None;
        }
        if column.is_null(row) {
            continue;
        }
        let value = match field.kind() {
            FieldType::Heading | FieldType::Text | FieldType::Keyword | FieldType::Stored => {
                Value::Text(column.as_string_opt::<i32>()?.value(row).to_owned())
            }
            FieldType::Integer => Value::Integer(column.as_primitive_opt::<Int64Type>()?.value(row)),
            FieldType::Float => Value::Float(column.as_primitive_opt::<Float64Type>()?.value(row)),
            FieldType::Date => Value::Date(Date::from_micros(column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row))),
            FieldType::Boolean => Value::Boolean(column.as_boolean_opt()?.value(row)),
        };
        values.push((field.name().to_owned(), value));
    }
    Some(values)
}
