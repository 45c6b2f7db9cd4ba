//! RPM's database of what is installed, in each of the forms that it has had: SQLite, NDB, and Berkeley DB's hash.
//!
//! Only the packages' headers are read, out of the file's bytes; no index, no lock and no journal. A file may say anything:
//! each page is read at most once, and nothing is believed that leads out of the file.

mod bdb;
mod bytes;
mod header;
mod ndb;
mod sqlite;

pub use header::Header;

use bytes::Bytes;

/// Where roots keep the database, without a leading slash.
pub const DIRECTORIES: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];
/// The names of its file, by form.
pub const FILES: [(&str, Form); 3] =
    [("rpmdb.sqlite", Form::Sqlite), ("Packages.db", Form::Ndb), ("Packages", Form::Bdb)];
/// The end of the name of a journal that may hold what the file itself lacks.
pub const JOURNAL: &str = "rpmdb.sqlite-wal";

/// How a database is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In a table of a SQLite database, since rpm 4.16.
    Sqlite,
    /// In slots, as SUSE does.
    Ndb,
    /// In a hash table of Berkeley DB, until then.
    Bdb,
}

/// What can't be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read rpm's database: {what} at byte {place}")]
pub struct Error {
    what: &'static str,
    place: usize,
}

/// What a database holds, as far as it can be read.
#[derive(Debug, Default)]
pub struct Installed {
    /// The headers of the packages, in the order of the file.
    pub headers: Vec<Header>,
    /// The first thing that couldn't be read.
    pub error: Option<Error>,
}

/// Reads the packages of a database.
pub fn read(form: Form, file: &[u8]) -> Installed {
    let file = Bytes::new(file);
    let blobs = match form {
        Form::Sqlite => sqlite::blobs(file),
        Form::Ndb => ndb::blobs(file),
        Form::Bdb => bdb::blobs(file),
    };
    let mut installed = Installed::default();
    for header in blobs.into_iter().map(|blob| blob.and_then(|blob| Header::parse(&blob))) {
        match header {
            Ok(header) => installed.headers.push(header),
            Err(error) => installed.error = installed.error.or(Some(error)),
        }
    }
    installed
}
