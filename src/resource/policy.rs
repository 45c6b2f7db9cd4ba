//! The policies that a put's source and params give, or a task's: a text, an object, a file.
//!
//! The source's is the pipeline's owner's: no definition and no params can loosen it.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use super::fields::{Fields, InvalidRequest};
use super::inputs::Inputs;
use super::params::PutParams;
use super::source::Source;
use crate::build::definition::{Policy, parse_policy};

/// Takes the source field `policy`: a text as a file would have it, or the rules as an object.
pub(super) fn of_source(fields: &mut Fields) -> Result<Option<Policy>, InvalidRequest> {
    let Some(text) = fields.text_or_json("policy")? else { return Ok(None) };
    let text = match serde_json::from_str(&text) {
        Ok(Value::Object(rules)) => written_out(&rules),
        _ => text,
    };
    let read = parse_policy(&text, "source.policy");
    read.map(Some).map_err(|mistakes| fields.refusal("policy", &format!("it can't be read\n{mistakes}")))
}

/// Returns the rules as a file would have them. What begins a template in HCL is a text in JSON.
fn written_out(rules: &Map<String, Value>) -> String {
    let value = |value: &Value| value.to_string().replace("${", "$${").replace("%{", "%%{");
    let rules: String = rules.iter().map(|(name, rule)| format!("  {name} = {}\n", value(rule))).collect();
    format!("policy {{\n{rules}}}\n")
}

/// Returns all that a put is judged by, besides what its definition says.
///
/// # Errors
/// When the file isn't there, or is no policy.
pub(super) fn of_put(source: &Source, params: &PutParams, inputs: Inputs<'_>) -> Result<Vec<Policy>> {
    let file = params.policy_file.as_deref().map(|path| of_file(path, inputs)).transpose()?;
    Ok(source.policy.iter().cloned().chain(file).collect())
}

/// Reads a policy among the inputs.
///
/// # Errors
/// When it isn't there, or is none.
pub(super) fn of_file(path: &Path, inputs: Inputs<'_>) -> Result<Policy> {
    let text = inputs.text("policy", path)?;
    Ok(parse_policy(&text, &path.display().to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(policy: &Value) -> Result<Option<Policy>, InvalidRequest> {
        of_source(&mut Fields::new("source field", json!({ "policy": policy }))?)
    }

    #[test]
    fn a_text_and_an_object_say_the_same() {
        let text = "policy { allow_images = [\"debian\", \"$${x}\"] require_non_root = true }";
        let text = read(&json!(text)).unwrap().unwrap();
        let object = json!({"allow_images": ["debian", "${x}"], "require_non_root": true});
        let object = read(&object).unwrap().unwrap();
        let images = |policy: &Policy| policy.allow_images.as_ref().map(|images| images.value.clone());
        assert_eq!(images(&text), images(&object));
        assert!(images(&text).unwrap()[1].matches("${x}"));
        assert!(text.require_non_root.value && object.require_non_root.value);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (policy, line) in [
            (json!("policy {\n  allow_image = []\n}"), "source.policy:2:3"),
            (json!({"require_non_root": "yes"}), "source.policy:2:"),
            (json!(""), "expected a text"),
            (json!("image \"x\" {}"), "source.policy:1:1"),
        ] {
            let error = read(&policy).unwrap_err().to_string();
            assert!(error.contains("`policy`") && error.contains(line), "{error}");
        }
    }
}
