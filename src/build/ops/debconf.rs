//! Answers to the questions that packages ask, as debconf-set-selections(1) reads them.
//!
//! Only the text is made here; the root's own debconf takes it in, before a package asks.

use std::collections::BTreeMap;

use crate::debian::deb822;

/// What a package's template says of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The package.
    pub package: String,
    /// `select`, `boolean`, `string` …
    pub kind: String,
}

/// The questions that packages ask, by name.
pub type Questions = BTreeMap<String, Question>;

/// Adds the questions of a package's `templates` (debconf-devel(7)); what can't be read asks nothing.
pub fn add_questions(questions: &mut Questions, package: &str, templates: &[u8]) {
    let text = String::from_utf8_lossy(templates);
    for template in deb822::paragraphs(&text).filter_map(Result::ok) {
        if let (Some(name), Some(kind)) = (template.get("Template"), template.get("Type")) {
            let question = Question { package: package.to_owned(), kind: kind.trim().to_owned() };
            questions.entry(name.trim().to_owned()).or_insert(question);
        }
    }
}

/// Returns one line for each answer: package, question, its kind, the answer.
pub fn selections(answers: &BTreeMap<String, String>, questions: &Questions) -> Vec<u8> {
    let line = |(name, answer): (&String, &String)| {
        let (package, kind) = match questions.get(name) {
            Some(question) => (question.package.as_str(), question.kind.as_str()),
            None => (name.split('/').next().unwrap_or(name), "string"),
        };
        // A line goes on where a backslash ends it; no answer may begin another one.
        let answer = answer.replace(['\n', '\r'], " ");
        format!("{package} {name} {kind} {}\n", answer.trim_end_matches('\\'))
    };
    answers.iter().map(line).collect::<String>().into_bytes()
}

/// Returns the questions that no package asks.
pub fn unasked<'a>(answers: &'a BTreeMap<String, String>, questions: &Questions) -> Vec<&'a str> {
    answers.keys().filter(|name| !questions.contains_key(*name)).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_kind_that_the_template_says() {
        let templates = "Template: tzdata/Areas\nType: select\nChoices: A, B\nDescription: Area:\n Long.\n\nTemplate: x/y\nType: boolean\n";
        let mut questions = Questions::new();
        add_questions(&mut questions, "tzdata", templates.as_bytes());
        let pairs = [("tzdata/Areas", "Etc"), ("x/y", "true"), ("other/q", "a\nb \\")];
        let answers = pairs.map(|(name, answer)| (name.to_owned(), answer.to_owned())).into();
        let text = String::from_utf8(selections(&answers, &questions)).unwrap();
        assert_eq!(
            text,
            "other other/q string a b \ntzdata tzdata/Areas select Etc\ntzdata x/y boolean true\n"
        );
        assert_eq!(unasked(&answers, &questions), ["other/q"]);
    }
}
