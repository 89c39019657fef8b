//! Text and facts in, a plan out.

pub mod config;
pub mod desired;
pub mod diagnostic;
pub mod engine;
pub mod guard;
pub mod observed;
pub mod plan;
pub mod planner;
