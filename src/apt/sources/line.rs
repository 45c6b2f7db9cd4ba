//! The lines of a `sources.list`: `deb [options] uri suite component…`.

use super::value::{excerpt, lenience, parse_bool, parse_seconds};
use super::{CDROM, Ignored, Kind, Place, Repository, SignedBy, SourceError, Sources, Validity};

/// What a line looks like.
pub(super) const ONE_LINE_FORM: &str = "expected `deb [options] uri suite component…`";

/// Reads a `sources.list`, or a single line of one.
pub fn parse_one_line(text: &str, file: &str) -> Result<Sources, SourceError> {
    let mut sources = Sources::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let place = Place { file: file.to_owned(), line: index + 1 };
        match read_line(line, &place)? {
            Some(repository) => sources.repositories.push(repository),
            None => sources.ignored.push(Ignored { place, reason: CDROM }),
        }
    }
    Ok(sources)
}

/// Returns `None` for a cdrom.
fn read_line(line: &str, place: &Place) -> Result<Option<Repository>, SourceError> {
    let fail = |problem: String| SourceError { place: place.clone(), problem };
    let (word, rest) = line.split_once(char::is_whitespace).ok_or_else(|| fail(ONE_LINE_FORM.to_owned()))?;
    let kind = Kind::parse(word).map_err(fail)?;
    let (options, rest) =
        split_options(rest.trim_start()).ok_or_else(|| fail("expected `]` after the options".to_owned()))?;
    if rest.starts_with("cdrom:") {
        return Ok(None);
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
        return Err(fail(ONE_LINE_FORM.to_owned()));
    };
    let mut repository = Repository {
        kind,
        uri,
        suite,
        components: words.collect(),
        architectures: None,
        signed_by: SignedBy::Unset,
        trusted: None,
        lenience: None,
        validity: Validity::default(),
        place: place.clone(),
    };
    for option in options.split_whitespace() {
        read_option(option, &mut repository).map_err(fail)?;
    }
    repository.checked().map(Some)
}

/// Splits `[options] rest`; `None` if the bracket stays open.
fn split_options(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        None => Some(("", text)),
        Some(text) => text.split_once(']').map(|(options, rest)| (options, rest.trim_start())),
    }
}

fn read_option(option: &str, repository: &mut Repository) -> Result<(), String> {
    let (name, value) =
        option.split_once('=').ok_or_else(|| format!("expected `name=value`, got {:?}", excerpt(option)))?;
    let values = || value.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    match name {
        "arch" => repository.architectures = Some(values()),
        "arch+" => repository.architectures.get_or_insert_default().extend(values()),
        "signed-by" => repository.signed_by = SignedBy::of_list(values())?,
        "trusted" => {
            repository.trusted = Some(parse_bool(name, value)?);
            repository.lenience = lenience(name, value)?.or(repository.lenience);
        }
        "check-valid-until" => repository.validity.check = Some(parse_bool(name, value)?),
        "valid-until-min" => repository.validity.at_least = parse_seconds(name, value)?,
        "valid-until-max" => repository.validity.at_most = parse_seconds(name, value)?,
        "allow-weak" | "allow-insecure" | "allow-downgrade-to-insecure" => {
            repository.lenience = lenience(name, value)?.or(repository.lenience);
        }
        _ if is_without_effect(name) => {}
        _ => return Err(format!("{:?} is not an option of a source", excerpt(name))),
    }
    Ok(())
}

/// Options of apt's that change nothing about which packages there are.
fn is_without_effect(name: &str) -> bool {
    let name = name.trim_end_matches(['+', '-']);
    matches!(
        name,
        "lang" | "target" | "pdiffs" | "by-hash" | "check-date" | "date-max-future" | "inrelease-path"
    ) || name == "snapshot"
}
