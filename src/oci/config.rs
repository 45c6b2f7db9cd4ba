//! The image configuration: how a container is started, and what its layers are.
//!
//! Fields that nobody here knows are kept as they came: an image built on a base inherits all of
//! the base's configuration, as `FROM` does it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Platform;
use crate::digest::Digest;

/// The empty object that stands for "present" in Docker's sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// An image configuration (OCI image specification, "Image Configuration").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Operating system and processor.
    #[serde(flatten)]
    pub platform: Platform,
    /// How a container is started.
    #[serde(default, deserialize_with = "null_as_default")]
    pub config: ContainerConfig,
    /// The layers by the digests of their uncompressed bytes.
    pub rootfs: RootFs,
    /// How the layers came to be.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The layers of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Lowest first.
    pub diff_ids: Vec<Digest>,
}

/// How a container is started (the `config` of the configuration).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User name or number, with an optional group after a colon.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports as `8080/tcp`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`, in order.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Its default arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths that are volumes.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Empty>,
    /// Where it starts.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Everything else, as it came: `Healthcheck`, `Shell`, `OnBuild` and what others invent.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How a layer, or a change of the configuration, came to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Whether there is no layer for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub empty_layer: bool,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Config {
    /// Returns the configuration of an image without layers.
    pub fn scratch(platform: Platform) -> Config {
        Config {
            created: None,
            platform,
            config: ContainerConfig::default(),
            rootfs: RootFs { kind: "layers".into(), diff_ids: Vec::new() },
            history: Vec::new(),
            rest: Map::new(),
        }
    }
}

impl ContainerConfig {
    /// Returns the value of an environment variable.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// Sets an environment variable, where it stands or at the end.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        let is_same = |pair: &String| pair.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        match self.env.iter().position(is_same) {
            Some(position) => self.env[position] = pair,
            None => self.env.push(pair),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Docker writes `null` where a set or list is empty.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_here_knows_is_kept() {
        let text = r#"{"architecture":"amd64","config":{"Env":["A=1"],"Healthcheck":{"Test":["NONE"]},
            "OnBuild":["RUN x"],"Volumes":null},"os":"linux","os.version":"1",
            "rootfs":{"diff_ids":[],"type":"layers"}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let written: Value = serde_json::to_value(&config).unwrap();
        let mut expected: Value = serde_json::from_str(text).unwrap();
        expected["config"].as_object_mut().unwrap().remove("Volumes");
        assert_eq!(written, expected);
    }

    #[test]
    fn a_variable_is_set_where_it_stands() {
        let mut config =
            ContainerConfig { env: vec!["PATH=/bin".into(), "A=1".into()], ..Default::default() };
        config.set_env("PATH", "/usr/bin");
        config.set_env("PAT", "x");
        assert_eq!(config.env, ["PATH=/usr/bin", "A=1", "PAT=x"]);
        assert_eq!(config.env("A"), Some("1"));
        assert_eq!(config.env("PA"), None);
    }
}
