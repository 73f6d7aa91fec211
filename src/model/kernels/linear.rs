//! A dense layer, y = x W + b, exact or in 8 bits.

use super::exact::Linear32;
use super::int8::{Linear8, Quantized};
use super::rows::{Extremes, activate};
use crate::model::config::Activation;

/// A dense layer's weight in Hugging Face's order, [outputs, inputs].
pub(in crate::model) enum LinearWeight {
    /// To be multiplied in f32.
    Exact(Vec<f32>),
    /// To be multiplied in 8 bits, unless there are too many inputs for it: a weight is its number times its output's scale.
    Eight { values: Vec<i8>, scale: Vec<f32> },
}

/// What a layer and its activation gave, on its way to the next layer; the buffers are kept from use to use.
#[derive(Default)]
pub(in crate::model) struct Activated {
    /// [rows, outputs].
    numbers: Vec<f32>,
    /// Of each row, which the next layer's quantising wants to know; none where the layer was multiplied in f32.
    extremes: Vec<Extremes>,
}

/// A dense layer.
pub(in crate::model) enum Linear {
    /// By products in f32.
    Exact(Linear32),
    /// By integer products.
    Eight(Box<Linear8>),
}

impl Linear {
    /// `weight` is [`bias.len()`, inputs].
    pub(in crate::model) fn new(weight: LinearWeight, bias: Vec<f32>, inputs: usize) -> Self {
        match weight {
            LinearWeight::Exact(values) => Self::Exact(Linear32::new(&values, bias, inputs)),
            LinearWeight::Eight { values, scale } if inputs <= Linear8::MOST_INPUTS => {
                Self::Eight(Box::new(Linear8::new(&values, scale, bias, inputs)))
            }
            LinearWeight::Eight { values, scale } => {
                let row = |(row, scale): (&[i8], &f32)| row.iter().map(|&v| f32::from(v) * scale).collect::<Vec<f32>>();
                let exact: Vec<f32> = values.chunks_exact(inputs).zip(&scale).flat_map(row).collect();
                Self::Exact(Linear32::new(&exact, bias, inputs))
            }
        }
    }

    /// [rows, inputs] to [rows, outputs], into `out`.
    pub(in crate::model) fn forward(&self, x: &[f32], buffer: &mut Quantized, out: &mut Vec<f32>) {
        Self::forward_all([(self, out)], x, buffer);
    }

    /// [rows, inputs] to the activation of [rows, outputs], into `out`.
    pub(in crate::model) fn forward_and_activate(
        &self,
        x: &[f32],
        activation: Activation,
        buffer: &mut Quantized,
        out: &mut Activated,
    ) {
        let Activated { numbers, extremes } = out;
        match self {
            Self::Exact(_) => {
                self.forward(x, buffer, numbers);
                activate(numbers, activation);
                extremes.clear();
            }
            Self::Eight(layer) => {
                layer.quantize(x, &[], layer.levels(), buffer);
                numbers.resize(buffer.rows() * layer.outputs(), 0.0);
                layer.forward_and_activate(buffer, activation, numbers, extremes);
            }
        }
    }

    /// What another layer and its activation gave to [rows, outputs], into `out`.
    pub(in crate::model) fn forward_activated(&self, x: &Activated, buffer: &mut Quantized, out: &mut Vec<f32>) {
        match self {
            Self::Exact(_) => self.forward(&x.numbers, buffer, out),
            Self::Eight(layer) => {
                layer.quantize(&x.numbers, &x.extremes, layer.levels(), buffer);
                out.resize(buffer.rows() * layer.outputs(), 0.0);
                layer.forward(buffer, out);
            }
        }
    }

    /// The same input through several layers, quantised once.
    pub(in crate::model) fn forward_all<const N: usize>(layers: [(&Self, &mut Vec<f32>); N], x: &[f32], buffer: &mut Quantized) {
        let levels =
            layers.iter().filter_map(|(layer, _)| if let Self::Eight(layer) = layer { Some(layer.levels()) } else { None });
        let levels = levels.min().unwrap_or(u8::MAX);
        let mut quantized = false;
        for (layer, out) in layers {
            match layer {
                Self::Exact(layer) => {
                    out.resize(x.len() / layer.inputs() * layer.outputs(), 0.0);
                    layer.forward(x, out);
                }
                Self::Eight(layer) => {
                    if !quantized {
                        layer.quantize(x, &[], levels, buffer);
                        quantized = true;
                    }
                    out.resize(buffer.rows() * layer.outputs(), 0.0);
                    layer.forward(buffer, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
    use rten_tensor::{Matrix, NdTensorView};

    use super::*;

    /// Work a second, in 10^9 multiplications and additions, of the best of some rounds.
    fn speed(operations: usize, mut work: impl FnMut()) -> f64 {
        let mut best = Duration::MAX;
        for _ in 0..15 {
            let begun = Instant::now();
            work();
            best = best.min(begun.elapsed());
        }
        operations as f64 / best.as_secs_f64() / 1e9
    }

    #[test]
    fn a_layer_too_deep_for_8_bits_is_multiplied_in_f32() {
        let inputs = Linear8::MOST_INPUTS + 1;
        let layer = Linear::new(LinearWeight::Eight { values: vec![-128; inputs], scale: vec![0.5] }, vec![1.0], inputs);
        assert!(matches!(layer, Linear::Exact(_)));
        let mut out = Vec::new();
        layer.forward(&vec![1.0; inputs], &mut Quantized::default(), &mut out);
        assert!((out[0] / (1.0 - 64.0 * inputs as f32) - 1.0).abs() < 1e-5, "{out:?}");
    }

    /// Two layers with an activation between them, in one and in three passes, in either precision.
    #[test]
    fn what_is_activated_on_its_way_is_what_is_activated_in_between() {
        let (rows, [inputs, wide]) = (13, [24, 100]);
        let weight = |outputs: usize, inputs: usize| (0..outputs * inputs).map(|i| (i * 7919) as i8).collect::<Vec<_>>();
        let x: Vec<f32> = (0..rows * inputs).map(|i| (i * 31 % 97) as f32 / 50.0 - 1.0).collect();
        let exact = |values: Vec<i8>| LinearWeight::Exact(values.iter().map(|&v| f32::from(v) * 0.01).collect());
        let eight = |values: Vec<i8>, outputs: usize| LinearWeight::Eight { values, scale: vec![0.01; outputs] };
        for (widen, narrow) in [
            (exact(weight(wide, inputs)), exact(weight(7, wide))),
            (eight(weight(wide, inputs), wide), eight(weight(7, wide), 7)),
            (exact(weight(wide, inputs)), eight(weight(7, wide), 7)),
            (eight(weight(wide, inputs), wide), exact(weight(7, wide))),
        ] {
            let (widen, narrow) = (Linear::new(widen, vec![0.1; wide], inputs), Linear::new(narrow, vec![0.2; 7], wide));
            for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
                let (mut buffer, mut on_its_way, mut out) = (Quantized::default(), Activated::default(), Vec::new());
                // Twice, as the buffers are used again.
                for _ in 0..2 {
                    widen.forward_and_activate(&x, activation, &mut buffer, &mut on_its_way);
                    narrow.forward_activated(&on_its_way, &mut buffer, &mut out);
                }
                let (mut between, mut expected) = (Vec::new(), Vec::new());
                widen.forward(&x, &mut buffer, &mut between);
                activate(&mut between, activation);
                narrow.forward(&between, &mut buffer, &mut expected);
                assert_eq!((&on_its_way.numbers, &out), (&between, &expected), "{activation:?}");
            }
        }
    }

    /// Not a test: why products are our own. `RAYON_NUM_THREADS=1 cargo test --lib products -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement, which no machine can fail"]
    #[allow(clippy::print_stdout)]
    fn products_beside_those_of_a_library() {
        const ROWS: usize = 220;
        println!("{ROWS} rows, Gop/s on one thread; in 8 bits fossick's include quantising and scaling, the library's do not");
        println!("{:>10} {:>12} {:>10} {:>14} {:>12}", "layer", "fossick f32", "rten f32", "fossick int8", "rten int8");
        for (inputs, outputs) in [(384, 1152), (384, 384), (384, 1536), (1536, 384)] {
            let eight: Vec<i8> = (0..inputs * outputs).map(|i| (i * 7919) as i8).collect();
            let exact: Vec<f32> = eight.iter().map(|&v| f32::from(v) * 0.01).collect();
            let x: Vec<f32> = (0..ROWS * inputs).map(|i| (i * 31 % 997) as f32 / 500.0 - 1.0).collect();
            let (bias, scale) = (vec![0.1; outputs], vec![0.01; outputs]);
            let layers = [
                Linear::new(LinearWeight::Exact(exact.clone()), bias.clone(), inputs),
                Linear::new(LinearWeight::Eight { values: eight.clone(), scale }, bias, inputs),
            ];
            let operations = 2 * ROWS * inputs * outputs;
            let (mut buffer, mut out) = (Quantized::default(), Vec::new());
            let ours = layers.map(|layer| speed(operations, || layer.forward(&x, &mut buffer, &mut out)));

            let by_output: Matrix<'_> = NdTensorView::from_data([outputs, inputs], exact.as_slice());
            let gemm = GemmExecutor::<f32>::new();
            let packed = gemm.prepack_b(by_output.transposed());
            let a: Matrix<'_> = NdTensorView::from_data([ROWS, inputs], x.as_slice());
            let mut product = vec![0.0; ROWS * outputs];
            let exact = speed(operations, || {
                gemm.gemm(&mut product, GemmInputA::Unpacked(a), GemmInputB::Packed(&packed), GemmOptions::default()).unwrap();
            });
            let by_output: Matrix<'_, i8> = NdTensorView::from_data([outputs, inputs], eight.as_slice());
            let gemm = GemmExecutor::<u8, i8, i32>::new();
            let packed = gemm.prepack_b(by_output.transposed());
            let bytes: Vec<u8> = (0..ROWS * inputs).map(|i| (i % 251) as u8).collect();
            let a: Matrix<'_, u8> = NdTensorView::from_data([ROWS, inputs], bytes.as_slice());
            let mut product = vec![0; ROWS * outputs];
            let int8 = speed(operations, || {
                gemm.gemm(&mut product, GemmInputA::Unpacked(a), GemmInputB::Packed(&packed), GemmOptions::default()).unwrap();
            });
            println!("{:>10} {:>12.0} {exact:>10.0} {:>14.0} {int8:>12.0}", format!("{inputs}x{outputs}"), ours[0], ours[1]);
        }
    }
}
