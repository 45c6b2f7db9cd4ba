//! JSON whose bytes depend on the value alone.

use serde::Serialize;
use serde_json::{Map, Value};

/// Returns the one JSON text of `value`: object keys sorted, no white space.
///
/// # Panics
/// When `value` has no JSON form, which is a mistake in its type (a map whose keys are no strings).
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(value).expect("the types written here have a JSON form");
    sorted(value).to_string().into_bytes()
}

/// Whether `serde_json` keeps an object's order or sorts it depends on what other crates ask of it.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut pairs: Vec<(String, Value)> = object.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b": [{"z": 1, "a": 2}], "a": null}"#).unwrap();
        assert_eq!(canonical_json(&value), br#"{"a":null,"b":[{"a":2,"z":1}]}"#);
    }
}
