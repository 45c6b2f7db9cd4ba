//! Bytes that one thread reads and others take, each at its own pace. What they are is not known here.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Result, anyhow};
use bytes::{Buf as _, Bytes};

/// How large a piece is, in bytes, and how many of them wait for a taker.
const PIECE: usize = 128 << 10;
const N_WAITING: usize = 6;

/// Returns where pieces go in, and where their bytes come out.
pub fn channel() -> (SyncSender<Bytes>, Pieces) {
    let (sender, receiver) = sync_channel(N_WAITING);
    (sender, Pieces { receiver, current: Bytes::new() })
}

/// Lets `take` have what `reader` gives, read ahead on a thread of its own.
///
/// # Errors
/// What can't be read is told rather than what `take` made of that.
pub fn ahead<T>(reader: impl Read + Send, take: impl FnOnce(Pieces) -> Result<T>) -> Result<T> {
    let (taker, pieces) = channel();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || hand_out(reader, vec![taker]));
        let taken = take(pieces);
        reading.join().map_err(|_| anyhow!("internal error: a thread that reads ahead panicked"))??;
        taken
    })
}

/// Reads to the end, or until nobody takes anything any longer; every taker is given all of it.
///
/// # Errors
/// When it can't be read; to the takers it looks like an end.
pub fn hand_out(mut reader: impl Read, mut takers: Vec<SyncSender<Bytes>>) -> io::Result<()> {
    while !takers.is_empty() {
        let mut piece = Vec::with_capacity(PIECE);
        reader.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            break;
        }
        let piece = Bytes::from(piece);
        takers.retain(|taker| taker.send(piece.clone()).is_ok());
    }
    Ok(())
}

/// The bytes, on another thread. They end where the reading ended or failed, which the reading thread tells.
pub struct Pieces {
    receiver: Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.current = self.receiver.recv().unwrap_or_default();
        }
        Ok(&self.current)
    }

    fn consume(&mut self, n: usize) {
        self.current.advance(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_taker_gets_all_bytes_and_one_that_leaves_holds_nobody_up() {
        let all: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let ((first, one), (second, mut two), (third, three)) = (channel(), channel(), channel());
        drop(one);
        std::thread::scope(|scope| {
            let handing = scope.spawn(|| hand_out(all.as_slice(), vec![first, second, third]));
            let leaving = scope.spawn(move || io::copy(&mut three.take(1000), &mut io::sink()));
            let mut taken = Vec::new();
            two.read_to_end(&mut taken).unwrap();
            assert!(taken == all);
            assert_eq!(leaving.join().unwrap().unwrap(), 1000);
            handing.join().unwrap().unwrap();
        });
    }

    #[test]
    fn what_cannot_be_read_is_told_rather_than_what_that_led_to() {
        let broken = Read::chain(&b"abc"[..], flate2::read::GzDecoder::new(&b"no gzip"[..]));
        let taken = ahead(broken, |mut pieces| {
            let n_bytes = io::copy(&mut pieces, &mut io::sink())?;
            Err::<(), _>(anyhow!("only {n_bytes} bytes"))
        });
        assert_ne!(taken.unwrap_err().to_string(), "only 3 bytes");
    }
}
