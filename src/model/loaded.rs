//! Models that are loaded: the same files on the same device once, however many threads ask, for as long as a handle lives.
//!
//! The registry holds weak references only, so it keeps no model; it spares an application that loads where it needs one from
//! having the same weights in memory twice.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use super::{Device, Precision};
use crate::error::ModelError;

/// What makes a model another one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    directory: PathBuf,
    /// All that tells one adapter from another.
    device: String,
    precision: Precision,
    /// A device that stands in for another says so in its responses.
    fallback: Option<String>,
    /// Length and time of change of each file that is read.
    files: Vec<Option<(u64, Option<SystemTime>)>>,
}

/// Every file that a model is read from; `1_Pooling` is where sentence-transformers puts it.
const FILES: [&str; 7] = [
    "config.json",
    "tokenizer.json",
    "model.safetensors",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

impl Key {
    fn new(directory: &Path, device: &Device) -> Self {
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
        let stamp = |name: &&str| {
            let metadata = directory.join(name).metadata().ok()?;
            Some((metadata.len(), metadata.modified().ok()))
        };
        let files = FILES.iter().map(stamp).collect();
        let fallback = device.fallback().map(str::to_owned);
        Self { device: format!("{:?}", device.info()), precision: device.precision(), fallback, files, directory }
    }
}

/// The models of one kind.
pub(super) struct Loaded<T>(Mutex<HashMap<Key, Arc<Mutex<Weak<T>>>>>);

impl<T> Loaded<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// The model in this directory on this device, loaded unless somebody has it. Others that ask for it meanwhile wait; others
    /// that ask for another do not.
    pub(super) fn get(
        &self,
        directory: &Path,
        device: &Device,
        load: impl FnOnce() -> Result<T, ModelError>,
    ) -> Result<Arc<T>, ModelError> {
        let place = {
            let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody has and nobody is loading.
            models.retain(|_, place| {
                Arc::strong_count(place) > 1 || place.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0
            });
            models.entry(Key::new(directory, device)).or_default().clone()
        };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = place.upgrade() {
            return Ok(model);
        }
        let model = Arc::new(load()?);
        *place = Arc::downgrade(&model);
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn many_threads_load_once_and_a_model_that_nobody_has_is_loaded_again() {
        let directory = tempfile::tempdir().unwrap();
        let (loaded, loads) = (Loaded::new(), AtomicUsize::new(0));
        let get = || {
            let load = || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                Ok(loads.fetch_add(1, Ordering::SeqCst))
            };
            loaded.get(directory.path(), &Device::cpu(), load).unwrap()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
            let models: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(models.iter().all(|model| Arc::ptr_eq(model, &models[0])));
            assert_eq!(*get(), 0);
        });
        assert_eq!(*get(), 1, "all handles are gone");
    }

    #[test]
    fn other_files_another_precision_and_a_failure_are_other_models() {
        let directory = tempfile::tempdir().unwrap();
        let loaded = Loaded::new();
        let first = loaded.get(directory.path(), &Device::cpu(), || Ok(1)).unwrap();
        let exact = Device::cpu().with_precision(Precision::F32).unwrap();
        assert_eq!(*loaded.get(directory.path(), &exact, || Ok(2)).unwrap(), 2);
        std::fs::write(directory.path().join("config.json"), "{}").unwrap();
        let failed = loaded.get(directory.path(), &Device::cpu(), || Err(ModelError::content(directory.path(), "no")));
        assert!(failed.is_err());
        assert_eq!(*loaded.get(directory.path(), &Device::cpu(), || Ok(3)).unwrap(), 3);
        assert_eq!(*first, 1);
    }
}
