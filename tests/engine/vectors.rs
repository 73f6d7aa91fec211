//! The vectors' leg at sizes at which it goes by codes.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use fossick::{Document, Filter, Index, Metric, Mode, Options, RecallReport, Schema, Snapshot};

const ROWS: u64 = 12_000;

/// A vector that is near those of its cluster.
fn vector(seed: u64, dimension: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let cluster = (seed % 40) as f32;
    (0..dimension).map(|at| (cluster * (at + 1) as f32).sin() + next()).collect()
}

fn built(dimension: usize) -> (tempfile::TempDir, Index) {
    built_of(&clustered(), dimension)
}

/// Numbers with the seeds of their vectors, in forty clusters.
fn clustered() -> Vec<(u64, u64)> {
    (0..ROWS).map(|number| (number, number)).collect()
}

fn built_of(seeds: &[(u64, u64)], dimension: usize) -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let schema = Schema::builder().text("body").integer("number").build().unwrap();
    let options = Options::new().schema(schema).own_vectors(dimension);
    let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
    let mut writer = index.writer().unwrap();
    for (number, seed) in seeds {
        writer.add(document(*number, *seed, dimension)).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (directory, index)
}

fn document(number: u64, seed: u64, dimension: usize) -> Document {
    // Lengths differ: what is compared is the cosine.
    let vector: Vec<f32> = vector(seed, dimension).into_iter().map(|value| value * (1 + number % 7) as f32).collect();
    Document::new(number.to_string()).set("body", "word").set("number", number as i64).vector(vector)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// How many of the true nearest a snapshot finds, of how many, with their similarities right and in order.
fn found_of(snapshot: &Snapshot, seeds: &[(u64, u64)], filter: Option<&Filter>, limit: usize) -> (usize, usize) {
    let dimension = snapshot.dimension().unwrap();
    let (mut found, mut of) = (0, 0);
    for query in 0..20 {
        let asked = vector(1_000_000 + query, dimension);
        let mut right: Vec<(f64, u64)> =
            seeds.iter().map(|(number, seed)| (cosine(&vector(*seed, dimension), &asked), *number)).collect();
        right.sort_by(|a, b| b.0.total_cmp(&a.0));
        right.truncate(limit);
        let mut search = snapshot.search("x").mode(Mode::Semantic).vector(asked.clone()).candidates(limit).limit(limit);
        if let Some(filter) = filter {
            search = search.filter(filter.clone());
        }
        let response = search.run().unwrap();
        assert_eq!(response.hits.len(), right.len());
        let seed_of = |key: &str| seeds.iter().find(|(number, _)| number.to_string() == key).unwrap().1;
        for hit in &response.hits {
            assert!((f64::from(hit.score) - cosine(&vector(seed_of(&hit.key), dimension), &asked)).abs() < 1e-5);
        }
        assert!(response.hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let mine: HashSet<u64> = response.hits.iter().map(|hit| hit.key.parse().unwrap()).collect();
        found += right.iter().filter(|(_, number)| mine.contains(number)).count();
        of += right.len();
    }
    (found, of)
}

fn code_files(index: &Index) -> Vec<PathBuf> {
    fs::read_dir(index.path().join("codes")).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn codes_find_the_nearest_whatever_was_deleted_replaced_compacted_or_damaged() {
    // As wide as these, Lance has them as they are, and they are read where it has them.
    let (_directory, index) = built(96);
    let mut seeds = clustered();
    assert!(!code_files(&index).is_empty());
    assert_eq!(index.snapshot().unwrap().storage().uncoded_passages, 0);
    let check = |index: &Index, seeds: &[(u64, u64)], when: &str| {
        let snapshot = index.snapshot().unwrap();
        for (name, filter, kept) in [
            ("all", None, seeds.to_vec()),
            (
                "most",
                Some(Filter::less("number", 11_000)),
                seeds.iter().filter(|(number, _)| *number < 11_000).copied().collect(),
            ),
            ("few", Some(Filter::less("number", 50)), seeds.iter().filter(|(number, _)| *number < 50).copied().collect()),
        ] {
            let (found, of) = found_of(&snapshot, &kept, filter.as_ref(), 100);
            assert!(found as f64 >= 0.99 * of as f64, "{when}, {name}: {found} of {of}");
        }
    };
    check(&index, &seeds, "as written");

    let mut writer = index.writer().unwrap();
    for number in (0..ROWS).step_by(5) {
        writer.delete(&number.to_string()).unwrap();
    }
    for number in (1..ROWS).step_by(50) {
        writer.add(document(number, number + 20_000, 96)).unwrap();
    }
    writer.commit().unwrap();
    seeds.retain(|(number, _)| number % 5 != 0);
    seeds.iter_mut().filter(|(number, _)| number % 50 == 1).for_each(|(number, seed)| *seed = *number + 20_000);
    check(&index, &seeds, "after deletes and replacements");

    writer.compact().unwrap();
    drop(writer);
    let files = code_files(&index);
    assert_eq!(files.len(), 1, "one file of rows, one of codes; those of files that are gone are gone: {files:?}");
    check(&index, &seeds, "compacted");

    let bytes = fs::read(&files[0]).unwrap();
    for damage in 0..5 {
        let mut damaged = bytes.clone();
        match damage {
            0 => damaged.truncate(bytes.len() / 2),
            1 => damaged[bytes.len() / 2] ^= 1,
            2 => damaged[40] ^= 1,
            // As an earlier version wrote it.
            3 => damaged[14] = b'2',
            _ => damaged.clear(),
        }
        fs::write(&files[0], damaged).unwrap();
        let snapshot = Index::open(index.path(), Options::new()).unwrap().snapshot().unwrap();
        assert_eq!(snapshot.storage().uncoded_passages >= seeds.len() as u64, damage > 2, "what is no code file at all is seen");
        check(&Index::open(index.path(), Options::new()).unwrap(), &seeds, "with damaged codes");
    }
    drop(index.writer().unwrap());
    assert!(!files[0].exists(), "a writer removes what cannot be used");
    assert!(index.snapshot().unwrap().storage().uncoded_passages >= seeds.len() as u64, "and it can be seen");
    let mut writer = index.writer().unwrap();
    writer.add(document(ROWS, ROWS, 96)).unwrap();
    writer.commit().unwrap();
    assert_eq!(fs::read(&files[0]).unwrap(), bytes, "and the next commit writes it again, the same");
    assert!(index.verify().unwrap().is_sound());
}

#[test]
fn a_kept_generation_has_its_rows_though_codes_were_written_after_they_were_deleted() {
    let (_directory, index) = built(96);
    let tagged = {
        let mut writer = index.writer().unwrap();
        let tagged = writer.tag("before").unwrap();
        (0..ROWS).step_by(3).for_each(|number| assert!(writer.delete(&number.to_string()).unwrap()));
        fs::remove_dir_all(index.path().join("codes")).unwrap();
        writer.commit().unwrap();
        tagged
    };
    assert!(!code_files(&index).is_empty());
    let seeds = clustered();
    let (found, of) = found_of(&index.snapshot_at(tagged).unwrap(), &seeds, None, 20);
    assert!(found as f64 >= 0.99 * of as f64, "{found} of {of}");
    let rest: Vec<(u64, u64)> = seeds.into_iter().filter(|(number, _)| number % 3 != 0).collect();
    let (found, of) = found_of(&index.snapshot().unwrap(), &rest, None, 20);
    assert!(found as f64 >= 0.99 * of as f64, "{found} of {of}");
}

#[test]
fn lengths_count_where_the_metric_says_so() {
    let schema = || Schema::builder().text("body").build().unwrap();
    for (metric, rows, dimension) in
        [(Metric::Dot, 300, 8), (Metric::Euclidean, 300, 8), (Metric::Dot, 9_000, 80), (Metric::Euclidean, 9_000, 80)]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let options = Options::new().schema(schema()).own_vectors(dimension).metric(metric);
        let index = Index::open_or_create(&path, options).unwrap();
        let mut writer = index.writer().unwrap();
        let vectors: Vec<Vec<f32>> = (0..rows)
            .map(|row| vector(row, dimension).into_iter().map(|value| value * (1.0 + (row % 5) as f32)).collect())
            .collect();
        for (row, vector) in vectors.iter().enumerate() {
            writer.add(Document::new(row.to_string()).set("body", "word").vector(vector.clone())).unwrap();
        }
        writer.commit().unwrap();
        let snapshot = index.snapshot().unwrap();
        let (mut found, mut of) = (0, 0);
        for query in 0..10 {
            let asked = vector(2_000_000 + query, dimension);
            let score = |vector: &[f32]| -> f64 {
                let pairs = vector.iter().zip(&asked).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                if metric == Metric::Dot {
                    pairs.map(|(a, b)| a * b).sum()
                } else {
                    -pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>()
                }
            };
            let mut right: Vec<f64> = vectors.iter().map(|vector| score(vector)).collect();
            right.sort_by(|a, b| b.total_cmp(a));
            let search = snapshot.search("x").mode(Mode::Semantic).vector(asked.clone()).candidates(50).limit(50);
            let hits = search.run().unwrap().hits;
            for hit in &hits {
                let exact = score(&vectors[hit.key.parse::<usize>().unwrap()]);
                assert!(
                    (f64::from(hit.score) - exact).abs() < 1e-3 * exact.abs().max(1.0),
                    "{metric}: {} is not {exact}",
                    hit.score
                );
                found += usize::from(exact >= right[49] - 1e-6);
            }
            of += 50;
        }
        assert!(f64::from(found as u32) >= 0.99 * f64::from(of), "{metric}, {rows}: {found} of {of}");
        let report = snapshot.recall_check(20, 10).unwrap();
        assert!(report.recall >= RecallReport::TARGET && !report.widened, "{metric}: {report:?}");
        assert!(Index::open(&path, Options::new().own_vectors(dimension)).is_err(), "another metric is refused");
    }
}

#[test]
fn narrow_vectors_which_lance_packs_are_found_as_well() {
    let (_directory, index) = built(12);
    let (found, of) = found_of(&index.snapshot().unwrap(), &clustered(), None, 100);
    assert!(found as f64 >= 0.99 * of as f64, "{found} of {of}");
}

#[test]
fn an_index_measures_its_own_recall() {
    let (_directory, index) = built(12);
    let report = index.snapshot().unwrap().recall_check(50, 20).unwrap();
    assert_eq!((report.k, report.queries, report.compares_all), (50, 20, false));
    assert!(report.recall >= RecallReport::TARGET && report.recall <= 1.0, "{report:?}");
    let (_directory, words) = crate::common::words_index();
    assert!(words.snapshot().unwrap().recall_check(10, 5).is_err());
    for (k, sample) in [(10, 0), (0, 5)] {
        let refused = index.snapshot().unwrap().recall_check(k, sample).unwrap_err().to_string();
        assert!(refused.contains("tells nothing") && refused.contains("1 or more"), "{refused}");
    }
    let (_directory, empty) = crate::common::vectors_index();
    let report = empty.snapshot().unwrap().recall_check(10, 5).unwrap();
    assert_eq!((report.queries, report.recall, report.compares_all), (0, 1.0, true), "nothing can be missed");
}

/// Has codes tell nothing, and say that they err by this share of the most that they may err by.
fn spoil(index: &Index, share: f32) {
    code_files(index)
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "codes"))
        .for_each(|file| spoil_file(file, share));
}

/// `storage-format.md` has where what is.
fn spoil_file(file: &Path, share: f32) {
    let mut bytes = fs::read(file).unwrap();
    let number = |at: usize| u64::from_le_bytes(bytes[24 + 8 * at..][..8].try_into().unwrap()) as usize;
    let (dimension, padded, rows, pages, scaled) = (number(0), number(1), number(2), number(3), number(6));
    let parts = [4 * dimension, 16 * pages, 8 * rows, 24 * rows, 4 * scaled];
    let blocks = parts.iter().fold(80, |at: usize, bytes| at.next_multiple_of(64) + bytes).next_multiple_of(64);
    // A stripe has up to 64 blocks: first halves, each with numbers of 2 bytes, then second halves, each with numbers of 4.
    let (signs, first, second) = (2 * padded, 2 * padded + 192, 2 * padded + 384);
    let blocks = &mut bytes[blocks..][..rows.div_ceil(32) * (first + second)];
    for stripe in blocks.chunks_mut(64 * (first + second)) {
        let (firsts, seconds) = stripe.split_at_mut(stripe.len() / (first + second) * first);
        for (first, second) in firsts.chunks_exact_mut(first).zip(seconds.chunks_exact_mut(second)) {
            for row in 0..32 {
                let of_first = |place: usize| signs + 2 * (32 * place + row)..signs + 2 * (32 * place + row + 1);
                let of_second = |place: usize| signs + 4 * (32 * place + row)..signs + 4 * (32 * place + row + 1);
                let [f, e] = [0, 2].map(|place| f32::from_le_bytes(second[of_second(place)].try_into().unwrap()));
                let length = (f * f * padded as f32 - e * e * (padded - 1) as f32).max(0.0).sqrt();
                let error = (share * length).to_le_bytes();
                first[of_first(0)].fill(0);
                first[of_first(2)].copy_from_slice(&error[2..]);
                second[of_second(0)].fill(0);
                second[of_second(2)].copy_from_slice(&error);
            }
        }
    }
    let checksum = u64::from(crc32c::crc32c(&bytes[24..]));
    bytes[16..24].copy_from_slice(&checksum.to_le_bytes());
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_check_that_finds_too_little_has_this_and_later_snapshots_look_further() {
    // In no clusters, so that codes that tell nothing cannot be right by chance.
    let mut seeds: Vec<(u64, u64)> = (0..ROWS).map(|number| (number, 40 * number)).collect();
    let (_directory, index) = built_of(&seeds, 96);
    let kept = index.path().join("codes").join("deviations");
    let share_of = |snapshot: &Snapshot, seeds: &[(u64, u64)]| {
        let (found, of) = found_of(snapshot, seeds, None, 10);
        found as f64 / of as f64
    };
    let deviations = |index: &Index| index.snapshot().unwrap().storage().code_deviations;
    // The nearest of so many have a cosine of some 0.35: a code that says at most 3/24 misses them, one that says at most 9/24 does not.
    spoil(&index, 1.0 / 24.0);
    let snapshot = index.snapshot().unwrap();
    assert!(share_of(&snapshot, &seeds) < 0.5);
    let report = snapshot.recall_check(10, 20).unwrap();
    assert!(report.found_at_first < 0.5 && report.widened && report.recall >= RecallReport::TARGET, "{report:?}");
    assert!((4..=9).contains(&report.code_deviations), "{report:?}");
    let later = [snapshot, index.snapshot().unwrap(), Index::open(index.path(), Options::new()).unwrap().snapshot().unwrap()];
    for snapshot in &later {
        assert!(share_of(snapshot, &seeds) >= RecallReport::TARGET);
        assert_eq!(snapshot.storage().code_deviations, report.code_deviations);
        let again = snapshot.recall_check(10, 20).unwrap();
        assert!(again.found_at_first >= RecallReport::TARGET && !again.widened, "{again:?}");
    }
    drop(later);

    let mut writer = index.writer().unwrap();
    for number in (0..ROWS).step_by(2) {
        writer.delete(&number.to_string()).unwrap();
    }
    writer.add(document(ROWS, 40 * ROWS, 96)).unwrap();
    writer.commit().unwrap();
    seeds.retain(|(number, _)| number % 2 == 1);
    seeds.push((ROWS, 40 * ROWS));
    assert_eq!(deviations(&index), report.code_deviations);
    (ROWS + 1..ROWS + 6000).for_each(|number| writer.add(document(number, 40 * number, 96)).unwrap());
    seeds.extend((ROWS + 1..ROWS + 6000).map(|number| (number, 40 * number)));
    writer.commit().unwrap();
    writer.compact().unwrap();
    drop(writer);
    assert_eq!(deviations(&index), report.code_deviations, "cleaning up lets it be");
    assert!(index.verify().unwrap().is_sound());
    assert!(share_of(&index.snapshot().unwrap(), &seeds) >= 0.99, "the codes were made again");

    fs::write(&kept, "nonsense").unwrap();
    assert_eq!(deviations(&index), 3, "what is damaged is passed over");
    fs::remove_file(&kept).unwrap();
    assert_eq!(deviations(&index), 3, "and it may be deleted");
}

#[test]
fn a_check_that_cannot_leave_what_it_found_or_cannot_help_says_so() {
    let seeds: Vec<(u64, u64)> = (0..ROWS).map(|number| (number, 40 * number)).collect();
    let (_directory, index) = built_of(&seeds, 96);
    // A directory where the file is to be written first, so that even an administrator is refused.
    let obstacle = index.path().join("codes").join("deviations.tmp");
    fs::create_dir(&obstacle).unwrap();
    spoil(&index, 1.0 / 24.0);
    let snapshot = index.snapshot().unwrap();
    let report = snapshot.recall_check(10, 20).unwrap();
    assert!(report.widened && report.recall >= RecallReport::TARGET, "{report:?}");
    let (found, of) = found_of(&snapshot, &seeds, None, 10);
    assert!(found as f64 >= RecallReport::TARGET * of as f64, "{found} of {of}");
    assert_eq!(index.snapshot().unwrap().storage().code_deviations, 3, "that snapshot alone");
    drop((snapshot, index.writer().unwrap()));
    fs::remove_dir(&obstacle).unwrap();

    // Codes that say that they never err: no number of deviations helps.
    spoil(&index, 0.0);
    let report = index.snapshot().unwrap().recall_check(10, 20).unwrap();
    assert!(report.widened && report.recall < 0.5 && report.code_deviations == 9, "{report:?}");
}

#[test]
fn others_like_a_document_are_those_near_the_mean_of_its_vectors() {
    let schema = || Schema::builder().heading("title").text("body").build().unwrap();
    for (metric, nearest, score) in [(Metric::Dot, "twice", 2.5), (Metric::Euclidean, "at the mean", 0.0)] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new().schema(schema()).own_vectors(2).metric(metric);
        let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
        let mut writer = index.writer().unwrap();
        let document = |key: &str| Document::new(key).set("title", "a title").set("body", "a body");
        writer.add(document("asked").vector_of("title", [1.0, 0.0]).vector_of("body", [1.0, 1.0])).unwrap();
        writer.add(document("at the mean").vector_of("title", [1.0, 0.5])).unwrap();
        writer.add(document("twice").vector_of("title", [2.0, 1.0])).unwrap();
        writer.add(document("aside").vector_of("title", [-1.0, 0.5])).unwrap();
        writer.commit().unwrap();
        let snapshot = index.snapshot().unwrap();
        let hits = snapshot.more_like("asked").unwrap().unwrap().mode(Mode::Semantic).run().unwrap().hits;
        assert_eq!(hits[0].key, nearest, "{metric}");
        assert!((hits[0].score - score).abs() < 1e-6, "{metric}: {}", hits[0].score);
        if metric == Metric::Euclidean {
            let asked = snapshot.more_like("asked").unwrap().unwrap().mode(Mode::Semantic).vector_fields(["title"]);
            assert!((asked.run().unwrap().hits[0].score + 0.25).abs() < 1e-6, "one vector is its own mean");
        }
    }
}

/// Documents with a vector for their title, two of three with one for the picture that they name; every fifth has no title.
fn of_fields(number: u64, dimension: usize) -> Document {
    let mut document = Document::new(number.to_string()).set("number", number as i64).set("picture", format!("{number}.png"));
    if !number.is_multiple_of(5) {
        document = document.set("title", format!("  Title {number}"));
    }
    if !number.is_multiple_of(3) {
        document = document.vector_of("picture", vector(2 * number + 1, dimension));
    }
    document.vector_of("title", vector(2 * number, dimension))
}

#[test]
fn a_document_is_as_near_as_the_nearest_of_the_vectors_that_its_fields_have() {
    const DIMENSION: usize = 96;
    // Few, which are all compared; and so many that codes are gone by.
    for documents in [300, ROWS] {
        let directory = tempfile::tempdir().unwrap();
        let schema = Schema::builder().heading("title").stored("picture").integer("number").build().unwrap();
        let options = Options::new().schema(schema).own_vectors(DIMENSION);
        let index = Index::open_or_create(directory.path().join("index"), options).unwrap();
        let mut writer = index.writer().unwrap();
        (0..documents).for_each(|number| writer.add(of_fields(number, DIMENSION)).unwrap());
        writer.commit().unwrap();
        assert!(!writer.update(of_fields(1, DIMENSION)).unwrap(), "nothing has changed");
        let other = of_fields(1, DIMENSION).vector_of("picture", vector(7, DIMENSION));
        assert!(writer.update(other).unwrap(), "a vector is content");
        writer.add(of_fields(1, DIMENSION)).unwrap();
        writer.commit().unwrap();
        drop(writer);
        assert_eq!(code_files(&index).is_empty(), documents < 1000);
        assert!(index.verify().unwrap().is_sound());

        let snapshot = index.snapshot().unwrap();
        for (fields, below) in [
            (vec!["title", "picture"], documents),
            (vec!["picture"], documents),
            (vec!["title"], documents / 2),
            (vec!["picture"], 40),
        ] {
            let (mut found, mut of) = (0, 0);
            for query in 0..10 {
                let asked = vector(1_000_000 + query, DIMENSION);
                let near = |number: u64| -> Option<f64> {
                    let title = fields.contains(&"title").then_some(2 * number);
                    let picture = (fields.contains(&"picture") && !number.is_multiple_of(3)).then_some(2 * number + 1);
                    let seeds = title.into_iter().chain(picture);
                    seeds.map(|seed| cosine(&vector(seed, DIMENSION), &asked)).reduce(f64::max)
                };
                let mut right: Vec<(f64, u64)> =
                    (0..below).filter_map(|number| near(number).map(|near| (near, number))).collect();
                right.sort_by(|a, b| b.0.total_cmp(&a.0));
                right.truncate(50);
                let search = snapshot.search("x").mode(Mode::Semantic).vector(asked.clone()).candidates(50).limit(50);
                let search = search.filter(Filter::less("number", below as i64));
                let hits =
                    if fields.len() == 2 { search.run() } else { search.vector_fields(fields.clone()).run() }.unwrap().hits;
                assert_eq!(hits.len(), right.len());
                for hit in &hits {
                    let number = hit.key.parse().unwrap();
                    assert!((f64::from(hit.score) - near(number).unwrap()).abs() < 1e-5);
                    let passage = hit.passage.as_ref();
                    let expected = (number % 5 != 0).then(|| format!("Title {number}"));
                    assert_eq!(passage.map(|passage| passage.text.clone()), expected, "what can be read of it");
                    assert_eq!(passage.map(|passage| (passage.field.as_str(), passage.start)), expected.map(|_| ("title", 2)));
                }
                let mine: HashSet<u64> = hits.iter().map(|hit| hit.key.parse().unwrap()).collect();
                found += right.iter().filter(|(_, number)| mine.contains(number)).count();
                of += right.len();
            }
            assert!(found as f64 >= 0.99 * of as f64, "{fields:?} below {below} of {documents}: {found} of {of}");
        }

        let like = |fields: &[&str]| {
            let search = snapshot.more_like("2").unwrap().unwrap().mode(Mode::Semantic).limit(1);
            search.vector_fields(fields.iter().copied()).run().unwrap().hits[0].key.clone()
        };
        for (fields, seed_of) in [("title", 0), ("picture", 1)] {
            let own = vector(2 * 2 + seed_of, DIMENSION);
            let others = (0..documents).filter(|number| *number != 2 && (seed_of == 0 || !number.is_multiple_of(3)));
            let near = |number: &u64| cosine(&vector(2 * number + seed_of, DIMENSION), &own);
            let nearest = others.max_by(|a, b| near(a).total_cmp(&near(b))).unwrap();
            assert_eq!(like(&[fields]), nearest.to_string(), "{fields}");
        }
        let unknown = snapshot.search("x").vector(vector(1, DIMENSION)).vector_fields(["pictures"]).run();
        let message = unknown.unwrap_err().to_string();
        assert!(message.contains("\"pictures\" is not in the schema (it has title, picture, number)"), "{message}");
        let mut writer = index.writer().unwrap();
        let refused = |document: Document, writer: &mut fossick::Writer| writer.add(document).unwrap_err().to_string();
        let message = refused(Document::new("a").vector_of("pictures", vector(1, DIMENSION)), &mut writer);
        assert!(message.contains("document \"a\": field \"pictures\" is not in the schema"), "{message}");
        let message = refused(Document::new("a").vector_of("picture", [0.0; DIMENSION]), &mut writer);
        assert!(message.contains("document \"a\", field \"picture\": the vector is all zero"), "{message}");
        let message = refused(Document::new("a").set("title", "x"), &mut writer);
        assert!(message.contains("has no vector"), "{message}");
    }
}

/// A document with a vector for its body, and one of another size and metric for its picture; every third has no picture.
fn with_picture(number: u64) -> Document {
    let document = Document::new(number.to_string()).set("body", "words").vector(vector(2 * number, 96));
    match number.is_multiple_of(3) {
        true => document,
        // Long, and far from the others.
        false => document.vector_of("picture", picture(number)),
    }
}

fn picture(number: u64) -> Vec<f32> {
    vector(2 * number + 1, 40).into_iter().map(|value| 30.0 + 20.0 * value).collect()
}

#[test]
fn fields_may_have_vectors_of_a_size_and_a_metric_of_their_own() {
    let schema = || Schema::builder().text("body").stored("picture").build().unwrap();
    let options = || Options::new().schema(schema()).own_vectors(96).own_vectors_of("picture", 40, Metric::Euclidean);
    for documents in [300, ROWS] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let index = Index::open_or_create(&path, options()).unwrap();
        let mut writer = index.writer().unwrap();
        (0..documents).for_each(|number| writer.add(with_picture(number)).unwrap());
        writer.commit().unwrap();
        assert!(!writer.update(with_picture(1)).unwrap(), "nothing has changed");
        (0..documents).step_by(7).for_each(|number| assert!(writer.delete(&number.to_string()).unwrap()));
        writer.commit().unwrap();
        writer.compact().unwrap();
        drop(writer);
        assert_eq!(code_files(&index).is_empty(), documents < 1000);
        assert!(index.verify().unwrap().is_sound());

        let snapshot = Index::open(&path, options()).unwrap().snapshot().unwrap();
        assert_eq!((snapshot.dimension(), snapshot.metric()), (Some(96), Metric::Cosine));
        assert_eq!(snapshot.vectors_of("body"), Some((96, Metric::Cosine)));
        assert_eq!(snapshot.vectors_of("picture"), Some((40, Metric::Euclidean)));
        assert_eq!(snapshot.vectors_of("pictures"), None);
        let there = || (0..documents).filter(|number| !number.is_multiple_of(7));
        for of_pictures in [false, true] {
            let (mut found, mut of) = (0, 0);
            for query in 0..10 {
                let asked = if of_pictures { picture(1_000_000 + query) } else { vector(1_000_000 + query, 96) };
                let near = |number: &u64| match of_pictures {
                    true => {
                        let picture = picture(*number);
                        let pairs = picture.iter().zip(&asked).map(|(a, b)| f64::from(*a) - f64::from(*b));
                        -pairs.map(|difference| difference * difference).sum::<f64>()
                    }
                    false => cosine(&vector(2 * number, 96), &asked),
                };
                let with = |number: &u64| !of_pictures || !number.is_multiple_of(3);
                let mut right: Vec<(f64, u64)> = there().filter(with).map(|number| (near(&number), number)).collect();
                right.sort_by(|a, b| b.0.total_cmp(&a.0));
                right.truncate(50);
                let search = snapshot.search("").mode(Mode::Semantic).vector(asked.clone()).candidates(50).limit(50);
                let search = if of_pictures { search.vector_fields(["picture"]) } else { search };
                let hits = search.explain().run().unwrap().hits;
                assert_eq!(hits.len(), 50);
                for hit in &hits {
                    let right = near(&hit.key.parse().unwrap());
                    assert!((f64::from(hit.score) - right).abs() < 1e-5 * right.abs().max(1.0), "{} for {right}", hit.score);
                }
                let explained = hits[0].explanation.as_ref().unwrap().to_string();
                assert!(explained.contains(if of_pictures { "square of the distance" } else { "cosine with" }), "{explained}");
                let mine: HashSet<u64> = hits.iter().map(|hit| hit.key.parse().unwrap()).collect();
                found += right.iter().filter(|(_, number)| mine.contains(number)).count();
                of += right.len();
            }
            assert!(found as f64 >= 0.99 * of as f64, "pictures {of_pictures}, {documents}: {found} of {of}");
        }
        let report = snapshot.recall_check(20, 30).unwrap();
        assert!(report.queries == 30 && report.recall > 0.99, "{report:?}");
        // Others like a document are looked for by one kind of its vectors, and by words alone where it has none of that kind.
        let like = |key: &str| snapshot.more_like(key).unwrap().unwrap().mode(Mode::Semantic).limit(1).vector_fields(["picture"]);
        let nearest = |own: u64| {
            let distance = |number: &u64| {
                let (a, b) = (picture(*number), picture(own));
                a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
            };
            there()
                .filter(|number| *number != own && !number.is_multiple_of(3))
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        assert_eq!(like("2").run().unwrap().hits[0].key, nearest(2).unwrap().to_string());
        assert!(like("3").run().unwrap().hits.is_empty());
    }
}

#[test]
fn vectors_of_the_wrong_kind_are_refused_with_their_field() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let schema = || Schema::builder().heading("title").text("body").stored("picture").build().unwrap();
    let options = || Options::new().schema(schema()).own_vectors(2);
    let unknown = Index::open_or_create(&path, options().own_vectors_of("photo", 3, Metric::Dot)).unwrap_err().to_string();
    assert!(unknown.contains("field \"photo\"") && unknown.contains("title, body, picture"), "{unknown}");
    let kinds = || options().own_vectors_of("picture", 3, Metric::Dot).own_vectors_of("body", 4, Metric::Cosine);
    let index = Index::open_or_create(&path, kinds()).unwrap();
    for other in [options(), options().own_vectors_of("picture", 3, Metric::Dot), kinds().own_vectors_of("body", 3, Metric::Dot)]
    {
        let refused = Index::open(&path, other).unwrap_err().to_string();
        assert!(refused.contains("those of field \"picture\" of 3 dimensions, compared by dot product"), "{refused}");
    }

    let mut writer = index.writer().unwrap();
    let mut refused = |document: Document| writer.add(document).unwrap_err().to_string();
    let message = refused(Document::new("a").vector_of("picture", [1.0, 2.0]));
    assert!(message.contains("document \"a\", field \"picture\"") && message.contains("has 2 components"), "{message}");
    let message = refused(Document::new("a").vector_of("body", [1.0, 2.0, f32::NAN, 0.0]));
    assert!(message.contains("field \"body\"") && message.contains("NaN at position 2"), "{message}");
    let message = refused(Document::new("a").vector([1.0, 2.0, 3.0]));
    assert!(message.contains("document \"a\": the vector has 3 components") && message.contains('2'), "{message}");
    // Its own vector is of the index's kind, so it is taken for one of the title: those of the body are of another.
    writer.add(Document::new("a").set("title", "a title").set("body", "a body").vector([1.0, 2.0])).unwrap();
    writer.add(Document::new("b").set("body", "a body").vector([2.0, 1.0]).vector_of("picture", [0.0, 0.0, 1.0])).unwrap();
    writer.commit().unwrap();

    let snapshot = index.snapshot().unwrap();
    let hits = snapshot.search("").mode(Mode::Semantic).vector([1.0, 2.0]).run().unwrap().hits;
    let shown: Vec<_> =
        hits.iter().map(|hit| (hit.key.as_str(), hit.passage.as_ref().map(|passage| passage.text.as_str()))).collect();
    assert_eq!(shown, [("a", Some("a title")), ("b", None)]);
    let search = || snapshot.search("").mode(Mode::Semantic);
    let message = search().vector([1.0, 2.0, 3.0]).run().unwrap_err().to_string();
    assert!(message.contains("for no field of body, picture") && message.contains("has 3 components"), "{message}");
    let message = search().vector([1.0, 2.0]).vector_fields(["picture"]).run().unwrap_err().to_string();
    assert!(message.contains("the query: the vector has 2 components"), "{message}");
    let message = search().vector([1.0, 2.0]).vector_fields(["title", "picture"]).run().unwrap_err().to_string();
    assert!(message.contains("\"title\" are of 2 dimensions") && message.contains("\"picture\" of 3 dimensions"), "{message}");

    // Where nothing is said of the others, they are like those of the first field.
    let path = directory.path().join("other");
    let options = Options::new().schema(schema()).own_vectors_of("picture", 3, Metric::Dot);
    let snapshot = Index::open_or_create(&path, options).unwrap().snapshot().unwrap();
    assert_eq!((snapshot.dimension(), snapshot.metric()), (Some(3), Metric::Dot));
}
