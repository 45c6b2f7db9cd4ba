//! Permissions as `--chmod` has them: octal digits, or what chmod(1) takes, such as `u=rwX,go=rX`.

use anyhow::{Result, anyhow};

/// What becomes of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are these, whatever they were.
    Octal(u32),
    /// They change.
    Symbolic(Vec<Change>),
}

/// A part of a symbolic mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whom it is for: bits for user, group and others, with setuid, setgid and sticky.
    who: u32,
    action: Action,
    /// Bits, the same for each of user, group and others.
    bits: u32,
    /// Whether what may be searched or executed already may be so by all of them.
    has_conditional_execute: bool,
    /// Whose bits are taken over.
    taken_from: Option<char>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Add,
    Remove,
    Set,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o0007;
const STICKY: u32 = 0o1000;

impl Mode {
    /// Reads a mode.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Mode> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            let octal = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return octal.map(Mode::Octal).ok_or_else(|| {
                anyhow!("cannot use the mode {text}: it is no octal number between 0 and 7777")
            });
        }
        let failed = || {
            anyhow!(
                "cannot use the mode {text}: it is neither octal nor as chmod has it, such as u=rwX,go=rX"
            )
        };
        let clauses = text.split(',').map(clause).collect::<Option<Vec<_>>>().ok_or_else(failed)?;
        Ok(Mode::Symbolic(clauses.concat()))
    }

    /// Returns what permissions become, of a directory or something else.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Mode::Octal(octal) => *octal,
            Mode::Symbolic(changes) => changes.iter().fold(mode, |now, change| {
                let may_execute = is_directory || mode & 0o111 != 0;
                change.apply(now, may_execute)
            }),
        }
    }

    /// Returns the permissions of directories that must be made to get somewhere.
    pub fn of_parents(&self) -> u32 {
        match self {
            Mode::Octal(octal) => octal & 0o777,
            Mode::Symbolic(_) => 0o755,
        }
    }
}

impl Change {
    fn apply(&self, mode: u32, may_execute: bool) -> u32 {
        let copied = match self.taken_from {
            Some('u') => mode >> 6 & 7,
            Some('g') => mode >> 3 & 7,
            Some(_) => mode & 7,
            None => 0,
        };
        let conditional = if self.has_conditional_execute && may_execute { 0o111 } else { 0 };
        let bits = (self.bits | conditional | copied << 6 | copied << 3 | copied) & self.who;
        match self.action {
            Action::Add => mode | bits,
            Action::Remove => mode & !bits,
            Action::Set => mode & !self.who | bits,
        }
    }
}

/// Reads `who`, then one or more of an action and its bits.
fn clause(text: &str) -> Option<Vec<Change>> {
    let start = text.find(['+', '-', '='])?;
    let who = text[..start].chars().try_fold(0, |who, letter| Some(who | whom(letter)?))?;
    // All is meant where nobody is named.
    let who = if who == 0 { USER | GROUP | OTHERS } else { who };
    let mut changes = Vec::new();
    let mut rest = &text[start..];
    while let Some(letter) = rest.chars().next() {
        let action = match letter {
            '+' => Action::Add,
            '-' => Action::Remove,
            _ => Action::Set,
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
        changes.push(change(who, action, &rest[1..end])?);
        rest = &rest[end..];
    }
    Some(changes)
}

fn whom(letter: char) -> Option<u32> {
    match letter {
        'u' => Some(USER),
        'g' => Some(GROUP),
        'o' => Some(OTHERS),
        'a' => Some(USER | GROUP | OTHERS),
        _ => None,
    }
}

fn change(who: u32, action: Action, letters: &str) -> Option<Change> {
    let mut change = Change { who, action, bits: 0, has_conditional_execute: false, taken_from: None };
    for letter in letters.chars() {
        match letter {
            'r' => change.bits |= 0o444,
            'w' => change.bits |= 0o222,
            'x' => change.bits |= 0o111,
            's' => change.bits |= 0o6000,
            't' => {
                change.bits |= STICKY;
                change.who |= STICKY;
            }
            'X' => change.has_conditional_execute = true,
            'u' | 'g' | 'o' if letters.len() == 1 => change.taken_from = Some(letter),
            _ => return None,
        }
    }
    Some(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_says_what_permissions_become() {
        for (text, before, file, directory) in [
            ("0644", 0o755, 0o644, 0o644),
            ("777", 0o600, 0o777, 0o777),
            ("0", 0o600, 0, 0),
            ("4755", 0o600, 0o4755, 0o4755),
            ("go-w", 0o666, 0o644, 0o644),
            ("u=rw,g=r,o=r", 0o777, 0o644, 0o644),
            ("a+X", 0o644, 0o644, 0o755),
            ("a+X", 0o744, 0o755, 0o755),
            ("u=rwX,go=rX", 0o600, 0o644, 0o755),
            ("u+rw,g+r,o-x,o+w", 0o405, 0o646, 0o646),
            ("+x", 0o644, 0o755, 0o755),
            ("u+s,g+s", 0o755, 0o6755, 0o6755),
            ("+t", 0o777, 0o1777, 0o1777),
            ("g=u", 0o640, 0o660, 0o660),
            ("o=", 0o777, 0o770, 0o770),
            ("u+w-x", 0o555, 0o655, 0o655),
            ("u=rw", 0o4755, 0o655, 0o655),
        ] {
            let mode = Mode::parse(text).unwrap();
            assert_eq!((mode.apply(before, false), mode.apply(before, true)), (file, directory), "{text}");
        }
    }

    #[test]
    fn what_is_no_mode_is_told() {
        for text in ["64a", "10000", "99", "", "rw", "u=q", "x+r", "u", "a=r,,w", "-1", "u=ug"] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }
}
