//! How lines make instructions.

use super::*;

fn texts(text: &str) -> Vec<(usize, String)> {
    let instructions = parse(text).stages.remove(0).instructions.into_iter();
    instructions.map(|instruction| (instruction.line, instruction.text)).collect()
}

#[test]
fn comments_and_empty_lines_do_not_end_a_continued_line() {
    let text = "FROM x\nRUN a \\\n  # no\n\n\t b\\  \n c\nUSER d\n";
    assert_eq!(texts(text), [(2, "RUN a \t b c".to_owned()), (7, "USER d".to_owned())]);
    assert_eq!(parse(text).gaps.len(), 1);
}

#[test]
fn an_escaped_escape_does_not_continue_a_line() {
    assert_eq!(texts("FROM x\nRUN a \\\\\nUSER b"), [(2, "RUN a \\\\".to_owned()), (3, "USER b".to_owned())]);
    assert_eq!(texts("FROM x\nRUN a \\"), [(2, "RUN a".to_owned())]);
}

#[test]
fn a_comment_begins_a_line_only() {
    assert_eq!(texts("FROM x\n  # a\nRUN a # b"), [(3, "RUN a # b".to_owned())]);
}

#[test]
fn line_breaks_of_windows_and_a_byte_order_mark_change_nothing() {
    let text = "\u{feff}# escape=`\r\nFROM x\r\nRUN a `\r\n b\r\nRUN <<E\r\nc\r\nE\r\n";
    let dockerfile = parse(text);
    assert_eq!(dockerfile.directives.escape, Escape::Backtick);
    let instructions = &dockerfile.stages[0].instructions;
    assert_eq!(instructions[0].text, "RUN a  b");
    assert_eq!(&text[instructions[0].span.clone()], "RUN a `\r\n b");
    let Kind::Run(run) = &instructions[1].kind else { panic!() };
    assert_eq!(run.command, RunCommand::Shell("c\r\n".into()));
}

#[test]
fn directives_stand_above_everything_else() {
    let directives = |text: &str| parse(text).directives;
    let found = directives("# Syntax = a/b:1 \n#check=skip=all\n#escape=`\nFROM x\n");
    assert_eq!(found.syntax.map(|it| it.value).as_deref(), Some("a/b:1"));
    assert_eq!(found.check.map(|it| it.value).as_deref(), Some("skip=all"));
    assert_eq!(found.escape, Escape::Backtick);
    for text in ["# hello\n# escape=`\nFROM x", "\n# escape=`\nFROM x", "# x=y\n# escape=`\nFROM x"] {
        assert_eq!(directives(text).escape, Escape::Backslash, "{text}");
    }
}

#[test]
fn stages_and_arguments_before_them_are_told_apart() {
    let dockerfile = parse("ARG v=1 w\nFROM --platform=$p a:$v AS B\nUSER x\nFROM b\n");
    assert_eq!(dockerfile.arguments.len(), 2);
    let stage = &dockerfile.stages[0];
    assert_eq!((stage.base.as_str(), stage.platform.as_deref()), ("a:$v", Some("$p")));
    assert_eq!((stage.name.as_deref(), stage.line, stage.instructions.len()), (Some("b"), 2, 1));
    assert_eq!(dockerfile.stages[1].text, "FROM b");
}

#[test]
fn here_documents_are_no_instructions() {
    let text = "FROM x\nRUN <<A cat <<B\nFROM y\nA\nUSER z\nB\nUSER me\n";
    assert_eq!(texts(text), [(2, "RUN <<A cat <<B".to_owned()), (7, "USER me".to_owned())]);
}
