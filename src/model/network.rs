//! The network on whatever device it runs: Burn's tensors on a GPU, our own kernels on the CPU, and on the CPU in place of a GPU that
//! was lost.

use std::ops::Range;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::Device;
use super::adapter::DeviceKind;
use super::batch::Sequence;
use super::bert::{Bert, Classifier, Positions};
use super::compute::Unwanted;
use super::config::Config;
use super::cpu::{CpuBert, CpuClassifier};
use super::files::ModelFiles;
use super::precision::CpuPrecision;
use super::shapes::{Room, Shape};
use super::standby::{Load, Standby};
use super::transfer::down;
use super::weights::Weights;
use crate::error::ModelError;
use crate::parallel;

/// The last layer's output.
pub(super) struct Output {
    /// Rows of as many numbers as a hidden vector has.
    values: Vec<f32>,
    /// Where the numbers of each sequence are.
    spans: Vec<Range<usize>>,
}

impl Output {
    fn new(values: Vec<f32>, sizes: impl Iterator<Item = usize>) -> Self {
        let mut end = 0;
        let span = |size: usize| {
            end += size;
            end - size..end
        };
        Self { spans: sizes.map(span).collect(), values }
    }

    /// The wanted rows of each sequence, without padding.
    pub(super) fn sequences(&self) -> impl Iterator<Item = &[f32]> {
        self.spans.iter().map(|span| &self.values[span.clone()])
    }
}

/// A network in Burn, with what the device has room for.
pub(super) struct OnGpu<H> {
    bert: Bert,
    head: H,
    room: Room,
    budget: usize,
    /// Lets a test lose the device after so many batches.
    #[cfg(test)]
    fuse: tests::Fuse,
}

impl<H> OnGpu<H> {
    /// `head` is read after it is known that there is room.
    ///
    /// # Errors
    /// [`ModelError::Compute`] is the device's own failure.
    fn read(
        weights: &Weights,
        config: &Config,
        device: &Device,
        head: impl FnOnce() -> Result<H, ModelError>,
    ) -> Result<Self, ModelError> {
        let room = Room::new(config, device.info())?;
        let read = Self {
            bert: Bert::read(weights, config, device)?,
            head: head()?,
            room,
            budget: device.budget(),
            #[cfg(test)]
            fuse: tests::Fuse::default(),
        };
        // What goes up is not waited for, and a driver that has no memory for it says so later.
        let failed = |reason| ModelError::Compute { device: device.info().to_string(), reason };
        device.burn().sync().map(|()| read).map_err(|e| failed(format!("{e:?}")))
    }

    /// What `rows` makes of a batch: as many numbers for each sequence as `wanted` says, the padding cut off. One way to the
    /// device and one back for each part that there is room for; mostly that is one.
    fn compute(
        &self,
        batch: &[&Sequence],
        rows: impl Fn(&Self, &[&Sequence], Shape) -> Tensor<3>,
        wanted: impl Fn(&Sequence) -> usize,
    ) -> Result<Output, String> {
        #[cfg(test)]
        self.fuse.burn()?;
        let lengths: Vec<usize> = batch.iter().map(|sequence| sequence.ids.len()).collect();
        let (mut values, mut sizes) = (Vec::new(), Vec::with_capacity(batch.len()));
        for part in self.room.parts(&lengths) {
            let longest = lengths[part.clone()].iter().copied().max().unwrap_or(0);
            let part = &batch[part];
            let output = rows(self, part, self.room.shape(part.len(), longest));
            let [_, stride, width] = output.dims();
            let numbers = down(&output)?;
            for (sequence, numbers) in part.iter().zip(numbers.chunks_exact(stride * width)) {
                let size = wanted(sequence) * width;
                values.extend_from_slice(&numbers[..size]);
                sizes.push(size);
            }
        }
        // A device that is going away may give anything.
        match values.iter().all(|value| value.is_finite()) && sizes.len() == batch.len() {
            true => Ok(Output::new(values, sizes.into_iter())),
            false => Err("it gave numbers that are not finite".to_owned()),
        }
    }
}

/// Sequences of the same tokens, to prepare a shape with.
fn placeholders(shape: Shape) -> Vec<Sequence> {
    (0..shape.count).map(|_| Sequence { ids: vec![0; shape.length], second: 1, truncated: false }).collect()
}

/// How many rows of a sequence are wanted.
fn rows_of(wanted: Positions, sequence: &Sequence) -> usize {
    if wanted == Positions::First { 1 } else { sequence.ids.len() }
}

/// What takes a GPU's place: the same files, read again, in 8 bits.
fn on_the_cpu<C: 'static>(
    files: &ModelFiles,
    read: impl Fn(&ModelFiles, CpuPrecision) -> Result<C, ModelError> + Send + Sync + 'static,
) -> Load<C> {
    let (directory, sum) = (files.directory.clone(), crc32c::crc32c(files.weights.bytes()));
    Box::new(move || {
        let files = ModelFiles::open(&directory)?;
        match crc32c::crc32c(files.weights.bytes()) == sum {
            true => read(&files, CpuPrecision::Int8),
            false => {
                let fact = "is another file than the one that was loaded onto the GPU";
                Err(ModelError::content(&directory.join("model.safetensors"), fact))
            }
        }
    })
}

/// A GPU's batch on all threads of the CPU: one output for each sequence, in their order.
fn spread<T: Send>(batch: &[&Sequence], compute: impl Fn(&[&Sequence]) -> Vec<T> + Sync) -> Vec<T> {
    let lengths: Vec<usize> = batch.iter().map(|sequence| sequence.ids.len()).collect();
    let parts = Device::cpu().pack(&lengths);
    let members = |part: &Vec<usize>| part.iter().map(|&at| batch[at]).collect::<Vec<_>>();
    let found: Vec<Vec<T>> = parallel::run(|| parts.par_iter().map(|part| compute(&members(part))).collect());
    let mut outputs: Vec<(usize, T)> = parts.into_iter().flatten().zip(found.into_iter().flatten()).collect();
    outputs.sort_by_key(|(at, _)| *at);
    outputs.into_iter().map(|(_, output)| output).collect()
}

/// The network without a head.
#[allow(clippy::large_enum_variant)] // One a model.
pub(super) enum Network {
    Burn(Standby<OnGpu<()>, CpuBert>),
    Cpu(CpuBert),
}

impl Network {
    /// Reads the weights onto the device; a GPU that fails later is not replaced.
    ///
    /// # Errors
    /// [`ModelError::Content`] and [`ModelError::DeviceTooSmall`].
    #[cfg(test)]
    pub(super) fn read(weights: &Weights, config: &Config, device: &Device) -> Result<Self, ModelError> {
        Self::new(weights, config, device, None)
    }

    /// Reads the weights onto the device; a GPU that fails meanwhile or later is replaced by the CPU, by the same files.
    ///
    /// # Errors
    /// [`ModelError::Content`] and [`ModelError::DeviceTooSmall`]; [`ModelError::Compute`] where a GPU fails and the CPU cannot take over.
    pub(super) fn open(files: &ModelFiles, device: &Device) -> Result<Self, ModelError> {
        let load = on_the_cpu(files, |files: &ModelFiles, precision| CpuBert::read(&files.weights, &files.config, precision));
        Self::new(&files.weights, &files.config, device, Some(load))
    }

    fn new(weights: &Weights, config: &Config, device: &Device, load: Option<Load<CpuBert>>) -> Result<Self, ModelError> {
        Ok(match device.info().kind {
            DeviceKind::Cpu => Self::Cpu(CpuBert::read(weights, config, device.precision().into())?),
            _ => {
                let gpu = || OnGpu::read(weights, config, device, || Ok(()));
                Self::Burn(Standby::open(gpu, device.info().to_string(), load)?)
            }
        })
    }

    /// # Errors
    /// What the device reported.
    pub(super) fn forward(&self, batch: &[&Sequence], pad: u32, wanted: Positions) -> Result<Output, String> {
        let cpu = |network: &CpuBert, batch: &[&Sequence]| network.forward(batch, wanted);
        match self {
            Self::Cpu(network) => {
                let values = cpu(network, batch);
                let rows: usize = batch.iter().map(|sequence| rows_of(wanted, sequence)).sum();
                let hidden = values.len() / rows.max(1);
                Ok(Output::new(values, batch.iter().map(|sequence| rows_of(wanted, sequence) * hidden)))
            }
            Self::Burn(either) => either.run(
                |gpu| {
                    let rows = |gpu: &OnGpu<()>, part: &[&Sequence], shape| gpu.bert.forward(part, shape, pad, wanted);
                    gpu.compute(batch, rows, |sequence| rows_of(wanted, sequence))
                },
                |network| {
                    let each = spread(batch, |part| {
                        let values = cpu(network, part);
                        let rows: usize = part.iter().map(|sequence| rows_of(wanted, sequence)).sum();
                        let hidden = values.len() / rows.max(1);
                        let sizes = part.iter().map(|sequence| rows_of(wanted, sequence) * hidden);
                        Output::new(values, sizes).sequences().map(<[f32]>::to_vec).collect()
                    });
                    let sizes: Vec<usize> = each.iter().map(Vec::len).collect();
                    Output::new(each.concat(), sizes.into_iter())
                },
            ),
        }
    }

    /// Why the GPU is no longer used; `None` while it is.
    pub(super) fn lost(&self) -> Option<&str> {
        if let Self::Burn(either) = self { either.lost() } else { None }
    }

    /// Has a GPU compile and try what batches of at most so many tokens a sequence will ask for, so that no query waits for it.
    ///
    /// # Errors
    /// As for [`Network::forward`].
    pub(super) fn warm_up(&self, longest: usize, wanted: Positions) -> Result<(), String> {
        let Self::Burn(either) = self else { return Ok(()) };
        either.gpu().map(|gpu| gpu.room.likely(longest, gpu.budget)).into_iter().flatten().try_for_each(|shape| {
            let sequences = placeholders(shape);
            self.forward(&sequences.iter().collect::<Vec<_>>(), 0, wanted).map(drop)
        })
    }
}

/// A network with a classification head of one output.
#[allow(clippy::large_enum_variant)] // One a model.
pub(super) enum Scorer {
    Burn(Standby<OnGpu<Classifier>, (CpuBert, CpuClassifier)>),
    Cpu((CpuBert, CpuClassifier)),
}

impl Scorer {
    /// Reads the weights onto the device; a GPU that fails later is not replaced.
    ///
    /// # Errors
    /// As for [`Network::open`].
    #[cfg(test)]
    pub(super) fn read(weights: &Weights, config: &Config, device: &Device) -> Result<Self, ModelError> {
        Self::new(weights, config, device, None)
    }

    /// Reads the weights onto the device; a GPU that fails meanwhile or later is replaced by the CPU, by the same files.
    ///
    /// # Errors
    /// [`ModelError::Content`] and [`ModelError::DeviceTooSmall`]; [`ModelError::Compute`] where a GPU fails and the CPU cannot take over.
    pub(super) fn open(files: &ModelFiles, device: &Device) -> Result<Self, ModelError> {
        let load = on_the_cpu(files, |files: &ModelFiles, precision| Self::on_cpu(&files.weights, &files.config, precision));
        Self::new(&files.weights, &files.config, device, Some(load))
    }

    fn new(
        weights: &Weights,
        config: &Config,
        device: &Device,
        load: Option<Load<(CpuBert, CpuClassifier)>>,
    ) -> Result<Self, ModelError> {
        Ok(match device.info().kind {
            DeviceKind::Cpu => Self::Cpu(Self::on_cpu(weights, config, device.precision().into())?),
            _ => {
                let gpu = || OnGpu::read(weights, config, device, || Classifier::read(weights, config, device));
                Self::Burn(Standby::open(gpu, device.info().to_string(), load)?)
            }
        })
    }

    fn on_cpu(weights: &Weights, config: &Config, precision: CpuPrecision) -> Result<(CpuBert, CpuClassifier), ModelError> {
        Ok((CpuBert::read(weights, config, precision)?, CpuClassifier::read(weights, config)?))
    }

    /// One logit for each sequence.
    ///
    /// # Errors
    /// What the device reported.
    pub(super) fn logits(&self, batch: &[&Sequence], pad: u32) -> Result<Vec<f32>, String> {
        self.logits_until(batch, pad, &|| false).map(Option::unwrap_or_default)
    }

    /// The same; `None` where the CPU was told between two layers that nobody wants them any more.
    ///
    /// # Errors
    /// What the device reported.
    pub(super) fn logits_until(&self, batch: &[&Sequence], pad: u32, unwanted: Unwanted<'_>) -> Result<Option<Vec<f32>>, String> {
        let cpu = |(network, head): &(CpuBert, CpuClassifier), batch: &[&Sequence], unwanted: Unwanted<'_>| {
            network.forward_until(batch, Positions::First, unwanted).map(|first| head.forward(&first))
        };
        match self {
            Self::Cpu(network) => Ok(cpu(network, batch, unwanted)),
            Self::Burn(either) => either.run(
                |gpu| {
                    let rows = |gpu: &OnGpu<Classifier>, part: &[&Sequence], shape| {
                        gpu.head.forward(gpu.bert.forward(part, shape, pad, Positions::First)).unsqueeze_dim::<3>(1)
                    };
                    gpu.compute(batch, rows, |_| 1).map(|output| Some(output.values))
                },
                |network| Some(spread(batch, |part| cpu(network, part, &|| false).unwrap_or_default())),
            ),
        }
    }

    /// Why the GPU is no longer used; `None` while it is.
    pub(super) fn lost(&self) -> Option<&str> {
        if let Self::Burn(either) = self { either.lost() } else { None }
    }

    /// Has a GPU compile and try what batches of at most so many tokens a sequence will ask for, so that no query waits for it.
    ///
    /// # Errors
    /// As for [`Scorer::logits`].
    pub(super) fn warm_up(&self, longest: usize) -> Result<(), String> {
        let Self::Burn(either) = self else { return Ok(()) };
        either.gpu().map(|gpu| gpu.room.likely(longest, gpu.budget)).into_iter().flatten().try_for_each(|shape| {
            let sequences = placeholders(shape);
            self.logits(&sequences.iter().collect::<Vec<_>>(), 0).map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::DeviceInfo;
    use super::super::Precision;
    use super::super::batch::{self, Padding};
    use super::super::transfer::tests::{break_after, crossing};
    use super::*;

    /// Batches after which the device is lost; none unless a test sets it.
    #[derive(Default)]
    pub(super) struct Fuse(Option<AtomicUsize>);

    impl Fuse {
        pub(super) fn burn(&self) -> Result<(), String> {
            let Some(left) = &self.0 else { return Ok(()) };
            let go_on = left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            go_on.map(drop).map_err(|_| "the test has cut the wire".to_owned())
        }
    }

    fn files(name: &str) -> ModelFiles {
        ModelFiles::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)).unwrap()
    }

    /// Burn on its CPU backend, as if it were a GPU.
    fn pretended(precision: Precision) -> Device {
        let info = DeviceInfo { name: "flex".to_owned(), kind: DeviceKind::Software, api: "none", ..DeviceInfo::cpu() };
        Device::made_of(burn::tensor::Device::flex(), info, precision)
    }

    /// Sequences of all sorts of lengths, as ids that mean nothing.
    fn sequences() -> Vec<Sequence> {
        let ids = |length: usize| (0..length).map(|at| 1000 + (at as u32 * 7919 + length as u32 * 31) % 20_000).collect();
        [1, 2, 7, 48, 50, 97, 130].map(|length| Sequence { ids: ids(length), second: length / 3, truncated: false }).into()
    }

    fn differences(a: &Output, b: &Output) -> f32 {
        let both = a.sequences().zip(b.sequences());
        both.flat_map(|(a, b)| {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).map(|(a, b)| (a - b).abs())
        })
        .fold(0.0, f32::max)
    }

    /// Burn on its CPU backend is the plain twin.
    #[test]
    fn the_cpu_gives_burns_numbers() {
        let files = files("bge-small-en-v1.5");
        let exact = Device::cpu().with_precision(Precision::F32).unwrap();
        let ours = Network::read(&files.weights, &files.config, &exact).unwrap();
        let burn = Network::read(&files.weights, &files.config, &pretended(Precision::F32)).unwrap();
        let sequences = sequences();
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        for members in batch::pack(&lengths, 150, Padding::None) {
            let batch: Vec<&Sequence> = members.iter().map(|&at| &sequences[at]).collect();
            for wanted in [Positions::First, Positions::All] {
                let [ours, burn] = [&ours, &burn].map(|network| network.forward(&batch, 0, wanted).unwrap());
                let difference = differences(&ours, &burn);
                assert!(difference < 1e-3, "{members:?}, {wanted:?}: {difference}");
            }
        }
    }

    #[test]
    fn what_nobody_wants_is_given_up_between_two_layers() {
        let files = files("ms-marco-minilm-l-12-v2");
        let sequences = sequences();
        let batch: Vec<&Sequence> = sequences.iter().collect();
        let scorer = Scorer::open(&files, &Device::cpu()).unwrap();
        let asked = AtomicUsize::new(0);
        let wanted_for = |layers: usize| {
            asked.store(0, Ordering::SeqCst);
            scorer.logits_until(&batch, 0, &|| asked.fetch_add(1, Ordering::SeqCst) >= layers).unwrap()
        };
        for layers in [0, 1, 11] {
            assert_eq!(wanted_for(layers), None);
            assert_eq!(asked.load(Ordering::SeqCst), layers + 1, "and no more layers");
        }
        assert_eq!(wanted_for(12).unwrap(), scorer.logits(&batch, 0).unwrap());
        assert_eq!(asked.load(Ordering::SeqCst), 12, "once a layer");
    }

    #[test]
    fn a_batch_whose_device_is_lost_gets_the_cpus_logits_and_so_do_later_ones() {
        let files = files("ms-marco-minilm-l-12-v2");
        let sequences = sequences();
        let batch: Vec<&Sequence> = sequences.iter().collect();
        let cpu = Scorer::open(&files, &Device::cpu()).unwrap().logits(&batch, 0).unwrap();
        let mut scorer = Scorer::open(&files, &pretended(Precision::F32)).unwrap();
        let Scorer::Burn(either) = &mut scorer else { panic!("not on a GPU") };
        either.gpu_mut().unwrap().fuse = Fuse(Some(AtomicUsize::new(1)));
        let before = scorer.logits(&batch, 0).unwrap();
        assert_ne!(before, cpu, "f32 and 8 bits differ");
        assert_eq!(scorer.lost(), None);
        assert_eq!(scorer.logits(&batch, 0).unwrap(), cpu);
        assert_eq!(scorer.logits(&batch, 0).unwrap(), cpu);
        assert!(scorer.lost().unwrap().contains("the test has cut the wire"));
    }

    #[test]
    fn a_device_that_fails_while_weights_go_up_is_replaced_by_the_cpu_which_says_why() {
        let judge = files("ms-marco-minilm-l-12-v2");
        let sequences = sequences();
        let batch: Vec<&Sequence> = sequences.iter().collect();
        let cpu = Scorer::open(&judge, &Device::cpu()).unwrap().logits(&batch, 0).unwrap();
        // At the first tensor, in the middle and at the last.
        let whole = crossing(|| Scorer::open(&judge, &pretended(Precision::F32)).unwrap()).1.up.tensors;
        for tensors in [0, 100, whole - 1] {
            break_after(tensors);
            let scorer = Scorer::open(&judge, &pretended(Precision::F32)).unwrap();
            let reason = scorer.lost().unwrap();
            assert!(reason.contains("flex") && reason.contains("the test has cut the wire"), "{reason}");
            assert_eq!(scorer.logits(&batch, 0).unwrap(), cpu, "after {tensors} tensors");
            assert_eq!(scorer.warm_up(512), Ok(()));
        }
        let encoder = files("bge-small-en-v1.5");
        break_after(3);
        let network = Network::open(&encoder, &pretended(Precision::F32)).unwrap();
        let cpu = Network::open(&encoder, &Device::cpu()).unwrap().forward(&batch, 0, Positions::First).unwrap();
        assert_eq!(differences(&network.forward(&batch, 0, Positions::First).unwrap(), &cpu), 0.0);
        assert!(network.lost().unwrap().contains("the test has cut the wire"));
    }

    #[test]
    fn a_device_that_is_too_small_is_an_error_and_not_the_cpus_turn() {
        let files = files("ms-marco-minilm-l-12-v2");
        let info = DeviceInfo { kind: DeviceKind::DiscreteGpu, largest_tensor: Some(1000), ..DeviceInfo::cpu() };
        let small = Device::made_of(burn::tensor::Device::flex(), info, Precision::F32);
        assert!(matches!(Scorer::open(&files, &small), Err(ModelError::DeviceTooSmall { .. })));
    }

    #[test]
    fn vectors_outlive_their_device() {
        let files = files("bge-small-en-v1.5");
        let sequences = sequences();
        let batch: Vec<&Sequence> = sequences.iter().collect();
        for wanted in [Positions::First, Positions::All] {
            let mut network = Network::open(&files, &pretended(Precision::F32)).unwrap();
            let Network::Burn(either) = &mut network else { panic!("not on a GPU") };
            either.gpu_mut().unwrap().fuse = Fuse(Some(AtomicUsize::new(0)));
            let cpu = Network::open(&files, &Device::cpu()).unwrap().forward(&batch, 0, wanted).unwrap();
            assert_eq!(differences(&network.forward(&batch, 0, wanted).unwrap(), &cpu), 0.0);
            assert!(network.lost().is_some());
        }
    }

    #[test]
    fn without_its_files_a_lost_device_is_an_error() {
        let files = files("ms-marco-minilm-l-12-v2");
        let sequences = sequences();
        let mut scorer = Scorer::read(&files.weights, &files.config, &pretended(Precision::F32)).unwrap();
        let Scorer::Burn(either) = &mut scorer else { panic!("not on a GPU") };
        either.gpu_mut().unwrap().fuse = Fuse(Some(AtomicUsize::new(0)));
        assert!(scorer.logits(&[&sequences[0]], 0).is_err());
    }
}
