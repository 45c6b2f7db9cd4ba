//! The inputs of a step: directories with what earlier steps brought, and what a step's params name in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::build;

/// Whose inputs they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A put's: it gets what its params name.
    Put,
    /// A task's: it gets what its configuration lists.
    Task,
}

/// The inputs of a step.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// The directory that they lie in.
    pub(super) root: &'a Path,
    /// Whose they are.
    pub(super) step: Step,
}

impl<'a> Inputs<'a> {
    /// Returns those of a put.
    pub(super) fn of_put(root: &'a Path) -> Inputs<'a> {
        Inputs { root, step: Step::Put }
    }

    /// Whether something is there.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.root.join(path).exists()
    }

    /// Returns where an input really lies, which is below the root whatever links lead there: what an input brings shall
    /// not reach the files of the resource itself. A task's absolute path is where whoever wrote the task says.
    ///
    /// # Errors
    /// When it isn't there, or leads out.
    pub(super) fn place(&self, path: &Path) -> Result<PathBuf> {
        let Ok(place) = self.root.join(path).canonicalize() else { return Err(self.missing(path)) };
        let root =
            self.root.canonicalize().with_context(|| format!("cannot find {}", self.root.display()))?;
        let is_named = self.step == Step::Task && path.is_absolute();
        match is_named || place.starts_with(root) {
            true => Ok(place),
            false => bail!(
                "cannot use {}: a symbolic link leads out of the {}'s inputs\nhint: put the file itself there",
                path.display(),
                self.step.name()
            ),
        }
    }

    /// Reads a text of an input; `what` says which, for errors.
    ///
    /// # Errors
    /// When it isn't there, or no text.
    pub(super) fn text(&self, what: &str, path: &Path) -> Result<String> {
        let place = self.place(path)?;
        let read = fs::File::open(place).map_err(Into::into).and_then(build::text::read);
        read.with_context(|| format!("cannot read {what} {}", path.display()))
    }

    /// Reads a file with a table of names and values, in YAML or JSON; `what` says which, for errors.
    ///
    /// # Errors
    /// When it isn't there, or no such table; no value is shown.
    pub(super) fn table(&self, what: &str, path: &Path) -> Result<BTreeMap<String, String>> {
        let error = || format!("cannot read {what} {}", path.display());
        let text = self.text(what, path)?;
        // An error of the parser might show a value.
        let values: BTreeMap<String, Value> = serde_saphyr::from_str(&text)
            .ok()
            .with_context(|| format!("{}: expected a table of names and values", error()))?;
        let texts = values.into_iter().map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Bool(_) | Value::Number(_) => Ok((name, value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                bail!("{}: the value of `{name}` is neither a text, a number nor true or false", error())
            }
        });
        texts.collect()
    }

    /// Returns the values of a file, over which those in the params win.
    ///
    /// # Errors
    /// As [`Inputs::table`] has them.
    pub(super) fn table_with(
        &self,
        what: &str,
        file: Option<&Path>,
        values: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>> {
        let mut all = file.map(|path| self.table(what, path)).transpose()?.unwrap_or_default();
        all.extend(values.clone());
        Ok(all)
    }

    /// What is missing was most likely not mounted.
    fn missing(&self, path: &Path) -> anyhow::Error {
        let shown = path.display();
        let input = path.components().next().map(|first| first.as_os_str().to_string_lossy().into_owned());
        let input = input.unwrap_or_default();
        match (self.has(Path::new(&input)), self.step) {
            (true, Step::Put) => anyhow!("cannot find {shown}: the input {input} has no such file"),
            (true, Step::Task) => anyhow!("cannot find {shown}: there is no such file"),
            (false, Step::Put) => anyhow!(
                "cannot find {shown}: there is no input {input}\nhint: a put gets the inputs that its params name; is it fetched by an earlier step? If the definition alone names it, write `inputs: all`"
            ),
            (false, Step::Task) => anyhow!(
                "cannot find {shown}: there is no input {input}\nhint: list it among the `inputs` of the task's configuration"
            ),
        }
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Put => "put",
            Step::Task => "task",
        }
    }
}
