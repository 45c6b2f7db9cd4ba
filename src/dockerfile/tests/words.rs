//! How words are read and variables replaced.

use super::*;

fn read(text: &str) -> String {
    word(text, Escape::Backslash, &value).unwrap_or_else(|problem| problem.message)
}

fn split(text: &str) -> Vec<String> {
    words(text, Escape::Backslash, &value).unwrap()
}

#[test]
fn a_name_ends_where_no_letter_or_digit_follows() {
    assert_eq!(read("x$a-$a_b${a}b$.$"), "x1-1b$.$");
    assert_eq!(read("$1a$12$@$?$#"), "a");
}

#[test]
fn quotes_and_escapes_vanish() {
    assert_eq!(read(r#"'$a'"$a"\$a"\$a"'\'"#), r"$a1$a$a\");
    assert_eq!(read(r#"a\b"a\b"'a\b'"a\\b""#), r"aba\ba\ba\b");
    assert_eq!(read("\"it's\" 'so \"so\"'"), "it's so \"so\"");
    assert_eq!(read("end\\"), "end");
}

#[test]
fn the_escape_character_may_be_another() {
    let read = |text| word(text, Escape::Backtick, &value).unwrap();
    assert_eq!(read("C:\\x`$a\"`\"\""), "C:\\x$a\"");
}

#[test]
fn something_stands_in_for_what_is_unset_or_empty() {
    assert_eq!(read("${a-x}${empty-x}${none-x}"), "1x");
    assert_eq!(read("${a:-x}${empty:-x}${none:-x}"), "1xx");
    assert_eq!(read("${a+x}${empty+x}${none+x}"), "xx");
    assert_eq!(read("${a:+x}${empty:+x}${none:+x}"), "x");
    assert_eq!(read("${none:-${empty:-${a}}\\}}"), "1}");
    assert_eq!(read("${none:-\"a b\"'c'}"), "a bc");
}

#[test]
fn what_must_be_set_is_asked_for() {
    assert_eq!(read("${a?}${a:?}${empty?}"), "11");
    assert_eq!(read("${empty:?}"), "cannot expand `${empty:?}`: empty: it must not be empty");
    assert_eq!(read("${none?}"), "cannot expand `${none?}`: none: it has no value");
    assert_eq!(read("${none?set $a}"), "cannot expand `${none?set $a}`: none: set 1");
}

#[test]
fn beginnings_and_ends_are_cut_off() {
    assert_eq!(read("${path#*/} ${path##*/}"), "usr/lib/x.tar.gz x.tar.gz");
    assert_eq!(read("${path%.*} ${path%%.*}"), "/usr/lib/x.tar /usr/lib/x");
    assert_eq!(read("${path#$none}${none#x}${path%x}"), "/usr/lib/x.tar.gz/usr/lib/x.tar.gz");
}

#[test]
fn parts_are_replaced() {
    assert_eq!(read("${path/r/R} ${path//r/R}"), "/usR/lib/x.tar.gz /usR/lib/x.taR.gz");
    assert_eq!(read(r"${path/\/usr/} ${path//\//:}"), "/lib/x.tar.gz :usr:lib:x.tar.gz");
    assert_eq!(read("${path/l*b/$a}"), "/usr/1/x.tar.gz");
}

#[test]
fn what_does_not_end_or_is_unknown_is_refused() {
    for (text, why) in [
        ("'a", "expected another ' before the end"),
        ("\"a", "expected another \" before the end"),
        ("${a", "expected an operator in `${…}`, got the end"),
        ("${", "expected `}` after `${`"),
        ("${a:-b", "expected `}` after `${`"),
        ("${}", "expected a name after `${`"),
        ("${{a}", "expected a name after `${`"),
        ("${:-a}", "expected a name after `${`"),
        ("${a=b}", "expected an operator in `${…}`, got `=`"),
        ("${a:=b}", "expected an operator in `${…}`, got `=`"),
        ("${a.b}", "expected an operator in `${…}`, got `.`"),
        ("${a/b}", "expected `/` after the pattern"),
        ("${a/b/c", "expected `}` after `${`"),
        (r"${a#\x}", r"in the pattern `\x` a backslash stands before nothing special"),
    ] {
        assert_eq!(read(text), format!("cannot expand `{text}`: {why}"), "{text}");
    }
}

#[test]
fn words_end_at_spaces_outside_of_quotes() {
    assert_eq!(split("  a b\tc "), ["a", "b", "c"]);
    assert_eq!(split(r#"a" b "c 'd e'\ f"#), ["a b c", "d e f"]);
    assert_eq!(split("x${spaces}y\"$spaces\""), ["x", "b", "c", "y b  c "]);
    assert_eq!(split("$empty '' \"\""), Vec::<String>::new());
}

#[test]
fn variables_that_grow_without_end_are_stopped() {
    let large = "x".repeat(600_000);
    let lookup = |_: &str| Some(large.clone());
    let problem = word("$a$a", Escape::Backslash, &lookup).unwrap_err();
    assert!(problem.message.ends_with("its variables have more than 1 MiB of text"));
    let problem = word("${a//x/yyyy}", Escape::Backslash, &lookup).unwrap_err();
    assert!(problem.message.ends_with("its variables have more than 1 MiB of text"));
}

#[test]
fn an_instruction_that_becomes_too_long_is_stopped() {
    let large = "x".repeat(600_000);
    let volumes = kind("VOLUME $a $a $a $a $a $a $a $a");
    let problem = volumes.expand(Escape::Backslash, &|_| Some(large.clone())).unwrap_err();
    assert_eq!(problem.message, "cannot expand the instruction: it is longer than 4 MiB then");
}
