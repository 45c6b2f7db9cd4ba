//! The account as a page for people: one file that needs no network, to be searched, folded and printed.
//!
//! The page carries the whole account as JSON, and a script that shows only the rows in sight; who runs no scripts, and
//! who prints it, gets [`tables`] instead. All names in an account are from outside: they become text here, and the page's
//! own policy (CSP) lets nothing run or load but its script and style, by their digests.

mod head;
mod tables;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::shown::markup;
use super::{Document, drawing};

const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 5] = [
    include_str!("account.js"),
    include_str!("tree.js"),
    include_str!("details.js"),
    include_str!("picture.js"),
    include_str!("page.js"),
];
const EXPLORER: &str = include_str!("explorer.html");

/// Returns the page: the same bytes for the same account.
///
/// # Errors
/// When the account has no JSON form, which is a mistake in its types.
pub fn html(document: &Document) -> Result<String, serde_json::Error> {
    let script = format!("(() => {{\n\"use strict\";\n{}}})();\n", SCRIPTS.concat());
    let policy = format!(
        "default-src 'none'; img-src data:; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(&script),
        digest(STYLE)
    );
    let parts = [
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        &format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n"),
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n",
        &format!("<title>{} – bill of materials</title>\n", markup(&document.product_name)),
        &format!("<style>{STYLE}</style>\n</head>\n<body>\n"),
        &head::header(document),
        "<main>\n",
        &head::notices(document),
        EXPLORER,
        "<noscript id=\"tables\">\n",
        &tables::tables(document),
        "</noscript>\n<div id=\"paper\"></div>\n",
        &graph(document),
        "</main>\n",
        &format!("<script type=\"application/json\" id=\"account\">{}</script>\n", json(document)?),
        &format!("<script>{script}</script>\n</body>\n</html>\n"),
    ];
    Ok(parts.concat())
}

fn graph(document: &Document) -> String {
    if document.graph.is_empty() {
        return String::new();
    }
    let picture = drawing::svg(&document.graph);
    format!(
        "<section aria-labelledby=\"graph\">\n<h2 id=\"graph\">How it was built</h2>\n<div class=\"scroll\">{picture}</div>\n</section>\n"
    )
}

/// As policies name what may run.
fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Nothing in it ends the element that it stands in.
fn json(document: &Document) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(document)?;
    Ok(json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    #[test]
    fn a_page_is_one_file_whose_policy_names_its_script_and_style() {
        let page = html(&samples::document()).unwrap();
        assert_eq!(page, html(&samples::document()).unwrap());
        for (open, close, directive) in
            [("<style>", "</style>", "style-src"), ("<script>", "</script>", "script-src")]
        {
            let (_, rest) = page.split_once(open).unwrap();
            let (text, _) = rest.split_once(close).unwrap();
            assert!(page.contains(&format!("{directive} 'sha256-{}'", digest(text))), "{directive}");
        }
        for reference in ["src=\"", "url(", "@import", "style=\"", "onclick"] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    #[test]
    fn names_from_outside_are_text_wherever_they_stand() {
        let page = html(&samples::hostile()).unwrap();
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
        let markup: Vec<&str> = page.match_indices("<img").map(|(at, _)| &page[at..at + 9]).collect();
        assert_eq!(markup, [] as [&str; 0]);
        assert_eq!(page.matches("</script>").count(), 2);
        assert_eq!(page.matches("</noscript>").count(), 1);
        let (_, rest) = page.split_once("id=\"account\">").unwrap();
        let (json, _) = rest.split_once("</script>").unwrap();
        let read: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(read, serde_json::to_value(samples::hostile()).unwrap());
    }
}
