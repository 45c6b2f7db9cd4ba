//! Text from outside as it is shown: nothing in it is markup, moves a terminal's cursor, or turns what stands around it.

/// Returns `text` as text of HTML, XML and quoted attributes; what can't be seen is shown by its number.
pub(super) fn markup(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            c => push_visible(&mut shown, c),
        }
    }
    shown
}

/// Returns `text` as it may stand on a terminal's line.
pub(super) fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(&mut shown, c));
    shown
}

/// Returns `text` with only the beginnings of the digests in it.
pub(super) fn abridged(text: &str) -> String {
    const SCHEME: &str = "sha256:";
    let mut parts = text.split(SCHEME);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let n_digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        shown.push_str(SCHEME);
        match n_digits == 64 {
            true => shown.extend([&part[..12], "…", &part[64..]]),
            false => shown.push_str(part),
        }
    }
    shown
}

fn push_visible(shown: &mut String, c: char) {
    match is_hidden(c) {
        true => shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
        false => shown.push(c),
    }
}

/// Control characters, and those that turn the direction of writing or have no width: a name could pretend with them to be
/// another.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mislead_is_shown_by_its_number() {
        assert_eq!(markup("a<b>&\"'\n"), "a&lt;b&gt;&amp;&quot;&#39;⟨U+000A⟩");
        assert_eq!(line("\u{1b}[31m<red>\u{202e}gpj.exe"), "⟨U+001B⟩[31m<red>⟨U+202E⟩gpj.exe");
        let digest = crate::digest::Digest::of("");
        assert_eq!(abridged(&format!("a@{digest}, sha256:é")), "a@sha256:e3b0c44298fc…, sha256:é");
        assert_eq!(line("Ñandú 日本 é"), "Ñandú 日本 é");
    }
}
