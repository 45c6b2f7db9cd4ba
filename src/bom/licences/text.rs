//! The report as text, for people.

use std::fmt;

use super::{Entry, LicenceReport, Name, Open};

/// No line of names is longer.
const WIDTH: usize = 100;

impl fmt::Display for LicenceReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.image.as_ref().map(|digest| format!(" ({digest})")).unwrap_or_default();
        writeln!(f, "Licences of {}{image}", self.product_name)?;
        write!(f, "{}", self.open)?;
        writeln!(f, "\n# Licences, and what is under each\n")?;
        for licensed in &self.licences {
            writeln!(f, "{}", licensed.licence)?;
            f.write_str(&wrapped(licensed.packages.iter().map(Name::to_string)))?;
        }
        writeln!(f, "\n# Packages, whose copyright they are, and where their sources are")?;
        for entry in &self.packages {
            write!(f, "\n{entry}")?;
        }
        if !self.texts.is_empty() {
            writeln!(f, "\n# Texts of licences that have no identifier")?;
        }
        for (name, text) in self.texts {
            writeln!(f, "\n{name}")?;
            for line in text.lines() {
                writeln!(f, "{}", format!("    {line}").trim_end())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Open<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.packages.is_empty() && self.inside.is_empty() && self.n_files == 0 {
            return Ok(());
        }
        writeln!(f, "\n# Open: nobody declares a licence of these\n")?;
        for entry in &self.packages {
            write!(f, "{entry}")?;
        }
        for (path, packages) in &self.inside {
            writeln!(f, "inside {path}:")?;
            f.write_str(&wrapped(packages.iter().cloned()))?;
        }
        match self.n_files {
            0 => Ok(()),
            n => writeln!(f, "files that were added one by one: {n}, listed in the bill of materials"),
        }
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.packages.iter().map(Name::to_string).collect();
        writeln!(f, "{}", names.join(", "))?;
        for (title, value) in [("licence", self.expression), ("declared by", self.declared_by)] {
            if !value.is_empty() {
                writeln!(f, "    {title}: {value}")?;
            }
        }
        if !self.holders.is_empty() {
            writeln!(f, "    copyright:")?;
        }
        for holder in self.holders {
            writeln!(f, "        {holder}")?;
        }
        let source = &self.source;
        let unknown =
            if source.uris.is_empty() && source.git.is_none() { ", not recorded where" } else { "" };
        writeln!(f, "    source: {} {}{unknown}", source.name, source.version)?;
        for uri in &source.uris {
            writeln!(f, "        {uri}")?;
        }
        let Some(git) = source.git else { return Ok(()) };
        let declared = if git.verified { "" } else { ", as declared" };
        writeln!(f, "        {} at {}{declared}", git.repository_uri, git.reference)
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.version.is_empty() { Ok(()) } else { write!(f, " {}", self.version) }
    }
}

/// Names, one after another, on indented lines.
fn wrapped(names: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let mut width = 0;
    for name in names {
        if width > 0 && width + name.len() + 2 > WIDTH {
            text.push_str(",\n");
            width = 0;
        }
        let before = if width == 0 { "    " } else { ", " };
        width += before.len() + name.len();
        text.push_str(before);
        text.push_str(&name);
    }
    text + "\n"
}
