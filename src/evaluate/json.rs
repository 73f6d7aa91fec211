//! A report as JSON.

use serde_json::{Map, Value as Json, json};

use super::{Change, Comparison, Depth, Metric, ModelUse, Report, Settings, StageReport};
use crate::rank::Fusion;

pub(super) fn report(report: &Report) -> Json {
    json!({
        "queries": report.queries.len(),
        "queries_without_relevant": report.without_relevant,
        "queries_without_judgement": report.without_judgement,
        "queries_without_text": report.without_text,
        "judgements": report.judgements,
        "judgements_not_indexed": report.absent_judgements,
        "judgements_not_indexed_left_out": report.absent_left_out,
        "settings": settings(&report.settings),
        "stages": report.stages.iter().map(|stage| (stage.stage.to_string(), self::stage(stage))).collect::<Map<_, _>>(),
        "depths": report.depths.iter().map(depth).collect::<Vec<_>>(),
        "comparison": report.comparison.as_ref().map(comparison),
        "notes": report.notes.iter().map(|(note, searches)| json!({"note": note, "searches": searches})).collect::<Vec<_>>(),
    })
}

fn settings(settings: &Settings) -> Json {
    json!({
        "candidates": settings.candidates,
        "rerank": settings.rerank,
        "passages": settings.passages,
        "fusion": fusion(settings.fusion),
        "order": settings.order.to_string(),
        "encoder": settings.encoder.as_ref().map(model),
        "judge": settings.judge.as_ref().map(model),
    })
}

fn fusion(fusion: Fusion) -> Json {
    let (words, vectors) = fusion.both_weights();
    let mut json = json!({"method": fusion.method(), "words": rounded(words.into()), "vectors": rounded(vectors.into())});
    if let Fusion::ReciprocalRank { k, .. } = fusion {
        json["k"] = json!(rounded(k.into()));
    }
    json
}

fn model(model: &ModelUse) -> Json {
    json!({
        "model": model.model.name(),
        "sha256": model.model.hash(),
        "device": model.device,
        "precision": model.precision.to_string(),
    })
}

fn stage(report: &StageReport) -> Json {
    let mut stage = Map::new();
    let mut intervals = Map::new();
    for metric in Metric::STANDARD {
        let Some(interval) = report.interval(metric) else { continue };
        stage.insert(metric.to_string(), json!(rounded(interval.mean)));
        intervals.insert(metric.to_string(), json!([rounded(interval.low), rounded(interval.high)]));
    }
    for (name, percent) in [("p50_ms", 50.0), ("p95_ms", 95.0)] {
        stage.insert(name.to_owned(), json!(report.percentile(percent).as_micros() as f64 / 1000.0));
    }
    stage.insert("intervals".to_owned(), Json::Object(intervals));
    Json::Object(stage)
}

fn depth(depth: &Depth) -> Json {
    let interval = &depth.ndcg_at_10;
    json!({
        "rerank": depth.rerank,
        "ndcg@10": rounded(interval.mean),
        "interval": [rounded(interval.low), rounded(interval.high)],
        "passages": rounded(depth.passages),
        "estimated_ms": depth.time.as_micros() as f64 / 1000.0,
    })
}

fn comparison(comparison: &Comparison) -> Json {
    let difference = &comparison.difference;
    json!({
        "metric": "ndcg@10",
        "baseline": comparison.baseline,
        "baseline_missing": comparison.missing,
        "baseline_mean": rounded(comparison.baseline_mean),
        "difference": rounded(difference.mean),
        "interval": [rounded(difference.low), rounded(difference.high)],
        "p_value": rounded(comparison.p_value),
        "better": comparison.better,
        "worse": comparison.worse,
        "equal": comparison.equal,
        "gained": comparison.gained.iter().map(change).collect::<Vec<_>>(),
        "lost": comparison.lost.iter().map(change).collect::<Vec<_>>(),
    })
}

fn change(change: &Change) -> Json {
    let moves = change.moves.iter().map(|step| json!({"key": step.key, "grade": step.grade, "from": step.from, "to": step.to}));
    json!({
        "query": change.query,
        "text": change.text,
        "before": rounded(change.before),
        "after": rounded(change.after),
        "moves": moves.collect::<Vec<_>>(),
    })
}

/// Six digits: more than any collection can support, few enough to read; and no minus before a zero.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6 + 0.0
}
