//! A site with a base in a registry, and the root that umoci makes of what was built there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::site::Site;
use crate::support::{Tarball, TestImage, TestRegistry, run};

/// A site whose image stands on a base.
pub(crate) struct Yard {
    pub(crate) site: Site,
    /// Serves the base.
    pub(crate) registry: TestRegistry,
}

impl Yard {
    /// Returns a site whose image is `base` and what `text` says of it.
    pub(crate) fn new(base: &TestImage, text: &str) -> Yard {
        let registry = TestRegistry::start();
        base.put(&registry, "base", Some("1"));
        let mut site = Site::new(&format!(
            "image \"x\" {{\n  base_image = \"{}\"\n{text}\n}}\n",
            registry.name("base", "1")
        ));
        site.call(registry.host(), "registry.example");
        Yard { site, registry }
    }

    /// Builds, and returns the root that umoci makes of it.
    pub(crate) fn root(&self) -> PathBuf {
        root(&self.site)
    }

    /// Builds into the base's registry from an empty worker; returns how many blobs of the base were downloaded.
    pub(crate) fn n_downloads_of_the_base(&self) -> usize {
        let state = tempfile::tempdir().unwrap();
        self.registry.log().clear();
        let name = self.registry.name("app", "1");
        let state = state.path().to_str().unwrap();
        let mut push = self.site.estaleiro(&["build", "--quiet", "--state", state, "--push", &name]);
        self.site.succeeds(&mut push);
        let requests = self.registry.log().requests();
        requests.iter().filter(|request| request.is("GET", "/v2/base/blobs/sha256:")).count()
    }
}

/// Returns a base of one layer.
pub(crate) fn base(layer: &Tarball) -> TestImage {
    TestImage::new().layer(layer)
}

/// Builds, and returns the root that umoci makes of it.
pub(crate) fn root(site: &Site) -> PathBuf {
    let output = site.succeeds(&mut site.build());
    assert_eq!(site.said(&output.stderr), "");
    unpacked(&site.layout(), &site.path("bundle"))
}

/// Returns the root that umoci makes of a layout.
pub(crate) fn unpacked(layout: &Path, bundle: &Path) -> PathBuf {
    let image = format!("{}:latest", layout.display());
    run("umoci", &["unpack", "--image", &image, bundle.to_str().unwrap()]);
    bundle.join("rootfs")
}

/// Returns the account of a site's image.
pub(crate) fn account(site: &Site) -> Value {
    let mut bom = site.estaleiro(&["bom", "oci:../layout"]);
    let output = site.succeeds(&mut bom);
    serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// Returns the paths of the files in an account.
pub(crate) fn files(account: &Value) -> Vec<String> {
    let files = account["changeset"]["files"].as_array().unwrap().iter();
    files.map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

/// Unpacks a tarball with tar itself.
pub(crate) fn untar(tarball: &Tarball, directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let archive = directory.with_extension("tar");
    fs::write(&archive, tarball.build()).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--same-owner", "--preserve-permissions", "--file"]).arg(&archive);
    assert!(tar.arg("--directory").arg(directory).status().unwrap().success());
}
