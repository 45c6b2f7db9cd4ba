//! The page for people, in a real browser: Debian's Chromium.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod accounts;
mod browser;
#[path = "../support/mod.rs"]
mod support;

use std::time::Instant;

use browser::Browser;
use serde_json::{Value, json};

const DOWN: char = '\u{e015}';
const LEFT: char = '\u{e012}';
const RIGHT: char = '\u{e014}';
const END: char = '\u{e010}';
const ESCAPE: char = '\u{e00c}';

/// More rows than are in sight are never there.
const MOST_ROWS: u64 = 60;

/// What the tree shows, from its top.
fn rows(browser: &Browser) -> Vec<String> {
    let names =
        browser.run("return [...document.querySelectorAll('.row .name')].map((name) => name.textContent)");
    names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// How many rows there would be if all of them were in sight.
fn height_in_rows(browser: &Browser) -> u64 {
    browser.run("return Math.round(document.getElementById('rows').offsetHeight / 26)").as_u64().unwrap()
}

/// Types into the search field, and waits until the tree shows `expected`, as far as that goes.
fn search(browser: &Browser, text: &str, expected: &[&str]) {
    browser.run("document.getElementById('query').value = ''; document.getElementById('query').focus()");
    browser.press(text);
    let shown = "[...document.querySelectorAll('.row .name')].map((name) => name.textContent)";
    browser.wait_for(&format!(
        "document.getElementById('query').value === {text:?} && JSON.stringify({shown}) === {:?}",
        json!(expected).to_string()
    ));
}

fn arrange(browser: &Browser, by: &str) {
    browser.run(&format!(
        "const by = document.getElementById('by'); by.value = '{by}'; by.dispatchEvent(new Event('change'))"
    ));
}

fn is_quiet(browser: &Browser, page: &std::path::Path) {
    assert_eq!(browser.console(), [] as [String; 0]);
    let own = format!("file://{}", page.display());
    let others: Vec<String> = browser.requests().into_iter().filter(|address| *address != own).collect();
    assert_eq!(others, [] as [String; 0]);
}

#[test]
fn two_thousand_packages_and_fifty_thousand_files_are_searched_and_folded() {
    let directory = tempfile::tempdir().unwrap();
    let page = accounts::page(&accounts::large(2000, 50_000), directory.path());
    let browser = Browser::start();
    browser.open(&page);
    assert!(rows(&browser)[0].starts_with("Base image registry.example/debian@sha256:"));
    assert_eq!(rows(&browser)[1..4], ["Layer 2", "package-0000", "package-0001"]);

    browser.run("document.getElementById('unfold').click()");
    assert!(height_in_rows(&browser) > 52_000);
    assert!((rows(&browser).len() as u64) < MOST_ROWS);
    browser.run("document.getElementById('tree').focus()");
    browser.press(&END.to_string());
    browser.wait_for("[...document.querySelectorAll('.row .name')].some((name) => name.textContent === '/opt/app/tool-29')");
    assert!((rows(&browser).len() as u64) < MOST_ROWS);
    browser.run("document.getElementById('fold').click()");
    assert_eq!(height_in_rows(&browser), 3);

    search(
        &browser,
        "package-1234 file-07",
        &["Layer 2", "package-1234", "/usr/share/package-1234/file-07.txt"],
    );
    assert_eq!(browser.run("return document.getElementById('status').textContent"), "1 match");
    browser.press(&ESCAPE.to_string());
    browser.wait_for("document.querySelectorAll('.row').length === 3");
    is_quiet(&browser, &page);
}

#[test]
fn a_keyboard_is_enough_and_what_is_chosen_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let page = accounts::page(&accounts::large(20, 60), directory.path());
    let browser = Browser::start();
    browser.open(&page);
    browser.press("/");
    assert_eq!(browser.run("return document.activeElement.id"), "query");
    search(&browser, "1.3-2", &["Layer 2", "package-0003"]);
    browser.press(&[DOWN, DOWN].iter().collect::<String>());
    let chosen = "const tree = document.getElementById('tree');\
        const row = document.getElementById(tree.getAttribute('aria-activedescendant'));\
        return [document.activeElement === tree, row.getAttribute('role'), row.getAttribute('aria-level'),\
          row.getAttribute('aria-expanded'), row.querySelector('.name').textContent]";
    assert_eq!(browser.run(chosen), json!([true, "treeitem", "2", "false", "package-0003"]));
    browser.press(&RIGHT.to_string());
    assert_eq!(browser.run(chosen)[3], "true");
    browser.press(&RIGHT.to_string());
    assert_eq!(browser.run(chosen)[4], "/usr/share/package-0003/file-00.txt");
    browser.press(&[LEFT, LEFT].iter().collect::<String>());
    assert_eq!(browser.run(chosen), json!([true, "treeitem", "2", "false", "package-0003"]));

    let details = browser.run("return document.getElementById('details').textContent");
    let details = details.as_str().unwrap();
    for told in
        ["1.3-2", "source-000", "package-0003.deb", "Ann <ann@archive.example> AA", "BSD-3-Clause AND MIT"]
    {
        assert!(details.contains(told), "{told}: {details}");
    }
    browser.run("[...document.querySelectorAll('#details .jump')].find((key) => key.textContent.includes('AA')).click()");
    assert_eq!(browser.run(chosen)[4], "Ann <ann@archive.example> AA");
    is_quiet(&browser, &page);
}

#[test]
fn each_arrangement_shows_its_side_of_the_account() {
    let directory = tempfile::tempdir().unwrap();
    let page = accounts::page(&accounts::large(20, 60), directory.path());
    let browser = Browser::start();
    browser.open(&page);
    for (by, expected) in [
        ("packages", "base-files"),
        ("files", "Generated by package-0009:amd64 postinst"),
        ("files", "Generated, and taken out again"),
        ("licences", "No licence is told"),
        ("licences", "LicenseRef-odd"),
        ("sources", "source-000 1.0-2"),
        ("keys", "Ann <ann@archive.example> AA"),
        ("components", "/opt/app/tool-01"),
        ("components", "/opt/app/tool-02"),
    ] {
        arrange(&browser, by);
        browser.run("document.getElementById('fold').click()");
        assert!(rows(&browser).contains(&expected.to_owned()), "{by}: {:?}", rows(&browser));
    }
    arrange(&browser, "files");
    browser.run("const only = document.getElementById('only'); only.value = 'is:declared'; only.dispatchEvent(new Event('change'))");
    search(&browser, "tool-07", &["Files that were added one by one", "/opt/app/tool-07"]);
    browser.run("document.querySelectorAll('.row')[1].click()");
    let details = browser.run("return document.getElementById('details').textContent");
    let origin = "commit 49b6936ef130793fff677038891e517718c2baf8 of https://git.example/app, as declared";
    assert!(details.as_str().unwrap().contains(origin), "{details}");
    assert!(browser.run("return document.querySelectorAll('.picture div').length").as_u64().unwrap() > 20);
    is_quiet(&browser, &page);
}

#[test]
fn names_that_would_like_to_run_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let page = accounts::page(&accounts::hostile(), directory.path());
    let browser = Browser::start();
    browser.open(&page);
    for by in ["layers", "packages", "files", "licences", "sources", "keys", "components"] {
        arrange(&browser, by);
        browser.run("document.getElementById('unfold').click()");
        browser.run("for (let nth = 0; nth < document.querySelectorAll('.row').length; nth += 1) document.querySelectorAll('.row')[nth].click()");
        assert!(rows(&browser).iter().any(|name| name.contains("<img src=x onerror=")), "{by}");
    }
    browser.run("dispatchEvent(new Event('beforeprint'))");
    let made = "return [window.hit ?? null, document.images.length, document.scripts.length, document.links.length,\
        document.querySelectorAll('#paper table').length > 3, document.body.innerText.includes('\\u202e')]";
    assert_eq!(browser.run(made), json!([null, 0, 2, 0, true, false]));
    is_quiet(&browser, &page);
}

#[test]
fn paper_and_browsers_without_scripts_get_tables() {
    let directory = tempfile::tempdir().unwrap();
    let page = accounts::page(&accounts::large(20, 60), directory.path());
    let browser = Browser::start();
    for has_scripts in [true, false] {
        browser.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": !has_scripts}));
        browser.open(&page);
        let paper = browser.print(directory.path());
        for told in [
            "Packages",
            "package-0019",
            "base-files",
            "Files added one by one",
            "/opt/app/tool-29",
            "Licences",
            "Ann Example",
            "Sources",
            "package-0019.dsc",
            "Keys",
            "ann@archive.example",
            "install everything",
            "it is cut off",
        ] {
            assert!(paper.contains(&told.replace(' ', "")), "scripts: {has_scripts}, {told}\n{paper}");
        }
        assert!(!paper.contains("Arrangedby"));
    }
}

/// Writes what `benches/page.sh` shows.
#[test]
#[ignore = "it measures: see benches/page.sh"]
#[expect(clippy::print_stdout, reason = "what it measures is its result")]
fn how_long_a_large_page_takes() {
    let directory =
        std::path::PathBuf::from(std::env::var_os("PAGE_OUT").expect("PAGE_OUT names a directory"));
    let begin = Instant::now();
    let page = accounts::page(&accounts::large(2000, 50_000), &directory);
    let size = std::fs::metadata(&page).unwrap().len();
    println!(
        "page of 2,000 packages and 50,000 files: {size} bytes, made in {} ms",
        begin.elapsed().as_millis()
    );
    let browser = Browser::start();
    browser.open(&page);
    let loaded = browser.run("return Math.round(performance.getEntriesByType('navigation')[0].loadEventEnd)");
    println!("{:>28}: {loaded} ms", "loaded");
    for (what, act) in [
        ("unfold all", "document.getElementById('unfold').click()"),
        ("scroll to the middle", "tree.scrollTop = 650000; tree.dispatchEvent(new Event('scroll'))"),
        ("search file-07", "query.value = 'file-07'; only.dispatchEvent(change)"),
        ("search package-1234 file-07", "query.value = 'package-1234 file-07'; only.dispatchEvent(change)"),
        ("search e", "query.value = 'e'; only.dispatchEvent(change)"),
        ("search what isn't there", "query.value = 'zzz'; only.dispatchEvent(change)"),
        ("by packages", "query.value = ''; by.value = 'packages'; by.dispatchEvent(change)"),
        ("by licences", "by.value = 'licences'; by.dispatchEvent(change)"),
        ("by sources", "by.value = 'sources'; by.dispatchEvent(change)"),
        ("by layers", "by.value = 'layers'; by.dispatchEvent(change)"),
    ] {
        println!("{what:>28}: {}", timed(&browser, act));
    }
    let schemes = [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)];
    for (scheme, width) in schemes {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.devtools("Emulation.setEmulatedMedia", &features);
        let size = json!({"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 600});
        browser.devtools("Emulation.setDeviceMetricsOverride", &size);
        browser.screenshot(&directory.join(format!("page-{scheme}-{width}.png")));
    }
}

/// How long the script and the layout take, and how many rows there are then.
fn timed(browser: &Browser, act: &str) -> String {
    let names = "const [tree, query, only, by] = ['tree', 'query', 'only', 'by'].map((id) => document.getElementById(id));\
        const change = new Event('change');";
    let taken: Value = browser.run(&format!(
        "{names} const begin = performance.now(); {act}; document.body.offsetHeight;\
         return [Math.round(performance.now() - begin), document.querySelectorAll('.row').length]"
    ));
    format!("{} ms, {} rows", taken[0], taken[1])
}
