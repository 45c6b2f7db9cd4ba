//! What must be true of the account of any image.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use estaleiro::bom::{Document, Format, Origin, Package, SourceFile};
use regex::Regex;
use serde_json::Value;

use super::scanner::{self, plain, without_group};
use super::works::{Image, Works, estaleiro, succeeded, text};
use crate::schema;
use crate::support::{run, validators};
use crate::views::assert_valid;

/// A digest of either algorithm.
static DIGEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b([0-9a-f]{64}|[0-9a-f]{128})\b").unwrap());

impl Image {
    /// Checks all that can be said of any image.
    pub(super) fn assert_true(&self, works: &Works) {
        assert_valid(&self.views);
        assert_eq!(
            validators::schema(&schema::published(), &self.views.file(Format::Yaml)),
            "",
            "{}",
            self.name
        );
        self.assert_as_scanned();
        let verified = succeeded(&mut estaleiro(&["bom", "--verify", &self.name])).stdout;
        assert!(String::from_utf8(verified).unwrap().contains(" paths of "), "{}", self.name);
        let oracle = self.oracle(works);
        self.assert_paths(&oracle["layers"]);
        self.assert_digests(&oracle["digests"]);
    }

    /// Checks that syft finds no package that the account lacks, and the same of Debian's.
    fn assert_as_scanned(&self) {
        let (found, told) = (scanner::found(&self.name), self.told());
        let debian = |purls: &BTreeSet<String>| -> BTreeSet<String> {
            purls.iter().filter(|purl| purl.starts_with("pkg:deb/")).cloned().collect()
        };
        assert_eq!(debian(&found), debian(&told), "{}", self.name);
        let told: BTreeSet<String> = told.iter().map(|purl| plain(purl)).collect();
        let is_told = |purl: &&String| {
            let purl = plain(purl);
            told.contains(&purl) || without_group(&purl).is_some_and(|purl| told.contains(&purl))
        };
        let lacking: Vec<&String> = found.iter().filter(|purl| !is_told(purl)).collect();
        assert_eq!(lacking, Vec::<&String>::new(), "{} lacks them", self.name);
    }

    /// Checks that each path of the added layers, as another program lists them, belongs to something.
    fn assert_paths(&self, layers: &Value) {
        let (document, layers) = (self.document(), layers.as_array().unwrap());
        assert_eq!(document.layers.len(), layers.len(), "{}", self.name);
        assert!(document.layers.iter().any(|account| !account.is_base), "{}", self.name);
        for (account, layer) in document.layers.iter().zip(layers) {
            assert_eq!(account.diff_id.hex(), *layer["diff_id"].as_str().unwrap());
            if !account.is_base {
                let sorted = |paths: &mut dyn Iterator<Item = &str>| -> Vec<String> {
                    paths.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
                };
                assert_eq!(sorted(&mut account.paths()), strings(&layer["paths"]), "{}", self.name);
                assert_eq!(sorted(&mut account.removed()), strings(&layer["removed"]), "{}", self.name);
                assert!(
                    account.groups.iter().all(|group| group.origin != Origin::Unaccounted),
                    "{}",
                    self.name
                );
            }
        }
    }

    /// Checks that each digest in each form is that of some bytes that are here, and those of files of just these; sources
    /// aren't here.
    fn assert_digests(&self, known: &Value) {
        let document = self.document();
        let of_base = document.base_image.iter().flat_map(|base| &base.files);
        for file in of_base.chain(&document.changeset.files) {
            let sum = sha256(&self.root().join(file.path.trim_start_matches('/')));
            assert_eq!(sum, file.digest.hex(), "{}: {}", self.name, file.path);
        }
        let sources = sources(&document).into_iter().flatten().map(|source| source.digest.hex());
        let known: BTreeSet<String> =
            strings(known).into_iter().chain(sources).chain(self.quoted()).collect();
        for format in Format::ALL {
            let view = fs::read_to_string(self.views.file(format)).unwrap();
            let said = DIGEST.find_iter(&view).map(|digest| digest.as_str());
            let unknown: BTreeSet<&str> = said.filter(|digest| !known.contains(*digest)).collect();
            assert_eq!(unknown, BTreeSet::new(), "{}: {format}", self.name);
        }
    }

    /// Returns what looks like digests in the packages' copyright files: the account has their texts.
    fn quoted(&self) -> Vec<String> {
        let packages = fs::read_dir(self.root().join("usr/share/doc")).into_iter().flatten();
        let texts = packages.filter_map(|package| fs::read(package.unwrap().path().join("copyright")).ok());
        let digests = |text: Vec<u8>| {
            let text = String::from_utf8_lossy(&text).into_owned();
            DIGEST.find_iter(&text).map(|digest| digest.as_str().to_owned()).collect::<Vec<_>>()
        };
        texts.flat_map(digests).collect()
    }

    /// Checks the digests of the sources whose description (`.dsc`, Debian policy 5.4) the archive has: of that, and of what
    /// it describes. A mirror need not carry all of them.
    pub(super) fn assert_sources(&self) {
        let (document, directory) = (self.document(), tempfile::tempdir().unwrap());
        let sources = sources(&document);
        let controls = sources.iter().filter_map(|files| files.iter().find(|file| is_control(file)));
        let uris: BTreeSet<&str> = controls.map(|file| file.uri.as_str()).collect();
        let mut curl = Command::new("curl");
        curl.args(["--parallel", "--fail", "--silent", "--location", "--remote-name-all", "--output-dir"]);
        // It fails when one is missing.
        let _ = curl.arg(directory.path()).args(&uris).output().unwrap();
        let mut described = BTreeSet::new();
        for files in &sources {
            let Some(control) = files.iter().find(|file| is_control(file)) else { continue };
            let path = directory.path().join(control.uri.rsplit('/').next().unwrap());
            let Ok(text) = fs::read_to_string(&path) else { continue };
            assert_eq!(sha256(&path), control.digest.hex(), "{}", control.uri);
            for file in files.iter().filter(|file| !is_control(file)) {
                assert!(text.contains(&file.digest.hex()), "{}", file.uri);
            }
            described.insert(&control.uri);
        }
        assert!(2 * described.len() > uris.len(), "only {described:?}");
    }

    /// Checks that dpkg says the same.
    pub(super) fn assert_as_dpkg(&self) {
        let format = "${db:Status-Abbrev}${Package} ${Version} ${Architecture}\\n";
        let said = run("chroot", &[text(&self.root()), "dpkg-query", "-W", "-f", format]);
        let said = said.lines().filter_map(|line| line.strip_prefix("ii ")).map(str::to_owned);
        assert_eq!(self.installed(), said.collect(), "{}", self.name);
    }

    /// Returns each installed package with its version and architecture.
    pub(super) fn installed(&self) -> BTreeSet<String> {
        let line =
            |package: &Package| format!("{} {} {}", package.name, package.version, package.architecture);
        self.document().installed().into_iter().map(line).collect()
    }

    pub(super) fn document(&self) -> Document {
        Document::parse(&fs::read(self.views.file(Format::Yaml)).unwrap()).unwrap()
    }

    /// Returns the package URLs of the CycloneDX view.
    pub(super) fn told(&self) -> BTreeSet<String> {
        let mut told = BTreeSet::new();
        purls(&self.views.json(Format::Cyclonedx)["components"], &mut told);
        told
    }

    /// Returns what Python says of the image's bytes, and of what it was made from.
    fn oracle(&self, works: &Works) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bom/images/oracle.py");
        let base = self.context().join("base.json");
        if let Some(image) = self.document().base_image {
            let name = format!("docker://{}", image.canonical_name.split('@').next().unwrap());
            fs::write(&base, run("skopeo", &["inspect", "--raw", "--tls-verify=false", &name])).unwrap();
        }
        let (layout, context, [pushed, fetched]) = (self.layout(), self.context(), works.blobs());
        let places = [&layout, &context, &pushed, &fetched].map(|place| text(place));
        serde_json::from_str(&run("python3", &[[script].as_slice(), &places].concat())).unwrap()
    }
}

/// Returns the files of each source, wherever the account tells of one.
fn sources(document: &Document) -> Vec<Vec<SourceFile>> {
    let mut found = Vec::new();
    collect(&serde_json::to_value(document).unwrap(), &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<Vec<SourceFile>>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("sources").and_then(|files| serde_json::from_value(files.clone()).ok()));
            fields.values().for_each(|field| collect(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

fn is_control(file: &SourceFile) -> bool {
    file.uri.ends_with(".dsc")
}

fn sha256(file: &Path) -> String {
    let said = run("sha256sum", &["--binary", text(file)]);
    said.trim_start_matches('\\').split(' ').next().unwrap().to_owned()
}

fn purls(components: &Value, found: &mut BTreeSet<String>) {
    for component in components.as_array().into_iter().flatten() {
        found.extend(component["purl"].as_str().map(str::to_owned));
        purls(&component["components"], found);
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}
