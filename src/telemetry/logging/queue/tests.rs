use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

use super::*;

/// Time that is longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sink that takes one write for each read from the other end of the channel.
struct Pipe(SyncSender<Vec<u8>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(bytes.to_vec());
        sent.map_err(|_| ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A queue whose lines are written to a pipe without room, and the pipe's reader.
fn piped() -> (Arc<Queue>, Receiver<Vec<u8>>) {
    let queue = Arc::new(Queue::new());
    let (pipe, reader) = mpsc::sync_channel(0);
    let writing = Arc::clone(&queue);
    thread::spawn(move || writing.run(Pipe(pipe)));
    (queue, reader)
}

#[test]
fn lines_come_out_in_order_and_all_of_them() {
    let (queue, reader) = piped();
    let lines: Vec<_> = (0..10_000).map(|n| format!("line {n}\n")).collect();
    for line in &lines {
        queue.push(line.as_bytes());
    }
    let all = lines.concat();
    let mut come = String::new();
    while come.len() < all.len() {
        let written = reader.recv_timeout(PATIENCE).expect("it is written");
        assert!(written.len() <= BATCH, "{}", written.len());
        let written = String::from_utf8(written).expect("lines of text");
        assert!(written.ends_with('\n'), "a line is cut: {written}");
        come += &written;
    }
    assert!(come == all, "lines are missing, or out of order");
    queue.flush(PATIENCE);
}

#[test]
fn lines_that_nobody_reads_are_bounded_and_block_nobody() {
    let (queue, reader) = piped();
    let before = DROPPED_LINES.get();
    let line = [b'x'; 1 << 10];
    for _ in 0..10_000 {
        queue.push(&line);
    }
    assert!(queue.state().waiting.bytes.len() <= MOST_WAITING);
    let begun = Instant::now();
    queue.flush(Duration::from_millis(50));
    assert!(begun.elapsed() < PATIENCE);
    drop(reader);
    // The line that was taken fails now, and so do the waiting ones.
    let failed = Instant::now() + PATIENCE;
    while DROPPED_LINES.get() - before < 10_000 && Instant::now() < failed {
        thread::sleep(PAUSE);
    }
    assert!(DROPPED_LINES.get() - before >= 10_000, "all are dropped");
    assert!(queue.state().is_failing);
    queue.flush(PATIENCE);
}

/// A disk with this much room.
struct Disk {
    room: usize,
    written: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        self.room -= taken;
        self.written.extend(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_leaves_lines_whole() {
    let written = Vec::new();
    let mut sink = Sink::new(Disk { room: 10, written });
    assert_eq!(write(&mut sink, &["first\n"]), (0, false));
    assert_eq!(write(&mut sink, &["second\n"]), (0, true));
    assert_eq!(write(&mut sink, &["third\n"]), (1, true));
    sink.sink.room = 1;
    assert_eq!(write(&mut sink, &["fourth\n"]), (1, true));
    sink.sink.room = 100;
    assert_eq!(write(&mut sink, &["fifth\n"]), (0, false));
    assert_eq!(sink.sink.written, b"first\nsecond\nfifth\n");
}

#[test]
fn a_full_disk_leaves_lines_whole_that_are_written_together() {
    for room in 0..20 {
        let written = Vec::new();
        let mut sink = Sink::new(Disk { room, written });
        let failed = match room {
            0 => 3,
            1..=6 => 2,
            7..=13 => 1,
            _ => 0,
        };
        let outcome = write(&mut sink, &["first\n", "second\n", "third\n"]);
        assert_eq!(outcome, (failed, room < 19), "with room for {room} bytes");
        sink.sink.room = 100;
        assert_eq!(write(&mut sink, &["fourth\n"]), (0, false));
        let expected =
            ["first\n", "second\n", "third\n"][..3 - failed as usize].concat() + "fourth\n";
        assert_eq!(
            sink.sink.written,
            expected.as_bytes(),
            "with room for {room} bytes"
        );
    }
}

/// Writes lines together, and returns how many failed, and whether the last one did.
fn write(sink: &mut Sink<impl Write>, lines: &[&str]) -> (u64, bool) {
    let mut all = Lines::new();
    for line in lines {
        all.push(line.as_bytes());
    }
    let Outcome { failed, is_failing } = sink.write(&all);
    (failed, is_failing)
}

#[test]
fn a_sink_that_is_not_ready_yet_is_written_to_again() {
    struct Reluctant(Vec<ErrorKind>, Vec<u8>);
    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.pop() {
                Some(not_yet) => Err(not_yet.into()),
                None => self.1.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let not_yet = vec![ErrorKind::WouldBlock, ErrorKind::Interrupted];
    let mut sink = Sink::new(Reluctant(not_yet, Vec::new()));
    assert_eq!(write(&mut sink, &["line\n"]), (0, false));
    assert_eq!(sink.sink.1, b"line\n");
}
