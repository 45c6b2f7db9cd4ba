//! Gzip, compressed by several threads, whose bytes do not depend on how many.
//!
//! The input is cut into blocks of a fixed size. Each becomes a member of its own; members one after the other are a file
//! like any other (RFC 1952, 2.2). What is known of other blocks is not used.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use libdeflater::{CompressionLvl, Compressor};

/// Members that are smaller make the file larger than one that `gzip -6` makes.
const BLOCK: usize = 1536 << 10;
const MAX_THREADS: usize = 64;

/// Compresses what is written to it into `sink`. There are never more blocks than threads and two.
pub(super) struct GzipWriter<W> {
    sink: W,
    block: Vec<u8>,
    /// A block that is compressed, and a member that is written: their memory is used again.
    idle: (Vec<u8>, Vec<u8>),
    jobs: Option<Sender<Job>>,
    under_way: VecDeque<Receiver<io::Result<Done>>>,
    workers: Vec<JoinHandle<()>>,
}

struct Job {
    block: Vec<u8>,
    member: Vec<u8>,
    answer: SyncSender<io::Result<Done>>,
}

/// A member, and the block that it was made of.
struct Done {
    block: Vec<u8>,
    member: Vec<u8>,
}

impl<W: Write> GzipWriter<W> {
    /// Starts the threads; the levels are libdeflate's, from 1 to 9.
    pub(super) fn new(sink: W, threads: usize, level: u32) -> io::Result<GzipWriter<W>> {
        let level = i32::try_from(level).ok().and_then(|level| CompressionLvl::new(level).ok());
        let level = level.ok_or_else(|| io::Error::other("gzip has no such level"))?;
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let start = |_| {
            let queue = queue.clone();
            thread::Builder::new().name("gzip".into()).spawn(move || work(&queue, Compressor::new(level)))
        };
        let workers = (0..threads.clamp(1, MAX_THREADS)).map(start).collect::<io::Result<Vec<_>>>()?;
        let (block, idle) = (Vec::new(), (Vec::new(), Vec::new()));
        Ok(GzipWriter { sink, block, idle, jobs: Some(jobs), under_way: VecDeque::new(), workers })
    }

    /// Ends the last member and returns the sink.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.start_block()?;
        while !self.under_way.is_empty() {
            self.take_block()?;
        }
        self.jobs = None;
        for worker in self.workers {
            worker.join().map_err(|_| io::Error::other("a compressing thread panicked"))?;
        }
        Ok(self.sink)
    }

    /// Hands a block to the threads; when they have enough to do, waits for the oldest.
    fn start_block(&mut self) -> io::Result<()> {
        if self.under_way.len() > self.workers.len() {
            self.take_block()?;
        }
        let (next, member) = std::mem::take(&mut self.idle);
        let block = std::mem::replace(&mut self.block, next);
        let (answer, receiver) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or_else(threads_are_gone)?;
        jobs.send(Job { block, member, answer }).map_err(|_| threads_are_gone())?;
        self.under_way.push_back(receiver);
        Ok(())
    }

    fn take_block(&mut self) -> io::Result<()> {
        let Some(receiver) = self.under_way.pop_front() else { return Ok(()) };
        let Done { mut block, member } = receiver.recv().map_err(|_| threads_are_gone())??;
        self.sink.write_all(&member)?;
        block.clear();
        self.idle = (block, member);
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block waits for more, so that the last one is never empty but for an empty input.
        if self.block.len() == BLOCK && !bytes.is_empty() {
            self.start_block()?;
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
fn work(queue: &Mutex<Receiver<Job>>, mut compressor: Compressor) {
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(Job { block, mut member, answer }) = job else { return };
        let made = compress(&mut compressor, &block, &mut member);
        // Whoever no longer waits for the answer has failed elsewhere.
        let _ = answer.send(made.map(|()| Done { block, member }));
    }
}

/// A member has no name, no time and an unknown system: nothing of where and when it was made.
fn compress(compressor: &mut Compressor, block: &[u8], member: &mut Vec<u8>) -> io::Result<()> {
    member.resize(compressor.gzip_compress_bound(block.len()), 0);
    let n = compressor.gzip_compress(block, member).map_err(io::Error::other)?;
    member.truncate(n);
    Ok(())
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
    fn it_is_a_file_that_readers_of_members_understand() {
        for n_bytes in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 77] {
            let bytes = prose(n_bytes);
            let mut read = Vec::new();
            let gzip = compressed(&bytes, 2);
            flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{n_bytes}");
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let digits: String = (0..900_000).map(|n: u64| (n * n).to_string()).collect();
        for bytes in [prose(5 * BLOCK + 123), digits.into_bytes()] {
            let one = compressed(&bytes, 1);
            assert!(one == compressed(&bytes, 2));
            assert!(one == compressed(&bytes, 7));
        }
    }

    #[test]
    fn cutting_into_blocks_costs_next_to_nothing() {
        let bytes = prose(8 * BLOCK);
        let mut compressor = Compressor::new(CompressionLvl::new(6).unwrap());
        let mut whole = Vec::new();
        compress(&mut compressor, &bytes, &mut whole).unwrap();
        assert!(compressed(&bytes, 2).len() < whole.len() + whole.len() / 1000);
    }

    #[test]
    fn a_sink_that_is_full_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = GzipWriter::new(Full, 2, 6).unwrap();
        assert!(writer.write_all(&prose(20 * BLOCK)).is_err());
    }
}
