//! The BERT network on the CPU, without Burn: all tokens of a batch one after the other in one slice, none of them padding.
//!
//! Dense layers do not see where a sequence ends; attention takes one sequence at a time. One batch is the work of one thread,
//! which keeps its buffers; threads take batches side by side.

use std::ops::Range;

use super::batch::Sequence;
use super::bert::Positions;
use super::compute::Unwanted;
use super::config::Config;
use super::kernels::{Activated, Attention, Heads, Linear, LinearWeight, Quantized, add_and_normalize};
use super::precision::CpuPrecision;
use super::weights::Weights;
use crate::error::ModelError;

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    fn read(weights: &Weights, name: &str, config: &Config) -> Result<Self, ModelError> {
        let (weight, bias) = weights.norm(name, config.hidden)?;
        Ok(Self { weight, bias, epsilon: config.epsilon as f32 })
    }

    /// `x` becomes the normalised sum of `x` and `y`.
    fn add(&self, x: &mut [f32], y: Option<&[f32]>) {
        add_and_normalize(x, y, &self.weight, &self.bias, self.epsilon);
    }
}

/// `NAME.weight` and `NAME.bias` of several layers that have the same input, as one.
fn dense(
    weights: &Weights,
    names: &[String],
    [outputs, inputs]: [usize; 2],
    precision: CpuPrecision,
) -> Result<Linear, ModelError> {
    let mut bias = Vec::new();
    let mut weight = match precision {
        CpuPrecision::F32 => LinearWeight::Exact(Vec::new()),
        CpuPrecision::Int8 => LinearWeight::Eight { values: Vec::new(), scale: Vec::new() },
    };
    for name in names {
        let (tensor, shape) = (format!("{name}.weight"), [outputs, inputs]);
        match &mut weight {
            LinearWeight::Exact(values) => values.extend(weights.network(&tensor, &shape)?),
            LinearWeight::Eight { values, scale } => {
                let (more, scales) = weights.eight_bits(&tensor, shape)?;
                values.extend(more);
                scale.extend(scales);
            }
        }
        bias.extend(weights.network(&format!("{name}.bias"), &[outputs])?);
    }
    Ok(Linear::new(weight, bias, inputs))
}

struct Layer {
    query: Linear,
    key_value: Linear,
    output: Linear,
    output_norm: Norm,
    widen: Linear,
    narrow: Linear,
    narrow_norm: Norm,
}

impl Layer {
    fn read(weights: &Weights, index: usize, config: &Config, precision: CpuPrecision) -> Result<Self, ModelError> {
        let (hidden, wide) = (config.hidden, config.intermediate);
        let name = |part: &&str| format!("encoder.layer.{index}.{part}");
        let dense = |parts: &[&str], shape| dense(weights, &parts.iter().map(name).collect::<Vec<_>>(), shape, precision);
        let norm = |part: &str| Norm::read(weights, &name(&part), config);
        Ok(Self {
            query: dense(&["attention.self.query"], [hidden, hidden])?,
            key_value: dense(&["attention.self.key", "attention.self.value"], [hidden, hidden])?,
            output: dense(&["attention.output.dense"], [hidden, hidden])?,
            output_norm: norm("attention.output.LayerNorm")?,
            widen: dense(&["intermediate.dense"], [wide, hidden])?,
            narrow: dense(&["output.dense"], [hidden, wide])?,
            narrow_norm: norm("output.LayerNorm")?,
        })
    }
}

/// What a layer computes in, kept from layer to layer.
#[derive(Default)]
struct Buffers {
    quantized: Quantized,
    attention: Attention,
    first: Vec<f32>,
    query: Vec<f32>,
    key_value: Vec<f32>,
    context: Vec<f32>,
    wide: Activated,
    part: Vec<f32>,
}

/// Rows that go through the feed-forward part together, so that its intermediate numbers stay in the second cache.
const FEED_FORWARD_ROWS: usize = 96;

/// The network without a head.
pub(super) struct CpuBert {
    words: Vec<f32>,
    positions: Vec<f32>,
    types: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    config: Config,
}

impl CpuBert {
    pub(super) fn read(weights: &Weights, config: &Config, precision: CpuPrecision) -> Result<Self, ModelError> {
        let table = |name: &str, rows| weights.network(&format!("embeddings.{name}.weight"), &[rows, config.hidden]);
        Ok(Self {
            words: table("word_embeddings", config.vocabulary)?,
            positions: table("position_embeddings", config.positions)?,
            types: table("token_type_embeddings", config.types)?,
            norm: Norm::read(weights, "embeddings.LayerNorm", config)?,
            layers: (0..config.layers).map(|index| Layer::read(weights, index, config, precision)).collect::<Result<_, _>>()?,
            config: config.clone(),
        })
    }

    /// The last layer's output: [sequences, hidden] where the first positions are wanted, else the rows of one sequence after
    /// those of the other.
    pub(super) fn forward(&self, batch: &[&Sequence], wanted: Positions) -> Vec<f32> {
        self.forward_until(batch, wanted, &|| false).unwrap_or_default()
    }

    /// The same, unless it is said before one of the layers that nobody wants it any more.
    pub(super) fn forward_until(&self, batch: &[&Sequence], wanted: Positions, unwanted: Unwanted<'_>) -> Option<Vec<f32>> {
        let mut end = 0;
        let spans: Vec<Range<usize>> = batch
            .iter()
            .map(|sequence| {
                let start = end;
                end += sequence.ids.len();
                start..end
            })
            .collect();
        let mut x = self.embed(batch, end);
        let mut buffers = Buffers::default();
        let last = self.layers.len().saturating_sub(1);
        for (index, layer) in self.layers.iter().enumerate() {
            if unwanted() {
                return None;
            }
            let wanted = if index == last { wanted } else { Positions::All };
            self.layer(layer, &mut x, &spans, wanted, &mut buffers);
        }
        Some(x)
    }

    /// The sum of what word, position and type stand for, normalised.
    fn embed(&self, batch: &[&Sequence], tokens: usize) -> Vec<f32> {
        let hidden = self.config.hidden;
        let mut x = vec![0.0; tokens * hidden];
        let places = batch.iter().flat_map(|sequence| {
            sequence.ids.iter().enumerate().map(|(at, &id)| (id as usize, at, usize::from(at >= sequence.second)))
        });
        for (row, (word, position, kind)) in x.chunks_exact_mut(hidden).zip(places) {
            let [word, position, kind] = [(&self.words, word), (&self.positions, position), (&self.types, kind)]
                .map(|(table, at): (&Vec<f32>, usize)| &table[at * hidden..][..hidden]);
            for (((x, word), position), kind) in row.iter_mut().zip(word).zip(position).zip(kind) {
                *x = word + kind + position;
            }
        }
        self.norm.add(&mut x, None);
        x
    }

    fn layer(&self, layer: &Layer, x: &mut Vec<f32>, spans: &[Range<usize>], wanted: Positions, buffers: &mut Buffers) {
        let hidden = self.config.hidden;
        let heads = Heads { count: self.config.heads, size: hidden / self.config.heads };
        let Buffers { quantized, attention, first, query, key_value, context, wide, part } = buffers;
        match wanted {
            Positions::All => Linear::forward_all([(&layer.query, query), (&layer.key_value, key_value)], x, quantized),
            Positions::First => {
                layer.key_value.forward(x, quantized, key_value);
                first.clear();
                spans.iter().for_each(|span| first.extend(&x[span.start * hidden..][..hidden]));
                std::mem::swap(x, first);
                layer.query.forward(x, quantized, query);
            }
        }
        context.resize(query.len(), 0.0);
        let mut asked = 0;
        for span in spans {
            let queries = if wanted == Positions::First { 1 } else { span.len() } * hidden;
            let keys_values = &key_value[span.start * 2 * hidden..span.end * 2 * hidden];
            attention.run(heads, &query[asked..][..queries], keys_values, &mut context[asked..][..queries]);
            asked += queries;
        }
        layer.output.forward(context, quantized, part);
        layer.output_norm.add(x, Some(part));
        for x in x.chunks_mut(FEED_FORWARD_ROWS * hidden) {
            layer.widen.forward_and_activate(x, self.config.activation, quantized, wide);
            layer.narrow.forward_activated(wide, quantized, part);
            layer.narrow_norm.add(x, Some(part));
        }
    }
}

/// What turns the first position into one logit: a pooler (dense, tanh) and a linear classifier. Exact in either precision: it is
/// a thousandth of the work.
pub(super) struct CpuClassifier {
    pooler: Linear,
    weight: Vec<f32>,
    bias: f32,
}

impl CpuClassifier {
    pub(super) fn read(weights: &Weights, config: &Config) -> Result<Self, ModelError> {
        let hidden = config.hidden;
        let weight = weights.head("classifier.weight", &[1, hidden])?;
        let bias = weights.head("classifier.bias", &[1])?.into_iter().sum();
        Ok(Self { pooler: dense(weights, &["pooler.dense".to_owned()], [hidden, hidden], CpuPrecision::F32)?, weight, bias })
    }

    /// [batch, hidden] to the logits, before any sigmoid.
    pub(super) fn forward(&self, first: &[f32]) -> Vec<f32> {
        let mut pooled = Vec::new();
        self.pooler.forward(first, &mut Quantized::default(), &mut pooled);
        let logit = |row: &[f32]| self.bias + row.iter().zip(&self.weight).map(|(x, weight)| x.tanh() * weight).sum::<f32>();
        pooled.chunks_exact(self.weight.len()).map(logit).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::files::ModelFiles;
    use super::*;

    static FILES: LazyLock<ModelFiles> = LazyLock::new(|| {
        ModelFiles::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ms-marco-minilm-l-12-v2")).unwrap()
    });
    static NETWORK: LazyLock<CpuBert> =
        LazyLock::new(|| CpuBert::read(&FILES.weights, &FILES.config, CpuPrecision::Int8).unwrap());

    /// A table of the network, as rows of f64.
    fn table(name: &str, rows: usize) -> Vec<Vec<f64>> {
        let hidden = FILES.config.hidden;
        let values = FILES.weights.network(name, &[rows, hidden]).unwrap();
        values.chunks(hidden).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
    }

    fn sequences() -> impl Strategy<Value = Vec<Sequence>> {
        let ids = prop::collection::vec(0..FILES.config.vocabulary as u32, 1..40);
        let sequence = (ids, any::<prop::sample::Index>()).prop_map(|(ids, second)| Sequence {
            // No token may be of type 1.
            second: second.index(ids.len() + 1),
            ids,
            truncated: false,
        });
        prop::collection::vec(sequence, 1..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The plain twin: the sum of three rows, normalised, in f64.
        #[test]
        fn a_token_is_its_word_its_place_and_its_type(batch in sequences()) {
            static TABLES: LazyLock<[Vec<Vec<f64>>; 3]> = LazyLock::new(|| {
                let config = &FILES.config;
                [("word", config.vocabulary), ("position", config.positions), ("token_type", config.types)]
                    .map(|(name, rows)| table(&format!("embeddings.{name}_embeddings.weight"), rows))
            });
            let [words, positions, types] = &*TABLES;
            let (weight, bias) = FILES.weights.norm("embeddings.LayerNorm", FILES.config.hidden).unwrap();
            let tokens = batch.iter().map(|sequence| sequence.ids.len()).sum();
            let found = NETWORK.embed(&batch.iter().collect::<Vec<_>>(), tokens);
            let mut rows = found.chunks_exact(FILES.config.hidden);
            for sequence in &batch {
                for (at, &id) in sequence.ids.iter().enumerate() {
                    let kind = if at < sequence.second { &types[0] } else { &types[1] };
                    let both = words[id as usize].iter().zip(&positions[at]);
                    let sums: Vec<f64> = both.zip(kind).map(|((word, position), kind)| word + position + kind).collect();
                    let mean = sums.iter().sum::<f64>() / sums.len() as f64;
                    let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / sums.len() as f64;
                    let scale = 1.0 / (variance + FILES.config.epsilon).sqrt();
                    for (i, &found) in rows.next().unwrap().iter().enumerate() {
                        let expected = (sums[i] - mean) * scale * f64::from(weight[i]) + f64::from(bias[i]);
                        prop_assert!((f64::from(found) - expected).abs() < 1e-4, "{found}, not {expected}, token {at}");
                    }
                }
            }
            prop_assert!(rows.next().is_none());
        }

        /// The plain twin: a dense layer, tanh, and a product with one row, in f64.
        #[test]
        fn a_logit_is_what_pooler_and_classifier_make_of_the_first_token(rows in 1usize..20, size in 0.01f32..5.0, seed in any::<u32>()) {
            static HEAD: LazyLock<CpuClassifier> = LazyLock::new(|| CpuClassifier::read(&FILES.weights, &FILES.config).unwrap());
            static POOLER: LazyLock<Vec<Vec<f64>>> = LazyLock::new(|| table("pooler.dense.weight", FILES.config.hidden));
            let hidden = FILES.config.hidden;
            let pooler_bias = FILES.weights.network("pooler.dense.bias", &[hidden]).unwrap();
            let weight = FILES.weights.head("classifier.weight", &[1, hidden]).unwrap();
            let bias = FILES.weights.head("classifier.bias", &[1]).unwrap()[0];
            let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed);
            let first: Vec<f32> = (0..rows * hidden).map(|i| (hash(i) as f32 / u32::MAX as f32 - 0.5) * size).collect();
            let found = HEAD.forward(&first);
            prop_assert_eq!(found.len(), rows);
            for (row, found) in first.chunks_exact(hidden).zip(found) {
                let pooled = POOLER.iter().zip(&pooler_bias).map(|(weights, &bias)| {
                    (weights.iter().zip(row).map(|(w, &x)| w * f64::from(x)).sum::<f64>() + f64::from(bias)).tanh()
                });
                let expected = pooled.zip(&weight).map(|(x, &w)| x * f64::from(w)).sum::<f64>() + f64::from(bias);
                prop_assert!((f64::from(found) - expected).abs() < 1e-3, "{found}, not {expected}");
            }
        }
    }
}
