//! Progress for people, on stderr: bars on a terminal, plain coloured lines in a log.
//!
//! A [`Progress`] is handed down the walk; nothing here is global, and nothing of it ever reaches
//! stdout, which belongs to the result.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How long a task may stay silent in a log before it says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Where progress is told. Cheap to clone.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<Sink>,
}

enum Sink {
    Silent,
    Bars(MultiProgress),
    Lines { writer: Mutex<Box<dyn Write + Send>>, colour: bool },
}

impl Progress {
    /// Tells nobody.
    pub fn silent() -> Progress {
        Progress { sink: Arc::new(Sink::Silent) }
    }

    /// Tells stderr: bars when it is a terminal, else coloured lines (Concourse shows ANSI colours).
    pub fn stderr() -> Progress {
        if io::stderr().is_terminal() {
            return Progress { sink: Arc::new(Sink::Bars(MultiProgress::new())) };
        }
        Progress::lines(Box::new(io::stderr()), wants_colour())
    }

    /// Tells `writer`, one plain line at a time.
    pub fn lines(writer: Box<dyn Write + Send>, colour: bool) -> Progress {
        Progress { sink: Arc::new(Sink::Lines { writer: Mutex::new(writer), colour }) }
    }

    /// Returns whether it is told in colours.
    pub fn is_coloured(&self) -> bool {
        match &*self.sink {
            Sink::Silent => false,
            Sink::Bars(_) => wants_colour(),
            Sink::Lines { colour, .. } => *colour,
        }
    }

    /// Says one line.
    pub fn say(&self, line: impl AsRef<str>) {
        self.print("", line.as_ref());
    }

    /// Says one line that the reader should not overlook.
    pub fn warn(&self, line: impl AsRef<str>) {
        self.print("\x1b[33m", &format!("warning: {}", line.as_ref()));
    }

    /// Starts a task; it is told as done by [`Task::done`], else as given up when it is dropped.
    pub fn start(&self, name: impl Into<String>) -> Task {
        let name = name.into();
        let bar = match &*self.sink {
            Sink::Bars(bars) => Some(spinner(bars, &name)),
            Sink::Silent | Sink::Lines { .. } => None,
        };
        let now = Instant::now();
        Task {
            progress: self.clone(),
            name,
            bar,
            started: now,
            last_sign: Mutex::new(now),
            n_bytes: AtomicU64::new(0),
            total: AtomicU64::new(0),
            is_over: false,
        }
    }

    fn print(&self, colour_code: &str, line: &str) {
        match &*self.sink {
            Sink::Silent => {}
            Sink::Bars(bars) => {
                let _ = bars.println(paint(true, colour_code, line));
            }
            Sink::Lines { writer, colour } => {
                let text = paint(*colour, colour_code, line);
                if let Ok(mut writer) = writer.lock() {
                    let _ = writeln!(writer, "{text}").and_then(|()| writer.flush());
                }
            }
        }
    }
}

/// Whether the user lets us use colours (no-color.org).
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn paint(colour: bool, code: &str, line: &str) -> String {
    match colour && !code.is_empty() {
        true => format!("{code}{line}\x1b[0m"),
        false => line.to_owned(),
    }
}

fn spinner(bars: &MultiProgress, name: &str) -> ProgressBar {
    let bar = bars.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bytes} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Some work under way.
pub struct Task {
    progress: Progress,
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
    last_sign: Mutex<Instant>,
    n_bytes: AtomicU64,
    total: AtomicU64,
    is_over: bool,
}

impl Task {
    /// Says how many bytes are to come.
    pub fn expect(&self, n_bytes: u64) {
        self.total.fetch_add(n_bytes, Ordering::Relaxed);
        let Some(bar) = &self.bar else { return };
        if let Ok(style) = ProgressStyle::with_template(
            "{spinner} {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        ) {
            bar.set_style(style);
        }
        bar.set_length(self.total.load(Ordering::Relaxed));
    }

    /// Says that `n_bytes` more are done.
    pub fn advance(&self, n_bytes: u64) {
        let done = self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None => self.show_sign_of_life(done),
        }
    }

    /// Ends the task well; `outcome` says what came of it, in a word or two.
    pub fn done(mut self, outcome: &str) {
        self.is_over = true;
        self.finish("\x1b[32m", "✔", outcome);
    }

    fn show_sign_of_life(&self, done: u64) {
        let Ok(mut last_sign) = self.last_sign.lock() else { return };
        if last_sign.elapsed() < HEARTBEAT {
            return;
        }
        *last_sign = Instant::now();
        let total = match self.total.load(Ordering::Relaxed) {
            0 => String::new(),
            total => format!(" of {}", size(total)),
        };
        let rate = rate(done, self.started.elapsed());
        self.progress.say(format!("… {}: {}{total}{rate}", self.name, size(done)));
    }

    fn finish(&self, colour_code: &str, mark: &str, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let n_bytes = self.n_bytes.load(Ordering::Relaxed);
        let bytes = if n_bytes == 0 { String::new() } else { format!(", {}", size(n_bytes)) };
        let elapsed = self.started.elapsed();
        let (seconds, rate) = (elapsed.as_secs_f64(), rate(n_bytes, elapsed));
        let line = format!("{mark} {}: {outcome}{bytes}, {seconds:.1} s{rate}", self.name);
        self.progress.print(colour_code, &line);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.is_over {
            self.finish("\x1b[31m", "✘", "given up");
        }
    }
}

/// Returns how fast that is, after a comma; nothing where it was too short to tell.
fn rate(n_bytes: u64, elapsed: Duration) -> String {
    match n_bytes == 0 || elapsed < Duration::from_secs(1) {
        true => String::new(),
        false => format!(", {}/s", size((n_bytes as f64 / elapsed.as_secs_f64()) as u64)),
    }
}

/// Returns a size as people read it, in units of 1000.
pub fn size(n_bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if n_bytes < 1000 {
        return format!("{n_bytes} B");
    }
    let mut value = n_bytes as f64 / 1000.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_task_tells_its_end_with_bytes_and_time() {
        let log = Log::default();
        let progress = Progress::lines(Box::new(log.clone()), false);
        let task = progress.start("fetch jq");
        task.expect(2500);
        task.advance(2500);
        task.done("fetched");
        assert_eq!(log.text(), "✔ fetch jq: fetched, 2.5 kB, 0.0 s\n");
    }

    #[test]
    fn a_task_that_is_dropped_was_given_up() {
        let log = Log::default();
        drop(Progress::lines(Box::new(log.clone()), false).start("fetch jq"));
        assert_eq!(log.text(), "✘ fetch jq: given up, 0.0 s\n");
    }

    #[test]
    fn a_rate_is_told_when_there_was_time_for_one() {
        assert_eq!(rate(30_000_000, Duration::from_millis(1500)), ", 20.0 MB/s");
        assert_eq!(rate(30_000_000, Duration::from_millis(900)), "");
        assert_eq!(rate(0, Duration::from_secs(9)), "");
    }

    #[test]
    fn sizes_are_short() {
        let shown: Vec<String> =
            [0, 999, 1000, 999_949, 999_960, 30_000_000, 2_000_000_000_000].into_iter().map(size).collect();
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "30.0 MB", "2.0 TB"]);
    }
}
