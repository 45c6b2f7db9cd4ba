//! The values of options and fields, which both forms have in common.

/// The options by which apt can be told to believe what nobody signed well.
pub(super) const LENIENCES: [(&str, &str); 4] = [
    ("trusted", "trusted=yes"),
    ("allow-insecure", "allow-insecure=yes"),
    ("allow-weak", "allow-weak=yes"),
    ("allow-downgrade-to-insecure", "allow-downgrade-to-insecure=yes"),
];

pub(super) fn lenience(name: &str, value: &str) -> Result<Option<&'static str>, String> {
    let asked_for = parse_bool(name, value)?;
    let known = LENIENCES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    Ok(known.map(|(_, shown)| shown).filter(|_| asked_for))
}

pub(super) fn parse_seconds(name: &str, value: &str) -> Result<Option<i64>, String> {
    let seconds = value.parse::<u32>();
    let seconds = seconds.map_err(|_| format!("{name} is a number of seconds, not {:?}", excerpt(value)))?;
    // As with apt, 0 is as good as not given.
    Ok(Some(i64::from(seconds)).filter(|seconds| *seconds != 0))
}

pub(super) fn parse_bool(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" | "with" | "enable" => Ok(true),
        "no" | "false" | "off" | "0" | "without" | "disable" => Ok(false),
        _ => Err(format!("{name} is `yes` or `no`, not {:?}", excerpt(value))),
    }
}

pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}
