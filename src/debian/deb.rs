//! A `.deb` read as a stream: an ar archive of `debian-binary`, `control.tar*` and `data.tar*`.
//!
//! See <https://manpages.debian.org/deb.5>. The control files are small and come as values; the data comes as the
//! stream of an uncompressed tar. Nothing is unpacked here: what a path in that tar may do is the unpacker's concern.

mod plain;
mod unnamed;

use std::io::{self, BufReader, Read};

pub use plain::plain;

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_LENGTH: usize = 60;
/// What `xz -9` needs is 65 MiB; what asks for more is not a package.
const XZ_MEMORY: u64 = 128 << 20;
/// The window of `zstd --ultra -22`: 128 MiB.
const ZSTD_WINDOW_LOG: u32 = 27;
/// All control files together, uncompressed: far above the largest `md5sums` known.
const CONTROL_LIMIT: u64 = 64 << 20;
const VERSION_LIMIT: u64 = 64;

/// A `.deb` whose control files are read and whose data is yet to come.
#[derive(Debug)]
pub struct Deb<R: Read> {
    /// The text of the file `control`.
    pub control: String,
    /// All control files, `control` among them, in the order of the archive.
    pub files: Vec<ControlFile>,
    /// The newest time in the ar headers, in seconds since 1970.
    pub archive_time: u64,
    data: Member<R>,
    compression: Compression,
}

/// One file of `control.tar`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// Its name, one component: `postinst`, `md5sums`.
    pub name: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Why something is no usable `.deb`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not begin as an ar archive.
    #[error("cannot read package archive: it is not an ar archive")]
    NotAnArchive,
    /// It ends where more must come.
    #[error("cannot read package archive: it ends in {0}")]
    Truncated(&'static str),
    /// An ar header is broken.
    #[error("cannot read package archive: member header {0:?} is malformed")]
    Header(String),
    /// Members come in another order, or others come.
    #[error("cannot read package archive: expected member {expected}, got {got:?}")]
    Member {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        got: String,
    },
    /// A format other than 2.x.
    #[error("cannot read package archive: format version {0:?} is not 2.x")]
    Format(String),
    /// A member compressed in a way that is not supported.
    #[error(
        "cannot read package archive: {member} is compressed with {compression}, which is not supported (only none, gzip, xz and zstd are)"
    )]
    Compression {
        /// The member.
        member: String,
        /// How, by its suffix.
        compression: String,
    },
    /// The control member holds what it may not.
    #[error("cannot read package archive: control.tar: {0}")]
    Control(String),
    /// Reading or decompressing failed.
    #[error("cannot read package archive: {member}: {source}")]
    Read {
        /// The member.
        member: &'static str,
        /// What happened.
        source: io::Error,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// Reads a `.deb` up to its data.
pub fn open<R: Read>(mut reader: R) -> Result<Deb<R>, Error> {
    read_magic(&mut reader)?;
    let (version, reader) = read_version(reader)?;
    let (control, control_time) = next_member(reader, "control.tar")?;
    let compression = Compression::of(&control.name, "control.tar")?;
    let mut control = control.content;
    let files = read_control(decode(&mut control, compression, "control.tar")?)?;
    let (data, data_time) = next_member(control.finish("control.tar")?, "data.tar")?;
    let compression = Compression::of(&data.name, "data.tar")?;
    let archive_time = version.max(control_time).max(data_time);
    Ok(Deb { control: control_text(&files)?, files, archive_time, data: data.content, compression })
}

/// The names of the scripts dpkg runs.
pub const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

impl<R: Read> Deb<R> {
    /// Returns the maintainer scripts among the control files.
    pub fn scripts(&self) -> impl Iterator<Item = &ControlFile> {
        self.files.iter().filter(|file| SCRIPTS.contains(&file.name.as_str()))
    }

    /// Returns the control file `name`.
    pub fn file(&self, name: &str) -> Option<&ControlFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Returns the uncompressed tar of the package's files; it fails at its end if the archive is cut short.
    pub fn data(self) -> Result<impl Read, Error> {
        decode(self.data, self.compression, "data.tar")
    }
}

fn read_magic(reader: &mut impl Read) -> Result<(), Error> {
    let mut magic = [0; MAGIC.len()];
    match reader.read_exact(&mut magic) {
        Ok(()) if &magic == MAGIC => Ok(()),
        Ok(()) => Err(Error::NotAnArchive),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::NotAnArchive),
        Err(source) => Err(Error::Read { member: "the archive's beginning", source }),
    }
}

/// Reads `debian-binary` and returns its time and the reader behind it.
fn read_version<R: Read>(reader: R) -> Result<(u64, R), Error> {
    let expected = "debian-binary";
    let mut member = read_header(reader, expected)?;
    if member.name != expected {
        return Err(Error::Member { expected, got: member.name });
    }
    if member.content.left > VERSION_LIMIT {
        return Err(Error::Format("longer than 64 bytes".to_owned()));
    }
    let mut text = String::new();
    member.content.read_to_string(&mut text).map_err(|source| read_error(expected, source))?;
    let line = text.lines().next().unwrap_or_default();
    let minor = line.strip_prefix("2.").filter(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()));
    if minor.is_none_or(str::is_empty) {
        return Err(Error::Format(line.to_owned()));
    }
    Ok((member.time, member.content.finish(expected)?))
}

/// Returns the next member that counts; those whose name begins with `_` are there for others.
fn next_member<R: Read>(mut reader: R, expected: &'static str) -> Result<(Header<R>, u64), Error> {
    let mut time = 0;
    loop {
        let header = read_header(reader, expected)?;
        time = header.time.max(time);
        if header.name.starts_with(expected) {
            return Ok((header, time));
        }
        if !header.name.starts_with('_') {
            return Err(Error::Member { expected, got: header.name });
        }
        reader = header.content.finish("an unknown member")?;
    }
}

struct Header<R: Read> {
    name: String,
    time: u64,
    content: Member<R>,
}

fn read_header<R: Read>(mut reader: R, expected: &'static str) -> Result<Header<R>, Error> {
    let mut header = [0; HEADER_LENGTH];
    reader.read_exact(&mut header).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated(place_before(expected)),
        _ => Error::Read { member: expected, source },
    })?;
    let malformed = || Error::Header(String::from_utf8_lossy(&header).trim_end().to_owned());
    if &header[58..] != b"`\n" {
        return Err(malformed());
    }
    let name = std::str::from_utf8(&header[..16]).map_err(|_| malformed())?.trim_end();
    let time = parse_number(&header[16..28]).ok_or_else(malformed)?;
    let size = parse_number(&header[48..58]).ok_or_else(malformed)?;
    let name = name.strip_suffix('/').unwrap_or(name).to_owned();
    Ok(Header { name, time, content: Member { reader, left: size, padding: size % 2 } })
}

fn place_before(expected: &str) -> &'static str {
    match expected {
        "debian-binary" => "front of debian-binary",
        "control.tar" => "front of control.tar",
        _ => "front of data.tar",
    }
}

fn parse_number(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_end();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() { Some(0) } else { is_number.then(|| text.parse().ok())? }
}

/// The bytes of one member; it fails rather than end early.
#[derive(Debug)]
struct Member<R> {
    reader: R,
    left: u64,
    padding: u64,
}

impl<R: Read> Read for Member<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut short"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

impl<R: Read> Member<R> {
    /// Skips what is left of it and returns the reader behind it.
    fn finish(mut self, name: &'static str) -> Result<R, Error> {
        io::copy(&mut self, &mut io::sink()).map_err(|source| read_error(name, source))?;
        let skipped = io::copy(&mut self.reader.by_ref().take(self.padding), &mut io::sink());
        match skipped.map_err(|source| read_error(name, source))? == self.padding {
            true => Ok(self.reader),
            false => Err(Error::Truncated("the padding of a member")),
        }
    }
}

fn read_error(member: &'static str, source: io::Error) -> Error {
    Error::Read { member, source }
}

impl Compression {
    fn of(name: &str, stem: &str) -> Result<Compression, Error> {
        match name.strip_prefix(stem).unwrap_or(name) {
            "" => Ok(Compression::None),
            ".gz" => Ok(Compression::Gzip),
            ".xz" => Ok(Compression::Xz),
            ".zst" => Ok(Compression::Zstd),
            other => Err(Error::Compression {
                member: stem.to_owned(),
                compression: other.trim_start_matches('.').to_owned(),
            }),
        }
    }
}

/// One stream, whichever way it was compressed.
enum Decoder<R: Read> {
    None(R),
    Gzip(MultiGzDecoder<R>),
    Xz(XzDecoder<R>),
    Zstd(zstd::Decoder<'static, BufReader<R>>),
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::None(reader) => reader.read(buffer),
            Decoder::Gzip(reader) => reader.read(buffer),
            Decoder::Xz(reader) => reader.read(buffer),
            Decoder::Zstd(reader) => reader.read(buffer),
        }
    }
}

fn decode<R: Read>(reader: R, compression: Compression, member: &'static str) -> Result<Decoder<R>, Error> {
    Ok(match compression {
        Compression::None => Decoder::None(reader),
        Compression::Gzip => Decoder::Gzip(MultiGzDecoder::new(reader)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED);
            let stream = stream.map_err(|error| read_error(member, error.into()))?;
            Decoder::Xz(XzDecoder::new_stream(reader, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(reader).map_err(|source| read_error(member, source))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|source| read_error(member, source))?;
            Decoder::Zstd(decoder)
        }
    })
}

fn read_control(decoder: impl Read) -> Result<Vec<ControlFile>, Error> {
    let mut archive = tar::Archive::new(decoder.take(CONTROL_LIMIT));
    let mut files: Vec<ControlFile> = Vec::new();
    for entry in archive.entries().map_err(|source| read_error("control.tar", source))? {
        let mut entry = entry.map_err(|source| read_error("control.tar", source))?;
        let Some(file) = read_control_file(&mut entry)? else { continue };
        if files.iter().any(|known| known.name == file.name) {
            return Err(Error::Control(format!("{} is there twice", file.name)));
        }
        files.push(file);
    }
    Ok(files)
}

/// Returns the file; `None` for the directory `.`.
fn read_control_file<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Option<ControlFile>, Error> {
    let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let name = path.trim_start_matches("./").trim_end_matches('/').to_owned();
    let kind = entry.header().entry_type();
    if kind.is_dir() && matches!(name.as_str(), "" | ".") {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err(Error::Control(format!("{path:?} is not a regular file")));
    }
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(Error::Control(format!("{path:?} is not the name of a control file")));
    }
    let mode = entry.header().mode().map_err(|source| read_error("control.tar", source))? & 0o7777;
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(|source| read_error("control.tar", source))?;
    if content.len() as u64 != entry.size() {
        return Err(Error::Control(format!("{name} is cut short")));
    }
    Ok(Some(ControlFile { name, mode, content }))
}

fn control_text(files: &[ControlFile]) -> Result<String, Error> {
    let control = files.iter().find(|file| file.name == "control");
    let control = control.ok_or_else(|| Error::Control("there is no file control".to_owned()))?;
    String::from_utf8(control.content.clone()).map_err(|_| Error::Control("control is not UTF-8".to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    pub(crate) fn ar(members: &[(&str, u64, &[u8])]) -> Vec<u8> {
        let mut archive = MAGIC.to_vec();
        for (name, time, content) in members {
            let size = content.len();
            writeln!(archive, "{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`", 0, 0, 100_644).unwrap();
            archive.extend_from_slice(content);
            if size % 2 == 1 {
                archive.push(b'\n');
            }
        }
        archive
    }

    pub(crate) fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o755);
            header.set_entry_type(if name.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn compress(suffix: &str, bytes: &[u8]) -> Vec<u8> {
        match suffix {
            "" => bytes.to_vec(),
            ".gz" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            ".xz" => liblzma::encode_all(bytes, 1).unwrap(),
            ".zst" => zstd::encode_all(bytes, 1).unwrap(),
            other => unreachable!("{other}"),
        }
    }

    fn control() -> Vec<u8> {
        tar_of(&[("./", ""), ("./control", "Package: a\n"), ("./postinst", "#!/bin/sh\n"), ("./md5sums", "")])
    }

    pub(crate) fn deb(suffix: &str, data: &[u8]) -> Vec<u8> {
        ar(&[
            ("debian-binary", 7, b"2.0\n"),
            (&format!("control.tar{suffix}"), 9, &compress(suffix, &control())),
            (&format!("data.tar{suffix}"), 8, &compress(suffix, data)),
        ])
    }

    fn error_of(bytes: &[u8]) -> String {
        match open(bytes) {
            Err(error) => error.to_string(),
            Ok(deb) => io::copy(&mut deb.data().unwrap(), &mut io::sink()).unwrap_err().to_string(),
        }
    }

    #[test]
    fn every_supported_compression_gives_the_same_package() {
        let data = tar_of(&[("./usr/", ""), ("./usr/file", "content")]);
        for suffix in ["", ".gz", ".xz", ".zst"] {
            let bytes = deb(suffix, &data);
            let deb = open(&bytes[..]).unwrap();
            assert_eq!((deb.control.as_str(), deb.archive_time, deb.files.len()), ("Package: a\n", 9, 3));
            let scripts: Vec<_> = deb.scripts().map(|file| (file.name.as_str(), file.mode)).collect();
            assert_eq!(scripts, [("postinst", 0o755)]);
            let mut read = Vec::new();
            deb.data().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == data, "{suffix}");
        }
    }

    #[test]
    fn compressions_of_others_are_refused_by_name() {
        let bytes = ar(&[
            ("debian-binary", 0, b"2.0\n"),
            ("control.tar", 0, &control()),
            ("data.tar.bz2", 0, b"BZh9"),
        ]);
        assert_eq!(
            error_of(&bytes),
            "cannot read package archive: data.tar is compressed with bz2, which is not supported (only none, gzip, xz and zstd are)"
        );
    }

    #[test]
    fn wherever_it_is_cut_it_is_refused() {
        let data = tar_of(&[("./file", &"content ".repeat(500))]);
        for suffix in ["", ".gz", ".xz", ".zst"] {
            let whole = deb(suffix, &data);
            let last = whole.len() - 2;
            for length in (0..whole.len().min(1500)).step_by(7).chain([last]) {
                let Ok(deb) = open(&whole[..length]) else { continue };
                let read = io::copy(&mut deb.data().unwrap(), &mut io::sink());
                assert!(read.is_err(), "{suffix} cut at {length} of {}", whole.len());
            }
        }
    }

    #[test]
    fn what_is_malformed_is_refused_with_a_reason() {
        let version = ("debian-binary", 0, &b"2.0\n"[..]);
        let tar = control();
        let bad =
            |files: &[(&str, &str)]| ar(&[version, ("control.tar", 0, &tar_of(files)), ("data.tar", 0, b"")]);
        for (bytes, error) in [
            (b"PK".to_vec(), "it is not an ar archive"),
            (ar(&[]), "it ends in front of debian-binary"),
            (ar(&[("control.tar", 0, &tar)]), "expected member debian-binary, got \"control.tar\""),
            (ar(&[("debian-binary", 0, b"3.0\n")]), "format version \"3.0\" is not 2.x"),
            (ar(&[("debian-binary", 0, b"2\n")]), "format version \"2\" is not 2.x"),
            (ar(&[("debian-binary", 0, &[b'2'; 65])]), "format version \"longer than 64 bytes\" is not 2.x"),
            (ar(&[version, ("data.tar", 0, b"")]), "expected member control.tar, got \"data.tar\""),
            (ar(&[version, ("control.tar", 0, &tar)]), "it ends in front of data.tar"),
            (bad(&[("./postinst", "")]), "control.tar: there is no file control"),
            (bad(&[("./control", ""), ("./control", "")]), "control.tar: control is there twice"),
            (bad(&[("../control", "")]), "control.tar: \"../control\" is not the name of a control file"),
            (bad(&[("./a/control", "")]), "control.tar: \"./a/control\" is not the name of a control file"),
            (bad(&[("./a/", "")]), "control.tar: \"./a/\" is not a regular file"),
        ] {
            assert_eq!(error_of(&bytes), format!("cannot read package archive: {error}"));
        }
    }

    #[test]
    fn members_for_others_are_passed_over_and_their_time_counts() {
        let bytes = ar(&[
            ("debian-binary", 0, b"2.1\n"),
            ("_gpgorigin", 99, b"odd"),
            ("control.tar/", 1, &control()),
            ("data.tar", 2, b""),
        ]);
        assert_eq!(open(&bytes[..]).unwrap().archive_time, 99);
    }

    #[test]
    fn a_size_beyond_the_archive_and_a_broken_header_are_refused() {
        let mut bytes = deb("", b"data");
        let at = MAGIC.len() + 48;
        bytes[at..at + 2].copy_from_slice(b"-1");
        assert!(error_of(&bytes).contains("is malformed"));
        let mut bytes = deb("", b"data");
        bytes[MAGIC.len() + 58] = b'x';
        assert!(error_of(&bytes).contains("is malformed"));
    }
}
