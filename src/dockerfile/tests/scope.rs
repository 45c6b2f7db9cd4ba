//! Who sees which variable.

use super::*;

fn globals(text: &str, arguments: &[(&str, &str)]) -> Globals {
    let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let platform = Platform { os: "linux".into(), architecture: "arm".into(), variant: "v7".into() };
    let builder = Platform { os: "linux".into(), architecture: "amd64".into(), variant: String::new() };
    let given = Given { arguments: arguments.collect(), builder, platform, target: None, ..Given::default() };
    Globals::of(&parse(text), given).unwrap()
}

/// Follows the first stage, and returns what a RUN at its end sees, PATH left out.
fn seen(text: &str, arguments: &[(&str, &str)], environment: &[&str]) -> Vec<String> {
    let globals = globals(text, arguments);
    let mut scope = Scope::on_image(&globals, &strings(environment));
    for instruction in &parse(text).stages[0].instructions {
        scope.follow(instruction).unwrap();
    }
    shown(&scope)
}

fn shown(scope: &Scope<'_>) -> Vec<String> {
    let variables = scope.of_run().into_iter().filter(|(name, _)| name != "PATH");
    variables.map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn a_given_argument_counts_more_than_a_default() {
    assert_eq!(seen("FROM x\nARG a=1\nARG b=$a", &[("a", "2")], &[]), ["a=2", "b=2"]);
    assert_eq!(seen("FROM x\nARG a=1 b=\"$a 1\" c", &[], &[]), ["a=1", "b=1 1"]);
}

#[test]
fn the_default_of_a_given_argument_is_not_looked_at() {
    assert_eq!(seen("FROM x\nARG a=${b:?no}", &[("a", "2")], &[]), ["a=2"]);
}

#[test]
fn an_argument_before_from_is_seen_in_a_stage_that_asks_for_it() {
    assert_eq!(seen("ARG a=1\nARG b=2$a\nFROM x\nARG b", &[], &[]), ["b=21"]);
    assert_eq!(seen("ARG a=1\nFROM x\nARG a=3", &[], &[]), ["a=3"]);
    assert_eq!(seen("ARG a=1\nFROM x\nARG a", &[("a", "4")], &[]), ["a=4"]);
}

#[test]
fn platforms_are_predefined() {
    let text =
        "FROM x AS end\nARG TARGETPLATFORM TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDVARIANT TARGETSTAGE";
    let expected = [
        "TARGETPLATFORM=linux/arm/v7",
        "TARGETARCH=arm",
        "TARGETVARIANT=v7",
        "BUILDPLATFORM=linux/amd64",
        "BUILDVARIANT=",
        "TARGETSTAGE=end",
    ];
    assert_eq!(seen(text, &[], &[]), expected);
    assert_eq!(seen("FROM x\nARG TARGETARCH", &[("TARGETARCH", "m68k")], &[]), ["TARGETARCH=m68k"]);
    assert_eq!(seen("FROM x\nUSER a", &[], &[]), Vec::<String>::new());
}

#[test]
fn of_env_and_arg_the_later_one_counts() {
    assert_eq!(seen("FROM x\nARG a=1\nENV a=2", &[], &["e=0"]), ["e=0", "a=2"]);
    assert_eq!(seen("FROM x\nENV a=1 b=1\nARG a=2", &[], &[]), ["b=1", "a=2"]);
}

#[test]
fn variables_of_one_env_do_not_see_each_other() {
    assert_eq!(seen("FROM x\nENV a=1\nENV a=2 b=$a", &[], &[]), ["a=2", "b=1"]);
}

#[test]
fn the_image_keeps_its_order_and_knows_no_arguments() {
    let text = "FROM x\nARG c=3\nENV a=2 d=4";
    let globals = globals(text, &[]);
    let mut scope = Scope::on_image(&globals, &strings(&["a=1", "PATH=/x", "b"]));
    for instruction in &parse(text).stages[0].instructions {
        scope.follow(instruction).unwrap();
    }
    assert_eq!(scope.of_image(), ["a=2", "PATH=/x", "b", "d=4"]);
    let without = Scope::on_image(&globals, &[]);
    assert_eq!(without.of_image(), ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
}

#[test]
fn a_stage_on_another_one_sees_its_arguments_but_the_image_counts_more() {
    let text = "FROM x\nENV a=1 b=1\nARG a=2 c=3";
    let globals = globals(text, &[]);
    let mut base = Scope::on_image(&globals, &[]);
    for instruction in &parse(text).stages[0].instructions {
        base.follow(instruction).unwrap();
    }
    assert_eq!(shown(&base), ["b=1", "a=2", "c=3"]);
    assert_eq!(shown(&Scope::on_stage(&base)), ["c=3", "a=1", "b=1"]);
}

#[test]
fn the_history_names_the_arguments_that_were_declared() {
    let text = "FROM x\nARG a=1 b\nENV a=2\nARG a";
    let globals = globals(text, &[]);
    let mut scope = Scope::on_image(&globals, &[]);
    for instruction in &parse(text).stages[0].instructions {
        scope.follow(instruction).unwrap();
    }
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(scope.of_history(), [pair("a", "2"), pair("b", "")]);
}

#[test]
fn proxies_are_seen_by_run_alone_and_in_both_spellings() {
    let given = [("http_proxy", "p"), ("NO_PROXY", "q")];
    let expected = ["HTTP_PROXY=p", "http_proxy=p", "NO_PROXY=q", "no_proxy=q"];
    assert_eq!(seen("FROM x\nUSER a", &given, &[]), expected);
    let set = ["http_proxy=own", "HTTP_PROXY=p", "NO_PROXY=q", "no_proxy=q"];
    assert_eq!(seen("FROM x\nENV http_proxy=own\nUSER a", &given, &[]), set);
    let globals = globals("FROM x", &given);
    let scope = Scope::on_image(&globals, &[]);
    assert_eq!((scope.get("http_proxy"), scope.of_image().len(), scope.of_history().len()), (None, 1, 0));
}

#[test]
fn arguments_that_nobody_takes_are_known() {
    let text = "ARG a\nFROM x\nARG b\nFROM y\nARG c";
    let given =
        ["a", "b", "c", "d", "e", "HTTP_PROXY", "TARGETOS", "SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE"];
    let given: Vec<(&str, &str)> = given.iter().map(|name| (*name, "1")).collect();
    assert_eq!(globals(text, &given).unused(&parse(text)), ["d", "e"]);
}

#[test]
fn an_argument_that_must_be_given_is_asked_for_at_its_place() {
    let dockerfile = parse("ARG a\nARG b=${a:?missing}\nFROM x");
    let mistake = Globals::of(&dockerfile, Given::default()).unwrap_err();
    assert_eq!(
        (mistake.message.as_str(), mistake.span),
        ("cannot expand `${a:?missing}`: a: missing", 10..25)
    );
}

/// Follows the last stage, and returns where it stops.
fn stops(text: &str) -> String {
    let dockerfile = parse(text);
    let globals = Globals::of(&dockerfile, Given::default()).unwrap();
    let stages = Stages::of(&dockerfile, &globals).unwrap();
    let mut scope = Scope::on_image(&globals, &[]);
    let instructions = &stages.stage(stages.len() - 1).instructions;
    let mistake = instructions.iter().find_map(|instruction| scope.follow(instruction).err()).unwrap();
    text[mistake.span].to_owned()
}

#[test]
fn what_cannot_be_expanded_is_shown_at_its_place() {
    assert_eq!(stops("FROM x\nUSER a\nUSER ${a?}\n"), "USER ${a?}");
    assert_eq!(stops("FROM x\nARG a=1 b=${c?}\n"), "b=${c?}");
    assert_eq!(stops("FROM x\nRUN --mount=target=/a --mount=uid=$a b\n"), "--mount=uid=$a");
}

#[test]
fn what_is_wrong_in_a_trigger_is_shown_at_the_from_that_brought_it() {
    assert_eq!(stops("FROM x AS a\nFROM x AS b\nONBUILD ARG a=${c?}\nFROM b\n"), "FROM b");
    assert_eq!(stops("FROM x AS b\nONBUILD RUN --mount=uid=$a b\nFROM b AS c\n"), "FROM b AS c");
}
