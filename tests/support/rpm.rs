//! Databases of rpm, in all their forms: the headers are rpm's own, and so is the SQLite form; the others are written here.

use std::fs;
use std::path::Path;

use super::{Key, run};

const SPEC: &str = "Summary: A package\nBuildArch: noarch\n";
/// In bytes: larger than any page.
const LONG: usize = 9000;

/// What packages are installed: the text of a spec file each, without its description; and a key that rpm trusts.
pub struct Rpms {
    specs: Vec<String>,
    key: Option<String>,
}

/// The headers of installed packages, as rpm's database has them.
pub struct RpmHeaders {
    /// rpm's own database.
    pub sqlite: Vec<u8>,
    /// What stands in it.
    pub blobs: Vec<Vec<u8>>,
}

impl Rpms {
    /// Returns packages: the fields of each.
    pub fn new(specs: &[&str]) -> Rpms {
        Rpms { specs: specs.iter().map(|fields| (*fields).to_owned()).collect(), key: None }
    }

    /// Has a key trusted, which makes it a package, too.
    pub fn trusting(self, key: &Key) -> Rpms {
        Rpms { key: Some(key.public_armored()), ..self }
    }

    /// Builds and installs them with rpm itself, without their files.
    ///
    /// # Panics
    /// Without Debian's `rpm`.
    pub fn install(&self) -> RpmHeaders {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let defined = |name: &str, value: &str| ["--define".to_owned(), format!("{name} {value}")];
        let mut build = vec!["-bb".to_owned(), "--quiet".to_owned()];
        build.extend(defined("_topdir", &place("top")).into_iter().chain(defined("_rpmdir", &place("rpms"))));
        build.extend(defined("_rpmfilename", "%{NAME}-%{VERSION}.rpm"));
        for (number, fields) in self.specs.iter().enumerate() {
            let spec = place(&format!("{number}.spec"));
            let description = "x".repeat(if number == 0 { LONG } else { 1 });
            fs::write(&spec, format!("{SPEC}{fields}\n%description\n{description}\n%files\n")).unwrap();
            build.push(spec);
        }
        run("rpmbuild", &build.iter().map(String::as_str).collect::<Vec<_>>());
        let database = place("db");
        run("rpm", &["--dbpath", &database, "--initdb"]);
        let mut rpms: Vec<String> = fs::read_dir(place("rpms"))
            .unwrap()
            .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
            .collect();
        rpms.sort();
        let install = ["--dbpath", &database, "--justdb", "--nodeps", "-i"];
        run("rpm", &install.into_iter().chain(rpms.iter().map(String::as_str)).collect::<Vec<_>>());
        if let Some(key) = &self.key {
            fs::write(place("key.asc"), key).unwrap();
            run("rpm", &["--dbpath", &database, "--import", &place("key.asc")]);
        }
        RpmHeaders::of(&Path::new(&database).join("rpmdb.sqlite"))
    }
}

impl RpmHeaders {
    /// Reads a database with SQLite itself.
    fn of(database: &Path) -> RpmHeaders {
        let script = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1])\n\
            for (blob,) in db.execute('select blob from Packages order by hnum'): print(blob.hex())";
        let hex = run("python3", &["-c", script, database.to_str().unwrap()]);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let blobs = hex.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect());
        RpmHeaders { blobs: blobs.collect(), sqlite: fs::read(database).unwrap() }
    }

    /// Returns the SQLite form with each package so many times, so that its tree has branches.
    pub fn sqlite_of_many(&self, n: usize) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("rpmdb.sqlite");
        fs::write(&database, &self.sqlite).unwrap();
        let script = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1])\n\
            rows = list(db.execute('select blob from Packages'))\n\
            for _ in range(int(sys.argv[2]) - 1): db.executemany('insert into Packages (blob) values (?)', rows)\n\
            db.commit()";
        run("python3", &["-c", script, database.to_str().unwrap(), &n.to_string()]);
        fs::read(database).unwrap()
    }

    /// Returns the NDB form (`lib/backend/ndb/rpmpkg.c` of rpm's sources).
    pub fn ndb(&self) -> Vec<u8> {
        const PAGE: usize = 4096;
        let numbers = |numbers: &[usize]| -> Vec<u8> {
            numbers.iter().flat_map(|number| u32::try_from(*number).unwrap().to_le_bytes()).collect()
        };
        let next = self.blobs.len() + 1;
        let mut slots = [b"RpmP".to_vec(), numbers(&[0, 1, 1, next, 0, 0, 0])].concat();
        let mut content = Vec::new();
        for (blob, number) in self.blobs.iter().zip(1..) {
            let begins = (PAGE + content.len()) / 16;
            let mut whole = [b"BlbS".to_vec(), numbers(&[number, 1, blob.len()]), blob.clone()].concat();
            whole.resize((whole.len() + 12).next_multiple_of(16) - 12, 0);
            let sum = adler32(&whole);
            whole.extend([sum.to_le_bytes().to_vec(), numbers(&[blob.len()]), b"BlbE".to_vec()].concat());
            slots.extend([b"Slot".to_vec(), numbers(&[number, begins, whole.len() / 16])].concat());
            content.extend(whole);
        }
        while slots.len() < PAGE {
            slots.extend([b"Slot".to_vec(), numbers(&[0, 0, 0])].concat());
        }
        [slots, content].concat()
    }

    /// Returns the form of Berkeley DB's hash (`dbinc/db_page.h` of its sources): one bucket, and a chain for each header.
    pub fn bdb(&self) -> Vec<u8> {
        const PAGE: usize = 4096;
        const HEADER: usize = 26;
        let page = |number: usize, next: usize, n_entries: usize, offset: usize, kind: u8| {
            let mut page = vec![0; PAGE];
            put(&mut page, 8, number, 4);
            put(&mut page, 16, next, 4);
            put(&mut page, 20, n_entries, 2);
            put(&mut page, 22, offset, 2);
            page[25] = kind;
            page
        };
        let mut chains: Vec<Vec<u8>> = Vec::new();
        let mut items = vec![vec![1, 0, 0, 0, 0], [&[1][..], &small(self.blobs.len())].concat()];
        for (blob, number) in self.blobs.iter().zip(1_usize..) {
            let first = 2 + chains.len();
            let pieces: Vec<&[u8]> = blob.chunks(PAGE - HEADER).collect();
            for (index, piece) in pieces.iter().enumerate() {
                let number = first + index;
                let next = if index + 1 < pieces.len() { number + 1 } else { 0 };
                let mut overflow = page(number, next, 1, piece.len(), 7);
                overflow[HEADER..HEADER + piece.len()].copy_from_slice(piece);
                chains.push(overflow);
            }
            items.push([&[1][..], &small(number)].concat());
            items.push([&[3, 0, 0, 0][..], &small(first), &small(blob.len())].concat());
        }
        let mut bucket = page(1, 0, items.len(), 0, 13);
        let mut end = PAGE;
        for (index, item) in items.iter().enumerate() {
            end -= item.len();
            bucket[end..end + item.len()].copy_from_slice(item);
            put(&mut bucket, HEADER + 2 * index, end, 2);
        }
        put(&mut bucket, 22, end, 2);
        let mut metadata = page(0, 0, 0, 0, 8);
        for (place, value) in [
            (12, 0x0006_1561),
            (16, 9),
            (20, PAGE),
            (32, 1 + chains.len()),
            (76, 1),
            (88, self.blobs.len() + 1),
            (96, 1),
        ] {
            put(&mut metadata, place, value, 4);
        }
        [vec![metadata, bucket], chains].concat().concat()
    }
}

fn small(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

fn put(page: &mut [u8], place: usize, value: usize, n: usize) {
    page[place..place + n].copy_from_slice(&value.to_le_bytes()[..n]);
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}
