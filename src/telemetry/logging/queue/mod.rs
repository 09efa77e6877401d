//! Queue of log lines for stderr. One thread writes them, and no other thread waits for it, because
//! stderr may have no reader.

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::telemetry::DROPPED_LINES;

/// Maximum bytes that wait in the queue. As many again may be in the hands of the thread.
const MOST_WAITING: usize = 1 << 20;

/// Time between two looks at the queue: a flood of lines wakes the thread once in this time, and
/// not once for each line.
const PAUSE: Duration = Duration::from_millis(5);

/// Most bytes of several lines in one write. What Linux promises to write to a pipe in one piece
/// (`PIPE_BUF`), so that lines of other programs come between ours and not into them.
const BATCH: usize = 4096;

/// Lines that wait for the thread that writes them.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified once there is something to write.
    filled: Condvar,
    /// Notified once the taken lines have been written.
    written: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Lines,
    /// Whether the lines that were taken last are still being written.
    is_writing: bool,
    /// Whether the thread waits for a line in the queue.
    is_idle: bool,
    /// Lines that were dropped, and not reported yet.
    dropped: u64,
    /// Whether the last line could not be written. Then dropped lines are not reported yet.
    is_failing: bool,
}

impl State {
    fn drop_lines(&mut self, lines: u64) {
        self.dropped += lines;
        DROPPED_LINES.inc_by(lines);
    }

    /// Whether there is nothing to write, not even a report of dropped lines.
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && (self.dropped == 0 || self.is_failing)
    }
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Lines::new(),
                is_writing: false,
                is_idle: false,
                dropped: 0,
                is_failing: false,
            }),
            filled: Condvar::new(),
            written: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a line into the queue, or drops it if the queue is full.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.waiting.bytes.len() + line.len() > MOST_WAITING {
            return state.drop_lines(1);
        }
        state.waiting.push(line);
        if mem::take(&mut state.is_idle) {
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Writes lines to `sink` as they come, and never returns.
    pub(super) fn run(&self, sink: impl Write) -> ! {
        let mut sink = Sink::new(sink);
        loop {
            let (lines, dropped) = self.take();
            if dropped > 0 {
                // The lines that filled the queue have been written before this report.
                warn!(
                    lines = dropped,
                    "log lines were dropped: stderr did not take them in time"
                );
            }
            self.note(sink.write(&lines));
            self.written.notify_all();
            thread::sleep(PAUSE);
        }
    }

    /// Waits for lines to write, or for dropped ones to report, and takes both.
    fn take(&self) -> (Lines, u64) {
        let mut state = self.state();
        while state.is_empty() {
            state.is_idle = true;
            let filled = self.filled.wait(state);
            state = filled.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        state.is_writing = true;
        let dropped = match state.is_failing {
            true => 0,
            false => mem::take(&mut state.dropped),
        };
        (mem::replace(&mut state.waiting, Lines::new()), dropped)
    }

    /// Records the outcome of writing the lines that were taken.
    fn note(&self, outcome: Outcome) {
        let mut state = self.state();
        state.is_writing = false;
        state.is_failing = outcome.is_failing;
        if outcome.failed > 0 {
            state.drop_lines(outcome.failed);
        }
    }

    /// Waits until all is written, but no longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        while state.is_writing || !state.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let written = self.written.wait_timeout(state, left);
            state = written.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Lines one behind the other.
#[derive(Debug)]
struct Lines {
    bytes: Vec<u8>,
    /// End of each line in `bytes`.
    ends: Vec<usize>,
}

impl Lines {
    const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Outcome of writing lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Lines of which nothing was written.
    failed: u64,
    /// Whether the last line was not written, or not to its end.
    is_failing: bool,
}

/// A sink for whole lines.
struct Sink<W> {
    sink: W,
    /// The rest of a line of which a full disk took only the beginning. It is written before the
    /// next line.
    rest: Vec<u8>,
}

impl<W: Write> Sink<W> {
    fn new(sink: W) -> Self {
        Self {
            sink,
            rest: Vec::new(),
        }
    }

    /// Writes lines, as many at once as fit into a batch. A line that cannot be written is passed
    /// over, and those behind it are tried.
    fn write(&mut self, lines: &Lines) -> Outcome {
        let mut outcome = Outcome::default();
        let (mut start, mut ends) = (0, &lines.ends[..]);
        while !ends.is_empty() {
            let batch = ends.partition_point(|end| end - start <= BATCH).max(1);
            let begun = self.write_batch(&lines.bytes, start, &ends[..batch]);
            outcome.is_failing = begun < batch || !self.rest.is_empty();
            outcome.failed += u64::from(begun == 0);
            let done = begun.max(1);
            start = ends[done - 1];
            ends = &ends[done..];
        }
        outcome
    }

    /// Writes the lines of `bytes` that begin at `start` and end at `ends`, and returns the number
    /// of those that were written, at least their beginning.
    fn write_batch(&mut self, bytes: &[u8], start: usize, ends: &[usize]) -> usize {
        let rest = mem::take(&mut self.rest);
        let written = self.put(&rest);
        if written < rest.len() {
            self.rest = rest[written..].to_vec();
            return 0;
        }
        let written = start + self.put(&bytes[start..ends[ends.len() - 1]]);
        let whole = ends.partition_point(|end| *end <= written);
        let reached = ends[..whole].last().copied().unwrap_or(start);
        if written == reached {
            return whole;
        }
        self.rest = bytes[written..ends[whole]].to_vec();
        whole + 1
    }

    /// Writes until all is written or a write fails, and returns the number of bytes written.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.sink.write(&bytes[written..]) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another program with the same sink may have made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(_lost) => break,
            }
        }
        written
    }
}

/// Writer into a queue. Each write is one line, or several that belong together.
pub(super) struct Line(pub(super) &'static Queue);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
