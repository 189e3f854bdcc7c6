//! `[libcluster.topologies.NAME]` of a file: the shape that libcluster's users have, read as discoveries.
//!
//! What the settings mean is in `config/libcluster.rs`. What has no counterpart is logged, with its line.

use toml::de::{DeTable, DeValue};

use super::{At, Reader, Value, in_order, written};
use crate::config::error::ConfigError;
use crate::config::layers::{Kind, Layers};
use crate::config::libcluster::{
    LIBCLUSTER_FUNCTIONS, LIBCLUSTER_FUNCTIONS_REMARK, LibclusterValue, import_libcluster,
    libcluster_strategy,
};

/// The table of a file, and the one in it.
pub(super) const LIBCLUSTER: &str = "libcluster";
const TOPOLOGIES: &str = "topologies";

impl Reader {
    pub(super) fn libcluster(
        &self,
        layers: &mut Layers,
        at: &At,
        value: &Value<'_>,
    ) -> Result<(), ConfigError> {
        let right = format!("a table, [{}.{TOPOLOGIES}.NAME]", at.path);
        for (key, value) in in_order(self.table(value, at, &right)?) {
            let at = self.at(&format!("{}.", at.path), key);
            match &**key.get_ref() {
                TOPOLOGIES => {
                    for (name, topology) in in_order(self.table(value, &at, &right)?) {
                        let of_one = self.at(&format!("{}.", at.path), name);
                        let topology = self.table(topology, &of_one, &right)?;
                        self.topology(layers, &of_one, name.get_ref(), topology)?;
                    }
                }
                "debug" => self.remark(&at, "the level of the log says what is logged"),
                _ => return Err(self.refused(&at, &written(value.get_ref()), &right)),
            }
        }
        Ok(())
    }

    fn topology(
        &self,
        layers: &mut Layers,
        of_one: &At,
        name: &str,
        topology: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        let (mut strategy, mut config, mut places) = (None, Vec::new(), Vec::new());
        for (key, value) in in_order(topology) {
            let at = self.at(&format!("{}.", of_one.path), key);
            match &**key.get_ref() {
                "strategy" => {
                    let text = self.text(value, &at)?;
                    let found = libcluster_strategy(&text);
                    strategy = Some(found.map_err(|right| self.refused(&at, &text, &right))?);
                }
                "config" => {
                    for (key, value) in in_order(self.table(value, &at, "a table of settings")?) {
                        let at = self.at(&format!("{}.", at.path), key);
                        config.push((key.get_ref().to_string(), self.imported(value, &at)?));
                        places.push(at);
                    }
                }
                key if LIBCLUSTER_FUNCTIONS.contains(&key) => {
                    self.remark(&at, LIBCLUSTER_FUNCTIONS_REMARK);
                }
                _ => {
                    let right =
                        "nothing, or one of strategy, config, connect, disconnect, list_nodes";
                    return Err(self.refused(&at, &written(value.get_ref()), right));
                }
            }
        }
        let Some(strategy) = strategy else {
            let right = "strategy = \"Cluster.Strategy.NAME\"";
            return Err(self.refused(of_one, "a topology without a strategy", right));
        };
        let import = import_libcluster(strategy, &config);
        let place_of = |key: &str| {
            let index = config.iter().position(|(known, _)| known == key);
            index.map_or(of_one, |index| &places[index])
        };
        if let Some((key, right)) = import.mistakes.first() {
            return Err(self.refused(place_of(key), key, right));
        }
        for (key, remark) in &import.remarks {
            self.remark(place_of(key), remark);
        }
        layers.add(Kind::Discovery, name, &self.place(of_one))?;
        for (key, text) in &import.settings {
            layers.set(Kind::Discovery, name, key, text, self.place(of_one))?;
        }
        Ok(())
    }

    fn imported(&self, value: &Value<'_>, at: &At) -> Result<LibclusterValue, ConfigError> {
        Ok(match value.get_ref() {
            DeValue::Array(entries) => {
                let entries = entries.iter().map(|entry| self.text(entry, at));
                LibclusterValue::List(entries.collect::<Result<_, _>>()?)
            }
            _ => LibclusterValue::Text(self.text(value, at)?),
        })
    }

    fn remark(&self, at: &At, remark: &str) {
        tracing::info!("{}: {remark}", self.place(at));
    }
}
