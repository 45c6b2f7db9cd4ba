//! What a declared commit is worth: the git checkouts that a context holds, made by git itself.

use std::path::Path;

use serde_json::{Value, json};

use crate::pier::{self, Yard};
use crate::support::TestRegistry;
use crate::support::git::{GitRepository, git};

const REMOTE: &str = "https://git.example/team/app";

/// A context that is a checkout of [`REMOTE`], with `app.sh` in it and a definition beside it.
struct Checkout {
    yard: Yard,
    repository: GitRepository,
    registry: TestRegistry,
}

/// What a put said, and what the account says of the file.
struct Told {
    stderr: String,
    source: Value,
    digest: Value,
}

impl Checkout {
    /// Commits `app.sh`; the put's definition declares `vcs`, if that isn't empty.
    fn new(vcs: &str) -> Checkout {
        let yard = Yard::new("");
        let repository = GitRepository::new(yard.path().join("app"));
        repository.write("app.sh", "#!/bin/sh\n").write("bin/tool", "tool\n").commit("one");
        repository.git(&["remote", "add", "origin", &format!("{REMOTE}.git")]);
        let checkout = Checkout { yard, repository, registry: TestRegistry::start() };
        checkout.declare(vcs);
        checkout
    }

    fn declare(&self, vcs: &str) {
        let vcs = match vcs {
            "" => String::new(),
            vcs => format!("vcs \"git\" {{ {vcs} }}"),
        };
        self.yard.write(
            "estaleiro.hcl",
            format!("image \"x\" {{ file \"/app\" {{ from_context {{ path = \"app/app.sh\" {vcs} }} }} }}\n"),
        );
    }

    fn head(&self) -> String {
        self.repository.git(&["rev-parse", "HEAD"])
    }

    fn source(&self) -> Value {
        pier::source(&self.registry.host(), "app")
    }

    fn put(&self) -> Told {
        let outcome = pier::put(&self.source(), &self.yard);
        let bom = pier::small_files(&self.source(), &outcome).read("bom.yml");
        let account: Value = serde_saphyr::from_str(&bom).unwrap();
        let digest = outcome.version["digest"].clone();
        Told {
            stderr: outcome.stderr,
            source: account["changeset"]["files"][0]["source"].clone(),
            digest: json!(digest),
        }
    }

    /// Puts with the rule, in vain.
    fn refused(&self) -> String {
        let mut source = self.source();
        source["policy"] = json!({"require_verified_vcs": true});
        pier::put_in_vain(&source, &self.yard).stderr
    }

    /// Puts with the rule.
    fn accepted(&self) {
        let mut source = self.source();
        source["policy"] = json!({"require_verified_vcs": true});
        pier::put(&source, &self.yard);
    }
}

fn verified(commit: &str, repository: &str) -> Value {
    json!({"repository_uri": repository, "ref": commit, "verified": true})
}

#[test]
fn a_file_of_which_nothing_is_declared_is_of_the_checkout_that_it_lies_in() {
    let checkout = Checkout::new("");
    let told = checkout.put();
    assert_eq!(told.source["git"], verified(&checkout.head(), &format!("{REMOTE}.git")));
    assert_eq!(told.source["context"], json!({"path": "app/app.sh"}));
    assert!(!told.stderr.contains("warning"), "{}", told.stderr);
    checkout.accepted();
}

#[test]
fn the_same_files_of_another_commit_are_of_that_one_and_the_image_is_the_same() {
    let checkout = Checkout::new("");
    let (before, first) = (checkout.put(), checkout.head());
    let second = checkout.repository.write("other", "x").commit("two");
    let after = checkout.put();
    assert_ne!(first, second);
    assert_eq!(after.source["git"], verified(&second, &format!("{REMOTE}.git")));
    assert_eq!(before.digest, after.digest);
    std::fs::remove_dir_all(checkout.repository.path().join(".git")).unwrap();
    let without = checkout.put();
    assert_eq!(without.source, json!({"context": {"path": "app/app.sh", "unversioned": true}}));
    assert_eq!(before.digest, without.digest);
}

#[test]
fn a_declaration_that_is_true_is_verified_however_it_is_written() {
    let checkout = Checkout::new("");
    let head = checkout.head();
    checkout.repository.git(&["tag", "v1"]);
    for (repository, reference) in [
        (REMOTE, head.as_str()),
        ("git@git.example:team/app.git", &head[..10]),
        ("ssh://git@git.example/team/app/", "main"),
        ("https://user:secret@git.example/team/app", "v1"),
        (REMOTE, &format!("{head}\\n")),
        (REMOTE, "${commit}"),
    ] {
        checkout.declare(&format!("repository = \"{repository}\" ref = \"{reference}\""));
        let params = json!({"definition": "source", "vars": {"commit": ""}});
        let step = pier::with_params(&checkout.yard, params);
        let (outcome, _) =
            pier::run(&checkout.source(), &step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
        let bom = pier::small_files(&checkout.source(), &outcome).read("bom.yml");
        let account: Value = serde_saphyr::from_str(&bom).unwrap();
        let told = repository.replace("user:secret@", "").replace("ssh://git@", "ssh://");
        assert_eq!(account["changeset"]["files"][0]["source"]["git"], verified(&head, &told), "{reference}");
        assert!(!outcome.stderr.contains("is declared to be"), "{}", outcome.stderr);
    }
}

#[test]
fn a_declaration_that_is_wrong_is_told_and_where_the_policy_asks_for_it_refused() {
    let checkout = Checkout::new("");
    let head = checkout.head();
    let other = "c0ffee".repeat(7)[..40].to_owned();
    let dirty = |text: &str| checkout.repository.write("app.sh", text);
    for (content, repository, reference, why) in [
        ("#!/bin/sh\n", REMOTE, other.as_str(), format!("the checkout around it is at {head}")),
        (
            "#!/bin/sh\n",
            "https://git.example/team/other",
            &head,
            format!("the checkout around it is of {REMOTE}.git"),
        ),
        ("#!/bin/false\n", REMOTE, &head, format!("it was changed since commit {head}")),
    ] {
        dirty(content);
        checkout.declare(&format!("repository = \"{repository}\" ref = \"{reference}\""));
        let told = checkout.put();
        let warning =
            format!("warning: /app: it is declared to be of {repository} at `{reference}`, but {why}");
        assert!(told.stderr.contains(&warning), "{}", told.stderr);
        let git = json!({"repository_uri": repository, "ref": reference, "unverified_because": why});
        assert_eq!(told.source["git"], git);
        let said = checkout.refused();
        assert!(
            said.contains("- require_verified_vcs (source.policy:2): /app is declared")
                && said.contains(&why),
            "{said}"
        );
    }
}

#[test]
fn what_cannot_be_told_is_declared_and_no_more() {
    let checkout = Checkout::new(&format!("repository = \"{REMOTE}\" ref = \"v9\""));
    let told = checkout.put();
    let why = format!("the checkout around it knows no such ref, and is at {}", checkout.head());
    assert_eq!(told.source["git"]["unverified_because"], why);
    assert!(!told.stderr.contains("is declared to be"), "{}", told.stderr);
    checkout.repository.git(&["remote", "remove", "origin"]);
    checkout.declare("");
    let context = checkout.put().source["context"].clone();
    let why = "the checkout around it has no remote, which would tell its repository";
    assert_eq!(context, json!({"path": "app/app.sh", "unversioned": true, "unversioned_because": why}));
    assert!(checkout.refused().contains(why));
}

#[test]
fn a_file_that_the_commit_does_not_have_is_of_no_commit() {
    let checkout = Checkout::new("");
    let head = checkout.head();
    for (content, why) in [
        ("changed", format!("it was changed since commit {head}")),
        ("#!/bin/sh\r\n", format!("it was changed since commit {head}")),
    ] {
        checkout.repository.write("app.sh", content);
        assert_eq!(checkout.put().source["context"]["unversioned_because"], why);
    }
    checkout.repository.git(&["rm", "--cached", "--quiet", "app.sh"]);
    checkout.repository.git(&["commit", "--quiet", "-m", "two"]);
    let why = format!("commit {} has no such file", checkout.head());
    assert_eq!(checkout.put().source["context"]["unversioned_because"], why);
}

#[test]
fn line_ends_and_pointers_count_as_git_would_store_them() {
    let checkout = Checkout::new("");
    checkout.repository.write(".gitattributes", "*.sh text\n").commit("two");
    checkout.repository.write("app.sh", "#!/bin/sh\r\n");
    assert_eq!(checkout.put().source["git"]["verified"], true);

    // sha256 of "large\n", as git-lfs has it.
    let digest = estaleiro::digest::Digest::of("large\n");
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid {digest}\nsize 6\n");
    checkout.repository.write(".gitattributes", "*.sh filter=lfs -text\n").write("app.sh", pointer);
    checkout.repository.git(&["-c", "filter.lfs.clean=cat", "add", "--all"]);
    checkout.repository.git(&["commit", "--quiet", "-m", "three"]);
    checkout.repository.write("app.sh", "large\n");
    assert_eq!(checkout.put().source["git"], verified(&checkout.head(), &format!("{REMOTE}.git")));

    checkout.repository.write(".gitattributes", "*.sh ident\n").write("app.sh", "$Id$\n").commit("four");
    checkout.repository.write("app.sh", "$Id: 0 $\n");
    let why = &checkout.put().source["context"]["unversioned_because"];
    assert_eq!(why, "by its attributes git may keep it in a form that isn't known here");
}

/// Replaces the context's checkout by one that `make` makes of it.
fn remade(make: impl Fn(&Path, &Path)) -> Checkout {
    let checkout = Checkout::new("");
    let (app, origin) = (checkout.repository.path().to_owned(), checkout.yard.path().join("origin"));
    std::fs::rename(&app, &origin).unwrap();
    make(&origin, &app);
    git(&app, &["remote", "set-url", "origin", &format!("{REMOTE}.git")]);
    checkout
}

#[test]
fn checkouts_of_every_kind_are_read() {
    let cloned = |arguments: &'static [&'static str]| {
        move |origin: &Path, app: &Path| {
            let url = format!("file://{}", origin.display());
            let arguments = [&["clone", "--quiet"], arguments, &[&url, app.to_str().unwrap()]].concat();
            git(origin, &arguments);
        }
    };
    let shallow = remade(cloned(&["--depth=1"]));
    let sharing = remade(cloned(&["--shared"]));
    let packed = remade(|origin, app| {
        cloned(&[])(origin, app);
        git(app, &["gc", "--quiet"]);
        git(app, &["pack-refs", "--all"]);
    });
    let detached = remade(|origin, app| {
        cloned(&[])(origin, app);
        git(app, &["checkout", "--quiet", "--detach"]);
    });
    let worktree = remade(|origin, app| {
        git(origin, &["worktree", "add", "--quiet", app.to_str().unwrap(), "-b", "other"]);
    });
    let sparse = remade(|origin, app| {
        cloned(&[])(origin, app);
        git(app, &["sparse-checkout", "set", "--no-cone", "app.sh"]);
    });
    for (kind, checkout) in [
        ("shallow", shallow),
        ("sharing", sharing),
        ("packed", packed),
        ("detached", detached),
        ("worktree", worktree),
        ("sparse", sparse),
    ] {
        let head = git(checkout.repository.path(), &["rev-parse", "HEAD"]);
        assert_eq!(checkout.put().source["git"], verified(&head, &format!("{REMOTE}.git")), "{kind}");
    }
}

#[test]
fn a_file_of_a_submodule_is_of_that_ones_commit() {
    let inner = "https://git.example/team/inner";
    let checkout = remade(|origin, app| {
        let outer = GitRepository::new(app);
        outer.git(&["submodule", "--quiet", "add", &format!("file://{}", origin.display()), "sub"]);
        outer.commit("outer");
        outer.git(&["remote", "add", "origin", REMOTE]);
        git(&app.join("sub"), &["remote", "set-url", "origin", inner]);
    });
    checkout.yard.write(
        "estaleiro.hcl",
        "image \"x\" { file \"/app\" { from_context { path = \"app/sub/app.sh\" } } }\n",
    );
    let head = git(&checkout.repository.path().join("sub"), &["rev-parse", "HEAD"]);
    assert_eq!(checkout.put().source["git"], verified(&head, inner));
}

#[test]
fn a_checkout_that_cannot_be_read_is_told_and_stops_nothing() {
    let checkout = remade(|_, app| {
        std::fs::create_dir(app).unwrap();
        git(app, &["init", "--quiet", "--object-format=sha256"]);
        GitRepository::new(app).write("app.sh", "#!/bin/sh\n").commit("one");
        git(app, &["remote", "add", "origin", REMOTE]);
    });
    let why = checkout.put().source["context"]["unversioned_because"].clone();
    assert!(why.as_str().unwrap().starts_with("the checkout around it can't be read: "), "{why}");
    std::fs::remove_dir_all(checkout.repository.path().join(".git")).unwrap();
    std::fs::write(checkout.repository.path().join(".git"), "gitdir: /nowhere\n").unwrap();
    let why = checkout.put().source["context"]["unversioned_because"].clone();
    assert!(why.as_str().unwrap().starts_with("the checkout around it can't be read: "), "{why}");
}

#[test]
fn files_that_a_dockerfile_copies_have_the_same_origins() {
    let checkout = Checkout::new("");
    checkout
        .repository
        .write("Dockerfile", "FROM scratch\nCOPY . /\n")
        .write(".dockerignore", ".git\n")
        .commit("two");
    checkout.repository.write("new", "x");
    let step = pier::with_params(&checkout.yard, json!({"dockerfile": "source/app/Dockerfile"}));
    let (outcome, _) =
        pier::run(&checkout.source(), &step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    let bom = pier::small_files(&checkout.source(), &outcome).read("bom.yml");
    let account: Value = serde_saphyr::from_str(&bom).unwrap();
    let files = account["changeset"]["files"].as_array().unwrap();
    let source = |path: &str| &files.iter().find(|file| file["path"] == path).unwrap()["source"];
    let (git, head) = (verified(&checkout.head(), &format!("{REMOTE}.git")), checkout.head());
    assert_eq!((&source("/app.sh")["git"], &source("/bin/tool")["git"]), (&git, &git));
    assert_eq!(source("/new")["context"]["unversioned_because"], format!("commit {head} has no such file"));
}

#[test]
fn what_a_step_makes_is_verified_by_what_it_is_made_from() {
    let checkout = Checkout::new("");
    checkout.repository.write("Dockerfile", "FROM scratch AS build\nCOPY bin/tool /made\n").commit("two");
    let head = checkout.head();
    checkout.yard.write(
        "estaleiro.hcl",
        format!(
            r#"image "x" {{ file "/app" {{ from_step "build" {{ path = "/made" }} }} }}
               step "build" {{
                 dockerfile = "app/Dockerfile" context = "app"
                 source_file "/made" {{ vcs "git" {{ repository = "{REMOTE}" ref = "{head}" }} }}
               }}"#
        ),
    );
    assert_eq!(checkout.put().source["git"], verified(&head, REMOTE));
    checkout.repository.write("bin/tool", "changed\n");
    let told = checkout.put();
    let why = format!("of app/bin/tool, which it was made from: it was changed since commit {head}");
    assert_eq!(told.source["git"]["unverified_because"], why);
    assert!(told.stderr.contains("but of app/bin/tool, which it was made from"), "{}", told.stderr);
}
