//! What is wrong in a Dockerfile is told with its line, a caret and a way out.

use crate::shop::Shop;

#[test]
fn all_mistakes_of_a_text_are_told_at_once() {
    let stderr = Shop::new().fail("FROM scratch\nENVV a\nCOPY x\n", &[]);
    assert!(stderr.contains("Dockerfile:2:1") && stderr.contains("did you mean `ENV`?"), "{stderr}");
    assert!(stderr.contains("Dockerfile:3:6") && stderr.contains("it has no destination"), "{stderr}");
}

#[test]
fn whatever_goes_wrong_later_has_its_line_too() {
    let shop = Shop::new();
    for (dockerfile, arguments, told) in [
        ("FROM @no-such-image\n", &[][..], "Dockerfile:1:1"),
        ("FROM scratch\nCOPY missing /\n", &[], "Dockerfile:2:1"),
        ("FROM scratch\nCOPY --from=@no-such a /\n", &[], "Dockerfile:2:1"),
        ("FROM @base\nRUN --security=insecure true\n", &[], "--security=insecure"),
        ("FROM scratch\nADD ssh://git.example/x.git /\n", &[], "cannot add the repository"),
        ("FROM scratch\nADD --checksum=md5:1 https://archive.example/x /\n", &[], "--checksum"),
        ("FROM scratch AS a\n", &["--target", "b"], "the stages are a"),
        ("FROM $NOTHING\n", &[], "Dockerfile:1:1"),
    ] {
        let stderr = shop.fail(dockerfile, arguments);
        assert!(stderr.contains(told) && stderr.contains("error"), "{dockerfile}: {stderr}");
    }
}

#[test]
fn what_is_no_directory_is_not_taken_for_one() {
    let shop = Shop::new();
    for (file, content) in [("one", "1"), ("dir/x", "2"), ("dir/sub/x", "3")] {
        shop.write(file, content);
    }
    for (dockerfile, line) in [
        ("FROM @base\nCOPY one /f\nWORKDIR /f\n", 3),
        ("FROM @base\nRUN touch /f\nWORKDIR /f\n", 3),
        ("FROM @base\nRUN touch /f && ln -s f /l\nWORKDIR /l/w\n", 3),
        ("FROM @base\nRUN touch /f\nCOPY dir /f\n", 3),
        ("FROM @base\nRUN touch /f\nCOPY one /f/\n", 3),
        ("FROM @base\nCOPY one /f\nCOPY one /f/x\n", 3),
        ("FROM @base\nRUN mkdir /d && touch /d/sub\n\nCOPY dir /d/\n", 4),
    ] {
        let stderr = shop.fail(dockerfile, &[]);
        let place = format!("Dockerfile:{line}: cannot ");
        assert!(stderr.contains(&place) && stderr.contains("directory"), "{dockerfile}: {stderr}");
    }
}

#[test]
fn what_is_gone_is_in_nobody_s_way() {
    let shop = Shop::new();
    shop.write("dir/x", "x");
    for dockerfile in [
        "FROM @base\nRUN touch /f\nRUN rm /f\nWORKDIR /f\n",
        "FROM @base\nCOPY dir/x /f\nRUN rm /f\nCOPY dir /f\n",
    ] {
        assert!(shop.build(dockerfile, &[]).tree("/f").starts_with("dir "), "{dockerfile}");
    }
}

#[test]
fn a_build_argument_that_nobody_takes_is_a_warning() {
    let built =
        Shop::new().build("FROM scratch\nARG USED\n", &["--build-arg", "USED=1", "--build-arg", "UNUSED=1"]);
    assert!(built.stderr.contains("`UNUSED`") && !built.stderr.contains("`USED`"), "{}", built.stderr);
}

#[test]
fn the_command_line_says_what_it_does_not_understand() {
    let shop = Shop::new();
    for (arguments, told) in [
        (["--secret", "src=x"], "it has no id"),
        (["--build-arg", "=x"], "expected NAME=VALUE"),
        (["--label", "=x"], "expected NAME=VALUE"),
        (["--ssh", "default"], "SSH_AUTH_SOCK"),
    ] {
        let output = shop.run("FROM scratch\n", &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(told), "{arguments:?}: {stderr}");
    }
}
