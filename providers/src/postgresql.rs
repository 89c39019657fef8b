//! Speaks to PostgreSQL servers.
