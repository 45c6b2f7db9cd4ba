//! COPY and ADD.
//!
//! Which files a source means is not known here.

use super::flags::{Flags, Known, Takes};
use super::heredoc::Heredoc;
use super::kind::{Add, Copy, Document, Transfer};
use super::mistake::Mistake;
use super::read::Reading;
use super::split::Token;

const COPY_FLAGS: [Known; 6] = [
    ("from", Takes::Value),
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Truth),
    ("parents", Takes::Truth),
    ("exclude", Takes::Values),
];

const ADD_FLAGS: [Known; 7] = [
    ("chown", Takes::Value),
    ("chmod", Takes::Value),
    ("link", Takes::Truth),
    ("exclude", Takes::Values),
    ("checksum", Takes::Value),
    ("keep-git-dir", Takes::Truth),
    ("unpack", Takes::Truth),
];

pub(super) fn read_copy(reading: &Reading<'_>) -> Result<Copy, Mistake> {
    let (words, flags) = read_words(reading, &COPY_FLAGS)?;
    Ok(Copy {
        transfer: read_transfer(reading, &words, &flags)?,
        from: flags.value("from"),
        parents: flags.truth("parents") == Some(true),
    })
}

pub(super) fn read_add(reading: &Reading<'_>) -> Result<Add, Mistake> {
    let (words, flags) = read_words(reading, &ADD_FLAGS)?;
    Ok(Add {
        transfer: read_transfer(reading, &words, &flags)?,
        checksum: flags.value("checksum"),
        keep_git_dir: flags.truth("keep-git-dir"),
        unpack: flags.truth("unpack"),
    })
}

fn read_words(reading: &Reading<'_>, known: &[Known]) -> Result<(Vec<Token>, Flags), Mistake> {
    let words = reading.words()?;
    if words.len() < 2 {
        let message = format!("cannot read {}: it has no destination", reading.name);
        let hint = format!("write at least two words, for instance {} file /directory/", reading.name);
        return Err(reading.mistake_at_rest(message, hint));
    }
    Ok((words, reading.flags(known)?))
}

fn read_transfer(reading: &Reading<'_>, words: &[Token], flags: &Flags) -> Result<Transfer, Mistake> {
    let (destination, sources) = words.split_last().expect("there are at least two words");
    if announced(destination).is_some() {
        let message = format!("cannot read {}: a here-document is no destination", reading.name);
        return Err(Mistake::new(destination.span.clone(), message, "write a path last"));
    }
    let mut transfer = Transfer {
        sources: Vec::new(),
        documents: Vec::new(),
        destination: destination.text.clone(),
        chown: flags.value("chown"),
        chmod: flags.value("chmod"),
        link: flags.truth("link") == Some(true),
        exclude: flags.values("exclude").map(|(pattern, _)| pattern.to_owned()).collect(),
    };
    for source in sources {
        match announced(source) {
            Some(heredoc) => transfer.documents.push(document(&heredoc, &reading.line.heredocs)),
            None => transfer.sources.push(source.text.clone()),
        }
    }
    Ok(transfer)
}

fn announced(word: &Token) -> Option<Heredoc> {
    Heredoc::parse(&word.text).ok().flatten()
}

/// Of two that end with the same word, the latter counts, as in BuildKit.
fn document(announced: &Heredoc, heredocs: &[Heredoc]) -> Document {
    let found = heredocs.iter().rev().find(|heredoc| heredoc.name == announced.name);
    let written = found.map(|heredoc| heredoc.written.clone()).unwrap_or_default();
    let heredoc = Heredoc { written, ..announced.clone() };
    Document { text: heredoc.text(), name: heredoc.name, is_expanded: heredoc.is_expanded }
}
