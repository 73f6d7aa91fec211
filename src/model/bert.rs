//! The BERT network (Devlin et al. 2019) in Burn, for inference on a GPU. On the CPU it is the plain twin of [`super::cpu`].
//!
//! One tensor of integers goes up a batch, and one of numbers comes down; all else is made on the device. In 16 bits the dense
//! layers alone are: attention, normalisation and the sums between layers stay in f32.
//!
//! Post-norm transformer layers: multi-head self-attention (Vaswani et al. 2017, eq. 1) and a feed-forward part, each followed
//! by a residual sum and a layer normalisation. Padding is masked in attention, so what else is in a batch does not change a
//! sequence's numbers beyond rounding.

use burn::tensor::activation::{gelu, gelu_approximate, relu, tanh};
use burn::tensor::module::{attention, embedding, layer_norm, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Int, Tensor};

use super::Device;
use super::batch::Sequence;
use super::config::{Activation, Config};
use super::precision::Precision;
use super::shapes::Shape;
use super::transfer::up;
use super::weights::Weights;
use crate::error::ModelError;

/// Which positions of the last layer are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// The first alone, `[CLS]`: the last layer then computes one query and one feed-forward row a sequence.
    First,
    /// All of them.
    All,
}

/// y = x W + b.
struct Dense {
    /// [in, out], in the type that is multiplied in.
    weight: Tensor<2>,
    bias: Tensor<1>,
    half: bool,
}

impl Dense {
    /// From a weight in Hugging Face's order, [out, in].
    fn new(weight: Vec<f32>, bias: Vec<f32>, [outputs, inputs]: [usize; 2], precision: Precision, device: &Device) -> Self {
        let half = precision == Precision::F16;
        let dtype = if half { DType::F16 } else { DType::F32 };
        let weight: Tensor<2> = up(weight, [outputs, inputs], (device.burn(), dtype));
        Self { weight: weight.transpose(), bias: up(bias, [outputs], device.burn()), half }
    }

    /// `NAME.weight` and `NAME.bias` of the network, in the device's precision.
    fn read(weights: &Weights, name: &str, [outputs, inputs]: [usize; 2], device: &Device) -> Result<Self, ModelError> {
        let weight = weights.network(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = weights.network(&format!("{name}.bias"), &[outputs])?;
        Ok(Self::new(weight, bias, [outputs, inputs], device.precision(), device))
    }

    /// [.., in] to [.., out], f32 both.
    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.half {
            false => linear(x, self.weight.clone(), Some(self.bias.clone())),
            true => linear(x.cast(DType::F16), self.weight.clone(), None).cast(DType::F32) + self.bias.clone().unsqueeze(),
        }
    }
}

struct Norm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
}

impl Norm {
    fn read(weights: &Weights, name: &str, config: &Config, device: &Device) -> Result<Self, ModelError> {
        let (weight, bias) = weights.norm(name, config.hidden)?;
        let tensor = |values: Vec<f32>| up(values, [config.hidden], device.burn());
        Ok(Self { weight: tensor(weight), bias: tensor(bias), epsilon: config.epsilon })
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        layer_norm(x, self.weight.clone(), Some(self.bias.clone()), self.epsilon)
    }
}

struct Layer {
    query: Dense,
    key: Dense,
    value: Dense,
    output: Dense,
    output_norm: Norm,
    widen: Dense,
    narrow: Dense,
    narrow_norm: Norm,
}

impl Layer {
    fn read(weights: &Weights, index: usize, config: &Config, device: &Device) -> Result<Self, ModelError> {
        let (hidden, wide) = (config.hidden, config.intermediate);
        let dense = |part: &str, shape| Dense::read(weights, &format!("encoder.layer.{index}.{part}"), shape, device);
        let norm = |part: &str| Norm::read(weights, &format!("encoder.layer.{index}.{part}"), config, device);
        Ok(Self {
            query: dense("attention.self.query", [hidden, hidden])?,
            key: dense("attention.self.key", [hidden, hidden])?,
            value: dense("attention.self.value", [hidden, hidden])?,
            output: dense("attention.output.dense", [hidden, hidden])?,
            output_norm: norm("attention.output.LayerNorm")?,
            widen: dense("intermediate.dense", [wide, hidden])?,
            narrow: dense("output.dense", [hidden, wide])?,
            narrow_norm: norm("output.LayerNorm")?,
        })
    }

    /// `x`: [batch, length, hidden]; `mask`: [batch, length], true where a token is padding. Gives [batch, wanted, hidden].
    fn forward(&self, x: Tensor<3>, mask: &Tensor<2, Bool>, wanted: Positions, config: &Config) -> Tensor<3> {
        let [batch, length, hidden] = x.dims();
        let heads = |t: Tensor<3>| {
            let [_, rows, _] = t.dims();
            t.reshape([batch, rows, config.heads, hidden / config.heads]).swap_dims(1, 2)
        };
        let asking = match wanted {
            Positions::First => x.clone().narrow(1, 0, 1),
            Positions::All => x.clone(),
        };
        let rows = asking.dims()[1];
        let mask = mask.clone().reshape([batch, 1, 1, length]).expand([batch, config.heads, rows, length]);
        let context = attention(
            heads(self.query.forward(asking.clone())),
            heads(self.key.forward(x.clone())),
            heads(self.value.forward(x)),
            Some(mask),
            None,
            AttentionModuleOptions::default(),
        );
        let context = context.swap_dims(1, 2).reshape([batch, rows, hidden]);
        let x = self.output_norm.forward(asking + self.output.forward(context));
        let wide = self.widen.forward(x.clone());
        let wide = match config.activation {
            Activation::Gelu => gelu(wide),
            Activation::GeluTanh => gelu_approximate(wide),
            Activation::Relu => relu(wide),
        };
        self.narrow_norm.forward(x + self.narrow.forward(wide))
    }
}

/// The network without a head.
pub(super) struct Bert {
    words: Tensor<2>,
    /// [1, positions, hidden]: what a position stands for, and the first type.
    positions: Tensor<3>,
    /// [1, 1, hidden]: what the second type has more than the first.
    second: Tensor<3>,
    /// [1, positions]: 0, 1, 2 and so on.
    places: Tensor<2, Int>,
    norm: Norm,
    layers: Vec<Layer>,
    config: Config,
    device: Device,
}

impl Bert {
    /// Reads the weights onto the device.
    pub(super) fn read(weights: &Weights, config: &Config, device: &Device) -> Result<Self, ModelError> {
        let table = |name: &str, rows: usize| weights.network(&format!("embeddings.{name}.weight"), &[rows, config.hidden]);
        let tensor = |values: Vec<f32>, rows: usize| -> Tensor<2> { up(values, [rows, config.hidden], device.burn()) };
        let types = table("token_type_embeddings", config.types)?;
        let (first, rest) = types.split_at(config.hidden);
        // A model with one type has no second one to add.
        let second = first.iter().zip(rest).map(|(first, second)| second - first);
        let second: Vec<f32> = second.chain(std::iter::repeat(0.0)).take(config.hidden).collect();
        let positions = table("position_embeddings", config.positions)?;
        let positions = positions.iter().zip(first.iter().cycle()).map(|(position, first)| position + first).collect();
        let places: Vec<i32> = (0..config.positions as i32).collect();
        Ok(Self {
            words: tensor(table("word_embeddings", config.vocabulary)?, config.vocabulary),
            positions: tensor(positions, config.positions).unsqueeze(),
            second: tensor(second, 1).unsqueeze(),
            places: up(places, [1, config.positions], device.burn()),
            norm: Norm::read(weights, "embeddings.LayerNorm", config, device)?,
            layers: (0..config.layers).map(|index| Layer::read(weights, index, config, device)).collect::<Result<_, _>>()?,
            config: config.clone(),
            device: device.clone(),
        })
    }

    /// The last layer's output for a batch, [shape's count, wanted positions, hidden]; sequences are filled up with `pad`, and
    /// rows that no sequence has mean nothing.
    pub(super) fn forward(&self, batch: &[&Sequence], shape: Shape, pad: u32, wanted: Positions) -> Tensor<3> {
        let Shape { count, length } = shape;
        // How many tokens a sequence has, where its second part begins, and its ids.
        let mut rows: Vec<i32> = Vec::with_capacity(count * (2 + length));
        let nothing = [pad];
        for index in 0..count {
            let (ids, second) = batch.get(index).map_or((&nothing[..], 1), |sequence| (&sequence.ids[..], sequence.second));
            rows.extend([ids.len() as i32, second as i32]);
            rows.extend(ids.iter().chain(std::iter::repeat(&pad)).take(length).map(|&id| id as i32));
        }
        let rows: Tensor<2, Int> = up(rows, [count, 2 + length], self.device.burn());
        let places = || self.places.clone().narrow(1, 0, length).expand([count, length]);
        let from = |column: usize| rows.clone().narrow(1, column, 1).expand([count, length]);
        let padding = places().greater_equal(from(0));
        let second = places().greater_equal(from(1)).float().unsqueeze_dim::<3>(2);
        let positions = self.positions.clone().narrow(1, 0, length);
        let embedded = embedding(self.words.clone(), rows.narrow(1, 2, length)) + positions + second * self.second.clone();
        let mut x = self.norm.forward(embedded);
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let wanted = if index == last { wanted } else { Positions::All };
            x = layer.forward(x, &padding, wanted, &self.config);
        }
        x
    }
}

/// What turns the first position into one logit: a pooler (dense, tanh) and a linear classifier; f32 in each precision.
pub(super) struct Classifier {
    pooler: Dense,
    classifier: Dense,
}

impl Classifier {
    pub(super) fn read(weights: &Weights, config: &Config, device: &Device) -> Result<Self, ModelError> {
        let hidden = config.hidden;
        let weight = weights.head("classifier.weight", &[1, hidden])?;
        let bias = weights.head("classifier.bias", &[1])?;
        Ok(Self {
            pooler: Dense::new(
                weights.network("pooler.dense.weight", &[hidden, hidden])?,
                weights.network("pooler.dense.bias", &[hidden])?,
                [hidden, hidden],
                Precision::F32,
                device,
            ),
            classifier: Dense::new(weight, bias, [1, hidden], Precision::F32, device),
        })
    }

    /// [batch, 1, hidden] to [batch, 1]: the logits, before any sigmoid.
    pub(super) fn forward(&self, first: Tensor<3>) -> Tensor<2> {
        let [batch, _, hidden] = first.dims();
        self.classifier.forward(tanh(self.pooler.forward(first.reshape([batch, hidden]))))
    }
}
