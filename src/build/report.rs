//! The closing summary of a build, for people.

use super::cache::Fate;
use super::{Built, Destination};
use crate::progress::{Progress, size};
use crate::registry::{Location, Pushed};

/// Says what was built, what was known before, and where it is now.
pub fn summary(built: &Built, destination: &Destination, progress: &Progress) {
    summary_of(built, &place(destination), progress);
}

/// Says what was built, what was known before, and that it is now at `place`.
pub fn summary_of(built: &Built, place: &str, progress: &Progress) {
    let n_built = built.fates.iter().filter(|(_, fate)| *fate == Fate::Built).count();
    let n_known = built.fates.len() - n_built;
    progress.say("");
    if built.was_known {
        progress.say("nothing changed: no layer was built, downloaded or uploaded");
    } else if built.published.was_there {
        progress.say("nothing changed: the tag stood for this image already");
    }
    progress.say(format!("image   {place}"));
    progress.say(format!("digest  {}", built.published.manifest.digest));
    for (layer, pushed) in &built.published.layers {
        progress.say(format!(
            "layer   sha256:{} {} {}",
            layer.digest.short(),
            size(layer.size),
            told(*pushed)
        ));
    }
    progress.say(format!("steps   {n_built} built, {n_known} cached"));
    progress.say(format!(
        "bom     {} packages, {} files, {} keys; {}",
        built.document.installed().len(),
        built.document.changeset.files.len(),
        built.document.keys.len(),
        built.bom
    ));
    for withheld in &built.document.changeset.withheld {
        progress.say(format!("withheld {}: {}", withheld.path, withheld.what));
    }
}

fn place(destination: &Destination) -> String {
    let tags = destination.tags.join(" ");
    match &destination.location {
        Location::Remote(reference) => format!("{}:{tags}", reference.name()),
        Location::Layout { directory, .. } => format!("oci:{}:{tags}", directory.display()),
    }
}

fn told(pushed: Pushed) -> &'static str {
    match pushed {
        Pushed::Existed => "already there",
        Pushed::Mounted => "mounted",
        Pushed::Uploaded => "written",
    }
}
