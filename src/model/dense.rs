//! y = x W + b, by Burn on a GPU and by rten-gemm on the CPU.
//!
//! Dense layers are nine tenths of the arithmetic, and rten-gemm, with the weights packed once, multiplies these shapes faster than the
//! library that Burn's flex backend uses. It runs in Burn's own tensors: flex gives their storage as slices.

use burn::backend::Flex;
use burn::tensor::module::linear;
use burn::tensor::{Tensor, TensorData};
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::prelude::*;
use rten_tensor::{Matrix, NdTensorView};

use super::weights::Weights;
use super::{Device, DeviceKind};
use crate::error::ModelError;

/// A dense layer of `inputs` to `outputs` features.
#[allow(clippy::large_enum_variant)] // A few dozen layers, each kept for as long as the model.
pub(super) enum Dense {
    /// On any device; the weight is [in, out].
    Burn { weight: Tensor<2>, bias: Tensor<1> },
    /// On the CPU.
    Packed { weight: PackedBMatrix<f32>, bias: Vec<f32>, inputs: usize, outputs: usize },
}

impl Dense {
    /// From a weight in Hugging Face's order, [out, in].
    pub(super) fn new(weight: Vec<f32>, bias: Vec<f32>, [outputs, inputs]: [usize; 2], device: &Device) -> Self {
        let by_input: Matrix<'_> = NdTensorView::from_data([outputs, inputs], weight.as_slice());
        let by_input = by_input.transposed();
        if device.info().kind == DeviceKind::Cpu {
            return Self::Packed { weight: GemmExecutor::<f32>::new().prepack_b(by_input), bias, inputs, outputs };
        }
        Self::Burn {
            weight: Tensor::from_data(TensorData::new(by_input.to_vec(), [inputs, outputs]), device.burn()),
            bias: Tensor::from_data(TensorData::new(bias, [outputs]), device.burn()),
        }
    }

    /// `NAME.weight` and `NAME.bias` of the network.
    pub(super) fn read(
        weights: &Weights,
        name: &str,
        [outputs, inputs]: [usize; 2],
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weight = weights.network(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = weights.network(&format!("{name}.bias"), &[outputs])?;
        Ok(Self::new(weight, bias, [outputs, inputs], device))
    }

    /// [.., in] to [.., out].
    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (weight, bias, inputs, outputs) = match self {
            Self::Burn { weight, bias } => return linear(x, weight.clone(), Some(bias.clone())),
            Self::Packed { weight, bias, inputs, outputs } => (weight, bias, *inputs, *outputs),
        };
        let mut shape = x.dims();
        let Ok(primitive) = x.try_into_primitive::<Flex>() else {
            unreachable!("packed weights are made for flex's tensors alone")
        };
        let primitive = primitive.to_contiguous();
        let rows = shape.iter().take(D - 1).product::<usize>();
        let values = &primitive.storage::<f32>()[primitive.layout().start_offset()..][..rows * inputs];
        let a: Matrix<'_> = NdTensorView::from_data([rows, inputs], values);
        let mut product = vec![0.0_f32; rows * outputs];
        let options = GemmOptions { bias: Some(BiasVector::Row(bias)), ..GemmOptions::default() };
        let done = GemmExecutor::<f32>::new().gemm(&mut product, GemmInputA::Unpacked(a), GemmInputB::Packed(weight), options);
        debug_assert!(done.is_ok(), "the shapes were checked when the weights were read");
        shape[D - 1] = outputs;
        Tensor::from_primitive::<Flex>(burn_flex::FlexTensor::from_data(TensorData::new(product, shape)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layers(weight: &[f32], bias: &[f32], [outputs, inputs]: [usize; 2]) -> (Dense, Dense) {
        let plain: Vec<f32> = (0..inputs).flat_map(|i| (0..outputs).map(move |o| weight[o * inputs + i])).collect();
        let flex = Device::cpu();
        let burn = Dense::Burn {
            weight: Tensor::from_data(TensorData::new(plain, [inputs, outputs]), flex.burn()),
            bias: Tensor::from_data(TensorData::new(bias.to_vec(), [outputs]), flex.burn()),
        };
        (Dense::new(weight.to_vec(), bias.to_vec(), [outputs, inputs], &flex), burn)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn packed_and_plain_layers_agree(batch in 1usize..4, rows in 1usize..40, inputs in 1usize..70, outputs in 1usize..70, seed in any::<u32>()) {
            let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 24) as f32 - 0.5;
            let numbers = |from: usize, count: usize| (from..from + count).map(number).collect::<Vec<f32>>();
            let (packed, plain) = layers(&numbers(0, inputs * outputs), &numbers(7, outputs), [outputs, inputs]);
            let flex = Device::cpu();
            let x: Tensor<3> = Tensor::from_data(TensorData::new(numbers(99, batch * rows * inputs), [batch, rows, inputs]), flex.burn());
            // A view that begins in the middle of its storage, as the last layer's input is.
            let view = x.clone().narrow(1, rows / 2, 1);
            for x in [x, view] {
                let (a, b) = (packed.forward(x.clone()), plain.forward(x));
                prop_assert_eq!(a.dims(), b.dims());
                let (a, b) = (a.try_to_vec_as::<f32>().unwrap(), b.try_to_vec_as::<f32>().unwrap());
                prop_assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4));
            }
        }
    }
}
