//! A definition instead of a Dockerfile.

use std::fs;

use crate::yard::Yard;

const DEFINITION: &str = r#"
variable "greeting" { default = "hello" }

image "example/hello" {
  file "/greeting" {
    from_context { path = "greeting" }
  }
  labels = { greeting = greeting }
}
"#;

fn yard() -> Yard {
    let yard = Yard::new();
    yard.write("source/estaleiro.hcl", DEFINITION);
    yard.write("source/greeting", "from the source");
    yard
}

#[test]
fn a_definition_is_built_with_its_variables() {
    for (params, label) in [
        (&[("DEFINITION", "source")][..], "hello"),
        (&[("DEFINITION", "source/estaleiro.hcl"), ("VAR_greeting", "hi")], "hi"),
        (&[("DEFINITION", "source"), ("BUILD_ARG_greeting", "ahoy")], "ahoy"),
        (&[("DEFINITION", "source"), ("VARS_FILE", "vars.yml")], "from a file"),
        (&[("DEFINITION", "source"), ("VARS_FILE", "vars.yml"), ("VAR_greeting", "hi")], "hi"),
    ] {
        let yard = yard();
        yard.write("vars.yml", "greeting: from a file");
        yard.build(params);
        assert_eq!(yard.config("image")["config"]["Labels"]["greeting"], label, "{params:?}");
        assert_eq!(yard.file("image", "greeting"), "from the source");
        assert!(yard.read("image/bom.yml").contains("product_name: example/hello"));
    }
}

#[test]
fn policies_are_kept() {
    let yard = yard();
    yard.write("strict.hcl", "policy { require_non_root = true }");
    let said = yard.fail(1, &[("DEFINITION", "source"), ("POLICIES", "strict.hcl")]);
    assert!(said.contains("- require_non_root (strict.hcl:1): the image names no user"), "{said}");
    assert!(!yard.path("image/digest").exists());
}

#[test]
fn its_files_may_lie_elsewhere() {
    let yard = yard();
    yard.write("files/greeting", "from elsewhere");
    yard.build(&[("DEFINITION", "source"), ("CONTEXT", "files"), ("UNPACK_ROOTFS", "true")]);
    assert_eq!(yard.read("image/rootfs/greeting"), "from elsewhere");
}

#[test]
fn a_lock_is_used_as_it_is() {
    let yard = yard();
    yard.build(&[("DEFINITION", "source")]);
    let first = yard.read("image/digest");
    fs::rename(yard.path("image/estaleiro.lock"), yard.path("lock")).unwrap();
    fs::copy(yard.path("lock"), yard.path("source/estaleiro.lock")).unwrap();
    for lock in ["lock", ""] {
        fs::remove_dir_all(yard.path("image")).unwrap();
        yard.directory("image");
        yard.build(&[("DEFINITION", "source"), ("LOCK", lock)]);
        assert_eq!(yard.read("image/digest"), first);
    }
    yard.write("source/estaleiro.lock", "{}");
    let stderr = yard.fail(2, &[("DEFINITION", "source")]);
    assert!(stderr.contains("source/estaleiro.lock"), "{stderr}");
    let stderr = yard.fail(2, &[("DEFINITION", "source"), ("LOCK", "none")]);
    assert!(stderr.contains("cannot use LOCK: cannot find none"), "{stderr}");
}

#[test]
fn its_mistakes_are_shown_with_their_place() {
    let yard = yard();
    yard.write("source/estaleiro.hcl", "image \"x\" {\n  labls = {}\n}\n");
    let stderr = yard.fail(2, &[("DEFINITION", "source")]);
    assert!(stderr.contains("source/estaleiro.hcl:2"), "{stderr}");
}

#[test]
fn the_task_says_which_forms_are_attached_else_the_definition() {
    let definition = DEFINITION.replacen("labels", "bom_formats = [\"spdx\"]\nlabels", 1);
    for (formats, attached) in [("", [true, false]), ("cyclonedx,yaml", [false, true])] {
        let yard = yard();
        yard.write("source/estaleiro.hcl", &definition);
        yard.build(&[("DEFINITION", "source"), ("OUTPUT_OCI", "true"), ("BOM_FORMATS", formats)]);
        let referrers = yard.read("image/image/referrers.json");
        let types = ["application/spdx+json", "application/vnd.cyclonedx+json"];
        assert_eq!(types.map(|kind| referrers.contains(kind)), attached, "{formats}");
    }
}
