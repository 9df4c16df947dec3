//! Lines into batches: as many as fit into one bundle.

use std::collections::BTreeSet;
use std::io::{BufRead, Read};

use ipc_proto::v1::Op;
use prost::Message;

use crate::failure::Failure;
use crate::line::{self, Entity};

/// Some lines that become one bundle.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    /// The ops of all its lines.
    pub(super) ops: Vec<Op>,
    /// The line number of each op.
    pub(super) op_lines: Vec<u64>,
    /// What its lines touch.
    pub(super) entities: BTreeSet<Entity>,
    /// What it holds a line about that a bundle takes once.
    once: BTreeSet<Entity>,
    /// How many bytes of the source had been read when it was full.
    pub(super) position: u64,
    lines: usize,
    /// Its ops encoded, in bytes.
    encoded: usize,
}

/// Reads lines and packs them. After an error there is nothing more.
#[derive(Debug)]
pub(super) struct Batches<R> {
    source: R,
    max_lines: usize,
    /// Lines read so far.
    line: u64,
    position: u64,
    /// A line that did not fit into the batch before.
    carried: Option<(u64, line::Line)>,
    ended: bool,
}

impl<R: BufRead> Batches<R> {
    /// Batches of one line each when `single`, else as large as they may be.
    pub(super) fn new(source: R, single: bool) -> Self {
        let max_lines = if single { 1 } else { MAX_LINES };
        Self { source, max_lines, line: 0, position: 0, carried: None, ended: false }
    }

    /// The next line that is not blank.
    fn next_line(&mut self) -> Result<Option<(u64, line::Line)>, Failure> {
        if let Some(carried) = self.carried.take() {
            return Ok(Some(carried));
        }
        loop {
            self.line += 1;
            let mut bytes = Vec::new();
            let limit = MAX_LINE_BYTES + 1;
            let read = self.source.by_ref().take(limit).read_until(b'\n', &mut bytes);
            let read = read.map_err(Failure::io(format!("read line {}", self.line)))?;
            self.position += u64::try_from(read).unwrap_or(u64::MAX);
            if read == 0 {
                return Ok(None);
            }
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) >= limit {
                return Err(self.bad(format!("it is longer than {MAX_LINE_BYTES} bytes")));
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| self.bad("it is not UTF-8".into()))?;
            if !text.trim().is_empty() {
                return line::read(text).map(|line| Some((self.line, line))).map_err(|reason| self.bad(reason));
            }
        }
    }

    fn next_batch(&mut self) -> Result<Batch, Failure> {
        let mut batch = Batch::default();
        while batch.lines < self.max_lines {
            let Some((number, line)) = self.next_line()? else {
                self.ended = true;
                break;
            };
            let encoded: usize = line.ops.iter().map(Message::encoded_len).sum();
            let repeated = line.once && !batch.once.insert(line.entity.clone());
            if repeated || (!batch.ops.is_empty() && batch.encoded + encoded > MAX_BATCH_BYTES) {
                self.carried = Some((number, line));
                break;
            }
            batch.encoded += encoded;
            batch.op_lines.extend(line.ops.iter().map(|_| number));
            batch.ops.extend(line.ops);
            batch.entities.insert(line.entity);
            batch.lines += 1;
        }
        batch.position = self.position;
        Ok(batch)
    }

    fn bad(&self, reason: String) -> Failure {
        Failure::Line {
            line: self.line,
            reason,
            hint: "correct it and run the import again; lines that are in already change nothing".into(),
            exit_code: 1,
            code: "invalid_argument".into(),
        }
    }
}

impl<R: BufRead> Iterator for Batches<R> {
    type Item = Result<Batch, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.next_batch() {
            Ok(batch) if batch.ops.is_empty() => None,
            Ok(batch) => Some(Ok(batch)),
            Err(failure) => {
                self.ended = true;
                Some(Err(failure))
            }
        }
    }
}

/// Most lines of a batch. A line makes at most four ops, and a bundle takes 5,000.
const MAX_LINES: usize = 500;
/// A batch ends before this size, in bytes of its ops; a single line may be larger.
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Longest line, in bytes. A bundle has at most 1 MiB, and JSON can take six bytes for one.
const MAX_LINE_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_packed_until_a_batch_is_full() {
        let text: String = (0..1201).map(message).collect();
        let sizes: Vec<usize> = Batches::new(text.as_bytes(), false).map(|batch| batch.unwrap().ops.len()).collect();
        assert_eq!(sizes, [500, 500, 201]);
        assert_eq!(Batches::new(text.as_bytes(), true).count(), 1201);
        let last = Batches::new(text.as_bytes(), false).last().unwrap().unwrap();
        assert_eq!((last.op_lines.first(), last.op_lines.last()), (Some(&1001), Some(&1201)));
        assert_eq!(last.position, text.len() as u64);
    }

    #[test]
    fn a_batch_ends_before_it_grows_too_large_and_loses_no_line() {
        let body = "x".repeat(100 * 1024);
        let text: String = (0..5)
            .map(|id| format!("{{\"op\":\"message\",\"conversation\":\"c\",\"id\":\"{id}\",\"body\":\"{body}\"}}\n"))
            .collect();
        let batches: Vec<Batch> = Batches::new(text.as_bytes(), false).map(Result::unwrap).collect();
        assert_eq!(
            batches.iter().map(|batch| batch.op_lines.clone()).collect::<Vec<_>>(),
            [vec![1, 2], vec![3, 4], vec![5]]
        );
    }

    #[test]
    fn what_a_bundle_takes_once_begins_the_next_one() {
        let record = "{\"op\":\"record\",\"collection\":\"c\",\"key\":\"k\",\"fields\":{}}\n";
        let status = "{\"op\":\"status\",\"id\":\"1\",\"status\":\"read\"}\n";
        let text = [&message(1), status, status, record, record, &message(1), &message(2)].concat();
        let batches: Vec<Batch> = Batches::new(text.as_bytes(), false).map(Result::unwrap).collect();
        let lines = batches.iter().map(|batch| batch.op_lines.clone());
        assert_eq!(lines.collect::<Vec<_>>(), [vec![1, 2, 3, 4], vec![5, 6, 7]]);
    }

    #[test]
    fn a_bad_line_is_named_and_nothing_of_its_batch_comes_out() {
        let text = format!("{}\n\n{}{{\"op\":\"message\"}}\n{}", message(1), message(2), message(3));
        let mut batches = Batches::new(text.as_bytes(), false);
        let Some(Err(failure)) = batches.next() else { panic!("the batch is bad") };
        assert_eq!(failure.to_string(), "line 5: `conversation` is missing");
        assert!(batches.next().is_none());
        let good_before: Vec<bool> = Batches::new(text.as_bytes(), true).map(|batch| batch.is_ok()).collect();
        assert_eq!(good_before, [true, true, false]);
    }

    #[test]
    fn bytes_that_are_no_text_and_endless_lines_are_bad_lines() {
        let mut batches = Batches::new(b"\xFF\n".as_slice(), false);
        assert_eq!(batches.next().unwrap().unwrap_err().to_string(), "line 1: it is not UTF-8");
        let endless = std::io::BufReader::new(std::io::repeat(b'x'));
        let mut batches = Batches::new(endless, false);
        assert!(batches.next().unwrap().unwrap_err().to_string().starts_with("line 1: it is longer than"));
    }

    #[test]
    fn an_empty_source_has_no_batches() {
        assert_eq!(Batches::new(b"\n \n".as_slice(), false).count(), 0);
    }

    fn message(id: usize) -> String {
        format!("{{\"op\":\"message\",\"conversation\":\"c\",\"id\":\"{id}\"}}\n")
    }
}
