//! The configuration as its users meet it: files, environment, flags, messages, documents.

mod addresses;
mod definitions;
mod discovery;
mod documents;
mod files;
mod mistakes;
mod parameters;
mod rules;
mod sources;
mod support;
