//! A context, a root and an instruction; what comes out is a layer, as text.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use estaleiro::bom::{Bom, File, FileSource};
use estaleiro::build::context::{Context, Scan, Wanted};
use estaleiro::build::graph::{Delta, Download, Instruction, Snapshot, Transfer, TransferSource};
use estaleiro::build::ops::known::KnownFiles;
use estaleiro::build::ops::transfer::{Site, transfer};
use estaleiro::build::solve::{Material, Yield};
use estaleiro::digest::Digest;
use estaleiro::dockerfile::Ignore;
use estaleiro::layer::{Compression, Entry, LayerWriter, Options, Skeleton, Stack};
use estaleiro::oci::{Image, Platform};
use estaleiro::store::Store;

use crate::support::tree;

/// Where instructions are tried out.
pub(crate) struct Bench {
    directory: tempfile::TempDir,
    pub(crate) store: Store,
    root: Vec<Entry>,
    ignore: Ignore,
    downloads: BTreeMap<String, Download>,
    /// The directories of another image's layers, lowest first.
    stage: Option<Vec<PathBuf>>,
    pub(crate) stage_bom: Bom,
    /// Files of the root that were accounted for.
    known: BTreeMap<String, File>,
}

impl Bench {
    /// A context made of lines such as `file`, `directory/`, `link -> target`, `0755 file`, `file = other name`.
    pub(crate) fn new(context: &str) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("state")).unwrap();
        let bench = Bench {
            directory,
            store,
            root: Vec::new(),
            ignore: Ignore::default(),
            downloads: BTreeMap::new(),
            stage: None,
            stage_bom: Bom::default(),
            known: BTreeMap::new(),
        };
        make(&bench.context(), context);
        bench
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.directory.path().join("context")
    }

    /// The root that things land in: `directory/`, `link -> target`.
    pub(crate) fn on(mut self, root: &str) -> Bench {
        for line in root.split_whitespace().collect::<Vec<_>>().join(" ").split(", ") {
            self.root.push(match line.split_once(" -> ") {
                Some((path, target)) => Entry::symlink(path, target),
                None => described(line),
            });
        }
        self
    }

    /// A list of names in the root.
    pub(crate) fn with_user(mut self, name: &str) -> Bench {
        self.root.push(Entry::directory("etc", 0o755));
        let line = format!("{name}:x:1000:1001::/:/bin/sh\n");
        self.root.push(Entry::file("etc/passwd", 0o644, line.len() as u64));
        self
    }

    /// A file of the root that an earlier instruction put there.
    pub(crate) fn with_file(mut self, path: &str) -> Bench {
        let (digest, source) = (Digest::of(path), FileSource::default());
        let file = File { path: path.to_owned(), digest, size: 0, mode: "0644".into(), source };
        self.known.insert(path.to_owned(), file);
        self
    }

    pub(crate) fn ignoring(mut self, patterns: &str) -> Bench {
        self.ignore = Ignore::parse(patterns).unwrap();
        self
    }

    pub(crate) fn serving(mut self, uri: &str, bytes: &[u8], mtime: Option<i64>) -> Bench {
        let digest = self.store.put_blob(bytes).unwrap();
        self.downloads
            .insert(uri.to_owned(), Download { uri: uri.to_owned(), address: uri.to_owned(), digest, mtime });
        self
    }

    /// Another image, of layers that are made like contexts.
    pub(crate) fn with_stage(mut self, layers: &[&str]) -> Bench {
        let paths: Vec<PathBuf> =
            (0..layers.len()).map(|index| self.directory.path().join(format!("layer{index}"))).collect();
        paths.iter().zip(layers).for_each(|(path, layer)| make(path, layer));
        self.stage = Some(paths);
        self
    }

    pub(crate) fn layer_of_stage(&self, index: usize) -> &Path {
        &self.stage.as_ref().unwrap()[index]
    }

    /// Does what an instruction says; returns the layer, one line an entry, without contents.
    pub(crate) fn layer(&self, instruction: &str) -> String {
        match self.run(instruction) {
            Ok(delta) => without_contents(&self.dump(&delta)),
            Err(error) => format!("error: {error:#}"),
        }
    }

    /// Does what an instruction says; returns the layer.
    pub(crate) fn blob(&self, instruction: &str) -> Vec<u8> {
        let layer = self.run(instruction).unwrap().layer.unwrap();
        std::fs::read(self.store.blob_path(&layer.descriptor.digest)).unwrap()
    }

    pub(crate) fn dump(&self, delta: &Delta) -> String {
        match &delta.layer {
            Some(layer) => {
                tree::dump_tar(&std::fs::read(self.store.blob_path(&layer.descriptor.digest)).unwrap())
            }
            None => "no layer".into(),
        }
    }

    pub(crate) fn run(&self, instruction: &str) -> anyhow::Result<Delta> {
        let (mut op, sources) = parse(instruction);
        let from = op.sources.pop().and_then(|source| match source {
            TransferSource::Path { from, .. } => from,
            TransferSource::Download { .. }
            | TransferSource::Repository { .. }
            | TransferSource::Text { .. } => None,
        });
        let context = Context::new(self.context());
        let mut mounts = Vec::new();
        let (urls, paths): (Vec<String>, Vec<String>) =
            sources.into_iter().partition(|source| source.starts_with("http"));
        mounts.push(match &from {
            Some(_) => self.snapshot(),
            None => {
                let wanted =
                    Wanted { sources: &paths, exclude: &op.exclude, keeps_parents: op.keeps_parents };
                let tree = Scan::new(&context, &self.ignore)?.tree(&wanted)?;
                Yield::Material(Material::Context(tree))
            }
        });
        op.sources.extend(paths.into_iter().map(|path| TransferSource::Path {
            mount: 0,
            path,
            from: from.clone(),
        }));
        for url in urls {
            let name = url.rsplit('/').next().unwrap().to_owned();
            let unpacks = instruction.contains("--unpack");
            op.sources.push(TransferSource::Download { mount: mounts.len(), name, unpacks });
            mounts.push(Yield::Material(Material::Download(self.downloads[&url].clone())));
        }
        self.transfer(&op, &mounts, &context)
    }

    pub(crate) fn transfer(
        &self,
        op: &Transfer,
        mounts: &[Yield],
        context: &Context,
    ) -> anyhow::Result<Delta> {
        let site = Site {
            mounts: &mounts.iter().collect::<Vec<_>>(),
            root: &self.skeleton(),
            files: &KnownFiles { accounted: Some(&self.known), stack: None },
            context,
            store: &self.store,
            scratch: &self.store.scratch().unwrap(),
            warn: &|line| panic!("{line}"),
            stack: &|_| Ok(Stack::open(self.stage.as_ref().unwrap())?),
        };
        transfer(op, &site, &|| Ok(self.writer()))
    }

    fn snapshot(&self) -> Yield {
        Yield::Snapshot(Box::new(Snapshot {
            image: Image::scratch(Platform::host()),
            bom: self.stage_bom.clone(),
            skeleton: Skeleton::default(),
        }))
    }

    pub(crate) fn skeleton(&self) -> Skeleton {
        let mut writer = self.writer();
        let mut entries: Vec<&Entry> = self.root.iter().collect();
        entries.sort_by_key(|entry| &entry.path);
        for entry in entries {
            writer.entry(entry, &mut &b"user:x:1000:1001::/:/bin/sh\n"[..]).unwrap();
        }
        let mut skeleton = Skeleton::default();
        skeleton.apply(&writer.finish().unwrap().skeleton).unwrap();
        skeleton
    }

    fn writer(&self) -> LayerWriter {
        let options = Options { epoch: 1_000_000, threads: 1, compression: Compression::Gzip(1) };
        LayerWriter::new(self.store.blob_writer().unwrap(), options).unwrap()
    }
}

/// Makes what lines say below a directory.
pub(crate) fn make(top: &Path, lines: &str) {
    std::fs::create_dir_all(top).unwrap();
    std::fs::set_permissions(top, PermissionsExt::from_mode(0o755)).unwrap();
    for line in
        lines.split_whitespace().collect::<Vec<_>>().join(" ").split(", ").filter(|line| !line.is_empty())
    {
        let path = |name: &str| top.join(name);
        if let Some((link, target)) = line.split_once(" -> ") {
            make_parents(&path(link));
            symlink(target, path(link)).unwrap();
            continue;
        }
        if let Some((link, first)) = line.split_once(" = ") {
            make_parents(&path(link));
            std::fs::hard_link(path(first), path(link)).unwrap();
            continue;
        }
        let entry = described(line);
        let path = path(std::str::from_utf8(&entry.path).unwrap());
        match line.ends_with('/') {
            true => std::fs::create_dir_all(&path).unwrap(),
            false => {
                make_parents(&path);
                std::fs::write(&path, line).unwrap();
            }
        }
        std::os::unix::fs::lchown(&path, Some(entry.metadata.uid), Some(entry.metadata.gid)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(entry.metadata.mode)).unwrap();
    }
}

fn make_parents(path: &Path) {
    let parent = path.parent().unwrap();
    if !parent.exists() {
        make_parents(parent);
        std::fs::create_dir(parent).unwrap();
        std::fs::set_permissions(parent, PermissionsExt::from_mode(0o755)).unwrap();
    }
    assert!(std::fs::metadata(parent).unwrap().mode() & 0o40000 != 0);
}

/// Reads `0755 3:4 path`, where mode and owner may be left out.
fn described(line: &str) -> Entry {
    let words: Vec<&str> = line.split(' ').collect();
    let path = words[words.len() - 1];
    let is_directory = path.ends_with('/');
    let mode = words.iter().rev().skip(1).find(|word| word.starts_with('0') && !word.contains(':'));
    let default = if is_directory { 0o755 } else { 0o644 };
    let mode = mode.map_or(default, |mode| u32::from_str_radix(mode, 8).unwrap());
    let mut entry = match is_directory {
        true => Entry::directory(path.trim_end_matches('/'), mode),
        false => Entry::file(path, mode, 0),
    };
    if let Some((uid, gid)) = words.iter().find_map(|word| word.split_once(':')) {
        (entry.metadata.uid, entry.metadata.gid) = (uid.parse().unwrap(), gid.parse().unwrap());
    }
    entry
}

/// Reads an instruction. The only source that it returns says where the others come from.
fn parse(instruction: &str) -> (Transfer, Vec<String>) {
    let mut words: Vec<String> = instruction.split_whitespace().map(str::to_owned).collect();
    let mut op = Transfer {
        instruction: Instruction { text: instruction.to_owned(), ..Instruction::default() },
        sources: Vec::new(),
        target: words.pop().unwrap(),
        owner: None,
        mode: None,
        unpacks: words.remove(0) == "ADD",
        keeps_parents: false,
        is_link: false,
        exclude: Vec::new(),
    };
    let mut from = None;
    words.retain(|word| {
        let (flag, value) = word.split_once('=').unwrap_or((word, ""));
        match flag {
            "--chown" => op.owner = Some(value.to_owned()),
            "--chmod" => op.mode = Some(value.to_owned()),
            "--from" => from = Some(value.to_owned()),
            "--exclude" => op.exclude.push(value.to_owned()),
            "--parents" => op.keeps_parents = true,
            "--link" => op.is_link = true,
            "--unpack" => op.unpacks = true,
            _ => return true,
        }
        false
    });
    op.sources.push(TransferSource::Path { mount: 0, path: String::new(), from });
    (op, words)
}

fn without_contents(dump: &str) -> String {
    let line = |line: &str| {
        let is_content = |word: &&str| {
            word.len() >= 14 && word.split_once(':').is_some_and(|(_, digest)| digest.len() == 12)
        };
        line.split_whitespace().filter(|word| !is_content(word)).collect::<Vec<_>>().join(" ")
    };
    dump.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Compares layers with what rows of a table say.
#[track_caller]
pub(crate) fn rows(bench: &Bench, rows: &[(&str, &str)]) {
    for (instruction, expected) in rows {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(bench.layer(instruction), expected.join("\n"), "{instruction}");
    }
}
