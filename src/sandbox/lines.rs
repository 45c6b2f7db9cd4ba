//! Output, cut into lines.

use super::Stream;

/// How long a line may become before it is passed on in parts.
const MAX_LINE: usize = 64 << 10;

/// Collects bytes until a line is whole.
pub(super) struct Lines {
    stream: Stream,
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(stream: Stream) -> Lines {
        Lines { stream, pending: Vec::new() }
    }

    /// Takes the next bytes, and passes on every line that they end.
    pub(super) fn feed(&mut self, bytes: &[u8], output: &mut dyn FnMut(Stream, &[u8])) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.pending.extend_from_slice(end);
                    self.pass_on(output);
                }
                None => self.pending.extend_from_slice(part),
            }
            if self.pending.len() >= MAX_LINE {
                self.pass_on(output);
            }
        }
    }

    /// Passes on what is left: a last line without an end.
    pub(super) fn finish(&mut self, output: &mut dyn FnMut(Stream, &[u8])) {
        if !self.pending.is_empty() {
            self.pass_on(output);
        }
    }

    fn pass_on(&mut self, output: &mut dyn FnMut(Stream, &[u8])) {
        output(self.stream, &self.pending);
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut output =
            |_, line: &[u8]| seen.push(String::from_utf8_lossy(&line[..line.len().min(20)]).into_owned());
        let mut lines = Lines::new(Stream::Stdout);
        for part in parts {
            lines.feed(part, &mut output);
        }
        lines.finish(&mut output);
        seen
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        assert_eq!(cut(&[b"one\ntw", b"o\n\nthree"]), ["one", "two", "", "three"]);
        assert_eq!(cut(&[b"one\n"]), ["one"]);
        assert_eq!(cut(&[b""]), [""; 0]);
    }

    #[test]
    fn a_line_without_end_is_passed_on_in_parts() {
        assert_eq!(cut(&[vec![b'x'; 70 << 10].as_slice(); 3]).len(), 3);
    }
}
