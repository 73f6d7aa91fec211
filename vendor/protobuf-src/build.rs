//! One executable with two duties.
//!
//! Cargo runs it without arguments as a build script: it copies itself to `OUT_DIR/protoc` and tells the library where
//! that is. Lance's build scripts run that copy with the arguments that prost-build gives to protoc: it compiles the
//! files with protox and writes the descriptor set that they asked for.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.is_empty() {
        install()
    } else {
        compile(Request::parse(arguments)?)
    }
}

fn install() -> Result<(), Box<dyn Error>> {
    let out_dir = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: this is a build script, run it through cargo")?;
    let protoc = PathBuf::from(out_dir).join(format!("protoc{}", env::consts::EXE_SUFFIX));
    fs::copy(env::current_exe()?, &protoc)?;
    println!("cargo:rustc-env=PROTOC_STAND_IN={}", protoc.display());
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}

/// The part of protoc's command line that prost-build uses.
#[derive(Default)]
struct Request {
    includes: Vec<String>,
    files: Vec<String>,
    descriptor_set: Option<String>,
    source_info: bool,
}

impl Request {
    fn parse(arguments: Vec<String>) -> Result<Self, String> {
        let mut request = Self::default();
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "-o" => request.descriptor_set = rest.next(),
                "-I" => request.includes.extend(rest.next()),
                "--include_source_info" => request.source_info = true,
                // protox always does what these two ask for.
                "--include_imports" | "--experimental_allow_proto3_optional" => {}
                option if option.starts_with('-') => {
                    return Err(format!("the stand-in for protoc does not know the option {option}; set PROTOC to a real protoc"));
                }
                _ => request.files.push(argument),
            }
        }
        Ok(request)
    }
}

fn compile(request: Request) -> Result<(), Box<dyn Error>> {
    let target = request.descriptor_set.ok_or("protoc needs `-o FILE`")?;
    let mut compiler = protox::Compiler::new(request.includes)?;
    compiler.include_imports(true).include_source_info(request.source_info).open_files(request.files)?;
    fs::write(target, compiler.encode_file_descriptor_set())?;
    Ok(())
}
