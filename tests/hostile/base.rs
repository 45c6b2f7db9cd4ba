//! A real Debian root, made once from this machine's mirror, that fixture packages are installed upon.
//!
//! What is kept of it between runs of the tests is the state of its build alone, so it costs little but once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::site::{Site, definition_of};
use crate::support::{Archive, Deb, Key, ServedArchive, TestRegistry, machine, run};

/// libcap2-bin brings `setcap` for the scripts of packages.
const DEFINITION: &str = r#"image "base" {
  apt {
    package "libcap2-bin" {}
  }
}
"#;

struct Base {
    registry: TestRegistry,
    /// The state of somebody who has built upon the base.
    state: PathBuf,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        machine::debian();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile-base");
        fs::create_dir_all(&kept).unwrap();
        fs::write(kept.join("estaleiro.hcl"), DEFINITION).unwrap();
        let base = Base { registry: TestRegistry::start(), state: kept.join("upon") };
        let mut build = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
        build.arg("build").arg(&kept).args(["--push", &base.registry.name("base", "1"), "--state"]);
        succeeds(build.arg(kept.join("state")));

        let _ = fs::remove_dir_all(&base.state);
        let archive = Archive::new().add(Deb::new("first", "1")).sign_with(&Key::ed25519()).serve();
        let site = Site::of_archive(&archive);
        let name = base.registry.name("base", "1");
        site.put("estaleiro.hcl", definition_of(&archive, &name, "package \"first\" {}"));
        site.succeeds(&mut site.build());
        fs::create_dir_all(base.state.join("records")).unwrap();
        for part in ["blobs", "trees", "records/base-2"] {
            run("cp", &["-al", path(&site.path("state").join(part)), path(&base.state.join(part))]);
        }
        base
    })
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
    base().registry.name("base", "1")
}

/// Returns a site whose image is the real base with `packages` out of `archive`; the base is at hand there.
pub(crate) fn site(archive: &ServedArchive, packages: &str) -> Site {
    let mut site = Site::of_archive(archive);
    site.put("estaleiro.hcl", definition_of(archive, &name(), packages));
    site.call(base().registry.host(), "registry.example");
    run("cp", &["-al", path(&base().state), path(&site.path("state"))]);
    site
}
