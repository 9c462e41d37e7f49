//! Records in documents of the user's own, as the JSON objects that they are.

use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::ReattachConfig;

/// As [`ReattachConfig::to_json`] has it, in any format that serde writes.
impl Serialize for ReattachConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

/// As [`ReattachConfig::from_json`] reads it, from any format that says what its values are.
impl<'de> Deserialize<'de> for ReattachConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(&value).map_err(D::Error::custom)
    }
}
