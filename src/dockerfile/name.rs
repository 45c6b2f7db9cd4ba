//! The names of instructions, and what is known of an instruction by its name.

use std::fmt;

/// An instruction's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
}

/// All of them, in capitals.
const NAMES: [(&str, Name); 18] = [
    ("ADD", Name::Add),
    ("ARG", Name::Arg),
    ("CMD", Name::Cmd),
    ("COPY", Name::Copy),
    ("ENTRYPOINT", Name::Entrypoint),
    ("ENV", Name::Env),
    ("EXPOSE", Name::Expose),
    ("FROM", Name::From),
    ("HEALTHCHECK", Name::Healthcheck),
    ("LABEL", Name::Label),
    ("MAINTAINER", Name::Maintainer),
    ("ONBUILD", Name::Onbuild),
    ("RUN", Name::Run),
    ("SHELL", Name::Shell),
    ("STOPSIGNAL", Name::Stopsignal),
    ("USER", Name::User),
    ("VOLUME", Name::Volume),
    ("WORKDIR", Name::Workdir),
];

impl Name {
    /// Reads a name, in whatever letters.
    pub(super) fn parse(text: &str) -> Option<Name> {
        NAMES.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, name)| name)
    }

    /// Returns every name, in capitals.
    pub(super) fn all() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().map(|(name, _)| name)
    }

    /// Says whether the instruction announces here-documents.
    pub(super) fn has_heredocs(self) -> bool {
        matches!(self, Name::Add | Name::Copy | Name::Run)
    }

    /// Returns how the instruction may look.
    pub(super) fn example(self) -> &'static str {
        match self {
            Name::Add => "ADD archive.tar /directory/",
            Name::Arg => "ARG version=1",
            Name::Cmd => "CMD [\"program\"]",
            Name::Copy => "COPY file /directory/",
            Name::Entrypoint => "ENTRYPOINT [\"program\"]",
            Name::Env => "ENV NAME=value",
            Name::Expose => "EXPOSE 80/tcp",
            Name::From => "FROM image AS name",
            Name::Healthcheck => "HEALTHCHECK CMD program, or HEALTHCHECK NONE",
            Name::Label => "LABEL name=value",
            Name::Maintainer => "MAINTAINER name",
            Name::Onbuild => "ONBUILD RUN make",
            Name::Run => "RUN make",
            Name::Shell => "SHELL [\"/bin/bash\", \"-c\"]",
            Name::Stopsignal => "STOPSIGNAL SIGTERM",
            Name::User => "USER name:group",
            Name::Volume => "VOLUME /data",
            Name::Workdir => "WORKDIR /app",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[*self as usize].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_as_it_is_shown() {
        for (text, name) in NAMES {
            assert_eq!((name.to_string().as_str(), Name::parse(text)), (text, Some(name)));
            assert!(name.example().starts_with(text));
        }
        assert_eq!((Name::parse("cOpy"), Name::parse("COPYS")), (Some(Name::Copy), None));
    }
}
