//! The signals that STOPSIGNAL may name.

use super::mistake::{Problem, excerpt, suggestion};

/// Those of Linux; besides there are `RTMIN+1` … `RTMIN+15` and `RTMAX-14` … `RTMAX-1`.
const NAMES: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// Says whether a word is a signal: a number, or a name with or without `SIG`.
pub(super) fn check(word: &str) -> Result<(), Problem> {
    let upper = word.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let is_number = word.parse::<i64>().is_ok_and(|number| number != 0);
    if is_number || NAMES.contains(&name) || is_real_time(name) {
        return Ok(());
    }
    let names: Vec<String> = NAMES.iter().map(|name| format!("SIG{name}")).collect();
    let hint = suggestion(&upper, names.iter().map(String::as_str), "write for instance SIGTERM");
    Err(Problem::new(format!("cannot stop with `{}`: there is no such signal", excerpt(word)), hint))
}

fn is_real_time(name: &str) -> bool {
    let within = |number: &str, most| {
        let is_plain = !number.starts_with(['0', '+']);
        is_plain && number.parse::<u8>().is_ok_and(|number| number <= most)
    };
    name.strip_prefix("RTMIN+").is_some_and(|number| within(number, 15))
        || name.strip_prefix("RTMAX-").is_some_and(|number| within(number, 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_number_or_a_name() {
        for word in ["9", "SIGKILL", "term", "SigRTMIN+3", "RTMAX-14"] {
            assert_eq!(check(word), Ok(()), "{word}");
        }
        for word in ["0", "", "SIG", "RTMIN+16", "RTMIN+03", "RTMAX-0x", "SIGSIGTERM"] {
            assert!(check(word).is_err(), "{word}");
        }
        assert_eq!(check("SIGTRM").unwrap_err().hint, "did you mean `SIGTERM`?");
    }
}
