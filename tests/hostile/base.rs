//! Real Debian roots, made once from this machine's mirror, that fixture packages are installed upon.
//!
//! What is kept of one between runs of the tests is the state of its build alone, so it costs little but once.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::site::{Site, definition_of};
use crate::support::{Archive, Deb, Key, ServedArchive, TestRegistry, machine, run};

/// A root in a registry.
pub(crate) struct Base {
    registry: TestRegistry,
    /// The state of somebody who has built upon the base.
    state: PathBuf,
}

impl Base {
    /// Makes a root with this package and what is Essential; its state is kept as `name`.
    pub(crate) fn make(name: &str, package: &str) -> Base {
        machine::debian();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&kept).unwrap();
        let definition = format!("image \"base\" {{\n  apt {{\n    package \"{package}\" {{}}\n  }}\n}}\n");
        fs::write(kept.join("estaleiro.hcl"), definition).unwrap();
        let base = Base { registry: TestRegistry::start(), state: kept.join("upon") };
        let mut build = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
        build.arg("build").arg(&kept).args(["--push", &base.name(), "--state"]);
        succeeds(build.arg(kept.join("state")));
        base.keep_at_hand();
        base
    }

    /// Builds something upon it, and keeps what that brought.
    fn keep_at_hand(&self) {
        let _ = fs::remove_dir_all(&self.state);
        let archive = Archive::new().add(Deb::new("first", "1")).sign_with(&Key::ed25519()).serve();
        let site = Site::of_archive(&archive);
        site.put("estaleiro.hcl", definition_of(&archive, &self.name(), "package \"first\" {}"));
        site.succeeds(&mut site.build());
        fs::create_dir_all(self.state.join("records")).unwrap();
        let records = fs::read_dir(site.path("state/records")).unwrap();
        let records = records.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let of_bases = records.filter(|kind| kind.starts_with("base-")).map(|kind| format!("records/{kind}"));
        for part in ["blobs".to_owned(), "trees".to_owned()].into_iter().chain(of_bases) {
            run("cp", &["-al", path(&site.path("state").join(&part)), path(&self.state.join(&part))]);
        }
    }

    /// Returns its name in its registry.
    pub(crate) fn name(&self) -> String {
        self.registry.name("base", "1")
    }

    /// Returns a site whose image is the base with `packages` out of `archive`; the base is at hand there.
    pub(crate) fn site(&self, archive: &ServedArchive, packages: &str) -> Site {
        let mut site = Site::of_archive(archive);
        site.put("estaleiro.hcl", definition_of(archive, &self.name(), packages));
        site.call(self.registry.host(), "registry.example");
        run("cp", &["-al", path(&self.state), path(&site.path("state"))]);
        site
    }
}

/// The base that needs no other; libcap2-bin brings `setcap` for the scripts of packages.
fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| Base::make("hostile-base", "libcap2-bin"))
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns the base's name in its registry.
pub(crate) fn name() -> String {
    base().name()
}

/// Returns a site whose image is the real base with `packages` out of `archive`; the base is at hand there.
pub(crate) fn site(archive: &ServedArchive, packages: &str) -> Site {
    base().site(archive, packages)
}
