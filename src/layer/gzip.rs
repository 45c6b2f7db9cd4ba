//! Gzip, compressed by several threads, whose bytes do not depend on how many.
//!
//! The input is cut into blocks of a fixed size. Each is deflated by itself, with the end of the block before it as
//! dictionary, and ended at a byte's edge; put together they are one member (RFC 1952) like any other.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

const BLOCK: usize = 512 << 10;
/// How far back deflate can refer.
const WINDOW: usize = 32 << 10;
/// Deflate, no name, no time, unknown system: nothing of where and when it was made.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const MAX_THREADS: usize = 64;

/// Compresses what is written to it into `sink`.
pub(super) struct GzipWriter<W> {
    sink: W,
    block: Vec<u8>,
    previous: Arc<Vec<u8>>,
    crc: Crc,
    jobs: Option<Sender<Job>>,
    under_way: VecDeque<Receiver<io::Result<Deflated>>>,
    workers: Vec<JoinHandle<()>>,
}

struct Job {
    block: Arc<Vec<u8>>,
    previous: Arc<Vec<u8>>,
    is_last: bool,
    answer: SyncSender<io::Result<Deflated>>,
}

struct Deflated {
    bytes: Vec<u8>,
    crc: Crc,
}

impl<W: Write> GzipWriter<W> {
    /// Starts the threads.
    pub(super) fn new(mut sink: W, threads: usize, level: u32) -> io::Result<GzipWriter<W>> {
        sink.write_all(&HEADER)?;
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let start = |_| {
            let queue = queue.clone();
            thread::Builder::new().name("gzip".into()).spawn(move || work(&queue, level.clamp(1, 9)))
        };
        let workers = (0..threads.clamp(1, MAX_THREADS)).map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(GzipWriter {
            sink,
            block: Vec::with_capacity(BLOCK),
            previous: Arc::default(),
            crc: Crc::new(),
            jobs: Some(jobs),
            under_way: VecDeque::new(),
            workers,
        })
    }

    /// Ends the member and returns the sink.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.start_block(true)?;
        while !self.under_way.is_empty() {
            self.take_block()?;
        }
        self.sink.write_all(&self.crc.sum().to_le_bytes())?;
        self.sink.write_all(&self.crc.amount().to_le_bytes())?;
        self.jobs = None;
        for worker in self.workers {
            worker.join().map_err(|_| io::Error::other("a compressing thread panicked"))?;
        }
        Ok(self.sink)
    }

    /// Hands a block to the threads; when they have enough to do, waits for the oldest.
    fn start_block(&mut self, is_last: bool) -> io::Result<()> {
        if self.under_way.len() >= 2 * self.workers.len() {
            self.take_block()?;
        }
        let block = Arc::new(std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK)));
        let previous = std::mem::replace(&mut self.previous, block.clone());
        let (answer, receiver) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or_else(threads_are_gone)?;
        jobs.send(Job { block, previous, is_last, answer }).map_err(|_| threads_are_gone())?;
        self.under_way.push_back(receiver);
        Ok(())
    }

    fn take_block(&mut self) -> io::Result<()> {
        let Some(receiver) = self.under_way.pop_front() else { return Ok(()) };
        let deflated = receiver.recv().map_err(|_| threads_are_gone())??;
        self.crc.combine(&deflated.crc);
        self.sink.write_all(&deflated.bytes)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block waits for more, so that the last one is never empty but for an empty input.
        if self.block.len() == BLOCK && !bytes.is_empty() {
            self.start_block(false)?;
        }
        let n = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn threads_are_gone() -> io::Error {
    io::Error::other("the compressing threads are gone")
}

/// What each thread does until no more jobs can come.
fn work(queue: &Mutex<Receiver<Job>>, level: u32) {
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        // Whoever no longer waits for the answer has failed elsewhere.
        let _ = job.answer.send(deflate(&job, level));
    }
}

/// Each block gets a state of its own: one that was reset remembers enough to choose other matches.
fn deflate(job: &Job, level: u32) -> io::Result<Deflated> {
    let mut compress = Compress::new(Compression::new(level), false);
    let window = &job.previous[job.previous.len().saturating_sub(WINDOW)..];
    if !window.is_empty() {
        compress.set_dictionary(window)?;
    }
    let flush = if job.is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut bytes = Vec::with_capacity(job.block.len() / 2 + 1024);
    loop {
        bytes.reserve(16 << 10);
        let n_taken = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let rest = job.block.get(n_taken..).unwrap_or(&[]);
        let status = compress.compress_vec(rest, &mut bytes, flush)?;
        let is_flushed = compress.total_in() == job.block.len() as u64 && bytes.len() < bytes.capacity();
        match status {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError if !job.is_last && is_flushed => break,
            Status::Ok | Status::BufError => {}
        }
    }
    let mut crc = Crc::new();
    crc.update(&job.block);
    Ok(Deflated { bytes, crc })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Bytes that compress somewhat: words in a fixed, jumbled order.
    fn prose(n_bytes: usize) -> Vec<u8> {
        let words = ["ship", "yard", "keel", "layer", "digest", "of", "the", "a", "manifest", "root"];
        let mut state = 1u64;
        let mut text = Vec::with_capacity(n_bytes + 10);
        while text.len() < n_bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend_from_slice(words[(state >> 33) as usize % words.len()].as_bytes());
            text.push(if state >> 60 == 0 { (state >> 40) as u8 } else { b' ' });
        }
        text.truncate(n_bytes);
        text
    }

    fn compressed(bytes: &[u8], threads: usize) -> Vec<u8> {
        let mut writer = GzipWriter::new(Vec::new(), threads, 6).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn it_is_one_member_that_any_reader_understands() {
        for n_bytes in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 77] {
            let bytes = prose(n_bytes);
            let mut read = Vec::new();
            let gzip = compressed(&bytes, 2);
            flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{n_bytes}");
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let digits: String = (0..600_000).map(|n: u64| (n * n).to_string()).collect();
        for bytes in [prose(5 * BLOCK + 123), digits.into_bytes()] {
            let one = compressed(&bytes, 1);
            assert!(one == compressed(&bytes, 2));
            assert!(one == compressed(&bytes, 7));
        }
    }

    #[test]
    fn cutting_into_blocks_costs_next_to_nothing() {
        let bytes = prose(8 * BLOCK);
        let mut whole = flate2::write::GzEncoder::new(Vec::new(), Compression::new(6));
        whole.write_all(&bytes).unwrap();
        let n_whole = whole.finish().unwrap().len();
        assert!(compressed(&bytes, 2).len() < n_whole + n_whole / 200);
    }

    #[test]
    fn a_sink_that_is_full_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.len() == 10 { Ok(10) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = GzipWriter::new(Full, 2, 6).unwrap();
        assert!(writer.write_all(&prose(20 * BLOCK)).is_err());
    }
}
