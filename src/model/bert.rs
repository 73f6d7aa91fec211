//! The BERT network (Devlin et al. 2019) in Burn, for inference on a GPU. On the CPU it is the plain twin of [`super::cpu`].
//!
//! Post-norm transformer layers: multi-head self-attention (Vaswani et al. 2017, eq. 1) and a feed-forward part, each followed
//! by a residual sum and a layer normalisation. Padding is masked in attention, so what else is in a batch does not change a
//! sequence's numbers beyond rounding.

use burn::tensor::activation::{gelu, gelu_approximate, relu, tanh};
use burn::tensor::module::{attention, embedding, layer_norm, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Int, Tensor, TensorData};

use super::Device;
use super::batch::Sequence;
use super::config::{Activation, Config};
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
    /// [in, out]
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl Dense {
    /// From a weight in Hugging Face's order, [out, in].
    fn new(weight: Vec<f32>, bias: Vec<f32>, [outputs, inputs]: [usize; 2], device: &Device) -> Self {
        let weight: Tensor<2> = Tensor::from_data(TensorData::new(weight, [outputs, inputs]), device.burn());
        Self { weight: weight.transpose(), bias: Tensor::from_data(TensorData::new(bias, [outputs]), device.burn()) }
    }

    /// `NAME.weight` and `NAME.bias` of the network.
    fn read(weights: &Weights, name: &str, [outputs, inputs]: [usize; 2], device: &Device) -> Result<Self, ModelError> {
        let weight = weights.network(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = weights.network(&format!("{name}.bias"), &[outputs])?;
        Ok(Self::new(weight, bias, [outputs, inputs], device))
    }

    /// [.., in] to [.., out].
    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        linear(x, self.weight.clone(), Some(self.bias.clone()))
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
        let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [config.hidden]), device.burn());
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
    fn forward(&self, x: Tensor<3>, mask: Option<&Tensor<2, Bool>>, wanted: Positions, config: &Config) -> Tensor<3> {
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
        let mask = mask.map(|mask| mask.clone().reshape([batch, 1, 1, length]).expand([batch, config.heads, rows, length]));
        let context = attention(
            heads(self.query.forward(asking.clone())),
            heads(self.key.forward(x.clone())),
            heads(self.value.forward(x)),
            mask,
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
    positions: Tensor<2>,
    types: Tensor<2>,
    norm: Norm,
    layers: Vec<Layer>,
    config: Config,
    device: Device,
}

impl Bert {
    /// Reads the weights onto the device.
    pub(super) fn read(weights: &Weights, config: &Config, device: &Device) -> Result<Self, ModelError> {
        let table = |name: &str, rows: usize| -> Result<Tensor<2>, ModelError> {
            let values = weights.network(&format!("embeddings.{name}.weight"), &[rows, config.hidden])?;
            Ok(Tensor::from_data(TensorData::new(values, [rows, config.hidden]), device.burn()))
        };
        Ok(Self {
            words: table("word_embeddings", config.vocabulary)?,
            positions: table("position_embeddings", config.positions)?,
            types: table("token_type_embeddings", config.types)?,
            norm: Norm::read(weights, "embeddings.LayerNorm", config, device)?,
            layers: (0..config.layers).map(|index| Layer::read(weights, index, config, device)).collect::<Result<_, _>>()?,
            config: config.clone(),
            device: device.clone(),
        })
    }

    /// The last layer's output for a batch, [batch, wanted positions, hidden]; sequences shorter than the longest are
    /// padded with `pad`.
    pub(super) fn forward(&self, batch: &[&Sequence], pad: u32, wanted: Positions) -> Tensor<3> {
        let length = batch.iter().map(|sequence| sequence.ids.len()).max().unwrap_or(0);
        let shape = [batch.len(), length];
        let each = || batch.iter().flat_map(|sequence| (0..length).map(move |at| (*sequence, at)));
        let whole = |values: Vec<i32>| Tensor::<2, Int>::from_data(TensorData::new(values, shape), self.device.burn());
        let ids = whole(each().map(|(s, at)| s.ids.get(at).copied().unwrap_or(pad) as i32).collect());
        let types = whole(each().map(|(s, at)| i32::from(at >= s.second && at < s.ids.len())).collect());
        let mask = batch.iter().any(|sequence| sequence.ids.len() < length).then(|| {
            let padding: Vec<bool> = each().map(|(s, at)| at >= s.ids.len()).collect();
            Tensor::<2, Bool>::from_data(TensorData::new(padding, shape), self.device.burn())
        });
        let positions = self.positions.clone().narrow(0, 0, length).unsqueeze::<3>();
        let embedded = embedding(self.words.clone(), ids) + embedding(self.types.clone(), types) + positions;
        let mut x = self.norm.forward(embedded);
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let wanted = if index == last { wanted } else { Positions::All };
            x = layer.forward(x, mask.as_ref(), wanted, &self.config);
        }
        x
    }
}

/// What turns the first position into one logit: a pooler (dense, tanh) and a linear classifier.
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
            pooler: Dense::read(weights, "pooler.dense", [hidden, hidden], device)?,
            classifier: Dense::new(weight, bias, [1, hidden], device),
        })
    }

    /// [batch, 1, hidden] to [batch, 1]: the logits, before any sigmoid.
    pub(super) fn forward(&self, first: Tensor<3>) -> Tensor<2> {
        let [batch, _, hidden] = first.dims();
        self.classifier.forward(tanh(self.pooler.forward(first.reshape([batch, hidden]))))
    }
}
