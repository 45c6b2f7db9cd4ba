//! Where a file came from, in words.

use super::FileSource;

impl FileSource {
    /// Returns what the file was taken out of, and what that was made from.
    pub(super) fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.dockerfile.then(|| "text in the Dockerfile".to_owned()));
        words.extend(self.context.as_ref().map(|context| {
            let name = context.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
            let unknown = if context.unversioned { " (of no known commit)" } else { "" };
            format!("context{name}: {}{unknown}", context.path)
        }));
        words.extend(
            self.tarball
                .as_ref()
                .map(|tarball| format!("tarball {} ({}): {}", tarball.name, tarball.digest, tarball.member)),
        );
        words.extend(self.package.as_ref().map(|package| {
            format!("package {} {} ({}): {}", package.name, package.version, package.digest, package.member)
        }));
        words.extend(self.image.as_ref().map(|image| format!("image {}: {}", image.name, image.path)));
        words.extend(self.step.as_ref().map(|file| {
            let step = &file.step;
            format!(
                "step {}, {} ({}): {}",
                step.name, step.dockerfile.path, step.dockerfile.digest, file.path
            )
        }));
        words.extend(self.url.as_ref().map(|url| format!("address {} ({})", url.uri, url.digest)));
        words.extend(self.git.as_ref().map(|git| {
            let how = if git.verified { "verified" } else { "as declared" };
            format!("commit {} of {}, {how}", git.reference, git.repository_uri)
        }));
        words
    }
}
