//! An image upon a base, its account, and what a scanner finds in it.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{TestImage, TestRegistry};

/// A place to build in.
pub(crate) struct Site(tempfile::TempDir);

impl Site {
    /// Builds an image upon `base` that adds nothing to its layers.
    pub(crate) fn upon(base: &TestImage) -> Site {
        let definition =
            |base: &str| format!("image \"x\" {{\n  base_image = \"{base}\"\n  workdir = \"/\"\n}}\n");
        Site::build(base, "estaleiro.hcl", definition)
    }

    /// Builds what a Dockerfile makes of `base` with these instructions.
    pub(crate) fn dockerfile(base: &TestImage, instructions: &str) -> Site {
        Site::build(base, "Dockerfile", |base| format!("FROM {base}\n{instructions}\n"))
    }

    fn build(base: &TestImage, file: &str, text: impl Fn(&str) -> String) -> Site {
        let registry = TestRegistry::start();
        base.put(&registry, "base", Some("1"));
        let site = Site(tempfile::tempdir().unwrap());
        std::fs::write(site.0.path().join(file), text(&registry.name("base", "1"))).unwrap();
        let place = ["--platform", "linux/amd64", "--output", "oci:layout"];
        let is_dockerfile = file == "Dockerfile";
        let file: &[&str] = if is_dockerfile { &["--file", file] } else { &[] };
        succeeds(site.estaleiro("build").args(["--quiet", "--state", "state"]).args(place).args(file));
        site
    }

    fn estaleiro(&self, verb: &str) -> Command {
        let mut estaleiro = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
        estaleiro.arg(verb).current_dir(self.0.path()).env_clear().env("NO_COLOR", "1");
        estaleiro
    }

    /// Returns its account in one of its forms.
    pub(crate) fn account(&self, format: &str) -> Value {
        let output = succeeds(self.estaleiro("bom").args(["oci:layout", "--format", format]));
        serde_saphyr::from_slice(&output.stdout).unwrap()
    }

    /// Returns the package URLs of the packages of a kind in the CycloneDX form, without their escapes.
    pub(crate) fn purls(&self, kind: &str) -> BTreeSet<String> {
        let view = self.account("cyclonedx");
        let mut purls = BTreeSet::new();
        collect(&view["components"], &format!("pkg:{kind}/"), &mut purls);
        purls
    }

    /// Returns the package URLs of the packages of a kind that syft finds.
    pub(crate) fn purls_by_syft(&self, kind: &str) -> BTreeSet<String> {
        let mut syft = Command::new("syft");
        syft.args(["scan", "--quiet", "--output", "json", "oci-dir:layout"]).current_dir(self.0.path());
        let output = syft.env("SYFT_CHECK_FOR_APP_UPDATE", "false").output();
        let output = output.expect("this test needs syft: ci/prepare installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = found["artifacts"].as_array().unwrap().iter();
        let found = found.filter(|package| package["type"] == kind);
        found.map(|package| plain(package["purl"].as_str().unwrap())).collect()
    }
}

/// Some escape a `^`, and some don't.
fn plain(purl: &str) -> String {
    percent_encoding::percent_decode_str(purl).decode_utf8().unwrap().into_owned()
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn collect(components: &Value, beginning: &str, purls: &mut BTreeSet<String>) {
    for component in components.as_array().into_iter().flatten() {
        let purl = component["purl"].as_str().filter(|purl| purl.starts_with(beginning));
        purls.extend(purl.map(plain));
        collect(&component["components"], beginning, purls);
    }
}
