//! What stands above everything else: what the account is of, how much there is, and what it can't tell.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::super::shown::markup;
use super::super::{Document, Package};

/// Returns the page's head.
pub(super) fn header(document: &Document) -> String {
    let mut html = format!(
        "<header>\n<p class=\"above\">Bill of materials</p>\n<h1>{}</h1>\n<dl class=\"facts\">\n",
        markup(&document.product_name)
    );
    for (name, value) in facts(document) {
        let _ = writeln!(html, "<dt>{name}</dt><dd class=\"code\">{}</dd>", markup(&value));
    }
    html.push_str("</dl>\n<ul class=\"counts\">\n");
    for (number, one, several) in counts(document) {
        let _ = writeln!(html, "<li><b>{number}</b> {}</li>", if number == 1 { one } else { several });
    }
    html.push_str("</ul>\n</header>\n");
    html
}

fn facts(document: &Document) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(image) = &document.image {
        facts.push(("Image", image.digest.to_string()));
        facts.push(("Platform", image.platform.clone()));
    }
    facts.push(("Created", document.created.clone()));
    facts.push(("Built by", document.built_by.clone()));
    facts.push((
        "Base",
        document.base_image.as_ref().map_or("none".into(), |base| base.canonical_name.clone()),
    ));
    if let Some(base) = &document.base_image {
        let system = [base.os.as_str(), &base.version, &base.codename];
        facts.push(("System", system.join(" ").trim().to_owned()));
    }
    facts.push(("Definition", document.definition.to_string()));
    facts.push(("Lock", document.lock.to_string()));
    facts
        .extend(document.dockerfile.iter().filter_map(|file| Some(("Dockerfile", file.digest?.to_string()))));
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn counts(document: &Document) -> Vec<(usize, &'static str, &'static str)> {
    let installed = document.installed();
    let own = document.layers.iter().filter(|layer| !layer.is_base);
    let counts = [
        (document.layers.len(), "layer", "layers"),
        (installed.len(), "package", "packages"),
        (document.changeset.files.len(), "file added by itself", "files added one by one"),
        (own.map(|layer| layer.paths().count()).sum(), "path in added layers", "paths in added layers"),
        (licences(&installed).len(), "licence", "licences"),
        (document.components.len(), "component inside files", "components inside files"),
        (document.keys.len(), "key", "keys"),
    ];
    counts.into_iter().filter(|(number, _, _)| *number > 0).collect()
}

fn licences<'a>(packages: &[&'a Package]) -> BTreeSet<&'a str> {
    packages.iter().filter_map(|package| Some(package.licence.as_ref()?.expression.as_str())).collect()
}

/// Says plainly what the account leaves open, and what is not as one might think.
pub(super) fn notices(document: &Document) -> String {
    let changes = &document.changeset;
    let unread = document.incomplete.iter().map(|part| format!("{}: {}", part.path, part.why));
    let withheld = changes.withheld.iter().map(|gone| format!("{}: {}", gone.path, gone.what));
    let replaced = changes.replaced_base_packages.iter();
    let replaced = replaced.map(|package| format!("{} {}", package.name, package.version));
    [
        said("What these files are made of could not be told, or not all of it:", unread),
        said("Scripts of packages generated these for one machine alone; they were taken out:", withheld),
        said("Packages of the base that were replaced or removed:", replaced),
    ]
    .concat()
}

fn said(what: &str, items: impl Iterator<Item = String>) -> String {
    const MOST_SHOWN: usize = 5;
    let rows: Vec<String> = items.map(|item| format!("<li class=\"code\">{}</li>", markup(&item))).collect();
    let (n_items, rows) = (rows.len(), format!("<ul>{}</ul>", rows.concat()));
    if n_items == 0 {
        return String::new();
    }
    match n_items > MOST_SHOWN {
        true => format!("<details class=\"notice\"><summary>{what} {n_items}</summary>{rows}</details>\n"),
        false => format!("<div class=\"notice\" role=\"note\"><p>{what}</p>{rows}</div>\n"),
    }
}
