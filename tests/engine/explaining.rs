//! An explanation is the whole of why a hit is where it is.

use fossick::{Combination, DocumentLogit, Explanation, Filter, FinalOrder, Fusion, Mode, Query, Response};

use crate::common::{encoded_index, judge};

/// The value of a tree, from its leaves alone.
fn value(tree: &Explanation) -> f32 {
    let values: Vec<f32> = tree.details.iter().map(value).collect();
    match tree.combination {
        Combination::Sum => values.iter().sum(),
        Combination::Product => values.iter().product(),
        Combination::Greatest => values.iter().copied().fold(f32::MIN, f32::max),
        Combination::Mean => values.iter().sum::<f32>() / values.len() as f32,
        _ => tree.value,
    }
}

/// All numbers of a tree, by what they are.
fn named<'t>(tree: &'t Explanation, what: &str, found: &mut Vec<&'t Explanation>) {
    if tree.what.contains(what) {
        found.push(tree);
    }
    tree.details.iter().for_each(|detail| named(detail, what, found));
}

/// That the trees alone give the order that is shown.
fn holds(response: &Response) {
    assert!(!response.hits.is_empty());
    let mut order: Vec<(bool, f32, &str)> = Vec::new();
    for hit in &response.hits {
        let tree = hit.explanation.as_ref().unwrap();
        let recomputed = value(tree);
        assert!((recomputed - hit.score).abs() <= 1e-4 * hit.score.abs().max(1.0), "{} is not {recomputed}:\n{tree}", hit.score);
        order.push((tree.what.starts_with("judged"), recomputed, &hit.key));
    }
    let shown: Vec<&str> = order.iter().map(|(_, _, key)| *key).collect();
    // To rounding: equal scores keep the order of the stage before.
    order.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| ((b.1 * 1e4).round()).total_cmp(&((a.1 * 1e4).round()))));
    assert_eq!(order.iter().map(|(_, _, key)| *key).collect::<Vec<_>>(), shown);
}

#[test]
fn the_final_order_can_be_worked_out_from_the_trees_alone() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let judge = judge();
    for text in ["when must the dough rest in the oven", "title:moon^2 \"the earth\" wages", "tax tax water"] {
        for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
            for fusion in
                [Fusion::default(), Fusion::reciprocal_rank(), Fusion::min_max(0.3, 0.7), Fusion::distribution(2.0, 1.0)]
            {
                for order in [FinalOrder::Tempered, FinalOrder::Logit] {
                    for rerank in [0, 3] {
                        let search = snapshot.search(text).mode(mode).fusion(fusion).final_order(order).explain();
                        holds(&search.rerank(rerank, &judge).document_logit(DocumentLogit::Mean).run().unwrap());
                    }
                }
            }
        }
    }
}

#[test]
fn a_tree_names_words_ranks_logits_and_conditions() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let judge = judge();
    let query = Query::words("dough oven").or(Query::words("sourdough").in_field("title").boost(3.0));
    let search = snapshot.search_query(query).filter(Filter::keys(["bread", "cat"])).rerank(5, &judge).explain();
    let response = search.run().unwrap();
    let tree = response.hits[0].explanation.as_ref().unwrap();
    assert_eq!(response.hits[0].key, "bread");
    for what in [
        "word \"dough\"",
        "word \"sourdough\" in title",
        "idf",
        "boost",
        "rank in its list",
        "cosine",
        "logit of passage 1",
        "meets",
    ] {
        let mut found = Vec::new();
        named(tree, what, &mut found);
        assert!(!found.is_empty(), "{what:?} is not in\n{tree}");
    }
    let mut logits = Vec::new();
    named(tree, "logit of passage", &mut logits);
    let judged = response.hits[0].rerank.as_ref().unwrap();
    assert_eq!(logits.iter().map(|tree| tree.value).collect::<Vec<_>>(), judged.logits);
    let json: serde_json::Value = serde_json::from_str(&response.to_json()).unwrap();
    assert!(json["hits"][0]["explanation"]["details"].as_array().is_some_and(|details| !details.is_empty()));
    assert!(snapshot.search("dough").run().unwrap().hits[0].explanation.is_none());
}
