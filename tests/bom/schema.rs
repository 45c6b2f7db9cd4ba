//! The schema and the page that describe estaleiro's own form say all that the types do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use estaleiro::bom::Format;
use serde_json::Value;

use crate::sample;
use crate::support::validators;
use crate::views::Views;

pub(crate) fn published() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/bom.schema.json")
}

fn schema() -> Value {
    serde_json::from_slice(&std::fs::read(published()).unwrap()).unwrap()
}

/// Makes every object of a schema refuse fields that it doesn't name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && fields.get("type").is_some_and(|kind| kind == "object") {
                fields.insert("additionalProperties".into(), Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Returns the names of all fields, and those whose objects have names of their own choice left out.
fn fields(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                names.insert(name.clone());
                if !["args", "labels", "licence_texts"].contains(&name.as_str()) {
                    fields(inner, names);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
        _ => {}
    }
}

#[test]
fn an_account_with_everything_and_one_with_nothing_are_as_the_schema_says() {
    for document in [sample::document(), sample::empty()] {
        let views = Views::of(&document);
        assert_eq!(validators::schema(&published(), &views.file(Format::Yaml)), "");
    }
}

#[test]
fn every_field_stands_in_the_schema_and_on_the_page() {
    let views = Views::of(&sample::document());
    let directory = tempfile::tempdir().unwrap();
    let closed = directory.path().join("closed.json");
    let mut schema = schema();
    close(&mut schema);
    std::fs::write(&closed, schema.to_string()).unwrap();
    assert_eq!(validators::schema(&closed, &views.file(Format::Yaml)), "");

    let yaml = std::fs::read_to_string(views.file(Format::Yaml)).unwrap();
    let mut written = BTreeSet::new();
    fields(&serde_saphyr::from_str(&yaml).unwrap(), &mut written);
    let page = include_str!("../../docs/bom.md");
    for name in &written {
        assert!(page.contains(&format!("\n| `{name}` | ")), "docs/bom.md doesn't tell of `{name}`");
    }
    let mut described = BTreeSet::new();
    properties(&schema, &mut described);
    assert_eq!(written, described, "what the schema describes is written, and the other way round");
}

fn properties(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, inner) in fields {
                if let ("properties", Value::Object(properties)) = (name.as_str(), inner) {
                    names.extend(properties.keys().cloned());
                }
                properties(inner, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, names)),
        _ => {}
    }
}

#[test]
fn what_is_no_account_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bom.yml");
    std::fs::write(&file, "product_name: a\nprotocol: v2\n").unwrap();
    let said = validators::schema(&published(), &file);
    assert!(
        said.contains("'v1' was expected") && said.contains("'changeset' is a required property"),
        "{said}"
    );
}
