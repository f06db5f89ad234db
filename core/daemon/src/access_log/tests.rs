use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use lb_model::config::AccessLogOutput;
use lb_proxy::AccessSink;

use super::{BYTES_MAX, LINES_MAX, LogWriter, Message, Shared, Writing};

fn line(number: usize) -> Vec<u8> {
    format!("line {number}\n").into_bytes()
}

#[test]
fn every_line_that_was_taken_is_in_the_file_in_order_when_the_balancer_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = LogWriter::start(&AccessLogOutput::File(path.clone())).unwrap();
    let mut taken = Vec::new();
    for number in 0..50_000 {
        if log.write(line(number)) {
            taken.extend(line(number));
        }
    }
    log.finish();
    assert!(fs::read(path).unwrap() == taken);
    assert_eq!(log.failed_lines(), 0);
}

#[test]
fn an_end_that_comes_while_lines_are_gathered_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let path = folder.path().join(number.to_string());
        let log = LogWriter::start(&AccessLogOutput::File(path.clone())).unwrap();
        assert!(log.write(line(number)));
        while log.shared.queued_bytes.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            log.finish();
            ended.send(()).unwrap();
        });
        end.recv_timeout(Duration::from_mins(1)).unwrap();
        assert_eq!(fs::read(path).unwrap(), line(number));
    }
}

#[test]
fn after_rotation_lines_go_to_the_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let old = folder.path().join("access.log.1");
    let log = LogWriter::start(&AccessLogOutput::File(path.clone())).unwrap();
    assert!(log.write(line(1)));
    fs::rename(&path, &old).unwrap();
    log.reopen();
    while !path.exists() {
        std::thread::yield_now();
    }
    assert!(log.write(line(2)));
    log.finish();
    assert_eq!(fs::read(&old).unwrap(), line(1));
    assert_eq!(fs::read(&path).unwrap(), line(2));
}

#[test]
fn a_log_in_a_missing_directory_is_refused_with_the_command_that_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/access.log");
    let error = LogWriter::start(&AccessLogOutput::File(path)).unwrap_err();
    assert!(
        error.help().starts_with("make its directory: mkdir -p "),
        "{error}"
    );
}

/// A log whose thread never looks: what a stalled disk is to the workers.
fn stalled() -> (LogWriter, std::sync::mpsc::Receiver<Message>) {
    let (lines, receiver) = sync_channel(LINES_MAX);
    let log = LogWriter {
        lines,
        shared: Arc::default(),
        thread: std::sync::Mutex::new(None),
    };
    (log, receiver)
}

#[test]
fn a_stalled_disk_costs_lines_and_never_holds_up_a_worker() {
    let (log, _receiver) = stalled();
    let taken = (0..LINES_MAX * 2)
        .filter(|number| log.write(line(*number)))
        .count();
    assert_eq!(taken, LINES_MAX);
}

#[test]
fn long_lines_cannot_fill_the_memory() {
    let (log, _receiver) = stalled();
    let taken = (0..100).filter(|_| log.write(vec![b'x'; 1 << 20])).count();
    assert_eq!(taken, BYTES_MAX >> 20);
}

/// A disk with room for so many bytes.
#[derive(Clone, Default)]
struct Disk(Arc<std::sync::Mutex<(Vec<u8>, usize)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let room = disk.1.min(bytes.len());
        disk.0.extend_from_slice(&bytes[..room]);
        disk.1 -= room;
        match room {
            0 => Err(io::ErrorKind::StorageFull.into()),
            room => Ok(room),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_survived_and_what_follows_begins_on_a_line_of_its_own() {
    let disk = Disk::default();
    disk.0.lock().unwrap().1 = 10;
    let (_lines, receiver) = sync_channel(1);
    let mut writing = Writing {
        lines: receiver,
        shared: Arc::new(Shared::default()),
        path: None,
        target: Box::new(disk.clone()),
        batch: Vec::new(),
        ended: false,
        torn: false,
        failing: false,
    };
    for number in 1..=3 {
        writing.batch.extend(line(number));
    }
    writing.write_batch();
    assert_eq!(writing.shared.failed_lines.load(Ordering::Relaxed), 2);
    disk.0.lock().unwrap().1 = 1000;
    writing.batch.extend(line(4));
    writing.write_batch();
    assert_eq!(disk.0.lock().unwrap().0, b"line 1\nlin\nline 4\n");
}
