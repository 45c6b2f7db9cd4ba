//! JSON whose bytes depend on the value alone.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, Write};
use std::ops::Range;
use std::rc::Rc;

use serde::Serialize;
use serde_json::ser::Formatter;

/// Returns the one JSON text of `value`: object keys sorted, no white space. Nothing is held but the text.
///
/// # Panics
/// When `value` has no JSON form, which is a mistake in its type (a map whose keys are no strings).
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    let text = Text::default();
    let sorting = Sorting { text: text.clone(), objects: Vec::new() };
    let mut serializer = serde_json::Serializer::with_formatter(text.clone(), sorting);
    value.serialize(&mut serializer).expect("the types written here have a JSON form");
    let mut text = text.0.take();
    text.shrink_to_fit();
    text
}

/// What is written so far, shared by who writes and who sorts.
#[derive(Clone, Default)]
struct Text(Rc<RefCell<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sorts the members of each object when it ends.
struct Sorting {
    text: Text,
    /// The objects that haven't ended, by their members.
    objects: Vec<Vec<Member>>,
}

/// Where a member of an object stands in the text.
struct Member {
    key: Range<usize>,
    end: usize,
}

impl Sorting {
    fn position(&self) -> usize {
        self.text.0.borrow().len()
    }

    fn member(&mut self) -> Option<&mut Member> {
        self.objects.last_mut()?.last_mut()
    }
}

impl Formatter for Sorting {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.objects.push(Vec::new());
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        let start = self.position();
        let members = self.objects.last_mut();
        members.into_iter().for_each(|members| members.push(Member { key: start..start, end: start }));
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        let end = self.position();
        self.member().into_iter().for_each(|member| member.key.end = end);
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        let end = self.position();
        self.member().into_iter().for_each(|member| member.end = end);
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        sort(&mut self.text.0.borrow_mut(), self.objects.pop().unwrap_or_default());
        writer.write_all(b"}")
    }
}

/// Brings the members of the object that `text` ends with into the order of their keys.
fn sort(text: &mut Vec<u8>, mut members: Vec<Member>) {
    let Some(start) = members.first().map(|member| member.key.start) else { return };
    if members.is_sorted_by(|one, next| key(text, one) < key(text, next)) {
        return;
    }
    members.sort_by(|one, other| key(text, one).cmp(&key(text, other)));
    let sorted: Vec<&[u8]> = members.iter().map(|member| &text[member.key.start..member.end]).collect();
    let sorted = sorted.join(&b',');
    text.truncate(start);
    text.extend_from_slice(&sorted);
}

/// Returns a member's key as it is without JSON's escapes, which would sort otherwise.
fn key<'t>(text: &'t [u8], member: &Member) -> Cow<'t, str> {
    let quoted = &text[member.key.clone()];
    serde_json::from_slice(quoted).map_or_else(|_| String::from_utf8_lossy(quoted), |Key(key)| key)
}

#[derive(serde::Deserialize)]
struct Key<'t>(#[serde(borrow)] Cow<'t, str>);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[derive(Serialize)]
    struct Ship<'a> {
        name: &'a str,
        crew: BTreeMap<&'a str, Option<u8>>,
        #[serde(flatten)]
        engine: Engine,
        #[serde(rename = "\n")]
        empty: BTreeMap<String, u8>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Engine {
        Sail { area: f64, at: (i64, u64) },
    }

    #[test]
    fn a_type_is_written_as_a_value_would_be() {
        let crew = BTreeMap::from([("\"", Some(1)), ("#", None), ("\u{1}", Some(2)), ("ö", Some(3))]);
        let engine = Engine::Sail { area: 1.5, at: (-1, 2) };
        let ship = Ship { name: "a\\\"b", crew, engine, empty: BTreeMap::new() };
        let expected = r##"{"\n":{},"crew":{"\u0001":2,"\"":1,"#":null,"ö":3},"name":"a\\\"b","sail":{"area":1.5,"at":[-1,2]}}"##;
        assert_eq!(String::from_utf8(canonical_json(&ship)).unwrap(), expected);
    }

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b": [{"z": 1, "a": 2}], "a": null}"#).unwrap();
        assert_eq!(canonical_json(&value), br#"{"a":null,"b":[{"a":2,"z":1}]}"#);
    }
}
