//! What a `policy` block may say.

use super::*;

const IMAGE: &str = "image \"x\" {}\n";

const WHOLE: &str = r#"policy {
  allow_images         = ["debian", "registry.example/base/*"]
  allow_repositories   = ["https://archive.example/debian/ bookworm bookworm-*"]
  allow_keys           = ["9DC8 5822 9FC7 DD38 854A  E2D8 8D81 803C 0EBF CD88"]
  allow_private_keys   = ["/usr/share/doc/**"]
  allow_unaccounted    = []
  deny_packages        = ["telnet*", "openssl (<< 3.0.11-1)"]
  deny_licences        = ["AGPL-*"]
  deny_network         = true
  deny_unproven        = true
  require_digests      = true
  require_sources      = true
  require_verified_vcs = true
  require_non_root     = true
  require_licences     = true
}
"#;

#[test]
fn every_rule_is_read_in_a_definition_and_alone() {
    let policy = read(&format!("{IMAGE}{WHOLE}")).policy.unwrap();
    let alone = parse_policy(WHOLE, "policy.hcl").unwrap_or_else(|mistakes| panic!("\n{mistakes}\n"));
    for policy in [&policy, &alone] {
        let repository = &policy.allow_repositories.as_ref().unwrap().value[0];
        assert!(repository.matches("https://archive.example/debian", "bookworm-updates"));
        assert!(!repository.matches("https://archive.example/debian", "trixie"));
        assert_eq!(policy.allow_keys.as_ref().unwrap().value, ["9DC858229FC7DD38854AE2D88D81803C0EBFCD88"]);
        let packages = &policy.deny_packages.as_ref().unwrap().value;
        assert!(packages[0].matches("telnetd", "1") && packages[1].matches("openssl", "3.0.2-1"));
        assert!(!packages[1].matches("openssl", "3.0.11-1"));
        let switches = [
            &policy.deny_network,
            &policy.deny_unproven,
            &policy.require_digests,
            &policy.require_sources,
            &policy.require_verified_vcs,
            &policy.require_non_root,
            &policy.require_licences,
        ];
        assert!(switches.iter().all(|switch| switch.value));
    }
    let allowed = policy.allow_images.as_ref().unwrap();
    assert_eq!(policy.place(&allowed.span), "estaleiro.hcl:3");
    assert_eq!(alone.place(&alone.allow_images.as_ref().unwrap().span), "policy.hcl:2");
}

#[test]
fn a_policy_that_is_wrong_is_refused_at_its_place() {
    for (text, place, said) in [
        ("policy { allow_image = [] }", "1:10", "did you mean `allow_images`?"),
        ("policy { allow_images = \"debian\" }", "1:25", "put it in brackets"),
        ("policy { allow_keys = [\"8D81803C\"] }", "1:24", "write all 40 hexadecimal digits"),
        ("policy { allow_private_keys = [\"etc\"] }", "1:32", "is not absolute"),
        ("policy { allow_repositories = [\"bookworm\"] }", "1:32", "cannot read this repository"),
        ("policy { deny_packages = [\"a (= )\"] }", "1:27", "invalid package `a (= )`"),
        ("policy { deny_packages = [\"a (= 1), b\"] }", "1:27", "invalid package"),
        ("policy { deny_licences = [\"MIT OR X\"] }", "1:27", "write one identifier"),
        ("policy { require_sources = \"yes\" }", "1:28", "expected true or false"),
        ("policy \"mine\" {}", "1:8", "`policy` has no name here"),
        ("policy {}\npolicy {}", "2:1", "second `policy` block"),
        ("policy {}\nimage \"x\" {}", "2:1", "unknown block `image` in a policy"),
        ("", "1:1", "there is no `policy` block"),
    ] {
        let mistakes = parse_policy(text, "policy.hcl").expect_err(text).to_string();
        assert!(mistakes.contains(&format!("policy.hcl:{place}")) && mistakes.contains(said), "{mistakes}");
    }
}
