//! What moved from one lock to the next, a line each, for whoever reviews it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::{Lock, LockedBase, LockedImage, LockedPackage, LockedRepository, LockedSuite, PlatformLock};
use crate::build::time::rfc3339;
use crate::debian::Version;
use crate::digest::Digest;

/// Returns what moved, in lines that begin with `+` for what came, `-` for what went and `~` for what changed.
pub fn moves(old: &Lock, new: &Lock) -> Vec<String> {
    let mut moves = Vec::new();
    for platform in &new.platforms {
        let last = old.platforms.iter().find(|last| last.platform == platform.platform);
        match last {
            Some(last) => moves.extend(platform_moves(last, platform)),
            None => moves.push(format!("+ platform {}", platform.platform)),
        }
    }
    let is_gone = |last: &&PlatformLock| new.platforms.iter().all(|one| one.platform != last.platform);
    moves.extend(old.platforms.iter().filter(is_gone).map(|last| format!("- platform {}", last.platform)));
    if old.epoch != new.epoch {
        moves.push(changed("epoch", rfc3339(old.epoch), rfc3339(new.epoch)));
    }
    moves
}

fn platform_moves(old: &PlatformLock, new: &PlatformLock) -> Vec<String> {
    let mut moves: Vec<String> = base(old.base.as_ref(), new.base.as_ref()).into_iter().collect();
    moves.extend(packages(&old.packages, &new.packages));
    let beside = packages(&old.beside, &new.beside).into_iter();
    moves.extend(beside.map(|line| format!("{line}, for scripts to run beside")));
    let taken = packages(&old.taken, &new.taken).into_iter();
    moves.extend(taken.map(|line| format!("{line}, for its files")));
    moves.extend(removals(old, new));
    moves.extend(pinned(&images(old), &images(new)));
    moves.extend(pinned(&files(old), &files(new)));
    moves.extend(pinned(&repositories(old), &repositories(new)));
    moves.extend(keys(old, new));
    moves.extend(suites(&old.suites, &new.suites));
    moves
}

fn base(old: Option<&LockedBase>, new: Option<&LockedBase>) -> Option<String> {
    match (old, new) {
        (None, None) => None,
        (Some(old), Some(new)) if old.name == new.name && old.digest == new.digest => {
            (old.account != new.account).then(|| format!("~ base {}: its account", new.name))
        }
        (Some(old), Some(new)) if old.name == new.name => {
            Some(changed(format!("base {}", new.name), old.digest, new.digest))
        }
        (old, new) => {
            let name = |base: Option<&LockedBase>| {
                base.map_or_else(|| "scratch".to_owned(), |base| format!("{}@{}", base.name, base.digest))
            };
            Some(changed("base", name(old), name(new)))
        }
    }
}

fn packages(old: &[LockedPackage], new: &[LockedPackage]) -> Vec<String> {
    let (old, new) = (by_name(old), by_name(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).copied().collect();
    names.into_iter().filter_map(|name| package(old.get(name).copied(), new.get(name).copied())).collect()
}

fn by_name(packages: &[LockedPackage]) -> BTreeMap<&String, &LockedPackage> {
    packages.iter().map(|package| (&package.name, package)).collect()
}

fn package(old: Option<&LockedPackage>, new: Option<&LockedPackage>) -> Option<String> {
    match (old, new) {
        (None, None) => None,
        (None, Some(new)) => Some(format!("+ {} {}", new.name, new.version)),
        (Some(old), None) => Some(format!("- {} {}", old.name, old.version)),
        (Some(old), Some(new)) if old.version != new.version => {
            let is_older = version(new) < version(old);
            let remark = if is_older { " (older)" } else { "" };
            Some(format!("{}{remark}", changed(&new.name, &old.version, &new.version)))
        }
        (Some(old), Some(new)) if old.sha256 != new.sha256 => {
            Some(changed(format!("{} {}", new.name, new.version), old.sha256, new.sha256))
        }
        (Some(old), Some(new)) if old.source != new.source || old.built_using != new.built_using => {
            Some(format!("~ {} {}: its sources", new.name, new.version))
        }
        (Some(_), Some(_)) => None,
    }
}

fn version(package: &LockedPackage) -> Option<Version> {
    package.version.parse().ok()
}

fn removals(old: &PlatformLock, new: &PlatformLock) -> Vec<String> {
    let names =
        |lock: &PlatformLock| lock.remove.iter().map(|name| format!("removal of {name}")).collect::<Vec<_>>();
    came_and_went(&names(old), &names(new))
}

fn images(lock: &PlatformLock) -> BTreeMap<String, Digest> {
    let name = |image: &LockedImage| match image.platform == lock.platform {
        true => format!("image {}", image.name),
        false => format!("image {} for {}", image.name, image.platform),
    };
    lock.images.iter().map(|image| (name(image), image.digest)).collect()
}

fn files(lock: &PlatformLock) -> BTreeMap<String, Digest> {
    lock.files.iter().map(|file| (format!("file {}", file.uri), file.digest)).collect()
}

fn repositories(lock: &PlatformLock) -> BTreeMap<String, String> {
    let name = |known: &LockedRepository| {
        format!("repository {} {}", known.uri, known.reference.as_deref().unwrap_or("HEAD"))
    };
    lock.repositories.iter().map(|known| (name(known), known.commit.clone())).collect()
}

fn pinned<T: Display + PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Vec<String> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let moves = names.into_iter().filter_map(|name| match (old.get(name), new.get(name)) {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => Some(changed(name, old, new)),
        (None, Some(_)) => Some(format!("+ {name}")),
        (Some(_), None) => Some(format!("- {name}")),
        (None, None) => None,
    });
    moves.collect()
}

fn keys(old: &PlatformLock, new: &PlatformLock) -> Vec<String> {
    let name = |key: &crate::bom::Key| {
        let identity = key.identities.first().map(|identity| format!(" {identity}")).unwrap_or_default();
        format!("key {}{identity}", key.fingerprint)
    };
    let names = |lock: &PlatformLock| lock.keys.iter().map(name).collect::<Vec<_>>();
    came_and_went(&names(old), &names(new))
}

fn suites(old: &[LockedSuite], new: &[LockedSuite]) -> Vec<String> {
    let name = |suite: &LockedSuite| format!("suite {} {}", suite.uri, suite.suite);
    let names = |suites: &[LockedSuite]| suites.iter().map(name).collect::<Vec<_>>();
    let mut moves = came_and_went(&names(old), &names(new));
    for suite in new {
        let last = old.iter().find(|last| name(last) == name(suite));
        if let Some(last) = last.filter(|last| last.release != suite.release) {
            moves.push(changed(name(suite), &last.date, &suite.date));
        }
    }
    moves
}

fn came_and_went(old: &[String], new: &[String]) -> Vec<String> {
    let came = new.iter().filter(|name| !old.contains(name)).map(|name| format!("+ {name}"));
    let went = old.iter().filter(|name| !new.contains(name)).map(|name| format!("- {name}"));
    came.chain(went).collect()
}

fn changed(what: impl Display, from: impl Display, to: impl Display) -> String {
    format!("~ {what}: {from} → {to}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bom::Key;
    use crate::build::lock::{LockRequest, LockedFile, LockedSource};
    use crate::oci::Platform;

    fn package(name: &str, version: &str) -> LockedPackage {
        LockedPackage {
            name: name.into(),
            version: version.into(),
            architecture: "all".into(),
            sha256: Digest::of(version),
            size: 1,
            uri: String::new(),
            repository: String::new(),
            signed_by: vec![],
            deb: None,
            source: LockedSource { name: name.into(), version: version.into(), files: vec![] },
            built_using: vec![],
        }
    }

    fn lock(day: &str, packages: Vec<LockedPackage>) -> Lock {
        let suite = LockedSuite {
            uri: "http://archive.example".into(),
            suite: "s".into(),
            release: Digest::of(day),
            date: day.into(),
            signed_by: vec![],
        };
        let key = Key { fingerprint: format!("{day}{day}"), identities: vec![], from: "k".into() };
        let base =
            LockedBase { name: "b:1".into(), digest: Digest::of("base"), account: None, sources: vec![] };
        let platform = PlatformLock {
            platform: Platform::host(),
            request: LockRequest::default(),
            base: Some(base),
            suites: vec![suite],
            keys: vec![key],
            packages,
            remove: vec![],
            beside: vec![],
            taken: vec![],
            images: vec![],
            files: vec![],
            repositories: vec![],
        };
        Lock::new(0, vec![platform])
    }

    #[test]
    fn what_came_went_and_moved_is_told() {
        let old = lock("1", vec![package("jq", "1.9-1"), package("libjq", "2"), package("gone", "1")]);
        let new = lock("2", vec![package("libjq", "1"), package("jq", "1.10-1"), package("new", "1")]);
        assert_eq!(
            moves(&old, &new),
            [
                "- gone 1",
                "~ jq: 1.9-1 → 1.10-1",
                "~ libjq: 2 → 1 (older)",
                "+ new 1",
                "+ key 22",
                "- key 11",
                "~ suite http://archive.example s: 1 → 2",
            ]
        );
        assert!(moves(&old, &old).is_empty());
    }

    #[test]
    fn images_and_files_that_steps_need_are_told() {
        let image = |name: &str, content: &str| LockedImage {
            name: name.into(),
            platform: Platform::host(),
            digest: Digest::of(content),
        };
        let mut old = lock("1", vec![]);
        let mut new = old.clone();
        old.platforms[0].images = vec![image("gone:1", "a"), image("tool:1", "a")];
        new.platforms[0].images = vec![image("new:1", "a"), image("tool:1", "b")];
        new.platforms[0].files =
            vec![LockedFile { uri: "https://archive.example/a".into(), digest: Digest::of("a") }];
        assert_eq!(
            moves(&old, &new),
            [
                "- image gone:1".to_owned(),
                "+ image new:1".into(),
                format!("~ image tool:1: {} → {}", Digest::of("a"), Digest::of("b")),
                "+ file https://archive.example/a".into(),
            ]
        );
    }

    #[test]
    fn another_base_and_another_build_of_the_same_version_are_told_by_digest() {
        let old = lock("1", vec![package("jq", "1")]);
        let mut new = old.clone();
        new.platforms[0].packages[0].sha256 = Digest::of("rebuilt");
        new.platforms[0].base.as_mut().unwrap().digest = Digest::of("other");
        new.epoch = 1;
        let shown = [Digest::of("base"), Digest::of("other"), Digest::of("1"), Digest::of("rebuilt")];
        let [base, other, first, rebuilt] = shown;
        assert_eq!(
            moves(&old, &new),
            [
                format!("~ base b:1: {base} → {other}"),
                format!("~ jq 1: {first} → {rebuilt}"),
                "~ epoch: 1970-01-01T00:00:00Z → 1970-01-01T00:00:01Z".to_owned(),
            ]
        );
        new.platforms[0].base = None;
        assert_eq!(moves(&old, &new)[0], format!("~ base: b:1@{base} → scratch"));
    }
}
