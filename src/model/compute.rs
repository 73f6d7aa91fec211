//! Sequences through a model, whoever else uses its device at the same time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::channel::{Sender, unbounded};

use super::Device;
use super::batch::Sequence;
use super::turns::{Turns, Work};
use crate::error::ModelError;

/// The outputs of a batch, `None` where it was noticed in the middle that nobody wants them any more, or what the device reported.
pub(super) type Answer<T> = Result<Option<Vec<T>>, String>;

/// Says whether a caller no longer wants what it asked for.
pub(crate) type Until = Arc<dyn Fn() -> bool + Send + Sync>;

/// The same, of all whose sequences are in a batch.
pub(super) type Unwanted<'a> = &'a (dyn Fn() -> bool + Sync);

/// A model that gives something for each sequence.
pub(super) trait Compute: Send + Sync + 'static {
    type Output: Send + 'static;

    fn device(&self) -> &Device;

    fn waiting(&self) -> &Waiting<Self::Output>;

    /// One output for each sequence, in their order; `None` where it was noticed in the middle that nobody wants them any more.
    ///
    /// # Errors
    /// What the device reported.
    fn compute(&self, batch: &[&Sequence], unwanted: Unwanted<'_>) -> Answer<Self::Output>;

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
    unwanted: Until,
    reply: Sender<(usize, Answer<T>)>,
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
    let outputs = compute_until(model, sequences, None)?;
    outputs.into_iter().map(|output| output.ok_or_else(|| model.failed("an output is missing".to_owned()))).collect()
}

/// The same, for a caller that may stop wanting them; then some are missing.
///
/// # Errors
/// [`ModelError::Compute`].
pub(super) fn compute_until<M: Compute>(
    model: &Arc<M>,
    sequences: Vec<Sequence>,
    until: Option<Until>,
) -> Result<Vec<Option<M::Output>>, ModelError> {
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    let batches = model.device().pack(&lengths);
    let mut sequences: Vec<Option<Sequence>> = sequences.into_iter().map(Some).collect();
    let (reply, answers) = unbounded();
    // Lives as long as this call: after an error nobody listens to the other batches.
    let listening = Arc::new(());
    let caller = Arc::downgrade(&listening);
    let unwanted: Until = Arc::new(move || caller.strong_count() == 0 || until.as_ref().is_some_and(|until| until()));
    let mut work: VecDeque<Work> = VecDeque::with_capacity(batches.len());
    for (place, members) in batches.iter().enumerate() {
        let sequences = members.iter().filter_map(|&at| sequences[at].take()).collect();
        let batch = Batch { sequences, place, unwanted: unwanted.clone(), reply: reply.clone() };
        let slot = Arc::new(Slot(Mutex::new(Some(batch))));
        model.waiting().lock().push_back(slot.clone());
        let model = model.clone();
        work.push_back(Box::new(move || serve(&*model, &slot)));
    }
    drop(reply);
    let kind = model.device().info().kind;
    Turns::of(kind).run(kind, work, || answers.len() == batches.len());

    let mut outputs: Vec<Option<M::Output>> = std::iter::repeat_with(|| None).take(lengths.len()).collect();
    for (place, answer) in answers.iter().take(batches.len()) {
        let answer = answer.map_err(|reason| model.failed(reason))?;
        for (&at, output) in batches[place].iter().zip(answer.into_iter().flatten()) {
            outputs[at] = Some(output);
        }
    }
    drop(listening);
    Ok(outputs)
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
    let unwanted = || together.iter().all(|batch| (batch.unwanted)());
    let sequences: Vec<&Sequence> = together.iter().flat_map(|batch| &batch.sequences).collect();
    // A panic of a worker would be nobody's, and its callers would wait for ever.
    let outcome = catch_unwind(AssertUnwindSafe(|| match unwanted() {
        true => Ok(None),
        false => model.compute(&sequences, &unwanted),
    }));
    let mut outcome = outcome.unwrap_or_else(|panic| Err(described(&*panic))).map(|outputs| outputs.map(Vec::into_iter));
    for Batch { sequences, place, reply, .. } in together {
        let answer = match &mut outcome {
            Ok(outputs) => Ok(outputs.as_mut().map(|outputs| outputs.by_ref().take(sequences.len()).collect())),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::super::{DeviceInfo, DeviceKind, Precision};
    use super::*;

    /// Gives the length of each sequence. A number 1 in one has it wait for the others, 2 fail, 3 panic, 4 go on until
    /// nobody wants it, and 5 take a while.
    struct Lengths {
        device: Device,
        waiting: Waiting<usize>,
        /// Sequences in each batch, in the order of the batches.
        batches: Mutex<Vec<usize>>,
        /// Sequences that have to wait, all callers together, before one that waits is computed.
        others: AtomicUsize,
    }

    impl Lengths {
        fn on(device: Device, others: usize) -> Arc<Self> {
            let (waiting, batches) = (Waiting::default(), Mutex::default());
            Arc::new(Self { device, waiting, batches, others: AtomicUsize::new(others) })
        }

        fn on_a_gpu(others: usize) -> Arc<Self> {
            let info = DeviceInfo { name: "flex".to_owned(), kind: DeviceKind::Software, api: "none", ..DeviceInfo::cpu() };
            Self::on(Device::made_of(burn::tensor::Device::flex(), info, Precision::F32), others)
        }

        fn batches(&self) -> Vec<usize> {
            self.batches.lock().unwrap().clone()
        }
    }

    impl Compute for Lengths {
        type Output = usize;

        fn device(&self) -> &Device {
            &self.device
        }

        fn waiting(&self) -> &Waiting<usize> {
            &self.waiting
        }

        fn compute(&self, batch: &[&Sequence], unwanted: Unwanted<'_>) -> Result<Option<Vec<usize>>, String> {
            self.batches.lock().unwrap().push(batch.len());
            let has = |id: u32| batch.iter().any(|sequence| sequence.ids.contains(&id));
            while has(1) && self.waiting.lock().len() < self.others.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            if has(2) {
                return Err("it is broken".to_owned());
            }
            assert!(!has(3), "it panics");
            if has(5) {
                std::thread::sleep(Duration::from_millis(2));
            }
            while has(4) {
                if unwanted() {
                    return Ok(None);
                }
                std::thread::yield_now();
            }
            Ok(Some(batch.iter().map(|sequence| sequence.ids.len()).collect()))
        }
    }

    fn sequence(first: u32, length: usize) -> Sequence {
        Sequence { ids: [first].into_iter().chain(std::iter::repeat(0)).take(length).collect(), second: length, truncated: false }
    }

    #[test]
    fn each_sequence_gets_its_own_output_on_each_device() {
        let lengths: Vec<usize> = (0..100).map(|at| 1 + at * 37 % 200).collect();
        for model in [Lengths::on(Device::cpu(), 0), Lengths::on_a_gpu(0)] {
            let sequences = lengths.iter().map(|&length| sequence(0, length)).collect();
            assert_eq!(compute_all(&model, sequences).unwrap(), lengths);
            assert!(model.batches().len() > 1);
            assert!(model.waiting.lock().is_empty());
        }
    }

    #[test]
    fn on_a_gpu_batches_of_several_callers_go_through_as_one() {
        let model = Lengths::on_a_gpu(2);
        let ask = |first, length| compute_all(&model, vec![sequence(first, length)]).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| ask(1, 10));
            while model.batches().is_empty() {
                std::thread::yield_now();
            }
            let others = [20, 30].map(|length| scope.spawn(move || ask(0, length)));
            assert_eq!(first.join().unwrap(), [10]);
            assert_eq!(others.map(|other| other.join().unwrap()), [[20], [30]]);
        });
        assert_eq!(model.batches(), [1, 2]);
    }

    #[test]
    fn a_failure_and_a_panic_are_the_callers_and_its_other_batches_are_dropped() {
        for (device, bad) in [(Device::cpu(), 2), (Device::cpu(), 3)] {
            let model = Lengths::on(device, 0);
            let sequences = (0..200).map(|at| sequence(if at == 0 { bad } else { 5 }, 300)).collect();
            assert!(compute_all(&model, sequences).is_err());
            assert_eq!(compute_all(&model, vec![sequence(0, 7)]).unwrap(), [7]);
            while !model.waiting.lock().is_empty() {
                std::thread::yield_now();
            }
            assert!(model.batches().len() < 200, "{}", model.batches().len());
        }
    }

    #[test]
    fn what_is_no_longer_wanted_is_given_up_in_the_middle() {
        let model = Lengths::on(Device::cpu(), 0);
        let asked = Arc::new(AtomicUsize::new(0));
        let until: Until = {
            let asked = asked.clone();
            Arc::new(move || asked.fetch_add(1, Ordering::SeqCst) >= 5)
        };
        let outputs = compute_until(&model, vec![sequence(4, 300), sequence(4, 200)], Some(until)).unwrap();
        assert_eq!(outputs, [None, None]);
        assert!(asked.load(Ordering::SeqCst) > 5);
    }
}
