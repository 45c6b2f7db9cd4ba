//! Which sources of ADD are repositories: the cases are those of BuildKit's own tests, and some more.

use crate::dockerfile::Repository;

/// Returns remote, ref and subdir.
fn parsed(source: &str) -> Option<(String, Option<String>, String)> {
    let repository = Repository::parse(source).unwrap()?;
    Some((repository.remote, repository.reference, repository.subdir))
}

#[test]
fn every_form_of_an_address_is_understood() {
    for (source, remote, reference, subdir) in [
        ("https://example.com/foo.git", "https://example.com/foo.git", "", ""),
        ("http://example.com/foo.git", "http://example.com/foo.git", "", ""),
        ("https://example.com/foo.git#deadbeef", "https://example.com/foo.git", "deadbeef", ""),
        ("https://example.com/foo.git#release/1.2", "https://example.com/foo.git", "release/1.2", ""),
        ("git://example.com/foo", "git://example.com/foo", "", ""),
        ("ssh://git@example.com:22/foo", "ssh://git@example.com:22/foo", "", ""),
        ("https://foo:bar@example.com/a/b.git", "https://foo:bar@example.com/a/b.git", "", ""),
        ("git@example.com:a/b", "git@example.com:a/b", "", ""),
        ("git@example.com:a/b.git#v1:hack", "git@example.com:a/b.git", "v1", "hack"),
        ("git@example.com:a/b.git?subdir=/sub#v1", "git@example.com:a/b.git", "v1", "sub"),
        ("https://example.com/b.git#baz/qux:quux/quuz", "https://example.com/b.git", "baz/qux", "quux/quuz"),
        ("https://example.com/b.git#:myfolder", "https://example.com/b.git", "", "myfolder"),
        ("https://example.com/b.git?ref=v1&subdir=/s/../t/", "https://example.com/b.git", "v1", "t"),
        ("https://example.com/b.git?subdir=/s#v1", "https://example.com/b.git", "v1", "s"),
        ("https://example.com/b.git?tag=v1", "https://example.com/b.git", "refs/tags/v1", ""),
        ("https://example.com/b.git?branch=v1", "https://example.com/b.git", "refs/heads/v1", ""),
        ("https://example.com/b.git?tag=v1#refs/tags/v1", "https://example.com/b.git", "refs/tags/v1", ""),
        ("https://example.com/b.git?commit=deadbeef", "https://example.com/b.git", "deadbeef", ""),
        ("https://example.com/.git", "https://example.com/.git", "", ""),
    ] {
        let reference = (!reference.is_empty()).then(|| reference.to_owned());
        assert_eq!(parsed(source), Some((remote.to_owned(), reference, subdir.to_owned())), "{source}");
    }
}

#[test]
fn files_and_paths_are_no_repositories() {
    for source in [
        "https://example.com/",
        "https://example.com/foo",
        "https://example.com/foo.git/",
        "https://example.com/foo.git.bar",
        "http://example.com/docker.git:#branch",
        "custom.xyz/moby/buildkit.git",
        "github.com/moby/buildkit",
        "github.com/moby/buildkit.git#v1",
        "./.git",
        "../a.git",
        ".git",
        "file:///srv/a.git",
        "httpx://example.com/a.git",
        "example.com:a/b.git",
    ] {
        assert_eq!(parsed(source), None, "{source}");
    }
}

#[test]
fn what_an_address_asks_besides_is_read() {
    let read =
        |query: &str| Repository::parse(&format!("https://example.com/b.git?{query}")).unwrap().unwrap();
    assert_eq!(read("keep-git-dir").keep_git_dir, Some(true));
    assert_eq!(read("keep-git-dir=0&submodules=false").submodules, Some(false));
    assert_eq!(read("checksum=ab&ref=main").checksum.as_deref(), Some("ab"));
}

#[test]
fn what_an_address_cannot_mean_is_refused() {
    for (query, told) in [
        ("?ref=v1#v2", "it has two of `ref`: `v2` and `v1`"),
        ("?ref=v1&tag=v2", "it has two of `ref`: `v1` and `refs/tags/v2`"),
        ("?tag=v1&branch=v1", "it names a tag and a branch"),
        ("?invalid=123", "nobody knows `invalid`"),
        ("?ref=", "`ref` has no value"),
        ("?ref=a&ref=a", "`ref` is given twice"),
        ("?keep-git-dir=maybe", "`keep-git-dir` is true or false, not `maybe`"),
        ("#v1:../x", "`../x` leads out of the repository"),
    ] {
        let source = format!("https://example.com/b.git{query}");
        assert_eq!(Repository::parse(&source).unwrap_err(), told, "{source}");
    }
}
