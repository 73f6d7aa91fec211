//! `model.safetensors`: names, shapes and numbers, brought to f32.
//!
//! Plain F32, F16 and BF16 tensors, and 8-bit ones in the layout that compressed-tensors calls "int-quantized": `X.weight` in
//! I8, `X.weight_scale`, and optionally `X.weight_zero_point`, either one number for the tensor or one for each row; a value
//! is (q - zero point) · scale, in f32.

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, SafeTensors};

use crate::error::ModelError;
use crate::mapped::Mapped;

/// An opened weights file.
pub(super) struct Weights {
    path: PathBuf,
    bytes: Mapped,
    metadata: Metadata,
    data: usize,
    prefix: &'static str,
}

impl Weights {
    /// Reads the header and holds it against the file's length.
    pub(super) fn new(path: &Path, bytes: Mapped) -> Result<Self, ModelError> {
        let (metadata, data) = read_header(path, &bytes)?;
        const PROBE: &str = "embeddings.word_embeddings.weight";
        let prefix = ["", "bert."].into_iter().find(|prefix| metadata.info(&format!("{prefix}{PROBE}")).is_some());
        let prefix = prefix.ok_or_else(|| {
            ModelError::content(
                path,
                format!("has no tensor {PROBE} (with or without the prefix `bert.`): it is not a BERT model"),
            )
        })?;
        Ok(Self { path: path.to_path_buf(), bytes, metadata, data, prefix })
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is a tensor of that name at the top level.
    pub(super) fn has(&self, name: &str) -> bool {
        self.metadata.info(name).is_some()
    }

    /// A tensor of the network proper, whose name may be prefixed, as f32 in row-major order.
    pub(super) fn network(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        self.head(&format!("{}{name}", self.prefix), shape)
    }

    /// A layer normalisation's weight and bias; old files call them gamma and beta.
    pub(super) fn norm(&self, name: &str, size: usize) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
        let old = self.has(&format!("{}{name}.gamma", self.prefix));
        let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        Ok((self.network(&format!("{name}.{weight}"), &[size])?, self.network(&format!("{name}.{bias}"), &[size])?))
    }

    /// A tensor by its full name, as f32 in row-major order.
    ///
    /// # Errors
    /// [`ModelError::Content`] when it is missing, has another shape, or holds a value that is not finite.
    pub(super) fn head(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (dtype, found, bytes) = self.tensor(name)?;
        if found != shape {
            return Err(self.fact(format!("tensor {name} has the shape {found:?}; config.json asks for {shape:?}")));
        }
        let values = match dtype {
            Dtype::I8 => self.dequantize(name, shape, bytes)?,
            _ => self.floats(name, dtype, bytes)?,
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(self.fact(format!("tensor {name} holds {} at position {at}; expected finite numbers", values[at]))),
            None => Ok(values),
        }
    }

    /// A dense layer's weight, [outputs, inputs], in 8 bits with a scale for each output: as the file has it where it is quantised
    /// symmetrically, else quantised here, a row's largest number becoming ±127.
    ///
    /// # Errors
    /// As for [`Weights::head`].
    pub(super) fn eight_bits(&self, name: &str, shape: [usize; 2]) -> Result<(Vec<i8>, Vec<f32>), ModelError> {
        let full = format!("{}{name}", self.prefix);
        let (dtype, found, bytes) = self.tensor(&full)?;
        if dtype == Dtype::I8 && found == shape {
            let (scale, zero) = self.scales(&full, &shape)?;
            // 128 of it must be a number as well.
            if zero.iter().all(|&zero| zero == 0) && scale.iter().all(|scale| (scale * 128.0).is_finite()) {
                return Ok((bytes.iter().map(|&byte| byte as i8).collect(), scale));
            }
        }
        let floats = self.head(&full, &shape)?;
        let greatest = |row: &[f32]| row.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let scale: Vec<f32> = floats.chunks_exact(shape[1]).map(|row| greatest(row) / 127.0).collect();
        let round = |(row, &scale): (&[f32], &f32)| -> Vec<i8> {
            row.iter().map(|value| if scale > 0.0 { (value / scale).round() as i8 } else { 0 }).collect()
        };
        Ok((floats.chunks_exact(shape[1]).zip(&scale).flat_map(round).collect(), scale))
    }

    fn tensor(&self, name: &str) -> Result<(Dtype, &[usize], &[u8]), ModelError> {
        let info =
            self.metadata.info(name).ok_or_else(|| self.fact(format!("has no tensor {name}, which config.json implies")))?;
        let (start, end) = info.data_offsets;
        let bytes = self.bytes.get(self.data + start..self.data + end);
        let bytes = bytes.ok_or_else(|| self.fact(format!("tensor {name} reaches beyond the end of the file")))?;
        Ok((info.dtype, &info.shape, bytes))
    }

    fn floats(&self, name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
        let pairs = || bytes.as_chunks::<2>().0.iter();
        Ok(match dtype {
            Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::F16 => pairs().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => pairs().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
            other => {
                return Err(self.fact(format!("tensor {name} is of type {other:?}; expected F32, F16, BF16 or I8 with a scale")));
            }
        })
    }

    fn dequantize(&self, name: &str, shape: &[usize], bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
        let (scale, zero) = self.scales(name, shape)?;
        let columns = bytes.len().checked_div(scale.len()).unwrap_or(0);
        let mut values = Vec::with_capacity(bytes.len());
        for ((quantized, scale), zero) in bytes.chunks_exact(columns.max(1)).zip(scale).zip(zero) {
            values.extend(quantized.iter().map(|&q| (f32::from(q as i8) - f32::from(zero)) * scale));
        }
        Ok(values)
    }

    /// The scale and the zero point of each row of an 8-bit tensor.
    fn scales(&self, name: &str, shape: &[usize]) -> Result<(Vec<f32>, Vec<i8>), ModelError> {
        let rows = shape.first().copied().unwrap_or(1);
        let check = |part: &str, found: &[usize]| match found {
            [] | [1] => Ok(()),
            [n] | [n, 1] if *n == rows => Ok(()),
            _ => Err(self.fact(format!(
                "tensor {name}_{part} has the shape {found:?}; expected [1] or [{rows}, 1], as {name} is {shape:?}"
            ))),
        };
        let (dtype, found, scale) = self.tensor(&format!("{name}_scale"))?;
        check("scale", found)?;
        let scale = self.floats(&format!("{name}_scale"), dtype, scale)?;
        let zero_name = format!("{name}_zero_point");
        let zero = match self.has(&zero_name) {
            false => vec![0_i8],
            true => match self.tensor(&zero_name)? {
                (Dtype::I8, found, zero) => {
                    check("zero_point", found)?;
                    zero.iter().map(|&byte| byte as i8).collect()
                }
                (other, _, _) => return Err(self.fact(format!("tensor {zero_name} is of type {other:?}; expected I8"))),
            },
        };
        Ok((per_row(scale, rows), per_row(zero, rows)))
    }

    fn fact(&self, fact: String) -> ModelError {
        ModelError::content(&self.path, fact)
    }
}

/// One value for each row, where there may be one for all.
fn per_row<T: Copy>(values: Vec<T>, rows: usize) -> Vec<T> {
    match values.as_slice() {
        [one] => vec![*one; rows],
        _ => values,
    }
}

/// The header, and where the data begins.
fn read_header(path: &Path, bytes: &[u8]) -> Result<(Metadata, usize), ModelError> {
    let length = bytes.len() as u64;
    if let Some(&stated) = bytes.first_chunk::<8>() {
        let stated = u64::from_le_bytes(stated);
        if stated > length - 8 {
            let fact = format!(
                "its first 8 bytes announce a header of {stated} bytes, and {} follow: it is truncated or no safetensors file",
                length - 8
            );
            return Err(ModelError::content(path, fact));
        }
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| ModelError::content(path, format!("has no sound safetensors header ({length} bytes): {e}")))?;
    Ok((metadata, header + 8))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Weights, ModelError> {
        let mut on_disk = tempfile::NamedTempFile::new().unwrap();
        on_disk.write_all(bytes).unwrap();
        Weights::new(on_disk.path(), Mapped::open(on_disk.path()).unwrap())
    }

    const NAME: &str = "embeddings.word_embeddings.weight";

    #[test]
    fn eight_bits_with_a_zero_point_become_floats() {
        let header = format!(
            r#"{{"{NAME}":{{"dtype":"I8","shape":[2,2],"data_offsets":[0,4]}},"{NAME}_scale":{{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]}},"{NAME}_zero_point":{{"dtype":"I8","shape":[2,1],"data_offsets":[12,14]}}}}"#
        );
        let mut data = vec![1_u8, 255, 127, 128];
        data.extend([0.5_f32, 2.0].iter().flat_map(|f| f.to_le_bytes()));
        data.extend([1_u8, 255]);
        assert_eq!(open(&file(&header, &data)).unwrap().network(NAME, &[2, 2]).unwrap(), [0.0, -1.0, 256.0, -254.0]);
    }

    #[test]
    fn eight_bits_are_taken_as_they_are_or_made() {
        let words = format!(r#""{NAME}":{{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}"#);
        let symmetric = format!(
            r#"{{{words},"w":{{"dtype":"I8","shape":[2,2],"data_offsets":[1,5]}},"w_scale":{{"dtype":"F32","shape":[1],"data_offsets":[5,9]}}}}"#
        );
        let mut data = vec![0, 1, 255, 127, 128];
        data.extend(0.5_f32.to_le_bytes());
        let weights = open(&file(&symmetric, &data)).unwrap();
        assert_eq!(weights.eight_bits("w", [2, 2]).unwrap(), (vec![1, -1, 127, -128], vec![0.5, 0.5]));

        let floats = format!(r#"{{{words},"w":{{"dtype":"F32","shape":[2,2],"data_offsets":[1,17]}}}}"#);
        let mut data = vec![0];
        data.extend([-2.0_f32, 1.0, 0.0, 0.0].iter().flat_map(|f| f.to_le_bytes()));
        let weights = open(&file(&floats, &data)).unwrap();
        assert_eq!(weights.eight_bits("w", [2, 2]).unwrap(), (vec![-127, 64, 0, 0], vec![2.0 / 127.0, 0.0]));
        assert!(weights.eight_bits("w", [1, 4]).unwrap_err().to_string().contains("has the shape [2, 2]"));
    }

    #[test]
    fn half_precision_is_read_exactly() {
        for (dtype, bytes) in [("F16", f16::from_f32(-1.5).to_le_bytes()), ("BF16", bf16::from_f32(-1.5).to_le_bytes())] {
            let header = format!(r#"{{"bert.{NAME}":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,2]}}}}"#);
            assert_eq!(open(&file(&header, &bytes)).unwrap().network(NAME, &[1]).unwrap(), [-1.5]);
        }
    }

    #[test]
    fn lies_are_named() {
        let cases: [(Vec<u8>, &str); 6] = [
            (vec![1, 2, 3], "no sound safetensors header (3 bytes)"),
            ((u64::MAX).to_le_bytes().to_vec(), "announce a header of 18446744073709551615 bytes, and 0 follow"),
            (file("{}", &[]), "it is not a BERT model"),
            (file(&format!(r#"{{"{NAME}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#), &[0; 4]), "no sound"),
            (file(&format!(r#"{{"{NAME}":{{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}}}"#), &[0; 8]), "no sound"),
            (file("not json", &[]), "no sound"),
        ];
        for (bytes, fact) in cases {
            let error = open(&bytes).err().expect(fact).to_string();
            assert!(error.contains(fact), "{error}");
        }
        let nan = file(&format!(r#"{{"{NAME}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#), &f32::NAN.to_le_bytes());
        let weights = open(&nan).unwrap();
        assert!(weights.network(NAME, &[1]).unwrap_err().to_string().contains("holds NaN at position 0"));
        assert!(weights.network(NAME, &[2]).unwrap_err().to_string().contains("has the shape [1]; config.json asks for [2]"));
        let unscaled = file(&format!(r#"{{"{NAME}":{{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}}}"#), &[1]);
        assert!(open(&unscaled).unwrap().network(NAME, &[1]).unwrap_err().to_string().contains("_scale"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Fuzzes the header: a sound file with bytes overwritten, cut or repeated is read or refused, never a panic.
        #[test]
        fn a_damaged_header_is_an_error_or_harmless(
            damage in prop::collection::vec((0usize..260, any::<u8>()), 0..6), cut in 0usize..400, length in any::<Option<u64>>(),
        ) {
            let header = format!(
                r#"{{"{NAME}":{{"dtype":"I8","shape":[2,2],"data_offsets":[0,4]}},"{NAME}_scale":{{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}}}"#
            );
            let mut bytes = file(&header, &[1, 2, 3, 4, 0, 0, 128, 63]);
            for (at, byte) in damage {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if let Some(length) = length {
                bytes[..8].copy_from_slice(&length.to_le_bytes());
            }
            bytes.truncate(cut);
            if let Ok(weights) = open(&bytes) {
                let _ = weights.network(NAME, &[2, 2]);
            }
        }

        #[test]
        fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(&bytes).is_err());
        }
    }
}
