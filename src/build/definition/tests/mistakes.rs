//! Definitions that are wrong, and what is said about them, in full.

mod names;
mod origins;
mod packages;
mod values;

use super::*;

#[test]
fn every_mistake_is_reported_in_the_order_of_the_text() {
    let text = "image \"x\" {\n  entripoint = []\n  cmd = \"a\"\n  workdir = \"srv\"\n}\n\nstep \"s\" {\n  target = tag\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: unknown attribute `entripoint` in `image`
     --> estaleiro.hcl:2:3
      |
    2 |   entripoint = []
      |   ^^^^^^^^^^
      |
      = hint: did you mean `entrypoint`?

    error: wrong type for `cmd`: expected a list of strings, got a string
     --> estaleiro.hcl:3:9
      |
    3 |   cmd = "a"
      |         ^^^
      |
      = hint: put it in brackets: ["a"]

    error: `workdir` is not absolute
     --> estaleiro.hcl:4:13
      |
    4 |   workdir = "srv"
      |             ^^^^^
      |
      = hint: paths in an image begin with `/`: "/srv"

    error: variable `tag` is not defined: no variable is
     --> estaleiro.hcl:8:12
      |
    8 |   target = tag
      |            ^^^
      |
      = hint: pass it with `--var tag=…`, or declare it: variable "tag" { default = "…" }
    "#);
}

#[test]
fn a_syntax_error_stands_alone() {
    insta::assert_snapshot!(mistakes("image \"x\" {\n  cmd = [\n  unknown = 1\n"), @r#"
    error: cannot read this: expected `]`
     --> estaleiro.hcl:3:11
      |
    3 |   unknown = 1
      |           ^
      |
      = hint: nothing closes the `[` on line 2
    "#);
    insta::assert_snapshot!(mistakes("unknown = 1\nimage 'x' {}\n"), @r#"
    error: cannot read this: invalid structure; expected `{`, `=`, `"` or identifier
     --> estaleiro.hcl:2:7
      |
    2 | image 'x' {}
      |       ^
      |
      = hint: texts stand in double quotes: "…"
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" {\n"), @r#"
    error: cannot read this: invalid block body; expected `}`, newline or identifier
     --> estaleiro.hcl:1:12
      |
    1 | image "x" {
      |            ^
      |
      = hint: nothing closes the `{` on line 1
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" { cmd = [\"a\" }\n"), @r#"
    error: cannot read this: expected `]`
     --> estaleiro.hcl:1:24
      |
    1 | image "x" { cmd = ["a" }
      |                        ^
      |
      = hint: nothing closes the `[` on line 1
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" {}\n}\n"), @r#"
    error: cannot read this: unexpected token
     --> estaleiro.hcl:2:1
      |
    2 | }
      | ^
      |
      = hint: it closes nothing that is open here
    "#);
}

#[test]
fn an_image_there_must_be_and_only_one() {
    insta::assert_snapshot!(mistakes(""), @r#"
    error: a definition needs an `image` block
     --> estaleiro.hcl:1:1
      |
    1 |
      | ^
      |
      = hint: write: image "product" { … }
    "#);
    insta::assert_snapshot!(mistakes("image \"x\" {}\nimage \"y\" {}\n"), @r#"
    error: second `image` block: the first is on line 1
     --> estaleiro.hcl:2:1
      |
    2 | image "y" {}
      | ^^^^^
      |
      = hint: one definition builds one image; write another definition for the other
    "#);
    insta::assert_snapshot!(mistakes("image {}\nstep \"a\" \"b\" {}\ntarball \" \" {}\n"), @r#"
    error: `image` needs a name
     --> estaleiro.hcl:1:1
      |
    1 | image {}
      | ^^^^^
      |
      = hint: write: image "product" { … }

    error: `step` has more than one name
     --> estaleiro.hcl:2:10
      |
    2 | step "a" "b" {}
      |          ^^^
      |
      = hint: write: step "name" { dockerfile = "Dockerfile" }

    error: the name of `tarball` is empty
     --> estaleiro.hcl:3:9
      |
    3 | tarball " " {}
      |         ^^^
      |
      = hint: write: tarball "path.tgz" { … }
    "#);
}

#[test]
fn variables_without_a_value_are_refused() {
    let text = "variable \"declared\" {}\nimage \"x\" { cmd = [declared, \"${missing}\", var.given] }\n";
    insta::assert_snapshot!(mistakes_with(text, &[("given", "")]), @r#"
    error: variable `declared` has no value
     --> estaleiro.hcl:1:10
      |
    1 | variable "declared" {}
      |          ^^^^^^^^^^
      |
      = hint: pass it with `--var declared=…`, or give it a default

    error: variable `missing` is not defined: those that are: `given`
     --> estaleiro.hcl:2:33
      |
    2 | image "x" { cmd = [declared, "${missing}", var.given] }
      |                                 ^^^^^^^
      |
      = hint: pass it with `--var missing=…`, or declare it: variable "missing" { default = "…" }

    error: cannot look into `var.given`: nothing here has parts
     --> estaleiro.hcl:2:44
      |
    2 | image "x" { cmd = [declared, "${missing}", var.given] }
      |                                            ^^^^^^^^^
      |
      = hint: variables are plain texts; their names stand alone: `${given}`
    "#);
}

#[test]
fn a_variable_is_declared_by_a_plain_text() {
    let text = "variable \"1x\" { default = \"\" }\nvariable \"a\" { default = \"${b}\" }\nvariable \"c\" { default = [] }\nimage \"x\" { cmd = [a, c] }\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: invalid variable name `1x`
     --> estaleiro.hcl:1:10
      |
    1 | variable "1x" { default = "" }
      |          ^^^^
      |
      = hint: a variable's name has letters, digits, `_` and `-`, and begins with a letter or `_`

    error: a `default` cannot use variables
     --> estaleiro.hcl:2:26
      |
    2 | variable "a" { default = "${b}" }
      |                          ^^^^^^
      |
      = hint: write the text out

    error: wrong type for `default`: expected a string, written out
     --> estaleiro.hcl:3:26
      |
    3 | variable "c" { default = [] }
      |                          ^^
      |
      = hint: variables are plain texts: default = "…"
    "#);
}

#[test]
fn what_has_to_be_worked_out_is_refused() {
    let text = "image \"x\" {\n  cmd = [upper(\"a\"), \"${1 + 1}\", -a]\n  entrypoint = [for x in [\"a\"] : x]\n  workdir = \"%{ for x in [1] }a%{ endfor }\"\n  run_as = \"a\" ? \"b\" : \"c\"\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    error: cannot call `upper`: a definition has no functions
     --> estaleiro.hcl:2:10
      |
    2 |   cmd = [upper("a"), "${1 + 1}", -a]
      |          ^^^^^^^^^^
      |
      = hint: write the value itself, or hand it in as a variable

    error: cannot calculate here: a definition knows `==`, `!=`, `&&`, `||`, `!` and `? :` only
     --> estaleiro.hcl:2:25
      |
    2 |   cmd = [upper("a"), "${1 + 1}", -a]
      |                         ^^^^^
      |
      = hint: write the value itself, or hand it in as a variable

    error: cannot calculate here: a definition knows `==`, `!=`, `&&`, `||`, `!` and `? :` only
     --> estaleiro.hcl:2:34
      |
    2 |   cmd = [upper("a"), "${1 + 1}", -a]
      |                                  ^^
      |
      = hint: write the value itself, or hand it in as a variable

    error: cannot repeat with `for`: a definition has no loops
     --> estaleiro.hcl:3:16
      |
    3 |   entrypoint = [for x in ["a"] : x]
      |                ^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write the elements out

    error: cannot repeat with `for`: a definition has no loops
     --> estaleiro.hcl:4:14
      |
    4 |   workdir = "%{ for x in [1] }a%{ endfor }"
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: write the elements out

    error: cannot work out this value: its parts don't fit together
     --> estaleiro.hcl:5:12
      |
    5 |   run_as = "a" ? "b" : "c"
      |            ^^^^^^^^^^^^^^^
      |
      = hint: compare like with like, and put `true` or `false` before `?`
    "#);
}

#[test]
fn what_a_variable_holds_is_never_shown() {
    let text = "image \"x\" {\n  workdir = token\n  base_image = \"${token}\"\n  ports = [token]\n  run_as = \"${token}\"\n  cmd = \"${token}\"\n  apt {\n    repositories = [\"${token}\"]\n    key \"k\" {\n      uri = token\n      fingerprint = token\n    }\n  }\n}\n";
    let said = mistakes_with(text, &[("token", "Hunter 2")]);
    assert_eq!(said.matches("error:").count(), 8, "{said}");
    assert!(!said.contains("Hunter"), "{said}");
}

#[test]
fn a_map_with_very_many_names_is_refused() {
    let names: String = (0..5000).map(|n| format!("(a{n}) = 1,")).collect();
    let said = mistakes(&format!("image \"x\" {{ env = {{ {names} }} }}"));
    assert!(said.contains("cannot read this map: it has more than 4096 names"), "{said}");
}

#[test]
fn a_definition_that_is_too_long_is_refused() {
    let text = format!("image \"x\" {{}}\n#{}", "é".repeat(600_000));
    insta::assert_snapshot!(mistakes(&text), @r#"
    error: cannot read this definition: it has 1200014 bytes, and may have 1048576
     --> estaleiro.hcl:1:1
      |
    1 | image "x" {}
      | ^
      |
      = hint: is it the right file?
    "#);
}

#[test]
fn of_many_mistakes_the_first_are_shown_and_the_others_counted() {
    let lines: String = (0..6000).map(|n| format!("  a{n} = 1\n")).collect();
    let said = mistakes(&format!("image \"x\" {{\n{lines}}}\n"));
    assert_eq!(said.matches("error:").count(), 50);
    assert!(said.ends_with("and 5950 more mistakes"), "{}", &said[said.len() - 100..]);
}
