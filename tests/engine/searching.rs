//! The first stage: its modes, its three numbers, and queries of every kind.

use std::time::Duration;

use fossick::{Document, Error, Filter, Fusion, Index, Mode, Options, Response, Schema, SchemaError, Search, SearchError};

use crate::common::{encoded_index, encoder, judge, keys, note, vectors_index, words_index};

#[test]
fn each_mode_shows_the_ranks_of_its_own_legs() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
        let response = snapshot.search("when must the dough rest").mode(mode).run().unwrap();
        assert_eq!(response.mode, mode);
        let hit = &response.hits[0];
        assert_eq!((hit.key.as_str(), hit.rank), ("bread", 1));
        assert_eq!(hit.lexical.is_some(), mode != Mode::Semantic);
        assert_eq!(hit.semantic.is_some(), mode != Mode::Lexical);
        assert_eq!(hit.fused.is_some(), mode == Mode::Hybrid);
        assert!(hit.rerank.is_none() && response.judged == 0);
        assert!(hit.passage.as_ref().unwrap().text.contains("dough"));
    }
}

#[test]
fn fusion_joins_what_the_legs_found() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("words", "", "walnut").vector([0.0, 1.0])).unwrap();
    writer.add(note("vector", "", "other").vector([1.0, 0.0])).unwrap();
    writer.add(note("both", "", "walnut and some more words around it").vector([0.9, 0.1])).unwrap();
    for filler in ["filler1", "filler2"] {
        writer.add(note(filler, "", "other").vector([0.5, 0.5])).unwrap();
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let search = snapshot.search("walnut").vector([1.0, 0.0]);
    let response = search.clone().run().unwrap();
    assert_eq!(response.hits.iter().find(|hit| hit.key == "vector").unwrap().lexical, None);
    let words: Vec<f32> = response.hits.iter().filter_map(|hit| Some(hit.lexical?.score)).collect();
    let vectors: Vec<f32> = response.hits.iter().filter_map(|hit| Some(hit.semantic?.score)).collect();
    let greatest = |scores: &[f32]| scores.iter().copied().fold(f32::MIN, f32::max);
    let least = vectors.iter().copied().fold(f32::MAX, f32::min);
    for hit in &response.hits {
        let of_words = hit.lexical.map_or(0.0, |place| place.score / greatest(&words));
        let of_vectors = hit.semantic.map_or(0.0, |place| (place.score - least) / (greatest(&vectors) - least));
        let expected = 0.45 * of_words + 0.55 * of_vectors;
        assert!((hit.fused.unwrap().score - expected).abs() < 1e-6, "{}: {expected}", hit.key);
    }
    let response = search.fusion(Fusion::reciprocal_rank()).run().unwrap();
    assert_eq!(keys(&response)[0], "both");
    let both = &response.hits[0];
    let (lexical, semantic) = (both.lexical.unwrap().rank as f32, both.semantic.unwrap().rank as f32);
    assert!((both.fused.unwrap().score - (1.0 / (60.0 + lexical) + 1.0 / (60.0 + semantic))).abs() < 1e-6);
}

#[test]
fn the_limit_shows_more_of_the_same_order() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let judge = judge();
    for rerank in [0, 3, 5] {
        let order = |limit| {
            let response = snapshot.search("the moon and the earth").rerank(rerank, &judge).limit(limit).run().unwrap();
            keys(&response).iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()
        };
        let all = order(10_000_000);
        assert_eq!(all.len(), 5);
        for limit in 0..6 {
            assert_eq!(order(limit), all[..limit.min(5)]);
        }
    }
}

#[test]
fn candidates_bound_what_is_found() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    for candidates in [0, 1, 3, 1_000_000_000] {
        let response = snapshot.search("the moon").candidates(candidates).limit(usize::MAX).run().unwrap();
        assert_eq!(response.hits.len(), candidates.min(5));
        assert_eq!(response.candidates, candidates.min(5));
    }
}

#[test]
fn a_query_without_content_finds_nothing() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    for query in ["", "   ", "\n\t", "\u{0}\u{1b}\u{7f}"] {
        let response = snapshot.search(query).rerank(5, &judge()).run().unwrap();
        assert!(response.hits.is_empty() && response.judged == 0, "{query:?}");
        assert_eq!(response.query, query);
    }
}

#[test]
fn where_nothing_meets_the_conditions_nothing_is_encoded() {
    let (_directory, index) = encoded_index();
    let judge = judge();
    for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
        for (query, filter) in [
            ("dough", Filter::keys(["nobody"])),
            ("dough", Filter::matches("zebra")),
            ("dough", Filter::keys(["bread"]).and(Filter::keys(["cat"]))),
            ("+dough", Filter::keys(["cat"])),
        ] {
            // Lexically that the query has a word and the filter another is known to the words' leg alone.
            if mode == Mode::Lexical && query == "+dough" {
                continue;
            }
            // A new one has read nothing yet.
            let snapshot = index.snapshot().unwrap();
            let search = snapshot.search(query).mode(mode).filter(filter.clone()).count_total();
            let response = search.rerank(5, &judge).run().unwrap();
            assert_eq!((response.hits.len(), response.total, response.to_judge), (0, Some(0), 0), "{query} {filter} {mode:?}");
            assert_eq!((response.timings.encode, response.timings.semantic), (Duration::ZERO, Duration::ZERO), "{filter}");
            assert_eq!(response.device, None, "no model ran");
        }
    }
    let all = index.snapshot().unwrap().search("dough").filter(Filter::keys(["cat"])).run().unwrap();
    assert!(all.timings.encode > Duration::ZERO && keys(&all) == ["cat"]);
}

#[test]
fn stop_words_alone_are_left_to_the_vectors() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    assert!(snapshot.search("the of and").mode(Mode::Lexical).run().unwrap().hits.is_empty());
    assert_eq!(snapshot.search("the of and").run().unwrap().hits.len(), 5);
}

#[test]
fn an_empty_index_answers_with_nothing() {
    let (_directory, index) = words_index();
    assert!(index.snapshot().unwrap().search("apples").run().unwrap().hits.is_empty());
    let (_directory, index) = vectors_index();
    assert!(index.snapshot().unwrap().search("apples").vector([1.0, 0.0]).run().unwrap().hits.is_empty());
}

#[test]
fn strange_queries_have_answers() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let long = "dough and bread, ".repeat(6_000);
    assert!(long.len() > 100_000);
    let many_words: String = (0..20_000).map(|number| format!("w{number} ")).collect();
    for query in [
        &long,
        &many_words,
        "dough\u{0}rest",
        "AND OR NOT ( \" [ : * ~ ^ \\",
        "title:dough",
        "🍞",
        "'; DROP TABLE documents; --",
        &"x".repeat(100_000),
    ] {
        let response = snapshot.search(query).rerank(5, &judge()).run().unwrap();
        assert!(response.hits.len() <= 5);
    }
    let response = snapshot.search(&long).rerank(5, &judge()).run().unwrap();
    assert_eq!(response.hits[0].key, "bread");
    let notes: Vec<String> = response.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes.iter().any(|note| note.contains("512 tokens")) && notes.iter().any(|note| note.contains("nothing was judged")),
        "{notes:?}"
    );
    assert_eq!(keys(&snapshot.search("dough\u{0}rest").mode(Mode::Lexical).run().unwrap()), ["bread"]);
}

#[test]
fn vectors_are_asked_for_where_they_are_needed_and_refused_where_they_are_not() {
    let (_directory, own) = vectors_index();
    let own = own.snapshot().unwrap();
    assert!(matches!(own.search("x").run(), Err(Error::Search(SearchError::NoQueryVector { .. }))));
    assert!(own.search("x").mode(Mode::Lexical).run().is_ok());
    for vector in [vec![1.0], vec![f32::NAN, 0.0], vec![0.0, 0.0]] {
        assert!(matches!(own.search("x").vector(vector).run(), Err(Error::Schema(SchemaError::Vector { .. }))));
    }
    let (_directory, encoded) = encoded_index();
    let refused = encoded.snapshot().unwrap().search("x").vector([1.0; 384]).run();
    assert!(matches!(refused, Err(Error::Search(SearchError::QueryVectorRefused { .. }))));
    let (_directory, words) = words_index();
    let words = words.snapshot().unwrap();
    assert!(matches!(words.search("x").mode(Mode::Semantic).run(), Err(Error::Search(SearchError::NoQueryVector { .. }))));
    assert!(matches!(words.search("x").vector([1.0]).run(), Err(Error::Search(SearchError::QueryVectorRefused { .. }))));
}

/// What is asked for by its values alone needs no vector, wherever the index has its vectors from.
#[test]
fn listing_and_sorting_need_no_vector() {
    let (_own, own) = vectors_index();
    let mut writer = own.writer().unwrap();
    for key in ["b", "a"] {
        writer.add(note(key, key, "text").vector(vec![1.0, 0.0])).unwrap();
    }
    writer.commit().unwrap();
    let (_encoded, encoded) = encoded_index();
    let without = Index::open(encoded.path(), Options::new()).unwrap();
    for (index, expected) in [(&own, 2), (&without, 5)] {
        let snapshot = index.snapshot().unwrap();
        let response = snapshot.search("*").run().unwrap();
        assert_eq!((response.mode, response.hits.len()), (Mode::Lexical, expected));
        let words = snapshot.search("text").run();
        assert!(matches!(words, Err(Error::Search(SearchError::NoQueryVector { .. }))), "words do need one");
    }
}

/// A picture has no words.
#[test]
fn a_document_without_text_has_others_like_it() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    for (key, vector) in [("a", [1.0, 0.1]), ("b", [1.0, 0.2]), ("c", [-1.0, 0.0])] {
        writer.add(Document::new(key).vector(vector.to_vec())).unwrap();
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let like = snapshot.more_like("a").unwrap().unwrap().limit(1).run().unwrap();
    assert_eq!((like.mode, keys(&like)), (Mode::Semantic, vec!["b"]));
    let by_vector = snapshot.search("").vector(vec![-1.0, 0.1]).limit(1).run().unwrap();
    assert_eq!(keys(&by_vector), ["c"]);
}

#[test]
fn equal_scores_are_ordered_by_key_however_they_came_in() {
    for keys_in in [["d", "b", "a", "c"], ["a", "b", "c", "d"]] {
        let (_directory, index) = words_index();
        let mut writer = index.writer().unwrap();
        for (at, key) in keys_in.into_iter().enumerate() {
            writer.add(note(key, "", "three words of water")).unwrap();
            // Words have other places and other numbers of documents in each segment.
            (0..at).for_each(|more| writer.add(note(&format!("{key}{more}"), "", "water, more of it")).unwrap());
            writer.commit().unwrap();
        }
        let snapshot = index.snapshot().unwrap();
        for query in ["words", "three AND words AND water", "wor*", "\"three words\"", "three~ -more"] {
            assert_eq!(keys(&snapshot.search(query).limit(3).run().unwrap()), ["a", "b", "c"], "{query}");
        }
    }
}

#[test]
fn the_response_as_json_has_its_fixed_shape() {
    let (_directory, index) = encoded_index();
    let response = index.snapshot().unwrap().search("dough").rerank(2, &judge()).limit(3).run().unwrap();
    let json: serde_json::Value = serde_json::from_str(&response.to_json()).unwrap();
    for field in ["query", "mode", "device", "generation", "timings_ms", "judged", "hits"] {
        assert!(json.get(field).is_some(), "{field} is missing");
    }
    assert_eq!((json["mode"].as_str(), json["judged"].as_u64(), json["generation"].as_u64()), (Some("hybrid"), Some(2), Some(1)));
    let hits = json["hits"].as_array().unwrap();
    for field in ["key", "rank", "score", "lexical", "semantic", "fused", "rerank", "passage", "fields"] {
        assert!(hits.iter().all(|hit| hit.get(field).is_some()), "{field} is missing");
    }
    assert!(hits[0]["rerank"]["logit"].is_f64() && hits[2]["rerank"].is_null());
    assert!(hits[0]["passage"]["start"].is_u64() && hits[0]["fields"]["title"].is_string());
    assert_eq!(hits[0]["rerank"]["logits"].as_array().map(Vec::len), Some(1));
    let passage = response.hits[0].passage.as_ref().unwrap();
    let ranges = |ranges: &[std::ops::Range<usize>]| ranges.iter().map(|range| [range.start, range.end]).collect::<Vec<_>>();
    assert!(!passage.highlights.is_empty());
    assert_eq!(hits[0]["passage"]["highlights"], serde_json::json!(ranges(&passage.highlights)));
    let snippet = passage.snippet(fossick::Passage::SNIPPET);
    let expected = serde_json::json!({
        "text": snippet.text,
        "highlights": ranges(&snippet.highlights),
        "cut_before": snippet.cut_before,
        "cut_after": snippet.cut_after,
    });
    assert_eq!(hits[0]["passage"]["snippet"], expected);
    assert!(json["timings_ms"]["total"].as_f64().unwrap() > 0.0);
}

#[test]
fn an_application_may_hold_all_threads_of_rayons_pool() {
    use rayon::prelude::*;
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let found: Vec<String> = (0..32)
        .into_par_iter()
        .map(|_| snapshot.search("dough rests overnight").rerank(2, &judge()).run().unwrap().hits[0].key.clone())
        .collect();
    assert!(found.iter().all(|key| key == "bread"));
    // A thread that waits for us must not take up other work of the application, which may wait for what it holds.
    let lock = std::sync::Mutex::new(());
    let fresh = Index::open(index.path(), Options::new().encoder(encoder())).unwrap().snapshot().unwrap();
    (0..32).into_par_iter().for_each(|_| {
        let _held = lock.lock().unwrap();
        fresh.search("dough rests overnight").run().unwrap();
    });
    let writer = std::sync::Mutex::new(index.writer().unwrap());
    (0..40).into_par_iter().for_each(|n| writer.lock().unwrap().add(note(&n.to_string(), "", "some text")).unwrap());
    writer.into_inner().unwrap().commit().unwrap();
    assert_eq!(index.snapshot().unwrap().document_count(), 45);
}

#[test]
fn a_snapshot_is_searched_from_many_threads() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let judge = judge();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let response = snapshot.search("dough rests overnight").rerank(3, &judge).run().unwrap();
                assert_eq!(response.hits[0].key, "bread");
            });
        }
    });
}

#[test]
fn hits_carry_only_the_fields_that_were_asked_for() {
    let (_directory, index) = encoded_index();
    let snapshot = index.snapshot().unwrap();
    let search = snapshot.search("sourdough bread");
    let names = |response: &Response| response.hits[0].fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&search.clone().run().unwrap()), ["title", "body"]);
    assert_eq!(names(&search.clone().fields(["title", "nothing"]).run().unwrap()), ["title"]);
    let bare = search.fields([""; 0]).run().unwrap();
    assert!(names(&bare).is_empty());
    assert!(bare.hits[0].passage.is_some());
}

#[test]
fn a_passage_says_where_it_has_the_querys_words() {
    let (_directory, index) = encoded_index();
    let response = index.snapshot().unwrap().search("hunting cats, asleep").run().unwrap();
    let passage = response.hits.iter().find(|hit| hit.key == "cat").unwrap().passage.as_ref().unwrap();
    let marked: Vec<&str> = passage.highlights.iter().map(|place| &passage.text[place.clone()]).collect();
    assert_eq!(marked, ["cat", "hunts"]);
}

#[test]
fn beginnings_and_words_that_are_nearly_right_are_marked_in_the_passage_that_has_them() {
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    let filler = "Nothing of the kind is said here, nor is it there. ".repeat(30);
    let body = format!("{filler}The invention was Obvious: so the report on obviousness. {filler}");
    writer.add(note("a", "", &body)).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let marked = |query: &str| {
        let response = snapshot.search(query).run().unwrap();
        let passage = response.hits[0].passage.clone().unwrap();
        let marked: Vec<String> = passage.highlights.iter().map(|place| passage.text[place.clone()].to_owned()).collect();
        let snippet = passage.snippet(60);
        assert_eq!(snippet.highlights.len(), marked.len(), "{snippet:?}");
        marked
    };
    for query in ["obvi*", "+obvi* -zebra", "(obvi* OR zebra)^2", "body:obvi*"] {
        assert_eq!(marked(query), ["Obvious", "obviousness"], "{query}");
    }
    for query in ["obvioux~", "obvioux~1"] {
        assert_eq!(marked(query), ["Obvious"], "{query}: edits of words as they are written");
    }
    assert_eq!(marked("obvi* invention"), ["invention", "Obvious", "obviousness"]);
    assert_eq!(marked("report -obvix*"), ["report"], "what is excluded is nothing to be marked");
}

#[test]
fn more_like_one_document_are_others_of_its_kind_and_never_itself() {
    let (_directory, index) = encoded_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("rolls", "Rolls", "Dough of flour, water and salt, baked in a hot oven.")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let judge = judge();
    for mode in [Mode::Lexical, Mode::Semantic, Mode::Hybrid] {
        for rerank in [0, 3] {
            let response = snapshot.more_like("bread").unwrap().unwrap().mode(mode).rerank(rerank, &judge).run().unwrap();
            assert_eq!(keys(&response)[0], "rolls", "{mode:?}");
            assert!(!keys(&response).contains(&"bread"));
        }
    }
    assert!(snapshot.more_like("nothing").unwrap().is_none());
    let (_directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("a", "", "walnut trees")).unwrap();
    writer.add(note("b", "Oaks", "a walnut")).unwrap();
    writer.commit().unwrap();
    assert_eq!(keys(&index.snapshot().unwrap().more_like("a").unwrap().unwrap().run().unwrap()), ["b"]);
}

#[test]
fn each_leg_can_have_a_depth_of_its_own() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    for number in 0..10_u8 {
        writer.add(note(&format!("n{number}"), "", "walnut").vector([1.0, f32::from(number)])).unwrap();
    }
    writer.commit().unwrap();
    let response = index.snapshot().unwrap().search("walnut").vector([1.0, 0.0]).depths(3, 5).limit(20).run().unwrap();
    assert_eq!(response.hits.iter().filter(|hit| hit.lexical.is_some()).count(), 3);
    assert_eq!(response.hits.iter().filter(|hit| hit.semantic.is_some()).count(), 5);
}

#[test]
fn weights_of_a_fusion_decide_and_impossible_ones_are_refused() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("words", "", "walnut walnut walnut").vector([0.0, 1.0])).unwrap();
    writer.add(note("vector", "", "a walnut among other words of a text").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for fusion in [Fusion::convex(1.0, 1.0), Fusion::reciprocal_rank(), Fusion::min_max(1.0, 1.0), Fusion::distribution(1.0, 1.0)]
    {
        for (words, vectors, first) in [(3.0, 1.0, "words"), (1.0, 3.0, "vector")] {
            let search = snapshot.search("walnut").vector([1.0, 0.0]).fusion(fusion.weights(words, vectors));
            assert_eq!(keys(&search.run().unwrap())[0], first, "{fusion:?}");
        }
        let refused = snapshot.search("walnut").vector([1.0, 0.0]).fusion(fusion.weights(-1.0, 1.0)).run().unwrap_err();
        assert!(matches!(&refused, Error::Search(SearchError::Fusion { .. })), "{refused}");
    }
}

/// All pages of so many hits, as keys.
fn pages(search: &Search<'_>, hits: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let page = search.clone().offset(found.len()).limit(hits).run().unwrap();
        assert!(page.hits.iter().map(|hit| hit.rank).eq(found.len() + 1..=found.len() + page.hits.len()));
        if page.hits.is_empty() {
            return found;
        }
        found.extend(page.hits.iter().map(|hit| hit.key.clone()));
    }
}

#[test]
fn what_words_find_and_what_is_sorted_is_paged_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("body").keyword("court").integer("year").build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema)).unwrap();
    let mut writer = index.writer().unwrap();
    let courts = ["Tax Court", "Supreme Court", "naïve court"];
    let mut documents: Vec<(String, [Option<String>; 2])> = Vec::new();
    for at in 0..330_usize {
        let key = format!("{}", (at * 211) % 331);
        let (court, year) = (courts.get(at % 4).copied(), (at % 7) as i64);
        let body = format!("walnut {}", "oak ".repeat(at % 5));
        let mut document = Document::new(&key).set("body", body).set("year", year);
        if let Some(court) = court {
            document = document.set("court", court);
        }
        writer.add(document).unwrap();
        documents.push((key, [court.map(str::to_owned), Some(year.to_string())]));
        // Several segments, with the same courts under other numbers.
        if at % 90 == 5 {
            writer.commit().unwrap();
        }
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let words = snapshot.search("walnut oak").fields([""; 0]);
    let whole: Vec<String> = keys(&words.clone().limit(1000).run().unwrap()).iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(whole.len(), 330);
    for hits in [7, 110, 1000] {
        assert_eq!(pages(&words, hits), whole);
    }
    for descending in [false, true] {
        for (at, field) in ["court", "year"].into_iter().enumerate() {
            let mut expected = documents.clone();
            expected.sort_by(|(a_key, a), (b_key, b)| {
                let by_value = if descending { b[at].cmp(&a[at]) } else { a[at].cmp(&b[at]) };
                a[at].is_none().cmp(&b[at].is_none()).then(by_value).then_with(|| a_key.cmp(b_key))
            });
            let expected: Vec<String> = expected.into_iter().map(|(key, _)| key).collect();
            let everything = snapshot.search("*").fields([""; 0]);
            let sorted = if descending { everything.sort_by_descending(field) } else { everything.sort_by(field) };
            for hits in [1, 48, 150, 1000] {
                let some = sorted.clone().limit(hits).run().unwrap();
                assert_eq!(keys(&some), expected[..hits.min(330)], "{field} {descending} {hits}");
            }
            assert_eq!(pages(&sorted, 60), expected, "{field} {descending}");
            let far = sorted.clone().offset(usize::MAX).limit(usize::MAX).run().unwrap();
            assert!(far.hits.is_empty());
        }
    }
}

#[test]
fn pages_of_a_hybrid_search_are_parts_of_one_list_that_ends_with_the_candidates() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    for at in 0..60_u8 {
        let body = format!("walnut {}", "oak ".repeat(usize::from(at % 5)));
        writer.add(note(&format!("n{at}"), "", &body).vector([f32::from(at % 6) + 1.0, f32::from(at % 9)])).unwrap();
    }
    writer.commit().unwrap();
    let (snapshot, judge) = (index.snapshot().unwrap(), judge());
    for rerank in [0, 15] {
        for mode in [Mode::Semantic, Mode::Hybrid, Mode::Lexical] {
            let search = snapshot.search("oak walnut").mode(mode).vector([1.0, 0.3]).candidates(25).rerank(rerank, &judge);
            let whole: Vec<String> =
                keys(&search.clone().limit(1000).run().unwrap()).iter().map(|key| (*key).to_owned()).collect();
            assert_eq!(whole.len(), if mode == Mode::Lexical && rerank == 0 { 60 } else { 25 }, "{mode:?}");
            for hits in [4, 25] {
                assert_eq!(pages(&search, hits), whole, "{mode:?}, {rerank} judged");
            }
        }
    }
}
