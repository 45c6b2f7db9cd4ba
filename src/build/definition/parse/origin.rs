//! Where things come from: `vcs`, `url` + `sha256`, `source_file`, and the steps and tarballs that hold them.

use std::collections::BTreeMap;
use std::ops::Range;

use hcl_edit::structure::Block;

use super::check;
use super::fields::{Fields, label};
use super::reader::{Reader, Text};
use crate::build::definition::{Download, SourceFile, SourceOrigin, Spanned, Step, Tarball, Vcs, VcsKind};

const VCS_EXAMPLE: &str = "vcs \"git\" { repository = \"…\" ref = \"…\" }";

/// Reads `step "name" { … }`.
pub(super) fn step(reader: &mut Reader<'_>, block: &Block, name: Text) -> Option<Step> {
    let mut fields = Fields::of("`step`", &block.body);
    let dockerfile = path_or(reader, &mut fields, "dockerfile", "Dockerfile", &name);
    let context = path_or(reader, &mut fields, "context", ".", &name);
    let target = fields.attribute("target").map(|expression| {
        let text = reader.text("`target`", expression)?;
        check::filled(reader, "`target`", text)
    });
    let args = fields.attribute("args").map(|expression| reader.map("`args`", expression));
    let source_files =
        source_files(reader, &mut fields, |reader, text| check::absolute_path(reader, "path", text));
    fields.finish(reader);
    Some(Step {
        name: name.spanned(),
        dockerfile: dockerfile?,
        target: all_or_none(target)?,
        context: context?,
        args: all_or_none(args)?.unwrap_or_default().into_iter().map(|(k, v)| (k.value, v.value)).collect(),
        source_files: source_files?,
    })
}

/// Reads `tarball "path" { … }`.
pub(super) fn tarball(reader: &mut Reader<'_>, block: &Block, path: Spanned<String>) -> Option<Tarball> {
    let mut fields = Fields::of("`tarball`", &block.body);
    let source_files =
        source_files(reader, &mut fields, |reader, text| check::relative_path(reader, "path", text));
    fields.finish(reader);
    Some(Tarball { path, source_files: source_files? })
}

/// Turns "there and bad" into nothing, and leaves "not there" and "there and good" apart.
pub(super) fn all_or_none<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn path_or(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    name: &'static str,
    default: &str,
    place: &Text,
) -> Option<Spanned<String>> {
    let Some(expression) = fields.attribute(name) else {
        return Some(place.with(default).spanned());
    };
    let what = format!("`{name}`");
    let text = reader.text(&what, expression)?;
    check::relative_path(reader, &what, &text)
}

fn source_files(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    path: impl Fn(&mut Reader<'_>, &Text) -> Option<Spanned<String>>,
) -> Option<Vec<SourceFile>> {
    let mut seen = BTreeMap::new();
    let mut read = Vec::new();
    for block in fields.blocks("source_file") {
        let origin = source_origin(reader, block);
        let label = label(reader, block, "source_file \"path or pattern\" { … }");
        let pattern = label.and_then(|text| {
            let path = path(reader, &text)?;
            reader.unique(&mut seen, "source file", &text.with(path.value.clone()));
            check::glob(reader, "path", path, &text)
        });
        read.push(origin.zip(pattern).map(|(origin, pattern)| SourceFile { pattern, origin }));
    }
    read.into_iter().collect()
}

fn source_origin(reader: &mut Reader<'_>, block: &Block) -> Option<SourceOrigin> {
    let place = reader.span(&block.ident);
    let mut fields = Fields::of("`source_file`", &block.body);
    let n_vcs = block.body.get_blocks("vcs").count();
    let vcs = vcs(reader, &mut fields);
    let download = download(reader, &mut fields, &place);
    fields.finish(reader);
    let hint = format!("write `{VCS_EXAMPLE}`, or `url` and `sha256`");
    match (n_vcs, vcs, download) {
        (0, _, None) => reader.mistake(place, "`source_file` says no origin", hint),
        (0, _, Some(download)) => download.map(SourceOrigin::Url),
        (_, _, Some(_)) => {
            reader.mistake(place, "`source_file` says two origins: `vcs` and `url`", "keep one of them")
        }
        (_, vcs, None) => vcs?.map(SourceOrigin::Vcs),
    }
}

/// Reads `url` and `sha256`, of which both or none are there.
pub(super) fn download(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    place: &Range<usize>,
) -> Option<Option<Download>> {
    let url = fields.attribute("url");
    let sha256 = fields.attribute("sha256");
    match (url, sha256) {
        (None, None) => None,
        (Some(url), Some(sha256)) => {
            let url = reader.text("`url`", url).and_then(|text| check::url(reader, "`url`", text));
            let sha256 = reader.text("`sha256`", sha256).and_then(|text| check::sha256(reader, &text));
            Some(url.zip(sha256).map(|(url, sha256)| Download { url, sha256 }))
        }
        (Some(url), None) => {
            let hint = "write what the bytes must be: sha256 = \"…\" (64 hexadecimal digits)";
            Some(reader.mistake(reader.span(url), "`url` has no `sha256`", hint))
        }
        (None, Some(_)) => Some(reader.mistake(
            place.clone(),
            "`sha256` has no `url`",
            "write where it is fetched from: url = \"https://…\"",
        )),
    }
}

/// Reads `vcs "git" { … }`, if there is one.
pub(super) fn vcs(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Option<Vcs>> {
    let Some(block) = fields.block(reader, "vcs", "a thing has one source; keep one of them") else {
        return Some(None);
    };
    let kind = vcs_kind(reader, block);
    let place = reader.span(&block.ident);
    let hint = format!("write: {VCS_EXAMPLE}");
    let mut fields = Fields::of("`vcs`", &block.body);
    let repository = fields.required(reader, &place, "repository", &hint).and_then(|expression| {
        let text = reader.text("`repository`", expression)?;
        check::filled(reader, "`repository`", text)
    });
    let reference = fields.required(reader, &place, "ref", &hint).and_then(|expression| {
        let text = reader.text("`ref`", expression)?;
        // What a variable left empty is unknown; what is written empty is forgotten.
        if text.is_literal { check::filled(reader, "`ref`", text) } else { Some(text.spanned()) }
    });
    fields.finish(reader);
    Some(Some(Vcs { kind: kind?, repository: repository?, reference: reference? }))
}

fn vcs_kind(reader: &mut Reader<'_>, block: &Block) -> Option<VcsKind> {
    let text = label(reader, block, VCS_EXAMPLE)?;
    match text.value.as_str() {
        "git" => Some(VcsKind::Git),
        _ => {
            let message = text.named("unknown kind of repository");
            reader.mistake(text.span, message, format!("only git is known: {VCS_EXAMPLE}"))
        }
    }
}
