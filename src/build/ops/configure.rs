//! How a container is started: the base's configuration, and what the definition says instead.

use anyhow::{Result, bail};

use crate::build::graph::Configure;
use crate::dockerfile::DEFAULT_PATH;
use crate::layer::{Found, Skeleton};
use crate::oci::{ContainerConfig, Empty};

/// Returns the configuration after `change`; what that doesn't name is inherited, as `FROM` does it.
pub fn configure(inherited: &ContainerConfig, change: &Configure) -> ContainerConfig {
    let mut config = inherited.clone();
    if config.env("PATH").is_none() {
        config.set_env("PATH", DEFAULT_PATH);
    }
    for (name, value) in &change.env {
        let value = expand(value, &config);
        config.set_env(name, &value);
    }
    if let Some(entrypoint) = &change.entrypoint {
        config.entrypoint = Some(entrypoint.clone());
        // Arguments for another program make no sense to this one.
        config.cmd = None;
    }
    if let Some(cmd) = &change.cmd {
        config.cmd = Some(cmd.clone());
    }
    config.volumes.extend(change.volumes.iter().map(|path| (path.clone(), Empty {})));
    config.exposed_ports.extend(change.ports.iter().map(|port| (port.clone(), Empty {})));
    config.labels.extend(change.labels.iter().cloned());
    config.stop_signal = change.stop_signal.clone().or(config.stop_signal);
    config.user = change.user.clone().unwrap_or(config.user);
    config.working_dir = change.working_dir.clone().unwrap_or(config.working_dir);
    config
}

/// Refuses a user or group that the image doesn't know by name: nothing could be started as it.
pub fn check_user(change: &Configure, root: &Skeleton) -> Result<()> {
    let Some(run_as) = &change.user else { return Ok(()) };
    let (user, group) =
        run_as.split_once(':').map_or((run_as.as_str(), None), |(user, group)| (user, Some(group)));
    check_name(user, "user", "/etc/passwd", root, &|name| root.user(name).is_some())?;
    match group {
        Some(group) => check_name(group, "group", "/etc/group", root, &|name| root.group(name).is_some()),
        None => Ok(()),
    }
}

fn check_name(
    name: &str,
    what: &str,
    list: &str,
    root: &Skeleton,
    is_known: &dyn Fn(&str) -> bool,
) -> Result<()> {
    // A list that is a link to elsewhere wasn't read.
    let is_read = matches!(root.resolve(list.as_bytes())?.found, Found::Other);
    if name.parse::<u32>().is_ok() || is_known(name) || !is_read {
        return Ok(());
    }
    bail!(
        "cannot run as {what} {name}: the image's {list} has no such {what}\nhint: write its number, or make it: user \"{name}\" {{}}"
    )
}

/// Puts the values of `$NAME` and `${NAME}` in; a name without a value gives nothing, `\$` a dollar sign.
fn expand(text: &str, config: &ContainerConfig) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("\\$") {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = variable(rest) {
            expanded.push_str(config.env(name).unwrap_or_default());
            rest = after;
        } else {
            expanded.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    expanded + rest
}

/// Splits `$NAME…` or `${NAME}…` into the name and what follows.
fn variable(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('$')?;
    let (text, close) = match text.strip_prefix('{') {
        Some(text) => (text, "}"),
        None => (text, ""),
    };
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(())?;
    Some((name, rest.strip_prefix(close)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_inherited() {
        let base = ContainerConfig {
            user: "app".into(),
            env: vec!["PATH=/opt/bin".into()],
            entrypoint: Some(vec!["/init".into()]),
            cmd: Some(vec!["serve".into()]),
            ..ContainerConfig::default()
        };
        assert_eq!(configure(&base, &Configure::default()), base);
    }

    #[test]
    fn a_new_entrypoint_does_not_get_the_old_arguments() {
        let base = ContainerConfig { cmd: Some(vec!["serve".into()]), ..ContainerConfig::default() };
        let change = Configure { entrypoint: Some(vec!["/x".into()]), ..Configure::default() };
        assert_eq!(configure(&base, &change).cmd, None);
    }

    #[test]
    fn variables_see_the_inherited_values_and_those_before_them() {
        let base = ContainerConfig { env: vec!["PATH=/bin".into()], ..ContainerConfig::default() };
        let pairs = [("PATH", "/opt:$PATH"), ("A", "${PATH}x"), ("B", "\\$A $ $1 $none|")];
        let env = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let config = configure(&base, &Configure { env, ..Configure::default() });
        assert_eq!(config.env, ["PATH=/opt:/bin", "A=/opt:/binx", "B=$A $ $1 |"]);
    }

    #[test]
    fn an_image_without_a_path_gets_one() {
        let config = configure(&ContainerConfig::default(), &Configure::default());
        assert_eq!(config.env("PATH"), Some(DEFAULT_PATH));
    }
}
