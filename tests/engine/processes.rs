//! Several processes in one directory, and disks that refuse. The other processes are this test binary again.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fossick::{Error, Index, Mode, OpenError, Options};

use crate::common::{note, schema};

const ROLE: &str = "FOSSICK_TEST_ROLE";
const PLACE: &str = "FOSSICK_TEST_PLACE";
const DOCUMENTS: usize = 12;
/// Seconds that another process may live.
const LONGEST: u64 = 900;

fn start(role: &str, place: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["processes::another_process", "--exact", "--nocapture", "--test-threads", "1"]);
    command.env(ROLE, role).env(PLACE, place).stdout(Stdio::null()).spawn().unwrap()
}

fn open(place: &Path) -> Index {
    Index::open_or_create(place, Options::new().schema(schema()).own_vectors(2)).unwrap()
}

/// Every document in one version, in one commit.
fn write_version(index: &Index, versions: std::ops::Range<usize>, pause: Duration) {
    let mut writer = index.writer().unwrap();
    for version in versions {
        for key in 0..DOCUMENTS {
            let body = format!("everything of version{version}. ").repeat(1 + version % 7);
            writer.add(note(&format!("k{key:02}"), &format!("version{version}"), &body).vector([1.0, version as f32])).unwrap();
        }
        writer.commit().unwrap();
        std::thread::sleep(pause);
    }
}

/// All of a snapshot is of one version, through the words, the vectors and the scan.
fn check_one_version(index: &Index) -> Option<String> {
    let snapshot = index.snapshot().unwrap();
    let first = snapshot.document("k00").unwrap()?;
    let version = first.get("title").unwrap().as_text().unwrap().to_owned();
    std::thread::sleep(Duration::from_millis(15));
    for mode in [Mode::Lexical, Mode::Semantic] {
        let hits = snapshot.search("everything").vector([1.0, 1.0]).mode(mode).limit(100).run().unwrap().hits;
        assert_eq!(hits.len(), DOCUMENTS, "{mode:?} of {version}");
        assert!(hits.iter().all(|hit| hit.text("title") == version), "{mode:?} mixes versions");
    }
    assert_eq!(snapshot.search(&version).mode(Mode::Lexical).limit(100).run().unwrap().hits.len(), DOCUMENTS);
    Some(version)
}

/// The other side of the tests below; does nothing when it is run for itself.
#[test]
fn another_process() {
    let (Ok(role), Ok(place)) = (std::env::var(ROLE), std::env::var(PLACE)) else { return };
    // Whoever started it waits for it: one that hangs is a failure, not a wait without end.
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(LONGEST));
        std::process::abort();
    });
    let place = Path::new(&place);
    let index = open(place);
    match role.as_str() {
        "read" => {
            // At least once, however long it took to come here.
            loop {
                assert!(check_one_version(&index).is_some());
                if place.with_extension("stop").exists() {
                    break;
                }
            }
        }
        "hold the lock" => {
            let _writer = index.writer().unwrap();
            fs::write(place.with_extension("held"), std::process::id().to_string()).unwrap();
            std::thread::sleep(Duration::from_secs(600));
        }
        #[cfg(target_os = "linux")]
        "run out of files" => linux::run_out_of_files(&index),
        other => panic!("no role {other}"),
    }
}

/// `FOSSICK_SECONDS=300` for minutes.
#[test]
fn readers_in_other_processes_see_whole_generations_while_a_writer_works() {
    let seconds = std::env::var("FOSSICK_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(6);
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("index");
    let index = open(&place);
    write_version(&index, 0..1, Duration::ZERO);
    let readers: Vec<Child> = (0..3).map(|_| start("read", &place)).collect();
    let begun = Instant::now();
    let mut version = 1;
    while begun.elapsed() < Duration::from_secs(seconds) {
        // A new writer now and then, with all that it does when it opens.
        write_version(&index, version..version + 10, Duration::from_millis(3));
        version += 10;
    }
    fs::write(place.with_extension("stop"), b"").unwrap();
    for mut reader in readers {
        assert!(reader.wait().unwrap().success(), "a reader saw something else");
    }
    println!("{version} generations");
    assert!(index.verify().unwrap().is_sound());
}

#[test]
fn a_second_writer_in_another_process_is_refused_by_name_until_the_first_dies() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("index");
    let index = open(&place);
    let mut holder = start("hold the lock", &place);
    let told = place.with_extension("held");
    let begun = Instant::now();
    while fs::read_to_string(&told).map_or(true, |text| text.is_empty()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the other process did not take the lock");
        std::thread::sleep(Duration::from_millis(10));
    }
    let begun = Instant::now();
    let refused = index.writer().map(|_| ()).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(1));
    let Error::Open(OpenError::Locked { holder: named, .. }) = &refused else { panic!("{refused}") };
    // Windows does not let others read a locked file.
    assert!(cfg!(windows) || *named == fs::read_to_string(&told).unwrap(), "{refused}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    write_version(&index, 0..1, Duration::ZERO);
}

/// Some dozens of rounds of `examples/crash_soak.rs`; the example itself runs thousands.
#[test]
fn a_writer_that_is_killed_again_and_again_loses_nothing() {
    let tests = std::env::current_exe().unwrap();
    let examples = tests.parent().and_then(Path::parent).unwrap().join("examples");
    let program = examples.join(format!("crash_soak{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        println!("skipped: {} is not there; `cargo test` without a filter for targets builds it", program.display());
        return;
    }
    let output = Command::new(program).args(["--rounds", "40", "--seed", "3"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().last(), Some("40 rounds, 0 lost, 0 disagreements"), "{text}");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    /// A small file system of its own; `None`, with the reason printed, where it cannot be made.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        fn mount(megabytes: u32) -> Option<Self> {
            let directory = tempfile::tempdir().unwrap();
            let size = format!("size={megabytes}m");
            let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).output();
            match mounted {
                Ok(output) if output.status.success() => Some(Self(directory)),
                Ok(output) => {
                    println!("skipped: no small file system can be mounted: {}", String::from_utf8_lossy(&output.stderr).trim());
                    None
                }
                Err(error) => {
                    println!("skipped: no small file system can be mounted: {error}");
                    None
                }
            }
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
        }
    }

    #[test]
    fn a_full_disk_loses_nothing_and_the_process_goes_on_when_there_is_room() {
        let Some(disk) = SmallDisk::mount(24) else { return };
        let place = disk.0.path().join("index");
        let index = open(&place);
        write_version(&index, 0..3, Duration::ZERO);
        let filler = disk.0.path().join("filler");
        let mut failures = 0;
        let mut version = 3;
        // Less room each time, down to none, so that the disk fills at another step.
        for room_kb in [6000, 2000, 800, 400, 200, 120, 80, 60, 40, 30, 20, 12, 8, 4, 0] {
            let free = free_bytes(disk.0.path());
            fs::write(&filler, vec![7u8; free.saturating_sub(room_kb * 1024) as usize]).unwrap();
            let kept = check_one_version(&index).unwrap();
            let mut writer = match index.writer() {
                Ok(writer) => writer,
                Err(error) => {
                    assert!(error.to_string().contains("space"), "{error}");
                    failures += 1;
                    fs::remove_file(&filler).unwrap();
                    continue;
                }
            };
            let mut failed = None;
            'more: for more in 0..40 {
                for key in 0..DOCUMENTS {
                    let body = format!("everything of version{}. ", version + more).repeat(400);
                    let note = note(&format!("k{key:02}"), &format!("version{}", version + more), &body);
                    if let Err(error) = writer.add(note.vector([1.0, 0.5])) {
                        failed = Some(error);
                        break 'more;
                    }
                }
                if let Err(error) = writer.commit() {
                    failed = Some(error);
                    break;
                }
            }
            drop(writer);
            let found = check_one_version(&index).unwrap();
            if let Some(error) = failed {
                failures += 1;
                println!("with {room_kb} KB: {error}");
            } else {
                assert_ne!(found, kept);
            }
            fs::remove_file(&filler).unwrap();
            version += 40;
            // There is room again: the same process goes on.
            write_version(&index, version..version + 1, Duration::ZERO);
            assert_eq!(check_one_version(&index), Some(format!("version{version}")));
            let report = index.verify().unwrap();
            assert!(report.is_sound(), "with {room_kb} KB: {:?}", report.problems);
            version += 1;
        }
        assert!(failures >= 5, "the disk was full only {failures} times");
    }

    fn free_bytes(path: &Path) -> u64 {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(path).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().nth(1).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn read_only_media_are_read_and_not_written() {
        let Some(disk) = SmallDisk::mount(16) else { return };
        let place = disk.0.path().join("index");
        let index = open(&place);
        write_version(&index, 0..3, Duration::ZERO);
        let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap();
        assert!(remounted.success());
        assert_eq!(check_one_version(&index), Some("version2".to_owned()));
        assert!(index.verify().unwrap().is_sound());
        let refused = index.writer().map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("LOCK") && refused.to_lowercase().contains("read-only"), "{refused}");
        let remounted = Command::new("mount").args(["-o", "remount,rw"]).arg(disk.0.path()).status().unwrap();
        assert!(remounted.success());
        write_version(&index, 3..4, Duration::ZERO);
    }

    #[test]
    fn a_limit_of_open_files_is_an_error_and_the_process_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("index");
        write_version(&open(&place), 0..2, Duration::ZERO);
        // In a process of its own: the limit is the process's.
        let program = std::env::current_exe().unwrap();
        let command = format!(
            "ulimit -n 200; exec '{}' processes::another_process --exact --nocapture --test-threads 1",
            program.display()
        );
        let output =
            Command::new("bash").args(["-c", &command]).env(ROLE, "run out of files").env(PLACE, &place).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("refusals"), "{text}");
        check_one_version(&open(&place)).unwrap();
    }

    /// Leaves a few file handles at a time; what cannot be opened then is an error, and nothing is lost.
    pub(super) fn run_out_of_files(index: &Index) {
        let mut refusals = 0;
        for spare in [0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 30] {
            let mut held = Vec::new();
            while let Ok(file) = fs::File::open("/dev/null") {
                held.push(file);
            }
            held.truncate(held.len() - spare);
            let tried = index.writer().and_then(|mut writer| {
                for key in 0..DOCUMENTS {
                    let version = format!("version{}", 1000 + spare);
                    writer.add(note(&format!("k{key:02}"), &version, &format!("everything of {version}.")).vector([1.0, 0.5]))?;
                }
                writer.commit()
            });
            drop(held);
            refusals += usize::from(tried.is_err());
            check_one_version(index).unwrap();
            write_version(index, 2000 + spare..2001 + spare, Duration::ZERO);
            assert!(index.verify().unwrap().is_sound());
        }
        println!("{refusals} refusals");
        assert!(refusals > 2);
    }
}
