//! `file "/path" { … }`: one `from_…`, a mode, an owner.

use hcl_edit::structure::Block;

use super::check;
use super::fields::{Fields, label, no_label};
use super::origin::{self, all_or_none};
use super::reader::{Reader, Text};
use crate::build::definition::{FileBlock, FileOrigin, Glob, Spanned};

const ORIGINS: &str = "write one of from_step, from_tarball, from_image, from_package, from_context";

/// Reads what is in `file "path" { … }`.
pub(super) fn file(
    reader: &mut Reader<'_>,
    block: &Block,
    path: Option<Spanned<String>>,
) -> Option<FileBlock> {
    let mut fields = Fields::of("`file`", &block.body);
    let origin = file_origin(reader, &mut fields, block);
    let mode = fields.attribute("mode").map(|expression| check::mode(reader, expression));
    let owner = fields.attribute("owner").map(|expression| {
        let text = reader.text("`owner`", expression)?;
        check::owner(reader, "invalid owner", &text)
    });
    fields.finish(reader);
    Some(FileBlock { path: path?, origin: origin?, mode: all_or_none(mode)?, owner: all_or_none(owner)? })
}

fn file_origin(reader: &mut Reader<'_>, fields: &mut Fields<'_>, block: &Block) -> Option<FileOrigin> {
    let mut blocks = Vec::new();
    for name in ["from_step", "from_tarball", "from_image", "from_package", "from_context"] {
        blocks.extend(fields.blocks(name));
    }
    blocks.sort_by_key(|block| reader.span(&block.ident).start);
    let read: Vec<Option<FileOrigin>> = blocks.iter().map(|block| one_origin(reader, block)).collect();
    match blocks.as_slice() {
        [] => reader.mistake(reader.span(&block.ident), "`file` says no origin", ORIGINS),
        [_] => read.into_iter().next().flatten(),
        [first, second, ..] => {
            let message = format!(
                "`file` says two origins: `{}` and `{}`",
                first.ident.as_str(),
                second.ident.as_str()
            );
            reader.mistake(
                reader.span(&second.ident),
                message,
                "keep one of them; another file has its own `file` block",
            )
        }
    }
}

fn one_origin(reader: &mut Reader<'_>, block: &Block) -> Option<FileOrigin> {
    match block.ident.as_str() {
        "from_step" => from_step(reader, block),
        "from_tarball" => from_tarball(reader, block),
        "from_image" => from_image(reader, block),
        "from_package" => from_package(reader, block),
        _ => from_context(reader, block),
    }
}

fn from_step(reader: &mut Reader<'_>, block: &Block) -> Option<FileOrigin> {
    let step = label(reader, block, "from_step \"name\" { path = \"/…\" }");
    let path = path(reader, Fields::of("`from_step`", &block.body), block, check::absolute_path);
    Some(FileOrigin::Step { step: step?.spanned(), path: path? })
}

fn from_tarball(reader: &mut Reader<'_>, block: &Block) -> Option<FileOrigin> {
    let tarball = label(reader, block, "from_tarball \"path.tgz\" { path = \"…\" }");
    let tarball = tarball.and_then(|text| check::relative_path(reader, "path", &text));
    let path = path(reader, Fields::of("`from_tarball`", &block.body), block, check::relative_path);
    Some(FileOrigin::Tarball { tarball: tarball?, path: path? })
}

fn from_image(reader: &mut Reader<'_>, block: &Block) -> Option<FileOrigin> {
    let name = label(reader, block, "from_image \"registry.example/app:1\" { path = \"/…\" }");
    let reference = name.and_then(|text| check::reference(reader, &text.span.clone(), &text));
    let path = path(reader, Fields::of("`from_image`", &block.body), block, check::absolute_path);
    Some(FileOrigin::Image { reference: reference?, path: path? })
}

fn from_package(reader: &mut Reader<'_>, block: &Block) -> Option<FileOrigin> {
    let package = label(reader, block, "from_package \"name\" { path = \"/…\" }");
    let package = package.filter(|text| check::package_name(reader, text).is_some());
    let path = path(reader, Fields::of("`from_package`", &block.body), block, check::absolute_path);
    Some(FileOrigin::Package { package: package?.spanned(), path: path? })
}

fn from_context(reader: &mut Reader<'_>, block: &Block) -> Option<FileOrigin> {
    no_label(reader, block);
    let mut fields = Fields::of("`from_context`", &block.body);
    let vcs = origin::vcs(reader, &mut fields);
    let path = path(reader, fields, block, check::relative_path);
    Some(FileOrigin::Context { path: path?, vcs: vcs? })
}

/// Reads `path`, the last thing there is to read in a `from_…`.
fn path(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_>,
    block: &Block,
    check: impl Fn(&mut Reader<'_>, &str, &Text) -> Option<Spanned<String>>,
) -> Option<Spanned<String>> {
    let place = reader.span(&block.ident);
    let path = fields.required(reader, &place, "path", "write which file it is: path = \"…\"").and_then(
        |expression| {
            let text = reader.text("`path`", expression)?;
            let path = check(reader, "`path`", &text)?;
            if Glob::is_pattern(&path.value) {
                super::check::glob(reader, "`path`", path.clone(), &text)?;
            }
            Some(path)
        },
    );
    fields.finish(reader);
    path
}
