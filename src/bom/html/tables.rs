//! The account as plain tables: for paper, and for browsers that run no scripts.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::shown::markup;
use super::super::{BasePackage, Document, File, SourceFile, Voucher};

/// In letters.
const LONG_WORD: usize = 24;

/// Returns all tables that have rows.
pub(super) fn tables(document: &Document) -> String {
    let changes = &document.changeset;
    let mut html = String::new();
    let added = changes.packages.iter().map(|added| package_row(&added.into(), "added"));
    let found = changes.found_packages.iter().map(|found| package_row(&found.into(), "by a command"));
    let base = document.kept_base_packages().map(|package| package_row(package, "base"));
    let columns = ["Package", "Version", "Source", "Licence", "From", "Vouched for by", ".deb"];
    table(&mut html, "Packages", &columns, added.chain(found).chain(base));
    table(
        &mut html,
        "Files added one by one",
        &["Path", "Size", "Mode", "Digest", "Origin"],
        document.files().map(file_row),
    );
    table(&mut html, "Licences", &["Licence", "Packages", "Copyright holders"], licences(document));
    table(&mut html, "Sources", &["Source", "File", "Digest", "Address"], sources(document));
    let keys = document
        .keys
        .iter()
        .map(|key| vec![key.fingerprint.clone(), key.identities.join("\n"), key.from.clone()]);
    table(&mut html, "Keys", &["Fingerprint", "Whose", "From"], keys);
    let inside = document.components.iter().map(|component| {
        let place = [&[component.path.clone()][..], &component.within].concat().join(" ! ");
        vec![
            component.name.clone(),
            component.version.clone(),
            component.licence.clone().unwrap_or_default(),
            place,
        ]
    });
    table(&mut html, "Components inside files", &["Component", "Version", "Licence", "File"], inside);
    let users =
        changes.users.iter().map(|user| vec![user.name.clone(), user.uid.to_string(), user.gid.to_string()]);
    table(&mut html, "Users that were made", &["User", "Number", "Group"], users);
    let done = changes.instructions.iter().map(|done| {
        vec![done.instruction.clone(), done.layer.map(|layer| layer.to_string()).unwrap_or_default()]
    });
    table(&mut html, "Instructions", &["Instruction", "Layer"], done);
    html
}

/// A cell's lines are shown one below the other.
fn table(html: &mut String, title: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = write!(html, "<section><h2>{title}</h2>\n<table>\n<thead><tr>");
    html.extend(columns.iter().map(|column| format!("<th scope=\"col\">{column}</th>")));
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            // Only what is long may break anywhere.
            let is_long = cell.split_whitespace().any(|word| word.chars().count() > LONG_WORD);
            let lines: Vec<String> = cell.lines().map(markup).collect();
            let class = if is_long { " class=\"long\"" } else { "" };
            let _ = write!(html, "<td{class}>{}</td>", lines.join("<br>"));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></section>\n");
}

fn package_row(known: &BasePackage, from: &str) -> Vec<String> {
    let (package, location) = (&known.package, known.location.as_ref());
    vec![
        format!("{} {}", package.name, package.architecture),
        package.version.clone(),
        format!("{} {}", package.source_package, package.source_version),
        package.licence.as_ref().map(|licence| licence.expression.clone()).unwrap_or_default(),
        from.to_owned(),
        vouchers(known),
        location.map(|location| format!("{}\n{}", location.uri, location.digest)).unwrap_or_default(),
    ]
}

fn vouchers(package: &BasePackage) -> String {
    match package.vouched_by {
        Some(Voucher::Definition) => "its digest in the definition".into(),
        Some(Voucher::Context) => "nothing: it lay in the context".into(),
        None => package.signed_by.join("\n"),
    }
}

fn file_row(file: &File) -> Vec<String> {
    let digest = file.digest.to_string();
    vec![
        file.path.clone(),
        file.size.to_string(),
        file.mode.clone(),
        digest,
        file.source.in_words().join("\n"),
    ]
}

fn licences(document: &Document) -> impl Iterator<Item = Vec<String>> {
    let mut licences: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for package in document.installed() {
        let Some(licence) = &package.licence else {
            licences.entry("").or_default().0.push(&package.name);
            continue;
        };
        let (packages, holders) = licences.entry(&licence.expression).or_default();
        packages.push(&package.name);
        holders.extend(licence.holders.iter().map(String::as_str));
    }
    licences.into_iter().map(|(expression, (packages, mut holders))| {
        holders.sort_unstable();
        holders.dedup();
        let expression = if expression.is_empty() { "none is told" } else { expression };
        vec![expression.to_owned(), packages.join(", "), holders.join("\n")]
    })
}

fn sources(document: &Document) -> impl Iterator<Item = Vec<String>> {
    let mut files: BTreeMap<(String, String), &SourceFile> = BTreeMap::new();
    for added in &document.changeset.packages {
        let package = &added.package;
        let name = format!("{} {}", package.source_package, package.source_version);
        files.extend(added.sources.iter().map(|file| ((name.clone(), file.name.clone()), file)));
    }
    for source in document.base_image.iter().flat_map(|base| &base.sources) {
        let name = format!("{} {}", source.source_package, source.source_version);
        files.extend(source.sources.iter().map(|file| ((name.clone(), file.name.clone()), file)));
    }
    files
        .into_iter()
        .map(|((source, name), file)| vec![source, name, file.digest.to_string(), file.uri.clone()])
}
