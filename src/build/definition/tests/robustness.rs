//! Whatever is read, there is an answer.

use proptest::prelude::*;

use super::diagnostic::{boundary_after, boundary_before};
use super::grammar::EVERYTHING;
use super::*;

/// Says that reading ends, and that what is said can be shown.
fn ends(text: &str) {
    if let Err(mistakes) = parse(text, "f", &map(&[("commit-id", "1")])) {
        assert!(mistakes.to_string().contains("error: "));
    }
}

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "${",
    "%{",
    "$${",
    "=",
    "==",
    "\n",
    " ",
    "#",
    "/*",
    "*/",
    "<<E\n",
    "E\n",
    "\\",
    ":",
    ",",
    "?",
    "!",
    "-",
    "..",
    "/",
    "0",
    "-1",
    "1e999",
    "null",
    "true",
    "for",
    "in",
    "if",
    "é",
    "\u{0}",
    "\r\n",
    "commit-id",
    "image \"x\" {",
    "apt {",
    "file \"/a\" {",
    "path",
    "vcs \"git\" {",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_change_to_a_definition_is_fatal(changes in prop::collection::vec((any::<prop::sample::Index>(), 0..40usize, prop::sample::select(WORDS)), 1..6)) {
        let mut text = EVERYTHING.to_owned();
        for (place, n_removed, inserted) in changes {
            let start = boundary_before(&text, place.index(text.len() + 1));
            let end = boundary_after(&text, start + n_removed);
            text.replace_range(start..end, inserted);
        }
        ends(&text);
    }

    #[test]
    fn no_row_of_words_is_fatal(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        ends(&words.concat());
        ends(&format!("image \"x\" {{\ncmd = {}\n}}", words.concat()));
    }

    #[test]
    fn any_text_may_be_a_variable(value in any::<String>()) {
        let text = "image \"x\" {\n workdir = a\n base_image = a\n ports = [a]\n run_as = a\n env = { (a) = a }\n remove = [a]\n file \"/x\" {\n from_context { path = a }\n owner = a\n mode = a\n }\n}";
        let _ = parse(text, "f", &map(&[("a", &value)])).map_err(|mistakes| mistakes.to_string());
    }
}

#[test]
fn a_definition_cut_off_anywhere_is_answered() {
    for end in (0..EVERYTHING.len()).filter(|end| EVERYTHING.is_char_boundary(*end)).step_by(7) {
        ends(&EVERYTHING[..end]);
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in
        [("[", "]"), ("{a=", "}"), ("(", ")"), ("\"${", "}\""), ("!", ""), ("[for a in ", ": a]")]
    {
        let nested = format!("image \"x\" {{\n cmd = {}a{}\n}}\n", open.repeat(50_000), close.repeat(50_000));
        ends(&nested);
        let nested = format!("image \"x\" {{\n cmd = {}a{}\n}}\n", open.repeat(60), close.repeat(60));
        ends(&nested);
    }
    ends(&"a {\n".repeat(100_000));
    ends(&format!("{}{}", "a {\n".repeat(60), "}\n".repeat(60)));
    ends(&format!("image \"x\" {{\n workdir = a{}\n}}", " ? a : a".repeat(20_000)));
    ends(&format!("image \"x\" {{\n workdir = a{}\n}}", " == a".repeat(20_000)));
}

#[test]
fn very_many_mistakes_take_no_longer_than_few() {
    ends(&"a = 1\n".repeat(150_000));
    ends(&format!("image \"x\" {{\n cmd = [{}]\n}}", "a, ".repeat(300_000)));
    ends(&format!("image \"x\" {{\n{}}}", "f{}\n".repeat(150_000)));
    let variables: String =
        (0..25_000).map(|n| format!("variable \"v{n}\" {{}}\nstep \"\" {{}}\n")).collect();
    ends(&variables);
}

#[test]
fn numbers_beyond_all_bounds_are_refused() {
    for number in
        ["18446744073709551615", "-18446744073709551615", "1e308", "1e999", "-0.0", "99999999999999999999999"]
    {
        ends(&format!("image \"x\" {{\n user \"u\" {{ uid = {number} }}\n}}"));
    }
}

#[test]
fn variables_cannot_make_a_definition_grow_without_end() {
    let long = "a".repeat(1 << 20);
    let text = format!("image \"x\" {{\n cmd = [\"{}\"]\n}}", "${a}".repeat(1000));
    let mistakes = parse(&text, "f", &map(&[("a", &long)])).unwrap_err().to_string();
    assert!(mistakes.contains("more than 16 MiB"), "{mistakes}");
}
