//! `.git` of a checkout: what `git clone --depth 1` keeps, but the same bytes for the same commit whoever handed it out.
//!
//! The pack has no deltas and the index no times; what would tell when or where it was made is left out.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Result, anyhow};
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use gix::ObjectId;
use gix::hash::{Hasher, Kind as Hash, hasher};
use gix::objs::Kind;

use super::checkout::{Content, Leaf, Tracked, Tree};
use super::objects::{Heap, Objects};

/// No pack is larger.
const LARGEST_PACK: u64 = 8 << 30;
const EMPTY: [&str; 6] = ["", "/objects", "/objects/pack", "/refs", "/refs/heads", "/refs/tags"];

/// Where a commit was found.
pub(super) struct Origin<'a> {
    /// The repository's address, without credentials.
    pub(super) url: &'a str,
    /// The full name of the ref.
    pub(super) reference: Option<&'a str>,
    /// What the ref names: the commit, or a tag of it.
    pub(super) id: ObjectId,
}

/// Returns what is in `.git`, with its paths.
pub(super) fn files(
    objects: &Objects,
    commit: &ObjectId,
    tree: &Tree,
    origin: &Origin<'_>,
    directory: &Path,
) -> Result<Vec<(Vec<u8>, Leaf)>> {
    let ids = reachable(objects, commit, tree, &origin.id)?;
    let Packed { pack, index, name } = pack(objects, &ids, directory)?;
    let mut files = vec![
        ("HEAD".to_owned(), 0o644, Content::Bytes(format!("{commit}\n").into_bytes())),
        ("config".to_owned(), 0o644, Content::Bytes(config(origin.url).into_bytes())),
        ("index".to_owned(), 0o644, Content::Bytes(git_index(&tree.tracked)?)),
        (format!("objects/pack/pack-{name}.pack"), 0o444, pack),
        (format!("objects/pack/pack-{name}.idx"), 0o444, Content::Bytes(index)),
    ];
    if objects.commit(commit)?.1 {
        files.push(("shallow".to_owned(), 0o644, Content::Bytes(format!("{commit}\n").into_bytes())));
    }
    if let Some(refs) = packed_refs(commit, origin) {
        files.push(("packed-refs".to_owned(), 0o644, Content::Bytes(refs.into_bytes())));
    }
    let directories = EMPTY.iter().map(|path| (format!(".git{path}").into_bytes(), Leaf::Directory));
    let files = files
        .into_iter()
        .map(|(path, mode, content)| (format!(".git/{path}").into_bytes(), Leaf::File { mode, content }));
    Ok(directories.chain(files).collect())
}

/// Returns the commit's objects without its history: with the tags that lead to it.
fn reachable(
    objects: &Objects,
    commit: &ObjectId,
    tree: &Tree,
    named: &ObjectId,
) -> Result<BTreeSet<ObjectId>> {
    let mut ids: BTreeSet<ObjectId> = tree.trees.iter().copied().collect();
    let blobs = tree.tracked.iter().filter(|tracked| is_blob(tracked)).map(|tracked| tracked.id);
    ids.extend(blobs);
    ids.insert(*commit);
    let mut tag = *named;
    while tag != *commit {
        ids.insert(tag);
        tag = objects.target(&tag)?;
    }
    Ok(ids)
}

fn is_blob(tracked: &Tracked) -> bool {
    tracked.mode & 0o170_000 != 0o160_000
}

fn config(url: &str) -> String {
    let url = url.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
         [remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    )
}

fn packed_refs(commit: &ObjectId, origin: &Origin<'_>) -> Option<String> {
    let name = origin.reference.filter(|name| gix::validate::reference::name((*name).into()).is_ok())?;
    let name = name.starts_with("refs/").then_some(name)?;
    let peeled = if origin.id == *commit { String::new() } else { format!("^{commit}\n") };
    Some(format!("# pack-refs with: peeled fully-peeled sorted \n{} {name}\n{peeled}", origin.id))
}

struct Packed {
    pack: Content,
    index: Vec<u8>,
    /// The pack's sum.
    name: ObjectId,
}

struct Entry {
    id: ObjectId,
    crc: u32,
    offset: u64,
}

/// Writes a pack of these objects (git-scm.com/docs/gitformat-pack).
fn pack(objects: &Objects, ids: &BTreeSet<ObjectId>, directory: &Path) -> Result<Packed> {
    let mut out =
        Out { heap: Heap::new(directory, LARGEST_PACK)?, hasher: hasher(Hash::Sha1), crc: Crc::new() };
    let n_objects = u32::try_from(ids.len())?;
    out.write_all(&[b"PACK\0\0\0\x02".as_slice(), &n_objects.to_be_bytes()].concat())?;
    let mut entries = Vec::new();
    for id in ids {
        let offset = out.heap.end();
        out.crc = Crc::new();
        object(objects, id, &mut out)?;
        entries.push(Entry { id: *id, crc: out.crc.sum(), offset });
    }
    let Out { mut heap, hasher, .. } = out;
    let name = sum(hasher)?;
    heap.add(name.as_slice())?;
    heap.flush()?;
    let index = pack_index(&entries, &name)?;
    Ok(Packed { pack: Content::Section(heap.section(0, heap.end())), index, name })
}

fn object(objects: &Objects, id: &ObjectId, out: &mut Out) -> Result<()> {
    let stored = objects.stored(id)?;
    let kind = match stored.kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    let mut header = vec![kind << 4 | (stored.size & 0x0f) as u8];
    let mut rest = stored.size >> 4;
    while rest > 0 {
        *header.last_mut().expect("it has a first byte") |= 0x80;
        header.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.write_all(&header)?;
    let mut encoder = ZlibEncoder::new(out, Compression::new(6));
    io::copy(&mut objects.open(stored), &mut encoder)?;
    encoder.finish()?;
    Ok(())
}

fn pack_index(entries: &[Entry], pack: &ObjectId) -> Result<Vec<u8>> {
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    for first in 0..=u8::MAX {
        let n_until = entries.partition_point(|entry| entry.id.as_slice()[0] <= first);
        index.extend((n_until as u32).to_be_bytes());
    }
    entries.iter().for_each(|entry| index.extend(entry.id.as_slice()));
    entries.iter().for_each(|entry| index.extend(entry.crc.to_be_bytes()));
    let mut far: Vec<u64> = Vec::new();
    for entry in entries {
        let offset = match u32::try_from(entry.offset) {
            Ok(near) if near < 1 << 31 => near,
            Ok(_) | Err(_) => {
                far.push(entry.offset);
                1 << 31 | (far.len() - 1) as u32
            }
        };
        index.extend(offset.to_be_bytes());
    }
    far.iter().for_each(|offset| index.extend(offset.to_be_bytes()));
    index.extend(pack.as_slice());
    summed(index)
}

/// Writes what git knows of the files (git-scm.com/docs/gitformat-index): of their times and places nothing, so it looks.
fn git_index(tracked: &[Tracked]) -> Result<Vec<u8>> {
    let mut tracked: Vec<&Tracked> = tracked.iter().collect();
    tracked.sort_by(|a, b| a.path.cmp(&b.path));
    let mut index = b"DIRC\0\0\0\x02".to_vec();
    index.extend(u32::try_from(tracked.len())?.to_be_bytes());
    for file in tracked {
        let start = index.len();
        index.extend([0; 24]);
        index.extend(file.mode.to_be_bytes());
        index.extend([0; 12]);
        index.extend(file.id.as_slice());
        index.extend((file.path.len().min(0xfff) as u16).to_be_bytes());
        index.extend(&file.path);
        let padding = 8 - (index.len() - start) % 8;
        index.extend(std::iter::repeat_n(0, padding));
    }
    summed(index)
}

fn summed(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut hasher = hasher(Hash::Sha1);
    hasher.update(&bytes);
    bytes.extend(sum(hasher)?.as_slice());
    Ok(bytes)
}

fn sum(hasher: Hasher) -> Result<ObjectId> {
    hasher.try_finalize().map_err(|error| anyhow!("{error}"))
}

struct Out {
    heap: Heap,
    hasher: Hasher,
    crc: Crc,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heap.add(bytes)?;
        self.hasher.update(bytes);
        self.crc.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
