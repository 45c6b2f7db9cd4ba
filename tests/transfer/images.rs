//! Files out of other images, of this Dockerfile, and from afar.

use estaleiro::bom::{self, BomDelta, FileSource};
use estaleiro::build::context::Context;
use estaleiro::build::graph::{Instruction, Transfer, TransferSource};
use estaleiro::digest::Digest;

use crate::bench::{Bench, rows};

#[test]
fn files_of_a_stage_keep_owners_modes_times_and_hard_links() {
    let bench = Bench::new("").with_stage(&["0750 3:4 d/, 04711 5:6 d/a, d/b = d/a, d/l -> a, 7:8 f"]);
    rows(
        &bench,
        &[
            (
                "COPY --from=build /d /n",
                "dir 0755 0:0 /n
                file 4711 5:6 /n/a
                hard 4711 5:6 /n/b = /n/a
                link 0777 0:0 /n/l -> a",
            ),
            ("COPY --from=build /d/a /d/b /n/", "dir 0755 0:0 /n\n file 4711 5:6 /n/a\n file 4711 5:6 /n/b"),
            ("COPY --from=build --chown=1:2 d/b /n", "file 4711 1:2 /n"),
            ("COPY --from=build f /n/", "dir 0755 0:0 /n\n file 0644 7:8 /n/f"),
            (
                "COPY --from=build / /",
                "dir 0750 3:4 /d\n file 4711 5:6 /d/a\n hard 4711 5:6 /d/b = /d/a\n link 0777 0:0 /d/l -> a\n file 0644 7:8 /f",
            ),
        ],
    );
    assert!(bench.layer("COPY --from=build none /n").contains("none: there is no such file or directory"));
}

#[test]
fn what_higher_layers_took_away_is_not_there_and_links_lead_through_all_of_them() {
    let bench = Bench::new("").with_stage(&["d/gone, d/kept, opt/x", "d/new, l -> opt"]);
    let whiteout = bench.layer_of_stage(1).join("d/gone");
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::empty());
    rustix::fs::mknodat(rustix::fs::CWD, &whiteout, kind, mode, 0).unwrap();
    rows(
        &bench,
        &[
            ("COPY --from=build d /n", "dir 0755 0:0 /n\n file 0644 0:0 /n/kept\n file 0644 0:0 /n/new"),
            ("COPY --from=build l/x /n", "file 0644 0:0 /n"),
            (
                "COPY --from=build */* /n/",
                "dir 0755 0:0 /n\n file 0644 0:0 /n/kept\n file 0644 0:0 /n/new\n file 0644 0:0 /n/x",
            ),
        ],
    );
    assert!(bench.layer("COPY --from=build d/gone /n").contains("there is no such"));
}

#[test]
fn an_image_without_layers_is_an_empty_directory() {
    let bench = Bench::new("").with_stage(&[]);
    rows(&bench, &[("COPY --from=build / /n", "dir 0755 0:0 /n"), ("COPY --from=build * /n/", "no layer")]);
}

#[test]
fn of_extended_attributes_only_capabilities_come_along_as_in_buildkits_layers() {
    let bench = Bench::new("").with_stage(&["a"]);
    let path = bench.layer_of_stage(0).join("a");
    let capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    xattr::set(&path, "security.capability", capability).unwrap();
    xattr::set(&path, "user.note", b"x").unwrap();
    let expected = "file 0644 0:0 /a {security.capability=0100000200200000000000000000000000000000}";
    rows(&bench, &[("COPY --from=build a /", expected)]);
}

#[test]
fn a_file_from_afar_is_roots_alone_and_has_its_servers_time() {
    let url = "https://archive.example/pool/a.bin";
    let bench = Bench::new("").on("t/").serving(url, b"bytes", Some(1234));
    rows(
        &bench,
        &[
            (&format!("ADD {url} /t"), "dir 0755 0:0 /t\n file 0600 0:0 /t/a.bin"),
            (&format!("ADD {url} /n/b"), "dir 0755 0:0 /n\n file 0600 0:0 /n/b"),
            (&format!("ADD --chmod=755 --chown=1:2 {url} /t/"), "dir 0755 0:0 /t\n file 0755 1:2 /t/a.bin"),
        ],
    );
    let delta = bench.run(&format!("ADD {url} /n")).unwrap();
    let blob = std::fs::read(bench.store.blob_path(&delta.layer.unwrap().descriptor.digest)).unwrap();
    let plain = crate::support::tree::decompress(&blob);
    let mut archive = tar::Archive::new(plain.as_slice());
    assert_eq!(archive.entries().unwrap().next().unwrap().unwrap().header().mtime().unwrap(), 1234);
}

#[test]
fn texts_of_the_dockerfile_are_files_with_their_names() {
    let bench = Bench::new("").on("t/");
    let text = |name: &str| TransferSource::Text { name: name.into(), content: format!("{name}\n") };
    let op = Transfer {
        instruction: Instruction::default(),
        sources: vec![text("one"), text("two")],
        target: "/t".into(),
        owner: None,
        mode: None,
        unpacks: false,
        keeps_parents: false,
        is_link: false,
        exclude: Vec::new(),
    };
    let delta = bench.transfer(&op, &[], &Context::new(bench.context())).unwrap();
    let digest = |name: &str| Digest::of(format!("{name}\n")).short();
    let expected = format!(
        "dir  0755 0:0 /t\nfile 0644 0:0 4:{} /t/one\nfile 0644 0:0 4:{} /t/two",
        digest("one"),
        digest("two")
    );
    assert_eq!(bench.dump(&delta), expected);
    assert!(delta.bom.files.iter().all(|file| file.source.dockerfile));
}

#[test]
fn every_file_is_accounted_for_with_what_is_known_of_its_origin() {
    let mut bench = Bench::new("a, b = a").with_stage(&["made, copied, changed"]);
    let path = |name: &str| bench.layer_of_stage(0).join(name);
    let origin = |path: &str| FileSource {
        context: Some(Box::new(bom::ContextFile {
            path: path.into(),
            unversioned: true,
            ..bom::ContextFile::default()
        })),
        ..FileSource::default()
    };
    let file = |name: &str, digest| bom::File {
        path: format!("/{name}"),
        digest,
        size: 0,
        mode: "0644".into(),
        source: origin(name),
    };
    let copied = Digest::of(std::fs::read(path("copied")).unwrap());
    let files = vec![file("copied", copied), file("changed", Digest::of("before"))];
    bench.stage_bom = bom::Bom::default().then(BomDelta { files, ..BomDelta::default() });
    let told = |instruction: &str| {
        let files = bench.run(instruction).unwrap().bom.files;
        files.into_iter().map(|file| (file.path, file.mode, file.source)).collect::<Vec<_>>()
    };
    assert_eq!(
        told("COPY a b /n/"),
        [("/n/a", "a"), ("/n/b", "b")].map(|(path, name)| (path.to_owned(), "0644".to_owned(), origin(name)))
    );
    let image =
        |path: &str| Some(Box::new(bom::ImageFile { name: "build".into(), path: format!("/{path}") }));
    let files = told("COPY --from=build / /");
    let sources: Vec<FileSource> = files.into_iter().map(|(_, _, source)| source).collect();
    assert_eq!(
        sources,
        [
            FileSource { image: image("changed"), ..FileSource::default() },
            FileSource { image: image("copied"), ..origin("copied") },
            FileSource { image: image("made"), ..FileSource::default() },
        ]
    );
}
