//! What definitions say, and what is said about those that are wrong.

use std::collections::BTreeMap;

use super::*;

mod grammar;
mod mistakes;
mod policy;
mod robustness;

/// Reads `text` without variables.
fn read(text: &str) -> Definition {
    read_with(text, &[])
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Definition {
    parse(text, "estaleiro.hcl", &map(variables)).unwrap_or_else(|mistakes| panic!("\n{mistakes}\n"))
}

/// Returns what is said about `text`.
fn mistakes(text: &str) -> String {
    mistakes_with(text, &[])
}

fn mistakes_with(text: &str, variables: &[(&str, &str)]) -> String {
    let read = parse(text, "estaleiro.hcl", &map(variables));
    read.expect_err("there is a mistake in it").to_string()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
