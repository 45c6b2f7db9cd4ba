//! `out` of an image that was built elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::inputs::Inputs;
use super::protocol::{Metadata, PutRequest, Response, Version};
use super::{policy, reach, tags};
use crate::bom;
use crate::build::World;
use crate::build::prebuilt::{self, Prebuilt};
use crate::dockerfile::{Glob, is_pattern};

/// How many files are looked at for one pattern.
const MAX_CANDIDATES: usize = 100_000;

/// Pushes the image that `pattern` names.
pub(super) async fn put(
    pattern: &str,
    request: &PutRequest,
    sources: &Path,
    world: &World,
) -> Result<Response> {
    let registry = world.open(&reach::location(&request.source, sources)).await?;
    let path = matching(pattern, sources)?;
    let tags = tags::wanted(&request.source, &request.params.tags, sources, &registry).await?;
    let (place, store) = (Inputs::of_put(sources).place(&path)?, world.store.clone());
    let task = world.progress.start(format!("read image {}", path.display()));
    let read = tokio::task::spawn_blocking(move || Prebuilt::open(&place, &store)).await?;
    let image = read.with_context(|| format!("cannot put image {}", path.display()))?;
    task.done(&format!("{}", image.root.digest));
    let policies = policy::of_put(&request.source, &request.params, Inputs::of_put(sources))?;
    image.judge(&policies)?.into_iter().for_each(|untold| world.progress.warn(untold));
    let key = world.signing_key.as_ref();
    prebuilt::push(&image, &registry, &tags, key, &world.progress).await?;
    let mut metadata = vec![
        Metadata::new("repository", &registry.name()),
        Metadata::new("tags", &tags.join(" ")),
        Metadata::new("digest", &image.root.digest),
    ];
    metadata.extend(image.artifact(bom::YAML_MEDIA_TYPE).map(|digest| Metadata::new("bom", &digest)));
    Ok(Response { version: Version { tag: tags[0].clone(), digest: image.root.digest }, metadata })
}

/// Finds the only path that a pattern (as Go's `filepath.Match` has it) means; it is below `sources`.
fn matching(pattern: &str, sources: &Path) -> Result<PathBuf> {
    if !is_pattern(pattern) {
        return Ok(pattern.into());
    }
    let mut found = vec![PathBuf::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        found = step(&found, part, pattern, sources)?;
    }
    found.sort();
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            // Where the input itself is missing, that is said.
            Inputs::of_put(sources).place(Path::new(pattern.split('/').next().unwrap_or_default()))?;
            bail!("cannot put image {pattern}: no file matches")
        }
        several => {
            let names: Vec<String> = several.iter().take(10).map(|path| path.display().to_string()).collect();
            bail!("cannot put image {pattern}: {} files match: {}", several.len(), names.join(", "))
        }
    }
}

/// Returns what `part` of a pattern means in these directories.
fn step(directories: &[PathBuf], part: &str, pattern: &str, sources: &Path) -> Result<Vec<PathBuf>> {
    let glob = Glob::parse(part).with_context(|| format!("cannot put image {pattern}"))?;
    let mut found = Vec::new();
    for directory in directories {
        let Ok(entries) = fs::read_dir(sources.join(directory)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| glob.matches(name)) {
                found.push(directory.join(name));
            }
            if found.len() > MAX_CANDIDATES {
                bail!("cannot put image {pattern}: more than {MAX_CANDIDATES} files match a part of it");
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_one_file() {
        let sources = tempfile::tempdir().unwrap();
        for path in ["image/a-1.tar", "image/b-1.tar", "image/a-2.tar", "other/a-1.tar"] {
            fs::create_dir_all(sources.path().join(path).parent().unwrap()).unwrap();
            fs::write(sources.path().join(path), "").unwrap();
        }
        let shown = |pattern: &str| match matching(pattern, sources.path()) {
            Ok(path) => path.display().to_string(),
            Err(error) => error.to_string(),
        };
        for (pattern, expected) in [
            ("image/b-*.tar", "image/b-1.tar"),
            ("./image/[b]-?.tar", "image/b-1.tar"),
            ("*/a-2.tar", "image/a-2.tar"),
            ("image/c.tar", "image/c.tar"),
            ("image/c*", "cannot put image image/c*: no file matches"),
            ("image/a-*.tar", "cannot put image image/a-*.tar: 2 files match: image/a-1.tar, image/a-2.tar"),
        ] {
            assert_eq!(shown(pattern), expected);
        }
        assert!(shown("gone/*.tar").contains("there is no input gone"));
    }
}
