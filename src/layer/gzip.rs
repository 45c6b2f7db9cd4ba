//! Gzip, compressed by several threads, whose bytes do not depend on how many.
//!
//! The input, an archive, is cut into blocks: around the content of each large file, and where one would become too large.
//! Each becomes a member of its own; members one after the other are a file like any other (RFC 1952, 2.2). What is known
//! of other blocks is not used, so a member may be made before its turn.

mod cuts;
mod ready;

pub use ready::Ready;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use libdeflater::{CompressionLvl, Compressor};

use cuts::Cuts;

/// How much a member holds at most, in bytes. Less would make the file larger than one that `gzip -6` makes.
const MEMBER: usize = 1536 << 10;
const MAX_THREADS: usize = 64;

/// Compresses what is written to it into `sink`. There are never more blocks than threads and two.
pub(super) struct GzipWriter<W> {
    sink: W,
    level: CompressionLvl,
    cuts: Cuts,
    block: Vec<u8>,
    /// Whether the block is of a large file's content.
    is_large: bool,
    /// Members of large files that were made before their turn.
    ready: Option<Arc<Ready>>,
    /// A block that is compressed, and a member that is written: their memory is used again.
    idle: (Vec<u8>, Vec<u8>),
    jobs: Option<Sender<Job>>,
    under_way: VecDeque<Receiver<io::Result<Done>>>,
    workers: Vec<JoinHandle<()>>,
}

struct Job {
    block: Vec<u8>,
    member: Vec<u8>,
    ready: Option<Arc<Ready>>,
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
        let (jobs, under_way) = (Some(jobs), VecDeque::new());
        let (cuts, is_large, ready) = (Cuts::default(), false, None);
        Ok(GzipWriter { sink, level, cuts, block, is_large, ready, idle, jobs, under_way, workers })
    }

    /// Returns what makes members before their turn; they wait in a file in `directory`.
    pub(super) fn ready(&mut self, directory: &Path) -> io::Result<Arc<Ready>> {
        let ready = Arc::new(Ready::new(directory, self.level)?);
        self.ready = Some(ready.clone());
        Ok(ready)
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
        let ready = self.ready.clone().filter(|_| self.is_large);
        let jobs = self.jobs.as_ref().ok_or_else(threads_are_gone)?;
        jobs.send(Job { block, member, ready, answer }).map_err(|_| threads_are_gone())?;
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
        if bytes.is_empty() {
            return Ok(0);
        }
        // A full block waits for more, so that the last one is never empty but for an empty input.
        if self.block.len() == MEMBER {
            self.start_block()?;
        }
        let n_most = bytes.len().min(MEMBER - self.block.len());
        let (n, is_large) = self.cuts.pass(&bytes[..n_most]);
        if is_large != self.is_large && !self.block.is_empty() {
            self.start_block()?;
        }
        self.is_large = is_large;
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
        let Ok(Job { block, mut member, ready, answer }) = job else { return };
        let made = make(&mut compressor, &block, ready.as_deref(), &mut member);
        // Whoever no longer waits for the answer has failed elsewhere.
        let _ = answer.send(made.map(|()| Done { block, member }));
    }
}

fn make(
    compressor: &mut Compressor,
    block: &[u8],
    ready: Option<&Ready>,
    member: &mut Vec<u8>,
) -> io::Result<()> {
    match ready.map_or(Ok(false), |ready| ready.take(block, member))? {
        true => Ok(()),
        false => compress(compressor, block, member),
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
    use crate::digest::Digest;
    use crate::layer::{Entry, header::encode};
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
        for n_bytes in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 3 * MEMBER, 3 * MEMBER + 77] {
            let bytes = prose(n_bytes);
            let mut read = Vec::new();
            let gzip = compressed(&bytes, 2);
            flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{n_bytes}");
        }
    }

    /// An archive of files, each of so many bytes.
    fn archive(sizes: &[usize]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (n, size) in sizes.iter().enumerate() {
            tar.extend(encode(&Entry::file(format!("{n}"), 0o644, *size as u64), 0));
            tar.extend(prose(*size));
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    /// How much each member holds.
    fn held(mut gzip: &[u8]) -> Vec<usize> {
        let mut held = Vec::new();
        while !gzip.is_empty() {
            let mut member = flate2::bufread::GzDecoder::new(gzip);
            held.push(member.read_to_end(&mut Vec::new()).unwrap());
            gzip = member.into_inner();
        }
        held
    }

    #[test]
    fn the_content_of_a_large_file_stands_alone() {
        const LARGE: usize = 128 << 10;
        let tar = archive(&[1000, LARGE, 2 * MEMBER + 1, LARGE - 1, MEMBER, 0]);
        let expected =
            [512 + 1024 + 512, LARGE, 512, MEMBER, MEMBER, 1, 511 + 512 + LARGE + 512, MEMBER, 512 + 1024];
        let gzip = compressed(&tar, 2);
        assert_eq!(held(&gzip), expected);
        // However it comes.
        let mut writer = GzipWriter::new(Vec::new(), 1, 6).unwrap();
        tar.chunks(77_777).for_each(|piece| writer.write_all(piece).unwrap());
        assert!(writer.finish().unwrap() == gzip);
    }

    #[test]
    fn what_is_no_archive_any_more_is_cut_by_its_length_alone() {
        let mut bytes = archive(&[1000, 200_000]);
        bytes.truncate(512 + 1024 + 512 + 200_000 + 192);
        bytes.extend(prose(2 * MEMBER));
        assert_eq!(held(&compressed(&bytes, 2)), [2048, 200_000, MEMBER, MEMBER, 192]);
    }

    #[test]
    fn a_member_that_is_ready_is_taken_for_just_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let tar = archive(&[MEMBER + 300_000, 300_000, 200_000]);
        let (one, other) = (prose(MEMBER), prose(200_000));
        let mut writer = GzipWriter::new(Vec::new(), 2, 6).unwrap();
        let ready = writer.ready(directory.path()).unwrap();
        ready.keep(Digest::of(&one), b"[one]").unwrap();
        ready.keep(Digest::of(&other[..199_999]), b"[a part]").unwrap();
        ready.keep(Digest::of(&tar[..512]), b"[no large file]").unwrap();
        writer.write_all(&tar).unwrap();
        let gzip = writer.finish().unwrap();
        let without = compressed(&tar, 1);
        let mut compressor = Compressor::new(CompressionLvl::new(6).unwrap());
        let (mut first, mut member) = (Vec::new(), Vec::new());
        compress(&mut compressor, &tar[..512], &mut first).unwrap();
        compress(&mut compressor, &one, &mut member).unwrap();
        let rest = &without[first.len() + member.len()..];
        assert!(gzip == [&first[..], b"[one]", rest].concat());
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let digits: String = (0..900_000).map(|n: u64| (n * n).to_string()).collect();
        for bytes in [prose(5 * MEMBER + 123), digits.into_bytes()] {
            let one = compressed(&bytes, 1);
            assert!(one == compressed(&bytes, 2));
            assert!(one == compressed(&bytes, 7));
        }
    }

    #[test]
    fn cutting_into_blocks_costs_next_to_nothing() {
        let bytes = prose(8 * MEMBER);
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
        assert!(writer.write_all(&prose(20 * MEMBER)).is_err());
    }
}
