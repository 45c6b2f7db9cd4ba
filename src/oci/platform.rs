//! The operating system and processor that an image is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A platform in the OCI's words (`linux/arm64/v8`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`; the OCI's `os`.
    pub os: String,
    /// `amd64`, `arm64` …; Go's name, which Debian mostly shares.
    pub architecture: String,
    /// `v7`, `v8` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlatform {
    /// It has another shape.
    #[error(
        "cannot read platform `{0}`: expected os/architecture or os/architecture/variant, as in `linux/amd64`"
    )]
    Shape(String),
    /// It names several.
    #[error(
        "cannot build for `{0}`: an image is built for one platform at a time\nhint: build once for each, with a tag of its own"
    )]
    Several(String),
}

impl Platform {
    /// Returns the platform this program was built for.
    pub fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Platform::of("linux", architecture, None)
    }

    fn of(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        let (os, architecture) = (os.to_owned(), architecture.to_owned());
        Platform { os, architecture, variant: variant.map(str::to_owned) }.normalized()
    }

    /// Returns the platform under the name that everybody uses: `aarch64` and `arm64/v8` are `arm64`, `arm` is `arm/v7`
    /// (`Normalize` of github.com/containerd/platforms).
    pub fn normalized(self) -> Platform {
        let os = self.os.to_lowercase();
        let (architecture, variant) = (self.architecture.to_lowercase(), self.variant.unwrap_or_default());
        let variant = variant.to_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("armel", _) => ("arm", "v6"),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            as_it_is => as_it_is,
        };
        let variant = (!variant.is_empty()).then(|| variant.to_owned());
        Platform { os, architecture: architecture.to_owned(), variant }
    }

    /// Returns Debian's name of the architecture (Debian policy 11.1).
    pub fn debian_architecture(&self) -> &str {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("386", _) => "i386",
            ("arm", Some("v5" | "v6")) => "armel",
            ("arm", _) => "armhf",
            ("ppc64le", _) => "ppc64el",
            (architecture, _) => architecture,
        }
    }

    /// Returns how far something for `self` is from what is wanted: 0 is that itself; none can't stand for it. A processor
    /// also runs what is made for its older variants; where nobody asks for a variant, any will do.
    pub fn distance(&self, wanted: &Platform) -> Option<u32> {
        let (mine, wanted) = (self.clone().normalized(), wanted.clone().normalized());
        if (&mine.os, &mine.architecture) != (&wanted.os, &wanted.architecture) {
            return None;
        }
        match mine.variant == wanted.variant {
            true => Some(0),
            false if wanted.variant.is_none() => Some(mine.level().unwrap_or(1)),
            false => wanted.level()?.checked_sub(mine.level()?),
        }
    }

    /// Returns the number of its variant.
    fn level(&self) -> Option<u32> {
        match (self.architecture.as_str(), &self.variant) {
            (_, Some(variant)) => variant.strip_prefix('v')?.parse().ok(),
            ("amd64", None) => Some(1),
            ("arm64", None) => Some(8),
            (_, None) => None,
        }
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    /// Reads `os/architecture`, with a variant where it matters; an architecture alone is Linux'. It is normalized.
    fn from_str(text: &str) -> Result<Platform, InvalidPlatform> {
        let shown = || text.chars().take(300).collect();
        if text.contains(',') {
            return Err(InvalidPlatform::Several(shown()));
        }
        let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty() || !part.chars().all(is_good)) {
            return Err(InvalidPlatform::Shape(shown()));
        }
        let platform = match parts.as_slice() {
            ["linux"] => Platform::host(),
            [architecture] => Platform::of("linux", architecture, None),
            [os, architecture] => Platform::of(os, architecture, None),
            [os, architecture, variant] => Platform::of(os, architecture, Some(variant)),
            _ => return Err(InvalidPlatform::Shape(shown())),
        };
        Ok(platform)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_one_name() {
        for (written, name) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("Linux/RISCV64", "linux/riscv64"),
        ] {
            assert_eq!(written.parse::<Platform>().unwrap().to_string(), name);
        }
        assert_eq!("linux".parse::<Platform>().unwrap(), Platform::host());
    }

    #[test]
    fn what_is_no_platform_is_refused_and_so_are_several() {
        for text in ["", "linux/", "/amd64", "linux/a/b/c", "linux/a b", "linux/$ARCH"] {
            assert!(matches!(text.parse::<Platform>(), Err(InvalidPlatform::Shape(_))), "{text}");
        }
        let several = "linux/amd64,linux/arm64".parse::<Platform>().unwrap_err();
        assert!(several.to_string().contains("one platform at a time"), "{several}");
    }

    #[test]
    fn a_processor_runs_what_is_made_for_its_older_variants() {
        for (offered, wanted, distance) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64/v2", "linux/amd64", Some(2)),
            ("linux/amd64", "linux/amd64/v3", Some(2)),
            ("linux/amd64/v4", "linux/amd64/v3", None),
            ("linux/arm64/v8", "linux/arm64", Some(0)),
            ("linux/arm/v6", "linux/arm", Some(1)),
            ("linux/arm/v7", "linux/arm/v6", None),
            ("linux/arm64", "linux/amd64", None),
            ("windows/amd64", "linux/amd64", None),
        ] {
            let parse = |text: &str| text.parse::<Platform>().unwrap();
            assert_eq!(parse(offered).distance(&parse(wanted)), distance, "{offered} for {wanted}");
        }
    }
}
