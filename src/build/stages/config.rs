//! What an instruction changes in the configuration of the image to be.

use serde_json::{Value, json};

use crate::build::tree::rooted;
use crate::dockerfile::{DEFAULT_SHELL, Expanded, Healthcheck, Kind};
use crate::oci::{ContainerConfig, Empty};

/// A configuration as the instructions of a stage change it.
#[derive(Clone, Debug, Default)]
pub(super) struct Configuration {
    pub(super) config: ContainerConfig,
    pub(super) author: Option<String>,
    /// Whether this stage says what the arguments are.
    has_cmd: bool,
}

impl Configuration {
    /// Begins a stage on an image of this configuration; its triggers are taken out of it.
    pub(super) fn on(mut base: ContainerConfig) -> Configuration {
        base.rest.remove("OnBuild");
        if base.working_dir.is_empty() {
            base.working_dir = "/".into();
        }
        Configuration { config: base, author: None, has_cmd: false }
    }

    /// Returns it with whom the image below is by.
    pub(super) fn by(self, author: Option<String>) -> Configuration {
        Configuration { author, ..self }
    }

    /// Returns what runs commands in shell form.
    pub(super) fn shell(&self) -> Vec<String> {
        let said = self.config.rest.get("Shell").and_then(Value::as_array).into_iter().flatten();
        match said.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>() {
            none if none.is_empty() => DEFAULT_SHELL.map(String::from).to_vec(),
            shell => shell,
        }
    }

    /// Returns the path that `path` is in the working directory.
    pub(super) fn absolute(&self, path: &str) -> String {
        match path.starts_with('/') {
            true => rooted(path),
            false => rooted(&format!("{}/{path}", self.config.working_dir)),
        }
    }

    /// Returns the path with the slash at its end, if it is written with one.
    pub(super) fn with_its_slash(&self, path: &str) -> String {
        let absolute = self.absolute(path);
        // Where it is joined to the one before, BuildKit cleans it.
        match path.starts_with('/') && path.ends_with('/') && absolute != "/" {
            true => absolute + "/",
            false => absolute,
        }
    }

    /// Changes what the instruction changes. The variables are what the scope says.
    pub(super) fn apply(&mut self, kind: &Expanded) {
        match kind {
            Kind::Cmd(command) => {
                self.has_cmd = true;
                self.config.cmd = unless_empty(command.words(&self.shell()));
            }
            Kind::Entrypoint(command) => {
                self.config.entrypoint = unless_empty(command.words(&self.shell()));
                if !self.has_cmd {
                    self.config.cmd = None;
                }
            }
            Kind::Expose(ports) => {
                self.config.exposed_ports.extend(ports.iter().map(|port| (port.clone(), Empty {})));
            }
            Kind::Healthcheck(check) => {
                self.config.rest.insert("Healthcheck".into(), healthcheck(check));
            }
            Kind::Label(pairs) => {
                let pairs = pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone()));
                self.config.labels.extend(pairs);
            }
            Kind::Maintainer(author) => self.author = Some(author.clone()),
            Kind::Onbuild(trigger) => self.add_trigger(trigger),
            Kind::Shell(words) => {
                self.config.rest.insert("Shell".into(), json!(words));
            }
            Kind::Stopsignal(signal) => self.config.stop_signal = Some(signal.clone()),
            Kind::User(user) => self.config.user.clone_from(user),
            Kind::Volume(paths) => {
                self.config.volumes.extend(paths.iter().map(|path| (path.clone(), Empty {})));
            }
            Kind::Workdir(path) => self.config.working_dir = self.with_its_slash(path),
            Kind::Add(_) | Kind::Arg(_) | Kind::Copy(_) | Kind::Env(_) | Kind::Run(_) => {}
        }
    }

    fn add_trigger(&mut self, trigger: &str) {
        let triggers = self.config.rest.entry("OnBuild").or_insert_with(|| json!([]));
        if let Value::Array(triggers) = triggers {
            triggers.push(json!(trigger));
        }
    }
}

/// Returns the triggers that an image holds for those that are built on it.
pub(super) fn triggers(config: &ContainerConfig) -> Vec<String> {
    let triggers = config.rest.get("OnBuild").and_then(Value::as_array);
    triggers.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn unless_empty(argv: Vec<String>) -> Option<Vec<String>> {
    (!argv.is_empty()).then_some(argv)
}

/// Returns the check in Docker's words, with durations in nanoseconds.
fn healthcheck(check: &Healthcheck) -> Value {
    let mut said = json!({ "Test": check.test() });
    let Healthcheck::Command { interval, timeout, start_period, start_interval, retries, .. } = check else {
        return said;
    };
    let durations = [
        ("Interval", interval),
        ("Timeout", timeout),
        ("StartPeriod", start_period),
        ("StartInterval", start_interval),
    ];
    for (name, duration) in durations {
        if let Some(duration) = duration {
            said[name] = json!(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        }
    }
    if let Some(retries) = retries {
        said["Retries"] = json!(retries);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::CommandLine;

    #[test]
    fn an_image_without_a_directory_and_a_shell_gets_them() {
        let mut config = Configuration::on(ContainerConfig::default());
        assert_eq!(config.config.working_dir, "/");
        assert_eq!(config.shell(), ["/bin/sh", "-c"]);
        config.config.rest.insert("Shell".into(), json!([]));
        assert_eq!(config.shell(), ["/bin/sh", "-c"]);
        config.apply(&Kind::Shell(vec!["/bin/bash".into()]));
        assert_eq!(config.shell(), ["/bin/bash"]);
    }

    #[test]
    fn an_entrypoint_takes_the_bases_arguments_away_but_not_its_own_stages() {
        let shell = |text: &str| CommandLine::Shell(text.into());
        let base = ContainerConfig { cmd: Some(vec!["old".into()]), ..ContainerConfig::default() };
        let mut config = Configuration::on(base);
        config.apply(&Kind::Entrypoint(shell("run")));
        assert_eq!(config.config.cmd, None);
        config.apply(&Kind::Cmd(CommandLine::Exec(vec!["new".into()])));
        config.apply(&Kind::Entrypoint(shell("run")));
        assert_eq!(config.config.cmd, Some(vec!["new".into()]));
        assert_eq!(config.config.entrypoint.unwrap(), ["/bin/sh", "-c", "run"]);
    }

    #[test]
    fn a_working_directory_is_relative_to_the_one_before() {
        let mut config = Configuration::on(ContainerConfig::default());
        for (said, expected) in
            [("a", "/a"), ("b/../c", "/a/c"), ("/x/", "/x/"), ("y/", "/x/y"), ("../..", "/")]
        {
            config.apply(&Kind::Workdir(said.into()));
            assert_eq!(config.config.working_dir, expected);
        }
    }

    #[test]
    fn triggers_are_kept_for_the_next_image_and_not_inherited() {
        let mut config = Configuration::on(ContainerConfig::default());
        config.apply(&Kind::Onbuild("RUN make".into()));
        assert_eq!(triggers(&config.config), ["RUN make"]);
        assert_eq!(triggers(&Configuration::on(config.config).config), Vec::<String>::new());
    }

    #[test]
    fn a_health_check_has_its_times_in_nanoseconds() {
        let check = Healthcheck::Command {
            command: CommandLine::Shell("true".into()),
            interval: Some(std::time::Duration::from_millis(1500)),
            timeout: None,
            start_period: None,
            start_interval: None,
            retries: Some(3),
        };
        let said = healthcheck(&check);
        assert_eq!(said, json!({"Test": ["CMD-SHELL", "true"], "Interval": 1_500_000_000_u64, "Retries": 3}));
        assert_eq!(healthcheck(&Healthcheck::None), json!({"Test": ["NONE"]}));
    }
}
