//! What people type into a search box, and what it finds.

use fossick::{Document, Error, Filter, Index, Language, Mode, Note, Options, Query, Schema, Snapshot};

use crate::common::{keys, note, vectors_index, words_index};

fn notes() -> (tempfile::TempDir, Index) {
    let (directory, index) = words_index();
    let mut writer = index.writer().unwrap();
    for (key, title, body) in [
        ("patent", "Software patents", "The obviousness standard of software patents, and the prior art."),
        ("order", "Orders", "Standard obviousness is another order of these words; patents are mentioned, software is not far."),
        ("tax", "Income tax", "Taxation of software companies."),
        ("color", "Colours", "The colour of a walnut."),
    ] {
        writer.add(note(key, title, body)).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (directory, index)
}

fn found(snapshot: &Snapshot, query: &str) -> Vec<String> {
    let response = snapshot.search(query).mode(Mode::Lexical).run().unwrap();
    assert!(response.notes.is_empty(), "{query}: {:?}", response.notes);
    let mut keys: Vec<String> = keys(&response).into_iter().map(str::to_owned).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn operators_mean_what_people_know_of_them() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("software", &["order", "patent", "tax"][..]),
        (r#""obviousness standard""#, &["patent"]),
        (r#""standard obviousness""#, &["order"]),
        (r#""obviousness patents"~3"#, &["patent"]),
        ("software -patents", &["tax"]),
        ("+software +walnut", &[]),
        ("software AND taxation", &["tax"]),
        ("walnut OR taxation", &["color", "tax"]),
        ("software AND NOT tax", &["order", "patent"]),
        ("title:software", &["patent"]),
        ("title:(income colours)", &["color", "tax"]),
        ("obvi*", &["order", "patent"]),
        ("wallnut~", &["color"]),
        ("walnit~1", &["color"]),
        ("(walnut OR taxation) AND colour", &["color"]),
        ("*", &["color", "order", "patent", "tax"]),
        ("-software", &["color"]),
    ] {
        assert_eq!(found(&snapshot, query), expected, "{query}");
    }
}

#[test]
fn a_boost_moves_what_it_boosts_to_the_front() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    for (query, first) in [("walnut^10 taxation", "color"), ("walnut taxation^10", "tax")] {
        assert_eq!(keys(&snapshot.search(query).run().unwrap())[0], first, "{query}");
    }
}

#[test]
fn whatever_is_typed_finds_something_sensible_and_says_what_was_left_out() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    for query in [
        r#"walnut ""#,
        "walnut (",
        "walnut AND",
        "AND walnut",
        "walnut ~",
        "NOT walnut OR",
        "walnut^x",
        "nofield:walnut",
        "w+a-l walnut",
    ] {
        let response = snapshot.search(query).run().unwrap();
        assert!(!response.hits.is_empty(), "{query}");
        if let Err(Error::Query(error)) = snapshot.search(query).strict().run() {
            assert!(error.position().is_some() || error.to_string().contains("byte"), "{error}");
        }
    }
    let response = snapshot.search("walnut year:[x").run().unwrap();
    assert!(response.hits.iter().any(|hit| hit.key == "color"));
    let unbalanced = snapshot.search("walnut (").run().unwrap();
    assert!(
        unbalanced.notes.iter().any(|note| matches!(note, Note::QueryIgnored(ignored) if ignored.at.start == 7)),
        "{:?}",
        unbalanced.notes
    );
    assert!(snapshot.search("walnut (").strict().run().is_err());
}

#[test]
fn plain_text_has_no_operators() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    let response = snapshot.search("software -patents").plain().run().unwrap();
    assert_eq!(keys(&response)[0], "patent");
}

#[test]
fn what_is_required_or_excluded_holds_for_the_vectors_too() {
    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("near", "", "oak").vector([1.0, 0.0])).unwrap();
    writer.add(note("far", "", "walnut").vector([0.0, 1.0])).unwrap();
    writer.add(note("middle", "", "walnut and oak").vector([0.7, 0.7])).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let found = |query: &str| -> Vec<String> {
        keys(&snapshot.search(query).vector([1.0, 0.0]).run().unwrap()).into_iter().map(str::to_owned).collect()
    };
    assert_eq!(found("walnut").len(), 3, "words alone restrict nothing");
    assert!(!found("walnut -oak").contains(&"near".to_owned()));
    assert_eq!(found("+walnut").len(), 2);
    assert_eq!(found("walnut AND oak"), ["middle"]);
}

#[test]
fn a_tree_that_is_built_finds_what_its_text_finds() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    let built = Query::phrase("obviousness standard")
        .or(Query::words("walnut").boost(3.0))
        .and_not(Query::words("tax").in_field("title"));
    let by_tree = snapshot.search_query(built.clone()).run().unwrap();
    let by_text = snapshot.search(&built.to_string()).strict().run().unwrap();
    assert_eq!(keys(&by_tree), keys(&by_text));
    assert!(!by_tree.hits.is_empty());
    assert!(snapshot.search_query(Query::words("x").in_field("nofield")).run().is_err());
}

#[test]
fn each_field_has_its_language_and_text_without_spaces_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("english").text_in("german", Language::German).text_in("japanese", Language::Neutral);
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema.build().unwrap())).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(Document::new("en").set("english", "The running houses")).unwrap();
    writer.add(Document::new("de").set("german", "Die Häuser am Fluss, mit Katzen")).unwrap();
    writer.add(Document::new("ja").set("japanese", "全文検索エンジンを作る")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("house", "en"),
        ("Katze", "de"),
        ("german:Haus", "de"),
        ("検索", "ja"),
        (r#""検索エンジン""#, "ja"),
        (r#"german:"Häuser am Fluss""#, "de"),
    ] {
        let response = snapshot.search(query).run().unwrap();
        assert_eq!(keys(&response), [expected], "{query}");
    }
    let hit = &snapshot.search("検索エンジン").run().unwrap().hits[0];
    let passage = hit.passage.as_ref().unwrap();
    let marked: Vec<&str> = passage.highlights.iter().map(|range| &passage.text[range.clone()]).collect();
    assert_eq!(marked, ["検索エンジン"]);
    let other = Schema::builder().text("english").text("german").text_in("japanese", Language::Neutral).build().unwrap();
    let refused = Index::open(directory.path().join("i"), Options::new().schema(other)).err().unwrap();
    assert!(refused.to_string().contains("German"), "{refused}");
}

#[test]
fn what_is_required_of_stop_words_is_passed_over_and_beginnings_find_what_begins_so() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("body").text_in("name", Language::Neutral).build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema)).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(Document::new("a").set("body", "Computing studies of in-house patents.")).unwrap();
    writer.add(Document::new("b").set("body", "全文検索エンジンを作る")).unwrap();
    writer.add(Document::new("c").set("body", "nothing of that")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("+the +patent", "a"),
        ("IT AND patent", "a"),
        ("patent AND of", "a"),
        ("computing*", "a"),
        ("studies*", "a"),
        ("comp*", "a"),
        ("in-hous*", "a"),
        ("検索エ*", "b"),
    ] {
        assert_eq!(keys(&snapshot.search(query).run().unwrap()), [expected], "{query}");
    }
    let refused = snapshot.search("  patent (").strict().run().map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("byte 9"), "places are those of what was typed: {refused}");
}

#[test]
fn everything_is_listed_quickly_and_conditions_alone_leave_the_order_to_the_vector() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("body").keyword("kind").build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema).own_vectors(2)).unwrap();
    let mut writer = index.writer().unwrap();
    for number in 0..9_000_u32 {
        let angle = number as f32 / 9_000.0;
        let document = Document::new(format!("{number:05}")).set("body", "walnut").set("kind", "tree");
        writer.add(document.vector([angle.cos(), angle.sin()])).unwrap();
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let begun = std::time::Instant::now();
    let all = snapshot.search("*").mode(Mode::Lexical).run().unwrap();
    assert_eq!(keys(&all)[..2], ["00000", "00001"]);
    assert!(begun.elapsed().as_secs() < 5, "ties must not cost more than they are");
    let near = snapshot.search("kind:tree").vector([2.0_f32.cos(), 2.0_f32.sin()]).candidates(usize::MAX).limit(2).run().unwrap();
    assert_eq!(keys(&near), ["08999", "08998"]);
}

/// Texts without a language, by their keys.
fn texts(all: &[(&str, &str)]) -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text_in("body", Language::Neutral).build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema)).unwrap();
    let mut writer = index.writer().unwrap();
    for (key, text) in all {
        writer.add(Document::new(*key).set("body", *text)).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (directory, index)
}

#[test]
fn of_what_is_required_or_excluded_the_whole_counts_in_text_without_spaces() {
    let (_directory, index) = texts(&[
        ("ja", "特許庁の審査官が検索エンジンを使う"),
        ("ja-parts", "特許の審査をエンジンで検索する"),
        ("zh", "专利法规定侵权行为的责任"),
        ("zh-parts", "关于专利和侵权的行为"),
        ("th", "ระบบการค้นหาเอกสาร"),
        ("th-parts", "ค้นพบการเดินทางหา"),
    ]);
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("検索エンジン", &["ja", "ja-parts"][..]),
        ("+検索エンジン", &["ja"]),
        ("特許 AND 審査官", &["ja"]),
        ("特許 AND (審査官 OR 専売)", &["ja"]),
        ("特許 -検索エンジン", &["ja-parts"]),
        ("特許 -(検索エンジン 審査官)^2", &["ja-parts"]),
        ("专利法 侵权行为", &["zh", "zh-parts"]),
        ("专利法 AND 侵权行为", &["zh"]),
        ("侵权 NOT 专利法", &["zh-parts"]),
        ("การค้นหา", &["th", "th-parts"]),
        ("+การค้นหา", &["th"]),
        ("ค้น -การค้นหา", &["th-parts"]),
    ] {
        assert_eq!(found(&snapshot, query), expected, "{query}");
    }
    let filter = Filter::parse("MATCHES \"検索エンジン\"", snapshot.schema()).unwrap();
    let among = |filter: Filter| snapshot.search("検索").filter(filter).run().unwrap();
    assert_eq!(keys(&among(filter.clone())), ["ja"]);
    assert_eq!(keys(&among(!filter)), ["ja-parts"]);
}

#[test]
fn of_what_is_required_or_excluded_the_whole_counts_between_hyphens_and_apostrophes() {
    let (_directory, index) = texts(&[
        ("in-house", "an in-house lawyer of O'Brien"),
        ("house", "a house in which a lawyer is"),
        ("well", "a well of O and Brien"),
        ("known", "a well-known lawyer"),
    ]);
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("in-house", &["house", "in-house"][..]),
        ("+in-house", &["in-house"]),
        ("lawyer -in-house", &["house", "known"]),
        ("lawyer -well-known", &["house", "in-house"]),
        ("-well-known", &["house", "in-house", "well"]),
        ("+O'Brien", &["in-house"]),
        ("+(well-known in-house)", &["in-house", "known"]),
        ("lawyer AND in-house~", &["house", "in-house"]),
    ] {
        assert_eq!(found(&snapshot, query), expected, "{query}");
    }
    let matches = |text: &str| Filter::parse(&format!("MATCHES \"{text}\""), snapshot.schema()).unwrap();
    assert_eq!(keys(&snapshot.search("*").filter(matches("in-house")).run().unwrap()), ["in-house"]);
    let explained = snapshot.search("+in-house lawyer").explain().run().unwrap();
    let hit = &explained.hits[0];
    let explanation = hit.explanation.as_ref().unwrap();
    assert!((explanation.value - hit.score).abs() < 1e-5, "{explanation:?}");

    let (_directory, index) = vectors_index();
    let mut writer = index.writer().unwrap();
    writer.add(note("whole", "", "a walnut-tree").vector([0.0, 1.0])).unwrap();
    writer.add(note("parts", "", "a tree and a walnut").vector([1.0, 0.0])).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(keys(&snapshot.search("+walnut-tree").vector([1.0, 0.0]).run().unwrap()), ["whole"], "of the vectors' leg too");
    assert_eq!(keys(&snapshot.search("tree -walnut-tree").vector([1.0, 0.0]).run().unwrap()), ["parts"]);
}

#[test]
fn one_character_of_text_without_spaces_is_found_wherever_it_stands() {
    let (_directory, index) = texts(&[
        ("ja-first", "猫が好きな人はいつもここに集まる"),
        ("ja-last", "隣の家の黒猫"),
        ("ja-middle", "黒猫と白猫と三毛猫が猫の話をする"),
        ("ja-alone", "それは 猫 ではない、とても長い文のなかのひとつの字である"),
        ("ja-dog", "犬が好き"),
        ("zh", "个人所得税法"),
        ("zh-other", "个人所得"),
        ("th", "ระบบการค้นหา"),
        ("th-other", "หาดใหญ่"),
        ("chapter", "これは第3章です"),
        ("chapter-4", "これは第4章です"),
    ]);
    let snapshot = index.snapshot().unwrap();
    let cats = &["ja-alone", "ja-first", "ja-last", "ja-middle"][..];
    for (query, expected) in [
        ("猫", cats),
        ("\"猫\"", cats),
        ("猫*", cats),
        ("猫~", cats),
        ("+猫", cats),
        ("猫 犬", &["ja-alone", "ja-dog", "ja-first", "ja-last", "ja-middle"]),
        ("猫 AND 黒", &["ja-last", "ja-middle"]),
        ("好き -猫", &["ja-dog"]),
        ("税", &["zh"]),
        ("个 -税", &["zh-other"]),
        ("ก", &["th"]),
        ("ห", &["th", "th-other"]),
        ("+第3章", &["chapter"]),
        ("\"3章\"", &["chapter"]),
        ("\"第3\"", &["chapter"]),
    ] {
        assert_eq!(found(&snapshot, query), expected, "{query}");
    }
    let response = snapshot.search("猫").explain().run().unwrap();
    assert_eq!(keys(&response)[0], "ja-middle", "it has it most often");
    for hit in &response.hits {
        let explanation = hit.explanation.as_ref().unwrap();
        assert!(hit.score > 0.0 && (explanation.value - hit.score).abs() < 1e-5, "{explanation:?}");
        let passage = hit.passage.as_ref().unwrap();
        let marked: Vec<&str> = passage.highlights.iter().map(|range| &passage.text[range.clone()]).collect();
        assert!(!marked.is_empty() && marked.iter().all(|text| *text == "猫"), "{marked:?}");
    }
    let filter = Filter::matches(Query::words("猫"));
    assert_eq!(snapshot.search("*").filter(filter).count_total().run().unwrap().total, Some(4));
}

#[test]
fn a_stop_word_of_one_language_is_a_word_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("english").text_in("german", Language::German).build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema)).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(Document::new("en-war").set("english", "A war of roses")).unwrap();
    writer.add(Document::new("en").set("english", "Roses die in peace")).unwrap();
    writer.add(Document::new("de").set("german", "Die Rose war rot")).unwrap();
    writer.add(Document::new("de-other").set("german", "Kein Krieg")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("+war", &["en-war"][..]),
        ("+war roses", &["de", "en-war"]),
        ("roses AND war", &["de", "en-war"]),
        ("war AND rot", &["de"]),
        ("+war AND rot", &["de"]),
        ("(+war)^2 AND rot", &["de"]),
        ("roses -die", &["de", "en-war"]),
        ("roses -war", &["de", "en"]),
        ("english:roses -english:die", &["en-war"]),
    ] {
        assert_eq!(found(&snapshot, query), expected, "{query}");
        let total = snapshot.search(query).mode(Mode::Lexical).count_total().run().unwrap().total;
        assert_eq!(total, Some(expected.len() as u64), "{query}");
    }
    let among = |filter: Filter| {
        let response = snapshot.search("*").filter(filter).run().unwrap();
        keys(&response).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(among(Filter::matches("war")), ["de", "de-other", "en-war"], "of German texts nobody knows");
    assert_eq!(among(!Filter::matches("war")), ["de", "de-other", "en"]);
    assert_eq!(among(Filter::matches(Query::fuzzy("war", 1))), ["de", "en-war"], "as they are written, they are known");
}

#[test]
fn what_has_no_effect_is_told_with_its_place() {
    let (_directory, index) = notes();
    let snapshot = index.snapshot().unwrap();
    let told = |query: &str| -> Vec<String> {
        let told = |note: &Note| match note {
            Note::QueryIgnored(ignored) => {
                assert_eq!(ignored.text, query[ignored.at.clone()]);
                ignored.text.clone()
            }
            other => panic!("{other}"),
        };
        snapshot.search(query).run().unwrap().notes.iter().map(told).collect()
    };
    for (query, expected) in [
        ("the patents", &[][..]),
        ("+the +patents", &["+the"]),
        ("patents -the", &["-the"]),
        ("patents AND the", &["the"]),
        ("patents NOT \"of the\"", &["NOT \"of the\""]),
        ("+(the software) patents", &[]),
        ("yaer:1976 patents", &["yaer:1976"]),
        ("http://patents note: patents", &[]),
        ("\"software patents\"~300", &["~300"]),
    ] {
        assert_eq!(told(query), expected, "{query}");
    }
    assert_eq!(snapshot.search("+the +patents").strict().run().unwrap().notes.len(), 1, "a strict reading tells it as well");
    let found = |query: &str| keys(&snapshot.search(query).mode(Mode::Lexical).run().unwrap()).len();
    assert_eq!((found("+the -patents"), found("-patents")), (2, 2), "what restricts nothing changes nothing");
    assert!(snapshot.search("\"software patents\"~300").strict().run().is_err());

    let long: Vec<String> = (0..1030).map(|number| format!("word{number}")).collect();
    let long = format!("\n{}  software", long.join("\n "));
    for search in [snapshot.search(&long), snapshot.search(&long).plain()] {
        let notes = search.run().unwrap().notes;
        let [Note::QueryIgnored(ignored)] = &notes[..] else { panic!("{notes:?}") };
        assert!(ignored.text.starts_with("word1024") && ignored.text.ends_with("software"), "{ignored}");
        assert!(ignored.to_string().contains("1024"), "{ignored}");
    }
}

#[test]
fn edits_leave_something_of_a_short_word() {
    let (_directory, index) =
        texts(&[("search", "検索"), ("other", "検品"), ("cat", "a cat"), ("dog", "a dog"), ("cot", "a cot"), ("ox", "an ox")]);
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in
        [("検索~2", &["search"][..]), ("cat~2", &["cat", "cot"]), ("ox~", &["ox"]), ("ix~2", &[]), ("catt~", &["cat"])]
    {
        assert_eq!(found(&snapshot, query), expected, "{query}");
    }
}

#[test]
fn beginnings_and_edits_are_those_of_words_as_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().heading("title").text("body").text_in("german", Language::German).build().unwrap();
    let index = Index::open_or_create(directory.path().join("i"), Options::new().schema(schema)).unwrap();
    let mut writer = index.writer().unwrap();
    writer.add(Document::new("computing").set("title", "Computing").set("body", "About machines")).unwrap();
    writer.add(Document::new("computer").set("title", "A house").set("body", "Computers, and computing them in-house")).unwrap();
    writer.add(Document::new("obvious").set("body", "Of obviousness, and whether they are")).unwrap();
    writer.add(Document::new("de").set("german", "Die Häuser der Rechnungen")).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for (query, expected) in [
        ("computi*", &["computer", "computing"][..]),
        ("title:computi*", &["computing"]),
        ("body:computi*", &["computer"]),
        ("body:computers*", &["computer"]),
        ("obviousne*", &["obvious"]),
        ("obviousnes~1", &["obvious"]),
        ("title:computting~", &["computing"]),
        ("german:rechnunge*", &["de"]),
        ("häusre~1", &["de"]),
        ("they*", &["obvious"]),
        ("machines AND comput*", &["computing"]),
        ("computing AND in-huose~", &["computer"]),
    ] {
        assert_eq!(found(&snapshot, query), expected, "{query}");
    }
    let scores: Vec<f32> = snapshot.search("computi*").run().unwrap().hits.iter().map(|hit| hit.score).collect();
    assert_eq!(scores, [1.0, 1.0], "in one field or in several");
}
