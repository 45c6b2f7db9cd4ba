//! Tar archives written byte by byte, so that hostile ones can be written too.
//!
//! Nothing is checked or tidied: names, links, sizes and types land in the header as given.

/// One entry of an archive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name as it shall stand in the archive.
    pub name: String,
    /// The type flag: `b'0'` file, `b'1'` hard link, `b'2'` symbolic link, `b'5'` directory …
    pub kind: u8,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u64, u64),
    /// Seconds since the epoch.
    pub mtime: u64,
    /// Where a link points.
    pub link: String,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, written as pax records.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// The content.
    pub content: Vec<u8>,
}

impl Entry {
    fn new(kind: u8, name: &str, mode: u32) -> Entry {
        Entry {
            name: name.to_owned(),
            kind,
            mode,
            owner: (0, 0),
            mtime: 0,
            link: String::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            content: Vec::new(),
        }
    }

    /// A regular file.
    pub fn file(name: &str, mode: u32, content: impl AsRef<[u8]>) -> Entry {
        Entry { content: content.as_ref().to_vec(), ..Entry::new(b'0', name, mode) }
    }

    /// A directory.
    pub fn directory(name: &str, mode: u32) -> Entry {
        Entry::new(b'5', name, mode)
    }

    /// A symbolic link.
    pub fn symlink(name: &str, target: &str) -> Entry {
        Entry { link: target.to_owned(), ..Entry::new(b'2', name, 0o777) }
    }

    /// A hard link to an earlier entry.
    pub fn hardlink(name: &str, target: &str) -> Entry {
        Entry { link: target.to_owned(), ..Entry::new(b'1', name, 0o644) }
    }

    /// A character device.
    pub fn device(name: &str, mode: u32, major: u32, minor: u32) -> Entry {
        Entry { device: (major, minor), ..Entry::new(b'3', name, mode) }
    }

    /// A named pipe.
    pub fn fifo(name: &str, mode: u32) -> Entry {
        Entry::new(b'6', name, mode)
    }

    /// The same entry with another owner.
    pub fn owned_by(self, user: u64, group: u64) -> Entry {
        Entry { owner: (user, group), ..self }
    }

    /// The same entry with another time.
    pub fn at(self, mtime: u64) -> Entry {
        Entry { mtime, ..self }
    }

    /// The same entry with one extended attribute more.
    pub fn xattr(mut self, name: &str, value: impl AsRef<[u8]>) -> Entry {
        self.xattrs.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }
}

/// A tar archive, in the order in which it was written down.
#[derive(Clone, Debug, Default)]
pub struct Tarball {
    entries: Vec<Entry>,
}

impl Tarball {
    /// Returns an archive without entries.
    pub fn new() -> Tarball {
        Tarball::default()
    }

    /// Adds a regular file.
    pub fn file(self, name: &str, mode: u32, content: impl AsRef<[u8]>) -> Tarball {
        self.entry(Entry::file(name, mode, content))
    }

    /// Adds a directory.
    pub fn directory(self, name: &str, mode: u32) -> Tarball {
        self.entry(Entry::directory(name, mode))
    }

    /// Adds a symbolic link.
    pub fn symlink(self, name: &str, target: &str) -> Tarball {
        self.entry(Entry::symlink(name, target))
    }

    /// Adds a hard link.
    pub fn hardlink(self, name: &str, target: &str) -> Tarball {
        self.entry(Entry::hardlink(name, target))
    }

    /// Adds an entry.
    pub fn entry(mut self, entry: Entry) -> Tarball {
        self.entries.push(entry);
        self
    }

    /// Returns the archive's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for entry in &self.entries {
            write_entry(&mut archive, entry);
        }
        archive.extend([0; 1024]);
        archive
    }

    /// Returns the archive's bytes, compressed by gzip.
    pub fn build_gzip(&self) -> Vec<u8> {
        super::deb::compress(super::deb::Compression::Gz, &self.build())
    }
}

fn write_entry(archive: &mut Vec<u8>, entry: &Entry) {
    if !entry.xattrs.is_empty() {
        write_block(archive, &Entry::file("pax", 0o644, pax_records(&entry.xattrs)), b'x');
    }
    if entry.name.len() > 100 {
        write_block(archive, &Entry::file("././@LongLink", 0, with_nul(&entry.name)), b'L');
    }
    if entry.link.len() > 100 {
        write_block(archive, &Entry::file("././@LongLink", 0, with_nul(&entry.link)), b'K');
    }
    write_block(archive, entry, entry.kind);
}

fn with_nul(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// A pax record is `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn pax_records(xattrs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut records = Vec::new();
    for (name, value) in xattrs {
        let body = [format!(" SCHILY.xattr.{name}=").as_bytes(), value, b"\n"].concat();
        let mut length = body.len();
        while length != body.len() + length.to_string().len() {
            length = body.len() + length.to_string().len();
        }
        records.extend(length.to_string().into_bytes());
        records.extend(body);
    }
    records
}

fn write_block(archive: &mut Vec<u8>, entry: &Entry, kind: u8) {
    let mut header = tar::Header::new_gnu();
    let gnu = header.as_gnu_mut().unwrap();
    copy_prefix(&mut gnu.name, entry.name.as_bytes());
    copy_prefix(&mut gnu.linkname, entry.link.as_bytes());
    gnu.typeflag = [kind];
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    header.set_mtime(entry.mtime);
    if entry.owner == (0, 0) {
        header.set_username("root").unwrap();
        header.set_groupname("root").unwrap();
    }
    header.set_size(entry.content.len() as u64);
    header.set_device_major(entry.device.0).unwrap();
    header.set_device_minor(entry.device.1).unwrap();
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(&entry.content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

fn copy_prefix(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}
