//! `config.json` of a BERT model.

use std::path::Path;

use serde::Deserialize;

use crate::error::ModelError;

#[derive(Deserialize)]
struct File {
    model_type: String,
    #[serde(default)]
    architectures: Vec<String>,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "epsilon")]
    layer_norm_eps: f64,
    position_embedding_type: Option<String>,
}

fn two() -> usize {
    2
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn epsilon() -> f64 {
    1e-12
}

/// The function between the two feed-forward layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// x Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016, eq. 1), by the error function.
    Gelu,
    /// Its approximation by tanh (same paper, section 2).
    GeluTanh,
    Relu,
}

/// The sizes and settings of a BERT network, checked.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) architectures: Vec<String>,
    pub(super) vocabulary: usize,
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) intermediate: usize,
    pub(super) positions: usize,
    pub(super) types: usize,
    pub(super) activation: Activation,
    pub(super) epsilon: f64,
}

impl Config {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ModelError> {
        #[derive(Deserialize)]
        struct Kind {
            model_type: Option<String>,
        }
        let not_json = |e: serde_json::Error| ModelError::content(path, format!("is not the configuration of a BERT model: {e}"));
        let unsupported =
            |feature, found, supported| ModelError::Unsupported { path: path.to_path_buf(), feature, found, supported };
        // The type first: a model of another family lacks other fields, and their absence would not be the point.
        match serde_json::from_slice::<Kind>(bytes).map_err(not_json)?.model_type.as_deref() {
            Some("bert") => {}
            Some(other) => return Err(unsupported("model_type", format!("{other:?}"), "\"bert\"")),
            None => return Err(ModelError::content(path, "has no model_type; expected \"bert\"")),
        }
        let file: File = serde_json::from_slice(bytes).map_err(not_json)?;
        debug_assert_eq!(file.model_type, "bert");
        let activation = match file.hidden_act.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => return Err(unsupported("hidden_act", format!("{other:?}"), "gelu, gelu_new, gelu_pytorch_tanh and relu")),
        };
        if let Some(kind) = file.position_embedding_type.filter(|kind| kind != "absolute") {
            return Err(unsupported("position_embedding_type", format!("{kind:?}"), "\"absolute\""));
        }
        let sizes = [
            ("vocab_size", file.vocab_size, 1 << 24),
            ("hidden_size", file.hidden_size, 1 << 16),
            ("num_hidden_layers", file.num_hidden_layers, 1 << 10),
            ("num_attention_heads", file.num_attention_heads, 1 << 10),
            ("intermediate_size", file.intermediate_size, 1 << 18),
            ("max_position_embeddings", file.max_position_embeddings, 1 << 20),
            ("type_vocab_size", file.type_vocab_size, 1 << 10),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return Err(ModelError::content(path, format!("{name} is {value}; expected 1 to {most}")));
            }
        }
        if !file.hidden_size.is_multiple_of(file.num_attention_heads) {
            let fact =
                format!("hidden_size {} is not a multiple of num_attention_heads {}", file.hidden_size, file.num_attention_heads);
            return Err(ModelError::content(path, fact));
        }
        if !(file.layer_norm_eps > 0.0 && file.layer_norm_eps < 1.0) {
            return Err(ModelError::content(
                path,
                format!("layer_norm_eps is {}; expected a number between 0 and 1", file.layer_norm_eps),
            ));
        }
        Ok(Self {
            architectures: file.architectures,
            vocabulary: file.vocab_size,
            hidden: file.hidden_size,
            layers: file.num_hidden_layers,
            heads: file.num_attention_heads,
            intermediate: file.intermediate_size,
            positions: file.max_position_embeddings,
            types: file.type_vocab_size,
            activation,
            epsilon: file.layer_norm_eps,
        })
    }
}
