//! Parquet and Arrow files, batch by batch.

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use fossick::Date;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::{Place, Record, Records, Refused, refusal, unreadable};

/// The columns of a batch, with their names.
type Columns = Vec<(String, Column)>;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

pub fn parquet<'a>(file: Arc<str>, path: &Path) -> Records<'a> {
    let open = || -> Result<Batches, String> {
        let opened = File::open(path).map_err(|e| unreadable(&e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).and_then(|builder| builder.with_batch_size(256).build());
        Ok(Box::new(reader.map_err(|e| format!("is not a Parquet file: {e}; write it again"))?))
    };
    rows(file, open())
}

/// Both of Arrow's layouts: the file, which Feather is too, and the stream.
pub fn arrow<'a>(file: Arc<str>, path: &Path) -> Records<'a> {
    let open = || -> Result<Batches, String> {
        let read = || File::open(path).map(BufReader::new).map_err(|e| unreadable(&e));
        if let Ok(reader) = FileReader::try_new(read()?, None) {
            return Ok(Box::new(reader));
        }
        let reader = StreamReader::try_new(read()?, None);
        Ok(Box::new(reader.map_err(|e| format!("is neither an Arrow file nor an Arrow stream: {e}; write it again"))?))
    };
    rows(file, open())
}

/// Row after row. Nothing is read behind an error: what follows may belong to other rows.
fn rows<'a>(file: Arc<str>, batches: Result<Batches, String>) -> Records<'a> {
    let mut batches = match batches {
        Ok(batches) => batches,
        Err(reason) => return refusal(Place::file(&file), reason),
    };
    let (mut before, mut ended) = (0, false);
    let mut current: Option<(Columns, Range<usize>)> = None;
    Box::new(std::iter::from_fn(move || {
        while !ended {
            if let Some((columns, rows)) = &mut current
                && let Some(row) = rows.next()
            {
                before += 1;
                let values = columns.iter().map(|(name, column)| (name.clone(), column.value(row))).collect();
                return Some(Ok(Record { place: Place::row(&file, before), key: None, values }));
            }
            match batches.next() {
                None => ended = true,
                Some(Ok(batch)) => {
                    let schema = batch.schema();
                    let columns = schema.fields().iter().zip(batch.columns());
                    let columns = columns.map(|(field, array)| (field.name().clone(), Column::new(array))).collect();
                    current = Some((columns, 0..batch.num_rows()));
                }
                Some(Err(error)) => {
                    ended = true;
                    let reason = format!("cannot be read from here on: {error}; write the file again");
                    return Some(Err(Refused { place: Place::row(&file, before + 1), reason }));
                }
            }
        }
        None
    }))
}

fn cast_overflows(array: &ArrayRef) -> bool {
    array.as_primitive_opt::<UInt64Type>().is_some_and(|array| array.iter().flatten().any(|value| value > i64::MAX as u64))
}

/// A column as one of the types that documents have; what is none of them is an empty list, which no field takes.
enum Column {
    Text(ArrayRef),
    Integer(ArrayRef),
    Float(ArrayRef),
    Boolean(ArrayRef),
    Date(ArrayRef),
    Empty,
    Other,
}

impl Column {
    fn new(array: &ArrayRef) -> Self {
        let as_type = |kind: DataType, column: fn(ArrayRef) -> Self| cast(array, &kind).map_or(Self::Other, column);
        match array.data_type() {
            DataType::Null => Self::Empty,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => as_type(DataType::LargeUtf8, Self::Text),
            DataType::Dictionary(_, value) if matches!(**value, DataType::Utf8 | DataType::LargeUtf8) => {
                as_type(DataType::LargeUtf8, Self::Text)
            }
            DataType::Boolean => as_type(DataType::Boolean, Self::Boolean),
            // Beyond 64 signed bits there are only names for things.
            DataType::UInt64 if cast_overflows(array) => as_type(DataType::LargeUtf8, Self::Text),
            kind if kind.is_integer() => as_type(DataType::Int64, Self::Integer),
            kind if kind.is_floating() || matches!(kind, DataType::Decimal128(..)) => as_type(DataType::Float64, Self::Float),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
                as_type(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), Self::Date)
            }
            _ => Self::Other,
        }
    }

    fn value(&self, row: usize) -> Value {
        let (Self::Text(array) | Self::Integer(array) | Self::Float(array) | Self::Boolean(array) | Self::Date(array)) = self
        else {
            return if matches!(self, Self::Empty) { Value::Null } else { json!([]) };
        };
        if array.is_null(row) {
            return Value::Null;
        }
        match self {
            Self::Text(array) => json!(array.as_string::<i64>().value(row)),
            Self::Integer(array) => json!(array.as_primitive::<Int64Type>().value(row)),
            Self::Float(array) => json!(array.as_primitive::<Float64Type>().value(row)),
            Self::Boolean(array) => json!(array.as_boolean().value(row)),
            Self::Date(array) => {
                json!(Date::from_micros(array.as_primitive::<TimestampMicrosecondType>().value(row)).to_string())
            }
            Self::Empty | Self::Other => Value::Null,
        }
    }
}
