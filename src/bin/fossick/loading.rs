//! Finding and loading what a command needs: a device, models, an index.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use fossick::{CrossEncoder, Device, Encoder, Index, ModelError, ModelIdentity, Options, Precision};

use crate::failure::Failure;

/// The directories of the two models that come with fossick.
const ENCODER: &str = "bge-small-en-v1.5";
const JUDGE: &str = "ms-marco-minilm-l-12-v2";

/// Where models are, and where they run.
#[derive(Args, Clone)]
#[command(next_help_heading = "Models and devices")]
pub struct ModelPlaces {
    /// The directory that holds the model directories [default: `models` beside the program, else in fossick's own checkout]
    #[arg(long, global = true, env = "FOSSICK_MODELS", value_name = "DIR", hide_env = true)]
    models: Option<PathBuf>,
    /// The encoder's directory [default: bge-small-en-v1.5 in the models' directory]
    #[arg(long, global = true, value_name = "DIR")]
    encoder: Option<PathBuf>,
    /// The cross-encoder's directory [default: ms-marco-minilm-l-12-v2 in the models' directory]
    #[arg(long, global = true, value_name = "DIR")]
    judge: Option<PathBuf>,
    /// Where models run: auto, cpu, or a part of an adapter's name; see `fossick devices` [default: auto]
    #[arg(long, global = true, value_name = "NAME")]
    device: Option<String>,
    /// What models compute in: int8, faster, on the CPU alone; f16, on GPUs whose shaders have it; f32, to rounding [default: int8 on the CPU, f32 on a GPU]
    #[arg(long, global = true, value_name = "PRECISION")]
    precision: Option<StatedPrecision>,
}

/// A precision as it is written.
#[derive(Clone, Copy, ValueEnum)]
enum StatedPrecision {
    F32,
    F16,
    Int8,
}

impl ModelPlaces {
    pub fn device(&self) -> Result<Device, ModelError> {
        let device = match &self.device {
            Some(name) => Device::named(name),
            None => Device::automatic(),
        }?;
        match self.precision() {
            Some(precision) => device.with_precision(precision),
            None => Ok(device),
        }
    }

    /// The precision, where one was asked for.
    pub fn precision(&self) -> Option<Precision> {
        self.precision.map(|stated| match stated {
            StatedPrecision::F32 => Precision::F32,
            StatedPrecision::F16 => Precision::F16,
            StatedPrecision::Int8 => Precision::Int8,
        })
    }

    /// The device's name, where one was asked for.
    pub fn device_name(&self) -> Option<&str> {
        self.device.as_deref()
    }

    pub fn encoder(&self, device: &Device) -> Result<Encoder, ModelError> {
        Encoder::load(self.encoder_path(), device)
    }

    pub fn judge(&self, device: &Device) -> Result<CrossEncoder, ModelError> {
        CrossEncoder::load(self.judge_path(), device)
    }

    pub fn encoder_path(&self) -> PathBuf {
        self.encoder.clone().unwrap_or_else(|| self.root().join(ENCODER))
    }

    pub fn judge_path(&self) -> PathBuf {
        self.judge.clone().unwrap_or_else(|| self.root().join(JUDGE))
    }

    /// The directory of model directories.
    pub fn root(&self) -> PathBuf {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.join("models")).filter(|path| path.is_dir());
        let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        self.models.clone().or_else(beside).unwrap_or_else(own)
    }

    /// Opens an index for searching, with the encoder that it was made with unless `words_only`.
    pub fn open(&self, path: &Path, words_only: bool) -> Result<Index, Failure> {
        let index = Index::open(path, Options::new())?;
        let made_with: Option<ModelIdentity> = index.snapshot()?.encoder_identity().cloned();
        if words_only || made_with.is_none() {
            return Ok(index);
        }
        let encoder = self.encoder(&self.device()?)?;
        Ok(Index::open(path, Options::new().encoder(encoder))?)
    }
}
