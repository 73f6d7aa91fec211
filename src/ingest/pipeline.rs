//! The threads and the channels between them.

use std::mem;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::Monitor;
use super::embed::{WINDOW, WINDOW_BYTES, embed};
use super::prepare::{Prepared, Preparer};
use super::write::Destination;
use crate::error::{Error, IngestError, StorageError};
use crate::lexical::WordsWriter;
use crate::model::Encoder;
use crate::schema::Document;
use crate::store::{Content, StoreWriter};

/// Messages that wait before a stage. Documents may be large, so few.
const WAITING: usize = 16;

/// The same where passages are embedded: a long document may be half a minute's work, and a commit waits for all that came before it.
const WAITING_TO_EMBED: usize = 2;

/// How long a commit that nobody waits for may wait for others to join it.
const GROUPED: Duration = Duration::from_millis(50);

/// A channel to a stage. The standard library's drops what waits in it when its stage ends; with crossbeam's, which keeps it as long as anybody could
/// send, whoever waits for the answer to such a message would wait for ever.
fn channel<D>(waiting: usize) -> (SyncSender<Message<D>>, mpsc::Receiver<Message<D>>) {
    mpsc::sync_channel(waiting)
}

/// What a thread does until its channel is closed. It tells its failure before it lets its channel go, and with it the commits that are waited for.
type Stage = Box<dyn FnOnce() + Send>;

enum Message<D> {
    Document(D),
    /// A document's number, to be deleted.
    Delete(u64),
    Commit(Commit),
    /// Something between commits.
    Task(Box<dyn FnOnce(&mut Destination) + Send>),
}

struct Commit {
    /// The number of the next document.
    next: u64,
    /// Where the new generation is told.
    answer: Sender<u64>,
    /// Whether nobody waits, so that it may be made together with others.
    grouped: bool,
}

/// The first failure of any stage.
#[derive(Clone, Debug, Default)]
struct Failure {
    first: Arc<Mutex<Option<Error>>>,
    /// The same in words, for all who ask later.
    told: Arc<OnceLock<String>>,
}

impl Failure {
    fn set(&self, error: Error) {
        self.told.get_or_init(|| error.to_string());
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn describe(&self) -> String {
        self.told.get().cloned().unwrap_or_else(|| "the writer was dropped, or a stage panicked".to_owned())
    }

    fn take(&self) -> Option<Error> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A commit that was asked for by [`crate::Writer::commit_soon`].
#[derive(Debug)]
pub struct PendingCommit {
    answer: Receiver<u64>,
    known: OnceLock<u64>,
    failure: Failure,
}

impl PendingCommit {
    /// Waits until it is made, as safe as any other; gives its generation, which it may share with others.
    ///
    /// # Errors
    /// [`IngestError::Stopped`]: it was not made.
    pub fn wait(self) -> Result<u64, Error> {
        if let Some(generation) = self.done() {
            return Ok(generation);
        }
        self.answer.recv().map_err(|_| IngestError::Stopped { cause: self.failure.describe() }.into())
    }

    /// Its generation, if it is made already.
    pub fn done(&self) -> Option<u64> {
        if let Ok(generation) = self.answer.try_recv() {
            return Some(*self.known.get_or_init(|| generation));
        }
        self.known.get().copied()
    }
}

/// A running pipeline; dropping it ends its threads, and what is not committed is gone.
pub(crate) struct Pipeline {
    input: Option<SyncSender<Message<(Content, Document)>>>,
    threads: Vec<JoinHandle<()>>,
    failure: Failure,
    stopped: Option<String>,
    monitor: Monitor,
}

impl Pipeline {
    pub(crate) fn start(store: StoreWriter, words: WordsWriter, encoder: Option<Encoder>) -> Result<Self, Error> {
        let (monitor, failure) = (Monitor::default(), Failure::default());
        let header = store.header();
        let preparer = Preparer {
            schema: header.schema.clone(),
            options: header.passage_options,
            encoder: encoder.clone(),
            own_vectors: header.vectors.is_application().then(|| header.vectors.clone()),
        };
        let waiting = if encoder.is_some() { WAITING_TO_EMBED } else { WAITING };
        let (input, to_cut) = channel(waiting);
        let (cut, to_embed) = channel(waiting);
        let (embedded, to_write) = channel(WAITING);
        let destination = Destination::new(store, words, monitor.clone());
        let stages: [(&str, Stage); 3] = [
            ("fossick-cut", {
                let (monitor, failure) = (monitor.clone(), failure.clone());
                Box::new(move || run_cut(&preparer, &to_cut, &cut, &monitor, &failure))
            }),
            ("fossick-embed", {
                let (monitor, failure) = (monitor.clone(), failure.clone());
                Box::new(move || run_embed(encoder.as_ref(), &to_embed, &embedded, &monitor, &failure))
            }),
            ("fossick-write", {
                let failure = failure.clone();
                Box::new(move || run_write(destination, &to_write, &failure))
            }),
        ];
        let mut pipeline = Self { input: Some(input), threads: Vec::new(), failure, stopped: None, monitor };
        for (name, stage) in stages {
            let thread = Builder::new().name(name.to_owned()).spawn(stage);
            pipeline.threads.push(thread.map_err(StorageError::io(name.as_ref(), "starting a thread"))?);
        }
        Ok(pipeline)
    }

    pub(crate) fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    pub(crate) fn add(&mut self, content: Content, document: Document) -> Result<(), Error> {
        self.send(Message::Document((content, document)))?;
        self.monitor.added(1);
        Ok(())
    }

    pub(crate) fn delete(&mut self, number: u64) -> Result<(), Error> {
        self.send(Message::Delete(number))
    }

    /// Waits until everything sent so far is committed; gives the generation.
    pub(crate) fn commit(&mut self, next_document: u64) -> Result<u64, Error> {
        let (answer, generation) = bounded(1);
        self.send(Message::Commit(Commit { next: next_document, answer, grouped: false }))?;
        generation.recv().map_err(|_| self.fail())
    }

    /// Has everything sent so far committed, and does not wait.
    pub(crate) fn commit_soon(&mut self, next_document: u64) -> Result<PendingCommit, Error> {
        let (answer, generation) = bounded(1);
        self.send(Message::Commit(Commit { next: next_document, answer, grouped: true }))?;
        Ok(PendingCommit { answer: generation, known: OnceLock::new(), failure: self.failure.clone() })
    }

    /// Has something done between commits and waits for it. What it gives back as an error does not end the pipeline.
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        task: impl FnOnce(&mut Destination) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, result) = bounded(1);
        self.send(Message::Task(Box::new(move |destination| {
            // The caller waits below.
            let _ = answer.send(task(destination));
        })))?;
        result.recv().map_err(|_| self.fail())?
    }

    /// Ends the pipeline: what its owner knows is no longer what is there.
    pub(crate) fn end(&mut self, cause: String) {
        self.monitor.abandon();
        self.join();
        self.stopped.get_or_insert(cause);
    }

    fn send(&mut self, message: Message<(Content, Document)>) -> Result<(), Error> {
        if let Some(cause) = &self.stopped {
            return Err(IngestError::Stopped { cause: cause.clone() }.into());
        }
        if self.monitor.is_cancelled() {
            self.failure.set(IngestError::Cancelled.into());
            return Err(self.fail());
        }
        let sent = self.input.as_ref().is_some_and(|input| input.send(message).is_ok());
        if sent { Ok(()) } else { Err(self.fail()) }
    }

    /// Ends the threads and gives the first failure; the pipeline takes nothing more.
    fn fail(&mut self) -> Error {
        self.join();
        let error = self
            .failure
            .take()
            .unwrap_or_else(|| IngestError::Stopped { cause: "a stage ended without a word".to_owned() }.into());
        self.stopped = Some(error.to_string());
        error
    }

    fn join(&mut self) {
        self.input = None;
        for thread in mem::take(&mut self.threads) {
            if thread.join().is_err() {
                self.failure.set(IngestError::Stopped { cause: "a stage panicked".to_owned() }.into());
            }
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // What is still waiting will not be committed: there is no point in embedding it.
        self.monitor.abandon();
        self.join();
    }
}

/// Sends on; false when the next stage is gone, which has its own error.
fn pass<D>(output: &SyncSender<Message<D>>, message: Message<D>) -> bool {
    output.send(message).is_ok()
}

fn run_cut(
    preparer: &Preparer,
    input: &mpsc::Receiver<Message<(Content, Document)>>,
    output: &SyncSender<Message<Prepared>>,
    monitor: &Monitor,
    failure: &Failure,
) {
    for message in input {
        if let Err(error) = monitor.check() {
            return failure.set(error.into());
        }
        let goes_on = match message {
            Message::Document((content, document)) => {
                let prepared = preparer.prepare(content, document);
                monitor.cut(prepared.passages.len() as u64);
                if prepared.heading_is_cut {
                    monitor.heading_cut();
                }
                pass(output, Message::Document(prepared))
            }
            Message::Delete(number) => pass(output, Message::Delete(number)),
            Message::Commit(commit) => pass(output, Message::Commit(commit)),
            Message::Task(task) => pass(output, Message::Task(task)),
        };
        if !goes_on {
            break;
        }
    }
}

fn run_embed(
    encoder: Option<&Encoder>,
    input: &mpsc::Receiver<Message<Prepared>>,
    output: &SyncSender<Message<Prepared>>,
    monitor: &Monitor,
    failure: &Failure,
) {
    let mut window = Window::default();
    let flush = |window: &mut Window| -> bool {
        if let Some(encoder) = encoder
            && let Err(error) = embed(encoder, &mut window.documents, monitor)
        {
            failure.set(error);
            return false;
        }
        let Window { documents, deletes, .. } = std::mem::take(window);
        monitor.passed(documents.len() as u64);
        let sent = documents.into_iter().all(|document| pass(output, Message::Document(document)));
        sent && deletes.into_iter().all(|number| pass(output, Message::Delete(number)))
    };
    for message in input {
        let goes_on = match message {
            Message::Document(document) => {
                window.passages += document.passages.len();
                window.bytes += document.bytes();
                window.documents.push(document);
                // Without an encoder there is nothing to collect for.
                if window.is_full() || encoder.is_none() { flush(&mut window) } else { true }
            }
            // A delete need not wait its turn, only for the document that it may be about.
            Message::Delete(number) => {
                window.deletes.push(number);
                if window.is_full() || encoder.is_none() { flush(&mut window) } else { true }
            }
            other @ (Message::Commit(_) | Message::Task(_)) => flush(&mut window) && pass(output, other),
        };
        if !goes_on {
            break;
        }
    }
}

/// What is collected before it is embedded together.
#[derive(Default)]
struct Window {
    documents: Vec<Prepared>,
    deletes: Vec<u64>,
    passages: usize,
    bytes: usize,
}

impl Window {
    fn is_full(&self) -> bool {
        let most = 16 * WINDOW;
        self.passages >= WINDOW || self.documents.len() >= most || self.deletes.len() >= most || self.bytes >= WINDOW_BYTES
    }
}

fn run_write(mut destination: Destination, input: &mpsc::Receiver<Message<Prepared>>, failure: &Failure) {
    let mut group = Group::default();
    let result = write_all(&mut destination, input, &mut group);
    match result {
        Ok(()) => destination.close(),
        // Told before the group goes, whose commits are waited for.
        Err(error) => failure.set(error),
    }
}

fn write_all(destination: &mut Destination, input: &mpsc::Receiver<Message<Prepared>>, group: &mut Group) -> Result<(), Error> {
    loop {
        // While commits wait, whatever is there already may join them; when nothing is, there is no reason to wait for more.
        let message = if group.commits.is_empty() { input.recv().ok() } else { input.try_recv().ok() };
        match message {
            Some(Message::Commit(commit)) => {
                let grouped = commit.grouped;
                group.join(destination, commit)?;
                if !grouped || group.is_due() {
                    group.make(destination)?;
                }
            }
            Some(Message::Task(task)) => {
                group.make(destination)?;
                task(destination);
            }
            Some(change) if group.commits.is_empty() => apply(destination, change)?,
            // It belongs to no commit yet.
            Some(change) => {
                group.later.push(change);
                if group.is_due() {
                    group.make(destination)?;
                }
            }
            None if group.commits.is_empty() => return Ok(()),
            None => group.make(destination)?,
        }
    }
}

fn apply(destination: &mut Destination, change: Message<Prepared>) -> Result<(), Error> {
    match change {
        Message::Document(document) => destination.add(document),
        Message::Delete(number) => {
            destination.delete(number);
            Ok(())
        }
        Message::Commit(_) | Message::Task(_) => Ok(()),
    }
}

/// Commits that are made as one.
#[derive(Default)]
struct Group {
    commits: Vec<Commit>,
    since: Option<Instant>,
    /// Changes that came after the last of them.
    later: Vec<Message<Prepared>>,
}

impl Group {
    fn join(&mut self, destination: &mut Destination, commit: Commit) -> Result<(), Error> {
        self.since.get_or_insert_with(Instant::now);
        self.commits.push(commit);
        self.later.drain(..).try_for_each(|change| apply(destination, change))
    }

    fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= GROUPED)
    }

    /// Makes one commit of all that were asked for, tells everybody, and only then keeps house.
    fn make(&mut self, destination: &mut Destination) -> Result<(), Error> {
        if let Some(last) = self.commits.last() {
            let generation = destination.commit(last.next)?;
            for commit in self.commits.drain(..) {
                // A caller that no longer waits has its commit all the same.
                let _ = commit.answer.send(generation);
            }
            destination.keep_house();
        }
        self.since = None;
        self.later.drain(..).try_for_each(|change| apply(destination, change))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ingest::open_or_rebuild_words;
    use crate::store::WriterSettings;
    use crate::{Index, Options, Schema};

    fn start(place: &Path) -> Pipeline {
        let schema = Schema::builder().text("body").build().unwrap();
        drop(Index::open_or_create(place, Options::new().schema(schema)).unwrap());
        let (mut store, _) = StoreWriter::open(place, &WriterSettings::default()).unwrap();
        let words = open_or_rebuild_words(&mut store).unwrap();
        Pipeline::start(store, words, None).unwrap()
    }

    #[test]
    fn a_commit_that_waits_for_a_stage_that_fails_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let mut pipeline = start(&directory.path().join("index"));
        let (go, gone) = bounded::<()>(0);
        pipeline
            .send(Message::Task(Box::new(move |_| {
                let _ = gone.recv();
                panic!("on purpose");
            })))
            .unwrap();
        let waiting: Vec<_> = (0..3).map(|_| pipeline.commit_soon(0).unwrap()).collect();
        // They have passed the other stages by now, or will find the last one gone.
        std::thread::sleep(Duration::from_millis(50));
        drop(go);
        for commit in waiting {
            let answer = commit.answer.recv_timeout(Duration::from_secs(30));
            assert_eq!(answer, Err(crossbeam::channel::RecvTimeoutError::Disconnected));
        }
        assert!(pipeline.commit(0).is_err());
    }
}
