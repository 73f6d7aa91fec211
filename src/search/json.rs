//! A response as JSON.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::response::{Facet, Hit, Passage, Response};
use crate::rank::Explanation;
use crate::schema::Value;

pub(super) fn response(response: &Response) -> Json {
    let timings = &response.timings;
    json!({
        "query": response.query,
        "mode": response.mode.name(),
        "device": response.device,
        "generation": response.generation,
        "timings_ms": {
            "filter": ms(timings.filter),
            "encode": ms(timings.encode),
            "lexical": ms(timings.lexical),
            "semantic": ms(timings.semantic),
            "fuse": ms(timings.fuse),
            "count": ms(timings.count),
            "read": ms(timings.read),
            "judge": ms(timings.judge),
            "total": ms(timings.total),
        },
        "candidates": response.candidates,
        "to_judge": response.to_judge,
        "judged": response.judged,
        "passages_to_judge": response.passages_to_judge,
        "passages_judged": response.passages_judged,
        "from_cache": response.from_cache,
        "total": response.total,
        "facets": response.facets.iter().map(facet).collect::<Vec<_>>(),
        "notes": response.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "hits": response.hits.iter().map(hit).collect::<Vec<_>>(),
    })
}

fn facet(facet: &Facet) -> Json {
    let value = |(value, count): &(Value, u64)| json!({"value": value_json(value), "count": count});
    json!({"field": facet.field, "values": facet.values.iter().map(value).collect::<Vec<_>>(), "without": facet.without})
}

fn hit(hit: &Hit) -> Json {
    let stage = |rank: Option<super::StageRank>| rank.map(|rank| json!({"rank": rank.rank, "score": rank.score}));
    let mut object = json!({
        "key": hit.key,
        "rank": hit.rank,
        "score": hit.score,
        "lexical": stage(hit.lexical),
        "semantic": stage(hit.semantic),
        "fused": stage(hit.fused),
        "rerank": hit.rerank.as_ref().map(|judged| json!({"rank": judged.rank, "logit": judged.logit, "logits": judged.logits})),
        "passage": hit.passage.as_ref().map(passage),
        "fields": hit.fields.iter().map(|(name, value)| (name.clone(), value_json(value))).collect::<Map<_, _>>(),
    });
    if let (Some(explanation), Some(object)) = (&hit.explanation, object.as_object_mut()) {
        object.insert("explanation".to_owned(), explained(explanation));
    }
    object
}

fn passage(passage: &Passage) -> Json {
    let snippet = passage.snippet(Passage::SNIPPET);
    json!({
        "text": passage.text,
        "field": passage.field,
        "start": passage.start,
        "end": passage.end,
        "highlights": ranges(&passage.highlights),
        "snippet": {
            "text": snippet.text,
            "highlights": ranges(&snippet.highlights),
            "cut_before": snippet.cut_before,
            "cut_after": snippet.cut_after,
        },
    })
}

fn ranges(ranges: &[Range<usize>]) -> Json {
    ranges.iter().map(|range| json!([range.start, range.end])).collect()
}

fn explained(explanation: &Explanation) -> Json {
    json!({
        "what": explanation.what,
        "value": explanation.value,
        "combination": format!("{:?}", explanation.combination).to_lowercase(),
        "details": explanation.details.iter().map(explained).collect::<Vec<_>>(),
    })
}

pub(crate) fn value_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Date(date) => json!(date.to_string()),
        Value::Boolean(truth) => json!(truth),
    }
}

/// Milliseconds to the microsecond.
fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
