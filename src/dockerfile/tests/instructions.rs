//! What each instruction means.

use std::time::Duration;

use super::*;

fn transfer(sources: &[&str], destination: &str) -> Transfer {
    Transfer {
        sources: strings(sources),
        documents: Vec::new(),
        destination: destination.to_owned(),
        chown: None,
        chmod: None,
        link: false,
        exclude: Vec::new(),
    }
}

fn copy(transfer: Transfer) -> Kind {
    Kind::Copy(Copy { transfer, from: None, parents: false })
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
    pairs.iter().map(|(name, value)| Pair { name: (*name).into(), value: (*value).into() }).collect()
}

fn run(command: RunCommand) -> Kind {
    let (network, security) = (Network::Default, Security::Sandbox);
    Kind::Run(Run { command, mounts: Vec::new(), network, security })
}

#[test]
fn names_of_instructions_may_be_in_any_letters() {
    assert_eq!(kind("uSer me"), Kind::User("me".into()));
}

#[test]
fn copy_has_sources_and_a_destination() {
    assert_eq!(kind("COPY a b /c/"), copy(transfer(&["a", "b"], "/c/")));
    assert_eq!(kind(r#"COPY ["a b", "/c d"]"#), copy(transfer(&["a b"], "/c d")));
    assert_eq!(kind(r#"COPY ["a", b]"#), copy(transfer(&[r#"["a","#], "b]")));
}

#[test]
fn copy_has_flags() {
    let text = "COPY --from=x --chown=1:2 --chmod=u+x --link --parents=true --exclude=a --exclude=b c d";
    let transfer = Transfer {
        chown: Some("1:2".into()),
        chmod: Some("u+x".into()),
        link: true,
        exclude: strings(&["a", "b"]),
        ..transfer(&["c"], "d")
    };
    assert_eq!(kind(text), Kind::Copy(Copy { transfer, from: Some("x".into()), parents: true }));
    assert_eq!(kind("COPY --link=false --chown= c d"), copy(super::instructions::transfer(&["c"], "d")));
}

#[test]
fn add_has_flags_of_its_own() {
    let add = |checksum: Option<&str>, keep_git_dir, unpack| {
        let checksum = checksum.map(str::to_owned);
        Kind::Add(Add { transfer: transfer(&["a"], "b"), checksum, keep_git_dir, unpack })
    };
    assert_eq!(kind("ADD a b"), add(None, None, None));
    assert_eq!(
        kind("ADD --checksum=sha256:ab --keep-git-dir --unpack=FALSE a b"),
        add(Some("sha256:ab"), Some(true), Some(false))
    );
}

#[test]
fn here_documents_become_files() {
    let found = kind("COPY <<a x <<-'b' /c/\n$a\n# 1\na\n\t\ttab\n\tb\n");
    let document = |name: &str, text: &str, is_expanded| Document {
        name: name.to_owned(),
        text: text.to_owned(),
        is_expanded,
    };
    let documents = vec![document("a", "$a\n# 1\n", true), document("b", "tab\n", false)];
    assert_eq!(found, copy(Transfer { documents, ..transfer(&["x"], "/c/") }));
}

#[test]
fn a_command_is_a_text_or_words() {
    let shell = |text: &str| CommandLine::Shell(text.to_owned());
    let exec = |words: &[&str]| CommandLine::Exec(strings(words));
    assert_eq!(kind("CMD a  'b' $c"), Kind::Cmd(shell("a  'b' $c")));
    assert_eq!(kind(r#"CMD ["a", "b c"]"#), Kind::Cmd(exec(&["a", "b c"])));
    assert_eq!(kind("CMD"), Kind::Cmd(shell("")));
    assert_eq!(kind("CMD []"), Kind::Cmd(exec(&[])));
    assert_eq!(kind("ENTRYPOINT ['a']"), Kind::Entrypoint(shell("['a']")));
    assert_eq!(shell("a b").words(&strings(&["sh", "-c"])), ["sh", "-c", "a b"]);
    assert_eq!(exec(&["a"]).words(&strings(&["sh", "-c"])), ["a"]);
}

#[test]
fn run_runs_a_text_words_or_a_here_document() {
    let shell = |text: &str| run(RunCommand::Shell(text.to_owned()));
    assert_eq!(kind("RUN a \\\n  b"), shell("a   b"));
    assert_eq!(kind(r#"RUN ["a", "b"]"#), run(RunCommand::Exec(strings(&["a", "b"]))));
    assert_eq!(kind("RUN <<-EOF\n\ta\n\tb\nEOF"), shell("a\nb\n"));
    assert_eq!(kind("RUN cat <<E >x\n\ta\nE\n"), shell("cat <<E >x\n\ta\nE"));
    let script = RunCommand::Script { name: "EOF".into(), text: "#!/bin/x\na\n".into() };
    assert_eq!(script.words(&strings(&["sh", "-c"])), ["sh", "-c", "/dev/pipes/EOF"]);
    assert_eq!(kind("RUN <<EOF\n#!/bin/x\na\nEOF"), run(script));
}

#[test]
fn run_has_a_network_and_a_security() {
    let Kind::Run(run) = kind("RUN --network=none --security=insecure a") else { panic!() };
    assert_eq!((run.network, run.security), (Network::None, Security::Insecure));
}

#[test]
fn env_and_label_take_pairs_or_as_of_old_one() {
    assert_eq!(kind("ENV a=b c='d e' f="), Kind::Env(pairs(&[("a", "b"), ("c", "'d e'"), ("f", "")])));
    assert_eq!(kind("ENV a b=c  d"), Kind::Env(pairs(&[("a", "b=c  d")])));
    assert_eq!(kind(r#"LABEL "a b"=c"#), Kind::Label(pairs(&[("\"a b\"", "c")])));
}

#[test]
fn arg_takes_names_with_and_without_values() {
    let Kind::Arg(arguments) = kind("ARG a b=c d=") else { panic!() };
    let found: Vec<_> = arguments.iter().map(|it| (it.name.as_str(), it.value.as_deref())).collect();
    assert_eq!(found, [("a", None), ("b", Some("c")), ("d", Some(""))]);
}

#[test]
fn healthcheck_is_none_or_a_command_with_spans_of_time() {
    assert_eq!(kind("HEALTHCHECK none"), Kind::Healthcheck(Healthcheck::None));
    let text = "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --retries=3 CMD a b";
    let check = Healthcheck::Command {
        command: CommandLine::Shell("a b".into()),
        interval: Some(Duration::from_secs(90)),
        timeout: Some(Duration::from_millis(1500)),
        start_period: None,
        start_interval: None,
        retries: Some(3),
    };
    assert_eq!(check.test(), ["CMD-SHELL", "a b"]);
    assert_eq!(kind(text), Kind::Healthcheck(check));
    let Kind::Healthcheck(check) = kind(r#"HEALTHCHECK CMD ["a"]"#) else { panic!() };
    assert_eq!(check.test(), ["CMD", "a"]);
}

#[test]
fn the_others_take_a_text_or_words() {
    assert_eq!(kind("EXPOSE 80 1-3/udp"), Kind::Expose(strings(&["1-3/udp", "80"])));
    assert_eq!(kind("MAINTAINER a  b"), Kind::Maintainer("a  b".into()));
    assert_eq!(kind(r#"SHELL ["a", "-b"]"#), Kind::Shell(strings(&["a", "-b"])));
    assert_eq!(kind("STOPSIGNAL 9"), Kind::Stopsignal("9".into()));
    assert_eq!(kind("VOLUME /a /b"), Kind::Volume(strings(&["/a", "/b"])));
    assert_eq!(kind(r#"VOLUME ["/a b"]"#), Kind::Volume(strings(&["/a b"])));
    assert_eq!(kind("WORKDIR a b"), Kind::Workdir("a b".into()));
}

#[test]
fn onbuild_keeps_an_instruction_for_others() {
    assert_eq!(kind("onbuild  RUN a"), Kind::Onbuild("RUN a".into()));
    assert_eq!(kind("ONBUILD COPY <<E /x\n1\nE\n"), Kind::Onbuild("COPY <<E /x\n1\nE".into()));
    let stage = parse("FROM x").stages.remove(0);
    let trigger = Instruction::of_trigger("COPY <<E /x\n1\nE", &stage).unwrap();
    assert!(matches!(trigger.kind, Kind::Copy(copy) if copy.transfer.documents[0].text == "1\n"));
    assert!(trigger.is_trigger);
}

#[test]
fn variables_are_replaced_where_the_builder_does_it() {
    let copied = expanded(
        "COPY --chown=$a --chmod=${a} --from=$a --exclude=$a $a \"$path\" <<E <<'F' ${empty:-x}\n'$a'\nE\n$a\nF",
    );
    let Ok(Kind::Copy(copied)) = copied else { panic!("{copied:?}") };
    assert_eq!(copied.from.as_deref(), Some("$a"));
    let transfer = copied.transfer;
    assert_eq!((transfer.chown.as_deref(), transfer.chmod.as_deref()), (Some("1"), Some("1")));
    assert_eq!(
        (transfer.sources, transfer.destination.as_str()),
        (strings(&["1", "/usr/lib/x.tar.gz"]), "x")
    );
    assert_eq!([transfer.documents[0].text.as_str(), transfer.documents[1].text.as_str()], ["'1'\n", "$a\n"]);
    let same = |text: &str| match expanded(text).unwrap() {
        Kind::Cmd(CommandLine::Shell(text)) | Kind::Entrypoint(CommandLine::Shell(text)) => text,
        Kind::Shell(words) => words.concat(),
        Kind::Maintainer(text) | Kind::Onbuild(text) => text,
        Kind::Run(Run { command: RunCommand::Shell(text), .. }) => text,
        other => panic!("{other:?}"),
    };
    for text in ["CMD $a", "ENTRYPOINT $a", "SHELL [\"$a\"]", "MAINTAINER $a", "RUN $a"] {
        assert_eq!(same(text), "$a", "{text}");
    }
    assert_eq!(same("ONBUILD USER $a"), "USER $a");
    assert_eq!(expanded("ENV $a=$a b=$a"), Ok(Kind::Env(pairs(&[("1", "1"), ("b", "1")]))));
    assert_eq!(expanded("WORKDIR /$a"), Ok(Kind::Workdir("/1".into())));
    assert_eq!(expanded("USER $a:${a}"), Ok(Kind::User("1:1".into())));
    assert_eq!(expanded("EXPOSE 8$a $a-2/udp"), Ok(Kind::Expose(strings(&["1/udp", "2/udp", "81/tcp"]))));
}

#[test]
fn mounts_are_read_with_their_variables_and_defaults() {
    let mounts = |text: &str| match expanded(&format!("RUN {text} x")).unwrap() {
        Kind::Run(run) => run.mounts,
        other => panic!("{other:?}"),
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        mounts("--mount=target=/a --mount=type=bind,from=b,src=/c,dst=d,rw"),
        [
            Mount::Bind { from: None, source: None, target: "/a".into(), read_only: true },
            Mount::Bind { from: text("b"), source: text("/c"), target: "d".into(), read_only: false },
        ]
    );
    assert_eq!(
        mounts("--mount=type=cache,id=x$a,destination=/a,sharing=locked,uid=$a,mode=0700"),
        [Mount::Cache {
            id: text("x1"),
            from: None,
            source: None,
            target: "/a".into(),
            sharing: Sharing::Locked,
            owner: Owner { user: Some(1), group: None, mode: Some(0o700) },
            read_only: false,
        }]
    );
    assert_eq!(
        mounts("--mount=type=tmpfs,target=/a,size=1.5k"),
        [Mount::Tmpfs { target: "/a".into(), size: Some(1536) }]
    );
}

#[test]
fn a_secret_is_a_file_or_a_variable() {
    let secret = |text: &str| match expanded(&format!("RUN --mount=type=secret,{text} x")).unwrap() {
        Kind::Run(mut run) => match run.mounts.remove(0) {
            Mount::Secret { id, target, variable, required, .. } => (id, target, variable, required),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(secret("id=a"), ("a".into(), text("/run/secrets/a"), None, false));
    assert_eq!(secret("target=/b/c,required"), ("c".into(), text("/b/c"), None, true));
    assert_eq!(secret("id=a,env=B"), ("a".into(), None, text("B"), false));
}

#[test]
fn an_agent_has_a_name() {
    let Ok(Kind::Run(run)) = expanded("RUN --mount=type=ssh x") else { panic!() };
    let owner = Owner::default();
    assert_eq!(run.mounts, [Mount::Ssh { id: "default".into(), target: None, required: false, owner }]);
}
