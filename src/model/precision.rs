//! What the networks multiply in.

use std::fmt;

use super::kernels::coarseness;

/// What a device multiplies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floating point: the model's numbers, to rounding.
    F32,
    /// Dense layers in 16-bit floating point, all else in f32. On GPUs whose shaders have such numbers.
    F16,
    /// Dense layers in 8-bit integers, activations quantised token by token; all else in f32. On the CPU alone.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        })
    }
}

impl Precision {
    /// What decides the last digits of an output beside the model: the precision, and how coarse 8 bits are on this machine.
    pub(crate) fn arithmetic(self) -> String {
        match self {
            Self::Int8 => format!("{self}{}", coarseness()),
            Self::F32 | Self::F16 => self.to_string(),
        }
    }
}

/// What the CPU's own kernels multiply in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CpuPrecision {
    F32,
    Int8,
}

impl From<Precision> for CpuPrecision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Int8 => Self::Int8,
            Precision::F32 | Precision::F16 => Self::F32,
        }
    }
}
