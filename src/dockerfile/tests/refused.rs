//! What is refused, with line, place and reason.

use super::*;

/// Says what is wrong with an instruction that follows a FROM: the place, and the reason.
#[track_caller]
fn refuse(text: &str, expected: &[&str]) {
    let text = format!("FROM x\n{text}");
    assert_eq!(mistakes(&text), expected, "{text}");
}

#[test]
fn an_unknown_instruction() {
    refuse("FNTRYPOINT a", &["2 `FNTRYPOINT`: cannot read this line: there is no instruction `FNTRYPOINT`"]);
    assert_eq!(Dockerfile::parse("FORM x").unwrap_err()[0].hint, "did you mean `FROM`?");
    refuse("RUN a\n  b\n", &["3 `b`: cannot read this line: there is no instruction `b`"]);
}

#[test]
fn every_instruction_with_a_mistake_is_told() {
    refuse(
        "USER\nRUN a\nENV a\n",
        &["2 `USER`: cannot read USER: it has no argument", "4 `a`: cannot read ENV: `a` has no value"],
    );
}

#[test]
fn what_comes_before_the_first_stage() {
    let before = "cannot use this instruction before FROM: there is no stage yet";
    assert_eq!(mistakes("ARG a\nRUN b\nFROM x\n"), [format!("2 `RUN b`: {before}")]);
    for text in ["", "# only a comment\n", "ARG a\n"] {
        assert!(mistakes(text)[0].ends_with("cannot build anything: there is no FROM"), "{text:?}");
    }
}

#[test]
fn flags_that_are_unknown_doubled_or_without_a_value() {
    refuse("COPY --form=a b c", &["2 `--form=a`: cannot use `--form` with COPY: there is no such flag"]);
    refuse("COPY --chown=a --chown=b c d", &["2 `--chown=b`: cannot use `--chown` twice"]);
    refuse("COPY \\\n --from \\\n b c", &["3 `--from`: cannot use `--from` without a value"]);
    refuse(
        "COPY --link=maybe b c",
        &["2 `--link=maybe`: cannot set `--link` to `maybe`: expected true or false"],
    );
    refuse("COPY --link= b c", &["2 `--link=`: cannot set `--link` to ``: expected true or false"]);
    refuse("CMD --a b", &["2 `--a`: cannot use `--a` with CMD: there is no such flag"]);
    refuse("ARG --a b", &["2 `--a`: cannot use `--a` with ARG: there is no such flag"]);
    refuse("STOPSIGNAL --a 9", &["2 `--a`: cannot use `--a` with STOPSIGNAL: there is no such flag"]);
    refuse("ADD --from=a b c", &["2 `--from=a`: cannot use `--from` with ADD: there is no such flag"]);
    refuse("RUN --network=x b", &["2 `--network=x`: cannot set `--network` to `x`"]);
}

#[test]
fn from() {
    assert_eq!(mistakes("FROM"), ["1 `FROM`: cannot read FROM: it has no image"]);
    assert_eq!(mistakes("FROM a b"), ["1 `a b`: cannot read FROM: it has too many words"]);
    assert_eq!(mistakes("FROM a AS 1b"), ["1 `1b`: cannot name a stage `1b`"]);
    assert_eq!(mistakes("FROM a AS $b"), ["1 `$b`: cannot name a stage `$b`"]);
}

#[test]
fn copy_and_add() {
    refuse("COPY a", &["2 `a`: cannot read COPY: it has no destination"]);
    refuse("ADD [\"a\"]", &["2 `[\"a\"]`: cannot read ADD: it has no destination"]);
    refuse("COPY a <<b\nb", &["2 `<<b`: cannot read COPY: a here-document is no destination"]);
    refuse("COPY [\"a\", 1]", &["2 `[\"a\", 1]`: cannot read COPY: its JSON array may hold texts only"]);
    refuse("COPY <<a b\nc\n", &["2 `COPY <<a b`: cannot find the end of the here-document `a`"]);
}

#[test]
fn env_label_and_arg() {
    refuse("ENV", &["2 `ENV`: cannot read ENV: it has no name and value"]);
    refuse("ENV a=b c", &["2 `c`: cannot read ENV: there is no `=` in `c`"]);
    refuse("LABEL =b", &["2 `=b`: cannot read LABEL: there is no name before `=`"]);
    refuse("ARG", &["2 `ARG`: cannot read ARG: it has no name"]);
    refuse("ARG a =b", &["2 `=b`: cannot read ARG: there is no name before `=`"]);
}

#[test]
fn healthcheck() {
    let cannot = "cannot read HEALTHCHECK";
    refuse("HEALTHCHECK", &[&format!("2 `HEALTHCHECK`: {cannot}: it has no argument")]);
    refuse("HEALTHCHECK NONE a", &[&format!("2 `NONE a`: {cannot}: nothing follows NONE")]);
    refuse("HEALTHCHECK CMD", &[&format!("2 `CMD`: {cannot}: no command follows CMD")]);
    refuse("HEALTHCHECK a", &[&format!("2 `a`: {cannot}: expected CMD or NONE, got `a`")]);
    refuse(
        "HEALTHCHECK --interval=5 CMD a",
        &["2 `--interval=5`: cannot set `--interval` to `5`: that is no span of time"],
    );
    refuse(
        "HEALTHCHECK --timeout=1us CMD a",
        &["2 `--timeout=1us`: cannot set `--timeout` to `1us`: it is less than 1ms"],
    );
    refuse(
        "HEALTHCHECK --retries=-1 CMD a",
        &["2 `--retries=-1`: cannot set `--retries` to `-1`: expected a number"],
    );
}

#[test]
fn those_that_need_an_argument() {
    for (name, what) in [
        ("EXPOSE", "port"),
        ("MAINTAINER", "argument"),
        ("ONBUILD", "instruction"),
        ("SHELL", "argument"),
        ("STOPSIGNAL", "argument"),
        ("USER", "argument"),
        ("VOLUME", "directory"),
        ("WORKDIR", "argument"),
    ] {
        refuse(name, &[&format!("2 `{name}`: cannot read {name}: it has no {what}")]);
    }
    refuse("SHELL a -b", &["2 `a -b`: cannot read SHELL: expected a JSON array"]);
    refuse("VOLUME [\"\"]", &["2 `[\"\"]`: cannot read VOLUME: a directory has no name"]);
}

#[test]
fn triggers_that_others_could_not_run() {
    for name in ["ONBUILD", "FROM", "MAINTAINER"] {
        let expected = format!("2 `{name}`: cannot use {name} as a trigger of ONBUILD");
        refuse(&format!("ONBUILD {name} a"), &[&expected]);
    }
    refuse("ONBUILD ENV a", &["2 `a`: cannot read ENV: `a` has no value"]);
    let stage = parse("FROM x").stages.remove(0);
    let mistake = Instruction::of_trigger("COPY a", &stage).unwrap_err();
    assert_eq!(
        (mistake.message.as_str(), mistake.span),
        ("cannot run the base's trigger `COPY a`: cannot read COPY: it has no destination", 0..6)
    );
}

#[test]
fn directives() {
    let twice = "cannot use this directive: it stands above already";
    assert_eq!(mistakes("#escape=`\n#escape=`\nFROM x"), [format!("2 `#escape=``: {twice}")]);
    assert_eq!(mistakes("#escape=x\nFROM x"), ["1 `#escape=x`: cannot escape with `x`: expected \\ or `"]);
}

#[test]
fn mounts() {
    let problem = |options: &str| match Dockerfile::parse(&format!("FROM x\nRUN --mount={options} a")) {
        Err(mistakes) => mistakes[0].message.clone(),
        Ok(_) => expanded(&format!("RUN --mount={options} a")).unwrap_err().message,
    };
    for (options, message) in [
        ("", "cannot read a mount: it has no options"),
        ("from=$a,target=/b", "cannot use a variable in `from` of a mount"),
        ("typ=bind", "cannot use option `typ` of a mount: there is no such option"),
        ("type=tmp", "cannot mount anything of type `tmp`"),
        ("target", "cannot use option `target` of a mount without a value"),
        ("ro=maybe", "cannot set option `ro` of a mount to `maybe`"),
        ("uid=1", "cannot use option `uid` with a mount of type bind"),
        ("type=cache,uid=x", "cannot set option `uid` of a mount to `x`"),
        ("type=cache,sharing=x", "cannot share a cache as `x`"),
        ("type=tmpfs,sharing=locked", "cannot use option `sharing` with a mount of type tmpfs"),
        ("type=cache,size=1m", "cannot use option `size` with a mount of type cache"),
        ("type=tmpfs,size=1x", "cannot set option `size` of a mount to `1x`"),
        ("type=secret", "cannot mount a secret without a name"),
        ("type=secret,id=a,src=b", "cannot name a secret twice"),
        ("type=secret,id=a,from=b", "cannot use option `from` with a mount of type secret"),
        ("required", "cannot use option `required` with a mount of type bind"),
    ] {
        assert_eq!(problem(options), message, "{options}");
    }
}

#[test]
fn what_turns_out_wrong_only_when_variables_are_known() {
    let problem = |text: &str| expanded(text).unwrap_err().message;
    assert_eq!(problem("STOPSIGNAL SIGX$a"), "cannot stop with `SIGX1`: there is no such signal");
    assert_eq!(problem("VOLUME $empty"), "cannot make a volume without a name");
    assert_eq!(problem("EXPOSE x$a"), "cannot expose `x1`: that is no port");
    assert_eq!(problem("USER ${b:?who?}"), "cannot expand `${b:?who?}`: b: who?");
    assert_eq!(problem("ENV a='b"), "cannot expand `'b`: expected another ' before the end");
}

#[test]
fn what_is_too_big() {
    let long = format!("FROM x\nRUN {}\n", "a".repeat(70_000));
    assert!(mistakes(&long)[0].ends_with("cannot read line 2: longer than 65535 bytes"));
    let many = format!("FROM x\n{}", "USER a\n".repeat(10_000));
    assert!(mistakes(&many)[0].contains("more than 10000 instructions"));
    let huge = format!("FROM x\n{}", "#\n".repeat(600_000));
    assert!(mistakes(&huge)[0].contains("longer than 1048576 bytes"));
    assert_eq!(mistakes(&"X\n".repeat(500)).len(), 100);
    let deep = format!("USER {}{}", "${a:+".repeat(5_000), "}".repeat(5_000));
    assert!(expanded(&deep).unwrap_err().message.ends_with("nested more than 100 times"));
}
