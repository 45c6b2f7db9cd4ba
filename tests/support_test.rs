//! The support itself is tried against tools that nobody here wrote.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod support;

mod packages {
    use super::support::deb::{Compression, Deb, Member};
    use super::support::run;

    fn hello() -> Deb {
        Deb::new("hello", "1:2.0-1")
            .architecture("amd64")
            .depends("libc6 (>= 2.36)")
            .field("Section", "misc")
            .file("/usr/bin/hello", 0o755, "#!/bin/sh\necho hello\n")
            .file("/etc/hello.conf", 0o644, "greeting=hello\n")
            .conffile("/etc/hello.conf")
            .symlink("/usr/bin/hallo", "hello")
            .directory("/var/lib/hello", 0o2775)
            .script("postinst", "#!/bin/sh\nset -e\n")
    }

    #[test]
    fn dpkg_reads_a_package_in_every_compression() {
        let directory = tempfile::tempdir().unwrap();
        for compression in [Compression::Gz, Compression::Xz, Compression::Zst, Compression::None] {
            let path = directory.path().join("hello.deb");
            std::fs::write(&path, hello().build(compression)).unwrap();
            let path = path.to_str().unwrap();
            let control = run("dpkg-deb", &["-I", path]);
            assert!(
                control.contains("Depends: libc6 (>= 2.36)") && control.contains("postinst"),
                "{control}"
            );
            let contents = run("dpkg-deb", &["-c", path]);
            for line in ["-rwxr-xr-x root/root", "./usr/bin/hallo -> hello", "drwxrwsr-x", "./var/lib/hello/"]
            {
                assert!(contents.contains(line), "{line}\n{contents}");
            }
            let md5sums = run("dpkg-deb", &["-I", path, "md5sums"]);
            assert_eq!(md5sums.lines().count(), 2, "{md5sums}");
        }
    }

    #[test]
    fn the_same_package_has_the_same_bytes() {
        assert_eq!(hello().build(Compression::Xz), hello().build(Compression::Xz));
        assert_ne!(hello().build(Compression::Gz), hello().ar_mtime(1).build(Compression::Gz));
    }

    #[test]
    fn names_and_sources_are_as_an_archive_writes_them() {
        assert_eq!(hello().file_name(), "hello_2.0-1_amd64.deb");
        assert_eq!(hello().source(), ("hello".into(), "1:2.0-1".into()));
        let rebuilt = Deb::new("libx1", "1.0+b1").field("Source", "x (1.0)");
        assert_eq!(rebuilt.source(), ("x".into(), "1.0".into()));
    }

    #[test]
    fn a_package_in_the_wrong_order_is_refused_by_dpkg() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bad.deb");
        let reverse = |members: Vec<Member>| members.into_iter().rev().collect();
        std::fs::write(&path, hello().rearrange(reverse).build(Compression::Gz)).unwrap();
        let output = std::process::Command::new("dpkg-deb").arg("-I").arg(&path).output().unwrap();
        assert!(!output.status.success());
    }
}

mod archives {
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Output};

    use super::support::archive::{Archive, ServedArchive, Wrong};
    use super::support::deb::Deb;
    use super::support::fault::Fault;
    use super::support::key::Key;

    fn archive() -> Archive {
        Archive::new()
            .suite("bookworm")
            .add(Deb::new("hello", "1.0").architecture("amd64").depends("libhello1").file(
                "/usr/bin/hello",
                0o755,
                "",
            ))
            .add(Deb::new("libhello1", "1.0").architecture("amd64").field("Source", "hello"))
            .component("contrib")
            .add(Deb::new("extra", "2:3.0").file("/usr/share/extra", 0o644, "x"))
    }

    fn gpgv(served: &ServedArchive, keyring: &[u8], files: &[&str]) -> Output {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("key.gpg"), keyring).unwrap();
        let mut command = Command::new("gpgv");
        command.arg("--keyring").arg(path("key.gpg"));
        for file in files {
            let name = file.rsplit('/').next().unwrap();
            fs::write(path(name), served.file(file).unwrap()).unwrap();
            command.arg(path(name));
        }
        command.output().unwrap()
    }

    const IN_RELEASE: &str = "dists/bookworm/InRelease";

    #[test]
    fn gpgv_accepts_what_was_signed_and_refuses_what_was_changed() {
        for key in [Key::ed25519(), Key::rsa()] {
            let good = archive().sign_with(&key).serve();
            let verdict = gpgv(&good, &key.public_binary(), &[IN_RELEASE]);
            assert!(verdict.status.success(), "{verdict:?}");
            let detached = ["dists/bookworm/Release.gpg", "dists/bookworm/Release"];
            let verdict = gpgv(&good, &key.public_binary(), &detached);
            assert!(verdict.status.success(), "{verdict:?}");
            let stderr = String::from_utf8_lossy(&verdict.stderr).into_owned();
            assert!(stderr.replace(' ', "").contains(&key.fingerprint()), "{stderr}");

            let tampered = archive().sign_with(&key).wrong(Wrong::Tampered).serve();
            assert!(!gpgv(&tampered, &key.public_binary(), &[IN_RELEASE]).status.success());
            assert!(!gpgv(&tampered, &key.public_binary(), &detached).status.success());
            assert!(!gpgv(&good, &Key::ed25519().public_binary(), &[IN_RELEASE]).status.success());
        }
    }

    /// Runs the machine's own apt-get with directories of its own.
    fn apt_get(root: &Path, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new("apt-get");
        for (name, directory) in [("State", "state"), ("Cache", "cache"), ("Etc", "etc")] {
            command.arg("-o").arg(format!("Dir::{name}={}/{directory}", root.display()));
        }
        let status = root.join("status");
        let output = command
            .args(["-o", &format!("Dir::State::status={}", status.display())])
            .args(["-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64"])
            .args([
                "-o",
                "APT::Sandbox::User=root",
                "-o",
                "Acquire::Languages=none",
                "-o",
                "Acquire::Retries=0",
            ])
            .args(["-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Check-Valid-Until=true"])
            .args(["-o", "Acquire::Check-Date=true"])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn apt_directories(served: &ServedArchive, key: &Key) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for part in ["state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        fs::write(root.join("status"), "").unwrap();
        let keyring = root.join("key.asc");
        fs::write(&keyring, key.public_armored()).unwrap();
        let options = format!("signed-by={}", keyring.display());
        let line = served.line(&options);
        let sources = format!("{line}\n{}\n", line.replacen("deb ", "deb-src ", 1));
        fs::write(root.join("etc/sources.list"), sources).unwrap();
        directory
    }

    #[test]
    fn apt_itself_updates_resolves_and_downloads() {
        let key = Key::ed25519();
        for served in [archive().sign_with(&key).serve(), archive().sign_with(&key).flat().serve()] {
            let directory = apt_directories(&served, &key);
            let (is_good, text) = apt_get(directory.path(), &["update"]);
            assert!(is_good, "{text}\n{:#?}", served.log().lines());
            let install = ["install", "-y", "--download-only", "--no-install-recommends", "hello", "extra"];
            let (is_good, text) = apt_get(directory.path(), &install);
            assert!(is_good, "{text}");
            for name in ["hello_1.0_amd64.deb", "libhello1_1.0_amd64.deb", "extra_2%3a3.0_all.deb"] {
                let path = directory.path().join("cache/archives").join(name);
                assert!(path.exists(), "{name}\n{text}");
            }
            let (is_good, text) = apt_get(directory.path(), &["source", "--print-uris", "hello=1.0"]);
            assert!(is_good && text.contains("hello_1.0.dsc") && text.contains("hello_1.0.tar.xz"), "{text}");
        }
    }

    #[test]
    fn apt_fetches_by_hash_where_it_is_promised() {
        let key = Key::rsa();
        let served = archive().sign_with(&key).serve();
        let directory = apt_directories(&served, &key);
        assert!(apt_get(directory.path(), &["update"]).0);
        assert!(served.log().count("GET", "/by-hash/SHA256/") > 0, "{:#?}", served.log().lines());
        assert_eq!(served.log().count("GET", "Packages"), 0);
    }

    #[test]
    fn apt_refuses_each_wrong_archive() {
        let key = Key::ed25519();
        let other = Key::ed25519();
        let wrongs = [
            Wrong::Unsigned,
            Wrong::Tampered,
            Wrong::TextBeforeSignedPart,
            Wrong::TextAfterSignature,
            Wrong::PackagesHash,
            Wrong::ValidUntilPassed,
        ];
        for wrong in wrongs {
            let served = archive().sign_with(&key).wrong(wrong.clone()).serve();
            let directory = apt_directories(&served, &key);
            let (is_good, text) = apt_get(directory.path(), &["update"]);
            assert!(!is_good, "{wrong:?}\n{text}");
        }
        let served = archive().sign_with(&other).serve();
        assert!(!apt_get(apt_directories(&served, &key).path(), &["update"]).0);
        let expired = Key::expired();
        let served = archive().sign_with(&expired).serve();
        let (is_good, text) = apt_get(apt_directories(&served, &expired).path(), &["update"]);
        assert!(!is_good && text.contains("EXPKEYSIG"), "{text}");
    }

    #[test]
    fn apt_accepts_a_detached_signature_and_an_archive_without_by_hash() {
        let key = Key::ed25519();
        for wrong in [Wrong::NoInRelease, Wrong::NoByHash] {
            let served = archive().sign_with(&key).wrong(wrong).serve();
            let directory = apt_directories(&served, &key);
            let (is_good, text) = apt_get(directory.path(), &["update"]);
            assert!(is_good, "{text}");
        }
    }

    #[test]
    fn pool_files_can_be_missing_or_other_ones_and_answers_can_fail() {
        let key = Key::ed25519();
        for wrong in [Wrong::MissingPoolFile("hello_1".into()), Wrong::PoolBytes("hello_1".into())] {
            let served = archive().sign_with(&key).wrong(wrong).serve();
            let directory = apt_directories(&served, &key);
            assert!(apt_get(directory.path(), &["update"]).0);
            let (is_good, text) = apt_get(directory.path(), &["install", "-y", "--download-only", "hello"]);
            assert!(!is_good, "{text}");
        }
        let served = archive().sign_with(&key).serve();
        served.faults().fail("GET", "InRelease", 1, Fault::Status(503));
        let directory = apt_directories(&served, &key);
        assert!(!apt_get(directory.path(), &["update"]).0);
        assert!(apt_get(directory.path(), &["update"]).0);
    }
}

mod registries {
    use std::time::Duration;

    use estaleiro::digest::Digest;
    use reqwest::{Client, Method, Response};
    use serde_json::{Value, json};

    use super::support::docker_registry::DockerRegistry;
    use super::support::fault::Fault;
    use super::support::image::{TestImage, put_index};
    use super::support::registry::{Auth, Mount, Options, TestRegistry};
    use super::support::tarball::Tarball;
    use super::support::{run, tree};

    fn hello() -> TestImage {
        let layer = Tarball::new().directory("etc/", 0o755).file("etc/greeting", 0o644, "hello");
        TestImage::new().layer(&layer).config("Env", json!(["PATH=/bin"]))
    }

    fn client() -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap()
    }

    async fn send(method: Method, url: String, body: Vec<u8>) -> Result<Response, reqwest::Error> {
        client().request(method, url).body(body).send().await
    }

    fn header(response: &Response, name: &str) -> String {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
    }

    /// Follows a location, which may have no host.
    fn next(registry: &TestRegistry, response: &Response) -> String {
        format!("http://{}{}", registry.host(), header(response, "location"))
    }

    #[test]
    fn skopeo_copies_to_it_and_from_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        hello().write_layout(&directory.path().join("given"), "latest");
        let registry = TestRegistry::start();
        let here = format!("docker://{}", registry.name("team/app", "1"));
        let given = format!("oci:{}:latest", path("given"));
        run("skopeo", &["copy", "--dest-tls-verify=false", &given, &here]);
        assert_eq!(registry.resolve("team/app", "1"), Some(hello().digest()));
        assert_eq!(registry.n_blobs_uploaded(), 2, "{:#?}", registry.log().lines());
        assert_eq!(registry.n_open_uploads(), 0);
        let taken = format!("oci:{}:latest", path("taken"));
        run("skopeo", &["copy", "--src-tls-verify=false", &here, &taken]);
        let layers = tree::dump_layout(&directory.path().join("taken"));
        assert_eq!(layers, "layer 1\ndir  0755 0:0 /etc\nfile 0644 0:0 5:2cf24dba5fb0 /etc/greeting\n");
        let tags: Value = serde_json::from_str(&run(
            "skopeo",
            &["list-tags", "--tls-verify=false", here.trim_end_matches(":1")],
        ))
        .unwrap();
        assert_eq!(tags["Tags"], json!(["1"]));
    }

    #[test]
    fn skopeo_comes_in_with_a_password_and_not_without() {
        let user = || "shipwright".to_owned();
        let password = || "hunter2".to_owned();
        let bearer = Auth::Bearer { user: user(), password: password(), anonymous_pull: false };
        for auth in [Auth::Basic { user: user(), password: password() }, bearer] {
            let registry = TestRegistry::with(Options { auth, ..Options::default() });
            hello().put(&registry, "app", Some("1"));
            let name = format!("docker://{}", registry.name("app", "1"));
            let inspect = ["inspect", "--tls-verify=false", "--creds", "shipwright:hunter2", &name];
            assert!(run("skopeo", &inspect).contains("PATH=/bin"));
            let stranger =
                std::process::Command::new("skopeo").args(["inspect", "--tls-verify=false", &name]).output();
            assert!(!stranger.unwrap().status.success());
            assert!(registry.log().requests().iter().any(|request| request.status == 401));
            let log = format!("{:?}", registry.log().requests());
            assert!(!log.contains("hunter2") && !log.contains("c2hpcH"), "{log}");
        }
    }

    #[test]
    fn the_real_registry_takes_and_gives_the_same_image() {
        let directory = tempfile::tempdir().unwrap();
        hello().write_layout(directory.path(), "latest");
        let registry = DockerRegistry::start();
        let given = format!("oci:{}:latest", directory.path().display());
        let there = format!("docker://{}", registry.name("app", "1"));
        run("skopeo", &["copy", "--dest-tls-verify=false", &given, &there]);
        let digest = run("skopeo", &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &there]);
        assert_eq!(digest.trim(), hello().digest().to_string());
    }

    #[tokio::test]
    async fn a_blob_comes_in_chunks_that_follow_each_other() {
        let registry = TestRegistry::start();
        let start =
            send(Method::POST, format!("http://{}/v2/app/blobs/uploads/", registry.host()), vec![]).await;
        let start = start.unwrap();
        assert_eq!(start.status(), 202);
        let first = client().patch(next(&registry, &start)).header("content-range", "0-2").body("abc");
        let first = first.send().await.unwrap();
        assert_eq!((first.status().as_u16(), header(&first, "range")), (202, "0-2".into()));
        let gap = client().patch(next(&registry, &first)).header("content-range", "7-8").body("xy");
        assert_eq!(gap.send().await.unwrap().status(), 416);
        let digest = Digest::of(b"abcdef");
        let last =
            send(Method::PUT, format!("{}&digest={digest}", next(&registry, &first)), b"def".to_vec()).await;
        assert_eq!(last.unwrap().status(), 201);
        assert_eq!(registry.blob(&digest).unwrap(), b"abcdef");
        let part = client().get(format!("http://{}/v2/app/blobs/{digest}", registry.host()));
        let part = part.header("range", "bytes=2-3").send().await.unwrap();
        assert_eq!(part.status(), 206);
        assert_eq!(part.text().await.unwrap(), "cd");
        assert_eq!(registry.log().requests().last().unwrap().sent, 2);
    }

    #[tokio::test]
    async fn a_blob_that_is_not_what_was_announced_is_refused() {
        let registry = TestRegistry::start();
        let url = format!("http://{}/v2/app/blobs/uploads/?digest={}", registry.host(), Digest::of(b"a"));
        assert_eq!(send(Method::POST, url, b"b".to_vec()).await.unwrap().status(), 400);
        assert_eq!(registry.n_open_uploads(), 0);
        assert!(!registry.has_blob("app", &Digest::of(b"a")));
    }

    #[tokio::test]
    async fn mounts_are_done_or_answered_with_an_upload_or_refused() {
        let registry = TestRegistry::start();
        let digest = registry.put_blob("base", b"layer");
        let from = |from: &str| {
            format!("http://{}/v2/app/blobs/uploads/?mount={digest}&from={from}", registry.host())
        };
        let status = async |from: String| send(Method::POST, from, vec![]).await.unwrap().status().as_u16();
        assert_eq!(status(from("elsewhere")).await, 202);
        registry.change(|options| options.mount = Mount::Refused);
        assert_eq!(status(from("base")).await, 405);
        registry.change(|options| options.mount = Mount::Accepted);
        assert_eq!(status(from("base")).await, 202);
        assert!(!registry.has_blob("app", &digest));
        registry.change(|options| options.mount = Mount::Done);
        assert_eq!(status(from("base")).await, 201);
        assert!(registry.has_blob("app", &digest));
    }

    #[tokio::test]
    async fn a_manifest_whose_blobs_are_missing_is_refused() {
        let registry = TestRegistry::start();
        let put = client()
            .put(format!("http://{}/v2/app/manifests/1", registry.host()))
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .body(hello().manifest_bytes());
        let answer = put.send().await.unwrap();
        assert_eq!(answer.status(), 404);
        assert!(answer.text().await.unwrap().contains("MANIFEST_BLOB_UNKNOWN"));
        assert!(registry.tags("app").is_empty());
    }

    #[tokio::test]
    async fn referrers_are_listed_only_where_there_is_an_api() {
        let registry = TestRegistry::start();
        let subject = hello().put(&registry, "app", Some("1"));
        registry.put_blob("app", b"{}");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let empty =
            json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2});
        let artifact = json!({
            "schemaVersion": 2, "mediaType": media_type, "artifactType": "text/x", "config": empty,
            "layers": [empty], "subject": {"mediaType": media_type, "digest": subject, "size": 1},
        });
        let put = |tag: &str| {
            let url = format!("http://{}/v2/app/manifests/{tag}", registry.host());
            client().put(url).header("content-type", media_type).body(artifact.to_string()).send()
        };
        assert_eq!(header(&put("a").await.unwrap(), "oci-subject"), subject.to_string());
        let list = |query: &str| format!("http://{}/v2/app/referrers/{subject}{query}", registry.host());
        let listed: Value = send(Method::GET, list(""), vec![]).await.unwrap().json_value().await;
        assert_eq!(listed["manifests"][0]["artifactType"], "text/x");
        let filtered = send(Method::GET, list("?artifactType=text/y"), vec![]).await.unwrap();
        assert_eq!(header(&filtered, "oci-filters-applied"), "artifactType");
        assert_eq!(filtered.json_value().await["manifests"], json!([]));

        registry.change(|options| options.referrers = false);
        assert_eq!(header(&put("b").await.unwrap(), "oci-subject"), "");
        assert_eq!(send(Method::GET, list(""), vec![]).await.unwrap().status(), 404);
    }

    trait JsonValue {
        async fn json_value(self) -> Value;
    }

    impl JsonValue for Response {
        async fn json_value(self) -> Value {
            serde_json::from_str(&self.text().await.unwrap()).unwrap()
        }
    }

    #[tokio::test]
    async fn tags_come_in_pages() {
        let registry = TestRegistry::with(Options { page_size: 2, ..Options::default() });
        for tag in ["3", "1", "2"] {
            hello().put(&registry, "app", Some(tag));
        }
        let url = format!("http://{}/v2/app/tags/list", registry.host());
        let page = send(Method::GET, url.clone(), vec![]).await.unwrap();
        assert_eq!(header(&page, "link"), "</v2/app/tags/list?n=2&last=2>; rel=\"next\"");
        assert_eq!(page.json_value().await["tags"], json!(["1", "2"]));
        let page = send(Method::GET, url + "?n=2&last=2", vec![]).await.unwrap();
        assert_eq!(
            (header(&page, "link"), page.json_value().await["tags"].clone()),
            ("".into(), json!(["3"]))
        );
    }

    #[tokio::test]
    async fn an_index_holds_an_image_a_platform() {
        let registry = TestRegistry::start();
        let other = hello().field("architecture", json!("arm64"));
        let digest = put_index(&registry, "app", "1", &[&hello(), &other]);
        let (media_type, bytes) = registry.manifest("app", "1").unwrap();
        assert!(media_type.ends_with("index.v1+json") && Digest::of(&bytes) == digest);
        let name = format!("docker://{}", registry.name("app", "1"));
        let raw = run("skopeo", &["--override-arch", "arm64", "inspect", "--tls-verify=false", &name]);
        assert!(raw.contains("arm64"), "{raw}");
    }

    #[tokio::test]
    async fn each_fault_is_felt_and_then_over() {
        let registry = TestRegistry::start();
        let digest = registry.put_blob("app", &[7; 100_000]);
        let url = format!("http://{}/v2/app/blobs/{digest}", registry.host());
        let read =
            || async { send(Method::GET, url.clone(), vec![]).await?.error_for_status()?.bytes().await };
        let faults = [
            Fault::Status(503),
            Fault::StatusWith(429, vec![("retry-after", "1".into())]),
            Fault::Reset,
            Fault::LoseAnswer,
            Fault::Truncate(50_000),
            Fault::Stall,
            Fault::StallAfter(10),
        ];
        for fault in faults {
            registry.faults().fail("GET", "/blobs/", 1, fault.clone());
            let outcome = read().await;
            assert!(outcome.is_err(), "{fault:?}");
            assert_eq!(
                outcome.unwrap_err().is_timeout(),
                matches!(fault, Fault::Stall | Fault::StallAfter(_))
            );
            assert_eq!(read().await.unwrap().len(), 100_000, "after {fault:?}");
        }
        registry.faults().fail("GET", "/blobs/", 1, Fault::WrongBytes);
        let wrong = read().await.unwrap();
        assert!(wrong.len() == 100_000 && Digest::of(&wrong) != digest);
    }

    #[tokio::test]
    async fn an_answer_may_be_lost_though_the_work_is_done() {
        let registry = TestRegistry::start();
        registry.faults().fail("POST", "/uploads/", 1, Fault::LoseAnswer);
        let url = format!("http://{}/v2/app/blobs/uploads/?digest={}", registry.host(), Digest::of(b"a"));
        assert!(send(Method::POST, url, b"a".to_vec()).await.is_err());
        assert!(registry.has_blob("app", &Digest::of(b"a")));
    }
}

mod trees {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::support::tarball::{Entry, Tarball};
    use super::support::tree;

    #[test]
    fn a_tree_and_an_archive_of_the_same_are_told_in_the_same_words() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/greeting"), "hello").unwrap();
        fs::set_permissions(root.join("etc/greeting"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(root.join("etc"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::hard_link(root.join("etc/greeting"), root.join("etc/same")).unwrap();
        symlink("greeting", root.join("etc/link")).unwrap();
        let told = "dir  0755 0:0 /etc\n\
                    file 4711 0:0 5:2cf24dba5fb0 /etc/greeting\n\
                    link 0777 0:0 /etc/link -> greeting";
        assert_eq!(
            tree::dump(root),
            format!("{told}\nhard 4711 0:0 5:2cf24dba5fb0 /etc/same = /etc/greeting")
        );
        let archive = Tarball::new()
            .directory("etc/", 0o755)
            .file("etc/greeting", 0o4711, "hello")
            .symlink("etc/link", "greeting")
            .entry(Entry::device("dev/null", 0o666, 1, 3).owned_by(0, 5))
            .entry(Entry::file("bin/ping", 0o755, "").xattr("user.a", "1").xattr("user.b", [0, 1]));
        let more = "char 0666 0:5 1:3 /dev/null\n\
                    file 0755 0:0 0:e3b0c44298fc /bin/ping {user.a=1 user.b=0001}";
        assert_eq!(tree::dump_tar(&archive.build_gzip()), format!("{told}\n{more}"));
    }

    #[test]
    fn long_names_and_links_stay_whole() {
        let name = "a/".repeat(80) + "file";
        let archive = Tarball::new().file(&name, 0o644, "").symlink("link", &name);
        let told = tree::dump_tar(&archive.build());
        assert!(told.contains(&format!("/{name}\n")) && told.ends_with(&format!("-> {name}")), "{told}");
    }
}

mod pipelines {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::support::concourse::{Concourse, Failure, Got, Inputs, Outcome, Put, Resource, Version};

    /// A resource type of three shell scripts; the variables `$dir`, `$request` are theirs.
    fn resource_type(check: &str, get: &str, put: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, script) in [("check", check), ("in", get), ("out", put)] {
            let path = directory.path().join(name);
            let text = format!("#!/bin/sh\ndir=$1\nread -r request\n{script}\n");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        directory
    }

    fn resource(directory: &Path) -> Resource {
        Concourse::at(directory).resource(json!({"repository": "registry.example/app"}))
    }

    fn numbered(number: &str) -> Version {
        Version::from([("n".to_owned(), number.to_owned())])
    }

    const ECHO: &str = r#"printf '%s' "$request" > "$dir/request"; echo '{"version":{"n":"1"}}'"#;

    #[test]
    fn what_is_empty_is_absent_from_the_request() {
        let scripts = resource_type("echo \"$request\" >&2; exit 3", ECHO, ECHO);
        let mut resource = resource(scripts.path());
        let Failure { status, stderr, .. } = resource.check().unwrap_err();
        assert_eq!(
            (status, stderr.as_str()),
            (Some(3), "{\"source\":{\"repository\":\"registry.example/app\"}}\n")
        );
        let got = resource.get(&numbered("1"), &Value::Null).unwrap();
        assert_eq!(
            got.read("request"),
            r#"{"source":{"repository":"registry.example/app"},"version":{"n":"1"}}"#
        );
        let got = resource.get(&numbered("1"), &json!({"format": "oci"})).unwrap();
        assert!(got.read("request").contains(r#""params":{"format":"oci"}"#));
    }

    #[test]
    fn a_put_sees_the_inputs_that_its_params_name_and_is_followed_by_a_get() {
        let list = r#"ls "$dir" | tr '\n' ' ' >&2; test -z "$HOME" && pwd >&2; echo '{"version":{"n":"2"},"metadata":[{"name":"a","value":"b"}]}'"#;
        let got = r#"printf '%s' "$request" > "$dir/request"; echo '{"version":{"n":"2"}}'"#;
        let scripts = resource_type("echo '[]'", got, list);
        let mut resource = resource(scripts.path());
        let artifact = tempfile::tempdir().unwrap();
        fs::write(artifact.path().join("estaleiro.hcl"), "").unwrap();
        let params = json!({"definition": "src/estaleiro.hcl", "vars": {"x": ["bin/app"]}, "locked": true});
        let mut step = Put::new(params).artifact("src", artifact.path()).artifact("bin", artifact.path());
        step = step.artifact("unnamed", artifact.path());
        step.get_params = json!({"skip_download": true});

        let (Outcome { stderr, metadata, .. }, got): (Outcome, Option<Got>) = resource.put(&step).unwrap();
        assert_eq!(stderr, "bin src /\n");
        assert_eq!(metadata, [("a".to_owned(), "b".to_owned())]);
        assert!(got.unwrap().read("request").contains("skip_download"));
        assert_eq!(resource.versions(), [numbered("2")]);

        step.inputs = Inputs::All;
        step.no_get = true;
        let (outcome, got) = resource.put(&step).unwrap();
        assert!(got.is_none() && outcome.stderr.starts_with("bin src unnamed "));
        step.inputs = Inputs::Named(vec!["src".into()]);
        assert!(resource.put(&step).unwrap().0.stderr.starts_with("src /"));
    }

    #[test]
    fn an_answer_with_something_new_orders_all_of_it_anew() {
        let check = r#"cat "$0.answer""#;
        let scripts = resource_type(check, ECHO, ECHO);
        let answer = |text: &str| fs::write(scripts.path().join("check.answer"), text).unwrap();
        let mut resource = resource(scripts.path());
        answer(r#"[{"n":"1"},{"n":"2"},{"n":"3"}]"#);
        assert_eq!(resource.check().unwrap().len(), 3);
        answer(r#"[{"n":"2"},{"n":"1"}]"#);
        resource.check().unwrap();
        assert_eq!(resource.versions(), [numbered("1"), numbered("2"), numbered("3")]);
        answer(r#"[{"n":"4"},{"n":"1"}]"#);
        resource.check().unwrap();
        assert_eq!(resource.versions(), [numbered("2"), numbered("3"), numbered("4"), numbered("1")]);
    }

    #[test]
    fn what_breaks_the_contract_is_noticed() {
        for answer in [
            "",
            "{}",
            r#"{"version":{}}"#,
            r#"{"version":{"n":1}}"#,
            r#"{"version":{"n":""}}"#,
            r#"{"version":{"n":"1"}} {}"#,
            r#"{"version":{"n":"1"},"metadata":[{"name":"a","value":1}]}"#,
            r#"{"version":{"n":"other"}}"#,
            "done",
        ] {
            let scripts = resource_type("echo '[]'", &format!("echo '{answer}'"), ECHO);
            let resource = resource(scripts.path());
            let attempt = std::panic::AssertUnwindSafe(|| resource.get(&numbered("1"), &Value::Null));
            assert!(std::panic::catch_unwind(attempt).is_err(), "{answer}");
        }
    }
}

mod machines {
    use super::support::machine;

    #[test]
    fn components_of_one_suite_are_brought_together() {
        let targets = "http://archive.example/debian/|bookworm|main|/usr/share/keyrings/a.gpg\n\
                       http://archive.example/debian/|bookworm|main|/usr/share/keyrings/a.gpg\n\
                       http://archive.example/debian/|bookworm|contrib|/usr/share/keyrings/a.gpg\n\
                       http://archive.example/security/|bookworm-security|main|\n";
        let lines: Vec<String> = machine::parse(targets).iter().map(machine::MachineSource::line).collect();
        assert_eq!(
            lines,
            [
                "deb [signed-by=/usr/share/keyrings/a.gpg] http://archive.example/debian/ bookworm main contrib",
                "deb http://archive.example/security/ bookworm-security main",
            ]
        );
    }

    #[test]
    fn the_machine_names_its_own_archive() {
        let codename = machine::codename();
        assert!(machine::debian().iter().any(|source| source.suite == codename), "{:?}", machine::debian());
    }
}
