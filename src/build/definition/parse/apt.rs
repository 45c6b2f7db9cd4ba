//! `apt { … }`: repositories, keys, packages. Several blocks add up.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;

use hcl_edit::expr::Expression;
use hcl_edit::structure::Block;

use super::check;
use super::fields::{Fields, label, no_label};
use super::origin;
use super::reader::{Reader, Text};
use crate::build::definition::{Apt, Deb, DebOrigin, Key, KeySource, PackageRequest, SourcePolicy, Spanned};

type Seen = BTreeMap<String, Range<usize>>;

/// What all `apt` blocks said so far.
#[derive(Default)]
struct Sum {
    apt: Apt,
    upgrade: Option<Spanned<bool>>,
    recommends: Option<Spanned<bool>>,
    essential: Option<Spanned<bool>>,
    sources: Option<Spanned<SourcePolicy>>,
    sources_of_base: Option<Spanned<bool>>,
    repositories: Seen,
    mirrors: Seen,
    keys: Seen,
    packages: Seen,
    removes: Seen,
    debs: Seen,
    questions: Seen,
    without_sources: Seen,
}

/// Reads all `apt` blocks. Mistakes are remembered by the reader; what was wrong is left out.
pub(super) fn apt(reader: &mut Reader<'_>, blocks: &[&Block]) -> Apt {
    let mut sum = Sum::default();
    for block in blocks {
        no_label(reader, block);
        sum.add(reader, block);
    }
    sum.check_contradictions(reader);
    Apt {
        upgrade: sum.upgrade.unwrap_or_default(),
        recommends: sum.recommends.unwrap_or_default(),
        essential: sum.essential.unwrap_or(Spanned { value: true, span: 0..0 }),
        sources: sum.sources.unwrap_or_default(),
        sources_of_base: sum.sources_of_base.unwrap_or_default(),
        ..sum.apt
    }
}

impl Sum {
    fn add(&mut self, reader: &mut Reader<'_>, block: &Block) {
        let mut fields = Fields::of("`apt`", &block.body);
        self.add_repositories(reader, fields.attribute("repositories"));
        self.add_mirrors(reader, fields.attribute("mirrors"));
        for block in fields.blocks("key") {
            self.add_key(reader, block);
        }
        for block in fields.blocks("package") {
            self.add_package(reader, block);
        }
        for block in fields.blocks("deb") {
            self.add_deb(reader, block);
        }
        self.add_removes(reader, fields.attribute("remove"));
        self.add_debconf(reader, fields.attribute("debconf"));
        self.add_preferences(reader, fields.attribute("preferences"));
        self.add_without_sources(reader, fields.attribute("without_sources"));
        switch(reader, "`upgrade`", fields.attribute("upgrade"), &mut self.upgrade);
        switch(reader, "`recommends`", fields.attribute("recommends"), &mut self.recommends);
        switch(reader, "`essential`", fields.attribute("essential"), &mut self.essential);
        switch(reader, "`sources_of_base`", fields.attribute("sources_of_base"), &mut self.sources_of_base);
        let sources = fields.attribute("sources").and_then(|expression| source_policy(reader, expression));
        once(reader, "`sources`", sources, &mut self.sources);
        fields.finish(reader);
    }

    fn add_repositories(&mut self, reader: &mut Reader<'_>, expression: Option<&Expression>) {
        let texts = expression.and_then(|expression| reader.texts("`repositories`", expression));
        for text in texts.unwrap_or_default() {
            // The line may hold a password: it is never quoted.
            let text = Text { is_literal: false, ..text };
            reader.unique(&mut self.repositories, "repository", &text);
            if check::repository(reader, &text).is_some() {
                self.apt.repositories.push(text.spanned());
            }
        }
    }

    fn add_mirrors(&mut self, reader: &mut Reader<'_>, expression: Option<&Expression>) {
        let texts = expression.and_then(|expression| reader.texts("`mirrors`", expression));
        for text in texts.unwrap_or_default() {
            let text = Text { is_literal: false, ..text };
            reader.unique(&mut self.mirrors, "mirror", &text);
            self.apt.mirrors.extend(check::url(reader, "mirror", text));
        }
    }

    fn add_key(&mut self, reader: &mut Reader<'_>, block: &Block) {
        let hint = "write uri = \"https://…\" or path = \"keys/….asc\"";
        let place = reader.span(&block.ident);
        let name = label(reader, block, "key \"name\" { uri = \"https://…\" }");
        let mut fields = Fields::of("`key`", &block.body);
        let (uri, path) = (fields.attribute("uri"), fields.attribute("path"));
        let fingerprint = fields.attribute("fingerprint").map(|expression| {
            let text = reader.text("`fingerprint`", expression)?;
            check::fingerprint(reader, &text)
        });
        fields.finish(reader);
        let source = match (uri, path) {
            (Some(uri), None) => key_uri(reader, uri),
            (None, Some(path)) => key_path(reader, path),
            (None, None) => reader.mistake(place, "`key` has neither `uri` nor `path`", hint),
            (Some(_), Some(path)) => {
                reader.mistake(reader.span(path), "`key` has both `uri` and `path`", "keep one of them")
            }
        };
        let Some(name) = name else { return };
        reader.unique(&mut self.keys, "key", &name);
        if let (Some(source), Some(fingerprint)) = (source, origin::all_or_none(fingerprint)) {
            self.apt.keys.push(Key { name: name.spanned(), source, fingerprint });
        }
    }

    fn add_package(&mut self, reader: &mut Reader<'_>, block: &Block) {
        let name = label(reader, block, "package \"name\" {}");
        let mut fields = Fields::of("`package`", &block.body);
        let version = fields.attribute("version").map(|expression| {
            let text = reader.text("`version`", expression)?;
            check::package_version(reader, &text).map(|()| text.spanned())
        });
        let pin = fields.attribute("pin").map(|expression| {
            let text = reader.text("`pin`", expression)?;
            if version.is_some() {
                let message = "`package` has both `version` and `pin`";
                return reader.mistake(text.span.clone(), message, "keep one of them");
            }
            check::pin(reader, &text).map(|()| text.spanned())
        });
        let vcs = origin::vcs(reader, &mut fields);
        fields.finish(reader);
        let Some(name) = name.filter(|name| check::package_name(reader, name).is_some()) else { return };
        reader.unique(&mut self.packages, "package", &name);
        let (version, pin) = (origin::all_or_none(version), origin::all_or_none(pin));
        if let (Some(version), Some(pin), Some(vcs)) = (version, pin, vcs) {
            self.apt.packages.push(PackageRequest { name: name.spanned(), version, pin, vcs });
        }
    }

    fn add_deb(&mut self, reader: &mut Reader<'_>, block: &Block) {
        let place = reader.span(&block.ident);
        let name = label(reader, block, "deb \"dist/tool.deb\" {}");
        let mut fields = Fields::of("`deb`", &block.body);
        let download = origin::download(reader, &mut fields, &place);
        let vcs = origin::vcs(reader, &mut fields);
        fields.finish(reader);
        let Some(name) = name else { return };
        let origin = match download {
            Some(download) => download.map(DebOrigin::Url),
            None => check::relative_path(reader, "path", &name).map(DebOrigin::Context),
        };
        let written = match &origin {
            Some(DebOrigin::Context(path)) => name.with(path.value.clone()),
            Some(DebOrigin::Url(_)) | None => name.clone(),
        };
        reader.unique(&mut self.debs, "deb", &written);
        if let (Some(origin), Some(vcs)) = (origin, vcs) {
            self.apt.debs.push(Deb { name: name.spanned(), origin, vcs });
        }
    }

    fn add_preferences(&mut self, reader: &mut Reader<'_>, expression: Option<&Expression>) {
        let text = expression.and_then(|expression| reader.text("`preferences`", expression));
        if let Some(text) = text
            && check::preferences(reader, &text).is_some()
        {
            self.apt.preferences.push(text.spanned());
        }
    }

    fn add_removes(&mut self, reader: &mut Reader<'_>, expression: Option<&Expression>) {
        let texts = expression.and_then(|expression| reader.texts("`remove`", expression));
        for text in texts.unwrap_or_default() {
            if check::package_name(reader, &text).is_some() {
                reader.unique(&mut self.removes, "package to remove", &text);
                self.apt.remove.push(text.spanned());
            }
        }
    }

    fn add_without_sources(&mut self, reader: &mut Reader<'_>, expression: Option<&Expression>) {
        let texts = expression.and_then(|expression| reader.texts("`without_sources`", expression));
        for text in texts.unwrap_or_default() {
            if check::package_name(reader, &text).is_some() {
                reader.unique(&mut self.without_sources, "package without sources", &text);
                self.apt.without_sources.push(text.spanned());
            }
        }
    }

    fn add_debconf(&mut self, reader: &mut Reader<'_>, expression: Option<&Expression>) {
        let pairs = expression.and_then(|expression| reader.map("`debconf`", expression));
        for (question, answer) in pairs.unwrap_or_default() {
            reader.unique(&mut self.questions, "question", &question);
            if let Some(()) = check_question(reader, &question) {
                self.apt.debconf.insert(question.value, answer.spanned());
            }
        }
    }

    /// A package can't be both asked for and removed.
    fn check_contradictions(&self, reader: &mut Reader<'_>) {
        for (name, span) in &self.removes {
            if let Some(asked) = self.packages.get(name) {
                let line = reader.line_of(asked);
                let message = format!("package `{name}` is to be removed, and is asked for on line {line}");
                reader.mistake::<()>(span.clone(), message, "keep one of them");
            }
        }
    }
}

fn key_uri(reader: &mut Reader<'_>, expression: &Expression) -> Option<KeySource> {
    let text = reader.text("`uri`", expression)?;
    check::url(reader, "`uri`", text).map(KeySource::Uri)
}

fn key_path(reader: &mut Reader<'_>, expression: &Expression) -> Option<KeySource> {
    let text = reader.text("`path`", expression)?;
    check::relative_path(reader, "`path`", &text).map(KeySource::Path)
}

fn switch(
    reader: &mut Reader<'_>,
    what: &str,
    expression: Option<&Expression>,
    said: &mut Option<Spanned<bool>>,
) {
    let value = expression.and_then(|expression| {
        let span = reader.span(expression);
        Some(Spanned { value: reader.boolean(what, expression)?, span })
    });
    once(reader, what, value, said);
}

fn source_policy(reader: &mut Reader<'_>, expression: &Expression) -> Option<Spanned<SourcePolicy>> {
    let text = reader.text("`sources`", expression)?;
    let policies = [SourcePolicy::None, SourcePolicy::Record, SourcePolicy::Bundle];
    match policies.into_iter().find(|policy| policy.to_string() == text.value) {
        Some(value) => Some(Spanned { value, span: text.span }),
        None => {
            let message = text.named("unknown policy for sources");
            reader.mistake(text.span, message, "there are \"record\", \"bundle\" and \"none\"")
        }
    }
}

/// Takes what may be said once over all blocks, or said the same again.
fn once<T: Copy + PartialEq + Display>(
    reader: &mut Reader<'_>,
    what: &str,
    value: Option<Spanned<T>>,
    said: &mut Option<Spanned<T>>,
) {
    let Some(Spanned { value, span }) = value else { return };
    match said {
        Some(first) if first.value != value => {
            let line = reader.line_of(&first.span);
            let message = format!("{what} is `{value}` here and `{}` on line {line}", first.value);
            reader.mistake::<()>(span, message, "all `apt` blocks count as one: say it once");
        }
        Some(_) => {}
        None => *said = Some(Spanned { value, span }),
    }
}

fn check_question(reader: &mut Reader<'_>, question: &Text) -> Option<()> {
    let is_good =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    match question.value.split_once('/') {
        Some((package, name)) if is_good(package) && is_good(name) => Some(()),
        _ => {
            let hint = "write `\"package/question\" = \"answer\"`, like `\"tzdata/Areas\" = \"Etc\"`";
            reader.mistake(question.span.clone(), question.named("invalid debconf question"), hint)
        }
    }
}
