//! Who computes next: the batches of several callers, one of each in turn.
//!
//! A search that has two passages judged does not wait behind one that has two hundred: each caller has a line of its own, and
//! whoever is free takes from the line that has waited longest. **Invariant:** a caller leaves when its own work is done, whoever did it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::DeviceKind;
use crate::parallel;

/// One batch, ready to be computed; it sees to it itself that its caller hears of it, and does not panic.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// The work that waits for one kind of worker.
pub(super) struct Turns {
    lines: Mutex<VecDeque<VecDeque<Work>>>,
    /// Held by the one worker of a GPU: two at once would share it, and both be late.
    worker: Mutex<()>,
}

impl Turns {
    const fn new() -> Self {
        Self { lines: Mutex::new(VecDeque::new()), worker: Mutex::new(()) }
    }

    /// Those of the device's kind, the same for all models: what an encoder and a cross-encoder compute is in one order.
    pub(super) fn of(kind: DeviceKind) -> &'static Self {
        static CPU: Turns = Turns::new();
        static GPU: Turns = Turns::new();
        if kind == DeviceKind::Cpu { &CPU } else { &GPU }
    }

    /// Queues work, and sees that it is done: on the CPU by the pool, before or after this returns; on a GPU by the callers
    /// themselves, one at a time, until `done` says that this caller's is.
    pub(super) fn run(&'static self, kind: DeviceKind, work: VecDeque<Work>, done: impl Fn() -> bool) {
        if work.is_empty() {
            return;
        }
        let helpers = work.len().min(parallel::threads());
        self.lock().push_back(work);
        if kind == DeviceKind::Cpu {
            return (0..helpers).for_each(|_| parallel::spawn(|| self.work()));
        }
        while !done() {
            let _worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
            match self.take() {
                Some(work) => work(),
                None => break,
            }
        }
    }

    /// Runs work that no batch of a GPU may run beside.
    pub(super) fn alone<R>(&self, work: impl FnOnce() -> R) -> R {
        let _worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Works until nothing waits; lets others use the thread in between.
    fn work(&self) {
        while let Some(work) = self.take() {
            work();
            parallel::yield_now();
        }
    }

    /// The next batch; its line goes to the end.
    fn take(&self) -> Option<Work> {
        let mut lines = self.lock();
        let mut line = lines.pop_front()?;
        let work = line.pop_front();
        if !line.is_empty() {
            lines.push_back(line);
        }
        work
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<VecDeque<Work>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Notes who was served, in which order, when `lines` of so many batches wait for one worker.
    fn served(lines: &[usize]) -> Vec<usize> {
        let turns = Turns::new();
        let (sender, receiver) = mpsc::channel();
        for (caller, &batches) in lines.iter().enumerate() {
            let work = |_| -> Work {
                let sender = sender.clone();
                Box::new(move || sender.send(caller).unwrap())
            };
            turns.lock().push_back((0..batches).map(work).collect());
        }
        turns.work();
        drop(sender);
        receiver.iter().collect()
    }

    #[test]
    fn callers_take_turns() {
        assert_eq!(served(&[5, 1, 2]), [0, 1, 2, 0, 2, 0, 0, 0]);
        assert!(served(&[]).is_empty());
    }

    #[test]
    fn each_caller_of_a_gpu_leaves_when_its_own_work_is_done() {
        let turns: &'static Turns = Box::leak(Box::new(Turns::new()));
        std::thread::scope(|scope| {
            for batches in [1_usize, 7, 30] {
                scope.spawn(move || {
                    let (sender, receiver) = crossbeam::channel::unbounded();
                    let work = |_| -> Work {
                        let sender = sender.clone();
                        Box::new(move || sender.send(()).unwrap())
                    };
                    turns.run(DeviceKind::DiscreteGpu, (0..batches).map(work).collect(), || receiver.len() == batches);
                    assert_eq!(receiver.len(), batches);
                });
            }
        });
        assert!(turns.take().is_none());
    }
}
