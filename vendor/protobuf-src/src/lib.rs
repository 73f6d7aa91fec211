//! Where the stand-in for protoc was built; see `build.rs`.

use std::path::PathBuf;

/// The path of an executable that answers protoc's command line as prost-build uses it.
pub fn protoc() -> PathBuf {
    PathBuf::from(env!("PROTOC_STAND_IN"))
}
