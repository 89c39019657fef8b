//! stub until merge
use crate::plan::Impact;
use std::collections::BTreeMap;
/// x
pub fn impact(_v: u16, _n: &str) -> Impact {
    Impact::Restart
}
/// x
pub fn lowers_replay_limit(_v: u16, _o: &BTreeMap<String, String>, _n: &BTreeMap<String, String>) -> bool {
    false
}

/// x
pub fn equal(_v: u16, _n: &str, a: &str, b: &str) -> bool {
    a == b
}
