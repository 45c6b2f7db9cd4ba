//! What stages build on, and which are needed.

use super::*;

fn stages(text: &str) -> Result<Stages, Vec<String>> {
    stages_with(text, &[])
}

fn stages_with(text: &str, names: &[&str]) -> Result<Stages, Vec<String>> {
    let dockerfile = parse(text);
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let globals = Globals::of(&dockerfile, Given { names, ..Given::default() }).unwrap();
    Stages::of(&dockerfile, &globals).map_err(|mistakes| {
        mistakes.into_iter().map(|mistake| format!("{}: {}", &text[mistake.span], mistake.message)).collect()
    })
}

fn needed(text: &str, target: Option<&str>) -> Result<Vec<usize>, String> {
    let stages = stages(text).unwrap();
    let target = stages.target(target).map_err(|problem| format!("{}; {}", problem.message, problem.hint))?;
    stages.needed(target).map_err(|mistake| format!("{}: {}", &text[mistake.span], mistake.message))
}

#[test]
fn a_base_is_a_stage_above_an_image_or_nothing() {
    let text = "ARG v=1\nFROM a:${v} AS a\nFROM a\nFROM scratch\nFROM later\nFROM x AS later\nFROM A";
    let stages = stages(text).unwrap();
    let bases: Vec<&Root> = (0..stages.len()).map(|index| stages.base(index)).collect();
    let image = |name: &str| Root::Image(name.to_owned());
    let expected = [image("a:1"), Root::Stage(0), Root::Scratch, image("later"), image("x"), image("A")];
    assert_eq!(bases, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_base_must_have_a_name_and_a_platform_its_parts() {
    assert_eq!(stages("FROM $x").unwrap_err(), ["FROM $x: cannot build on `$x`: it is empty"]);
    assert_eq!(
        stages("FROM --platform=linux/$x a").unwrap_err(),
        ["FROM --platform=linux/$x a: cannot build for the platform `linux/`"]
    );
    let found = stages("FROM --platform=$TARGETPLATFORM/v8 a");
    assert!(found.is_err(), "without a platform given there is none: {found:?}");
}

const FOUR: &str = "FROM x AS a\nFROM x AS b\nFROM a AS c\nCOPY --from=B /x /\nFROM x AS d\n\
                    RUN --mount=from=a,target=/y true\nCOPY --from=0 /x /\nCOPY --from=img:1 /x /\n";

#[test]
fn a_target_needs_its_base_and_those_it_takes_files_from() {
    assert_eq!(needed(FOUR, None), Ok(vec![0, 3]));
    assert_eq!(needed(FOUR, Some("C")), Ok(vec![0, 1, 2]));
    assert_eq!(needed(FOUR, Some("1")), Ok(vec![1]));
    let roots: Vec<Root> = stages(FOUR).unwrap().roots(3, true).into_iter().map(|(root, _)| root).collect();
    assert_eq!(roots, [Root::Stage(0), Root::Stage(0), Root::Image("img:1".into())]);
}

#[test]
fn a_given_name_stands_for_a_stage_or_an_image() {
    let text = "FROM docker.io/library/alpine:latest\nFROM alpine:3\nFROM x AS lib\nUSER u\nONBUILD USER v\nFROM lib\n\
                COPY --from=alpine /x /\nCOPY --from=2 /x /\nRUN --mount=from=lib true\nFROM scratch\n";
    let stages = stages_with(text, &["alpine", "lib", "scratch", "unused"]).unwrap();
    let named = |name: &str| Root::Named(name.to_owned());
    let bases: Vec<Root> = (0..stages.len()).map(|index| stages.base(index).clone()).collect();
    let expected =
        [named("alpine"), Root::Image("alpine:3".into()), named("lib"), Root::Stage(2), Root::Scratch];
    assert_eq!(bases, expected);
    let roots: Vec<Root> = stages.roots(3, true).into_iter().map(|(root, _)| root).collect();
    assert_eq!(roots, [named("alpine"), Root::Stage(2), Root::Stage(2)]);
    assert_eq!(stages.stage(2).instructions, [], "nothing of what is written");
    assert_eq!(stages.stage(3).instructions[0].text, "COPY --from=alpine /x /", "and none of its triggers");
    assert_eq!(stages.names_used().into_iter().collect::<Vec<_>>(), ["alpine", "lib"]);
}

#[test]
fn an_unknown_target_is_told_with_the_nearest() {
    assert_eq!(
        needed("FROM x AS build", Some("bulid")).unwrap_err(),
        "cannot build stage `bulid`: there is no stage of that name; did you mean `build`?"
    );
    assert!(needed("FROM x", Some("y")).unwrap_err().contains("no stage has a name"));
}

#[test]
fn files_come_from_a_stage_above_only() {
    let text = "FROM x AS a\nCOPY --from=b /x /\nFROM x AS b\nFROM x AS c\n";
    assert_eq!(
        needed(text, Some("a")).unwrap_err(),
        "COPY --from=b /x /: cannot use files of stage `b`: it begins further down"
    );
    assert_eq!(needed(text, Some("c")), Ok(vec![2]));
}

#[test]
fn no_stage_needs_itself() {
    let own = "FROM x AS a\nCOPY --from=a /x /";
    assert_eq!(stages(own).unwrap_err(), ["COPY --from=a /x /: cannot build stage `a`: it needs itself"]);
    let circle = "FROM x AS a\nCOPY --from=b /x /\nFROM x AS b\nCOPY --from=a /x /\nFROM y";
    assert_eq!(stages(circle).unwrap_err().len(), 1);
}

#[test]
fn from_of_copy_takes_no_variable_and_no_number_too_high() {
    let wrong =
        |from: &str| stages(&format!("ARG a=1\nFROM x\nFROM y\nCOPY --from={from} /x /")).unwrap_err();
    assert!(wrong("$a")[0].ends_with("cannot copy from `$a`: variables are not replaced in --from"));
    assert!(wrong("2")[0].ends_with("cannot copy from stage 2: there is no such stage"));
    assert!(wrong("-1")[0].ends_with("cannot copy from stage -1: there is no such stage"));
}

#[test]
fn a_stage_begins_with_the_triggers_of_the_one_it_builds_on() {
    let text =
        "FROM x AS a\nONBUILD COPY --from=img /x /\nONBUILD USER u\nFROM a AS b\nUSER v\nFROM b\nUSER w";
    let stages = stages(text).unwrap();
    let texts = |index: usize| -> Vec<&str> {
        stages.stage(index).instructions.iter().map(|instruction| instruction.text.as_str()).collect()
    };
    assert_eq!(texts(1), ["COPY --from=img /x /", "USER u", "USER v"]);
    assert_eq!(texts(2), ["USER w"]);
    assert_eq!(stages.roots(1, true)[0].0, Root::Image("img".into()));
}

#[test]
fn the_triggers_of_an_image_may_need_more_stages() {
    let mut stages = stages("FROM x AS a\nFROM y AS b\nUSER v").unwrap();
    assert_eq!(stages.needed(1), Ok(vec![1]));
    stages.trigger(1, &strings(&["COPY --from=a /x /"])).unwrap();
    assert_eq!(stages.needed(1), Ok(vec![0, 1]));
    let mistake = stages.trigger(1, &strings(&["BOGUS"])).unwrap_err();
    assert!(mistake.message.starts_with("cannot run the base's trigger `BOGUS`"));
}

#[test]
fn a_trigger_that_nobody_needs_may_be_wrong() {
    let text = "FROM x AS a\nONBUILD BOGUS\nFROM a AS b\nFROM x AS c";
    assert_eq!(needed(text, Some("c")), Ok(vec![2]));
    assert!(needed(text, Some("b")).unwrap_err().contains("there is no instruction `BOGUS`"));
    let text = "FROM x AS a\nONBUILD COPY --from=9 /x /\nFROM a AS b\nFROM x AS c";
    assert_eq!(needed(text, Some("c")), Ok(vec![2]));
    assert!(needed(text, Some("b")).unwrap_err().contains("there is no such stage"));
}

#[test]
fn triggers_that_multiply_are_stopped() {
    let text = format!("FROM x AS a\n{}{}", "ONBUILD USER u\n".repeat(1_000), "FROM a\n".repeat(11));
    assert!(stages(&text).unwrap_err()[0].ends_with("cannot run more than 10000 triggers"));
}
