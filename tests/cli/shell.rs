//! Running `fossick` and looking at what it leaves.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A folder with files, in which commands run.
pub struct Shell {
    directory: tempfile::TempDir,
}

/// How a command ended.
pub struct Ended {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Shell {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Runs `fossick` with words separated by spaces.
    pub fn run(&self, arguments: &str) -> Ended {
        self.run_with(arguments, "")
    }

    /// The command that [`Shell::run`] runs.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fossick"));
        command.args(arguments.split_whitespace()).current_dir(self.directory.path());
        command.env("FOSSICK_DEVICE", "cpu").env_remove("FOSSICK_MODELS");
        command
    }

    /// The same with something on standard input.
    pub fn run_with(&self, arguments: &str, input: &str) -> Ended {
        let mut child =
            self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that refuses its arguments does not wait for input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ended {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Makes the index `INDEX` of words alone from a file of JSON lines.
    pub fn words_index(&self, lines: &str) -> &Self {
        self.write("corpus.jsonl", lines);
        self.run("index INDEX corpus.jsonl --words-only").succeeded();
        self
    }

    /// How many documents an index has.
    pub fn documents(&self, index: &str) -> u64 {
        self.run(&format!("info {index} --json")).json()["documents"].as_u64().unwrap()
    }
}

impl Ended {
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.status, 0, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Failed with this status, and the message holds all of these.
    #[track_caller]
    pub fn refused(self, status: i32, parts: &[&str]) -> Self {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in:\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    #[track_caller]
    pub fn json(self) -> Value {
        let ended = self.succeeded();
        serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.out))
    }

    /// One value a line.
    #[track_caller]
    pub fn json_lines(self) -> Vec<Value> {
        self.succeeded().out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub fn keys(response: &Value) -> Vec<&str> {
    response["hits"].as_array().unwrap().iter().map(|hit| hit["key"].as_str().unwrap()).collect()
}

/// A file of the data that lies beside a developer's checkout; prints why a test is skipped where it is not there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: {} is not there", file.display());
    None
}
