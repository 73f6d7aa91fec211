//! A network on a GPU, and the one on the CPU that takes its place when the GPU is lost.
//!
//! Drivers reset, laptops switch GPUs off, external ones are pulled out. wgpu says so once, and whatever is asked for afterwards fails:
//! Burn returns an error or panics. **Invariant:** after the first failure the GPU is not asked again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use super::compute::described;
use crate::error::ModelError;

/// Loads what takes a GPU's place.
pub(super) type Load<C> = Box<dyn Fn() -> Result<C, ModelError> + Send + Sync>;

pub(super) struct Standby<G, C> {
    /// `None` where it failed before it could be asked, so that it is lost from the beginning.
    gpu: Option<G>,
    /// The GPU's name.
    device: String,
    load: Option<Load<C>>,
    lost: OnceLock<Lost<C>>,
}

struct Lost<C> {
    reason: String,
    /// What took over, or why nothing did.
    cpu: Result<C, String>,
}

impl<G, C> Standby<G, C> {
    /// Brings a network onto the GPU; where a panic or [`ModelError::Compute`] says that the device cannot, the CPU computes from the
    /// beginning. Without `load` every failure is the caller's.
    ///
    /// # Errors
    /// What else `gpu` says, of the files or of what the device has room for; [`ModelError::Compute`] where nothing can take over.
    pub(super) fn open(
        gpu: impl FnOnce() -> Result<G, ModelError>,
        device: String,
        load: Option<Load<C>>,
    ) -> Result<Self, ModelError> {
        let reason = match catch_unwind(AssertUnwindSafe(gpu)) {
            Ok(Ok(gpu)) => return Ok(Self { gpu: Some(gpu), device, load, lost: OnceLock::new() }),
            Ok(Err(ModelError::Compute { reason, .. })) => reason,
            Ok(Err(other)) => return Err(other),
            Err(panic) => described(&*panic),
        };
        let standby = Self { gpu: None, device, load, lost: OnceLock::new() };
        let outcome = standby.take_over(format!("the weights did not go up: {reason}"));
        outcome.map(|_| ()).map_err(|reason| ModelError::Compute { device: standby.device.clone(), reason })?;
        Ok(standby)
    }

    /// `None` where it has failed before it could be asked.
    pub(super) fn gpu(&self) -> Option<&G> {
        self.gpu.as_ref()
    }

    #[cfg(test)]
    pub(super) fn gpu_mut(&mut self) -> Option<&mut G> {
        self.gpu.as_mut()
    }

    /// Why the GPU is no longer used; `None` while it is.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.get().map(|lost| lost.reason.as_str())
    }

    /// Computes on the GPU, and on the CPU where that fails or has failed before.
    ///
    /// # Errors
    /// What the GPU reported, where nothing can take over.
    pub(super) fn run<T>(&self, gpu: impl FnOnce(&G) -> Result<T, String>, cpu: impl FnOnce(&C) -> T) -> Result<T, String> {
        let reason = match (self.lost.get(), &self.gpu) {
            (None, Some(working)) => {
                let outcome = catch_unwind(AssertUnwindSafe(|| gpu(working)));
                match outcome.unwrap_or_else(|panic| Err(described(&*panic))) {
                    Ok(output) => return Ok(output),
                    Err(reason) => reason,
                }
            }
            // It has been told.
            _ => String::new(),
        };
        self.take_over(reason).map(cpu)
    }

    /// The network on the CPU, loaded unless it is there; then the reason is the earlier one.
    fn take_over(&self, reason: String) -> Result<&C, String> {
        let Some(load) = &self.load else { return Err(reason) };
        let lost = self.lost.get_or_init(|| self.give_up(reason, load));
        lost.cpu.as_ref().map_err(|why| format!("{}; and the CPU could not take over: {why}", lost.reason))
    }

    fn give_up(&self, reason: String, load: &Load<C>) -> Lost<C> {
        tracing::warn!(device = self.device, reason, "the device failed, the CPU takes over");
        Lost { reason: format!("{} failed: {reason}", self.device), cpu: load().map_err(|e| e.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A GPU that works a number of times.
    fn works(times: usize, asked: &AtomicUsize) -> Result<&'static str, String> {
        match asked.fetch_add(1, Ordering::SeqCst) < times {
            true => Ok("gpu"),
            false => Err("device lost".to_owned()),
        }
    }

    fn standby(
        load: impl Fn() -> Result<&'static str, ModelError> + Send + Sync + 'static,
    ) -> Standby<AtomicUsize, &'static str> {
        Standby::open(|| Ok(AtomicUsize::new(0)), "Radeon".to_owned(), Some(Box::new(load))).unwrap()
    }

    #[test]
    fn a_lost_device_is_replaced_by_the_cpu_and_not_asked_again() {
        let standby = standby(|| Ok("cpu"));
        let run = || standby.run(|asked| works(2, asked), |cpu| *cpu).unwrap();
        assert_eq!([run(), run()], ["gpu", "gpu"]);
        assert_eq!(standby.lost(), None);
        assert_eq!([run(), run(), run()], ["cpu", "cpu", "cpu"]);
        assert_eq!(standby.gpu().unwrap().load(Ordering::SeqCst), 3);
        assert_eq!(standby.lost(), Some("Radeon failed: device lost"));
    }

    #[test]
    fn a_panic_is_a_failure_like_another() {
        let standby = standby(|| Ok("cpu"));
        assert_eq!(standby.run(|_| panic!("wgpu error: lost"), |cpu| *cpu), Ok("cpu"));
        assert_eq!(standby.lost(), Some("Radeon failed: wgpu error: lost"));
    }

    #[test]
    fn a_device_that_fails_while_it_is_loaded_is_never_asked() {
        let full = || ModelError::Compute { device: "Radeon".to_owned(), reason: "out of memory".to_owned() };
        let failures: [fn() -> Result<AtomicUsize, ModelError>; 2] = [
            || panic!("out of memory"),
            || Err(ModelError::Compute { device: "Radeon".to_owned(), reason: "out of memory".to_owned() }),
        ];
        for fails in failures {
            let standby = Standby::open(fails, "Radeon".to_owned(), Some(Box::new(|| Ok("cpu")))).unwrap();
            assert_eq!(standby.run(|_| panic!("asked"), |cpu| *cpu), Ok("cpu"));
            assert_eq!(standby.lost(), Some("Radeon failed: the weights did not go up: out of memory"));
        }
        let gone: Load<&str> = Box::new(|| Err(ModelError::content(std::path::Path::new("model.safetensors"), "is gone")));
        let error = Standby::open(|| Err::<(), _>(full()), "Radeon".to_owned(), Some(gone)).err().unwrap().to_string();
        assert!(error.contains("out of memory") && error.contains("model.safetensors: is gone"), "{error}");
        let alone = Standby::<(), &str>::open(|| Err(full()), "Radeon".to_owned(), None);
        assert!(matches!(alone, Err(ModelError::Compute { .. })));
    }

    #[test]
    fn what_is_not_the_devices_failure_stays_an_error() {
        let damaged = || Err::<(), _>(ModelError::content(std::path::Path::new("model.safetensors"), "is damaged"));
        let standby = Standby::open(damaged, "Radeon".to_owned(), Some(Box::new(|| Ok("cpu"))));
        assert!(matches!(standby, Err(ModelError::Content { .. })));
    }

    #[test]
    fn many_threads_load_what_takes_over_once() {
        let loads = std::sync::Arc::new(AtomicUsize::new(0));
        let counted = loads.clone();
        let standby = standby(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok("cpu")
        });
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(standby.run(|asked| works(0, asked), |cpu| *cpu), Ok("cpu")));
            }
        });
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn where_nothing_can_take_over_both_reasons_are_told() {
        let standby = standby(|| Err(ModelError::content(std::path::Path::new("model.safetensors"), "is gone")));
        let error = standby.run(|asked| works(0, asked), |cpu| *cpu).unwrap_err();
        assert!(error.contains("device lost") && error.contains("model.safetensors: is gone"), "{error}");
        let alone: Standby<AtomicUsize, &str> = Standby::open(|| Ok(AtomicUsize::new(0)), "Radeon".to_owned(), None).unwrap();
        assert_eq!(alone.run(|asked| works(0, asked), |cpu| *cpu), Err("device lost".to_owned()));
        assert_eq!(alone.lost(), None);
    }
}
