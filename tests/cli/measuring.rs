//! What the machine, the models and an index are.

use crate::shell::Shell;

#[test]
fn bench_prints_rates_for_pairs_of_the_users() {
    let shell = Shell::new();
    shell.write(
        "pairs.jsonl",
        "{\"query\": \"dig a well\", \"passages\": [\"How to dig.\", \"How to thatch a roof with straw.\"]}\n",
    );
    let found = shell.run("bench --pairs pairs.jsonl --seconds 0.05 --rounds 1 --rows 200 --dims 8 --json").json();
    for (rerank, precision) in found["rerank"].as_array().unwrap().iter().zip(["int8", "f32"]) {
        assert_eq!((rerank["device"].as_str(), rerank["precision"].as_str()), (Some("cpu"), Some(precision)));
        assert!(rerank["pairs_per_s"].as_f64().unwrap() > 0.0 && rerank["tokens_per_s"].as_f64().unwrap() > 0.0);
    }
    assert!(found["embed"][0]["passages_per_s"].as_f64().unwrap() > 0.0);
    let cases = found["search"].as_array().unwrap();
    assert_eq!(cases.iter().map(|row| row["filter"].as_str().unwrap()).collect::<Vec<_>>(), ["none", "50%", "1%"]);
    for case in cases {
        assert_eq!((case["rows"].as_u64(), case["recall@100"].as_f64()), (Some(200), Some(1.0)));
        assert!(case["vector_p50_ms"].as_f64().unwrap() > 0.0 && case["fused_p95_ms"].as_f64() >= case["fused_p50_ms"].as_f64());
    }
    let exact = shell.run("bench --pairs pairs.jsonl --rerank --precision f32 --seconds 0.05 --rounds 1 --json").json();
    assert_eq!(exact["rerank"].as_array().unwrap().len(), 1);
    assert_eq!(exact["rerank"][0]["precision"], "f32");
    shell.words_index("{\"id\": \"a\", \"text\": \"How to dig.\"}\n");
    let own = shell.run("bench --search --seconds 0.05 --index INDEX --json").json();
    assert_eq!((own["search"][0]["mode"].as_str(), own["search"][0]["documents"].as_u64()), (Some("lexical"), Some(1)));
    let only = shell.run("bench --search --seconds 0.05 --rows 50,60 --dims 4").succeeded().out;
    assert!(only.contains("first stage") && !only.contains("judging"), "{only}");
}

#[test]
fn bench_says_how_well_searches_keep_to_a_deadline() {
    let shell = Shell::new();
    let line = |n: usize| format!("{{\"id\": \"d{n}\", \"text\": \"Document {n} on the patent of a computer program.\"}}\n");
    shell.words_index(&(0..30).map(line).collect::<String>());
    let found = shell.run("bench --deadline 1,60000 --index INDEX --precision int8 --rounds 1 --json").json();
    let rows = found["deadline"].as_array().unwrap();
    assert_eq!((rows.len(), found["rerank"].as_array().unwrap().len(), found["search"].as_array().unwrap().len()), (2, 0, 0));
    let number = |row: usize, name: &str| rows[row][name].as_f64().unwrap_or_else(|| panic!("{name}: {found}"));
    for row in [0, 1] {
        assert_eq!((number(row, "searches"), rows[row]["precision"].as_str()), (12.0, Some("int8")));
        assert!(number(row, "to_judge") > 0.0 && number(row, "p50_ms") <= number(row, "worst_ms"));
        let overrun = (number(row, "worst_ms") - number(row, "deadline_ms")).max(0.0);
        assert!((number(row, "overrun_ms") - overrun).abs() < 0.2, "{found}");
    }
    assert!(number(0, "judged") < number(0, "to_judge"), "{found}");
    assert_eq!((number(1, "judged"), number(1, "overrun_ms")), (number(1, "to_judge"), 0.0));
    shell.write("pairs.jsonl", "{\"query\": \"patent\", \"passages\": [\"x\"]}\n");
    let own = shell.run("bench --deadline 60000 --index INDEX --precision int8 --rounds 2 --pairs pairs.jsonl").succeeded().out;
    assert!(
        own.contains("deadlines") && own.contains("searches 2") && own.contains(", judged 60") && own.contains("to_judge 60"),
        "{own}"
    );
    shell.run("bench --deadline 100").refused(2, &["--index"]);
    shell.run("bench --deadline 0 --index INDEX").refused(2, &["--deadline"]);
}

#[test]
fn a_whole_round_of_bench_is_every_pair_once() {
    let shell = Shell::new();
    let lines = [
        "{\"query\": \"a\", \"passages\": [\"b\", \"c\"]}",
        "{\"query\": \"d\", \"passages\": []}",
        "{\"query\": \"e\", \"passages\": [\"f\"]}",
    ];
    shell.write("pairs.jsonl", lines.join("\n"));
    let found = shell.run("bench --pairs pairs.jsonl --rerank --embed --precision int8 --whole --rounds 2 --json").json();
    assert_eq!((found["rerank"][0]["pairs"].as_u64(), found["embed"][0]["passages"].as_u64()), (Some(3), Some(3)));
    shell.run("bench --whole --seconds 1").refused(2, &["--whole", "--seconds"]);
}

#[test]
fn bench_refuses_pairs_that_are_none() {
    let shell = Shell::new();
    shell.write("bad.jsonl", "{\"query\": \"a\", \"passages\": [\"b\"]}\n{\"query\": \"a\"}\n").write("none.jsonl", "");
    shell.run("bench --pairs bad.jsonl").refused(1, &["bad.jsonl, line 2", "passages"]);
    shell.run("bench --pairs none.jsonl").refused(1, &["none.jsonl: holds no pair"]);
    shell.run("bench --seconds 0").refused(1, &["--seconds"]);
}

#[test]
fn devices_models_and_completions() {
    let shell = Shell::new();
    let devices = shell.run("devices --json").json();
    let cpu = devices["devices"].as_array().unwrap().iter().find(|device| device["name"] == "cpu").unwrap();
    assert_eq!(cpu["precisions"], serde_json::json!(["int8", "f32"]));
    let models = shell.run("models --json").json();
    let roles: Vec<&str> = models["models"].as_array().unwrap().iter().map(|model| model["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["encoder", "cross-encoder"]);
    assert!(shell.run("models").succeeded().out.contains("reads 512 tokens"));
    shell.write("fake/config.json", "{}");
    let ended = shell.run("models fake --json");
    assert_eq!(ended.status, 1);
    assert!(ended.out.contains("error") && ended.out.contains("fake"), "{}", ended.out);
    for name in ["bash", "zsh", "fish", "powershell"] {
        assert!(shell.run(&format!("completions {name}")).succeeded().out.contains("fossick"), "{name}");
    }
}

#[test]
fn info_tells_fields_sizes_and_generation() {
    let shell = Shell::new();
    shell.words_index("{\"id\": \"a\", \"title\": \"T\", \"text\": \"one\", \"year\": 1}\n");
    let info = shell.run("info INDEX --json").json();
    assert_eq!((info["documents"].as_u64(), info["generation"].as_u64(), info["dimension"].as_u64()), (Some(1), Some(1), None));
    assert!(info["bytes"].as_u64().unwrap() > 1000);
    let page = shell.run("info INDEX").succeeded().out;
    assert!(page.contains("title:heading text:text year:integer") && page.contains("vectors     none"), "{page}");
}
