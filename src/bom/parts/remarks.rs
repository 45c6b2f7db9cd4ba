//! What the account knows of a part that the formats of others have no field for: pairs of a name and a value.

use serde::Serialize;
use serde_json::Value;

use super::super::file_of;
use super::super::{AddedPackage, BasePackage, Component, Document, File, FoundPackage, Package};

/// A name, as `source:tarball:member`, and a value.
pub(in crate::bom) type Remark = (String, String);

/// The largest part of an account is a tree of values; deeper than this is none of ours.
const DEEPEST: usize = 16;

pub(super) fn of_image(document: &Document) -> Vec<Remark> {
    let mut remarks = vec![
        ("definition".into(), document.definition.to_string()),
        ("lock".into(), document.lock.to_string()),
    ];
    if let Some(image) = &document.image {
        remarks.push(("config".into(), image.config.to_string()));
        remarks.push(("platform".into(), image.platform.clone()));
    }
    let diff_ids = document.layers.iter().map(|layer| layer.diff_id.to_string());
    remarks.extend(diff_ids.enumerate().map(|(index, diff_id)| (format!("layer:{index}"), diff_id)));
    let changes = &document.changeset;
    add(&mut remarks, "dockerfile", &document.dockerfile);
    add(&mut remarks, "instruction", &changes.instructions);
    add(&mut remarks, "user", &changes.users);
    add(&mut remarks, "withheld", &changes.withheld);
    add(&mut remarks, "key", &document.keys);
    let beside = changes.configured_beside.iter().map(told);
    remarks.extend(beside.map(|package| ("configured_beside".into(), package)));
    remarks
}

/// Packages that the build upgraded or removed are no longer there; they are told of, and listed nowhere.
pub(super) fn of_base(document: &Document) -> Vec<Remark> {
    let account = document.base_image.as_ref().and_then(|base| base.account);
    let account = account.map(|account| ("account".into(), account.to_string()));
    let replaced = document.changeset.replaced_base_packages.iter().map(told);
    account.into_iter().chain(replaced.map(|package| ("replaced".into(), package))).collect()
}

fn told(package: &Package) -> String {
    format!("{} {} {}", package.name, package.version, package.architecture)
}

pub(super) fn of_added(added: &AddedPackage) -> Vec<Remark> {
    let mut remarks = of_base_package(&BasePackage::from(added));
    add(&mut remarks, "without_essential", &added.without_essential);
    remarks
}

pub(super) fn of_base_package(package: &BasePackage) -> Vec<Remark> {
    let mut remarks = Vec::new();
    add(&mut remarks, "repository", &package.repository);
    add(&mut remarks, "signed_by", &package.signed_by);
    add(&mut remarks, "vouched_by", &package.vouched_by);
    add(&mut remarks, "unproven", &package.unproven);
    add(&mut remarks, "git", &package.git);
    let built_using = package
        .built_using
        .iter()
        .map(|source| format!("{} {}", source.source_package, source.source_version));
    remarks.extend(built_using.map(|source| ("built_using".into(), source)));
    remarks
}

pub(super) fn of_found(found: &FoundPackage) -> Vec<Remark> {
    let mut remarks = Vec::new();
    add(&mut remarks, "unproven", &found.unproven);
    remarks
}

pub(super) fn of_file(file: &File) -> Vec<Remark> {
    let mut remarks = vec![("mode".into(), file.mode.clone()), ("size".into(), file.size.to_string())];
    add(&mut remarks, "source", &file.source);
    remarks
}

pub(super) fn of_component(component: &Component) -> Vec<Remark> {
    let mut remarks = vec![("path".into(), component.path.clone())];
    add(&mut remarks, "within", &component.within);
    remarks
}

/// Returns why a file may hold more than is told.
pub(super) fn of_path(path: &str, document: &Document) -> Vec<Remark> {
    let incomplete = document.incomplete.iter().filter(|incomplete| file_of(&incomplete.path) == path);
    incomplete.map(|one| ("incomplete".into(), format!("{}: {}", one.path, one.why))).collect()
}

/// Adds a value of the account, each leaf of which has a name of its own; what is empty or false isn't told.
fn add(remarks: &mut Vec<Remark>, name: &str, value: &impl Serialize) {
    // The account's types have a JSON form, for they have a YAML form.
    let value = serde_json::to_value(value).unwrap_or_default();
    flatten(remarks, name, &value, DEEPEST);
}

fn flatten(remarks: &mut Vec<Remark>, name: &str, value: &Value, depth: usize) {
    match value {
        _ if depth == 0 => {}
        Value::Null | Value::Bool(false) => {}
        Value::Bool(true) => remarks.push((name.to_owned(), "true".into())),
        Value::Number(number) => remarks.push((name.to_owned(), number.to_string())),
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => remarks.push((name.to_owned(), text.clone())),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().for_each(|item| flatten(remarks, name, item, depth - 1));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(remarks, &format!("{name}:{index}"), item, depth - 1);
            }
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(field, _)| *field);
            fields
                .iter()
                .for_each(|(field, item)| flatten(remarks, &format!("{name}:{field}"), item, depth - 1));
        }
    }
}
