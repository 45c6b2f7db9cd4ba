//! What every part of the parser works with: places, mistakes, variables, and values of expressions.
//!
//! Which names there are isn't known here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use hcl::eval::{Context, Evaluate};
use hcl::{Identifier, Value};
use hcl_edit::expr::{BinaryOperator, Expression, ObjectKey, UnaryOperator};
use hcl_edit::template::{Directive, Element, Template};
use hcl_edit::{Ident, Span};

use super::layout::Layout;
use super::words::{excerpt, listed};
use crate::build::definition::{Diagnostic, Diagnostics, SourceText, Spanned};

/// So many mistakes are kept; of the others, only the count.
const MAX_KEPT: usize = 5_000;

/// So many bytes of variables' values are put into a definition.
const MAX_EXPANSION: usize = 16 << 20;

/// Reads a definition's parts and remembers what was wrong with them.
pub(super) struct Reader<'a> {
    source: &'a SourceText,
    layout: &'a Layout,
    mistakes: Vec<Diagnostic>,
    n_dropped: usize,
    variables: Variables,
}

/// The variables of a definition.
#[derive(Default)]
struct Variables {
    values: BTreeMap<String, String>,
    /// Declared, without a value: reported where they are declared.
    without_value: BTreeSet<String>,
    used: BTreeSet<String>,
    /// How often one without a value was asked for.
    n_missed: usize,
    n_expanded: usize,
    context: Context<'static>,
}

/// A text and what is needed to speak about it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) span: Range<usize>,
    /// Written out, so that it may be quoted: what comes from a variable may be a secret.
    pub(super) is_literal: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a SourceText, layout: &'a Layout) -> Reader<'a> {
        Reader { source, layout, mistakes: Vec::new(), n_dropped: 0, variables: Variables::default() }
    }

    pub(super) fn source(&self) -> &SourceText {
        self.source
    }

    /// Returns the mistakes, if there are any.
    pub(super) fn finish(self) -> Result<(), Diagnostics> {
        match self.mistakes.is_empty() {
            true => Ok(()),
            false => Err(Diagnostics::new(self.mistakes, self.n_dropped)),
        }
    }

    /// Remembers a mistake. Answers `None`, so that a reader of something can end with it.
    pub(super) fn mistake<T>(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        match self.mistakes.len() < MAX_KEPT {
            true => self.mistakes.push(self.source.diagnostic(span, message, hint)),
            false => self.n_dropped += 1,
        }
        None
    }

    /// Reports every name that is written twice.
    pub(super) fn report_repeated_names(&mut self) {
        let layout = self.layout;
        for repeated in &layout.repeated {
            let name = excerpt(&repeated.name);
            let line = self.line_of(&repeated.first);
            let message = format!("`{name}` is written twice: first on line {line}");
            self.mistake::<()>(repeated.again.clone(), message, "keep one of them");
        }
    }

    /// Reports a name that `seen` holds already, and lets it hold this one.
    pub(super) fn unique(&mut self, seen: &mut BTreeMap<String, Range<usize>>, what: &str, text: &Text) {
        if let Some(first) = seen.get(&text.value) {
            let line = self.line_of(first);
            let message = format!("{} is written twice: first on line {line}", text.named(what));
            self.mistake::<()>(text.span.clone(), message, "keep one of them");
        } else {
            seen.insert(text.value.clone(), text.span.clone());
        }
    }

    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.layout.is_repeated(name)
    }

    /// Returns where something stands in the text as written.
    pub(super) fn span(&self, part: &impl Span) -> Range<usize> {
        self.layout.span(part.span().unwrap_or_default())
    }

    pub(super) fn line_of(&self, span: &Range<usize>) -> usize {
        self.source.line_of(span.start)
    }

    /// Returns the text as written at `span`, shortened.
    pub(super) fn written(&self, span: &Range<usize>) -> String {
        excerpt(self.source.text().get(span.clone()).unwrap_or_default())
    }

    /// Gives a variable its value.
    pub(super) fn define(&mut self, name: &str, value: &str) {
        if let Ok(identifier) = Identifier::new(name) {
            self.variables.context.declare_var(identifier, value);
        }
        self.variables.values.insert(name.to_owned(), value.to_owned());
    }

    /// Takes note of a variable that has no value; that is reported already.
    pub(super) fn define_without_value(&mut self, name: &str) {
        self.variables.without_value.insert(name.to_owned());
    }

    pub(super) fn is_used(&self, variable: &str) -> bool {
        self.variables.used.contains(variable)
    }

    /// Returns the value of an expression, unless something is wrong with it.
    fn value(&mut self, expression: &Expression) -> Option<Value> {
        let n_mistakes = self.n_mistakes();
        self.check(expression);
        if self.n_mistakes() > n_mistakes {
            return None;
        }
        let parsed = hcl::Expression::from(expression.clone());
        match parsed.evaluate(&self.variables.context) {
            Ok(value) => Some(value),
            Err(_) => self.mistake(
                self.span(expression),
                "cannot work out this value: its parts don't fit together",
                "compare like with like, and put `true` or `false` before `?`",
            ),
        }
    }

    /// Counts also what was wrong and is reported elsewhere.
    fn n_mistakes(&self) -> usize {
        self.mistakes.len() + self.n_dropped + self.variables.n_missed
    }

    /// Reports what expressions may not hold here, and variables that have no value.
    fn check(&mut self, expression: &Expression) {
        match expression {
            Expression::Null(_) | Expression::Bool(_) | Expression::Number(_) | Expression::String(_) => {}
            Expression::Array(array) => array.iter().for_each(|element| self.check(element)),
            Expression::Object(object) => {
                for (key, value) in object {
                    self.check_key(key);
                    self.check(value.expr());
                }
            }
            Expression::StringTemplate(template) => self.check_template(template),
            Expression::HeredocTemplate(heredoc) => self.check_template(&heredoc.template),
            Expression::Parenthesis(parenthesis) => self.check(parenthesis.inner()),
            Expression::Variable(name) => self.check_variable(name.as_str(), self.span(name)),
            Expression::Conditional(conditional) => {
                self.check(&conditional.cond_expr);
                self.check(&conditional.true_expr);
                self.check(&conditional.false_expr);
            }
            Expression::UnaryOp(operation) => match operation.operator.value() {
                UnaryOperator::Not => self.check(&operation.expr),
                UnaryOperator::Neg => self.refuse_arithmetic(expression),
            },
            Expression::BinaryOp(operation) => match operation.operator.value() {
                BinaryOperator::Eq | BinaryOperator::NotEq | BinaryOperator::And | BinaryOperator::Or => {
                    self.check(&operation.lhs_expr);
                    self.check(&operation.rhs_expr);
                }
                BinaryOperator::LessEq
                | BinaryOperator::GreaterEq
                | BinaryOperator::Less
                | BinaryOperator::Greater
                | BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Mul
                | BinaryOperator::Div
                | BinaryOperator::Mod => self.refuse_arithmetic(expression),
            },
            Expression::FuncCall(call) => self.refuse_function(&call.name.name, self.span(expression)),
            Expression::Traversal(_) => self.refuse_traversal(expression),
            Expression::ForExpr(_) => self.refuse_loop(self.span(expression)),
        }
    }

    fn check_key(&mut self, key: &ObjectKey) {
        match key {
            ObjectKey::Ident(_) => {}
            ObjectKey::Expression(expression) => self.check(expression),
        }
    }

    fn check_template(&mut self, template: &Template) {
        for element in template {
            match element {
                Element::Literal(_) => {}
                Element::Interpolation(interpolation) => self.check(&interpolation.expr),
                Element::Directive(directive) => match &**directive {
                    Directive::If(directive) => {
                        self.check(&directive.if_expr.cond_expr);
                        self.check_template(&directive.if_expr.template);
                        if let Some(other) = &directive.else_expr {
                            self.check_template(&other.template);
                        }
                    }
                    Directive::For(_) => self.refuse_loop(self.span(element)),
                },
            }
        }
    }

    fn check_variable(&mut self, name: &str, span: Range<usize>) {
        let variables = &mut self.variables;
        variables.used.insert(name.to_owned());
        let Some(value) = variables.values.get(name) else {
            match variables.without_value.contains(name) {
                true => variables.n_missed += 1,
                false => self.undefined_variable(name, span),
            }
            return;
        };
        variables.n_expanded += value.len();
        if variables.n_expanded > MAX_EXPANSION {
            let message = "cannot put in the variables: their values add up to more than 16 MiB";
            self.mistake::<()>(span, message, "put long texts into files");
        }
    }

    fn undefined_variable(&mut self, name: &str, span: Range<usize>) {
        let name = excerpt(name);
        let defined = listed(self.variables.values.keys().map(String::as_str));
        let message = match defined.as_str() {
            "" => format!("variable `{name}` is not defined: no variable is"),
            defined => format!("variable `{name}` is not defined: those that are: {defined}"),
        };
        let hint = format!(
            "pass it with `--var {name}=…`, or declare it: variable \"{name}\" {{ default = \"…\" }}"
        );
        self.mistake::<()>(span, message, hint);
    }

    fn refuse_function(&mut self, name: &Ident, span: Range<usize>) {
        let message = format!("cannot call `{}`: a definition has no functions", excerpt(name.as_str()));
        self.mistake::<()>(span, message, "write the value itself, or hand it in as a variable");
    }

    fn refuse_arithmetic(&mut self, expression: &Expression) {
        let message = "cannot calculate here: a definition knows `==`, `!=`, `&&`, `||`, `!` and `? :` only";
        let hint = "write the value itself, or hand it in as a variable";
        self.mistake::<()>(self.span(expression), message, hint);
    }

    fn refuse_traversal(&mut self, expression: &Expression) {
        let span = self.span(expression);
        let written = self.written(&span);
        let name = written.strip_prefix("var.").or(written.strip_prefix("local.")).unwrap_or("name");
        let hint = format!("variables are plain texts; their names stand alone: `${{{name}}}`");
        self.mistake::<()>(span, format!("cannot look into `{written}`: nothing here has parts"), hint);
    }

    fn refuse_loop(&mut self, span: Range<usize>) {
        let message = "cannot repeat with `for`: a definition has no loops";
        self.mistake::<()>(span, message, "write the elements out");
    }

    /// Reads a text.
    pub(super) fn text(&mut self, what: &str, expression: &Expression) -> Option<Text> {
        let span = self.span(expression);
        if let Expression::String(text) = expression {
            return Some(Text { value: text.as_str().to_owned(), span, is_literal: true });
        }
        match self.value(expression)? {
            Value::String(value) => Some(Text { value, span, is_literal: false }),
            other => self.not_a_text(what, &span, &other),
        }
    }

    fn not_a_text<T>(&mut self, what: &str, span: &Range<usize>, value: &Value) -> Option<T> {
        let hint = match value {
            Value::Number(_) | Value::Bool(_) => format!("put it in quotes: \"{}\"", self.written(span)),
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                "write a text in double quotes: \"…\"".to_owned()
            }
        };
        self.wrong_type(what, span, "a string", value, hint)
    }

    /// Reads `true` or `false`, also out of a variable.
    pub(super) fn boolean(&mut self, what: &str, expression: &Expression) -> Option<bool> {
        let span = self.span(expression);
        let is_literal = matches!(expression, Expression::String(_));
        match self.value(expression)? {
            Value::Bool(value) => Some(value),
            Value::String(text) if text == "true" && !is_literal => Some(true),
            Value::String(text) if text == "false" && !is_literal => Some(false),
            other => self.wrong_type(
                what,
                &span,
                "true or false",
                &other,
                "write `true` or `false`, without quotes",
            ),
        }
    }

    /// Reads a whole number of at most `most`, also out of a variable.
    pub(super) fn number(&mut self, what: &str, expression: &Expression, most: u32) -> Option<u32> {
        let span = self.span(expression);
        let is_literal = matches!(expression, Expression::String(_));
        let number = match self.value(expression)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if !is_literal => text.parse().ok(),
            other => {
                return self.wrong_type(what, &span, "a number", &other, "write a number, without quotes");
            }
        };
        let number = number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= most);
        if number.is_none() {
            let message = format!("{what} is out of range: expected a whole number from 0 to {most}");
            return self.mistake(span, message, "choose a number in that range");
        }
        number
    }

    /// Reads a list of texts; each has its own place where the list is written out.
    pub(super) fn texts(&mut self, what: &str, expression: &Expression) -> Option<Vec<Text>> {
        if let Expression::Array(array) = expression {
            let element = format!("an element of {what}");
            return Some(array.iter().filter_map(|expression| self.text(&element, expression)).collect());
        }
        let span = self.span(expression);
        match self.value(expression)? {
            Value::Array(values) => {
                values.into_iter().map(|value| self.computed(what, &span, value)).collect()
            }
            Value::String(_) => {
                let hint = format!("put it in brackets: [{}]", self.written(&span));
                self.wrong_type(what, &span, "a list of strings", &Value::from(""), hint)
            }
            other => {
                self.wrong_type(what, &span, "a list of strings", &other, "write a list: [\"…\", \"…\"]")
            }
        }
    }

    fn computed(&mut self, what: &str, span: &Range<usize>, value: Value) -> Option<Text> {
        match value {
            Value::String(value) => Some(Text { value, span: span.clone(), is_literal: false }),
            other => self.not_a_text(what, span, &other),
        }
    }

    /// Reads a map of texts, in the order written.
    pub(super) fn map(&mut self, what: &str, expression: &Expression) -> Option<Vec<(Text, Text)>> {
        let span = self.span(expression);
        if let Expression::Object(object) = expression {
            let pairs = object.iter().filter_map(|(key, value)| {
                let key = self.key(what, key, value.expr());
                let element = format!("a value of {what}");
                let value = self.text(&element, value.expr());
                Some((key?, value?))
            });
            let pairs = pairs.collect();
            return Some(self.without_repeated_keys(what, pairs));
        }
        match self.value(expression)? {
            Value::Object(values) => values
                .into_iter()
                .map(|(key, value)| {
                    let key = Text { value: key, span: span.clone(), is_literal: false };
                    Some((key, self.computed(what, &span, value)?))
                })
                .collect(),
            other => {
                self.wrong_type(what, &span, "a map of strings", &other, "write a map: { name = \"…\" }")
            }
        }
    }

    fn key(&mut self, what: &str, key: &ObjectKey, value: &Expression) -> Option<Text> {
        match key {
            ObjectKey::Ident(name) => {
                let span = name.span().or(value.span()).unwrap_or_default();
                Some(Text { value: name.as_str().to_owned(), span: self.layout.span(span), is_literal: true })
            }
            ObjectKey::Expression(expression) => self.text(&format!("a name in {what}"), expression),
        }
    }

    fn without_repeated_keys(&mut self, what: &str, pairs: Vec<(Text, Text)>) -> Vec<(Text, Text)> {
        let mut seen = BTreeMap::new();
        let what = format!("name in {what}");
        let mut kept = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            if !self.layout.is_repeated(&key.value) {
                self.unique(&mut seen, &what, &key);
                kept.push((key, value));
            }
        }
        kept
    }

    fn wrong_type<T>(
        &mut self,
        what: &str,
        span: &Range<usize>,
        expected: &str,
        got: &Value,
        hint: impl Into<String>,
    ) -> Option<T> {
        let message = format!("wrong type for {what}: expected {expected}, got {}", type_of(got));
        self.mistake(span.clone(), message, hint)
    }
}

impl Text {
    /// Returns `what` with the text itself, unless that is the value of an attribute, which the caret
    /// shows, or comes from a variable.
    pub(super) fn named(&self, what: &str) -> String {
        match self.is_literal && !what.ends_with('`') {
            true => format!("{what} `{}`", excerpt(&self.value)),
            false => what.to_owned(),
        }
    }

    /// Returns the text with its place.
    pub(super) fn spanned(self) -> Spanned<String> {
        Spanned { value: self.value, span: self.span }
    }

    /// Returns another text at the same place.
    pub(super) fn with(&self, value: impl Into<String>) -> Text {
        Text { value: value.into(), span: self.span.clone(), is_literal: self.is_literal }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
