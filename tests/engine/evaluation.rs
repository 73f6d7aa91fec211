//! An application measures its own search.

use fossick::Fusion;
use fossick::evaluate::{Evaluation, Metric, Qrels, Queries, Query, Stage};

use crate::common::{encoded_index, judge, note, vectors_index};

fn collection(pairs: &[(&str, &str)]) -> (Queries, Qrels) {
    let mut qrels = Qrels::default();
    let query = |(at, (text, relevant)): (usize, &(&str, &str))| {
        qrels.insert(format!("q{at}"), *relevant, 1);
        Query { id: format!("q{at}"), text: (*text).to_owned() }
    };
    let queries = pairs.iter().enumerate().map(query).collect();
    (queries, qrels)
}

#[test]
fn every_stage_is_measured_and_compared_with_the_one_before() {
    let (_directory, index) = encoded_index();
    let (queries, qrels) =
        collection(&[("satellite of our planet", "moon"), ("levy on wages", "tax"), ("baking", "bread"), ("zzz", "cat")]);
    let judge = judge();
    let snapshot = index.snapshot().unwrap();
    let mut seen = Vec::new();
    let report = Evaluation::new(&snapshot)
        .rerank(5, &judge)
        .on_progress(|stage, done, total| seen.push((stage, done, total)))
        .run(&queries, &qrels)
        .unwrap();
    let stages: Vec<Stage> = report.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(stages, [Stage::Lexical, Stage::Semantic, Stage::Fused, Stage::Reranked]);
    assert_eq!(seen.len(), 16);
    assert_eq!(seen[15], (Stage::Reranked, 4, 4));
    // By words alone two of the four are found at the first place.
    assert_eq!(report.stage(Stage::Lexical).unwrap().mean(Metric::Success(5)), 0.5);
    assert!(report.stage(Stage::Semantic).unwrap().mean(Metric::Ndcg(10)) > 0.7);
    let reranked = report.stage(Stage::Reranked).unwrap();
    assert_eq!((reranked.values.len(), reranked.times.len()), (4, 4));
    assert_eq!(report.comparison.as_ref().unwrap().baseline, "fused");
    // All five candidates judged is what the stage itself did.
    let all = report.depths.last().unwrap();
    assert_eq!((all.rerank, all.ndcg_at_10.mean), (5, reranked.mean(Metric::Ndcg(10))));
}

#[test]
fn the_fusion_that_is_measured_is_the_one_that_was_set() {
    let (_directory, index) = encoded_index();
    let (queries, qrels) = collection(&[("satellite of our planet", "moon"), ("levy on wages", "tax"), ("water", "cat")]);
    let snapshot = index.snapshot().unwrap();
    let measured = |fusion| Evaluation::new(&snapshot).fusion(fusion).run(&queries, &qrels).unwrap();
    let mean = |fusion, stage| measured(fusion).stage(stage).unwrap().mean(Metric::Ndcg(10));
    let (vectors, words) = (Fusion::convex(0.0, 1.0), Fusion::convex(1.0, 0.0));
    assert_eq!(mean(vectors, Stage::Fused), mean(vectors, Stage::Semantic));
    assert_ne!(mean(words, Stage::Fused), mean(words, Stage::Semantic));

    let report = measured(words);
    assert_eq!((report.settings.fusion, report.settings.rerank, report.settings.judge.as_ref()), (words, 0, None));
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let settings = &json["settings"];
    assert_eq!(settings["fusion"], serde_json::json!({"method": "convex", "words": 1.0, "vectors": 0.0}));
    assert_eq!((&settings["order"], &settings["judge"]), (&serde_json::json!("tempered"), &serde_json::Value::Null));
    assert_eq!(settings["encoder"]["model"], report.settings.encoder.unwrap().model.name());
}

#[test]
fn without_an_encoder_the_judge_has_the_words_list() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("well", "Wells", "How to dig a well.").vector([1.0, 0.0])).unwrap();
    writer.add(note("roof", "Roofs", "How to thatch a roof.").vector([0.0, 1.0])).unwrap();
    writer.commit().unwrap();
    let (queries, qrels) = collection(&[("digging", "well")]);
    let judge = judge();
    let report = Evaluation::new(&index.snapshot().unwrap()).rerank(5, &judge).run(&queries, &qrels).unwrap();
    let stages: Vec<Stage> = report.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(stages, [Stage::Lexical, Stage::Reranked]);
    assert_eq!(report.stage(Stage::Reranked).unwrap().mean(Metric::Ndcg(10)), 1.0);
}
