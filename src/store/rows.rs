//! Rows by their addresses, through readers that stay open: Lance's own `take_rows` opens each file anew, which takes longer than reading ten rows
//! does (`fossick bench --search`).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use futures::{StreamExt, TryStreamExt, stream};
use lance::Dataset;
use lance::dataset::fragment::{FragReadConfig, FragmentReader};

/// Readers that are kept, each with a file open; when there are more, all are closed.
const MOST: usize = 16;
/// Fragments that are read at the same time.
const AT_ONCE: usize = 8;

/// What a reader reads: the version of its table, its fragment, its columns.
type Key = (u64, u64, Vec<String>);

/// The readers of a table that were opened so far.
#[derive(Default)]
pub(super) struct OpenReaders(Mutex<HashMap<Key, Arc<FragmentReader>>>);

/// Closes all readers when it is dropped: what one is like after a failure, or a panic, is not known.
struct Doubt<'a>(&'a OpenReaders);

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl OpenReaders {
    /// The rows at these addresses, in this order, those left out that are not there; with none there, `None`. Addresses must differ.
    pub(super) async fn take(
        &self,
        dataset: &Dataset,
        addresses: &[u64],
        columns: &[String],
    ) -> lance::Result<Option<RecordBatch>> {
        // Of each fragment the offsets of its rows, ascending.
        let mut order: Vec<usize> = (0..addresses.len()).collect();
        order.sort_unstable_by_key(|&at| addresses[at]);
        let mut offsets: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for &at in &order {
            offsets.entry(addresses[at] >> 32).or_default().push(addresses[at] as u32);
        }
        let of_fragment = |(fragment, offsets): (u64, Vec<u32>)| async move {
            match self.reader(dataset, fragment, columns).await? {
                Some(reader) => reader.take_as_batch(&offsets, None).await.map(Some),
                None => Ok(None),
            }
        };
        let doubt = Doubt(self);
        let read = stream::iter(offsets.into_iter().map(of_fragment)).buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
        std::mem::forget(doubt);
        let batches: Vec<RecordBatch> = read.into_iter().flatten().collect();
        let Some(first) = batches.first() else { return Ok(None) };
        let sorted = concat_batches(&first.schema(), &batches)?;
        if sorted.num_rows() != addresses.len() {
            return Ok(Some(sorted));
        }
        let mut places = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(place, at)| places[at] = place as u64);
        Ok(Some(take_record_batch(&sorted, &UInt64Array::from(places))?))
    }

    /// Closes all, so that the files of what a writer has replaced can go.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// `None` where the table has no such fragment.
    async fn reader(&self, dataset: &Dataset, fragment: u64, columns: &[String]) -> lance::Result<Option<Arc<FragmentReader>>> {
        let key = (dataset.version_id(), fragment, columns.to_vec());
        if let Some(reader) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Some(reader.clone()));
        }
        let Some(fragment) = dataset.get_fragment(fragment as usize) else { return Ok(None) };
        let reader = Arc::new(fragment.open(&dataset.schema().project(columns)?, FragReadConfig::default()).await?);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST {
            open.clear();
        }
        open.insert(key, reader.clone());
        Ok(Some(reader))
    }
}
