//! Sequences through a model, whoever else uses its device at the same time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::channel::{Sender, unbounded};

use super::Device;
use super::batch::Sequence;
use super::turns::{Turns, Work};
use crate::error::ModelError;

/// A model that gives something for each sequence.
pub(super) trait Compute: Send + Sync + 'static {
    type Output: Send + 'static;

    fn device(&self) -> &Device;

    fn waiting(&self) -> &Waiting<Self::Output>;

    /// One output for each sequence, in their order.
    ///
    /// # Errors
    /// What the device reported.
    fn compute(&self, batch: &[&Sequence]) -> Result<Vec<Self::Output>, String>;

    fn failed(&self, reason: String) -> ModelError {
        ModelError::Compute { device: self.device().info().to_string(), reason }
    }
}

/// The batches that wait for one model, of all callers, in the order in which they came.
pub(super) struct Waiting<T>(Mutex<VecDeque<Arc<Slot<T>>>>);

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Waiting<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Slot<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a batch waits; empty once somebody computes it.
struct Slot<T>(Mutex<Option<Batch<T>>>);

impl<T> Slot<T> {
    /// Takes the batch if it is still there and wanted.
    fn take_if(&self, wanted: impl FnOnce(&mut Batch<T>) -> bool) -> Option<Batch<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take_if(wanted)
    }
}

struct Batch<T> {
    sequences: Vec<Sequence>,
    /// The place among its caller's batches.
    place: usize,
    reply: Sender<(usize, Result<Vec<T>, String>)>,
}

impl<T> Batch<T> {
    fn longest(&self) -> usize {
        self.sequences.iter().map(|sequence| sequence.ids.len()).max().unwrap_or(0)
    }
}

/// One output for each sequence, in their order.
///
/// # Errors
/// [`ModelError::Compute`].
pub(super) fn compute_all<M: Compute>(model: &Arc<M>, sequences: Vec<Sequence>) -> Result<Vec<M::Output>, ModelError> {
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    let batches = model.device().pack(&lengths);
    let mut sequences: Vec<Option<Sequence>> = sequences.into_iter().map(Some).collect();
    let (reply, answers) = unbounded();
    let mut work: VecDeque<Work> = VecDeque::with_capacity(batches.len());
    for (place, members) in batches.iter().enumerate() {
        let members = members.iter().filter_map(|&at| sequences[at].take()).collect();
        let slot = Arc::new(Slot(Mutex::new(Some(Batch { sequences: members, place, reply: reply.clone() }))));
        model.waiting().lock().push_back(slot.clone());
        let model = model.clone();
        work.push_back(Box::new(move || serve(&*model, &slot)));
    }
    drop(reply);
    let kind = model.device().info().kind;
    Turns::of(kind).run(kind, work, || answers.len() == batches.len());

    let mut outputs: Vec<Option<M::Output>> = std::iter::repeat_with(|| None).take(lengths.len()).collect();
    for (place, answer) in answers.iter().take(batches.len()) {
        for (&at, output) in batches[place].iter().zip(answer.map_err(|reason| model.failed(reason))?) {
            outputs[at] = Some(output);
        }
    }
    outputs.into_iter().map(|output| output.ok_or_else(|| model.failed("an output is missing".to_owned()))).collect()
}

/// Computes what waits in the slot, with other callers' batches where all go through the device together.
fn serve<M: Compute>(model: &M, slot: &Slot<M::Output>) {
    let Some(first) = slot.take_if(|_| true) else { return };
    let (mut longest, mut count) = (first.longest(), first.sequences.len());
    let mut together = vec![first];
    model.waiting().lock().retain(|other| {
        let fits = |batch: &mut Batch<M::Output>| {
            let both = (longest.max(batch.longest()), count + batch.sequences.len());
            let fits = model.device().takes_together(both.1, both.0);
            if fits {
                (longest, count) = both;
            }
            fits
        };
        together.extend(other.take_if(fits));
        other.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    });
    let sequences: Vec<&Sequence> = together.iter().flat_map(|batch| &batch.sequences).collect();
    // A panic of a worker would be nobody's, and its callers would wait for ever.
    let outcome = catch_unwind(AssertUnwindSafe(|| model.compute(&sequences)));
    let outcome = outcome.unwrap_or_else(|panic| Err(described(&*panic)));
    let mut outputs = outcome.map(Vec::into_iter);
    for Batch { sequences, place, reply } in together {
        let answer = match &mut outputs {
            Ok(outputs) => Ok(outputs.by_ref().take(sequences.len()).collect()),
            Err(reason) => Err(reason.clone()),
        };
        // A caller that met an error before does not listen any more.
        let _ = reply.send((place, answer));
    }
}

/// What a panic said.
pub(super) fn described(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    said.unwrap_or("a panic without a message").to_owned()
}
