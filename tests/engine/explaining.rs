//! An explanation is the whole of why a hit is where it is.

use fossick::{
    CancelToken, Combination, Document, DocumentLogit, Explanation, Filter, FinalOrder, Fusion, Index, Mode, Options, Query,
    Response, Schema,
};

use crate::common::{encoded_index, judge};

/// The value of a tree, from its leaves alone.
fn value(tree: &Explanation) -> f32 {
    let parts = tree.details.iter().filter(|detail| detail.combination != Combination::Aside);
    let values: Vec<f32> = parts.map(value).collect();
    match tree.combination {
        Combination::Quotient => values[0] / values[1],
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
    assert!(response.hits.iter().all(|hit| holds_together(hit.explanation.as_ref().unwrap())));
    // To rounding: equal scores keep the order of the stage before.
    let before = |a: &(bool, f32, &str), b: &(bool, f32, &str)| {
        let rounding = if a.0 { 1e-4 } else { 1e-5 } * a.1.abs().max(1.0);
        a.0 && !b.0 || a.0 == b.0 && a.1 >= b.1 - rounding
    };
    assert!(order.is_sorted_by(before), "{order:?}");
}

/// That each number of a tree is what its details make.
fn holds_together(tree: &Explanation) -> bool {
    let same = tree.recomputed().is_none_or(|recomputed| (recomputed - tree.value).abs() <= 1e-4 * tree.value.abs().max(1.0));
    assert!(same, "not what its details make:\n{tree}");
    tree.details.iter().all(holds_together)
}

/// The only number of a tree by that name.
fn only<'t>(tree: &'t Explanation, what: &str) -> &'t Explanation {
    let mut found = Vec::new();
    named(tree, what, &mut found);
    assert_eq!(found.len(), 1, "{what:?} in\n{tree}");
    found[0]
}

/// Documents of few words in many orders, with values and vectors.
fn trees() -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().heading("title").text("body").keyword("court").integer("year").build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema).own_vectors(2)).unwrap();
    let mut writer = index.writer().unwrap();
    let words = ["walnut", "walnuts oak", "oak ash", "elm", "wallnut lime", "yew walnut oak"];
    for at in 0..40_usize {
        let body = format!("{} {} {}", words[at % 6], words[at / 6 % 6], words[at * 5 % 7 % 6]);
        let document = Document::new(format!("d{at:02}")).set("title", words[at % 5]).set("body", body);
        let document = document.vector([1.0 + (at % 7) as f32, (at % 4) as f32]);
        let court = ["Tax Court", "Supreme Court"].get(at % 3);
        let document = document.set("year", 1970 + (at % 9) as i64);
        writer.add(court.map_or(document.clone(), |court| document.set("court", *court))).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (directory, index)
}

#[test]
fn every_kind_of_question_can_be_worked_out_on_every_page() {
    let (_directory, index) = trees();
    let snapshot = index.snapshot().unwrap();
    for text in [
        "waln*",
        "walnit~",
        "walnut AND oak",
        "+walnut elm -ash",
        "(walnut AND NOT oak) OR elm OR (ash AND yew)",
        "\"walnut oak\" title:elm^2",
        "walnut oak year:[1972 TO 1976]",
        "walnut year:>=1975 -court:\"Tax Court\"",
        "-oak",
        "*",
    ] {
        for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
            for fusion in
                [Fusion::default(), Fusion::reciprocal_rank(), Fusion::min_max(0.3, 0.7), Fusion::distribution(2.0, 1.0)]
            {
                for offset in [0, 4] {
                    let search = snapshot.search(text).mode(mode).vector([1.0, 0.5]).fusion(fusion).explain();
                    let filtered = search.clone().filter(Filter::less("year", 1976));
                    let page = search.offset(offset).limit(5).run().unwrap();
                    assert!(offset > 0 || !page.hits.is_empty(), "{text} in {mode:?}");
                    // A later page may be empty.
                    for page in [page, filtered.offset(offset).limit(2).run().unwrap()] {
                        if !page.hits.is_empty() {
                            holds(&page);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn under_a_field_the_values_give_the_order() {
    let (_directory, index) = trees();
    let snapshot = index.snapshot().unwrap();
    for field in ["year", "court"] {
        for descending in [false, true] {
            let search = snapshot.search("walnut oak").mode(Mode::Lexical).explain().offset(3).limit(20);
            let search = if descending { search.sort_by_descending(field) } else { search.sort_by(field) };
            let response = search.fields([""; 0]).run().unwrap();
            assert_eq!(response.hits.len(), 20);
            let mut order: Vec<(Option<String>, &str)> = Vec::new();
            for hit in &response.hits {
                let said = only(hit.explanation.as_ref().unwrap(), &format!("ordered by {field}, the "));
                let value = said.what.split_once("; its value is ").map(|(_, value)| value.to_owned());
                assert!(value.is_some() || said.what.ends_with("; it has none"), "{said}");
                order.push((value, &hit.key));
            }
            let shown = order.clone();
            order.sort_by(|a, b| {
                let by_value = if descending { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) };
                a.0.is_none().cmp(&b.0.is_none()).then(by_value).then_with(|| a.1.cmp(b.1))
            });
            assert_eq!(order, shown, "{field}");
        }
    }
}

#[test]
fn a_tree_has_the_rank_that_a_leg_gave_also_where_it_was_the_only_one() {
    let (_directory, index) = trees();
    let snapshot = index.snapshot().unwrap();
    for mode in [Mode::Lexical, Mode::Semantic] {
        let response = snapshot.search("walnut oak").mode(mode).vector([1.0, 0.5]).offset(2).explain().run().unwrap();
        for hit in &response.hits {
            let rank = only(hit.explanation.as_ref().unwrap(), "rank in its list");
            assert_eq!((rank.value, rank.combination), (hit.first_stage().unwrap().rank as f32, Combination::Aside));
        }
    }
    for fusion in [Fusion::default(), Fusion::reciprocal_rank()] {
        let response = snapshot.search("elm").vector([1.0, 0.5]).fusion(fusion).explain().run().unwrap();
        for hit in &response.hits {
            let mut ranks = Vec::new();
            named(hit.explanation.as_ref().unwrap(), "rank in its list", &mut ranks);
            let expected: Vec<f32> = hit.lexical.iter().chain(&hit.semantic).map(|place| place.rank as f32).collect();
            assert_eq!(ranks.iter().map(|rank| rank.value).collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn a_filter_of_many_keys_is_shown_in_part() {
    let (_directory, index) = trees();
    let many = Filter::keys((0..20_000).map(|at| format!("d{at:02}"))).and(Filter::at_least("year", 0));
    let response = index.snapshot().unwrap().search("walnut").mode(Mode::Lexical).filter(many).explain().run().unwrap();
    assert_eq!(response.hits.len(), 10);
    for hit in &response.hits {
        let meets = &only(hit.explanation.as_ref().unwrap(), "meets").what;
        assert!(meets.len() < 250 && meets.contains("\"d00\"") && meets.ends_with('…'), "{meets}");
    }
}

#[test]
fn a_logit_names_the_passage_that_it_is_of_also_where_another_was_not_judged() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("facts").text("law").build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema).own_vectors(2)).unwrap();
    let mut writer = index.writer().unwrap();
    let (facts, law) = ("The dough had rested for a night.", "Dough must rest before it is baked.");
    let document = Document::new("a").set("facts", facts).set("law", law);
    writer.add(document.vector_of("facts", [1.0, 0.0]).vector_of("law", [0.0, 1.0])).unwrap();
    writer.commit().unwrap();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    let search = |vector: [f32; 2]| snapshot.search("when must dough rest").vector(vector).rerank(1, &judge).explain();
    let logits = |response: &Response| {
        let mut logits = Vec::new();
        named(response.hits[0].explanation.as_ref().unwrap(), "logit of passage", &mut logits);
        logits.iter().map(|tree| (tree.what.clone(), tree.value)).collect::<Vec<_>>()
    };
    // The text that is nearer to this vector is judged, and known from then on.
    let first = logits(&search([0.1, 1.0]).passages_per_document(1).run().unwrap());
    let of_law = format!("bytes 0 to {} of law", law.len());
    assert_eq!(first[0].0, format!("logit of passage 1, {of_law}"));
    // Now the other is nearer, and there is no time to judge it.
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let response = search([1.0, 0.1]).cancel(&cancelled).run().unwrap();
    assert_eq!(response.from_cache, 1);
    assert_eq!(logits(&response), [(format!("logit of passage 2, {of_law}"), first[0].1)]);
    let both = search([1.0, 0.1]).run().unwrap();
    let named: Vec<String> = logits(&both).into_iter().map(|(what, _)| what).collect();
    assert_eq!(
        named,
        [format!("logit of passage 1, bytes 0 to {} of facts", facts.len()), format!("logit of passage 2, {of_law}")]
    );
    let passage = both.hits[0].passage.as_ref().unwrap();
    let judged = both.hits[0].rerank.as_ref().unwrap();
    assert_eq!(passage.field, if judged.logits[0] >= judged.logits[1] { "facts" } else { "law" });
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
