//! How a command ends.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use fossick::{Error, OpenError, SearchError};

use crate::terminal::tell;

/// Some records were refused and the others taken.
pub const SOME_REFUSED: u8 = 3;
/// Stopped by the user, as shells report it.
pub const INTERRUPTED: u8 = 130;

/// The result of a command.
pub type Outcome = Result<ExitCode, Failure>;

/// Why a command failed, in words for a person.
#[derive(Debug)]
pub enum Failure {
    /// A message that names the place, what was expected, what was found, and what to do.
    Message(String),
    /// Whoever read the output has gone: nothing to tell, and nothing went wrong.
    ReaderGone,
}

impl Failure {
    pub fn new(message: impl Display) -> Self {
        Self::Message(message.to_string())
    }

    /// Tells the user, and gives the exit status.
    pub fn tell(self) -> ExitCode {
        match self {
            Self::Message(message) => {
                tell!("fossick: {message}");
                ExitCode::FAILURE
            }
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

/// The library's messages end with what a program should do; where a person at a shell does something else, it is said here.
impl From<fossick::Error> for Failure {
    fn from(error: fossick::Error) -> Self {
        match &error {
            Error::Open(OpenError::NotFound { path }) => Self::new(format_args!(
                "{}: there is no index here (no file CURRENT); make one with `fossick index {0} FILES`",
                path.display()
            )),
            Error::Open(OpenError::Locked { path, holder }) => Self::new(format_args!(
                "{}: another program is writing to this index (process {holder}); try again when it is done",
                path.display()
            )),
            Error::Search(SearchError::NoQueryVector { why, .. }) => Self::new(format_args!(
                "this search needs vectors, and {why}; use --mode lexical, or make a new index without --words-only"
            )),
            _ => Self::new(error),
        }
    }
}

macro_rules! from_library_errors {
    ($($error:ident),*) => {$(
        impl From<fossick::$error> for Failure {
            fn from(error: fossick::$error) -> Self {
                Self::new(error)
            }
        }
    )*};
}

from_library_errors!(EvaluateError, ModelError, QueryError, SchemaError);

/// An error of standard output; anything else is told with its file.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::new(format!("writing the output failed: {error}")),
        }
    }
}
