//! A signed apt archive on 127.0.0.1: pool, indexes, by-hash, `InRelease` and `Release.gpg`.
//!
//! Everything is held in memory and computed when it is served. Each way in which an archive can be
//! wrong is a [`Wrong`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use estaleiro::digest::Digest;
use futures_util::FutureExt;

use super::deb::{Compression, Deb, compress, md5};
use super::fault::Faults;
use super::http::{self, Handler, Log, Server};
use super::key::{Key, clear_sign};
use super::tarball::Tarball;

/// What is wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There is a `Release`, and no signature at all.
    Unsigned,
    /// `InRelease` and `Release` were changed after they were signed.
    Tampered,
    /// There is text before the signed part of `InRelease`.
    TextBeforeSignedPart,
    /// There is text after the signature in `InRelease`.
    TextAfterSignature,
    /// `Packages` is another one than `Release` says.
    PackagesHash,
    /// The index names a file that the pool does not have; the file's name contains the text.
    MissingPoolFile(String),
    /// A file of the pool is another one than the index says (its size is the same).
    PoolBytes(String),
    /// `Valid-Until` lies in the past.
    ValidUntilPassed,
    /// There is no `InRelease`, only `Release` and `Release.gpg`.
    NoInRelease,
    /// `Release` does not promise by-hash, and there is none.
    NoByHash,
    /// `Suite` and `Codename` are another archive's.
    OtherSuite,
}

/// A source package.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    version: String,
    files: Vec<(String, Vec<u8>)>,
}

impl Source {
    /// Returns a source package with a `.dsc` and one tarball.
    pub fn new(name: &str, version: &str) -> Source {
        let stem = format!("{name}_{}", version.split_once(':').map_or(version, |(_, rest)| rest));
        let tarball = format!("the source of {name} {version}\n").into_bytes();
        let control = format!("Format: 3.0 (native)\nSource: {name}\nVersion: {version}\n").into_bytes();
        let files = vec![(format!("{stem}.dsc"), control), (format!("{stem}.tar.xz"), tarball)];
        Source { name: name.to_owned(), version: version.to_owned(), files }
    }

    /// Returns a source package of format `3.0 (native)` that dpkg-source unpacks: `debian/` and a file.
    pub fn native(name: &str, version: &str, content: &str) -> Source {
        let stem = format!("{name}_{}", version.split_once(':').map_or(version, |(_, rest)| rest));
        let top = format!("{name}-{version}");
        let tarball = Tarball::new()
            .directory(&format!("{top}/"), 0o755)
            .directory(&format!("{top}/debian/"), 0o755)
            .file(&format!("{top}/debian/changelog"), 0o644, "")
            .file(&format!("{top}/content"), 0o644, content);
        let tarball = compress(Compression::Xz, &tarball.build());
        let (file, size) = (format!("{stem}.tar.xz"), tarball.len());
        let control = format!(
            "Format: 3.0 (native)\nSource: {name}\nBinary: {name}\nArchitecture: all\nVersion: {version}\n\
             Maintainer: Nobody <nobody@archive.example>\nChecksums-Sha256:\n {} {size} {file}\n\
             Files:\n {} {size} {file}\n",
            Digest::of(&tarball).hex(),
            md5(&tarball),
        );
        let files = vec![(format!("{stem}.dsc"), control.into_bytes()), (file, tarball)];
        Source { name: name.to_owned(), version: version.to_owned(), files }
    }

    /// Adds a file.
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Source {
        self.files.push((name.to_owned(), content.as_ref().to_vec()));
        self
    }
}

struct Binary {
    component: String,
    deb: Deb,
    bytes: Vec<u8>,
}

/// An archive in the making.
pub struct Archive {
    suite: String,
    codename: String,
    origin: String,
    date: String,
    component: String,
    components: Vec<String>,
    architectures: Vec<String>,
    compression: Compression,
    binaries: Vec<Binary>,
    sources: Vec<(String, Source)>,
    keys: Vec<Key>,
    published: Option<Key>,
    is_flat: bool,
    wrongs: Vec<Wrong>,
    fields: Vec<(String, String)>,
    lists_sources: bool,
}

impl Default for Archive {
    fn default() -> Archive {
        Archive::new()
    }
}

impl Archive {
    /// Returns an empty archive: suite `stable`, codename `bookworm`, component `main`, for amd64.
    pub fn new() -> Archive {
        Archive {
            suite: "stable".into(),
            codename: "bookworm".into(),
            origin: "Example".into(),
            date: "Sat, 01 Jun 2024 00:00:00 UTC".into(),
            component: "main".into(),
            components: vec!["main".into()],
            architectures: vec!["amd64".into()],
            compression: Compression::Xz,
            binaries: Vec::new(),
            sources: Vec::new(),
            keys: Vec::new(),
            published: None,
            is_flat: false,
            wrongs: Vec::new(),
            fields: Vec::new(),
            lists_sources: true,
        }
    }

    /// Leaves the source packages and their index out.
    pub fn without_sources(self) -> Archive {
        Archive { lists_sources: false, ..self }
    }

    /// Sets the name under `dists/`, which is the codename and the suite.
    pub fn suite(self, name: &str) -> Archive {
        Archive { suite: name.to_owned(), codename: name.to_owned(), ..self }
    }

    /// Puts what is added from now on into `name`.
    pub fn component(mut self, name: &str) -> Archive {
        if !self.components.iter().any(|component| component == name) {
            self.components.push(name.to_owned());
        }
        Archive { component: name.to_owned(), ..self }
    }

    /// Serves an architecture besides amd64 and those of the packages.
    pub fn architecture(mut self, architecture: &str) -> Archive {
        if architecture != "all" && !self.architectures.iter().any(|known| known == architecture) {
            self.architectures.push(architecture.to_owned());
        }
        self
    }

    /// Sets how packages added from now on are compressed.
    pub fn compression(self, compression: Compression) -> Archive {
        Archive { compression, ..self }
    }

    /// Sets the `Origin`.
    pub fn origin(self, origin: &str) -> Archive {
        Archive { origin: origin.to_owned(), ..self }
    }

    /// Sets the `Date`, as `Release` writes it.
    pub fn date(self, date: &str) -> Archive {
        Archive { date: date.to_owned(), ..self }
    }

    /// Adds a field to `Release`.
    pub fn release_field(mut self, key: &str, value: &str) -> Archive {
        self.fields.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a package, and its source, if that is not there yet.
    pub fn add(mut self, deb: Deb) -> Archive {
        let bytes = deb.build(self.compression);
        let (name, version) = deb.source();
        let is_known =
            self.sources.iter().any(|(_, source)| source.name == name && source.version == version);
        if !is_known {
            self.sources.push((self.component.clone(), Source::new(&name, &version)));
        }
        let architecture = deb.value("Architecture").unwrap().to_owned();
        self.binaries.push(Binary { component: self.component.clone(), deb, bytes });
        self.architecture(&architecture)
    }

    /// Adds a source package, in place of the one that came with a binary package.
    pub fn add_source(mut self, source: Source) -> Archive {
        self.sources.retain(|(_, known)| known.name != source.name || known.version != source.version);
        self.sources.push((self.component.clone(), source));
        self
    }

    /// Signs with `key`; several keys make several signatures.
    pub fn sign_with(mut self, key: &Key) -> Archive {
        self.keys.push(key.clone());
        self
    }

    /// Publishes `key` as the archive's, whoever signs.
    pub fn publish_key(self, key: &Key) -> Archive {
        Archive { published: Some(key.clone()), ..self }
    }

    /// Makes it a flat repository: no `dists`, no components, all in one directory.
    pub fn flat(self) -> Archive {
        Archive { is_flat: true, ..self }
    }

    /// Makes something wrong.
    pub fn wrong(mut self, wrong: Wrong) -> Archive {
        self.wrongs.push(wrong);
        self
    }

    /// Returns every file by its path below the archive's URL.
    pub fn files(&self) -> BTreeMap<String, Bytes> {
        let mut files = self.pool();
        let mut indexes = self.indexes();
        let release = self.release(&indexes);
        if self.is_wrong(&Wrong::PackagesHash) {
            let packages = indexes.keys().filter(|path| path.contains("Packages")).cloned();
            for path in packages.collect::<Vec<_>>() {
                let spoilt = compress(suffix_of(&path), b"Package: evil\nVersion: 6.6.6\n");
                indexes.insert(path, spoilt);
            }
        }
        let base = self.release_directory();
        for (path, bytes) in &indexes {
            files.insert(format!("{base}{path}"), bytes.clone().into());
            if !self.is_wrong(&Wrong::NoByHash) {
                let directory =
                    path.rsplit_once('/').map_or(String::new(), |(directory, _)| format!("{directory}/"));
                let by_hash = format!("{base}{directory}by-hash/SHA256/{}", Digest::of(bytes).hex());
                files.insert(by_hash, bytes.clone().into());
            }
        }
        for (name, text) in self.signed(&release) {
            files.insert(format!("{base}{name}"), text.into());
        }
        files
    }

    /// Serves it on 127.0.0.1.
    pub fn serve(self) -> ServedArchive {
        let files = Arc::new(Mutex::new(self.files()));
        let shared = files.clone();
        let handler: Handler = Arc::new(move |request| {
            let response = answer(&shared, &request);
            async move { response }.boxed()
        });
        let server = Server::start(|_| handler);
        let key = self.published.or_else(|| self.keys.first().cloned());
        let place = match self.is_flat {
            true => "./".to_owned(),
            false => format!("{} {}", self.codename, self.components.join(" ")),
        };
        ServedArchive { server, files, key, place }
    }

    fn is_wrong(&self, wrong: &Wrong) -> bool {
        self.wrongs.contains(wrong)
    }

    fn release_directory(&self) -> String {
        if self.is_flat { String::new() } else { format!("dists/{}/", self.codename) }
    }

    fn directory_of(&self, component: &str, source: &str) -> String {
        let initial = if source.starts_with("lib") { &source[..4.min(source.len())] } else { &source[..1] };
        match self.is_flat {
            true => ".".to_owned(),
            false => format!("pool/{component}/{initial}/{source}"),
        }
    }

    fn pool_path(&self, binary: &Binary) -> String {
        let directory = self.directory_of(&binary.component, &binary.deb.source().0);
        format!("{directory}/{}", binary.deb.file_name())
    }

    fn pool(&self) -> BTreeMap<String, Bytes> {
        let mut files = BTreeMap::new();
        for binary in &self.binaries {
            files.insert(self.pool_path(binary), binary.bytes.clone());
        }
        for (component, source) in self.sources.iter().filter(|_| self.lists_sources) {
            let directory = self.directory_of(component, &source.name);
            for (name, bytes) in &source.files {
                files.insert(format!("{directory}/{name}"), bytes.clone());
            }
        }
        let spoil = |path: &str, bytes: &mut Vec<u8>| {
            if self.wrongs.iter().any(|wrong| matches!(wrong, Wrong::PoolBytes(part) if path.contains(part)))
            {
                *bytes.last_mut().unwrap() ^= 0xff;
            }
        };
        files.iter_mut().for_each(|(path, bytes)| spoil(path, bytes));
        let is_missing = |path: &str| {
            self.wrongs
                .iter()
                .any(|wrong| matches!(wrong, Wrong::MissingPoolFile(part) if path.contains(part)))
        };
        let there = files.into_iter().filter(|(path, _)| !is_missing(path));
        there.map(|(path, bytes)| (path.trim_start_matches("./").to_owned(), bytes.into())).collect()
    }

    /// Returns the indexes by their path beside `Release`.
    fn indexes(&self) -> BTreeMap<String, Vec<u8>> {
        let mut texts = BTreeMap::new();
        if self.is_flat {
            texts.insert("Packages".to_owned(), self.packages(|_| true));
            texts.insert("Sources".to_owned(), self.sources_text(|_| true));
        }
        for component in self.components.iter().filter(|_| !self.is_flat) {
            for architecture in &self.architectures {
                let belongs = |binary: &Binary| {
                    let own = binary.deb.value("Architecture").unwrap();
                    binary.component == *component && (own == "all" || own == architecture)
                };
                texts.insert(format!("{component}/binary-{architecture}/Packages"), self.packages(belongs));
            }
            let sources = self.sources_text(|of| of == component);
            texts.insert(format!("{component}/source/Sources"), sources);
        }
        if !self.lists_sources {
            texts.retain(|path, _| !path.contains("Sources"));
        }
        let forms = [Compression::None, Compression::Gz, Compression::Xz];
        let compressed = texts.iter().flat_map(|(path, text)| {
            forms.map(|form| (format!("{path}{}", form.suffix()), compress(form, text.as_bytes())))
        });
        compressed.collect()
    }

    fn packages(&self, belongs: impl Fn(&Binary) -> bool) -> String {
        let paragraph = |binary: &Binary| {
            let size = binary.bytes.len();
            let sha256 = Digest::of(&binary.bytes).hex();
            let path = self.pool_path(binary);
            let control = binary.deb.control_text();
            let md5 = md5(&binary.bytes);
            format!("{control}Filename: {path}\nSize: {size}\nMD5sum: {md5}\nSHA256: {sha256}\n\n")
        };
        self.binaries.iter().filter(|binary| belongs(binary)).map(paragraph).collect()
    }

    fn sources_text(&self, belongs: impl Fn(&str) -> bool) -> String {
        let paragraph = |(component, source): &(String, Source)| {
            let Source { name, version, files } = source;
            let directory = self.directory_of(component, name);
            let of = |hash: fn(&[u8]) -> String| -> String {
                files
                    .iter()
                    .map(|(name, bytes)| format!(" {} {} {name}\n", hash(bytes), bytes.len()))
                    .collect()
            };
            let (md5, sha256) = (of(md5), of(|bytes| Digest::of(bytes).hex()));
            format!(
                "Package: {name}\nFormat: 3.0 (native)\nBinary: {name}\nArchitecture: any\nVersion: {version}\n\
                 Directory: {directory}\nFiles:\n{md5}Checksums-Sha256:\n{sha256}\n"
            )
        };
        self.sources.iter().filter(|(component, _)| belongs(component)).map(paragraph).collect()
    }

    fn release(&self, indexes: &BTreeMap<String, Vec<u8>>) -> String {
        let (suite, codename) = match self.is_wrong(&Wrong::OtherSuite) {
            true => ("oldstable", "potato"),
            false => (self.suite.as_str(), self.codename.as_str()),
        };
        let mut release = format!(
            "Origin: {}\nLabel: {}\nSuite: {suite}\nCodename: {codename}\nDate: {}\nArchitectures: {}\nComponents: {}\n",
            self.origin,
            self.origin,
            self.date,
            self.architectures.join(" "),
            self.components.join(" "),
        );
        if self.is_wrong(&Wrong::ValidUntilPassed) {
            release += "Valid-Until: Sat, 08 Jun 2024 00:00:00 UTC\n";
        }
        if !self.is_wrong(&Wrong::NoByHash) {
            release += "Acquire-By-Hash: yes\n";
        }
        release.extend(self.fields.iter().map(|(key, value)| format!("{key}: {value}\n")));
        release += "SHA256:\n";
        release.extend(
            indexes
                .iter()
                .map(|(path, bytes)| format!(" {} {:>9} {path}\n", Digest::of(bytes).hex(), bytes.len())),
        );
        release
    }

    /// Returns `Release` and what signs it, by file name.
    fn signed(&self, release: &str) -> Vec<(&'static str, String)> {
        if self.is_wrong(&Wrong::Unsigned) || self.keys.is_empty() {
            return vec![("Release", release.to_owned())];
        }
        let mut in_release = clear_sign(release, &self.keys);
        let mut shown = release.to_owned();
        if self.is_wrong(&Wrong::Tampered) {
            in_release = in_release.replacen("Origin: ", "Origin: Evil ", 1);
            shown = shown.replacen("Origin: ", "Origin: Evil ", 1);
        }
        if self.is_wrong(&Wrong::TextBeforeSignedPart) {
            in_release = format!("Origin: Evil\n\n{in_release}");
        }
        if self.is_wrong(&Wrong::TextAfterSignature) {
            in_release += "\nOrigin: Evil\n";
        }
        let detached: String = self.keys.iter().map(|key| key.sign_detached(release.as_bytes())).collect();
        let mut files = vec![("Release", shown), ("Release.gpg", detached)];
        if !self.is_wrong(&Wrong::NoInRelease) {
            files.push(("InRelease", in_release));
        }
        files
    }
}

fn suffix_of(path: &str) -> Compression {
    match path.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("gz") => Compression::Gz,
        Some("xz") => Compression::Xz,
        Some("zst") => Compression::Zst,
        _ => Compression::None,
    }
}

fn answer(files: &Mutex<BTreeMap<String, Bytes>>, request: &Request) -> Response {
    // A flat repository's files are asked for as `./InRelease`.
    let path = decode(request.uri().path()).replace("/./", "/");
    let path = path.trim_start_matches('/').to_owned();
    let Some(bytes) = files.lock().unwrap().get(&path).cloned() else { return http::plain(404) };
    let etag = format!("\"{}\"", Digest::of(&bytes).hex());
    if request.headers().get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == etag.as_bytes()) {
        return http::plain(304);
    }
    let mut response = http::ranged(request.headers(), bytes);
    response.headers_mut().insert(header::ETAG, HeaderValue::from_str(&etag).unwrap());
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn decode(path: &str) -> String {
    let mut decoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'?'), bytes.next().unwrap_or(b'?')];
                let digits = String::from_utf8_lossy(&digits).into_owned();
                decoded.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// An archive that is being served; it ends with its value.
pub struct ServedArchive {
    server: Server,
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    key: Option<Key>,
    place: String,
}

impl ServedArchive {
    /// Returns the URL below which `dists` and `pool` lie.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the public key, armoured.
    pub fn key(&self) -> String {
        self.key.as_ref().expect("the archive was given a key").public_armored()
    }

    /// Returns the key's fingerprint.
    pub fn fingerprint(&self) -> String {
        self.key.as_ref().expect("the archive was given a key").fingerprint()
    }

    /// Returns the line for a `sources.list`; `options` stand in its brackets.
    pub fn line(&self, options: &str) -> String {
        let brackets = if options.is_empty() { String::new() } else { format!("[{options}] ") };
        format!("deb {brackets}{} {}", self.url(), self.place)
    }

    /// Returns the requests so far.
    pub fn log(&self) -> &Log {
        &self.server.log
    }

    /// Returns the faults that are still to come.
    pub fn faults(&self) -> &Faults {
        &self.server.faults
    }

    /// Returns a file's bytes.
    pub fn file(&self, path: &str) -> Option<Bytes> {
        self.files.lock().unwrap().get(path).cloned()
    }

    /// Returns the path of every file, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    /// Puts other bytes at a path; none takes the file away.
    pub fn set(&self, path: &str, bytes: Option<Vec<u8>>) {
        let mut files = self.files.lock().unwrap();
        match bytes {
            Some(bytes) => files.insert(path.to_owned(), bytes.into()),
            None => files.remove(path),
        };
    }

    /// Serves another state of the archive from now on; what is gone from it is gone here.
    pub fn publish(&self, archive: &Archive) {
        *self.files.lock().unwrap() = archive.files();
    }
}
