//! ADD of git repositories: git makes and serves them, and says what is in a checkout.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::shop::{Built, Shop};
use crate::support::git::{Habits, git};
use crate::support::{GitRepository, GitServer, tree};

/// A directory with the repository `app`: a branch, a tag, an annotated tag, and all kinds of files.
struct Town {
    directory: tempfile::TempDir,
    app: GitRepository,
}

impl Town {
    fn new() -> Town {
        let directory = tempfile::tempdir().unwrap();
        let app = GitRepository::new(directory.path().join("app"));
        app.write("README", "first\n").write("src/deep/main.c", "int main;\n").write("src-old/x", "");
        app.write("bin/run", "#!/bin/sh\n");
        app.git(&["add", "--all"]);
        app.git(&["update-index", "--chmod=+x", "bin/run"]);
        symlink("../README", app.path().join("src/link")).unwrap();
        symlink("/etc", app.path().join("escape")).unwrap();
        app.git(&["add", "src/link", "escape"]);
        app.git(&["commit", "--quiet", "-m", "first"]);
        app.git(&["tag", "v1"]);
        app.write("README", "second\n");
        app.git(&["commit", "--quiet", "--all", "-m", "second"]);
        app.git(&["tag", "-a", "v2", "-m", "the second"]);
        app.git(&["branch", "stable"]);
        // A file that changed a little makes a delta in a pack.
        let long: String = (0..2000).map(|n| format!("line {n}\n")).collect();
        app.write("long", &long).commit("third");
        app.write("long", long.replace("line 7\n", "line seven\n")).commit("fourth");
        app.git(&["reset", "--quiet", "--hard"]);
        app.git(&["repack", "-adfq"]);
        Town { directory, app }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn serve(&self) -> GitServer {
        GitServer::start(self.path(), Habits::default())
    }

    fn commit(&self, name: &str) -> String {
        self.app.git(&["rev-parse", &format!("{name}^{{commit}}")])
    }

    /// Returns what git itself makes of a commit.
    fn checkout(&self, name: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("checkout");
        fs::create_dir(&target).unwrap();
        let tar = directory.path().join("a.tar");
        self.app.git(&["-c", "tar.umask=0022", "archive", "-o", tar.to_str().unwrap(), name]);
        let status = std::process::Command::new("tar").arg("-xpf").arg(&tar).arg("-C").arg(&target).status();
        assert!(status.unwrap().success());
        tree::dump_below(&target, "/")
    }
}

/// Returns what is in a directory of the image.
fn below(built: &Built, directory: &str) -> String {
    tree::dump_below(&built.root().path().join("root").join(directory), "/")
}

#[test]
fn the_content_of_every_kind_of_ref_is_what_git_has_there() {
    let (shop, town) = (Shop::new(), Town::new());
    let server = town.serve();
    let url = server.url("app");
    let first = town.commit("v1");
    let dockerfile = format!(
        "FROM scratch\nADD {url} /head\nADD {url}#v1 /tag/\nADD {url}#v2 /annotated/\nADD {url}#stable /branch/\n\
         ADD {url}?ref=refs/heads/stable /full/\nADD {url}#{first} /sha/\nADD {url}?commit={} /short/\n",
        &town.commit("v2")[..9]
    );
    let built = shop.build(&dockerfile, &[]);
    for (directory, name) in [
        ("head", "main"),
        ("tag", "v1"),
        ("annotated", "v2"),
        ("branch", "v2"),
        ("full", "v2"),
        ("sha", "v1"),
        ("short", "v2"),
    ] {
        assert_eq!(below(&built, directory), town.checkout(name), "{directory}");
    }
    let again = shop.build(&dockerfile, &["--no-cache"]);
    assert_eq!(built.digest, again.digest);
}

#[test]
fn an_old_server_is_understood_and_a_dumb_one_is_refused() {
    let (shop, town) = (Shop::new(), Town::new());
    let old = GitServer::start(town.path(), Habits { is_old: true, ..Habits::default() });
    let url = old.url("app");
    let built =
        shop.build(&format!("FROM scratch\nADD {url}#v2 /\nADD {url}#{} /sha/\n", town.commit("v1")), &[]);
    assert_eq!(built.read("README"), "second\n");
    assert_eq!(below(&built, "sha"), town.checkout("v1"));
    town.app.git(&["update-server-info"]);
    let dumb = GitServer::start(town.path(), Habits { is_dumb: true, ..Habits::default() });
    let stderr = shop.fail(&format!("FROM scratch\nADD {}#v2 /\n", dumb.url("app")), &[]);
    assert!(stderr.contains("Dockerfile:2") && stderr.contains("smart"), "{stderr}");
}

#[test]
fn a_directory_is_taken_with_owners_modes_and_without_what_is_excluded() {
    let (shop, town) = (Shop::new(), Town::new());
    let server = town.serve();
    let url = server.url("app");
    let built = shop.build(
        &format!(
            "FROM @base\nADD {url}#v1:src /in\nADD --chown=ann --chmod=0750 --link {url}#v1:/bin/ /tools/\n\
             ADD --exclude=src* --exclude=**/run {url}?tag=v1 /rest/\n"
        ),
        &[],
    );
    let tree = built.tree("/");
    assert!(tree.contains("0644 0:0") && tree.contains("/in/deep/main.c"), "{tree}");
    assert!(
        tree.lines().any(|line| line.contains("file 0750 1000:1000") && line.ends_with("/tools/run")),
        "{tree}"
    );
    assert!(
        tree.contains("/rest/README") && !tree.contains("/rest/src") && !tree.contains("/rest/bin/run"),
        "{tree}"
    );
    let stderr = shop.fail(&format!("FROM scratch\nADD {url}#v1:nowhere /\n"), &[]);
    assert!(stderr.contains("that commit has no directory nowhere"), "{stderr}");
}

#[test]
fn git_agrees_with_the_directory_that_is_kept() {
    let (shop, town) = (Shop::new(), Town::new());
    let server = town.serve();
    let url = server.url("app");
    let dockerfile = format!(
        "FROM scratch\nADD --keep-git-dir {url}#v2 /annotated\nADD --keep-git-dir=true {url}#stable /branch\n\
         ADD {url}?keep-git-dir=1&ref={} /sha\n",
        town.commit("v1")
    );
    let built = shop.build(&dockerfile, &[]);
    let root = built.root();
    let directory = |name: &str| root.path().join("root").join(name);
    for (name, commit) in [("annotated", "v2"), ("branch", "v2"), ("sha", "v1")] {
        let ask = |arguments: &[&str]| git(&directory(name), arguments);
        assert_eq!(ask(&["fsck", "--full", "--strict"]), "", "{name}");
        assert_eq!(ask(&["log", "-1", "--format=%H"]), town.commit(commit), "{name}");
        assert_eq!(ask(&["status", "--short"]), "", "{name}");
        assert_eq!(ask(&["remote", "get-url", "origin"]), url, "{name}");
    }
    assert_eq!(git(&directory("annotated"), &["describe"]), "v2");
    assert_eq!(git(&directory("branch"), &["rev-parse", "stable"]), town.commit("v2"));
    // Another pack on the server makes no other image.
    town.app.git(&["repack", "-adq", "--depth=1"]);
    assert_eq!(shop.build(&dockerfile, &["--no-cache"]).digest, built.digest);
}

#[test]
fn submodules_come_along_unless_they_are_unwanted() {
    let (shop, town) = (Shop::new(), Town::new());
    let lib = GitRepository::new(town.path().join("lib"));
    let pinned = lib.write("lib.c", "pinned\n").commit("pinned");
    town.app.write(".gitmodules", "[submodule \"x\"]\n\tpath = vendor/lib\n\turl = ../../lib/.git\n");
    town.app.git(&["add", "--all"]);
    town.app.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{pinned},vendor/lib")]);
    town.app.git(&["commit", "--quiet", "-m", "submodule"]);
    lib.write("lib.c", "newer\n").commit("newer");
    let server = town.serve();
    let url = server.url("app");
    let built =
        shop.build(&format!("FROM scratch\nADD {url} /with/\nADD {url}?submodules=false /without/\n"), &[]);
    assert_eq!(built.read("/with/vendor/lib/lib.c"), "pinned\n");
    let tree = built.tree("/without/vendor");
    assert!(tree.contains("/without/vendor/lib") && !tree.contains("lib.c"), "{tree}");
    let files = built.bom()["changeset"]["files"].to_string();
    assert!(files.contains(&pinned) && files.contains("/lib/.git"), "{files}");
    town.app.write(".gitmodules", "").git(&["commit", "--quiet", "-m", "lost", ".gitmodules"]);
    let stderr = shop.fail(&format!("FROM scratch\nADD {url} /\n"), &[]);
    assert!(
        stderr.contains("cannot get the submodule vendor/lib: .gitmodules does not say where it is"),
        "{stderr}"
    );
}

#[test]
fn what_is_known_is_not_fetched_and_a_branch_that_moved_is_told_with_its_commit() {
    let (shop, town) = (Shop::new(), Town::new());
    let server = town.serve();
    let dockerfile = format!("FROM scratch\nADD {}#stable /app/\n", server.url("app"));
    let built = shop.build(&dockerfile, &[]);
    server.server.log.clear();
    assert_eq!(shop.build(&dockerfile, &[]).digest, built.digest);
    assert_eq!(
        server.server.log.count("POST", "git-upload-pack"),
        1,
        "the refs alone: {:?}",
        server.server.log.lines()
    );
    let lock = shop.beside("lock.json");
    fs::write(&lock, built.lock()).unwrap();
    town.app.git(&["branch", "--force", "stable", "v1"]);
    let moved = shop.build(&dockerfile, &[]);
    assert_eq!(moved.read("/app/README"), "first\n");
    assert!(moved.stderr.contains(&town.commit("v1")), "{}", moved.stderr);
    server.server.log.clear();
    let locked = shop.build(&dockerfile, &["--no-cache", "--lock", lock.to_str().unwrap()]);
    assert_eq!(locked.read("/app/README"), "second\n");
    assert_eq!(locked.digest, built.digest);
    assert_eq!(server.server.log.count("POST", "git-upload-pack"), 1, "the pack alone");
}

#[test]
fn a_commit_that_no_ref_leads_to_any_longer_is_still_had_with_its_lock() {
    let (shop, town) = (Shop::new(), Town::new());
    let old = GitServer::start(town.path(), Habits { is_old: true, ..Habits::default() });
    // This server hands out what a ref names, and nothing else.
    let dockerfile = format!("FROM scratch\nADD {}#main /app/\n", old.url("app"));
    let built = shop.build(&dockerfile, &[]);
    let lock = shop.beside("lock.json");
    fs::write(&lock, built.lock()).unwrap();
    town.app.write("README", "third\n").commit("later");
    let locked = shop.build(&dockerfile, &["--no-cache", "--lock", lock.to_str().unwrap()]);
    assert_eq!((locked.read("/app/README"), locked.digest), ("second\n".into(), built.digest));
}

#[test]
fn the_account_says_which_commit_it_was() {
    let (shop, town) = (Shop::new(), Town::new());
    let server = town.serve();
    let url = server.url("app");
    let built = shop.build(&format!("FROM scratch\nADD {url}#v2:src /app/\n"), &[]);
    let (bom, commit) = (built.bom(), town.commit("v2"));
    let told = &bom["changeset"]["instructions"][0]["repositories"][0];
    let expected = serde_json::json!({"uri": url, "ref": "v2", "commit": commit, "subdir": "src"});
    assert_eq!(*told, expected, "{bom}");
    let source = &bom["changeset"]["files"][0]["source"];
    let expected = serde_json::json!({"git": {"repository_uri": url, "ref": commit, "verified": true}});
    assert_eq!(*source, expected, "{bom}");
}

#[test]
fn what_cannot_be_had_is_refused_with_its_line() {
    let (shop, town) = (Shop::new(), Town::new());
    let server = town.serve();
    let url = server.url("app");
    let (first, second) = (town.commit("v1"), town.commit("v2"));
    shop.build(&format!("FROM scratch\nADD --checksum={} {url}#v2 /\n", &second[..12]), &[]);
    for (line, told) in [
        (format!("ADD --checksum={first} {url}#v2 /"), format!("expected the commit {first}, got {second}")),
        (format!("ADD --checksum=xyz {url}#v2 /"), "its checksum is no commit".to_owned()),
        (format!("ADD {url}#nowhere /"), format!("{url} has no ref `nowhere`")),
        (format!("ADD {url}?branch=v1 /"), "has no ref `refs/heads/v1`".to_owned()),
        (format!("ADD {url}?ref={} /", &first[..9]), "has no ref".to_owned()),
        (format!("ADD {}#v1 /", server.url("nothing")), "404 Not Found".to_owned()),
        (format!("ADD {url}?tag=v1&branch=v1 /"), "it names a tag and a branch".to_owned()),
        ("ADD ssh://git.example/a.git /".to_owned(), "only http and https are spoken".to_owned()),
        ("ADD git://git.example/a.git /".to_owned(), "COPY it from the context".to_owned()),
    ] {
        let stderr = shop.fail(&format!("FROM scratch\n{line}\n"), &[]);
        assert!(stderr.contains("Dockerfile:2") && stderr.contains(&told), "{line}\n{stderr}");
    }
}

#[test]
fn credentials_open_a_private_repository_and_are_told_nowhere() {
    let (shop, town) = (Shop::new(), Town::new());
    let basic = "Basic YW5uOmh1bnRlcjI=".to_owned();
    let server = GitServer::start(town.path(), Habits { authorization: Some(basic), ..Habits::default() });
    let host = server.server.address().to_string();
    let dockerfile = "FROM scratch\nARG REPOSITORY\nADD --keep-git-dir ${REPOSITORY}#v2 /\n";
    let repository = format!("REPOSITORY=http://ann:hunter2\u{40}{host}/app/.git");
    let built = shop.build(dockerfile, &["--build-arg", &repository]);
    assert_eq!(built.read("/README"), "second\n");
    assert!(!built.stderr.contains("hunter2") && !built.holds("hunter2"), "{}", built.stderr);
    assert!(!built.read("/.git/config").contains("hunter2"));
    let open = format!("REPOSITORY=http://{host}/app/.git");
    let stderr = shop.fail(dockerfile, &["--build-arg", &open]);
    assert!(stderr.contains("401 Unauthorized") && stderr.contains("Dockerfile:3"), "{stderr}");
    let wrong = format!("REPOSITORY=http://ann:wr0ng\u{40}{host}/app/.git");
    let stderr = shop.fail(dockerfile, &["--build-arg", &wrong]);
    assert!(stderr.contains("401 Unauthorized") && !stderr.contains("wr0ng"), "{stderr}");
    let header = shop.beside("header");
    fs::write(&header, "Basic YW5uOmh1bnRlcjI=\n").unwrap();
    let secret = format!("id=GIT_AUTH_HEADER.{host},src={}", header.display());
    let with_secret = shop.build(dockerfile, &["--no-cache", "--build-arg", &open, "--secret", &secret]);
    assert_eq!(with_secret.read("/README"), "second\n");
    for needle in ["hunter2", "YW5uOmh1bnRlcjI"] {
        assert!(!with_secret.holds(needle), "{needle}");
    }
}

#[test]
fn a_token_is_sent_as_buildkit_sends_it() {
    let (shop, town) = (Shop::new(), Town::new());
    let authorization = Some("Basic eC1hY2Nlc3MtdG9rZW46dDBrZW4=".to_owned());
    let server = GitServer::start(town.path(), Habits { authorization, ..Habits::default() });
    let token = shop.beside("token");
    fs::write(&token, "t0ken\n").unwrap();
    let secret = format!("id=GIT_AUTH_TOKEN,src={}", token.display());
    let built =
        shop.build(&format!("FROM scratch\nADD {}#v1 /\n", server.url("app")), &["--secret", &secret]);
    assert_eq!(built.read("/README"), "first\n");
}

#[test]
fn a_tree_that_no_root_may_have_is_refused() {
    let (shop, town) = (Shop::new(), Town::new());
    let server = town.serve();
    let blob = town.app.git(&["rev-parse", "v1:README"]);
    let id: Vec<u8> = (0..20).map(|n| u8::from_str_radix(&blob[2 * n..2 * n + 2], 16).unwrap()).collect();
    let entry = |mode: &str, name: &str| [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &id].concat();
    for (tree, told) in [
        (entry("100644", ".."), "'..' are disallowed"),
        (entry("100644", ".git"), ".git name"),
        (entry("100644", ".GIT"), ".git name"),
        (entry("100644", "git~1"), ".git name"),
        (entry("100644", "a/b"), "separators"),
        (entry("120000", ".gitmodules"), "symlink"),
        ([entry("100644", "a"), entry("100755", "a")].concat(), "it has a twice"),
    ] {
        let file = town.path().join("tree");
        fs::write(&file, tree).unwrap();
        let tree = town.app.git(&["hash-object", "--literally", "-t", "tree", "-w", file.to_str().unwrap()]);
        let commit = town.app.git(&["commit-tree", "-m", "hostile", &tree]);
        town.app.git(&["update-ref", "refs/heads/hostile", &commit]);
        let stderr = shop.fail(&format!("FROM scratch\nADD {}#hostile /\n", server.url("app")), &[]);
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
}
