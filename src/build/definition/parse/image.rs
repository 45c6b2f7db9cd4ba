//! `image "product" { … }`: base, files, links, removals, users, configuration.

use std::collections::BTreeMap;
use std::ops::Range;

use hcl_edit::expr::Expression;
use hcl_edit::structure::Block;

use super::fields::{Fields, label, no_label};
use super::origin::all_or_none;
use super::reader::{Reader, Text};
use super::{apt, check, file};
use crate::bom::{Format, Formats};
use crate::build::definition::{Base, ImageBlock, ImageConfig, Spanned, Symlink, User};

/// Reads what is in `image "product" { … }`.
pub(super) fn image(reader: &mut Reader<'_>, block: &Block, product_name: Text) -> Option<ImageBlock> {
    let mut fields = Fields::of("`image`", &block.body);
    let base = base(reader, &mut fields);
    let apt = apt::apt(reader, &fields.blocks("apt"));
    let mut paths = BTreeMap::new();
    let files = labelled(reader, &fields.blocks("file"), FILE, |reader, block, name| {
        let path = check::absolute_path(reader, "path", &name);
        // Several may land in one directory.
        if let Some(path) = path.as_ref().filter(|path| !path.ends_with('/')) {
            reader.unique(&mut paths, "path", &name.with(path.value.clone()));
        }
        // What stands in the block is read however wrong its label is: all mistakes are told at once.
        file::file(reader, block, path)
    });
    let symlinks = labelled(reader, &fields.blocks("symlink"), SYMLINK, |reader, block, name| {
        let path = check::absolute_path(reader, "path", &name);
        if let Some(path) = &path {
            reader.unique(&mut paths, "path", &name.with(path.value.clone()));
        }
        symlink(reader, block, path)
    });
    let mut names = BTreeMap::new();
    let users = labelled(reader, &fields.blocks("user"), USER, |reader, block, name| {
        let is_name = check::user_name(reader, &name).is_some();
        reader.unique(&mut names, "user", &name);
        user(reader, block, name).filter(|_| is_name)
    });
    let removes = removes(reader, fields.attribute("remove"));
    let config = config(reader, &mut fields);
    let bom_formats = bom_formats(reader, fields.attribute("bom_formats"));
    fields.finish(reader);
    Some(ImageBlock {
        product_name: product_name.spanned(),
        base: base?,
        apt,
        files,
        symlinks,
        removes,
        users,
        config,
        bom_formats,
    })
}

const FILE: &str = "file \"/path/in/the/image\" { … }";
const SYMLINK: &str = "symlink \"/path/in/the/image\" { target = \"…\" }";
const USER: &str = "user \"name\" { uid = 1000 }";

/// Reads blocks that have a name; what was wrong is left out.
fn labelled<T>(
    reader: &mut Reader<'_>,
    blocks: &[&Block],
    example: &str,
    mut read: impl FnMut(&mut Reader<'_>, &Block, Text) -> Option<T>,
) -> Vec<T> {
    let mut all = Vec::with_capacity(blocks.len());
    for block in blocks {
        if let Some(name) = label(reader, block, example) {
            all.extend(read(reader, block, name));
        }
    }
    all
}

/// Reads either dialect of `base_image`; without one the image begins from scratch.
fn base(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Base> {
    let attribute = fields.attribute("base_image");
    let block = fields.block(reader, "base_image", "an image has one base");
    match (attribute, block) {
        (None, None) => Some(Base::Scratch),
        (Some(expression), None) => {
            let text = reader.text("`base_image`", expression)?;
            base_of(reader, &text.span.clone(), &text)
        }
        (None, Some(block)) => base_block(reader, block),
        (Some(_), Some(block)) => {
            base_block(reader, block);
            let hint = "keep the attribute: base_image = \"name:tag\", or the block: base_image { … }";
            reader.mistake(reader.span(&block.ident), "`base_image` is written in both ways", hint)
        }
    }
}

fn base_of(reader: &mut Reader<'_>, span: &Range<usize>, text: &Text) -> Option<Base> {
    if text.value == "scratch" {
        return Some(Base::Scratch);
    }
    refuse_layout(reader, text)?;
    check::reference(reader, span, text).map(Base::Image)
}

/// Refuses what the command line would take for a directory, and a registry for an image called `oci`.
fn refuse_layout(reader: &mut Reader<'_>, text: &Text) -> Option<()> {
    if !text.value.starts_with("oci:") {
        return Some(());
    }
    let hint = "building upon an OCI layout is not built yet: push the base to a registry, and name it there";
    reader.mistake(text.span.clone(), "a base cannot be a directory", hint)
}

/// Reads `base_image { name = "…" ref = "tag or digest" }`.
fn base_block(reader: &mut Reader<'_>, block: &Block) -> Option<Base> {
    no_label(reader, block);
    let place = reader.span(&block.ident);
    let mut fields = Fields::of("`base_image`", &block.body);
    let name =
        fields.required(reader, &place, "name", "write: base_image { name = \"debian\" ref = \"bookworm\" }");
    let name = name.and_then(|expression| {
        let text = reader.text("`name`", expression)?;
        check::filled(reader, "`name`", text.clone()).map(|_| text)
    });
    let tag = fields.attribute("ref").map(|expression| {
        let text = reader.text("`ref`", expression)?;
        check::filled(reader, "`ref`", text.clone()).map(|_| text)
    });
    fields.finish(reader);
    let (name, tag) = (name?, all_or_none(tag)?);
    let Some(tag) = tag else { return base_of(reader, &name.span.clone(), &name) };
    if name.value == "scratch" {
        return reader.mistake(tag.span, "`scratch` has no `ref`: it is no image", "leave `ref` out");
    }
    refuse_layout(reader, &name)?;
    let separator = if tag.value.contains(':') { '@' } else { ':' };
    let full = format!("{}{separator}{}", name.value, tag.value);
    let full = Text { value: full, is_literal: name.is_literal && tag.is_literal, span: name.span };
    check::reference(reader, &(full.span.start..tag.span.end.max(full.span.end)), &full).map(Base::Image)
}

fn symlink(reader: &mut Reader<'_>, block: &Block, path: Option<Spanned<String>>) -> Option<Symlink> {
    let place = reader.span(&block.ident);
    let path = path.and_then(|path| match path.ends_with('/') {
        true => {
            let hint = "write the path of the link itself";
            reader.mistake(path.span, "a `symlink` cannot end in `/`", hint)
        }
        false => Some(path),
    });
    let mut fields = Fields::of("`symlink`", &block.body);
    let target = fields.required(reader, &place, "target", "write where it leads: target = \"…\"");
    let target = target.and_then(|expression| {
        let text = reader.text("`target`", expression)?;
        check::filled(reader, "`target`", text)
    });
    fields.finish(reader);
    Some(Symlink { path: path?, target: target? })
}

fn user(reader: &mut Reader<'_>, block: &Block, name: Text) -> Option<User> {
    let mut fields = Fields::of("`user`", &block.body);
    let uid = fields.attribute("uid").map(|expression| reader.number("`uid`", expression, check::MAX_ID));
    let gid = fields.attribute("gid").map(|expression| reader.number("`gid`", expression, check::MAX_ID));
    let home = fields.attribute("home").map(|expression| path(reader, "`home`", expression));
    fields.finish(reader);
    let (uid, gid, home) = (all_or_none(uid)?, all_or_none(gid)?, all_or_none(home)?);
    Some(User { name: name.spanned(), uid, gid, home })
}

fn removes(reader: &mut Reader<'_>, expression: Option<&Expression>) -> Vec<Spanned<String>> {
    let mut seen = BTreeMap::new();
    let mut removes = Vec::new();
    let texts = expression.and_then(|expression| reader.texts("`remove`", expression));
    for text in texts.unwrap_or_default() {
        let Some(path) = check::absolute_path(reader, "path to remove", &text) else { continue };
        reader.unique(&mut seen, "path to remove", &text.with(path.value.clone()));
        if path.value == "/" {
            reader.mistake::<()>(
                text.span.clone(),
                "cannot remove `/`: it is the whole image",
                "write what in it",
            );
        }
        removes.extend(check::glob(reader, "path to remove", path.clone(), &text).map(|_| path));
    }
    removes
}

fn config(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> ImageConfig {
    ImageConfig {
        env: env(reader, fields.attribute("env")),
        entrypoint: command(reader, "`entrypoint`", fields.attribute("entrypoint")),
        cmd: command(reader, "`cmd`", fields.attribute("cmd")),
        volumes: distinct(reader, "`volumes`", "volume", fields.attribute("volumes"), |reader, text| {
            Some(check::absolute_path(reader, "volume", text)?.value)
        }),
        ports: distinct(reader, "`ports`", "port", fields.attribute("ports"), check::port),
        labels: labels(reader, fields.attribute("labels")),
        stop_signal: stop_signal(reader, fields),
        run_as: fields.attribute("run_as").and_then(|expression| {
            let text = reader.text("`run_as`", expression)?;
            check::run_as(reader, text)
        }),
        workdir: fields.attribute("workdir").and_then(|expression| path(reader, "`workdir`", expression)),
    }
}

fn bom_formats(reader: &mut Reader<'_>, expression: Option<&Expression>) -> Option<Formats> {
    let formats = distinct(reader, "`bom_formats`", "format", Some(expression?), |reader, text| {
        text.value.parse().ok().or_else(|| {
            let hint = format!("expected {}", Format::names());
            reader.mistake(text.span.clone(), text.named("unknown format"), hint)
        })
    });
    Some(Formats::of(formats))
}

fn path(reader: &mut Reader<'_>, what: &str, expression: &Expression) -> Option<String> {
    let text = reader.text(what, expression)?;
    Some(check::absolute_path(reader, what, &text)?.value)
}

fn env(reader: &mut Reader<'_>, expression: Option<&Expression>) -> Vec<(String, String)> {
    let pairs = expression.and_then(|expression| reader.map("`env`", expression)).unwrap_or_default();
    for (name, value) in &pairs {
        if name.value.is_empty() || name.value.contains(['=', '\0']) || value.value.contains('\0') {
            let message = name.named("invalid environment variable");
            reader.mistake::<()>(
                name.span.clone(),
                message,
                "its name isn't empty and has no `=`; neither has a NUL",
            );
        }
    }
    pairs.into_iter().map(|(name, value)| (name.value, value.value)).collect()
}

fn command(reader: &mut Reader<'_>, what: &str, expression: Option<&Expression>) -> Option<Vec<String>> {
    let texts = reader.texts(what, expression?)?;
    if texts.first().is_some_and(|first| first.value.is_empty()) && what == "`entrypoint`" {
        let span = texts[0].span.clone();
        return reader.mistake(
            span,
            "the first word of `entrypoint` is empty",
            "write a program, or `[]` for none",
        );
    }
    Some(texts.into_iter().map(|text| text.value).collect())
}

fn labels(reader: &mut Reader<'_>, expression: Option<&Expression>) -> BTreeMap<String, String> {
    let pairs = expression.and_then(|expression| reader.map("`labels`", expression)).unwrap_or_default();
    for (name, _) in &pairs {
        if name.value.trim().is_empty() {
            reader.mistake::<()>(
                name.span.clone(),
                "the name of a label is empty",
                "write a name, or leave it out",
            );
        }
    }
    pairs.into_iter().map(|(name, value)| (name.value, value.value)).collect()
}

/// Reads a list in which nothing comes twice.
fn distinct<T: ToString>(
    reader: &mut Reader<'_>,
    what: &str,
    element: &str,
    expression: Option<&Expression>,
    check: impl Fn(&mut Reader<'_>, &Text) -> Option<T>,
) -> Vec<T> {
    let mut seen = BTreeMap::new();
    let texts = expression.and_then(|expression| reader.texts(what, expression)).unwrap_or_default();
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        if let Some(value) = check(reader, &text) {
            reader.unique(&mut seen, element, &text.with(value.to_string()));
            all.push(value);
        }
    }
    all
}

/// Reads `stop_signal`, which the original wrote `stopsignal`. Any name is taken: systems differ.
fn stop_signal(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<String> {
    let (ours, original) = (fields.attribute("stop_signal"), fields.attribute("stopsignal"));
    if let (Some(_), Some(original)) = (ours, original) {
        let message = "`stop_signal` is written twice: `stopsignal` is the same";
        return reader.mistake(reader.span(original), message, "keep `stop_signal`");
    }
    let text = reader.text("`stop_signal`", ours.or(original)?)?;
    Some(check::filled(reader, "`stop_signal`", text)?.value)
}
