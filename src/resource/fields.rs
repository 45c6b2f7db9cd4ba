//! Reading a JSON object field by field, so that each mistake is told by the field's name.
//!
//! No error shows a value: any of them may be a credential, also one written into the wrong field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::bom::Formats;

/// Why a request cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRequest(String);

impl InvalidRequest {
    /// Says why.
    pub fn new(message: impl Into<String>) -> InvalidRequest {
        InvalidRequest(message.into())
    }
}

/// The fields of an object that were not taken yet.
pub(super) struct Fields {
    /// `source field`, `get param` …
    what: &'static str,
    /// What stands before the names of nested fields, as `apt.`.
    prefix: String,
    rest: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// Takes an object; `null` is an object without fields.
    pub(super) fn new(what: &'static str, value: Value) -> Result<Fields, InvalidRequest> {
        Fields::nested(what, String::new(), value)
    }

    fn nested(what: &'static str, prefix: String, value: Value) -> Result<Fields, InvalidRequest> {
        let rest = match value {
            Value::Null => Map::new(),
            Value::Object(rest) => rest,
            other => {
                let place = if prefix.is_empty() {
                    format!("{what}s")
                } else {
                    format!("{what} `{}`", prefix.trim_end_matches('.'))
                };
                return Err(InvalidRequest(format!(
                    "cannot read {place}: expected an object, got {}",
                    kind(&other)
                )));
            }
        };
        Ok(Fields { what, prefix, rest, known: Vec::new() })
    }

    /// Takes a text.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, InvalidRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a text", &other)),
        }
    }

    /// Takes a text that may be written as a number, as YAML's unquoted `1.2` is.
    pub(super) fn text_or_number(&mut self, name: &'static str) -> Result<Option<String>, InvalidRequest> {
        match self.take(name) {
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a text or a number", &other)),
        }
    }

    /// Takes a text that may be written as a number, or as the object whose JSON it is.
    pub(super) fn text_or_json(&mut self, name: &'static str) -> Result<Option<String>, InvalidRequest> {
        if let Some(value @ Value::Object(_)) = self.rest.get(name) {
            let text = value.to_string();
            self.take(name);
            return Ok(Some(text));
        }
        self.text_or_number(name)
    }

    /// Takes a truth value; absent, it is false.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, InvalidRequest> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, InvalidRequest> {
        let items = self.list(name, "a list of texts")?;
        let text = |item: Value| match item {
            Value::String(text) if !text.is_empty() => Ok(text),
            other => Err(self.wrong(name, "a list of texts", &other)),
        };
        items.into_iter().map(text).collect()
    }

    /// Takes a text, or a list of texts.
    pub(super) fn one_or_more(&mut self, name: &'static str) -> Result<Vec<String>, InvalidRequest> {
        match self.rest.get(name) {
            Some(Value::String(_)) => Ok(self.text(name)?.into_iter().collect()),
            Some(_) | None => self.texts(name),
        }
    }

    /// Takes a list of forms that a bill of materials is attached in.
    pub(super) fn bom_formats(&mut self) -> Result<Option<Formats>, InvalidRequest> {
        const NAME: &str = "bom_formats";
        let names = self.texts(NAME)?;
        Formats::parse(&names).map_err(|error| self.refusal(NAME, &error.to_string()))
    }

    /// Takes an object.
    pub(super) fn object(&mut self, name: &'static str) -> Result<Option<Fields>, InvalidRequest> {
        let prefix = format!("{}{name}.", self.prefix);
        self.take(name).map(|value| Fields::nested(self.what, prefix, value)).transpose()
    }

    /// Takes a list of objects.
    pub(super) fn objects(&mut self, name: &'static str) -> Result<Vec<Fields>, InvalidRequest> {
        let items = self.list(name, "a list of objects")?;
        let nested =
            |(index, item)| Fields::nested(self.what, format!("{}{name}[{index}].", self.prefix), item);
        items.into_iter().enumerate().map(nested).collect()
    }

    /// Takes the entries of an object, whatever they are.
    pub(super) fn entries(&mut self, name: &'static str) -> Result<Map<String, Value>, InvalidRequest> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(entries)) => Ok(entries),
            Some(other) => Err(self.wrong(name, "an object", &other)),
        }
    }

    /// Returns the fields of an entry of the object `name`.
    pub(super) fn inside(&self, name: &str, entry: &str, value: Value) -> Result<Fields, InvalidRequest> {
        Fields::nested(self.what, format!("{}{name}.{entry}.", self.prefix), value)
    }

    /// Takes an object of texts, numbers and truth values, all as texts.
    pub(super) fn table(&mut self, name: &'static str) -> Result<BTreeMap<String, String>, InvalidRequest> {
        let table = match self.take(name) {
            None => return Ok(BTreeMap::new()),
            Some(Value::Object(table)) => table,
            Some(other) => return Err(self.wrong(name, "an object of texts", &other)),
        };
        let entry = |(key, value): (String, Value)| match value {
            Value::String(text) => Ok((key, text)),
            Value::Number(number) => Ok((key, number.to_string())),
            Value::Bool(flag) => Ok((key, flag.to_string())),
            other => {
                let place = format!("{} `{}{name}.{key}`", self.what, self.prefix);
                Err(InvalidRequest(format!("cannot read {place}: expected a text, got {}", kind(&other))))
            }
        };
        table.into_iter().map(entry).collect()
    }

    /// Ends the reading: what is left is refused, as not built yet if `is_planned` says so, else as unknown.
    pub(super) fn finish(self, is_planned: impl Fn(&str) -> bool) -> Result<(), InvalidRequest> {
        let Fields { what, prefix, rest, known } = self;
        let mut left = rest.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name);
        let Some(name) = left.next() else { return Ok(()) };
        let place = format!("{what} `{prefix}{}`", excerpt(name));
        Err(InvalidRequest(match is_planned(name) {
            true => format!("cannot use {place}: it is not built yet\nhint: leave it out"),
            false => {
                format!("cannot use {place}: there is no such {what}\nhint: {}", hint(name, &prefix, &known))
            }
        }))
    }

    /// Says why a field's value will not do; `why` must not show the value.
    pub(super) fn refusal(&self, name: &str, why: &str) -> InvalidRequest {
        InvalidRequest(format!("cannot use {} `{}{name}`: {why}", self.what, self.prefix))
    }

    /// Says that a field is missing.
    pub(super) fn missing(what: &str, name: &str, way_out: &str) -> InvalidRequest {
        InvalidRequest(format!("cannot go on without {what} `{name}`\nhint: {way_out}"))
    }

    fn list(&mut self, name: &'static str, expected: &str) -> Result<Vec<Value>, InvalidRequest> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong(name, expected, &other)),
        }
    }

    /// A field that is `null` is absent.
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, expected: &str, got: &Value) -> InvalidRequest {
        let place = format!("{} `{}{name}`", self.what, self.prefix);
        InvalidRequest(format!("cannot read {place}: expected {expected}, got {}", kind(got)))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn hint(name: &str, prefix: &str, known: &[&'static str]) -> String {
    let near = known.iter().map(|candidate| (distance(name, candidate), candidate)).min();
    match near {
        Some((0..=2, candidate)) => format!("did you mean `{prefix}{candidate}`?"),
        _ => format!("there are {}", known.join(", ")),
    }
}

/// Returns how many letters must be put in, taken out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().take(100).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A name that nobody expected may be long.
fn excerpt(name: &str) -> String {
    name.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::new("source field", value).unwrap()
    }

    #[test]
    fn an_unknown_field_is_named_with_what_was_probably_meant() {
        let mut object = fields(json!({"repositry": 1}));
        object.text("repository").unwrap();
        let error = object.finish(|_| false).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot use source field `repositry`: there is no such source field\nhint: did you mean `repository`?"
        );
    }

    #[test]
    fn a_field_like_no_other_is_answered_with_all_there_are() {
        let mut object = fields(json!({"colour": 1}));
        object.text("repository").unwrap();
        object.flag("debug").unwrap();
        let error = object.finish(|_| false).unwrap_err().to_string();
        assert!(error.ends_with("hint: there are repository, debug"), "{error}");
    }

    #[test]
    fn a_field_that_is_planned_is_not_unknown() {
        let error = fields(json!({"variant": "slim"})).finish(|name| name == "variant").unwrap_err();
        assert!(error.to_string().starts_with("cannot use source field `variant`: it is not built yet"));
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let mut object = fields(json!({"tag": null, "colour": null}));
        assert_eq!(object.text("tag").unwrap(), None);
        object.finish(|_| false).unwrap();
        Fields::new("get param", Value::Null).unwrap().finish(|_| false).unwrap();
    }

    #[test]
    fn a_wrong_value_is_told_by_its_kind_and_never_shown() {
        let mut object =
            fields(json!({"password": ["hunter2"], "debug": "hunter2", "apt": {"keys": "hunter2"}}));
        let errors = [
            object.text("password").unwrap_err(),
            object.flag("debug").unwrap_err(),
            object.object("apt").unwrap().unwrap().objects("keys").err().unwrap(),
        ];
        assert_eq!(
            errors.map(|error| error.to_string()),
            [
                "cannot read source field `password`: expected a text, got a list",
                "cannot read source field `debug`: expected true or false, got a text",
                "cannot read source field `apt.keys`: expected a list of objects, got a text",
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let error = Fields::new("get param", json!([])).err().unwrap();
        assert_eq!(error.to_string(), "cannot read get params: expected an object, got a list");
    }

    #[test]
    fn values_of_a_table_become_texts() {
        let mut object = fields(json!({"vars": {"a": "1", "b": 2, "c": true}, "bad": {"d": []}}));
        let texts: Vec<String> = object.table("vars").unwrap().into_values().collect();
        assert_eq!(texts, ["1", "2", "true"]);
        let error = object.table("bad").unwrap_err().to_string();
        assert_eq!(error, "cannot read source field `bad.d`: expected a text, got a list");
    }
}
