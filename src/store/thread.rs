//! The thread on which Lance runs.
//!
//! Lance is asynchronous and wants a tokio runtime. This one lives on a thread of its own, so that an application's runtime
//! is never entered and none leaks out.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use tokio::runtime::{Builder, Runtime};

use crate::error::StorageError;

/// Answers that wait to be taken.
const AHEAD: usize = 2;

/// Why there is no answer.
const GONE: &str = "the storage thread is gone";

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
        let failed = |error: io::Error| StorageError::Threads { reason: error.to_string() };
        let (jobs, queue) = unbounded::<Job>();
        let (tell, told) = bounded(1);
        // The runtime begins and ends there: where this is asked for may be inside of one of the application's.
        let thread = std::thread::Builder::new().name("fossick-lance".to_owned()).spawn(move || match runtime() {
            Ok(runtime) => {
                let _ = tell.send(Ok(()));
                for job in queue {
                    job(&runtime);
                }
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        });
        let thread = thread.map_err(failed)?;
        told.recv().unwrap_or_else(|_| Err(io::Error::other(GONE))).map_err(failed)?;
        Ok(Self { inner: Arc::new(Inner { jobs: Some(jobs), thread: Some(thread) }) })
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
        answers.next().unwrap_or_else(|| Err(answers.failed(GONE.to_owned())))
    }

    /// Runs `work` there, which gives one thing after the other, a few ahead of whoever takes them, until there are no more or `give` says that
    /// nobody takes them. The thread does nothing else meanwhile, so what is done with them must not need it.
    pub(super) fn stream<T: Send + 'static>(
        &self,
        path: &Path,
        doing: &'static str,
        work: impl FnOnce(&Runtime, &mut dyn FnMut(T) -> bool) -> lance::Result<()> + Send + 'static,
    ) -> Answers<'_, T> {
        let (sender, waiting) = bounded(AHEAD);
        let job: Job = Box::new(move |runtime| {
            let mut give = |thing| sender.send(Ok(Some(thing))).is_ok();
            let end = match catch_unwind(AssertUnwindSafe(|| work(runtime, &mut give))) {
                Ok(Ok(())) => Ok(None),
                Ok(Err(error)) => Err(error.to_string()),
                Err(panic) => {
                    let text =
                        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
                    Err(format!("it panicked: {}", text.unwrap_or("without a message")))
                }
            };
            // Whoever no longer takes answers needs no end.
            let _ = sender.send(end);
        });
        // A job that is not taken goes, and its channel with it.
        let _ = self.inner.jobs.as_ref().map(|jobs| jobs.send(job));
        Answers { waiting, ended: false, path: path.to_path_buf(), doing, _thread: self }
    }
}

/// A runtime whose threads run, and Lance's own, which it would start when it first needs them: there a system that has no thread to give makes it panic
/// inside of its tasks, and others of its tasks wait for those for ever.
fn runtime() -> io::Result<Runtime> {
    /// Lance has one set of threads for computing in a process; it starts them once, and cannot be asked again.
    static COMPUTING: OnceLock<bool> = OnceLock::new();
    let for_ever = Duration::from_secs(u64::MAX);
    let runtime = Builder::new_current_thread().max_blocking_threads(1).thread_keep_alive(for_ever).enable_time().build()?;
    let starts = |start: &dyn Fn() -> bool| catch_unwind(AssertUnwindSafe(start)).unwrap_or(false);
    if !starts(&|| runtime.block_on(runtime.spawn_blocking(|| ())).is_ok()) {
        return Err(io::Error::other("the system gives this process no more threads"));
    }
    let computing = || starts(&|| runtime.block_on(lance_core::utils::tokio::spawn_cpu(|| Ok::<_, Infallible>(()))).is_ok());
    match COMPUTING.get_or_init(computing) {
        true => Ok(runtime),
        false => Err(io::Error::other("Lance could not start its own when it first tried, and can only in a new process")),
    }
}

/// What [`LanceThread::stream`] gives, as it comes; an error is the last.
#[must_use]
pub(super) struct Answers<'a, T> {
    /// `None` at the end, so that a thread that is gone is not taken for it.
    waiting: Receiver<Result<Option<T>, String>>,
    ended: bool,
    path: PathBuf,
    doing: &'static str,
    /// Whoever lets the last handle go waits for the thread, which may wait for these to be taken.
    _thread: &'a LanceThread,
}

impl<T> Answers<'_, T> {
    fn failed(&self, reason: String) -> StorageError {
        StorageError::Table { path: self.path.clone(), doing: self.doing, reason }
    }
}

impl<T> Iterator for Answers<'_, T> {
    type Item = Result<T, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let answer = self.waiting.recv().unwrap_or_else(|_| Err(GONE.to_owned()));
        self.ended = !matches!(answer, Ok(Some(_)));
        answer.map_err(|reason| self.failed(reason)).transpose()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(
        thread: &LanceThread,
        work: impl FnOnce(&mut dyn FnMut(usize) -> bool) -> lance::Result<()> + Send + 'static,
    ) -> Answers<'_, usize> {
        thread.stream(Path::new("table"), "counting", |_, give| work(give))
    }

    #[test]
    fn it_can_be_started_and_asked_inside_of_the_applications_runtime() {
        let answer = Builder::new_current_thread().build().unwrap().block_on(async {
            let thread = LanceThread::start().unwrap();
            thread.run(Path::new("table"), "counting", |runtime| Ok(runtime.block_on(async { 7 }))).unwrap()
        });
        assert_eq!(answer, 7);
    }

    #[test]
    fn all_answers_come_in_order() {
        let thread = LanceThread::start().unwrap();
        let answers = stream(&thread, |give| {
            assert!((0..100).all(give));
            Ok(())
        });
        let numbers: Result<Vec<usize>, _> = answers.collect();
        assert_eq!(numbers.unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_or_a_panic_comes_after_what_was_given_and_is_the_last() {
        let thread = LanceThread::start().unwrap();
        let ways: [fn() -> lance::Result<()>; 2] =
            [|| Err(lance::Error::io("the disk is gone")), || panic!("an invariant is gone")];
        for way in ways {
            let mut answers = stream(&thread, move |give| {
                give(1);
                way()
            });
            assert_eq!(answers.next().unwrap().unwrap(), 1);
            let error = answers.next().unwrap().unwrap_err().to_string();
            assert!(error.contains("counting") && error.contains("is gone"), "{error}");
            assert!(answers.next().is_none());
        }
    }

    #[test]
    fn answers_that_nobody_takes_do_not_hold_the_thread() {
        let thread = LanceThread::start().unwrap();
        let mut answers = stream(&thread, |give| {
            let given = (0..).take_while(|number| give(*number)).count();
            assert!(given < 10, "{given} were given");
            Ok(())
        });
        assert_eq!(answers.next().unwrap().unwrap(), 0);
        drop(answers);
        assert_eq!(thread.run(Path::new("table"), "going on", |_| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn a_thread_that_is_gone_is_an_error_and_no_end() {
        let gone = LanceThread { inner: Arc::new(Inner { jobs: None, thread: None }) };
        let mut answers = stream(&gone, |_| Ok(()));
        assert!(answers.next().unwrap().unwrap_err().to_string().contains(GONE));
        assert!(answers.next().is_none());
        assert!(gone.run(Path::new("table"), "going on", |_| Ok(7)).is_err());
    }
}
