//! Both forms of sources, and what is wrong with them.

use proptest::prelude::*;

use super::line::ONE_LINE_FORM;
use super::stanza::DISABLED;
use super::*;

fn one(line: &str) -> Repository {
    parse_one_line(line, "sources.list").unwrap().repositories.remove(0)
}

#[test]
fn lines_are_read_in_order_with_their_places() {
    let text = "# comment\n\ndeb http://archive.example/debian bookworm main contrib # more\n\
                deb-src\thttp://archive.example/debian bookworm main\ndeb cdrom:[Debian 12]/ bookworm main\n";
    let sources = parse_one_line(text, "sources.list").unwrap();
    let shown: Vec<_> = sources.repositories.iter().map(|r| format!("{}: {r}", r.place)).collect();
    assert_eq!(
        shown,
        [
            "sources.list:3: deb http://archive.example/debian bookworm main contrib",
            "sources.list:4: deb-src http://archive.example/debian bookworm main"
        ]
    );
    assert_eq!(sources.ignored.len(), 1);
    assert_eq!((sources.ignored[0].place.line, sources.ignored[0].reason), (5, CDROM));
}

#[test]
fn options_stand_in_brackets() {
    let repository = one(
        "deb [ arch=amd64,arm64 signed-by=docker trusted=no lang=none check-valid-until=no ] https://archive.example/linux bionic stable",
    );
    assert_eq!(repository.architectures, Some(vec!["amd64".to_owned(), "arm64".to_owned()]));
    assert_eq!(repository.signed_by, SignedBy::Paths(vec!["docker".to_owned()]));
    assert_eq!((repository.trusted, repository.validity.check), (Some(false), Some(false)));
    assert_eq!(repository.lenience, None);
    assert!(repository.offers("arm64") && !repository.offers("i386"));
}

#[test]
fn who_asks_to_be_believed_without_a_good_signature_is_noted() {
    for (options, expected) in [
        ("trusted=yes", Some("trusted=yes")),
        ("allow-weak=1 trusted=no", Some("allow-weak=yes")),
        ("allow-insecure=true", Some("allow-insecure=yes")),
        ("allow-downgrade-to-insecure=on", Some("allow-downgrade-to-insecure=yes")),
        ("allow-weak=no trusted=no allow-insecure=no", None),
    ] {
        assert_eq!(one(&format!("deb [{options}] http://archive.example a b")).lenience, expected);
    }
    let text = "Types: deb\nURIs: http://archive.example\nSuites: ./\nAllow-Insecure: yes\n";
    let sources = parse_deb822(text, "f").unwrap();
    assert_eq!(sources.repositories[0].lenience, Some("allow-insecure=yes"));
}

#[test]
fn a_source_may_say_for_how_long_its_release_file_counts() {
    let validity = |options: &str| one(&format!("deb [{options}] http://archive.example a b")).validity;
    let expected = Validity { check: None, at_least: Some(86_400), at_most: Some(172_800) };
    assert_eq!(validity("valid-until-min=86400 valid-until-max=172800"), expected);
    assert_eq!(validity("valid-until-max=0"), Validity::default());
    let text = "Types: deb\nURIs: http://archive.example\nSuites: ./\nValid-Until-Max: 60\n";
    assert_eq!(parse_deb822(text, "f").unwrap().repositories[0].validity.at_most, Some(60));
}

#[test]
fn keys_are_paths_names_or_fingerprints() {
    let fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
    let signed_by =
        |value: &str| one(&format!("deb [signed-by={value}] http://archive.example a b")).signed_by;
    assert_eq!(
        signed_by("/usr/share/keyrings/a.gpg,b"),
        SignedBy::Paths(vec!["/usr/share/keyrings/a.gpg".to_owned(), "b".to_owned()])
    );
    assert_eq!(
        signed_by(&format!("{fingerprint}!")),
        SignedBy::Fingerprints(vec![format!("{fingerprint}!")])
    );
}

#[test]
fn a_flat_repository_has_no_components() {
    assert!(one("deb http://archive.example/ ./").is_flat());
    assert!(one("deb http://archive.example/ dir/").is_flat());
}

#[test]
fn a_paragraph_is_every_combination() {
    let text = "Types: deb deb-src\nURIs: http://archive.example/debian\nSuites: bookworm bookworm-updates\n\
                Components: main\n# comment\nSigned-By: /usr/share/keyrings/debian.gpg\nArchitectures: amd64\n\n\
                Enabled: no\nTypes: deb\n";
    let sources = parse_deb822(text, "debian.sources").unwrap();
    let shown: Vec<_> = sources.repositories.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "deb http://archive.example/debian bookworm main",
            "deb http://archive.example/debian bookworm-updates main",
            "deb-src http://archive.example/debian bookworm main",
            "deb-src http://archive.example/debian bookworm-updates main"
        ]
    );
    assert_eq!((sources.ignored[0].place.line, sources.ignored[0].reason), (9, DISABLED));
}

#[test]
fn an_embedded_key_is_unfolded() {
    let text = "Types: deb\nURIs: http://archive.example\nSuites: ./\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n -----END PGP PUBLIC KEY BLOCK-----\n";
    let signed_by = parse_deb822(text, "f").unwrap().repositories.remove(0).signed_by;
    let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n";
    assert_eq!(signed_by, SignedBy::Embedded(key.to_owned()));
}

#[test]
fn a_mistake_is_named_with_its_place_and_without_credentials() {
    for (line, problem) in [
        ("deb", ONE_LINE_FORM),
        ("deb http://archive.example", ONE_LINE_FORM),
        ("dep http://archive.example a b", "expected type `deb` or `deb-src`, got \"dep\""),
        ("deb [arch=amd64 http://archive.example a b", "expected `]` after the options"),
        ("deb [singed-by=x] http://archive.example a b", "\"singed-by\" is not an option of a source"),
        ("deb [signed-by=] http://archive.example a b", "signed-by names no key"),
        ("deb [trusted=maybe] http://archive.example a b", "trusted is `yes` or `no`, not \"maybe\""),
        (
            "deb [valid-until-max=week] http://archive.example a b",
            "valid-until-max is a number of seconds, not \"week\"",
        ),
        ("deb [arch=a/b] http://archive.example a b", "\"a/b\" is not an architecture"),
        ("deb archive.example a b", "\"archive.example\" is not a URI"),
        ("deb http://archive.example a", "suite \"a\" needs a component, as `main`"),
        ("deb http://archive.example a/ b", "suite \"a/\" ends in a slash, so no component may follow"),
        ("deb http://archive.example ../../a b", "suite and components may not hold `..`"),
    ] {
        let error = parse_one_line(line, "f").unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read source at f:1: {problem}"));
    }
    let repository = one("deb https://user:secret@archive.example/a suite main");
    assert!(!format!("{repository} {repository:?}").contains("secret"));
}

#[test]
fn a_paragraph_without_a_field_or_with_too_many_combinations_is_refused() {
    let error = parse_deb822("\nTypes: deb\nURIs: http://archive.example\n", "f").unwrap_err();
    assert_eq!(error.to_string(), "cannot read source at f:2: field Suites is missing");
    let many = "a ".repeat(1001);
    let text = format!("Types: deb\nURIs: http://archive.example\nSuites: {many}\nComponents: b\n");
    let error = parse_deb822(&text, "f").unwrap_err();
    assert_eq!(error.problem, "1001 combinations of types, URIs and suites are too many");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(deb|deb-src|Types:|URIs:|Suites:|\\[|\\]|a=|http://|[ \\n,#/é])[ ]?{0,30}") {
        let _ = parse_one_line(&text, "f");
        let _ = parse_deb822(&text, "f");
    }
}
