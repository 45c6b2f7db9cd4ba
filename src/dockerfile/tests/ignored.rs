//! What `.dockerignore` leaves out.

use super::*;

/// Judges paths, and returns those that are left out.
#[track_caller]
fn ignored<'p>(patterns: &str, paths: &[&'p str]) -> Vec<&'p str> {
    let ignore = Ignore::parse(patterns).unwrap();
    paths.iter().copied().filter(|path| ignore.is_ignored(path)).collect()
}

#[test]
fn a_pattern_is_a_path_from_the_top_and_what_is_below_it() {
    assert_eq!(ignored("a/b", &["a", "a/b", "a/b/c", "b", "x/a/b", "a/bc"]), ["a/b", "a/b/c"]);
    assert_eq!(ignored("/a/./b/\n", &["a/b", "a/b/c", "a"]), ["a/b", "a/b/c"]);
    assert_eq!(ignored("a/../b", &["a", "b"]), ["b"]);
}

#[test]
fn a_star_stays_in_a_directory_and_two_do_not() {
    assert_eq!(ignored("*.md", &["a.md", "x/a.md", ".md"]), ["a.md", ".md"]);
    assert_eq!(ignored("*/*.md", &["a.md", "x/a.md", "x/y/a.md"]), ["x/a.md"]);
    assert_eq!(ignored("**/*.md", &["a.md", "x/y/a.md", "a.mdx"]), ["a.md", "x/y/a.md"]);
    assert_eq!(ignored("a/**", &["a", "a/b", "a/b/c"]), ["a/b", "a/b/c"]);
    assert_eq!(ignored("a/**/z", &["a/z", "a/b/c/z", "a/bz"]), ["a/z", "a/b/c/z"]);
    assert_eq!(ignored("**", &["a", "a/b"]), ["a", "a/b"]);
    assert_eq!(ignored("**/a", &["a", "x/a", "xa"]), ["a", "x/a"]);
}

#[test]
fn other_signs() {
    assert_eq!(ignored("?[a-c][^x]", &["1ay", "1dy", "1ax", "aay"]), ["1ay", "aay"]);
    assert_eq!(ignored(r"a\*", &["a*", "ab"]), ["a*"]);
    assert_eq!(ignored("a.b(c)+{d}|$^", &["a.b(c)+{d}|$^", "axb(c)+{d}|$^"]), ["a.b(c)+{d}|$^"]);
    assert_eq!(ignored("[&&[~]x", &["&x", "[x", "~x", "ax"]), ["&x", "[x", "~x"]);
}

#[test]
fn comments_and_empty_lines_say_nothing() {
    assert_eq!(ignored("\u{feff}# a\n\n  \n b \r\n #c\n", &["a", "b", "c", "#c"]), ["b", "#c"]);
    assert!(Ignore::parse("# a\n").unwrap().is_empty());
}

#[test]
fn an_exception_brings_back_what_a_pattern_before_it_leaves_out() {
    let paths = ["a", "a/b", "a/b/c", "a/d"];
    assert_eq!(ignored("a\n!a/b", &paths), ["a", "a/d"]);
    assert_eq!(ignored("!a/b\na", &paths), paths);
    assert_eq!(ignored("*\n! a", &["a", "a/b", "c"]), ["c"]);
    assert_eq!(ignored("*\n!a\na/b", &paths), ["a/b", "a/b/c"]);
}

#[test]
fn what_is_said_of_a_directory_holds_below_it() {
    // Nobody asks the exception of `a`, as nothing leaves `a` out; so it says nothing of what is below.
    assert_eq!(ignored("**/b\n!a", &["a", "a/b"]), ["a/b"]);
    assert_eq!(ignored("a/*\n!a/b\n**/c", &["a/b", "a/b/c", "a/b/d"]), ["a/b/c"]);
}

#[test]
fn a_directory_is_not_looked_into_when_nothing_in_it_can_be_wanted() {
    let prunes = |patterns: &str, directory: &str| {
        let ignore = Ignore::parse(patterns).unwrap();
        let judgement = ignore.judge(directory, &Judgement::default());
        ignore.prunes(directory, &judgement)
    };
    assert!(prunes("a", "a") && !prunes("a", "b"));
    assert!(prunes("*\n!b/c", "a") && !prunes("*\n!a/b/c", "a"));
    assert!(!prunes("*\n!**/c", "a") && !prunes("*\n!a*/c", "ab") && prunes("*\n!b*/c", "a"));
}

#[test]
fn what_is_no_pattern_is_refused() {
    assert_eq!(Ignore::parse("a\n!\n").unwrap_err().message, "cannot read the pattern `!`: it has no path");
    assert_eq!(Ignore::parse("a[").unwrap_err().message, "cannot read the pattern `a[`");
    let many = "a\n".repeat(10_001);
    assert!(Ignore::parse(&many).unwrap_err().message.starts_with("cannot use more than 10000 patterns"));
}

#[test]
fn patterns_of_exclude_are_the_same() {
    let ignore = Ignore::of_patterns(["*.txt", "!b.txt"]).unwrap();
    assert!(ignore.is_ignored("a.txt") && !ignore.is_ignored("b.txt") && !ignore.is_ignored("x/a.txt"));
}
