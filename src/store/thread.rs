//! The thread on which Lance runs.
//!
//! Lance is asynchronous and wants a tokio runtime. This one lives on a thread of its own, so that an application's runtime
//! is never entered and none leaks out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Sender, bounded, unbounded};
use tokio::runtime::{Builder, Runtime};

use crate::error::StorageError;

type Job = Box<dyn FnOnce(&Runtime) + Send>;

/// A handle to the thread; the last one to go ends it.
#[derive(Clone)]
pub(super) struct LanceThread {
    inner: Arc<Inner>,
}

struct Inner {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl LanceThread {
    pub(super) fn start() -> Result<Self, StorageError> {
        Self::with(&mut Builder::new_current_thread())
    }

    /// One whose files are all read by one more thread. Of a page that is in memory already, reading is quicker than waking a thread for it, and
    /// Lance would wake one for each piece of each row.
    pub(super) fn for_reading() -> Result<Self, StorageError> {
        Self::with(Builder::new_current_thread().max_blocking_threads(1))
    }

    fn with(builder: &mut Builder) -> Result<Self, StorageError> {
        let failed = StorageError::io(Path::new("fossick-lance"), "starting the storage thread");
        let (jobs, queue) = unbounded::<Job>();
        let runtime = builder.enable_time().build();
        let thread = runtime.and_then(|runtime| {
            std::thread::Builder::new().name("fossick-lance".to_owned()).spawn(move || {
                for job in queue {
                    job(&runtime);
                }
            })
        });
        Ok(Self { inner: Arc::new(Inner { jobs: Some(jobs), thread: Some(thread.map_err(failed)?) }) })
    }

    /// Runs `work` there and waits for it. A panic in Lance becomes an error.
    pub(super) fn run<T: Send + 'static>(
        &self,
        path: &Path,
        doing: &'static str,
        work: impl FnOnce(&Runtime) -> lance::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let failed = |reason: String| StorageError::Table { path: path.to_path_buf(), doing, reason };
        let (answer, waiting) = bounded(1);
        let job: Job = Box::new(move |runtime| {
            let result = catch_unwind(AssertUnwindSafe(|| work(runtime)));
            // The caller waits below; nobody else can have closed the channel.
            let _ = answer.send(result);
        });
        let sent = self.inner.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(failed("the storage thread is gone".to_owned()));
        }
        match waiting.recv() {
            Ok(Ok(result)) => result.map_err(|error| failed(error.to_string())),
            Ok(Err(panic)) => {
                let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
                Err(failed(format!("it panicked: {}", text.unwrap_or("without a message"))))
            }
            Err(_) => Err(failed("the storage thread is gone".to_owned())),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
