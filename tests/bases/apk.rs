//! Bases whose packages are Alpine's.

use serde_json::{Value, json};

use crate::site::Site;
use crate::support::{Tarball, TestImage};

const RELEASE: &str = "ID=alpine\nVERSION_ID=3.19.1\n";
const INSTALLED: &str = "C:Q1x=\nP:libcrypto3\nV:3.1.4-r5\nA:x86_64\nS:1\nI:2\nT:Crypto library\nU:https://www.example.org\n\
    L:Apache-2.0\no:openssl\nm:Ann <ann@archive.example>\nt:1\nc:1\nF:lib\nR:libcrypto.so.3\n\n\
    C:Q1y=\nP:busybox\nV:1.36.1-r15\nA:x86_64\nS:1\nI:2\nT:Small tools\nU:https://busybox.example\nL:GPL-2.0-only AND MIT\n\
    o:busybox\nm:Ann <ann@archive.example>\nt:1\nc:1\nD:so:libc.musl-x86_64.so.1\n\n\
    C:Q1z=\nP:odd\nV:1-r0\nA:x86_64\nS:1\nI:2\nT:Odd\nU:https://odd.example\nL:custom MIT\no:odd\nt:1\nc:1\n\n";

#[test]
fn packages_of_alpines_are_told_as_a_scanner_finds_them_and_so_are_their_licences() {
    for path in ["lib/apk/db/installed", "usr/lib/apk/db/installed"] {
        let layer = Tarball::new().file("etc/os-release", 0o644, RELEASE).file(path, 0o644, INSTALLED);
        let site = Site::upon(&TestImage::new().layer(&layer));
        let purls = site.purls("apk");
        assert_eq!(purls.len(), 3);
        assert_eq!(purls, site.purls_by_syft("apk"), "{path}");
        let account = site.account("yaml");
        let packages = account["base_image"]["packages"].as_array().unwrap().iter();
        let told: Vec<(&Value, &Value, &Value)> = packages
            .map(|one| (&one["name"], &one["licence"]["expression"], &one["licence"]["declared_by"]))
            .collect();
        let file = json!(format!("/{path}"));
        assert_eq!(
            told,
            [
                (&json!("busybox"), &json!("GPL-2.0-only AND MIT"), &file),
                (&json!("libcrypto3"), &json!("Apache-2.0"), &file),
                (&json!("odd"), &json!("LicenseRef-custom-MIT"), &file),
            ]
        );
        assert_eq!(account["licence_texts"], json!({"LicenseRef-custom-MIT": "custom MIT"}));
    }
}
