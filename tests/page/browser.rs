//! A browser, driven as WebDriver says (<https://www.w3.org/TR/webdriver2/>): Chromium without a screen.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,1400",
];

/// A browser with one window; it ends with its value.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser that writes down what its console says and what it asks the network for.
    pub(crate) fn start() -> Browser {
        let mut driver = Command::new("chromedriver");
        driver.args(["--port=0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = driver.spawn().unwrap_or_else(|error| {
            panic!("cannot run `chromedriver`: {error}\nhint: ./ci/test installs what the tests need")
        });
        let port = port_of(&mut driver);
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Browser { driver, port, session: String::new(), _profile: profile };
        let own = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments: Vec<&str> = FLAGS.into_iter().chain([own.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let session = browser.ask("POST", "/session", &wanted);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    /// Opens a file.
    pub(crate) fn open(&self, file: &Path) {
        self.command("POST", "/url", &json!({"url": format!("file://{}", file.display())}));
    }

    /// Runs a function's body in the page, and returns what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&self, expression: &str) {
        let begin = Instant::now();
        while self.run(&format!("return Boolean({expression})")) != json!(true) {
            assert!(begin.elapsed() < Duration::from_secs(60), "never came true: {expression}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Types into what has the focus; keys without a letter are those of WebDriver, from U+E000.
    pub(crate) fn press(&self, keys: &str) {
        let both =
            |key: char| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}));
        let actions: Vec<Value> = keys.chars().flat_map(both).collect();
        let keyboard = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.command("POST", "/actions", &keyboard);
    }

    /// Returns what the console said since it was asked last.
    pub(crate) fn console(&self) -> Vec<String> {
        let said = self.log("browser");
        said.iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns what files have asked for since it was asked last, without addresses that hold their own content.
    pub(crate) fn requests(&self) -> Vec<String> {
        let events = self.log("performance").into_iter().map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap()["message"].take()
        });
        let requests = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let requests = requests
            .map(|event| (text(&event["params"]["documentURL"]), text(&event["params"]["request"]["url"])));
        let of_files = requests.filter(|(document, _)| document.starts_with("file:"));
        of_files.map(|(_, address)| address).filter(|address| !address.starts_with("data:")).collect()
    }

    /// Prints the page, and returns the paper's text without white space: cells break where they have to.
    pub(crate) fn print(&self, scratch: &Path) -> String {
        let printed = self.devtools("Page.printToPDF", &json!({}));
        std::fs::write(scratch.join("page.pdf"), STANDARD.decode(printed["data"].as_str().unwrap()).unwrap())
            .unwrap();
        let file = scratch.join("page.pdf").display().to_string();
        super::support::run("pdftotext", &[&file, "-"]).split_whitespace().collect()
    }

    /// Writes what is to be seen.
    pub(crate) fn screenshot(&self, file: &Path) {
        let image = self.command("GET", "/screenshot", &Value::Null);
        std::fs::write(file, STANDARD.decode(image.as_str().unwrap()).unwrap()).unwrap();
    }

    /// Asks the browser for what WebDriver has no words for.
    pub(crate) fn devtools(&self, command: &str, params: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": params}))
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.command("POST", "/se/log", &json!({"type": kind})).as_array().unwrap().clone()
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let body = if method == "GET" { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let (mut reader, mut length) = (BufReader::new(stream), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(answer["value"]["error"].is_null(), "{method} {path} {body:.300}: {answer:#}");
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.command("DELETE", "", &json!({}));
        }
        // Ends the browser, too.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(self.driver.id()).unwrap()),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.driver.wait();
    }
}

/// The driver says on which port it listens.
fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let said = lines.find_map(|line| {
        let line = line.unwrap();
        line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
    });
    // What it says later has to go somewhere.
    std::thread::spawn(move || lines.for_each(drop));
    said.expect("chromedriver says its port")
}
