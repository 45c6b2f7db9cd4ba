//! Here-documents: `<<EOF` and the lines up to `EOF`.
//!
//! What an instruction does with one is decided where the instruction is read.

use super::lexer::Lexer;
use super::mistake::Problem;

/// The announcement of a here-document, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heredoc {
    /// The word that ends it; also the name of the file that it becomes.
    pub(super) name: String,
    /// Whether variables in it are replaced: no part of the word is quoted.
    pub(super) is_expanded: bool,
    /// Whether tabs at the beginning of its lines are cut off: `<<-`.
    pub(super) is_indented: bool,
    /// Its lines as they are written, with their breaks.
    pub(super) written: String,
}

impl Heredoc {
    /// Reads a word like `<<EOF`, `0<<-"EOF"`; of other words, says that they are none.
    pub(super) fn parse(word: &str) -> Result<Option<Heredoc>, Problem> {
        let Some((is_indented, delimiter)) = announced(word) else { return Ok(None) };
        let bare = Lexer::of_delimiters(false).words(delimiter, &|_| None)?;
        let quoted = Lexer::of_delimiters(true).words(delimiter, &|_| None)?;
        let ([name], [quoted]) = (bare.as_slice(), quoted.as_slice()) else { return Ok(None) };
        let is_expanded = n_quotes(name) == n_quotes(quoted);
        Ok(Some(Heredoc { name: name.clone(), is_expanded, is_indented, written: String::new() }))
    }

    /// Returns the here-documents that a line announces.
    pub(super) fn all_of(line: &str) -> Result<Vec<Heredoc>, Problem> {
        // A line that is no sequence of words announces none.
        let words = Lexer::of_lines().words(line, &|_| None).unwrap_or_default();
        let found = words.iter().map(|word| Heredoc::parse(word));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Says whether a line, with its break, is the one that ends this.
    pub(super) fn is_ended_by(&self, line: &str) -> bool {
        let line = line.trim_end_matches(['\r', '\n']);
        let line = if self.is_indented { line.trim_start_matches('\t') } else { line };
        line == self.name
    }

    /// Returns what it holds.
    pub(super) fn text(&self) -> String {
        match self.is_indented {
            false => self.written.clone(),
            true => self.written.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect(),
        }
    }
}

/// Returns whether a word has `<<-`, and what follows; before may stand the number of a file.
fn announced(word: &str) -> Option<(bool, &str)> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (is_indented, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}']);
    (!rest.is_empty() && !rest.contains('<')).then_some((is_indented, rest))
}

fn n_quotes(word: &str) -> usize {
    word.matches(['\'', '"']).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Option<(String, bool, bool)> {
        Heredoc::parse(word).unwrap().map(|doc| (doc.name, doc.is_expanded, doc.is_indented))
    }

    #[test]
    fn the_word_after_two_angles_ends_it_and_quotes_forbid_variables() {
        let doc = |name: &str, is_expanded, is_indented| Some((name.to_owned(), is_expanded, is_indented));
        assert_eq!(parse("<<EOF"), doc("EOF", true, false));
        assert_eq!(parse("3<<-EOF"), doc("EOF", true, true));
        assert_eq!(parse("<<'EOF'"), doc("EOF", false, false));
        assert_eq!(parse(r#"<<-"one two""#), doc("one two", false, true));
        assert_eq!(parse("<<E'O'F"), doc("EOF", false, false));
        assert_eq!(parse(r"<<eo\'f"), doc("eo'f", true, false));
        assert_eq!(parse("<<$EOF"), doc("$EOF", true, false));
    }

    #[test]
    fn other_words_announce_nothing() {
        for word in ["<<", "<<<EOF", "<EOF", "a<<EOF", "<<one two", "<<-", "<<a<b"] {
            assert_eq!(parse(word), None, "{word}");
        }
        assert!(Heredoc::parse("<<'EOF").is_err());
    }

    #[test]
    fn a_line_may_announce_several() {
        let names = |line| -> Vec<String> {
            Heredoc::all_of(line).unwrap().into_iter().map(|doc| doc.name).collect()
        };
        assert_eq!(names("COPY <<a <<-b 'x y' /"), ["a", "b"]);
        assert_eq!(names("RUN cat << EOF > /a"), ["EOF"]);
        assert_eq!(names("RUN cat <<- EOF > /a"), ["EOF"]);
        assert_eq!(names("RUN cat << -EOF > /a"), ["-EOF"]);
        assert_eq!(names("RUN echo \"<<EOF\" it\\'s"), Vec::<String>::new());
        assert_eq!(names("RUN echo it's <<EOF"), Vec::<String>::new());
    }

    #[test]
    fn tabs_are_cut_from_the_beginning_of_its_lines_when_asked() {
        let mut doc = Heredoc::parse("<<-EOF").unwrap().unwrap();
        doc.written = "\ta\n\t\tb\tc\n".to_owned();
        assert_eq!(doc.text(), "a\nb\tc\n");
        assert!(doc.is_ended_by("\t\tEOF\r\n") && !doc.is_ended_by(" EOF"));
    }
}
