//! The two networks give the numbers of an independent implementation, `tests/data/reference.json`.

use std::sync::OnceLock;

use fossick::{CrossEncoder, Encoder};
use serde_json::Value;

use crate::common::{encoder, exact_encoder, exact_judge, judge, repository};

pub fn reference() -> &'static Value {
    static REFERENCE: OnceLock<Value> = OnceLock::new();
    REFERENCE
        .get_or_init(|| serde_json::from_slice(&std::fs::read(repository().join("tests/data/reference.json")).unwrap()).unwrap())
}

pub fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap()
}

/// Every logit within 1e-3, and the same passages cut. A long query that the tests of a pair take is 250 tokens.
pub fn check_logits(judge: &CrossEncoder) {
    let cases = reference()["cross_encoder"]["cases"].as_array().unwrap();
    assert!(cases.len() >= 30);
    let mut worst: f64 = 0.0;
    for case in cases {
        let said = judge.judge(text(case, "query"), &[text(case, "passage")]).unwrap()[0];
        let difference = (f64::from(said.logit) - case["logit"].as_f64().unwrap()).abs();
        worst = worst.max(difference);
        assert!(difference < 1e-3, "{}: {} differs by {difference}", case["name"], said.logit);
        assert_eq!(said.truncated, case["truncated"].as_bool().unwrap(), "{}", case["name"]);
    }
    println!("{} logits, largest difference {worst:.1e}", cases.len());
}

/// Every component of every embedding within 1e-4.
pub fn check_embeddings(encoder: &Encoder) {
    let cases = reference()["encoder"]["cases"].as_array().unwrap();
    assert!(cases.len() >= 30);
    let mut worst: f64 = 0.0;
    for case in cases {
        let found = match case["prompt_name"].as_str() {
            Some("query") => encoder.encode_query(text(case, "text")).unwrap(),
            None => encoder.encode_passages(&[text(case, "text")]).unwrap().remove(0),
            Some(other) => panic!("prompt {other}"),
        };
        for (component, expected) in found.vector.iter().zip(case["embedding"].as_array().unwrap()) {
            let difference = (f64::from(*component) - expected.as_f64().unwrap()).abs();
            worst = worst.max(difference);
            assert!(difference < 1e-4, "{}: a component differs by {difference}", case["name"]);
        }
        assert_eq!(found.vector.len(), 384);
        assert_eq!(found.truncated, case["truncated"].as_bool().unwrap(), "{}", case["name"]);
    }
    println!("{} embeddings, largest difference {worst:.1e}", cases.len());
}

#[test]
fn logits_on_the_cpu_are_the_reference_ones() {
    check_logits(&exact_judge());
}

#[test]
fn embeddings_on_the_cpu_are_the_reference_ones() {
    check_embeddings(&exact_encoder());
}

/// Rounding activations to 8 bits moves a logit less than what tells a good passage from a fair one.
#[test]
fn logits_in_8_bits_are_near_the_reference_ones() {
    let cases = reference()["cross_encoder"]["cases"].as_array().unwrap();
    let differences: Vec<f64> = cases
        .iter()
        .map(|case| {
            let said = judge().judge(text(case, "query"), &[text(case, "passage")]).unwrap()[0];
            assert_eq!(said.truncated, case["truncated"].as_bool().unwrap(), "{}", case["name"]);
            (f64::from(said.logit) - case["logit"].as_f64().unwrap()).abs()
        })
        .collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let worst = differences.iter().fold(0.0, |worst: f64, difference| worst.max(*difference));
    println!("{} logits in 8 bits, mean difference {mean:.3}, largest {worst:.3}", differences.len());
    assert!(mean < 0.1 && worst < 0.5, "mean {mean}, largest {worst}");
}

/// The least cosine between an embedding and the reference's, of every `step`th.
pub fn least_cosine(encoder: &Encoder, step: usize) -> f64 {
    let cases = reference()["encoder"]["cases"].as_array().unwrap();
    let cosine = |case: &Value| {
        let found = match case["prompt_name"].as_str() {
            Some(_) => encoder.encode_query(text(case, "text")).unwrap(),
            None => encoder.encode_passages(&[text(case, "text")]).unwrap().remove(0),
        };
        let found: Vec<f64> = found.vector.iter().copied().map(f64::from).collect();
        let expected: Vec<f64> = case["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        product(&found, &expected) / (product(&found, &found) * product(&expected, &expected)).sqrt()
    };
    let cosines: Vec<f64> = cases.iter().step_by(step).map(cosine).collect();
    assert!(!cosines.is_empty() && cosines.iter().all(|cosine| cosine.is_finite()), "{cosines:?}");
    let least = cosines.iter().copied().fold(1.0, f64::min);
    println!("{} embeddings, least cosine {least:.6}", cosines.len());
    least
}

#[test]
fn embeddings_in_8_bits_point_where_the_reference_ones_do() {
    let least = least_cosine(&encoder(), 1);
    assert!(least > 0.99, "{least}");
}

/// In 8 bits to the last bit, as each token is quantised by itself; in f32 the order of a sum may differ.
#[test]
fn a_score_does_not_depend_on_its_batch() {
    let cases = reference()["cross_encoder"]["cases"].as_array().unwrap();
    let passages: Vec<&str> = cases.iter().map(|case| text(case, "passage")).filter(|passage| passage.len() < 1500).collect();
    let query = "what did the court hold about the limitation period";
    for (judge, encoder, tolerance) in [(judge(), encoder(), 0.0), (exact_judge(), exact_encoder(), 1e-4)] {
        let together = judge.judge(query, &passages).unwrap();
        let mut reversed: Vec<&str> = passages.clone();
        reversed.reverse();
        let mut backwards = judge.judge(query, &reversed).unwrap();
        backwards.reverse();
        for ((passage, together), backwards) in passages.iter().zip(&together).zip(&backwards) {
            let alone = judge.judge(query, &[passage]).unwrap()[0];
            let difference = (alone.logit - together.logit).abs();
            assert!(difference <= tolerance, "{passage:?}: {} alone, {} in a batch", alone.logit, together.logit);
            assert!((backwards.logit - together.logit).abs() <= tolerance);
        }
        let vectors = encoder.encode_passages(&passages).unwrap();
        for (passage, together) in passages.iter().zip(vectors) {
            let alone = encoder.encode_passages(&[passage]).unwrap().remove(0);
            assert!(alone.vector.iter().zip(&together.vector).all(|(a, b)| (a - b).abs() <= tolerance), "{passage:?}");
        }
    }
}

#[test]
fn a_query_that_leaves_no_room_is_refused_with_its_length() {
    let error = judge().judge(&"word ".repeat(600), &["passage"]).unwrap_err().to_string();
    assert!(error.contains("600 tokens") && error.contains("at most 477"), "{error}");
    assert!(judge().judge(&"word ".repeat(477), &["passage"]).is_ok());
}

#[test]
fn no_passages_make_no_judgements() {
    assert!(judge().judge::<&str>("query", &[]).unwrap().is_empty());
    assert!(encoder().encode_passages::<&str>(&[]).unwrap().is_empty());
}
