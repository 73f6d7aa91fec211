//! The thread on which Lance runs.
//!
//! Lance is asynchronous and wants a tokio runtime. This one lives on a thread of its own, so that an application's runtime
//! is never entered and none leaks out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use tokio::runtime::{Builder, Runtime};

use crate::error::StorageError;

/// Answers that wait to be taken.
const AHEAD: usize = 2;

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
    /// All its files are read and written by one more thread. Of a page that is in memory already, reading is quicker than waking a thread for it, and
    /// Lance would wake one for each piece of each row; and what many threads have freed, an allocator keeps for each of them.
    pub(super) fn start() -> Result<Self, StorageError> {
        let failed = StorageError::io(Path::new("fossick-lance"), "starting the storage thread");
        let (jobs, queue) = unbounded::<Job>();
        let runtime = Builder::new_current_thread().max_blocking_threads(1).enable_time().build();
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
        let mut answers = self.stream(path, doing, |runtime, give| {
            give(work(runtime)?);
            Ok(())
        });
        answers.next().unwrap_or_else(|| Err(answers.failed("the storage thread is gone".to_owned())))
    }

    /// Runs `work` there, which gives one thing after the other, a few ahead of whoever takes them, until there are no more or `give` says that
    /// nobody takes them. The thread does nothing else meanwhile, so what is done with them must not need it.
    pub(super) fn stream<T: Send + 'static>(
        &self,
        path: &Path,
        doing: &'static str,
        work: impl FnOnce(&Runtime, &mut dyn FnMut(T) -> bool) -> lance::Result<()> + Send + 'static,
    ) -> Answers<T> {
        let (sender, waiting) = bounded(AHEAD);
        let unsent = sender.clone();
        let job: Job = Box::new(move |runtime| {
            let mut give = |thing| sender.send(Ok(thing)).is_ok();
            let reason = match catch_unwind(AssertUnwindSafe(|| work(runtime, &mut give))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => {
                    let text =
                        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
                    format!("it panicked: {}", text.unwrap_or("without a message"))
                }
            };
            // Whoever no longer takes answers needs no reason.
            let _ = sender.send(Err(reason));
        });
        if self.inner.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            let _ = unsent.send(Err("the storage thread is gone".to_owned()));
        }
        Answers { waiting, path: path.to_path_buf(), doing }
    }
}

/// What [`LanceThread::stream`] gives, as it comes; an error is the last.
pub(super) struct Answers<T> {
    waiting: Receiver<Result<T, String>>,
    path: PathBuf,
    doing: &'static str,
}

impl<T> Answers<T> {
    fn failed(&self, reason: String) -> StorageError {
        StorageError::Table { path: self.path.clone(), doing: self.doing, reason }
    }
}

impl<T> Iterator for Answers<T> {
    type Item = Result<T, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let answer = self.waiting.recv().ok()?;
        Some(answer.map_err(|reason| self.failed(reason)))
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
