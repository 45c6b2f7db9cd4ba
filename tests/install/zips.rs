//! Files out of zip archives, as `zip` and Python's zipfile write them, measured against what `unzip` makes of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use estaleiro::digest::Digest;

use crate::site::Site;
use crate::support::{run, tree};
use crate::yard::{self, account, files};

/// Returns a site whose image takes `path` out of `dist.zip`.
fn site(path: &str) -> Site {
    Site::new(&format!(
        "image \"x\" {{\n  file \"/opt/\" {{ from_tarball \"dist.zip\" {{ path = \"{path}\" }} }}\n}}\n\
         tarball \"dist.zip\" {{\n  source_file \"**\" {{ vcs \"git\" {{ repository = \"https://git.example/app\" ref = \"v1\" }} }}\n}}\n"
    ))
}

/// Lets Python's zipfile write the archive; `z` is the file that is being written.
fn written(site: &Site, statements: &str) {
    let path = site.path("context/dist.zip");
    let program = format!(
        "import copy, zipfile\nI = zipfile.ZipInfo\nz = zipfile.ZipFile({:?}, 'w')\n{statements}\nz.close()\n",
        path.to_str().unwrap()
    );
    run("python3", &["-c", &program]);
}

fn said(path: &str, statements: &str) -> String {
    let site = site(path);
    written(&site, statements);
    site.fails(1, &mut site.build())
}

#[test]
fn a_directory_of_a_zip_is_what_unzip_makes_of_it() {
    let site = site("app/");
    let app = site.path("app");
    fs::create_dir_all(app.join("lib/empty")).unwrap();
    for (path, mode, content) in [
        ("run.sh", 0o755, "run".repeat(1000)),
        ("lib/a b.so", 0o640, "a".into()),
        ("lib/ä", 0o600, "".into()),
    ] {
        fs::write(app.join(path), content).unwrap();
        fs::set_permissions(app.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(app.join("lib"), fs::Permissions::from_mode(0o711)).unwrap();
    symlink("lib/a b.so", app.join("link")).unwrap();
    let archive = site.path("context/dist.zip");
    let mut zip = Command::new("zip");
    zip.args(["--quiet", "--recurse-paths", "--symlinks"])
        .arg(&archive)
        .arg("app")
        .current_dir(site.path("."));
    assert!(zip.status().unwrap().success());
    let root = yard::root(&site);
    let expected = site.path("expected");
    run("unzip", &["-q", archive.to_str().unwrap(), "-d", expected.to_str().unwrap()]);
    fs::set_permissions(expected.join("app"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(tree::dump(&root.join("opt")), tree::dump(&expected.join("app")));
    let account = account(&site);
    assert_eq!(files(&account), ["/opt/lib/a b.so", "/opt/lib/ä", "/opt/run.sh"]);
    let file = &account["changeset"]["files"][2];
    assert_eq!(file["digest"], Digest::of("run".repeat(1000)).to_string());
    assert_eq!(file["source"]["tarball"]["member"], "app/run.sh");
    assert_eq!(file["source"]["tarball"]["digest"], Digest::of(fs::read(archive).unwrap()).to_string());
}

#[test]
fn of_several_members_of_one_name_the_last_counts_and_what_has_no_mode_gets_one() {
    let site = site("app/*");
    written(
        &site,
        "z.writestr('app/x', 'old')\nz.writestr('app/x', 'new')\ni = I('app/y')\nz.writestr(i, 'y')\ni.external_attr = 0",
    );
    let root = yard::root(&site);
    assert_eq!(fs::read_to_string(root.join("opt/x")).unwrap(), "new");
    let dump = tree::dump(&root.join("opt"));
    assert!(dump.lines().any(|line| line.starts_with("file 0644 0:0 1:") && line.ends_with(" /y")), "{dump}");
}

#[test]
fn members_that_are_not_wanted_need_not_be_readable() {
    let site = site("app/x");
    let other = site.path("secret");
    fs::write(&other, "secret").unwrap();
    written(&site, "z.writestr('app/x', 'x')\nz.writestr('app/packed', 'x', zipfile.ZIP_LZMA)");
    let archive = site.path("context/dist.zip");
    run("zip", &["-qjP", "password", archive.to_str().unwrap(), other.to_str().unwrap()]);
    assert_eq!(files(&account_of(&site)), ["/opt/x"]);
}

fn account_of(site: &Site) -> serde_json::Value {
    site.succeeds(&mut site.build());
    account(site)
}

#[test]
fn what_cannot_be_read_is_named() {
    let encrypted = site(".");
    let secret = encrypted.path("secret");
    fs::write(&secret, "secret").unwrap();
    let archive = encrypted.path("context/dist.zip");
    run("zip", &["-qjP", "password", archive.to_str().unwrap(), secret.to_str().unwrap()]);
    let refused = encrypted.fails(1, &mut encrypted.build());
    assert!(
        refused.contains("cannot read tarball dist.zip: its member secret cannot be read: it is encrypted"),
        "{refused}"
    );
    for (path, statements, expected) in [
        (
            ".",
            "z.writestr('a', 'x', zipfile.ZIP_LZMA)",
            "its member a cannot be read: compression method not supported: 14",
        ),
        (
            "none/",
            "z.writestr('a', 'x')",
            "nothing in it matches none/\nhint: `unzip -l dist.zip` lists the members",
        ),
        (".", "z.writestr('a/../../x', 'x')", "its member a/../../x is refused: its path holds `..`"),
        (
            ".",
            "i = I('p'); i.external_attr = 0o010644 << 16; z.writestr(i, '')",
            "its member p is refused: it is no file, directory or link",
        ),
        (
            ".",
            "i = I('l'); i.external_attr = 0o120777 << 16; z.writestr(i, 'x' * 5000)",
            "its member l is refused: its target is no path",
        ),
        (
            ".",
            "z.writestr('a', 'x' * 5000)\ni = copy.copy(z.filelist[0]); i.filename = 'b'; z.filelist.append(i)",
            "its members share their bytes",
        ),
        (
            ".",
            "z.writestr('a', 'x')\nfor n in range(65000): i = I('n' * 300 + str(n)); i.header_offset = 0; i.CRC = i.compress_size = i.file_size = 0; z.filelist.append(i)\nz._didModify = True",
            "it has more members than are read, or longer names",
        ),
    ] {
        let said = said(path, statements);
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let cut = site(".");
    written(&cut, "z.writestr('a', 'x' * 5000)");
    let archive = cut.path("context/dist.zip");
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[..4000]).unwrap();
    assert!(cut.fails(1, &mut cut.build()).contains("cannot read tarball dist.zip: "));
    let mut changed = bytes;
    changed[100] ^= 1;
    fs::write(&archive, &changed).unwrap();
    let said = cut.fails(1, &mut cut.build());
    assert!(said.contains("its member a cannot be read: "), "{said}");
}
