//! A model file that is missing, cut or lying is an error that names the file and the fact.

use std::fs;
use std::path::Path;

use fossick::{CrossEncoder, Device, Encoder, ModelError};
use serde_json::{Value, json};

use crate::common::{copy_directory, exact, exact_judge, repository};

fn copy_of(model: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy_directory(&repository().join("models").join(model), directory.path());
    directory
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// The message that loading gives; it must name the file.
fn refused(directory: &Path, file: &str) -> String {
    let error = Encoder::load(directory, &Device::cpu()).expect_err("the model was taken").to_string();
    assert!(error.contains(&directory.join(file).display().to_string()), "{error} does not name {file}");
    error
}

#[test]
fn a_missing_file_is_named() {
    for file in ["config.json", "tokenizer.json", "model.safetensors", "modules.json", "1_Pooling/config.json"] {
        let model = copy_of("bge-small-en-v1.5");
        fs::remove_file(model.path().join(file)).unwrap();
        assert!(refused(model.path(), file).contains("cannot be read"));
    }
}

#[test]
fn an_empty_file_is_named() {
    for file in [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
    ] {
        let model = copy_of("bge-small-en-v1.5");
        fs::write(model.path().join(file), b"").unwrap();
        refused(model.path(), file);
    }
}

#[test]
fn truncated_weights_are_noticed() {
    let model = copy_of("bge-small-en-v1.5");
    let path = model.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [4, 1000, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        refused(model.path(), "model.safetensors");
    }
}

#[test]
fn a_header_longer_than_the_file_is_noticed() {
    let model = copy_of("bge-small-en-v1.5");
    let path = model.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert!(refused(model.path(), "model.safetensors").contains("announce a header of 1099511627776 bytes"));
}

#[test]
fn shapes_that_contradict_the_configuration_are_noticed() {
    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("config.json"), |config| config["intermediate_size"] = json!(1024));
    let error = refused(model.path(), "model.safetensors");
    assert!(
        error.contains("encoder.layer.0.intermediate.dense.weight")
            && error.contains("[1536, 384]")
            && error.contains("[1024, 384]"),
        "{error}"
    );

    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("config.json"), |config| config["num_hidden_layers"] = json!(13));
    assert!(refused(model.path(), "model.safetensors").contains("has no tensor encoder.layer.12"));
}

#[test]
fn another_architecture_is_refused() {
    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("config.json"), |config| config["model_type"] = json!("roberta"));
    assert!(refused(model.path(), "config.json").contains("model_type is \"roberta\""));
    // An encoder has no head to judge with.
    let error = CrossEncoder::load(repository().join("models/bge-small-en-v1.5"), &Device::cpu()).unwrap_err();
    assert!(matches!(error, ModelError::Unsupported { feature: "architectures", .. }), "{error}");
}

#[test]
fn settings_out_of_range_are_refused() {
    for (name, value, says) in [
        ("num_attention_heads", json!(0), "num_attention_heads is 0"),
        ("num_attention_heads", json!(7), "not a multiple"),
        ("hidden_act", json!("swish"), "hidden_act"),
        ("layer_norm_eps", json!(-1.0), "layer_norm_eps"),
        ("vocab_size", json!(1_u64 << 40), "vocab_size"),
        ("hidden_size", json!("many"), "hidden_size"),
        ("position_embedding_type", json!("relative_key"), "position_embedding_type"),
    ] {
        let model = copy_of("bge-small-en-v1.5");
        edit(&model.path().join("config.json"), |config| config[name] = value);
        let error = refused(model.path(), "config.json");
        assert!(error.contains(says) || error.contains("invalid type"), "{error}");
    }
}

#[test]
fn another_models_vocabulary_is_noticed() {
    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("config.json"), |config| config["vocab_size"] = json!(28996));
    assert!(refused(model.path(), "tokenizer.json").contains("30522 tokens, and config.json says vocab_size 28996"));
    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("config.json"), |config| config["vocab_size"] = json!(50265));
    refused(model.path(), "tokenizer.json");
}

#[test]
fn pooling_that_is_not_known_is_refused() {
    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("1_Pooling/config.json"), |config| config["pooling_mode_max_tokens"] = json!(true));
    assert!(refused(model.path(), "1_Pooling/config.json").contains("pooling_mode_max_tokens"));
    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("modules.json"), |modules| modules[2]["type"] = json!("sentence_transformers.models.Dense"));
    assert!(refused(model.path(), "modules.json").contains("Dense"));
    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("sentence_bert_config.json"), |config| config["max_seq_length"] = json!(1024));
    assert!(refused(model.path(), "sentence_bert_config.json").contains("max_seq_length is 1024"));
}

#[test]
fn mean_pooling_and_prompts_are_obeyed() {
    let model = copy_of("bge-small-en-v1.5");
    edit(&model.path().join("1_Pooling/config.json"), |config| {
        config["pooling_mode_cls_token"] = json!(false);
        config["pooling_mode_mean_tokens"] = json!(true);
    });
    edit(&model.path().join("config_sentence_transformers.json"), |config| {
        config["prompts"] = json!({"query": "a: ", "passage": "b: "})
    });
    let mean = Encoder::load(model.path(), &Device::cpu()).unwrap();
    let first = crate::common::encoder();
    let vector = mean.encode_query("rest").unwrap().vector;
    assert!((vector.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    assert_ne!(vector, first.encode_passages(&["a: rest"]).unwrap()[0].vector);
    assert_ne!(mean.encode_passages(&["rest"]).unwrap()[0].vector, vector, "the two prompts differ");
    assert_ne!(mean.identity().hash(), first.identity().hash(), "another pooling is another model");
    // A padded neighbour must not enter the mean.
    let together = mean.encode_passages(&["rest", "a much longer passage that pads the shorter one beside it"]).unwrap();
    let alone = mean.encode_passages(&["rest"]).unwrap();
    assert!(together[0].vector.iter().zip(&alone[0].vector).all(|(a, b)| (a - b).abs() < 1e-4));
}

/// Rewrites the 8-bit file as plain floats, by the convention's formula and not by the loader's code.
fn as_floats(path: &Path, dtype: &str, encode: impl Fn(f32) -> Vec<u8>, prefix: &str) {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = &bytes[8 + length..];
    let slice = |name: &str| {
        header.get(name).map(|info| {
            &data[info["data_offsets"][0].as_u64().unwrap() as usize..info["data_offsets"][1].as_u64().unwrap() as usize]
        })
    };
    let floats = |bytes: &[u8]| bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f32>>();
    let (mut new_header, mut new_data) = (serde_json::Map::new(), Vec::new());
    for (name, info) in &header {
        if name == "__metadata__" || name.ends_with("_scale") || name.ends_with("_zero_point") {
            continue;
        }
        let values = match slice(&format!("{name}_scale")) {
            None => floats(slice(name).unwrap()),
            Some(scale) => {
                let (scale, zero) = (floats(scale), slice(&format!("{name}_zero_point")));
                let quantized = slice(name).unwrap();
                let columns = quantized.len() / info["shape"][0].as_u64().unwrap() as usize;
                let value = |(at, q): (usize, &u8)| {
                    let row = at / columns;
                    let zero = zero.map_or(0, |zero| zero[row.min(zero.len() - 1)] as i8);
                    (i32::from(*q as i8) - i32::from(zero)) as f32 * scale[row.min(scale.len() - 1)]
                };
                quantized.iter().enumerate().map(value).collect()
            }
        };
        let start = new_data.len();
        values.into_iter().for_each(|value| new_data.extend(encode(value)));
        let stripped = name.strip_prefix("bert.").unwrap_or(name);
        let renamed = if stripped.starts_with("classifier") { stripped.to_owned() } else { format!("{prefix}{stripped}") };
        new_header.insert(renamed, json!({"dtype": dtype, "shape": info["shape"], "data_offsets": [start, new_data.len()]}));
    }
    let new_header = Value::Object(new_header).to_string();
    let mut file = (new_header.len() as u64).to_le_bytes().to_vec();
    file.extend(new_header.into_bytes());
    file.extend(new_data);
    fs::write(path, file).unwrap();
}

#[test]
fn float_files_with_and_without_prefix_give_the_same_logits() {
    let pair = (
        "how many people live in Berlin",
        ["Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers."],
    );
    let load = |model: &tempfile::TempDir, device: &Device| {
        CrossEncoder::load(model.path(), device).unwrap().judge(pair.0, &pair.1).unwrap()[0].logit
    };
    let expected = exact_judge().judge(pair.0, &pair.1).unwrap()[0].logit;
    let logit = |dtype: &str, encode: &dyn Fn(f32) -> Vec<u8>, prefix: &str| {
        let model = copy_of("ms-marco-minilm-l-12-v2");
        as_floats(&model.path().join("model.safetensors"), dtype, encode, prefix);
        let in_8_bits = load(&model, &Device::cpu());
        let exactly = load(&model, &exact());
        assert!((in_8_bits - exactly).abs() < 0.2, "{in_8_bits} in 8 bits, {exactly} in f32");
        exactly
    };
    assert_eq!(logit("F32", &|value| value.to_le_bytes().to_vec(), ""), expected);
    assert_eq!(logit("F32", &|value| value.to_le_bytes().to_vec(), "bert."), expected);
    // The upper half of an f32 is a bf16, cut rather than rounded.
    let in_bf16 = logit("BF16", &|value| value.to_le_bytes()[2..].to_vec(), "bert.");
    assert!((in_bf16 - expected).abs() < 0.5, "{in_bf16} {expected}");
}
