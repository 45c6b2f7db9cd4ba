//! HCL → [`Definition`]: the whole text, top to bottom; what each block holds is read in the rooms below.
//!
//! The text is parsed by `hcl-edit`, which knows the place of everything, and lowered by hand; single
//! expressions are evaluated by `hcl-rs`. A part that is wrong is reported and left out, and the rest
//! is read all the same, so that every mistake is found.

use std::collections::BTreeMap;
use std::ops::Range;

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body};

use super::diagnostic::boundary_before;
use super::{
    Definition, Diagnostic, Diagnostics, FileBlock, FileOrigin, Glob, ImageBlock, Policy, SourceText, Step,
    Tarball, undeclared_origin,
};
use fields::{Fields, label};
use layout::{Layout, MAX_NAMES};
use reader::{Reader, Text};
use words::{excerpt, listed, most_like};

mod apt;
mod check;
mod fields;
mod file;
mod image;
mod layout;
mod origin;
mod policy;
mod reader;
mod words;

/// No definition written by hand comes near this.
const MAX_BYTES: usize = 1 << 20;

/// Reads a definition.
pub(super) fn parse(
    text: &str,
    file_name: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Definition, Diagnostics> {
    let (source, layout) = laid_out(text, file_name)?;
    let body = layout.text.parse::<Body>().map_err(|error| syntax_error(&source, &layout, &error))?;
    let mut reader = Reader::new(&source, &layout);
    reader.report_repeated_names();
    let read = Top::read(&mut reader, &body, variables);
    let unused_variables = variables.keys().filter(|name| !read.declared.contains_key(*name));
    let unused_variables = unused_variables.filter(|name| !reader.is_used(name)).cloned().collect();
    reader.finish()?;
    let Some(image) = read.image else {
        let message = "internal error: nothing is wrong with this definition, and it has no image";
        return Err(source.diagnostic(0..0, message, "").into());
    };
    let Top { steps, tarballs, policy, .. } = read;
    Ok(Definition { source, image, steps, tarballs, policy, unused_variables })
}

/// Reads a policy that stands alone.
pub(super) fn parse_policy(text: &str, file_name: &str) -> Result<Policy, Diagnostics> {
    let (source, layout) = laid_out(text, file_name)?;
    let body = layout.text.parse::<Body>().map_err(|error| syntax_error(&source, &layout, &error))?;
    let mut reader = Reader::new(&source, &layout);
    reader.report_repeated_names();
    let mut fields = Fields::of("a policy", &body);
    let policy = read_policy(&mut reader, &mut fields);
    fields.finish(&mut reader);
    reader.finish()?;
    policy.ok_or_else(|| {
        let hint = "write: policy { require_non_root = true }";
        source.diagnostic(0..0, "there is no `policy` block", hint).into()
    })
}

fn laid_out(text: &str, file_name: &str) -> Result<(SourceText, Layout), Diagnostics> {
    if text.len() > MAX_BYTES {
        return Err(too_long(text, file_name).into());
    }
    let source = SourceText::new(file_name, text);
    let layout = Layout::of(text);
    match layout.crowded {
        Some(opened) => {
            let message = format!("cannot read this map: it has more than {MAX_NAMES} names");
            Err(source.diagnostic(opened..opened + 1, message, "no map needs that many").into())
        }
        None => Ok((source, layout)),
    }
}

fn read_policy(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<Policy> {
    let block = fields.block(reader, "policy", "write all rules in one block")?;
    Some(policy::policy(reader, block))
}

fn too_long(text: &str, file_name: &str) -> Diagnostic {
    let beginning = &text[..boundary_before(text, 200)];
    let message =
        format!("cannot read this definition: it has {} bytes, and may have {MAX_BYTES}", text.len());
    SourceText::new(file_name, beginning).diagnostic(0..1, message, "is it the right file?")
}

fn syntax_error(source: &SourceText, layout: &Layout, error: &hcl_edit::parser::Error) -> Diagnostic {
    let offset = error.location().offset();
    let span = layout.span(offset..offset + 1);
    let rest = source.text().get(span.start..).unwrap_or_default();
    let is_template = rest.starts_with('"') && rest.lines().next().is_some_and(|line| line.contains("${"));
    let hint = match (rest.chars().next(), layout.unclosed.last()) {
        (Some('"'), None) if is_template => {
            "a name before `{` is a plain text: no variable can stand in it".to_owned()
        }
        (Some('\'' | '“' | '”' | '‘' | '’' | '„'), _) => {
            "texts stand in double quotes: \"…\"".to_owned()
        }
        (_, Some(opened)) => {
            let bracket = &source.text()[*opened..=*opened];
            format!("nothing closes the `{bracket}` on line {}", source.line_of(*opened))
        }
        (Some('}' | ']' | ')'), None) => "it closes nothing that is open here".to_owned(),
        (_, None) => "a definition is made of `name = value` and `name \"label\" { … }`".to_owned(),
    };
    source.diagnostic(span, format!("cannot read this: {}", error.message()), hint)
}

/// What the top of a definition says.
struct Top {
    declared: BTreeMap<String, Range<usize>>,
    image: Option<ImageBlock>,
    steps: Vec<Step>,
    tarballs: Vec<Tarball>,
    policy: Option<Policy>,
}

impl Top {
    fn read(reader: &mut Reader<'_>, body: &Body, variables: &BTreeMap<String, String>) -> Top {
        let mut fields = Fields::of("a definition", body);
        let declared = declare(reader, &fields.blocks("variable"), variables);
        let hint = "one definition builds one image; write another definition for the other";
        let image = fields.block(reader, "image", hint);
        let steps = fields.blocks("step");
        let tarballs = fields.blocks("tarball");
        let policy = read_policy(reader, &mut fields);
        fields.finish(reader);
        let image = read_image(reader, image);
        let (step_names, steps) = read_steps(reader, &steps);
        let (tarball_names, tarballs) = read_tarballs(reader, &tarballs);
        for file in image.iter().flat_map(|image| &image.files) {
            check_reference(reader, file, &step_names, &tarball_names);
            check_origin(reader, file, &steps, &tarballs);
        }
        Top { declared, image, steps, tarballs, policy }
    }
}

/// Gives the variables their values: those handed in, then the defaults of the others.
fn declare(
    reader: &mut Reader<'_>,
    blocks: &[&Block],
    variables: &BTreeMap<String, String>,
) -> BTreeMap<String, Range<usize>> {
    for (name, value) in variables {
        reader.define(name, value);
    }
    let mut declared = BTreeMap::new();
    for block in blocks {
        let Some(name) = label(reader, block, "variable \"name\" { default = \"…\" }") else { continue };
        if hcl_edit::Ident::try_new(name.value.as_str()).is_err() {
            let hint = "a variable's name has letters, digits, `_` and `-`, and begins with a letter or `_`";
            reader.mistake::<()>(name.span.clone(), name.named("invalid variable name"), hint);
        }
        reader.unique(&mut declared, "variable", &name);
        let mut fields = Fields::of("`variable`", &block.body);
        let default = fields.attribute("default");
        let description = fields.attribute("description");
        description.and_then(|expression| reader.text("`description`", expression));
        fields.finish(reader);
        let default = default.map(|expression| default_value(reader, expression));
        match (variables.contains_key(&name.value), default) {
            (true, _) => {}
            (false, Some(Some(value))) => reader.define(&name.value, &value),
            (false, Some(None)) => reader.define_without_value(&name.value),
            (false, None) => {
                reader.define_without_value(&name.value);
                let hint = format!("pass it with `--var {}=…`, or give it a default", name.value);
                reader.mistake::<()>(
                    name.span.clone(),
                    format!("{} has no value", name.named("variable")),
                    hint,
                );
            }
        }
    }
    declared
}

/// Reads a default: a text, number or `true`/`false`, written out.
fn default_value(reader: &mut Reader<'_>, expression: &Expression) -> Option<String> {
    let span = reader.span(expression);
    match expression {
        Expression::String(text) => Some(text.as_str().to_owned()),
        Expression::Number(_) | Expression::Bool(_) => Some(reader.written(&span)),
        Expression::StringTemplate(_) | Expression::HeredocTemplate(_) => {
            let is_plain = |template: &hcl_edit::template::Template| {
                template.iter().all(hcl_edit::template::Element::is_literal)
            };
            if expression.as_template().is_some_and(is_plain) {
                return Some(reader.text("`default`", expression)?.value);
            }
            let message = "a `default` cannot use variables";
            reader.mistake(span, message, "write the text out")
        }
        Expression::Null(_)
        | Expression::Array(_)
        | Expression::Object(_)
        | Expression::Parenthesis(_)
        | Expression::Variable(_)
        | Expression::Conditional(_)
        | Expression::FuncCall(_)
        | Expression::Traversal(_)
        | Expression::UnaryOp(_)
        | Expression::BinaryOp(_)
        | Expression::ForExpr(_) => {
            let message = "wrong type for `default`: expected a string, written out";
            reader.mistake(span, message, "variables are plain texts: default = \"…\"")
        }
    }
}

fn read_image(reader: &mut Reader<'_>, block: Option<&Block>) -> Option<ImageBlock> {
    let example = "image \"product\" { … }";
    let Some(block) = block else {
        return reader.mistake(0..0, "a definition needs an `image` block", format!("write: {example}"));
    };
    let name = label(reader, block, example);
    // Without a name the rest is read all the same, for its mistakes.
    let span = reader.span(&block.ident);
    let text = name.clone().unwrap_or(Text { value: String::new(), span, is_literal: true });
    let image = image::image(reader, block, text);
    name.and(image)
}

type Names = BTreeMap<String, Range<usize>>;

fn read_steps(reader: &mut Reader<'_>, blocks: &[&Block]) -> (Names, Vec<Step>) {
    let (mut names, mut steps) = (Names::new(), Vec::new());
    for block in blocks {
        let Some(name) = label(reader, block, "step \"name\" { dockerfile = \"Dockerfile\" }") else {
            continue;
        };
        reader.unique(&mut names, "step", &name);
        steps.extend(origin::step(reader, block, name));
    }
    (names, steps)
}

fn read_tarballs(reader: &mut Reader<'_>, blocks: &[&Block]) -> (Names, Vec<Tarball>) {
    let (mut names, mut tarballs) = (Names::new(), Vec::new());
    for block in blocks {
        let Some(name) = label(reader, block, "tarball \"path.tgz\" { … }") else { continue };
        let Some(path) = check::relative_path(reader, "path", &name) else { continue };
        reader.unique(&mut names, "tarball", &name.with(path.value.clone()));
        tarballs.extend(origin::tarball(reader, block, path));
    }
    (names, tarballs)
}

/// Reports a file that comes from a step or tarball which nobody declared.
fn check_reference(reader: &mut Reader<'_>, file: &FileBlock, steps: &Names, tarballs: &Names) {
    let (kind, name, declared) = match &file.origin {
        FileOrigin::Step { step, .. } => ("step", step, steps),
        FileOrigin::Tarball { tarball, .. } => ("tarball", tarball, tarballs),
        FileOrigin::Image { .. } | FileOrigin::Package { .. } | FileOrigin::Context { .. } => return,
    };
    if declared.contains_key(&name.value) {
        return;
    }
    let shown = excerpt(&name.value);
    let names = || declared.keys().map(String::as_str);
    let hint = match most_like(&name.value, names()) {
        Some(other) => format!("did you mean `{}`?", excerpt(other)),
        None if declared.is_empty() => format!("declare it: {kind} \"{shown}\" {{ … }}"),
        None => format!("declared are {}; declare it: {kind} \"{shown}\" {{ … }}", listed(names())),
    };
    reader.mistake::<()>(name.span.clone(), format!("{kind} `{shown}` is not declared"), hint);
}

/// Reports a file of which it is known without looking that nobody declared its origin.
fn check_origin(reader: &mut Reader<'_>, file: &FileBlock, steps: &[Step], tarballs: &[Tarball]) {
    let (kind, name, path, source_files) = match &file.origin {
        FileOrigin::Step { step, path } => {
            let declared = steps.iter().find(|declared| declared.name.value == step.value);
            ("step", step, path, declared.map(|step| &step.source_files))
        }
        FileOrigin::Tarball { tarball, path } => {
            let declared = tarballs.iter().find(|declared| declared.path.value == tarball.value);
            ("tarball", tarball, path, declared.map(|tarball| &tarball.source_files))
        }
        FileOrigin::Image { .. } | FileOrigin::Package { .. } | FileOrigin::Context { .. } => return,
    };
    let Some(source_files) = source_files.filter(|_| names_one_file(path)) else { return };
    if !source_files.iter().any(|source_file| source_file.matches(path)) {
        let (message, hint) = undeclared_origin(kind, name, path);
        reader.mistake::<()>(path.span.clone(), message, hint);
    }
}

fn names_one_file(path: &str) -> bool {
    !path.ends_with('/') && path != "." && !Glob::is_pattern(path)
}
