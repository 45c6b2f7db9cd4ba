//! What each path of a layer belongs to: maintainer scripts that write into each other's paths are told apart, in either
//! sandbox, and what is published is what the image holds.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use estaleiro::bom::{Document, Origin, YAML_MEDIA_TYPE};
use estaleiro::build::attach;
use estaleiro::registry::{Access, Artifact, Location, Registry};

use crate::base::Base;
use crate::site::Site;
use crate::support::{Archive, Compression, Deb, Key, ServedArchive, Tarball, TestImage};
use crate::yard::Yard;

/// A package, what it brings, and scripts that meddle with what others brought.
fn fleet() -> Vec<Deb> {
    vec![
        Deb::new("alpha", "1")
            .file("/etc/alpha.conf", 0o644, "alpha\n")
            .conffile("/etc/alpha.conf")
            .file("/usr/share/alpha/data", 0o644, "data\n")
            .file("/usr/share/alpha/kept", 0o644, "kept\n")
            .symlink("/usr/share/alpha/link", "kept")
            .directory("/var/lib/alpha", 0o755)
            .script("preinst", "#!/bin/sh\nmkdir -p /var/lib/before\n")
            .script(
                "postinst",
                "#!/bin/sh\nset -e\necho a >/var/lib/alpha/by-alpha\nmkdir /var/lib/made\n\
                 echo a >/var/lib/made/both\nchmod 600 /usr/share/alpha/kept\n",
            ),
        Deb::new("beta", "1").depends("alpha").script(
            "postinst",
            "#!/bin/sh\nset -e\necho b >/var/lib/alpha/by-beta\necho b >>/etc/alpha.conf\n\
             echo b >>/var/lib/made/both\necho b >/var/lib/made/by-beta\n\
             touch -r /usr/share/alpha/data /tmp/time\necho atad >/usr/share/alpha/data\n\
             touch -r /tmp/time /usr/share/alpha/data\nrm /tmp/time\n\
             rm /usr/share/common-licenses/Artistic\ncd /usr/share/common-licenses\nrm -f ./BSD\n",
        ),
        Deb::new("gamma", "1")
            .depends("beta")
            .control_file("triggers", "interest-noawait /usr/share/watched\n")
            .script(
                "postinst",
                "#!/bin/sh\nset -e\ncase \"$1\" in\ntriggered) echo c >/var/lib/seen ;;\n\
                 configure) echo c >/usr/share/common-licenses/Other ;;\nesac\n",
            ),
        Deb::new("watched", "1").field("Pre-Depends", "gamma").file("/usr/share/watched/x", 0o644, "x\n"),
    ]
}

fn archive() -> &'static ServedArchive {
    static ARCHIVE: OnceLock<ServedArchive> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        fleet().into_iter().fold(Archive::new(), Archive::add).sign_with(&Key::ed25519()).serve()
    })
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| Base::make("paths-base", "debconf"))
}

/// Returns the account that is attached to a site's image.
fn document(site: &Site) -> Document {
    let output = site.succeeds(&mut site.estaleiro(&["bom", "oci:../layout"]));
    Document::parse(&output.stdout).unwrap()
}

/// Returns what each path of the added layers belongs to; a minus stands before what was removed.
fn origins(site: &Site) -> BTreeMap<String, Origin> {
    let groups = document(site).layers.into_iter().flat_map(|layer| layer.groups);
    let paths = groups.flat_map(|group| {
        let removed = group.removed.into_iter().map(|path| format!("-{path}"));
        let paths: Vec<String> = group.paths.into_iter().chain(removed).collect();
        paths.into_iter().map(move |path| (path, group.origin.clone()))
    });
    paths.collect()
}

fn generated(package: &str, script: &str) -> Origin {
    Origin::Generated { package: format!("{package}:all"), script: script.into() }
}

fn package(name: &str) -> Origin {
    Origin::Package { package: name.into() }
}

#[track_caller]
fn is(origins: &BTreeMap<String, Origin>, expected: &[(&str, Origin)]) {
    for (path, origin) in expected {
        assert_eq!(origins.get(*path), Some(origin), "{path}");
    }
}

#[test]
fn scripts_that_meddle_with_each_others_paths_are_told_apart() {
    let layers = ["namespaces", "chroot"].map(|sandbox| {
        let site = base().site(archive(), "package \"watched\" {}");
        site.succeeds(site.build().env("ESTALEIRO_SANDBOX", sandbox));
        let origins = origins(&site);
        is(
            &origins,
            &[
                ("/var/lib/before", generated("alpha", "preinst")),
                ("/var/lib/alpha", package("alpha:all")),
                ("/var/lib/alpha/by-alpha", generated("alpha", "postinst")),
                ("/var/lib/alpha/by-beta", generated("beta", "postinst")),
                ("/var/lib/made", generated("alpha", "postinst")),
                ("/var/lib/made/both", generated("beta", "postinst")),
                ("/var/lib/made/by-beta", generated("beta", "postinst")),
                ("/etc/alpha.conf", generated("beta", "postinst")),
                ("/usr/share/alpha/data", generated("beta", "postinst")),
                ("/usr/share/alpha/kept", package("alpha:all")),
                ("/usr/share/alpha/link", package("alpha:all")),
                ("-/usr/share/common-licenses/Artistic", generated("beta", "postinst")),
                ("-/usr/share/common-licenses/BSD", generated("beta", "postinst")),
                ("/usr/share/common-licenses/Other", generated("gamma", "postinst")),
                ("/var/lib/seen", generated("gamma", "postinst")),
                ("/usr/share/watched/x", package("watched:all")),
                ("/var/lib/dpkg/status", Origin::Database),
                ("/usr", Origin::Directory),
            ],
        );
        assert!(!origins.values().any(|origin| *origin == Origin::Unaccounted));
        verified(&site);
        document(&site).layers.into_iter().map(|layer| layer.diff_id).collect::<Vec<_>>()
    });
    assert_eq!(layers[0], layers[1]);
}

/// Checks that an image is what its account says.
#[track_caller]
fn verified(site: &Site) {
    let output = site.succeeds(&mut site.estaleiro(&["bom", "--verify", "oci:../layout"]));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(" paths of "), "{said}");
}

#[test]
fn what_is_asked_for_by_hand_is_told_as_such_and_a_recalled_layer_too() {
    let base = TestImage::new().layer(
        &Tarball::new()
            .entry(crate::support::tarball::Entry::directory("etc/", 0o755))
            .entry(crate::support::tarball::Entry::file(
                "etc/passwd",
                0o644,
                "root:x:0:0:root:/root:/bin/sh\n",
            ))
            .entry(crate::support::tarball::Entry::file("etc/group", 0o644, "root:x:0:\n"))
            .entry(crate::support::tarball::Entry::file("etc/gone", 0o644, "x")),
    );
    let text = "  file \"/opt/app/a\" { from_context { path = \"a\" } }\n  user \"app\" { home = \"/home/app\" }\n\
                  symlink \"/opt/link\" { target = \"app/a\" }\n  remove = [\"/etc/gone\"]";
    let yard = Yard::new(&base, text);
    yard.site.put("a", "a");
    yard.root();
    let expected = [
        ("/opt/app/a", Origin::File),
        ("/opt/app", Origin::Directory),
        ("/opt/link", Origin::Symlink),
        ("/etc/passwd", Origin::User),
        ("/home/app", Origin::User),
        ("/etc", Origin::Directory),
        ("-/etc/gone", Origin::Removal),
    ];
    is(&origins(&yard.site), &expected);
    let first = document(&yard.site);
    assert!(first.layers[0].is_base && first.layers[0].groups.is_empty());
    // Another build on this machine knows the layers from its records.
    yard.site.put(
        "estaleiro.hcl",
        std::fs::read_to_string(yard.site.path("context/estaleiro.hcl")).unwrap() + "# again\n",
    );
    yard.site.succeeds(&mut yard.site.build());
    assert_eq!(document(&yard.site).layers, first.layers);
    verified(&yard.site);
}

#[test]
fn a_path_that_lost_what_it_belonged_to_fails_the_build() {
    let base = TestImage::new()
        .layer(&Tarball::new().entry(crate::support::tarball::Entry::directory("etc/", 0o755)));
    let yard = Yard::new(&base, "  symlink \"/opt/link\" { target = \"a\" }");
    yard.root();
    let mut n_lost = 0;
    for record in std::fs::read_dir(yard.site.path("state/records/vertex-2")).unwrap() {
        let path = record.unwrap().path();
        let known = std::fs::read_to_string(&path).unwrap();
        let lost = known.replace("\"origin\":\"symlink\"", "\"origin\":\"unaccounted\"");
        n_lost += usize::from(lost != known);
        std::fs::write(path, lost).unwrap();
    }
    assert_eq!(n_lost, 1);
    let output = yard.site.build().output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("nothing tells where /opt/link comes from"), "{said}");
}

#[tokio::test]
async fn an_account_that_lacks_a_path_or_tells_of_another_file_is_found_out() {
    let base = TestImage::new()
        .layer(&Tarball::new().entry(crate::support::tarball::Entry::directory("etc/", 0o755)));
    let yard = Yard::new(&base, "  file \"/opt/a\" { from_context { path = \"a\" } }");
    yard.site.put("a", "a");
    yard.root();
    let mut document = document(&yard.site);
    for group in document.layers.iter_mut().flat_map(|layer| &mut layer.groups) {
        group.paths.retain(|path| path != "/opt/a");
    }
    document.changeset.files[0].digest = estaleiro::digest::Digest::of("b");
    let location = Location::Layout { directory: yard.site.layout(), tag: "latest".into() };
    let registry = Registry::open(&location, &Access::default()).unwrap();
    let image = registry.resolve("latest").await.unwrap().unwrap();
    let changed = Artifact::new(YAML_MEDIA_TYPE, document.to_yaml().unwrap().into_bytes());
    attach::prepare(&registry, &image, vec![&changed]).await.unwrap().attach().await.unwrap();
    let output = yard.site.estaleiro(&["bom", "--verify", "oci:../layout"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the account lacks /opt/a of layer sha256:"), "{said}");
    assert!(said.contains("/opt/a: its digest is sha256:"), "{said}");
}

#[test]
fn without_the_essential_packages_scripts_are_told_apart_too() {
    let archive = archive();
    let lines: Vec<String> =
        crate::support::machine::debian().iter().map(|source| format!("{:?}", source.line())).collect();
    let mut site = Site::new(&format!(
        "image \"x\" {{\n  apt {{\n    essential = false\n    repositories = [{:?}, {}]\n    key \"archive\" {{ path = \"archive.asc\" }}\n\
         package \"alpha\" {{}}\n  }}\n}}\n",
        archive.line("signed-by=archive"),
        lines.join(", ")
    ));
    site.put("archive.asc", archive.key());
    site.call(archive.url(), "http://archive.example");
    site.succeeds(&mut site.build());
    is(
        &origins(&site),
        &[
            ("/var/lib/before", generated("alpha", "preinst")),
            ("/var/lib/alpha/by-alpha", generated("alpha", "postinst")),
            ("/usr/share/alpha/kept", package("alpha:all")),
            ("/var/lib/dpkg/status.d/alpha", Origin::Database),
            ("/bin", Origin::Builder),
        ],
    );
    verified(&site);
}

#[test]
fn what_a_command_did_is_its_instructions_and_what_dpkg_unpacked_the_packages() {
    for sandbox in ["namespaces", "chroot"] {
        let site = base().site(archive(), "package \"alpha\" {}");
        let tool = Deb::new("tool", "1")
            .file("/usr/bin/tool", 0o755, "tool")
            .script("postinst", "#!/bin/sh\necho >/var/lib/by-tool\n");
        site.put("tool.deb", tool.build(Compression::Xz));
        let from = base().name();
        site.put(
            "Dockerfile",
            format!("FROM {from}\nCOPY tool.deb /\nRUN dpkg -i /tool.deb && rm /tool.deb\nRUN echo >/made && rm /etc/issue\nWORKDIR /srv/app\n"),
        );
        let mut build = site.verb("build");
        build.args(["-f", "Dockerfile", "--output", "oci:../layout"]).env("ESTALEIRO_SANDBOX", sandbox);
        site.succeeds(&mut build);
        let (document, origins) = (document(&site), origins(&site));
        let instruction = |text: &str| {
            let instructions = &document.changeset.instructions;
            let index = instructions.iter().position(|known| known.instruction.contains(text)).unwrap();
            Origin::Instruction { index }
        };
        is(
            &origins,
            &[
                ("/tool.deb", Origin::File),
                ("-/tool.deb", instruction("RUN dpkg")),
                ("/usr/bin/tool", package("tool:all")),
                ("/var/lib/by-tool", instruction("RUN dpkg")),
                ("/var/lib/dpkg/info/tool.list", Origin::Database),
                ("/made", instruction("RUN echo")),
                ("-/etc/issue", instruction("RUN echo")),
                ("/srv/app", instruction("WORKDIR")),
                ("/srv", Origin::Directory),
            ],
        );
        verified(&site);
    }
}
