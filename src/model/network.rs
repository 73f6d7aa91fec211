//! The network on whatever device it runs: Burn's tensors on a GPU, our own kernels on the CPU.

use std::ops::Range;

use super::batch::Sequence;
use super::bert::{Bert, Classifier, Positions};
use super::config::Config;
use super::cpu::{CpuBert, CpuClassifier};
use super::weights::Weights;
use super::{Device, DeviceKind};
use crate::error::ModelError;

/// The network without a head.
#[allow(clippy::large_enum_variant)] // One a model.
pub(super) enum Network {
    Burn(Bert),
    Cpu(CpuBert),
}

/// The last layer's output.
pub(super) struct Output {
    /// Rows of as many numbers as a hidden vector has.
    values: Vec<f32>,
    /// Where the numbers of each sequence are.
    spans: Vec<Range<usize>>,
}

impl Output {
    /// The wanted rows of each sequence, without padding.
    pub(super) fn sequences(&self) -> impl Iterator<Item = &[f32]> {
        self.spans.iter().map(|span| &self.values[span.clone()])
    }
}

impl Network {
    pub(super) fn read(weights: &Weights, config: &Config, device: &Device) -> Result<Self, ModelError> {
        Ok(match device.info().kind {
            DeviceKind::Cpu => Self::Cpu(CpuBert::read(weights, config, device.precision())?),
            _ => Self::Burn(Bert::read(weights, config, device)?),
        })
    }

    /// # Errors
    /// What the device reported.
    pub(super) fn forward(&self, batch: &[&Sequence], pad: u32, wanted: Positions) -> Result<Output, String> {
        let (values, rows_of_each) = match self {
            Self::Burn(network) => {
                let output = network.forward(batch, pad, wanted);
                let rows = output.dims()[1];
                (output.try_to_vec_as::<f32>().map_err(|e| format!("{e:?}"))?, Some(rows))
            }
            Self::Cpu(network) => (network.forward(batch, wanted), None),
        };
        let used = |sequence: &&Sequence| if wanted == Positions::First { 1 } else { sequence.ids.len() };
        let stride = |sequence: &&Sequence| rows_of_each.unwrap_or_else(|| used(sequence));
        let hidden = values.len() / batch.iter().map(stride).sum::<usize>().max(1);
        let mut start = 0;
        let span = |sequence: &&Sequence| {
            let span = start * hidden..(start + used(sequence)) * hidden;
            start += stride(sequence);
            span
        };
        Ok(Output { spans: batch.iter().map(span).collect(), values })
    }
}

/// A network with a classification head of one output.
#[allow(clippy::large_enum_variant)] // One a model.
pub(super) enum Scorer {
    Burn(Bert, Classifier),
    Cpu(CpuBert, CpuClassifier),
}

impl Scorer {
    pub(super) fn read(weights: &Weights, config: &Config, device: &Device) -> Result<Self, ModelError> {
        Ok(match Network::read(weights, config, device)? {
            Network::Burn(network) => Self::Burn(network, Classifier::read(weights, config, device)?),
            Network::Cpu(network) => Self::Cpu(network, CpuClassifier::read(weights, config)?),
        })
    }

    /// One logit for each sequence.
    ///
    /// # Errors
    /// What the device reported.
    pub(super) fn logits(&self, batch: &[&Sequence], pad: u32) -> Result<Vec<f32>, String> {
        match self {
            Self::Burn(network, head) => {
                let logits = head.forward(network.forward(batch, pad, Positions::First));
                logits.try_to_vec_as::<f32>().map_err(|e| format!("{e:?}"))
            }
            Self::Cpu(network, head) => Ok(head.forward(&network.forward(batch, Positions::First))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::batch::Padding;
    use super::super::files::ModelFiles;
    use super::super::{Precision, batch};
    use super::*;

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
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/bge-small-en-v1.5");
        let files = ModelFiles::open(&directory).unwrap();
        let exact = Device::cpu().with_precision(Precision::F32).unwrap();
        let ours = Network::read(&files.weights, &files.config, &exact).unwrap();
        let burn = Network::Burn(Bert::read(&files.weights, &files.config, &exact).unwrap());
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
}
