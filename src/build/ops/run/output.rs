//! What a command says, on its way to people: in lines, without the secrets it was told.

use std::collections::VecDeque;

use crate::progress::Progress;

/// How many of a failed command's last lines are shown.
const N_LINES_SHOWN: usize = 40;
/// What is shorter is nothing that could be hidden: it would be found everywhere.
const SHORTEST_SECRET: usize = 3;

/// Passes lines on, and remembers the last ones.
pub(super) struct Output<'a> {
    progress: &'a Progress,
    prefix: String,
    mask: Mask,
    last_lines: VecDeque<String>,
}

impl<'a> Output<'a> {
    pub(super) fn new(progress: &'a Progress, prefix: String, mask: Mask) -> Output<'a> {
        Output { progress, prefix, mask, last_lines: VecDeque::new() }
    }

    /// Takes a line.
    pub(super) fn line(&mut self, line: &[u8]) {
        let line = self.mask.apply(&String::from_utf8_lossy(line));
        let line = last_state(&line);
        self.progress.say(format!("{}{line}", self.prefix));
        if self.last_lines.len() == N_LINES_SHOWN {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(line.to_owned());
    }

    /// Returns the last lines, for an error.
    pub(super) fn said_last(self) -> String {
        match self.last_lines.is_empty() {
            true => "it said nothing".into(),
            false => format!("it said last:\n{}", Vec::from(self.last_lines).join("\n")),
        }
    }
}

/// Who goes back to the beginning of a line wants to be seen with the end only.
fn last_state(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit('\r').next().unwrap_or(line)
}

/// What is not to be seen.
pub(super) struct Mask {
    /// The longest first, since one may hold another.
    secrets: Vec<String>,
}

impl Mask {
    /// Returns a mask for these values, and, where one has several lines, for each of them.
    pub(super) fn new<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Mask {
        let texts = values.into_iter().map(|value| String::from_utf8_lossy(value).into_owned());
        let mut secrets: Vec<String> = texts
            .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
            .filter(|line| line.len() >= SHORTEST_SECRET)
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Mask { secrets }
    }

    fn apply(&self, line: &str) -> String {
        self.secrets.iter().fold(line.to_owned(), |line, secret| match line.contains(secret.as_str()) {
            true => line.replace(secret.as_str(), "***"),
            false => line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_line_by_line() {
        let mask = Mask::new([&b"hunter2\n"[..], b"hunter2-and-more", b"-----BEGIN\nkeykey\n", b"x\n"]);
        assert_eq!(mask.apply("pw=hunter2, hunter2-and-more"), "pw=***, ***");
        assert_eq!(mask.apply("a keykey x"), "a *** x");
    }

    #[test]
    fn of_a_line_that_is_written_again_the_end_is_shown() {
        let progress = Progress::silent();
        let mut output = Output::new(&progress, "Dockerfile:1 ".into(), Mask::new([]));
        (0..50).for_each(|n| output.line(format!("{n}").as_bytes()));
        output.line(b"10%\r50%\r100%\r");
        let said = output.said_last();
        assert!(said.starts_with("it said last:\n11\n") && said.ends_with("\n49\n100%"), "{said}");
        let silent = Output::new(&progress, String::new(), Mask::new([]));
        assert_eq!(silent.said_last(), "it said nothing");
    }
}
